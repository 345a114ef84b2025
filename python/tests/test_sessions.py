"""Two sides, one job name: they meet, differ, miss each other, or end on Ctrl-C."""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import tacitly as tt


def test_sides_that_differ_both_raise_naming_the_field_and_both_values(meet):
    cases = [
        (
            lambda s: s.align(["13800138000"], normalise="cn-mobile"),
            lambda s: s.align(["13800138000"], normalise="e164", invalid="skip"),
            ("key", "cn-mobile", "e164"),
        ),
        (
            lambda s: s.align(["a"], normalise="raw"),
            lambda s: s.intersect(["a"], normalise="raw"),
            ("kind", "align", "intersect"),
        ),
        (
            lambda s: s.intersect(["a"], normalise="raw", receiver="bank"),
            lambda s: s.intersect(["a"], normalise="raw", receiver="shop"),
            ("parties", "bank has {receives: 1", "shop has {receives: 0"),
        ),
    ]
    for bank, shop, words in cases:
        for error in meet(bank, shop):
            assert isinstance(error, tt.TermsDiffer), error
            assert all(word in error.text for word in words), error.text
    # Nothing is left over: the same name may be used again at once, and frames are gone.
    assert all(isinstance(side, tt.Rows) for side in meet(lambda s: s.align(["a"], normalise="raw"), lambda s: s.align(["a"], normalise="raw")))


def test_profiles_are_named_in_either_spelling_and_once(sim):
    sets = {"bank": ["a", "b"], "shop": ["b", "c"]}
    assert int(sim.cardinality(sets, normalize="raw")["bank"]) == 1
    both = sim.each(sets, lambda s, frame, on: s.run("cardinality", frame, normalize="raw"))
    assert int(both["shop"]) == 1
    with pytest.raises(TypeError, match="one and the same"):
        sim.cardinality(sets, normalize="raw", normalise="raw")


def test_a_certificate_replaces_no_file_unless_asked_to(sim, tmp_path):
    evidence = sim.cardinality({"bank": ["a", "b"], "shop": ["b", "c"]}, normalise="raw")["bank"].evidence()
    file = tmp_path / "job.evidence"
    evidence.save(file)
    file.write_bytes(b"something else")
    with pytest.raises(FileExistsError):
        evidence.save(file)
    assert file.read_bytes() == b"something else"
    evidence.save(file, overwrite=True)
    assert tt.Evidence.load(file).verify()["holds"]


def test_a_peer_that_does_not_come_is_named_after_the_timeout(sim):
    with sim["bank"].session("shop", job="alone", timeout=1) as session, pytest.raises(tt.errors.NotMet) as late:
        session.align(["a"], normalise="raw")
    assert late.value.peer in ("shop", "") and "shop" in late.value.text
    assert "the link is up" in late.value.text
    until(lambda: not sim["bank"].datasets())


@pytest.mark.parametrize("kind", ["intersect", "cardinality"])
@pytest.mark.parametrize("receiver", ["both", "bank", "shop"])
def test_only_receivers_get_a_result(meet, kind, receiver):
    def side(session):
        return getattr(session, kind)(["a", "b", "c"], normalise="raw", receiver=receiver)

    bank, shop = meet(side, side)
    for name, result in (("bank", bank), ("shop", shop)):
        received = receiver in ("both", name)
        assert isinstance(result, tt.Rows if kind == "intersect" else tt.Size) == received
        assert (result.our_items, result.peer_items) == (3, 3)


def test_one_session_runs_several_jobs_in_order(meet):
    def side(session):
        first = session.cardinality(["a", "b"], normalise="raw")
        second = session.align(["b", "c"], normalise="raw")
        return int(first), second.rows()

    bank, shop = meet(side, side)
    assert bank[0] == shop[0] == 2 and bank[1] == shop[1] and sorted(bank[1]) == ["b", "c"]


def test_the_memory_of_a_frame_is_free_after_its_job(sim, meet):
    def side(session):
        return session.align(["a", "b"], normalise="raw")

    meet(side, side)
    assert sim["bank"].datasets() == [] and sim["shop"].datasets() == []
    held = [event.kind for event in sim["bank"].events()]
    assert held.count("dataset-added") == held.count("dataset-removed")


def test_a_bad_row_is_named_and_the_other_side_does_not_wait_for_ever(meet):
    bank, shop = meet(
        lambda s: s.align(["13800138000", "12"], normalise="cn-mobile"),
        lambda s: s.align(["13800138000"], normalise="cn-mobile"),
        timeout=2,
    )
    assert isinstance(bank, tt.errors.DatasetInput) and "row 2" in bank.text and "the frame" in bank.text
    assert isinstance(shop, tt.errors.NotMet)


def test_what_an_owner_states_is_on_record_and_opens_to_a_named_reader(sim, tmp_path):
    bank = sim["bank"]
    members, consent = tmp_path / "members.csv", tmp_path / "consent.txt"
    members.write_text("phone,since\n13800138000,2019\n13900000002,2020\n")
    consent.write_bytes(b"I agree.\n")
    dataset = bank.add_dataset("stated", members, {"phone": "cn-mobile"}, period="2026-01-01/2026-03-31", basis=consent)
    assert dataset.period == "2026-01-01/2026-03-31" and bank.datasets()[-1] == dataset
    salt = bank.open_basis("stated", to="court")
    opened = hashlib.sha256(b"tacitly-commitment-1 basis\n" + salt + consent.read_bytes()).digest()
    assert dataset.basis == f"salted-sha256:{base64.b64encode(opened).decode()}"
    opening = json.loads(bank.open_record("stated", 2, to="court", purpose="audit").splitlines()[1])
    assert json.loads(base64.b64decode(opening["record"])) == ["13900000002", "2020"]
    with pytest.raises(tt.errors.BadRequest, match="party name"):
        bank.open_record("stated", 2, to="The Court")
    with pytest.raises(tt.errors.BadRequest, match="period"):
        bank.add_dataset("other", members, {"phone": "cn-mobile"}, period="2026")
    bank.remove_dataset("stated")


def test_a_registered_dataset_and_a_frame_and_the_peers_rule(sim, tmp_path):
    members = tmp_path / "members.csv"
    members.write_text("phone,since\n13800138000,2019\n+86 13900000002,2020\n")
    shop, bank = sim["shop"], sim["bank"]
    dataset = shop.add_dataset("members", members, {"phone": "cn-mobile"})
    assert (dataset.rows, dataset.columns) == (2, ["phone", "since"])

    with bank.session("shop", job="registered") as session:
        with pytest.raises(tt.errors.RefusedNoRule):
            session.intersect(["13800138000"], normalise="cn-mobile", receiver="us", peer_dataset="members")
        rule = shop.allow("members", "bank", kinds=["intersect"])
        assert rule["kinds"] == ["intersect"]
        hit = session.intersect(["13800138000"], normalise="cn-mobile", receiver="us", peer_dataset="members")
        assert hit.rows() == ["13800138000"] and session.last_job.state == "done"
        with pytest.raises(tt.errors.RefusedByRule):
            session.cardinality(["13800138000"], normalise="cn-mobile", receiver="us", peer_dataset="members")

    # A dataset by its name meets a frame, too; its own rule is asked, and its rows come from the file.
    def script(party):
        other = {"bank": "shop", "shop": "bank"}[party.name]
        with party.session(other, job="name and frame") as session:
            if party is shop:
                return session.intersect("members")
            return session.intersect(["13900000002"], normalise="cn-mobile")

    hits = sim.run(script)
    assert hits["shop"].to_pandas().values.tolist() == [["+86 13900000002", "2020"]]
    assert hits["shop"].to_polars().rows() == [("+86 13900000002", "2020")]
    assert hits["shop"].to_arrow().to_pylist() == [{"phone": "+86 13900000002", "since": "2020"}]
    hits["shop"].write(tmp_path / "out.csv", ("since",))
    assert (tmp_path / "out.csv").read_text() == "since\n2020\n"
    with pytest.raises(TypeError, match="registered file"):
        hits["shop"].rows()
    shop.disallow("members", "bank")
    shop.remove_dataset("members")


def test_a_changed_rule_shows_what_has_changed_in_it(sim, tmp_path):
    path, shop = tmp_path / "ruled.csv", sim["shop"]
    path.write_text("id\na\n")
    shop.add_dataset("ruled", path, {"id": "raw"})
    first = shop.allow("ruled", "bank", per_day=5, limits={"min_intersection": 100})
    assert (first["per_day"], first["limits"], first.difference) == (5, {"min_intersection": 100}, [])
    changed = shop.allow("ruled", "bank", per_day=10, approval="manual")
    assert changed["limits"] == {"min_intersection": 100}, "what is not named stays"
    assert changed.difference == ["per_day: 5 → 10 (wider)", "approval: automatic → manual"]
    for shown in (repr(changed), changed._repr_html_()):
        assert all(line in shown for line in changed.difference) and "min_intersection" in shown
    assert shop.allow("ruled", "bank", per_day=10).difference == []
    assert isinstance(changed, tt.Rule) and dict(changed) == json.loads(json.dumps(changed))
    shop.remove_dataset("ruled")


def test_a_person_approves_a_job_from_python(sim, tmp_path):
    for party, peer in ((sim["bank"], "shop"), (sim["shop"], "bank")):
        path = tmp_path / f"{party.name}.csv"
        path.write_text("id\na\nb\n")
        party.add_dataset("table", path, {"id": "raw"}, allow=[peer] if party.name == "bank" else [])
    sim["shop"].allow("table", "bank", approval="manual")
    tables = {"bank": "table", "shop": "table"}
    job = sim["bank"].submit("intersect", tables, request_key="once")
    assert sim["bank"].submit("intersect", tables, request_key="once").id == job.id
    waiting = until(lambda: sim["shop"].jobs("proposed"))[0]
    assert waiting.id == job.id and "bank" in waiting.explain()
    waiting.approve()
    result = job.wait()
    assert len(result) == 2 and result.job.id in repr(sim["bank"].jobs()) and job.events()
    job.purge()
    with pytest.raises(tt.errors.ResultNone):
        job.result().indices
    again = sim["bank"].submit("intersect", tables)
    until(lambda: sim["shop"].jobs("proposed"))[0].refuse("not today")
    with pytest.raises(tt.errors.RefusedByPerson, match="not today"):
        again.wait()
    for party in (sim["bank"], sim["shop"]):
        party.remove_dataset("table")


def test_progress_is_shown_to_a_function_or_on_standard_error_only(sim, capsys):
    seen = []
    sim.align({"bank": ["a"], "shop": ["a"]}, normalise="raw", progress=seen.append)
    assert seen and all(isinstance(record, tt.JobRecord) for record in seen) and seen[-1].state == "done"
    sim.align({"bank": ["a"], "shop": ["a"]}, normalise="raw", progress=True)
    shown = capsys.readouterr()
    assert shown.out == "" and "align with" in shown.err
    sim.align({"bank": ["a"], "shop": ["a"]}, normalise="raw")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_notebooks_show_tables_without_markup_from_data(sim):
    hits = sim.align({"bank": ["a", "b"], "shop": ["b"]}, normalise="raw")
    for thing in (hits["bank"], sim, sim["bank"], sim["bank"].jobs(), sim["bank"].status()):
        assert thing._repr_html_().startswith("<table>")
    assert "shared keys" in hits["bank"].summary() and "1" in hits["bank"].summary()
    from tacitly import _html

    assert "<script>" not in _html.table(("<script>",), [("<script>",)], "<script>")
    hostile = "a\x1b[2J\n\u202e\u200b银行"
    page = _html.table((hostile,), [(hostile,)], hostile)
    assert page.isprintable() and page.count("银行") == 3


def test_a_set_that_meets_nothing_comes_with_a_hint(sim):
    hits = sim.intersect({"bank": ["x1"], "shop": ["y2"]}, normalise="raw")
    assert len(hits["bank"]) == 0 and hits["bank"].rows() == [] and "hint" in hits["bank"].summary()


def test_a_party_that_takes_no_frames_says_which_setting(tmp_path):
    with tt.Party.create(tmp_path / "bank", "bank", listen="127.0.0.1:0", frame_mib=0) as bank:
        with tt.Party.create(tmp_path / "shop", "shop") as shop:
            shop.join(bank.invite("shop"))
            with pytest.raises(tt.errors.FramesOff, match="frame_mib"):
                bank.session("shop", job="x").align(["a"], normalise="raw")


def test_members_of_a_consortium_know_each_other_by_the_roster_that_its_founder_reads_out(tmp_path):
    with tt.Party.create(tmp_path / "bank", "bank", listen="127.0.0.1:0") as bank:
        with tt.Party.create(tmp_path / "shop", "shop") as shop, tt.Party.create(tmp_path / "lab", "lab") as lab:
            shop.join(bank.invite("shop"))
            lab.join(bank.invite("lab"))
            founded = bank.init_consortium("east", ["shop", "lab"])
            with pytest.raises(tt.errors.Roster, match="was compared"):
                shop.join_consortium(founded.roster, "A" * 32)
            assert shop.consortia() == []
            joined = shop.join_consortium(founded.roster, founded.fingerprint)
            assert shop.consortia() == [joined] and joined.roster == founded.roster
            assert {member.party: member.is_peer for member in joined.members} == {
                "bank": True,
                "lab": False,
                "shop": False,
            }
            shop.leave_consortium("east")
            assert shop.consortia() == []


def test_a_party_that_is_closed_starts_again_in_the_same_process_with_its_ledger(tmp_path):
    home = tmp_path / "bank"
    with tt.Party.create(home, "bank", listen="127.0.0.1:0") as bank:
        with tt.Party.create(tmp_path / "shop", "shop") as shop:
            shop.join(bank.invite("shop"))
        with pytest.raises(tt.TacitlyError) as locked:
            tt.Party.from_config(home / "party.toml")
        assert "connect" in locked.value.hint
        assert tt.connect(home).status().party == "bank"
    with tt.Party.from_config(home / "party.toml") as bank:
        assert [peer.party for peer in bank.peers()] == ["shop"]
        assert bank.backup(tmp_path / "backup.db") > 0 and (tmp_path / "backup.db").exists()
        assert bank.rotate_identity(force=True)["pin"] and bank.status().version == tt.__version__
        bank.remove_peer("shop")
        assert bank.peers() == []
        bank.shutdown()
    with pytest.raises(tt.TacitlyError, match="no daemon answers") as absent:
        tt.connect(home)
    assert "from_config" in absent.value.hint
    with pytest.raises(tt.TacitlyError, match="party.toml"):
        tt.Party.from_config(tmp_path / "nobody")


def test_the_gil_is_free_while_a_call_waits(sim):
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.01)

    thread = threading.Thread(target=tick)
    thread.start()
    with pytest.raises(tt.errors.NotMet):
        sim["bank"].session("shop", job="nobody", timeout=1).align(["a"], normalise="raw")
    stop.set()
    thread.join()
    assert len(ticks) > 5, "another thread ran all the while"


def test_a_simulation_with_a_failure_ends_soon_and_leaves_nothing_waiting(sim):
    threads = threading.active_count()
    with pytest.raises(tt.errors.DatasetInput):
        sim.align({"bank": ["a"], "shop": ["b", "b"]}, normalise="raw")
    assert threading.active_count() <= threads
    until(lambda: not sim["bank"].datasets())


def test_a_frame_is_counted_for_its_owner(sim):
    def side(party):
        with party.session("shop" if party.name == "bank" else "bank", job="counted") as session:
            session.align(["13800138000", "", "12"], normalise="cn-mobile", invalid="skip")
            return session.last_report

    assert "1  empty key" in sim.run(side)["bank"]


CTRL_C = """
    import sys, threading, time, tacitly as tt
    sim = tt.simulate(["bank", "shop"])
    def tell(has_begun):
        def wait():
            while not has_begun():
                time.sleep(0.02)
            print("running", flush=True)
        threading.Thread(target=wait, daemon=True).start()
    {before}
    print("ready", flush=True)
    try:
        {call}
    except KeyboardInterrupt:
        print("interrupted", [job.state for job in sim["bank"].jobs()], sim["bank"].status().party, flush=True)
    sim.close()
"""


@pytest.mark.parametrize("where", ["waiting for the peer", "waiting for a person", "in a simulation"])
def test_ctrl_c_ends_the_call_cancels_the_job_and_leaves_python_alive(where, tmp_path):
    if where == "waiting for the peer":
        before, call = 'tell(sim["bank"].datasets)', 'sim["bank"].session("shop", job="x").align(["a"], normalise="raw")'
        states = "[]"
    elif where == "in a simulation":
        before = "many, told = [str(n) for n in range(400_000)], []"
        show = 'lambda job: told or told.append(print("running", flush=True))'
        call = f'sim.align({{"bank": many, "shop": many}}, normalise="raw", progress={show})'
        states = "['cancelled']"
    else:
        (tmp_path / "t.csv").write_text("id\na\n")
        before = f"""sim["shop"].add_dataset("t", {str(tmp_path / "t.csv")!r}, {{"id": "raw"}}); sim["shop"].allow("t", "bank", approval="manual"); tell(lambda: sim["shop"].jobs("proposed"))"""
        call = 'sim["bank"].session("shop", job="x").intersect(["a"], normalise="raw", receiver="us", peer_dataset="t")'
        states = "['cancelled']"
    script = textwrap.dedent(CTRL_C).format(before=before, call=call)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    limit = threading.Timer(120, process.kill)
    limit.start()
    try:
        assert [process.stdout.readline(), process.stdout.readline()] == ["ready\n", "running\n"]
        os.kill(process.pid, signal.SIGINT)
        out, _ = process.communicate()
    finally:
        limit.cancel()
        process.kill()
    assert out == f"interrupted {states} bank\n" and process.returncode == 0


def test_a_forked_child_is_told_and_does_not_hang(sim):
    child = os.fork()
    if child == 0:
        try:
            sim["bank"].status()
        except RuntimeError as error:
            os._exit(0 if "fork" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def until(ready, seconds=120):
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found

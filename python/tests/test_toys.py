"""Kinds of job that only tests know, in Python: three daemons that know them, which are a test program of Rust."""

import concurrent.futures
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

import tacitly as tt

# What python/test has found; and the test of it that serves the party in a folder.
PROGRAM = os.environ.pop("TOYS_PROGRAM", "")
SERVES = ["--exact", "toys::this_program_serves_a_party_that_knows_the_toys", "--nocapture"]
NAMES = ["bank", "mill", "shop"]
AMOUNTS = {"bank": [1, 2, 3, 4], "mill": [10, -20, 30, -40], "shop": [500, 600, 700, 800]}
SUM = sum(map(sum, AMOUNTS.values()))

pytestmark = pytest.mark.skipif(not PROGRAM, reason="TOYS_PROGRAM names no test program `daemons`; python/test builds it")


def until(ready, seconds=180):
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def answers(home):
    try:
        return tt.connect(home)
    except tt.TacitlyError:
        return None


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    """Three parties that know each other and the toys; each has a column that the others may add up."""
    folder, running, parties = tmp_path_factory.mktemp("toys"), [], {}
    try:
        for name in NAMES:
            home, log = folder / name, open(folder / f"{name}.log", "w", encoding="utf-8")
            tt.Party.create(home, name, listen="127.0.0.1:0").close()
            environment = {**os.environ, "TOYS_SERVE_HOME": str(home)}
            running.append(subprocess.Popen([PROGRAM, *SERVES], env=environment, stdout=log, stderr=log))
            parties[name] = until(lambda: answers(home))
            for other in NAMES[: NAMES.index(name)]:
                parties[name].join(parties[other].invite(name))
            rows = "".join(f"id-{row},{amount}\n" for row, amount in enumerate(AMOUNTS[name]))
            (folder / f"{name}.csv").write_text("id,amount\n" + rows)
        for name, party in parties.items():
            others = [other for other in NAMES if other != name]
            party.add_dataset("amounts", folder / f"{name}.csv", {"id": "raw"}, allow=others)
            until(lambda: all(peer.link_up for peer in party.peers()))
        yield parties
    finally:
        for process in running:
            process.kill()
            process.wait()


def together(trio, call):
    """What each party's program gets that makes this call on a session with both others."""

    def side(name):
        with trio[name].session([other for other in NAMES if other != name], job="toys", timeout=60) as session:
            return call(session)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(NAMES, pool.map(side, NAMES)))


def holds(result):
    """The evidence of a job of all three holds, and all have signed what it is about."""
    verdict = result.evidence().verify()
    assert verdict["holds"] and verdict["about"]["job"] == result.job.id
    assert verdict["about"]["parties"] == NAMES and (verdict["absent"], verdict["not_attached"]) == ([], [])
    agreement = next(entry for entry in verdict["entries"] if entry["kind"] == "agreement")
    assert sorted(agreement["signed"]) == NAMES
    return agreement["leaf"]


def test_three_programs_add_a_column_and_get_the_class_that_is_registered_for_the_kind(trio, classes):
    class Sum(tt.Result):
        def __int__(self):
            return self.figures["sum"]

    tt.kinds.register("add", Sum)
    sides = together(trio, lambda s: s.run("add", "amounts", params={"parts": 2}))
    for name, side in sides.items():
        assert type(side) is Sum and int(side) == SUM and side.figures == {"sum": SUM, "parties": 3}, name
        assert side.items == 2 and sum(map(int, side.document().split())) == SUM
        assert [(party.party, party.dataset) for party in side.parties] == [(party, "amounts") for party in NAMES]
        assert all(party.receives and party.has_result and not party.left_out for party in side.parties)
        for words in (side.summary(), side._repr_html_()):
            assert f"{SUM}" in words and "add with" in words and side.job.id in words
        with pytest.raises(tt.errors.ResultNone):
            side.rows(AMOUNTS[name])
    assert len({side.job.id for side in sides.values()}) == 1
    assert len({holds(side) for side in sides.values()}) == 1, "one agreement, the same for all"
    for side in sides.values():
        assert [party.decision for party in side.parties] == ["signed"] * 3, "everybody has heard all"
    job = trio["mill"].job(sides["mill"].job.id)
    assert isinstance(job.wait(), Sum) and job.state == "done" and job.leader == "bank"
    assert "the sum of everybody's numbers" in job.explain() and job.id in repr(trio["mill"].jobs())


def test_who_receives_nothing_of_a_proposed_sum_has_no_sum(trio):
    job = trio["shop"].submit("add", dict.fromkeys(NAMES, "amounts"), receivers="us", purpose="test")
    result = job.wait()
    assert type(result) is tt.Result and result.figures["sum"] == SUM and int(result.document()) == SUM
    until(lambda: trio["mill"].job(job.id).state == "done")
    other = trio["mill"].job(job.id).result()
    assert other.figures == {"parties": 3} and other.items is None and other.job.receivers == ["shop"]
    with pytest.raises(tt.errors.ResultNone):
        other.document()
    assert holds(other) == holds(result)
    with pytest.raises(tt.errors.BadRequest, match="every party of a sum brings a dataset"):
        trio["shop"].submit("add", {"bank": "amounts", "mill": None, "shop": "amounts"})


def test_a_job_without_data_is_approved_by_a_person_everywhere(trio):
    job = trio["bank"].submit("toss", dict.fromkeys(NAMES), receivers="all")
    for name in ("mill", "shop"):
        (waiting,) = until(lambda: trio[name].jobs("proposed"))
        assert waiting.id == job.id and [party.decision for party in waiting.parties][0] == "signed"
        explained = waiting.explain()
        assert "which way the coin fell" in explained and "with no data" in explained
        waiting.approve()
    tosses = {name: trio[name].job(job.id).wait() for name in NAMES}
    assert len({toss.document() for toss in tosses.values()}) == 1, "the same coin for all"
    for toss in tosses.values():
        assert type(toss) is tt.Result and toss.figures == {"coin": int(toss.document()), "parties": 3}
        assert [party.dataset for party in toss.parties] == ["", "", ""]
    assert len({holds(toss) for toss in tosses.values()}) == 1
    assert json.loads(tosses["shop"].job.terms)["kind"] == "toss"


def test_a_service_is_asked_paused_and_revoked_and_each_question_has_evidence(trio):
    job = trio["bank"].submit("echo", {"bank": None, "shop": None})
    (waiting,) = until(lambda: trio["shop"].jobs("proposed"))
    assert waiting.id == job.id and waiting.service is None
    waiting.approve()
    assert job.wait(progress=False).figures is not None and job.state == "serving"
    theirs = trio["shop"].job(job.id)
    until(lambda: theirs.refresh().state == "serving" and job.refresh().service.material.get("pads", 0) >= 16)

    reply = job.ask("who is there?", b"and who else?", purpose="pilot", key="loan-17")
    assert [answer.split(b" ", 1)[1] for answer in reply.answers] == [b"who is there?", b"and who else?"]
    assert job.ask("who is there?", b"and who else?", purpose="pilot", key="loan-17") == reply, "asked and charged once"
    with pytest.raises(tt.errors.RequestKey):
        job.ask("something else", purpose="pilot", key="loan-17")
    with pytest.raises(ValueError, match="2 answers"):
        reply.answer
    assert job.ask("alone").answer.endswith(b" alone")
    (entry,) = reply.entries
    assert entry.responder == "shop" and "shop" in repr(reply)
    for party in ("bank", "shop"):
        assert trio[party].evidence_of(entry.query).verify()["holds"], party
    assert (theirs.refresh().service.answered, job.refresh().service.asked) == (3, 5)

    assert theirs.pause().state == "paused"
    with pytest.raises(tt.errors.NotServing):
        job.ask("and now?")
    theirs.unpause()
    until(lambda: theirs.refresh().state == "serving")
    assert job.revoke().state == "revoked"
    until(lambda: theirs.refresh().state == "revoked")
    with pytest.raises(tt.errors.Revoked):
        job.ask("still there?")


def test_a_kind_that_only_the_daemons_know_is_not_among_those_of_the_package(trio):
    assert not {"add", "toss"} & set(tt.kinds.names())
    with pytest.raises(tt.errors.BadRequest, match="the kinds are .*add.*toss"):
        trio["bank"].submit("multiply", dict.fromkeys(NAMES))

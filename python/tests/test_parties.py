"""Sessions with several peers: three parties meet, differ, miss each other, and see each other's part in a job."""

import pytest

import tacitly as tt

NAMES = ["bank", "mill", "shop"]


@pytest.fixture(scope="module")
def trio():
    with tt.simulate(NAMES) as parties:
        yield parties


def together(trio, call, names=NAMES, job="three", timeout=120):
    """Runs `call(session)` for each of these parties with all others as peers; what each returned or raised."""

    def script(party):
        peers = [name for name in NAMES if name != party.name]
        try:
            with party.session(peers, job=job, timeout=timeout) as session:
                return call(session)
        except tt.TacitlyError as error:
            return error

    return trio.run(script, names)


def test_three_sides_that_ask_for_the_same_meet_and_hear_what_their_kind_says(trio):
    sides = together(trio, lambda s: s.run("intersect", ["a"], normalise="raw"))
    # The party whose name sorts first proposes, and is told; the others hear that there will be no job.
    assert isinstance(sides["bank"], tt.errors.BadRequest) and "between two parties" in sides["bank"].text
    for name in ("mill", "shop"):
        assert isinstance(sides[name], tt.errors.PeerFailed), sides[name]
        assert "bank ended the job with bad-request" in sides[name].text
    assert [trio[name].datasets() for name in NAMES] == [[], [], []]


DIFFERENCES = {
    "receivers": ("parties", "receives: 0", "receives: 1"),
    "params": ("rate", "0.25", "0.5"),
    "kind": ("kind", "align", "intersect"),
}


@pytest.mark.parametrize("field", DIFFERENCES)
def test_one_of_three_that_differs_ends_all_of_them_naming_the_field_and_both_values(trio, field):
    def side(session):
        is_odd = session.party.name == "mill"
        asked = {
            "receivers": {"receivers": "bank" if is_odd else "all"},
            "params": {"params": {"rate": 0.25 if is_odd else 0.5}},
            "kind": {},
        }[field]
        kind = "align" if field == "kind" and is_odd else "intersect"
        return session.run(kind, ["a"], normalise="raw", **asked)

    for name, error in together(trio, side, job=f"odd {field}").items():
        assert isinstance(error, tt.TermsDiffer), (name, error)
        assert all(word in error.text for word in DIFFERENCES[field]), error.text


def test_a_third_that_does_not_come_is_named_to_both_others(trio):
    sides = together(trio, lambda s: s.run("intersect", ["a"], normalise="raw"), ["bank", "shop"], "late", timeout=3)
    for error in sides.values():
        assert isinstance(error, tt.errors.NotMet) and "mill" in error.text


def test_a_proposal_to_three_is_judged_by_its_kind_before_anybody_hears_of_it(trio):
    with trio["bank"].session(["mill", "shop"], job="x") as session:
        with pytest.raises(tt.errors.BadRequest, match="between two parties"):
            session.run("intersect", ["a"], normalise="raw", peer_datasets={"mill": "m", "shop": "s"})
    with pytest.raises(tt.errors.BadRequest, match="no kind of job"):
        trio["bank"].submit("sum", {"bank": None, "mill": None, "shop": None}, receivers="all")
    assert [trio[name].jobs() for name in NAMES] == [[], [], []]


def test_calls_for_two_parties_refuse_more_before_a_frame_is_handed_over(trio):
    session = trio["bank"].session(["mill", "shop"], job="x")
    for call in (session.intersect, session.align, session.cardinality):
        with pytest.raises(TypeError, match="between two parties, this session is with 2 peers"):
            call(["a"], normalise="raw")
    with pytest.raises(TypeError, match="2 peers"):
        session.peer
    assert session.peers == ["mill", "shop"] and "mill, shop" in repr(session)
    assert trio["bank"].datasets() == [] and session.last_report == ""


def test_a_session_names_every_peer_once(trio):
    for peers in ([], ["bank"], "bank", ["shop", "shop"]):
        with pytest.raises(ValueError, match="each named once"):
            trio["bank"].session(peers, job="x")
    assert trio["bank"].session("shop", job="x").peers == trio["bank"].session(["shop"], job="x").peers == ["shop"]
    assert trio["bank"].session(("shop",), job="x").peer == "shop"


def test_whoever_is_no_party_of_a_job_is_named(trio):
    session = trio["bank"].session(["mill", "shop"], job="x")
    for words, asked in [
        ("receivers: 'farm'", {"receivers": ["bank", "farm"]}),
        ("receivers: 'both'", {"receivers": "both"}),
        ("roles: 'farm'", {"roles": {"farm": "dealer"}}),
        ("peer_datasets: 'bank'", {"peer_datasets": {"bank": "customers"}}),
    ]:
        with pytest.raises(tt.errors.BadRequest, match=words):
            session.run("intersect", ["a"], normalise="raw", **asked)
    assert trio["bank"].datasets() == []
    with pytest.raises(TypeError, match="without data"):
        session.run("intersect", on="id", normalise="raw")


def test_two_of_three_run_a_job_that_shows_everybodys_part_in_it(trio):
    hits = trio.align({"shop": ["a", "b", "x"], "mill": ["b", "a"]}, normalise="raw")
    assert hits["shop"].rows() == hits["mill"].rows()
    mill, shop = (trio[name].job(hits[name].job.id) for name in ("mill", "shop"))
    # The party whose name sorts first proposes.
    assert mill.leader == shop.leader == "mill" and mill.id == shop.id
    assert [party.party for party in mill.parties] == ["mill", "shop"]
    assert mill.record.peers == ["shop"] and shop.record.peers == ["mill"]
    assert mill.record.ours.party == "mill" and mill.record.ours.dataset.startswith("frame-")
    assert mill.record.receivers == ["mill", "shop"] and mill.summary["our_items"] == 2 == shop.summary["peer_items"]
    to_shop, to_mill = mill.parties[1], shop.parties[0]
    assert to_shop.bytes_out == to_mill.bytes_in > 0 and to_shop.bytes_in == to_mill.bytes_out > 0
    assert all(party.decision == "signed" and party.receives and not party.left_out for party in mill.parties)
    assert repr(mill) == f"<Job {mill.id}: align with shop, done>"
    assert trio["bank"].jobs() == []


def test_jobs_are_listed_in_pages_from_the_newest_on(trio):
    for _ in range(3):
        trio.cardinality({"bank": ["a"], "shop": ["a"]}, normalise="raw")
    bank = trio["bank"]
    every = [job.id for job in bank.jobs()]
    assert len(every) >= 3 and every == sorted(every)
    newest = bank.jobs(limit=2)
    assert [job.id for job in newest] == every[-2:]
    assert [job.id for job in bank.jobs(before=newest[0], limit=1)] == every[-3:-2]
    assert [job.id for job in bank.jobs(before=newest[0].id)] == every[:-2]
    assert [job.id for job in bank.jobs("done", limit=1)] == every[-1:] and bank.jobs("failed", limit=5) == []
    assert bank.jobs(before=every[0]) == [] and [job.id for job in bank.jobs(limit=10_000)] == every
    for limit in (0, -1):
        with pytest.raises(ValueError, match="limit"):
            bank.jobs(limit=limit)
    with pytest.raises(tt.errors.BadRequest):
        bank.jobs("finished")

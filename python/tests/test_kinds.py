"""Kinds of job: the classes of their results, and what is agreed on beside parties and data."""

import numpy as np
import pytest

import tacitly as tt
from tacitly import _params


FRAMES = {"bank": {"id": ["a", "b", "c"], "n": [1, 2, 3]}, "shop": {"id": ["c", "b"], "n": [4, 5]}}


def test_a_kind_gives_its_results_a_class_of_their_own(sim, classes):
    class Overlap(tt.Result):
        @property
        def share(self):
            return self.items / self.figures["our_items"]

    del classes["cardinality"]
    tt.kinds.register("cardinality", Overlap)
    sides = sim.cardinality(FRAMES, on="id", normalise="raw")
    assert {name: (type(side), side.share) for name, side in sides.items()} == {
        "bank": (Overlap, 2 / 3),
        "shop": (Overlap, 1.0),
    }
    job = sides["bank"].job
    assert isinstance(sim["bank"].job(job.id).wait(), Overlap) and isinstance(sim["bank"].job(job.id).result(), Overlap)


def test_a_kind_has_one_class_and_a_notebook_may_define_it_anew(classes):
    def define():
        class Total(tt.Result):
            pass

        return Total

    tt.kinds.register("total", define())
    again = define()
    tt.kinds.register("total", again)
    assert tt.kinds.registered()["total"] is again
    with pytest.raises(ValueError, match="'intersect' have a class already: tacitly.kinds.psi.Rows"):
        tt.kinds.register("intersect", again)
    for no_result in (int, "Total", lambda job, client, frame: None):
        with pytest.raises(TypeError, match="'other'"):
            tt.kinds.register("other", no_result)
    assert "other" not in tt.kinds.registered() and tt.kinds.registered()["intersect"] is tt.Rows


def test_a_number_of_a_kind_that_nobody_registered_is_a_plain_result(sim, classes):
    classes.clear()
    result = sim.cardinality(FRAMES, on="id", normalise="raw")["bank"]
    assert type(result) is tt.Result and result.items == 2
    assert result.figures["our_items"] == 3 and result.figures["peer_items"] == 2
    assert [party.party for party in result.parties] == ["bank", "shop"]
    words = result.summary()
    assert "our_items" in words and "cardinality with shop" in words and result.job.id in words
    assert result._repr_html_().startswith("<table>")
    for no_rows in (result.rows, result.document, lambda: result.indices):
        with pytest.raises(tt.errors.ResultNone):
            no_rows()


def test_rows_of_a_kind_that_nobody_registered_are_a_plain_result(sim, classes):
    classes.clear()
    sides = sim.each(FRAMES, lambda s, frame, on: s.run("align", frame, on=on, normalise="raw"), on="id")
    bank, shop = sides["bank"], sides["shop"]
    assert type(bank) is tt.Result and bank.items == 2
    assert bank.rows()["id"] == shop.rows()["id"] and sorted(bank.rows()["id"]) == ["b", "c"]
    assert bank.rows(["one", "two", "three"]) == [["one", "two", "three"][row] for row in bank.indices]


def test_who_receives_nothing_has_the_figures_and_no_rows(sim, classes):
    def call(session, frame, on):
        return session.intersect(frame, on=on, normalise="raw", receiver="shop")

    for registered in (True, False):
        if not registered:
            classes.clear()
        sides = sim.each(FRAMES, call, on="id")
        assert type(sides["bank"]) is (tt.Intersection if registered else tt.Result)
        assert sides["bank"].items is None and sides["bank"].figures["peer_items"] == 2
        with pytest.raises(tt.errors.ResultNone):
            sides["bank"].rows()
        with pytest.raises(tt.errors.ResultNone):
            sides["bank"].document()
        assert sides["shop"].rows()["n"] == [4, 5]


def test_rows_of_a_registered_file_come_as_a_document_or_beside_other_data(sim, classes, tmp_path):
    classes.clear()
    for party, peer, text in ((sim["bank"], "shop", "id,n\na,1\nb,2\n"), (sim["shop"], "bank", "id,n\nb,7\n")):
        path = tmp_path / f"{party.name}.csv"
        path.write_text(text)
        party.add_dataset("plain", path, {"id": "raw"}, allow=[peer])
    result = sim["bank"].submit("intersect", {"bank": "plain", "shop": "plain"}).wait()
    assert result.document() == b"id,n\nb,2\n" and result.rows(["x", "y"]) == ["y"]
    with pytest.raises(TypeError, match=r"registered file: use document\(\)"):
        result.rows()
    # The other side lets go of its dataset once it has heard the end.
    sim["shop"].job(result.job.id).wait()
    for party in (sim["bank"], sim["shop"]):
        party.remove_dataset("plain")


def test_sets_that_are_cut_say_in_how_many_buckets(monkeypatch):
    monkeypatch.setenv("TACITLY_LIMITS__BUCKET_KEYS", "256")
    keys = [f"id-{number}" for number in range(1500)]
    with tt.simulate(["bank", "shop"]) as small:
        hits = small.intersect({"bank": keys, "shop": keys[700:]}, normalise="raw")
        assert hits["bank"].buckets == hits["shop"].buckets > 1 and "buckets" in hits["bank"].summary()
        assert hits["bank"].rows() == keys[700:]


def test_parameters_have_one_encoding_and_no_rounding():
    cases = [
        ({}, "{}"),
        ({"b": 1, "a": "x"}, '{"a":"x","b":1}'),
        ({"rate": -0.5, "zero": -0.0, "whole": 3.0}, '{"rate":{"neg":true,"num":1,"shift":1},"whole":{"neg":false,"num":3,"shift":0},"zero":{"neg":false,"num":0,"shift":0}}'),
        ({"tiny": 5e-324}, '{"tiny":{"neg":false,"num":1,"shift":1074}}'),
        ({"names": ("客", {"z": 1, "y": [2]})}, '{"names":["客",{"y":[2],"z":1}]}'),
        ({"rows": np.int64(7), "rate": np.float64(0.25)}, '{"rate":{"neg":false,"num":1,"shift":2},"rows":7}'),
        ({"most": 2**64 - 1}, '{"most":18446744073709551615}'),
    ]
    for params, text in cases:
        assert _params.canonical(params) == text


@pytest.mark.parametrize("value", [True, None, -1, 2**64, 1e300, float("nan"), float("inf"), {1: 2}, b"x", [[None]], object()])
def test_what_cannot_be_agreed_on_is_named_by_its_place(value):
    with pytest.raises((TypeError, ValueError), match=r"params\.column"):
        _params.canonical({"column": value})


def test_parameters_reach_the_terms_and_sides_that_differ_in_them_hear_it(meet):
    def side(rate):
        return lambda s: s.run("intersect", ["a"], normalise="raw", params={"rate": rate})

    # An intersection has none of these; whoever proposes hears it once both have met.
    bank, shop = meet(side(0.5), side(0.5))
    assert isinstance(bank, tt.errors.BadRequest) and "one parameter" in bank.text
    assert isinstance(shop, tt.errors.PeerFailed) and "bank ended the job with bad-request" in shop.text
    for error in meet(side(0.5), side(0.75)):
        assert isinstance(error, tt.TermsDiffer) and "rate" in error.text

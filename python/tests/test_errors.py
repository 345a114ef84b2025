"""The tree of exceptions is the table of codes."""

from pathlib import Path

import pytest

import tacitly as tt
from tacitly import _core

ROOT = Path(__file__).parents[2]


def test_every_code_has_one_exception_that_says_its_cause():
    codes = {name: cause for name, cause, _hint in _core.codes()}
    assert set(tt.errors.BY_CODE) == set(codes)
    page = (ROOT / "docs/errors.md").read_text()
    for name, kind in tt.errors.BY_CODE.items():
        assert kind.code == name and f"| `{name}` | {codes[name]}" in page
        assert kind.__name__ == "".join(part.capitalize() for part in name.split("-"))
        assert issubclass(kind, tt.TacitlyError) and kind.__mro__[1] is not tt.TacitlyError or name == "terms-differ"


def test_an_exception_carries_what_a_program_needs():
    error = tt.errors.of("peer-lost", "the link was down", stage="sending", peer="shop", job="01J", hint="look")
    assert (error.code, error.stage, error.peer, error.job, error.hint) == ("peer-lost", "sending", "shop", "01J", "look")
    for part in ("peer-lost", "sending", "01J", "look"):
        assert part in str(error)
    newer = tt.errors.of("of-a-newer-daemon", "words")
    assert type(newer) is tt.TacitlyError and newer.code == "of-a-newer-daemon"
    assert tt.TacitlyError.code == ""


def test_a_code_of_the_daemon_becomes_its_exception_with_the_hint(sim):
    hints = {name: hint for name, _cause, hint in _core.codes()}
    with pytest.raises(tt.errors.JobUnknown) as unknown:
        sim["bank"].job("nothing")
    assert unknown.value.hint == hints["job-unknown"]
    with pytest.raises(tt.errors.PeerUnknown):
        sim["bank"].session("mill", job="x").intersect(["a"], normalise="raw")
    with pytest.raises(tt.errors.Invitation):
        sim["bank"].join("no code")
    with pytest.raises(tt.errors.DatasetUnknown):
        sim["bank"].session("shop", job="x", timeout=1).intersect("no such dataset")

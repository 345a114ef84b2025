"""What every test may use: two parties in this process."""

import itertools

import pytest

import tacitly as tt
from tacitly import _registry


@pytest.fixture(scope="session")
def sim():
    with tt.simulate(["bank", "shop"]) as parties:
        yield parties


@pytest.fixture
def classes(monkeypatch):
    """The registry, as it was before once the test is over."""
    monkeypatch.setattr(_registry, "_CLASSES", tt.kinds.registered())
    return _registry._CLASSES


_names = itertools.count(1)


@pytest.fixture
def meet(sim):
    """Runs the two sides of one job: each side is a function of its session. Returns what each returned or raised."""

    def run(bank, shop, timeout=120):
        job = f"test {next(_names)}"

        def script(party):
            work, peer = (bank, "shop") if party.name == "bank" else (shop, "bank")
            try:
                with party.session(peer, job=job, timeout=timeout) as session:
                    return work(session)
            except tt.TacitlyError as error:
                return error

        both = sim.run(script)
        return both["bank"], both["shop"]

    return run

"""Several parties in one process: to learn, to test, and for notebooks."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional, TypeVar

from . import _core, _html
from .errors import JobState
from .kinds import psi
from .party import Party
from .session import Session

T = TypeVar("T")

_LINK_SECONDS = 30
_GRACE_SECONDS = 1.0


def simulate(parties: Sequence[str], *, heartbeat_seconds: float = 1.0, reconnect_window: float = 10.0) -> Simulation:
    """Starts parties in this process, each with a store, keys and a port of its own, and makes them known to each other.

    They are what runs in production, TLS and all; only their folders are temporary. Frames are allowed.

    >>> import tacitly as tt
    >>> with tt.simulate(["mill", "farm"]) as pair:
    ...     hits = pair.intersect({"mill": ["a", "b"], "farm": ["b", "c"]}, normalise="raw")
    ...     hits["mill"].rows()
    ['b']
    """
    names = list(parties)
    if len(names) < 2 or len(set(names)) != len(names):
        raise ValueError("a simulation has at least two parties, each with a name of its own")
    with ExitStack() as started:
        folder = started.enter_context(tempfile.TemporaryDirectory(prefix="tacitly-"))
        made: dict[str, Party] = {}
        for name in names:
            home = Path(folder, name)
            _core.create_home(home, name, "127.0.0.1:0", 4096, heartbeat_seconds, reconnect_window)
            made[name] = started.enter_context(Party.from_config(home))
        for one, other in itertools.combinations(names, 2):
            made[other].join(made[one].invite(other))
        _await_links(list(made.values()))
        return Simulation(made, started.pop_all())


class Simulation(psi.SimulationCalls):
    """Parties in one process, made by :func:`simulate`. ``sim["bank"]`` is a :class:`~tacitly.Party`."""

    def __init__(self, parties: dict[str, Party], started: ExitStack) -> None:
        self.parties = parties
        self._close = weakref.finalize(self, started.close)
        self._jobs = itertools.count(1)

    def __getitem__(self, name: str) -> Party:
        return self.parties[name]

    def each(self, frames: Mapping[str, Any], call: Callable[[Session, Any, Any], T], on: Any = None) -> dict[str, T]:
        """Makes one call of sessions on the side of every party that has a frame: ``call(session, frame, on)``.

        ``frames`` and, if they differ, ``on`` are given by party.

        >>> sides = sim.each({"bank": ["a", "b"], "shop": ["b"]},
        ...                  lambda s, frame, on: s.run("cardinality", frame, on=on, normalise="raw"))
        >>> int(sides["bank"])
        1
        """
        if len(frames) < 2 or not all(name in self.parties for name in frames):
            raise ValueError("give two or more of the parties a frame each: {name: frame, name: frame}")
        job = f"simulation {next(self._jobs)}"

        def script(party: Party) -> T:
            where = on[party.name] if isinstance(on, Mapping) else on
            peers = [name for name in frames if name != party.name]
            with party.session(peers, job=job) as session:
                return call(session, frames[party.name], where)

        return self.run(script, list(frames))

    def run(self, script: Callable[[Party], T], parties: Optional[Sequence[str]] = None) -> dict[str, T]:
        """Runs the same script for several parties at once, each in a thread of its own, as if on its own machine.

        Raises the first failure, once the scripts that wait for the failed one are given up.

        >>> sim.run(lambda party: party.name.upper())
        {'bank': 'BANK', 'shop': 'SHOP'}
        """
        results: dict[str, T] = {}
        failures: list[BaseException] = []

        def work(party: Party) -> None:
            try:
                results[party.name] = script(party)
            except BaseException as error:
                failures.append(error)

        names = list(self.parties) if parties is None else list(parties)
        threads = [threading.Thread(target=work, args=(self.parties[name],), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads) and not failures:
                for thread in threads:
                    thread.join(0.05)
        except KeyboardInterrupt:
            self._cancel_all()
            self._give_up(threads)
            # What was only being agreed on before.
            self._cancel_all()
            raise
        if failures:
            self._give_up(threads)
            raise failures[0]
        return {name: results[name] for name in names}

    def close(self) -> None:
        """Ends all parties and removes their folders."""
        self._close()

    def _give_up(self, threads: Sequence[threading.Thread]) -> None:
        """Lets scripts end by themselves for a while, then ends the calls they wait in."""
        for _ in range(_LINK_SECONDS):
            end = time.monotonic() + _GRACE_SECONDS
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
            if not any(thread.is_alive() for thread in threads):
                return
            for party in self.parties.values():
                party._client.interrupt()

    def _cancel_all(self) -> None:
        for party in self.parties.values():
            for job in party.jobs():
                if not job.record.is_over:
                    # The other side's cancellation may have been quicker.
                    with suppress(JobState):
                        job.cancel()

    def __enter__(self) -> Simulation:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Simulation of {', '.join(self.parties)}>"

    def _repr_html_(self) -> str:
        rows = [(name, party.status().listen, len(party.jobs())) for name, party in self.parties.items()]
        return _html.table(("party", "listens at", "jobs"), rows, "simulation")


def _await_links(parties: list[Party]) -> None:
    end = time.monotonic() + _LINK_SECONDS
    while not all(peer.link_up for party in parties for peer in party.peers()):
        if time.monotonic() > end:
            raise TimeoutError("the parties of the simulation did not reach each other over the loopback interface")
        time.sleep(0.02)

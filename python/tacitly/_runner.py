"""Jobs of any kind with one or more peers: what the calls of all kinds have in common."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union, cast

from . import _core, _frames, errors
from ._params import canonical
from ._progress import Progress
from ._records import JobRecord
from .job import Job
from .result import Result

if TYPE_CHECKING:
    from .party import Party

S = TypeVar("S", bound="Runner")

Normalise = Union[str, Sequence[str]]
"""A key profile by its name, or one for each key column."""

Receivers = Union[str, Collection[str]]
"""``all``, ``us``, a party's name, or names."""

AskedParty = tuple[str, str, str, bool]
"""A party as a daemon is asked for it: name, role, dataset, whether it receives."""


def asked_parties(
    datasets: Mapping[str, str], me: str, receivers: Receivers, roles: Optional[Mapping[str, str]]
) -> list[AskedParty]:
    """All parties of a job, by the names of their datasets; an empty one says nothing.

    >>> asked_parties({"bank": "customers", "shop": ""}, "bank", "us", {"shop": "helper"})
    [('bank', '', 'customers', True), ('shop', 'helper', '', False)]
    """
    if isinstance(receivers, str):
        # A party's name goes before the words.
        words = {"all": list(datasets), "us": [me]}
        receivers = [receivers] if receivers in datasets else words.get(receivers, [receivers])
    for where, names in (("receivers", receivers), ("roles", roles or {})):
        strange = [name for name in names if name not in datasets]
        if strange:
            there = ", ".join(datasets)
            raise errors.of("bad-request", f"{where}: {strange[0]!r} is no party of this job, which are {there}")
    return [(name, (roles or {}).get(name, ""), dataset, name in receivers) for name, dataset in datasets.items()]


C = TypeVar("C", bound=Callable[..., Any])


def either_spelling(call: C) -> C:
    """The same call, which takes ``normalize=`` for ``normalise=``, too.

    >>> either_spelling(lambda normalise: normalise)(normalize="raw")
    'raw'
    """

    @functools.wraps(call)
    def spelled(*arguments: Any, **named: Any) -> Any:
        if "normalize" in named:
            if "normalise" in named:
                raise TypeError("normalise= and normalize= are one and the same: give one of them")
            named["normalise"] = named.pop("normalize")
        return call(*arguments, **named)

    return cast(C, spelled)


class Runner:
    """Has jobs run with the peers of a session."""

    def __init__(
        self, party: Party, peers: Union[str, Sequence[str]], job: str, purpose: str, timeout: float
    ) -> None:
        self.party = party
        self.peers = [peers] if isinstance(peers, str) else list(peers)
        """The other parties."""
        if not self.peers or len({party.name, *self.peers}) != len(self.peers) + 1:
            raise ValueError("a session has one peer or more, each named once, and not the party itself")
        self.job = job
        self.purpose = purpose
        self.timeout = timeout
        self.last_job: Optional[Job] = None
        """The job of the last call, also of one that raised."""
        self.last_report = ""
        """What was counted of the last frame: rows, keys, what was left out."""
        self._calls = 0

    @property
    def peer(self) -> str:
        """The peer of a session with only one."""
        if len(self.peers) != 1:
            raise TypeError(f"this session has {len(self.peers)} peers: see peers")
        return self.peers[0]

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        return None

    @either_spelling
    def run(
        self,
        kind: str,
        data: Any = None,
        *,
        on: _frames.Columns = None,
        normalise: Optional[Normalise] = None,
        receivers: Receivers = "all",
        roles: Optional[Mapping[str, str]] = None,
        params: Optional[Mapping[str, Any]] = None,
        duplicates: str = "error",
        invalid: str = "error",
        peer_datasets: Optional[Mapping[str, str]] = None,
        progress: Progress = False,
    ) -> Result:
        """A job of any kind that the daemons know, with every peer of the session.

        ``data`` is a frame, a registered dataset's name, or nothing for a party that brings none. ``receivers`` is
        ``all``, ``us``, a party's name or several. ``roles`` (by party) and ``params`` are what the kind asks for: whole
        numbers, floats, texts, lists and mappings of these, the same on all sides. With ``peer_datasets`` (by peer, those
        that bring one) the job is proposed and the peers' rules decide; without, all peers make the same call.

        The result has the class that the kind is registered with (:func:`tacitly.kinds.register`).

        >>> import tacitly as tt
        >>> def script(party):
        ...     with party.session("shop" if party.name == "bank" else "bank", job="any kind") as session:
        ...         return session.run("cardinality", ["a", "b"], normalise="raw").figures["our_items"]
        >>> sim.run(script)
        {'bank': 2, 'shop': 2}
        """
        self.last_job = None
        self._calls += 1
        datasets = {peer: (peer_datasets or {}).get(peer, "") for peer in self.peers}
        strange = [name for name in peer_datasets or {} if name not in datasets]
        if strange:
            raise errors.of("bad-request", f"peer_datasets: {strange[0]!r} is no peer of this session")
        me = self.party.name
        parties = asked_parties({me: "", **datasets}, me, receivers, roles)
        text = canonical(params or {})
        if data is None or isinstance(data, str):
            if on is not None or normalise is not None:
                what = "a registered dataset has its own" if data else "without data there are no"
                raise TypeError(f"{what} key columns and profiles: leave on= and normalise= out")
            return self._run(kind, _bringing(parties, data or ""), text, peer_datasets is not None, None, progress)
        receiving = [name for name, _role, _dataset, receives in parties if receives]
        frame = self._hand_over(kind, data, on, normalise, receiving, duplicates, invalid)
        try:
            return self._run(kind, _bringing(parties, frame), text, peer_datasets is not None, data, progress)
        finally:
            if self.last_job is None or self.last_job.record.is_over:
                self._let_go(frame)

    def _run(
        self,
        kind: str,
        parties: list[AskedParty],
        params: str,
        is_proposed: bool,
        frame: Optional[Any],
        progress: Progress,
    ) -> Result:
        """Has the job begin and waits for its end; ``frame`` is our data if it is no registered file."""
        self.last_job = job = self._begin(kind, parties, params, is_proposed)
        try:
            return job.wait(progress, frame)
        except BaseException:
            # Ctrl-C, say, or a failure of the progress function: nobody waits for the job any more.
            if not job.record.at_rest:
                with suppress(errors.TacitlyError):
                    job.cancel()
            raise

    def _begin(self, kind: str, parties: list[AskedParty], params: str, is_proposed: bool) -> Job:
        client = self.party._client
        if is_proposed:
            told = client.submit_job(
                kind=kind, parties=parties, params=params, purpose=self.purpose, request_key=""
            )
        else:
            told = client.meet_job(
                meeting=f"{self.job}/{self._calls}",
                kind=kind,
                parties=parties,
                params=params,
                purpose=self.purpose,
                wait_seconds=math.ceil(self.timeout),
            )
        return Job(client, JobRecord.from_json(told, self.party.name))

    def _hand_over(
        self,
        kind: str,
        data: Any,
        on: _frames.Columns,
        normalise: Optional[Normalise],
        receivers: list[str],
        duplicates: str,
        invalid: str,
    ) -> str:
        known = ", ".join(_core.profiles())
        if normalise is None:
            raise TypeError(f"normalise= names the profile of every key column, the same on all sides: {known}")
        keys = _frames.keys_of(data, on)
        columns = len(_frames.column_names(data, on))
        profiles = [normalise] * columns if isinstance(normalise, str) else list(normalise)
        if len(profiles) != columns:
            raise TypeError(f"{columns} key columns need as many profiles in normalise=, of {known}")
        dataset, self.last_report = self.party._client.add_frame(
            keys,
            profiles=profiles,
            duplicates=duplicates,
            invalid=invalid,
            peers=self.peers,
            kind=kind,
            receivers=receivers,
        )
        return str(json.loads(dataset)["name"])

    def _let_go(self, dataset: str) -> None:
        try:
            self.party._client.remove_dataset(dataset)
        except (errors.DatasetUnknown, errors.DatasetInUse):
            # The daemon has forgotten it, or will once the cancelled job is over.
            pass

    def __repr__(self) -> str:
        return f"<Session of {self.party.name} with {', '.join(self.peers)}: {self.job!r}, {self._calls} calls>"


def _bringing(parties: list[AskedParty], dataset: str) -> list[AskedParty]:
    """The same parties, the first one (we) with this dataset."""
    (me, role, _none, receives), *others = parties
    return [(me, role, dataset, receives), *others]

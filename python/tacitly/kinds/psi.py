"""Private set intersection: ``intersect``, ``align`` and ``cardinality`` between two parties."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Callable, Optional, TypeVar

from .. import _core, _frames
from .._progress import Progress
from .._records import JobRecord
from .._runner import Normalise, Runner, either_spelling
from ..result import Result, RowsResult

T = TypeVar("T")


class Intersection(Result):
    """What every side of an intersection knows once it is done: the sizes of both sets.

    It is all that a side gets which does not receive.
    """

    @property
    def our_items(self) -> int:
        """How many distinct keys we brought."""
        return int(self.figures.get("our_items", 0))

    @property
    def peer_items(self) -> int:
        """How many distinct keys the peer brought."""
        return int(self.figures.get("peer_items", 0))

    @property
    def buckets(self) -> int:
        """In how many buckets the sets were cut; 0 if they were compared in one piece."""
        return int(self.figures.get("buckets", 0))

    @property
    def hint(self) -> str:
        """What our own keys look like, if none of them is shared; else nothing."""
        return str(self.figures.get("hint", ""))

    def _told(self) -> list[tuple[str, str]]:
        told = [("our keys", f"{self.our_items:,}"), (f"keys of {self.job.peers[0]}", f"{self.peer_items:,}")]
        if self.buckets:
            told.append(("buckets", f"{self.buckets:,}"))
        if self.hint:
            told.append(("hint", self.hint))
        return told


class Size(Intersection):
    """How many keys are shared. It is a number wherever one is needed.

    >>> size = sim.cardinality({"bank": ["a", "b"], "shop": ["b", "c"]}, normalise="raw")["bank"]
    >>> int(size), size.shared / size.our_items
    (1, 0.5)
    """

    @classmethod
    def of(cls, job: JobRecord, client: _core.Client, frame: Optional[Any] = None) -> Result:
        """The number, or what a side knows that does not receive it."""
        return (cls if job.ours.receives else Intersection)(job, client, frame)

    @property
    def shared(self) -> int:
        """How many keys are shared."""
        return self.items or 0

    def __int__(self) -> int:
        return self.shared

    def __index__(self) -> int:
        return self.shared

    def _told(self) -> list[tuple[str, str]]:
        return [*super()._told(), ("shared keys", f"{self.shared:,}")]


class Rows(RowsResult, Intersection):
    """Our rows of a result: ascending after ``intersect``, in the order that both sides share after ``align``.

    >>> hits = sim.align({"bank": ["a", "b", "c"], "shop": ["c", "x", "a"]}, normalise="raw")
    >>> sorted(hits["bank"].rows()), hits["bank"].rows() == hits["shop"].rows()
    (['a', 'c'], True)
    """

    @classmethod
    def of(cls, job: JobRecord, client: _core.Client, frame: Optional[Any] = None) -> Result:
        """The rows, or what a side knows that does not receive them."""
        return (cls if job.ours.receives else Intersection)(job, client, frame)

    def _told(self) -> list[tuple[str, str]]:
        return [*super()._told(), ("shared keys", f"{self.items or 0:,}"), ("our rows", f"{len(self):,}")]


RESULTS: dict[str, type[Result]] = {"intersect": Rows, "align": Rows, "cardinality": Size}
"""The class of the results of each kind."""


class SessionCalls(Runner):
    """The calls of a session with one peer."""

    @either_spelling
    def intersect(
        self,
        data: Any,
        *,
        on: _frames.Columns = None,
        normalise: Optional[Normalise] = None,
        receiver: str = "both",
        duplicates: str = "error",
        invalid: str = "error",
        peer_dataset: Optional[str] = None,
        progress: Progress = False,
    ) -> Result:
        """Which of our rows the peer has, too.

        A receiver learns which of its rows are shared and gets :class:`~tacitly.Rows`; both sides learn the sizes of
        the sets. ``receiver`` is ``both``, a party's name, ``us`` or ``peer``. ``on`` names the key columns and
        ``normalise`` their profiles (docs/datasets.md). With ``peer_dataset`` the job is proposed for that registered
        dataset, and the peer's rule decides; without, the peer makes the same call.

        >>> hits = sim.intersect({"bank": ["138 0013 8000"], "shop": ["+8613800138000"]}, normalise="cn-mobile")
        >>> hits["bank"].rows()
        ['138 0013 8000']
        """
        return self._meet_peer(
            "intersect", data, on, normalise, receiver, duplicates, invalid, peer_dataset, progress
        )

    @either_spelling
    def align(
        self,
        data: Any,
        *,
        on: _frames.Columns = None,
        normalise: Optional[Normalise] = None,
        duplicates: str = "error",
        invalid: str = "error",
        peer_dataset: Optional[str] = None,
        progress: Progress = False,
    ) -> Rows:
        """Both sides' shared rows in one common order: row 7 here and row 7 there are the same key.

        Both sides learn which of their rows are shared, and the sizes of the sets.

        >>> hits = sim.align({"bank": {"id": ["a", "b"], "x": [1, 2]}, "shop": {"no": ["b", "c"], "y": [7, 8]}},
        ...                  on={"bank": "id", "shop": "no"}, normalise="raw")
        >>> hits["bank"].rows(), hits["shop"].rows()
        ({'id': ['b'], 'x': [2]}, {'no': ['b'], 'y': [7]})
        """
        result = self._meet_peer("align", data, on, normalise, "both", duplicates, invalid, peer_dataset, progress)
        assert isinstance(result, Rows)
        return result

    @either_spelling
    def cardinality(
        self,
        data: Any,
        *,
        on: _frames.Columns = None,
        normalise: Optional[Normalise] = None,
        receiver: str = "both",
        duplicates: str = "error",
        invalid: str = "error",
        peer_dataset: Optional[str] = None,
        progress: Progress = False,
    ) -> Result:
        """How many keys are shared, and not which.

        A receiver learns the number and gets a :class:`~tacitly.Size`; both sides learn the sizes of the sets.

        >>> int(sim.cardinality({"bank": ["a", "b"], "shop": ["b", "c"]}, normalise="raw")["shop"])
        1
        """
        return self._meet_peer(
            "cardinality", data, on, normalise, receiver, duplicates, invalid, peer_dataset, progress
        )

    def _meet_peer(
        self,
        kind: str,
        data: Any,
        on: _frames.Columns,
        normalise: Optional[Normalise],
        receiver: str,
        duplicates: str,
        invalid: str,
        peer_dataset: Optional[str],
        progress: Progress,
    ) -> Result:
        if len(self.peers) != 1:
            raise TypeError(f"{kind} is between two parties, this session is with {len(self.peers)} peers")
        peer = self.peers[0]
        # A party's name goes before the words.
        words = {"both": [self.party.name, peer], "us": [self.party.name], "peer": [peer]}
        receivers = [receiver] if receiver in (self.party.name, peer) else words.get(receiver, [receiver])
        return self.run(
            kind,
            data,
            on=on,
            normalise=normalise,
            receivers=receivers,
            duplicates=duplicates,
            invalid=invalid,
            peer_datasets=None if peer_dataset is None else {peer: peer_dataset},
            progress=progress,
        )


class SimulationCalls(ABC):
    """The same calls on both sides of a simulation."""

    @abstractmethod
    def each(self, frames: Mapping[str, Any], call: Callable[[Any, Any, Any], T], on: Any = None) -> dict[str, T]:
        """Makes one call of sessions on every side."""

    @either_spelling
    def intersect(
        self,
        frames: Mapping[str, Any],
        *,
        on: Any = None,
        normalise: Normalise,
        receiver: str = "both",
        **options: Any,
    ) -> dict[str, Result]:
        """:meth:`Session.intersect` on both sides. ``frames`` and, if they differ, ``on`` are given by party."""
        return self.each(frames, lambda s, f, o: s.intersect(
            f, on=o, normalise=normalise, receiver=receiver, **options), on)

    @either_spelling
    def align(
        self, frames: Mapping[str, Any], *, on: Any = None, normalise: Normalise, **options: Any
    ) -> dict[str, Rows]:
        """:meth:`Session.align` on both sides. ``frames`` and, if they differ, ``on`` are given by party."""
        return self.each(frames, lambda s, f, o: s.align(f, on=o, normalise=normalise, **options), on)

    @either_spelling
    def cardinality(
        self,
        frames: Mapping[str, Any],
        *,
        on: Any = None,
        normalise: Normalise,
        receiver: str = "both",
        **options: Any,
    ) -> dict[str, Result]:
        """:meth:`Session.cardinality` on both sides. ``frames`` and, if they differ, ``on`` are given by party."""
        return self.each(frames, lambda s, f, o: s.cardinality(
            f, on=o, normalise=normalise, receiver=receiver, **options), on)

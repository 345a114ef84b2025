"""A session: jobs with one peer, under names that both sides' scripts share."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _core, _frames, errors
from ._progress import Progress
from ._records import JobRecord
from .job import Job
from .result import Result, Rows, Size

if TYPE_CHECKING:
    from .party import Party

Normalise = Union[str, Sequence[str]]
"""A key profile by its name, or one for each key column."""


class Session:
    """Jobs with one peer. Both sides run the same script: their first calls meet, then their second, and so on.

    Data is a frame (anything with ``__arrow_c_stream__``, a mapping of columns, a list, a numpy array) or the name of a
    registered dataset. A frame becomes a dataset for this one job: its key columns go to this party's own daemon, into
    memory only, and the call is its owner's approval. The peer decides by its own call or rule.

    Made by :meth:`tacitly.Party.session`.
    """

    def __init__(self, party: Party, peer: str, job: str, purpose: str, timeout: float) -> None:
        self.party = party
        self.peer = peer
        self.job = job
        self.purpose = purpose
        self.timeout = timeout
        self.last_job: Optional[Job] = None
        """The job of the last call, also of one that raised."""
        self.last_report = ""
        """What was counted of the last frame: rows, keys, what was left out."""
        self._calls = 0

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        return None

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
        return self._run(
            "intersect", data, on, normalise, receiver, duplicates, invalid, peer_dataset, progress
        )

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
        result = self._run("align", data, on, normalise, "both", duplicates, invalid, peer_dataset, progress)
        assert isinstance(result, Rows)
        return result

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
        return self._run(
            "cardinality", data, on, normalise, receiver, duplicates, invalid, peer_dataset, progress
        )

    def _run(
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
        self.last_job = None
        self._calls += 1
        client = self.party._client
        receiver = {self.party.name: "us", self.peer: "peer"}.get(receiver, receiver)
        is_frame = not isinstance(data, str)
        if is_frame:
            dataset = self._hand_over(kind, data, on, normalise, receiver, duplicates, invalid)
        elif on is None and normalise is None:
            dataset = data
        else:
            raise TypeError("a registered dataset has its own key columns and profiles: leave on= and normalise= out")
        try:
            self.last_job = job = self._begin(client, kind, dataset, receiver, peer_dataset)
            try:
                return job.wait(progress, data if is_frame else None)
            except BaseException:
                # Ctrl-C, say, or a failure of the progress function: nobody waits for the job any more.
                if not job.record.settled:
                    with suppress(errors.TacitlyError):
                        job.cancel()
                raise
        finally:
            if is_frame and (self.last_job is None or self.last_job.record.is_over):
                self._let_go(client, dataset)

    def _begin(
        self, client: _core.Client, kind: str, dataset: str, receiver: str, peer_dataset: Optional[str]
    ) -> Job:
        if peer_dataset is None:
            told = client.meet_job(
                meeting=f"{self.job}/{self._calls}",
                kind=kind,
                dataset=dataset,
                peer=self.peer,
                receiver=receiver,
                purpose=self.purpose,
                wait_seconds=math.ceil(self.timeout),
            )
        else:
            told = client.submit_job(
                kind=kind,
                dataset=dataset,
                peer=self.peer,
                peer_dataset=peer_dataset,
                receiver=receiver,
                purpose=self.purpose,
                request_key="",
            )
        return Job(client, JobRecord.from_json(told))

    def _hand_over(
        self,
        kind: str,
        data: Any,
        on: _frames.Columns,
        normalise: Optional[Normalise],
        receiver: str,
        duplicates: str,
        invalid: str,
    ) -> str:
        known = ", ".join(_core.profiles())
        if normalise is None:
            raise TypeError(f"normalise= names the profile of every key column, the same on both sides: {known}")
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
            peer=self.peer,
            kind=kind,
            receiver=receiver,
        )
        return str(json.loads(dataset)["name"])

    def _let_go(self, client: _core.Client, dataset: str) -> None:
        try:
            client.remove_dataset(dataset)
        except (errors.DatasetUnknown, errors.DatasetInUse):
            # The daemon has forgotten it, or will once the cancelled job is over.
            pass

    def __repr__(self) -> str:
        return f"<Session of {self.party.name} with {self.peer}: {self.job!r}, {self._calls} calls>"

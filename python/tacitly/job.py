"""Jobs of one party: what stands in its ledger, and what a person does about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Optional, Union

from . import _core, _html, errors
from ._progress import Line, Progress, silent
from ._records import AskedEntry, Event, JobRecord, PartyRecord, Reply, ServiceRecord, read
from ._registry import result_of
from .evidence import Evidence
from .result import Result


class Job:
    """One job. ``record`` is how it stood when last asked; every call here asks again."""

    def __init__(self, client: _core.Client, record: JobRecord) -> None:
        self._client = client
        self.record = record

    @property
    def id(self) -> str:
        """Its number, the same on all sides."""
        return self.record.id

    @property
    def state(self) -> str:
        """Its state in our ledger, as in docs/jobs.md."""
        return self.record.state

    @property
    def leader(self) -> str:
        """The party that proposed it."""
        return self.record.leader

    @property
    def parties(self) -> tuple[PartyRecord, ...]:
        """Everybody who takes part, us too: role, dataset, decision, traffic."""
        return self.record.parties

    @property
    def summary(self) -> dict[str, Any]:
        """What its kind shows of it, as far as it is known by now."""
        return self.record.summary

    def refresh(self) -> Job:
        """Asks the daemon how the job stands."""
        return self._noted(self._client.get_job(self.id))

    def explain(self) -> str:
        """What a person reads before approving."""
        return self._client.explain_job(self.id)

    def approve(self) -> Job:
        """Approves a job that waits for a person here."""
        return self._noted(self._client.approve_job(self.id))

    def refuse(self, reason: str = "") -> Job:
        """Refuses a job that waits for a person here; the leader reads the reason."""
        return self._noted(self._client.refuse_job(self.id, reason))

    def cancel(self) -> Job:
        """Ends the job on all sides."""
        return self._noted(self._client.cancel_job(self.id))

    def resume(self) -> Job:
        """Goes on with a suspended job, from any side."""
        return self._noted(self._client.resume_job(self.id))

    def purge(self) -> Job:
        """Wipes the result of a job that is over; the ledger keeps that it was."""
        return self._noted(self._client.purge_job(self.id))

    def ask(
        self, *questions: Union[bytes, str], purpose: str = "unstated", key: str = ""
    ) -> Reply:
        """Asks a service. Several questions are asked, answered and charged as one; a text is asked in UTF-8.

        ``purpose`` is a code of 1 to 32 of a-z, 0-9, ``-``, ``_`` and ``.``; it goes on record. Under the same ``key`` the
        same answers come, and are charged once, whatever has happened meanwhile; without one every call asks anew.
        """
        asked = [question.encode() if isinstance(question, str) else bytes(question) for question in questions]
        answers, told = self._client.ask_job(id=self.id, questions=asked, purpose=purpose, key=key)
        return Reply(answers, [read(AskedEntry, entry) for entry in json.loads(told)])

    def pause(self) -> Job:
        """Has a service answer and ask nothing here until :meth:`unpause`; the other parties go on."""
        return self._noted(self._client.pause_job(self.id))

    def unpause(self) -> Job:
        """Lets a service go on that was paused here."""
        return self._noted(self._client.unpause_job(self.id))

    def revoke(self) -> Job:
        """Ends a service, at once and on all sides."""
        return self._noted(self._client.revoke_job(self.id))

    @property
    def service(self) -> Optional[ServiceRecord]:
        """How a service stands here, as of :meth:`refresh`; ``None`` for a job that is none, or whose set-up goes on."""
        return self.record.service

    def open_output(self, *, to: str, purpose: str = "dispute") -> tuple[bytes, bytes]:
        """The salt and the SHA-256 of our output with which the commitment on record opens. That they were handed to ``to``
        goes on record first. ``tacitly evidence verify-output`` reads a file with both in hexadecimal, a line each."""
        opened = self._client.open_output(id=self.id, to=to, purpose=purpose)
        return opened[:32], opened[32:]

    def evidence(self) -> Evidence:
        """The job's evidence: what was agreed, sent, received and what came of it, for anybody to verify."""
        return Evidence(self._client.evidence(job=self.id, query=""))

    def events(self) -> list[Event]:
        """The job's lines in the audit trail."""
        return list(events_of(self._client, 0, self.id))

    def wait(self, progress: Progress = False, frame: Optional[Any] = None) -> Result:
        """Waits for the end, or until a service serves, and returns the result. ``frame`` is the one that was given to the job, if there was one.

        Raises the exception of the job's failure; :class:`~tacitly.errors.PeerLost` if it is suspended. A Ctrl-C ends
        the waiting, not the job: see :meth:`cancel`.
        """
        line = Line() if progress is True else None
        show = line or (progress if callable(progress) else silent)
        try:
            updates = self._client.watch_job(self.id)
            while (update := updates.next()) is not None:
                self._noted(update)
                show(self.record)
        finally:
            if line is not None:
                line.close()
        return self.result(frame)

    def result(self, frame: Optional[Any] = None) -> Result:
        """The result of a job that is done; of a service, what its set-up has come to."""
        if self.record.state != "done":
            self.refresh()
        if self.record.state in ("done", "serving", "paused"):
            return result_of(self.record, self._client, frame)
        if self.record.failure is None and not self.record.at_rest:
            raise errors.of("job-state", f"the job is {self.state}", job=self.id, hint="wait() for its end")
        raise self.record.error()

    def _noted(self, told: str) -> Job:
        self.record = JobRecord.from_json(told, self.record.me)
        return self

    def __repr__(self) -> str:
        return f"<Job {self.id}: {self.record.title}, {self.state}>"


def events_of(client: _core.Client, since: int, job: str) -> Iterator[Event]:
    """The audit trail after a line, page by page: of one job, or of everything."""
    more = True
    while more:
        told, since = client.list_events(since, job)
        yield from (read(Event, event) for event in json.loads(told))
        more = since > 0


class JobList(list[Job]):
    """Jobs, oldest first, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        def row(job: Job) -> tuple[object, ...]:
            one = job.record
            failure = one.failure.code if one.failure else ""
            items = "" if one.result_items is None else one.result_items
            return (one.id, one.kind, ", ".join(one.peers), one.state, one.stage or failure, items)

        return _html.table(("job", "kind", "peers", "state", "", "result"), map(row, self))

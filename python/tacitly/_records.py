"""What a daemon tells of jobs, peers, datasets and events, as plain records."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, Optional, TypeVar

from . import _html, errors

T = TypeVar("T")


def read(kind: type[T], told: dict[str, Any]) -> T:
    """A record of the fields it knows; a newer daemon may tell more."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in told.items() if name in known})


@dataclass(frozen=True)
class FailureRecord:
    """Why a job ended otherwise than well."""

    code: str
    who: str
    stage: str
    text: str
    hint: str


@dataclass(frozen=True)
class PartyRecord:
    """One party of a job."""

    party: str
    role: str
    dataset: str
    """Its own name for it; empty: it brings none."""
    receives: bool
    decision: str
    """``open``, ``signed`` or ``refused``, as far as we know."""
    left_out: bool
    """The job goes on without it."""
    has_result: bool
    """It has said that its result is stored."""
    bytes_out: int
    """To it, once the job is over."""
    bytes_in: int
    """From it."""


@dataclass(frozen=True)
class AskedEntry:
    """A question that is on record on both sides."""

    responder: str
    query: str
    """Its number, for :meth:`~tacitly.Party.evidence_of`."""
    entry: str
    """The leaf of our entry about it."""
    units: int
    """What its answer counts as."""


@dataclass(frozen=True)
class Reply:
    """What a service has answered to questions that were asked as one."""

    answers: list[bytes]
    """One for each question."""
    entries: list[AskedEntry]
    """What is on record of them."""

    @property
    def answer(self) -> bytes:
        """The answer to a question that was asked alone."""
        if len(self.answers) != 1:
            raise ValueError(f"there are {len(self.answers)} answers: see answers")
        return self.answers[0]

    def __repr__(self) -> str:
        responders = ", ".join(sorted({entry.responder for entry in self.entries}))
        return f"<Reply of {responders}: {len(self.answers)} answers, {len(self.entries)} entries>"


@dataclass(frozen=True)
class Budget:
    """Questions that a rule of ours allows within a day (UTC), and how many of them are left."""

    party: str
    """Who asks us, or whom we ask."""
    asks: bool
    """It is they who ask us; otherwise the budget is for questions of ours to them."""
    purpose: str
    """Each purpose has a budget of its own. Those that nothing was charged for today are not listed."""
    most: int
    left: int


@dataclass(frozen=True)
class ServiceRecord:
    """How a service stands at this party."""

    since: str
    """When its set-up was over."""
    answered: int
    """Questions since the daemon started: answered, refused, and asked by us."""
    refused: int
    asked: int
    material: dict[str, int]
    """What is left of its material, by stream."""
    budgets: list[Budget]

    @classmethod
    def of(cls, told: dict[str, Any]) -> ServiceRecord:
        """As the daemon tells of it."""
        material = {one["stream"]: one["left"] for one in told["material"]}
        budgets = [read(Budget, one) for one in told["budgets"]]
        return read(cls, {**told, "material": material, "budgets": budgets})


@dataclass(frozen=True)
class JobRecord:
    """A job as it stood when the daemon was asked."""

    me: str
    """The party whose daemon was asked."""
    id: str
    kind: str
    leader: str
    """The party that proposed it."""
    parties: tuple[PartyRecord, ...]
    """Everybody, us too."""
    purpose: str
    state: str
    stage: str
    done: int
    total: int
    bytes_out: int
    bytes_in: int
    summary: dict[str, Any]
    """What its kind shows of it."""
    result_items: Optional[int]
    """Rows, or a number; ``None`` if no result came to us."""
    failure: Optional[FailureRecord]
    created: str
    finished: str
    attempt: int
    terms: str
    """Canonical JSON; empty in a list, until :meth:`~tacitly.Job.refresh`."""
    at_rest: bool
    purged: str = ""
    """When the result was wiped, if it was."""
    service: Optional[ServiceRecord] = None
    """How a service stands here, once it is set up."""

    @classmethod
    def from_json(cls, text: str, me: str) -> JobRecord:
        """Reads what the daemon of ``me`` told."""
        return cls.from_dict(json.loads(text), me)

    @classmethod
    def from_dict(cls, told: dict[str, Any], me: str) -> JobRecord:
        """Reads what the daemon of ``me`` told."""
        failure, service = told["failure"], told.get("service")
        return read(
            cls,
            {
                **told,
                "me": me,
                "parties": tuple(read(PartyRecord, party) for party in told["parties"]),
                "summary": json.loads(told["summary"] or "{}"),
                "failure": read(FailureRecord, failure) if failure else None,
                "service": ServiceRecord.of(service) if service else None,
            },
        )

    @property
    def ours(self) -> PartyRecord:
        """Our own part in it: role, dataset, whether we receive."""
        return next(party for party in self.parties if party.party == self.me)

    @property
    def peers(self) -> list[str]:
        """The other parties."""
        return [party.party for party in self.parties if party.party != self.me]

    @property
    def receivers(self) -> list[str]:
        """Who receives a result."""
        return [party.party for party in self.parties if party.receives]

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return self.state in ("done", "failed", "cancelled", "refused", "revoked", "expired")

    @property
    def title(self) -> str:
        """What is computed with whom."""
        return f"{self.kind} with {', '.join(self.peers)}"

    def error(self) -> errors.TacitlyError:
        """The exception for how the job stands."""
        failure = self.failure or FailureRecord("", "", "", "", "")
        text = failure.text or f"the job is {self.state}"
        # Of several peers none is named unless the daemon names it.
        only_peer = self.peers[0] if len(self.peers) == 1 else ""
        return errors.of(
            failure.code,
            text,
            stage=failure.stage,
            peer=failure.who or only_peer,
            job=self.id,
            hint=failure.hint,
        )


@dataclass(frozen=True)
class Peer:
    """A party that we know, and the link to it."""

    party: str
    address: str
    link_up: bool
    link_detail: str
    key: str


@dataclass(frozen=True)
class Member:
    """A member of a consortium, and whether it is a peer, too."""

    party: str
    key: str
    is_peer: bool


@dataclass(frozen=True)
class Consortium:
    """A consortium by its pinned ``roster``, the text that its founder has signed."""

    name: str
    version: int
    founder: str
    fingerprint: str
    members: list[Member]
    pinned: str
    roster: str

    @classmethod
    def of(cls, told: dict[str, Any]) -> Consortium:
        """As the daemon tells of it."""
        return read(cls, {**told, "members": [read(Member, member) for member in told["members"]]})


@dataclass(frozen=True)
class Dataset:
    """A registered file, or a frame that was handed over for one job."""

    name: str
    path: str
    format: str
    keys: list[dict[str, str]]
    columns: list[str]
    rows: int
    size_bytes: int
    sha256: str
    duplicates: str
    invalid: str
    rules: list[dict[str, str]]
    added: str
    period: str = ""
    """The days that the data describe, if they were stated."""
    basis: str = ""
    """The commitment to the lawful basis, if one was given."""


class Rule(dict[str, Any]):
    """A rule for a peer and a dataset in full, field by field, and what its last change has changed."""

    def __init__(self, fields: dict[str, Any], difference: list[str]) -> None:
        super().__init__(fields)
        self.difference = difference
        """A line for each field that differs from before, such as ``per_day: 5 → 10 (wider)``; none for a first rule."""

    def __repr__(self) -> str:
        return "\n  ".join([f"<Rule {dict(self)}>", *self.difference])

    def _repr_html_(self) -> str:
        return _html.table(("field", "value"), self.items(), "; ".join(self.difference))


@dataclass(frozen=True)
class Event:
    """A line of the audit trail."""

    sequence: int
    at: str
    job: str
    actor: str
    kind: str
    detail: str
    altered: bool
    """Somebody has changed the line in the store, or taken one before it away."""


@dataclass(frozen=True)
class Status:
    """How a daemon stands."""

    party: str
    version: str
    listen: str
    peers: list[Peer]
    backend: str
    running_jobs: int
    certificate_expires: str
    warnings: list[str]

    def _repr_html_(self) -> str:
        rows = [(peer.party, "up" if peer.link_up else peer.link_detail, peer.address) for peer in self.peers]
        return _html.table(("peer", "link", "address"), rows, f"{self.party} · tacitly {self.version}")

"""What can go wrong: one exception for every stable error code, in a small tree.

Every exception carries what a program needs to go on: ``code`` (as in docs/errors.md), ``stage`` (what was being
done), ``peer`` (whom it is about), ``job`` (its number) and ``hint`` (how to mend it).

>>> import tacitly as tt
>>> try:
...     raise tt.errors.of("peer-lost", "the link to shop was down for 30 s", peer="shop")
... except tt.errors.PeerError as error:
...     print(type(error).__name__, error.code, error.peer)
PeerLost peer-lost shop
"""

from __future__ import annotations

from typing import Optional


class TacitlyError(Exception):
    """The root of the tree; raised itself only where there is no code, as when no daemon answers."""

    code: str = ""

    def __init__(self, text: str, *, stage: str = "", peer: str = "", job: str = "", hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.stage = stage
        self.peer = peer
        self.job = job
        self.hint = hint

    def __str__(self) -> str:
        parts = [f"[{self.code}] {self.text}" if self.code else self.text]
        if self.stage:
            parts.append(f"  while: {self.stage}")
        if self.job:
            parts.append(f"  job: {self.job}")
        if self.hint:
            parts.append(f"  hint: {self.hint}")
        return "\n".join(parts)


class PeerError(TacitlyError):
    """The other side: gone, failed, late or not following the protocol."""


class PeerLost(PeerError):
    """The link to the peer stayed down longer than the reconnect window; the job is suspended and can be resumed."""

    code = "peer-lost"


class PeerRestarted(PeerError):
    """The peer's daemon was restarted during the job."""

    code = "peer-restarted"


class PeerFailed(PeerError):
    """The peer ended the job because something failed on its side."""

    code = "peer-failed"


class ProtocolViolation(PeerError):
    """The peer broke the rules of the protocol; its answer cannot be trusted."""

    code = "protocol-violation"


class ProtocolDispute(PeerError):
    """What two parties say excludes each other, and it cannot be told which of them broke the protocol."""

    code = "protocol-dispute"


class LinkDown(PeerError):
    """There is no connection to the peer at the moment."""

    code = "link-down"


class KeyRevoked(PeerError):
    """The signing key of a party was revoked; what is signed with it from then on counts no more."""

    code = "key-revoked"


class NotMet(PeerError):
    """The peer did not ask for the same job in time."""

    code = "not-met"


class PeerUnknown(PeerError):
    """No peer of this name is pinned here, or no member of a consortium where one would do."""

    code = "peer-unknown"


class PeerInUse(PeerError):
    """The peer or member has jobs that are not over."""

    code = "peer-in-use"


class Invitation(PeerError):
    """The invitation is not valid: mistyped, used, expired or of another version."""

    code = "invitation"


class ConsortiumUnknown(PeerError):
    """No roster of a consortium of this name is pinned here."""

    code = "consortium-unknown"


class Roster(PeerError):
    """The roster is not pinned: it is damaged, older than the pinned one, not the one that was compared, or gives a party
    another key."""

    code = "roster"


class TermsDiffer(TacitlyError):
    """Both sides are honest and mean different things; nothing was exchanged."""

    code = "terms-differ"


class Refused(TacitlyError):
    """An owner's rule or person said no."""


class RefusedNoRule(Refused):
    """The owner of the dataset has given this peer no rule."""

    code = "refused-no-rule"


class RefusedByRule(Refused):
    """The rule of the dataset's owner does not cover this job."""

    code = "refused-by-rule"


class RefusedByPerson(Refused):
    """An approver refused the job."""

    code = "refused-by-person"


class BelowMinimum(Refused):
    """The intersection is smaller than a rule demands; nothing was released."""

    code = "below-minimum"


class DataError(TacitlyError):
    """Our own data: a dataset or a frame cannot be used."""


class DatasetUnknown(DataError):
    """There is no dataset of this name."""

    code = "dataset-unknown"


class DatasetExists(DataError):
    """A dataset of this name is there already."""

    code = "dataset-exists"


class DatasetInUse(DataError):
    """Jobs that are not over use this dataset."""

    code = "dataset-in-use"


class DatasetChanged(DataError):
    """The file is not the one that was added."""

    code = "dataset-changed"


class DatasetInput(DataError):
    """The file or frame cannot be read as the dataset says; the text names the row and column."""

    code = "dataset-input"


class DatasetFingerprint(DataError):
    """The dataset has no fingerprint like that."""

    code = "dataset-fingerprint"


class TooManyRows(DataError):
    """A set has more distinct keys than one job takes."""

    code = "too-many-rows"


class FramesOff(DataError):
    """This party takes no frames, or no more of them."""

    code = "frames-off"


class FrameGone(DataError):
    """The frame of this job was in the memory of a process that has ended."""

    code = "frame-gone"


class JobError(TacitlyError):
    """The job itself: over, unknown, or not in a state for this."""


class Cancelled(JobError):
    """A person or program cancelled the job."""

    code = "cancelled"


class LeftOut(JobError):
    """The other parties finished the job without this one, which they could not reach in time."""

    code = "left-out"


class Deadline(JobError):
    """The job took longer than it may."""

    code = "deadline"


class JobUnknown(JobError):
    """There is no job of this number."""

    code = "job-unknown"


class JobState(JobError):
    """The job's state does not allow this."""

    code = "job-state"


class RequestKey(JobError):
    """This request key was used for another job."""

    code = "request-key"


class ResultNone(JobError):
    """There is no result to hand out: not done, not a receiver, or purged."""

    code = "result-none"


class Restored(JobError):
    """The store was restored from a backup; in the lost one the job may have gone on."""

    code = "restored"


class TermsExpired(JobError):
    """The terms of the job were over before it came to a result."""

    code = "terms-expired"


class Revoked(JobError):
    """A party, or its rule, has ended the service."""

    code = "revoked"


class NotServing(JobError):
    """The job answers no questions at the moment, here or there."""

    code = "not-serving"


class OverQuota(JobError):
    """A budget for questions is used up; nothing was released."""

    code = "over-quota"


class MaterialNone(JobError):
    """The material that an answer needs is used up at the moment, or was lost in a crash."""

    code = "material-none"


class RequestError(TacitlyError):
    """The call: malformed, not allowed, or beyond a limit."""


class BadRequest(RequestError):
    """The request itself is malformed."""

    code = "bad-request"


class Permission(RequestError):
    """The caller's role does not allow this."""

    code = "permission"


class Limit(RequestError):
    """A limit for this peer is reached."""

    code = "limit"


class EvidenceError(TacitlyError):
    """Evidence that is not there or does not hold."""


class EvidenceNone(EvidenceError):
    """There is no evidence of this job: it never came to an agreement."""

    code = "evidence-none"


class Evidence(EvidenceError):
    """A certificate or an opening does not hold; the text begins with the reason."""

    code = "evidence"


class LocalError(TacitlyError):
    """Our own machine: disk, store, or a mistake in Tacitly."""


class DiskFull(LocalError):
    """The disk is full; nothing that was acknowledged is lost."""

    code = "disk-full"


class Store(LocalError):
    """The store refused."""

    code = "store"


class Damaged(LocalError):
    """Something in the store is not what was put there."""

    code = "damaged"


class System(LocalError):
    """The operating system gave no file, thread, memory or randomness."""

    code = "system"


class Clock(LocalError):
    """This machine's clock is before 2020 or after 2099, so nothing can be put on record."""

    code = "clock"


class Log(LocalError):
    """The attestation log refused."""

    code = "log"


class LogOld(LocalError):
    """The attestation log is an old copy, or another log has signed as this one."""

    code = "log-old"


class DaemonGone(LocalError):
    """Our own daemon went away while it was asked something."""

    code = "daemon-gone"


class Internal(LocalError):
    """A mistake in Tacitly itself."""

    code = "internal"


def _tree(root: type[TacitlyError]) -> dict[str, type[TacitlyError]]:
    found = {root.code: root} if root.code else {}
    for branch in root.__subclasses__():
        found.update(_tree(branch))
    return found


BY_CODE: dict[str, type[TacitlyError]] = _tree(TacitlyError)
"""The exception of every code."""


def of(
    code: Optional[str], text: str, *, stage: str = "", peer: str = "", job: str = "", hint: str = ""
) -> TacitlyError:
    """The exception for a code. A code of a newer daemon gives a plain :class:`TacitlyError` that carries it.

    >>> of("terms-differ", "the sides differ in key")
    TermsDiffer('the sides differ in key')
    """
    kind = BY_CODE.get(code or "", TacitlyError)
    error = kind(text, stage=stage, peer=peer, job=job, hint=hint)
    if code and not error.code:
        error.code = code
    return error

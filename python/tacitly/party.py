"""A party: its daemon in this process, or one that runs elsewhere on this machine."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Optional, Union

from . import _core
from ._params import canonical
from ._records import Consortium, Dataset, Event, JobRecord, Peer, Rule, Status, read
from ._runner import Receivers, asked_parties
from .evidence import Evidence
from .job import Job, JobList, events_of
from .session import Session

AnyPath = Union[str, PathLike[str]]

_PAGE = 1000
"""Jobs that a daemon tells of at once."""


class Party:
    """One party, with its ledger, its peers and its rules.

    Use :meth:`from_config` to run its daemon in this process, or :func:`connect` to use one that runs. Both speak to the
    same daemon code through the same interface.
    """

    def __init__(self, client: _core.Client, name: str, home: Optional[Path], daemon: Optional[_core.Daemon]) -> None:
        self._client = client
        self._daemon = daemon
        self.name = name
        self.home = home
        self._stop = weakref.finalize(self, daemon.stop) if daemon is not None else None

    @classmethod
    def from_config(cls, path: AnyPath = "party.toml", *, log: bool = False) -> Party:
        """Runs the daemon of a party in this process, on its own store, until :meth:`close`.

        ``path`` is its ``party.toml`` or the folder of it. ``log`` writes the daemon's log to standard error. Frames
        need ``limits.frame_mib`` in ``party.toml``.
        """
        home = _home(path)
        daemon = _core.Daemon.start(home, log)
        return cls(_core.Client.through_socket(daemon.socket), daemon.party, home, daemon)

    @classmethod
    def create(
        cls, home: AnyPath, name: str, *, listen: Optional[str] = None, frame_mib: int = 1024, log: bool = False
    ) -> Party:
        """Makes a new party in a folder, as ``tacitly init`` does, and runs its daemon.

        ``listen`` is its port for peers, such as ``0.0.0.0:7100``; without one it only dials. ``frame_mib`` is the
        memory that frames may take, 0 to take none.

        >>> import tempfile, pathlib, tacitly as tt
        >>> with tt.Party.create(pathlib.Path(tempfile.mkdtemp(), "bank"), "bank") as bank:
        ...     bank.name, bank.peers()
        ('bank', [])
        """
        _core.create_home(Path(home), name, listen, frame_mib, 5.0, 30.0)
        return cls.from_config(home, log=log)

    def session(
        self, peers: Union[str, Sequence[str]], *, job: str, purpose: str = "", timeout: float = 600
    ) -> Session:
        """Jobs with a peer, or with several. All sides give the same ``job`` name; the first call waits ``timeout``
        seconds for the others'. ``purpose`` is stated to the peers' rules and in all audit trails."""
        return Session(self, peers, job, purpose, timeout)

    def status(self) -> Status:
        """How the daemon stands."""
        told = json.loads(self._client.status())
        return read(Status, {**told, "peers": [read(Peer, peer) for peer in told["peers"]]})

    def jobs(
        self, state: str = "", *, before: Union[Job, str, None] = None, limit: Optional[int] = None
    ) -> JobList:
        """Jobs, oldest first, or those in one state. With ``limit`` the newest so many; ``before`` leaves out a job and
        those after it, so that ``jobs(before=page[0], limit=100)`` is the page before another."""
        if limit is not None and limit < 1:
            raise ValueError("limit= is the most jobs to give, from 1 on")
        found: list[Job] = []
        older = before.id if isinstance(before, Job) else before or ""
        while limit is None or len(found) < limit:
            asked = _PAGE if limit is None else min(_PAGE, limit - len(found))
            told, older = self._client.list_jobs(state, older, asked)
            found = [Job(self._client, JobRecord.from_dict(job, self.name)) for job in json.loads(told)] + found
            if not older:
                break
        return JobList(found)

    def evidence_of(self, query: str) -> Evidence:
        """The evidence of one question to a service, asked or answered here, by its number: see
        :attr:`Reply.entries <tacitly.Reply>`."""
        return Evidence(self._client.evidence(job="", query=query))

    def job(self, id: str) -> Job:
        """One job by its number."""
        return Job(self._client, JobRecord.from_json(self._client.get_job(id), self.name))

    def submit(
        self,
        kind: str,
        datasets: Mapping[str, Optional[str]],
        *,
        receivers: Receivers = "us",
        roles: Optional[Mapping[str, str]] = None,
        params: Optional[Mapping[str, Any]] = None,
        purpose: str = "",
        request_key: str = "",
    ) -> Job:
        """Proposes a job on registered datasets and does not wait for it.

        ``datasets`` names all parties, this one too, each with its own name for its dataset, or ``None`` if it brings none.
        ``receivers`` is ``us``, ``all``, a party's name or several; ``roles`` and ``params`` as in :meth:`Session.run`.
        """
        named = {party: dataset or "" for party, dataset in datasets.items()}
        told = self._client.submit_job(
            kind=kind,
            parties=asked_parties(named, self.name, receivers, roles),
            params=canonical(params or {}),
            purpose=purpose,
            request_key=request_key,
        )
        return Job(self._client, JobRecord.from_json(told, self.name))

    def events(self, since: int = 0) -> list[Event]:
        """The audit trail, oldest first."""
        return list(events_of(self._client, since, ""))

    def reconcile(self, peer: str, *, grace_seconds: int = 60) -> dict[str, Any]:
        """Holds our attestation log against the peer's, as ``tacitly log reconcile`` does; lists every mismatch."""
        told: dict[str, Any] = json.loads(self._client.reconcile(peer, grace_seconds))
        return told

    def open_record(
        self,
        dataset: str,
        row: int,
        *,
        to: str,
        purpose: str = "dispute",
        fingerprint: str = "",
        file: Optional[AnyPath] = None,
    ) -> bytes:
        """Opens one row (from 1) of a dataset to ``to``, an arbiter. That it was opened, to whom and why goes on record
        first, which row does not. For an earlier version give its ``fingerprint`` and its ``file``. What it returns holds
        that row's personal data."""
        return self._client.open_record(
            dataset=dataset,
            row=row,
            fingerprint=fingerprint,
            file="" if file is None else os.path.abspath(file),
            to=to,
            purpose=purpose,
        )

    def open_basis(self, dataset: str, *, to: str, purpose: str = "dispute", fingerprint: str = "") -> bytes:
        """The salt with which the document that was given as ``basis`` opens the commitment on record. That it was handed
        to ``to`` goes on record first. ``tacitly evidence verify-basis`` reads a file with ``salt.hex()``."""
        return self._client.open_basis(dataset=dataset, fingerprint=fingerprint, to=to, purpose=purpose)

    def peers(self) -> list[Peer]:
        """Parties that we know, with the links to them."""
        return [read(Peer, peer) for peer in json.loads(self._client.list_peers())]

    def invite(self, party: str, *, valid_seconds: int = 86_400) -> str:
        """A code with which the party of this name joins us, once; send it over a channel you trust."""
        return str(json.loads(self._client.invite(party, valid_seconds))["code"])

    def join(self, code: str) -> Peer:
        """Joins the party that gave us this code."""
        return read(Peer, json.loads(self._client.join(code)))

    def set_address(self, peer: str, address: Optional[str]) -> Peer:
        """Dials a peer at this host and port from now on, or with ``None`` waits for it to dial us."""
        return read(Peer, json.loads(self._client.set_peer_address(peer, address or "")))

    def remove_peer(self, peer: str) -> None:
        """Forgets a peer and every rule for it."""
        self._client.remove_peer(peer)

    def consortia(self) -> list[Consortium]:
        """Consortia that this party belongs to, with the keys of all members."""
        return [Consortium.of(told) for told in json.loads(self._client.list_consortia())]

    def init_consortium(self, name: str, members: Sequence[str]) -> Consortium:
        """Founds a consortium of these peers and this party, or signs its next roster. Give its ``roster`` to all members,
        and its ``fingerprint`` by another way."""
        return Consortium.of(json.loads(self._client.init_consortium(name, list(members))))

    def join_consortium(self, roster: str, fingerprint: str) -> Consortium:
        """Pins a roster. ``fingerprint`` is what its founder has read out, never what came with the roster."""
        return Consortium.of(json.loads(self._client.join_consortium(roster, fingerprint)))

    def leave_consortium(self, name: str) -> None:
        """Forgets a consortium, its members that are no peers, and the rules for them."""
        self._client.leave_consortium(name)

    def datasets(self) -> list[Dataset]:
        """Registered files, and frames of jobs that are not over."""
        told, after = self._client.list_datasets("")
        found = json.loads(told)
        while after:
            told, after = self._client.list_datasets(after)
            found += json.loads(told)
        return [read(Dataset, dataset) for dataset in found]

    def add_dataset(
        self,
        name: str,
        path: AnyPath,
        keys: dict[str, str],
        *,
        format: str = "",
        encoding: str = "",
        delimiter: str = "",
        duplicates: str = "error",
        invalid: str = "error",
        replace: bool = False,
        allow: Sequence[str] = (),
        period: str = "",
        basis: Optional[AnyPath] = None,
        header: bool = True,
    ) -> Dataset:
        """Registers a CSV or Parquet file, as ``tacitly dataset add`` does. ``keys`` gives each key column its profile,
        in order; without a ``header`` line the columns are ``column_1``, ``column_2``, …; peers in ``allow`` get a rule
        without limits. ``period`` (``2026-01-01/2026-03-31``) and a commitment to
        the document ``basis`` go on record with the fingerprint."""
        dataset, _report = self._client.add_dataset(
            name=name,
            path=os.path.abspath(path),
            format=format,
            encoding=encoding,
            delimiter=delimiter,
            keys=list(keys.items()),
            duplicates=duplicates,
            invalid=invalid,
            replace=replace,
            allow=list(allow),
            period=period,
            basis="" if basis is None else os.path.abspath(basis),
            no_header=not header,
        )
        return read(Dataset, json.loads(dataset))

    def remove_dataset(self, name: str) -> None:
        """Forgets a dataset; its file stays."""
        self._client.remove_dataset(name)

    def allow(self, dataset: str, peer: str, **fields: Any) -> Rule:
        """Gives a peer a rule for a dataset, or changes the one it has: fields as in docs/datasets.md, such as
        ``per_day=3`` or ``limits={"min_intersection": 1000}``. What is not named stays. Returns the rule in full, which
        shows what has changed."""
        rule, difference = self._client.set_rule(dataset, peer, json.dumps(fields))
        return Rule(json.loads(rule), difference)

    def disallow(self, dataset: str, peer: str) -> None:
        """Takes a peer's rule for a dataset away."""
        self._client.set_rule(dataset, peer, "")

    def backup(self, path: AnyPath) -> int:
        """Writes a backup of the store to a new file and returns its size."""
        return self._client.backup(os.path.abspath(path))

    def rotate_identity(self, *, force: bool = False, grace_seconds: int = 86_400) -> dict[str, Any]:
        """Renews the TLS key and tells the peers, as ``tacitly identity rotate`` does."""
        told: dict[str, Any] = json.loads(self._client.rotate_identity(force, grace_seconds))
        return told

    def revoke_identity(self, *, since: str = "") -> dict[str, Any]:
        """Revokes the signing key, for good: on record, and told to every peer. Nothing is agreed with it any more. ``since``
        is the moment from which on somebody else may have had it; without it, now."""
        told: dict[str, Any] = json.loads(self._client.revoke_identity(since))
        return told

    def shutdown(self) -> None:
        """Asks the daemon to stop, wherever it runs. :meth:`close` leaves a daemon of another process alone."""
        self._client.shutdown()

    def close(self) -> None:
        """Ends the daemon if it runs in this process: jobs get time to finish, what does not is taken up next time."""
        if self._stop is not None:
            self._stop()

    def __enter__(self) -> Party:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "in this process" if self._daemon is not None else "connected"
        return f"<Party {self.name}, {where}>"

    def _repr_html_(self) -> str:
        return self.status()._repr_html_()


def connect(home: AnyPath = ".", *, address: Optional[str] = None, token_file: Optional[AnyPath] = None) -> Party:
    """Connects to a party's daemon that runs on this machine.

    ``home`` is the party's folder (or its ``party.toml``), whose socket only its owner may use. With ``address`` and
    ``token_file`` the control port is used instead, as with ``tacitly --connect``; frames need the socket.
    """
    if address is not None:
        if token_file is None:
            raise TypeError("a control port wants a token: give token_file=")
        client = _core.Client.through_port(address, Path(token_file))
        return Party(client, str(json.loads(client.status())["party"]), None, None)
    folder = _home(home)
    name, socket = _core.party_of(folder)
    return Party(_core.Client.through_socket(socket), name, folder, None)


def _home(path: AnyPath) -> Path:
    given = Path(path).absolute()
    return given.parent if given.name == "party.toml" else given

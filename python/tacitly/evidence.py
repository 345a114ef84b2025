"""Evidence of a job: one text file that anybody verifies, offline."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any, Optional, Union

from . import _core, _html

AnyPath = Union[str, "PathLike[str]"]


class Evidence:
    """A certificate: who agreed to what, what went over the link, what came of it; signed, logged and witnessed.

    It needs no daemon, no network and no trust in the parties to be verified.

    >>> import tacitly as tt
    >>> sizes = sim.cardinality({"bank": ["a", "b"], "shop": ["b", "c"]}, normalise="raw")
    >>> evidence = sizes["bank"].evidence()
    >>> evidence.verify()["holds"]
    True
    >>> changed = tt.Evidence(evidence.certificate.replace(b"psi-ecdh", b"psi-ecdx"))
    >>> changed.verify()
    Traceback (most recent call last):
        ...
    tacitly.errors.Evidence: ...
    """

    def __init__(self, certificate: bytes) -> None:
        self.certificate = certificate
        """The file's bytes."""

    @classmethod
    def load(cls, path: AnyPath) -> Evidence:
        """Reads a certificate, whoever wrote it. Nothing is checked before :meth:`verify`."""
        return cls(Path(path).read_bytes())

    def save(self, path: AnyPath, overwrite: bool = False) -> None:
        """Writes the certificate to a file; ``tacitly evidence verify`` reads it too.

        Raises :class:`FileExistsError` rather than to replace a file, unless ``overwrite`` says so.
        """
        with open(path, "wb" if overwrite else "xb") as file:
            file.write(self.certificate)

    def verify(self, policy: Optional[str] = None) -> dict[str, Any]:
        """What it proves, and how far: signed, included, witnessed, anchored.

        ``policy`` is the text of a policy file: only its keys count then, and its quorum must be met. Without one the keys
        in the certificate are used, which shows a consistent file and not whose keys they are. Raises
        :class:`~tacitly.errors.Evidence` if it does not hold.
        """
        verdict: dict[str, Any] = json.loads(_core.verify_evidence(self.certificate, policy))
        return verdict

    def html(self, policy: Optional[str] = None) -> str:
        """One page to print, in Chinese and English: time, place, person, before, during, after."""
        return _core.evidence_page(self.certificate, policy)

    def _repr_html_(self) -> str:
        verdict = self.verify()
        return _html.table(("", ""), [(name, json.dumps(value, ensure_ascii=False)) for name, value in verdict.items()])

    def __repr__(self) -> str:
        return f"<Evidence: {len(self.certificate)} bytes>"

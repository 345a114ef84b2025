"""Institutions compute on each other's data without showing it.

>>> import tacitly as tt
>>> with tt.simulate(["lender", "insurer"]) as pair:
...     hits = pair.align({"lender": ["138-0013-8000", "13900000001"], "insurer": ["+86 13800138000"]},
...                       normalise="cn-mobile")
...     print(hits["lender"].rows(), hits["insurer"].rows())
['138-0013-8000'] ['+86 13800138000']

In production every side runs the same script on its own machine, with ``Party.from_config("party.toml")`` or
:func:`connect`, and ``with party.session(peer, job=...) as s``; ``peer`` may be several.
"""

from . import errors, kinds
from ._core import __version__, profiles
from ._records import (
    AskedEntry,
    Budget,
    Consortium,
    Dataset,
    Event,
    FailureRecord,
    JobRecord,
    Member,
    PartyRecord,
    Peer,
    Reply,
    Rule,
    ServiceRecord,
    Status,
)
from .errors import PeerLost, TacitlyError, TermsDiffer
from .evidence import Evidence
from .job import Job, JobList
from .kinds.psi import Intersection, Rows, Size
from .party import Party, connect
from .result import Result, RowsResult
from .session import Session
from .simulation import Simulation, simulate

__all__ = [
    "AskedEntry",
    "Budget",
    "Consortium",
    "Dataset",
    "Event",
    "Evidence",
    "FailureRecord",
    "Intersection",
    "Job",
    "JobList",
    "JobRecord",
    "Member",
    "Party",
    "PartyRecord",
    "Peer",
    "PeerLost",
    "Reply",
    "Result",
    "Rows",
    "RowsResult",
    "Rule",
    "ServiceRecord",
    "Session",
    "Simulation",
    "Size",
    "Status",
    "TacitlyError",
    "TermsDiffer",
    "__version__",
    "connect",
    "errors",
    "kinds",
    "profiles",
    "simulate",
]

"""Institutions compute on each other's data without showing it.

>>> import tacitly as tt
>>> with tt.simulate(["lender", "insurer"]) as pair:
...     hits = pair.align({"lender": ["138-0013-8000", "13900000001"], "insurer": ["+86 13800138000"]},
...                       normalise="cn-mobile")
...     print(hits["lender"].rows(), hits["insurer"].rows())
['138-0013-8000'] ['+86 13800138000']

In production each side runs the same script on its own machine, with ``Party.from_config("party.toml")`` or
:func:`connect`, and ``with party.session(peer, job=...) as s``.
"""

from . import errors
from ._core import __version__, kinds, profiles
from ._records import Dataset, Event, FailureRecord, JobRecord, Peer, Status
from .errors import PeerLost, TacitlyError, TermsDiffer
from .evidence import Evidence
from .job import Job, JobList
from .party import Party, connect
from .result import Result, Rows, Size
from .session import Session
from .simulation import Simulation, simulate

__all__ = [
    "Dataset",
    "Event",
    "Evidence",
    "FailureRecord",
    "Job",
    "JobList",
    "JobRecord",
    "Party",
    "Peer",
    "PeerLost",
    "Result",
    "Rows",
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

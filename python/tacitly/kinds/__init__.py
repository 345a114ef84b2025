"""The kinds of job: which there are, and which classes their results have.

Each kind is one file here: what its results are, and its calls on sessions.

>>> import tacitly as tt
>>> tt.kinds.names()
['intersect', 'align', 'cardinality']
"""

from .. import _core
from .._registry import register, registered
from . import psi

__all__ = ["names", "psi", "register", "registered"]


def names() -> list[str]:
    """The kinds of job that the daemon in this package computes; one that runs elsewhere may know others."""
    return _core.kinds()


for _kind, _result in psi.RESULTS.items():
    register(_kind, _result)

"""Which class the result of a kind of job has."""

from __future__ import annotations

from typing import Any, Optional

from . import _core
from ._records import JobRecord
from .result import Result

_CLASSES: dict[str, type[Result]] = {}


def register(kind: str, result: type[Result]) -> None:
    """Gives results of a kind of job a class of their own: a :class:`~tacitly.Result` that knows what its figures mean.

    The kind is computed by the daemons; this is its face in Python. A kind that nobody has registered gives a plain
    :class:`~tacitly.Result`.

    >>> import tacitly as tt
    >>> class Total(tt.Result):
    ...     def __int__(self):
    ...         return self.items or 0
    >>> tt.kinds.register("total", Total)
    >>> tt.kinds.registered()["total"].__name__
    'Total'
    """
    if not (isinstance(result, type) and issubclass(result, Result)):
        raise TypeError(f"results of {kind!r} need a class that is a tacitly.Result")
    known = _CLASSES.get(kind)
    # A notebook defines the same class anew whenever its cell runs.
    if known is not None and _name(known) != _name(result):
        raise ValueError(f"results of {kind!r} have a class already: {_name(known)}")
    _CLASSES[kind] = result


def registered() -> dict[str, type[Result]]:
    """The kinds whose results have a class of their own."""
    return dict(_CLASSES)


def result_of(job: JobRecord, client: _core.Client, frame: Optional[Any]) -> Result:
    """The result of a job that is done, ``frame`` being our data if it was no registered file."""
    return _CLASSES.get(job.kind, Result).of(job, client, frame)


def _name(result: type[Result]) -> str:
    return f"{result.__module__}.{result.__qualname__}"

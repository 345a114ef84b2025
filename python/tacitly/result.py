"""What a job gave: rows of our own data, or a size."""

from __future__ import annotations

from io import BytesIO
from os import PathLike, fspath
from typing import Any, Optional, Union

from . import _core, _frames, _html
from ._records import JobRecord
from .evidence import Evidence


class Result:
    """A job that is done. A side that did not receive holds only this: that it was done, and the sizes."""

    def __init__(self, job: JobRecord, client: _core.Client) -> None:
        self._client = client
        self.job = job
        """The job as it stood when it was done."""

    @property
    def our_items(self) -> int:
        """How many distinct keys we brought."""
        return self.job.our_items

    @property
    def peer_items(self) -> int:
        """How many distinct keys the peer brought."""
        return self.job.peer_items

    def _facts(self) -> list[tuple[str, str]]:
        job = self.job
        facts = [
            ("job", job.id),
            ("kind", f"{job.kind} with {job.peer}"),
            ("our keys", f"{job.our_items:,}"),
            (f"keys of {job.peer}", f"{job.peer_items:,}"),
            ("bytes out, in", f"{job.bytes_out:,}, {job.bytes_in:,}"),
        ]
        if job.hint:
            facts.append(("hint", job.hint))
        return facts

    def summary(self) -> str:
        """The figures of the job, one a line."""
        facts = self._facts()
        width = max(len(name) for name, _ in facts)
        return "\n".join(f"{name:<{width}}  {fact}" for name, fact in facts)

    def evidence(self) -> Evidence:
        """The job's evidence, as our side has it on record."""
        return Evidence(self._client.evidence(self.job.id))

    def _repr_html_(self) -> str:
        return _html.table(("", ""), self._facts())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.job.kind} with {self.job.peer}, job {self.job.id}>"


class Size(Result):
    """How many keys are shared. It is a number wherever one is needed.

    >>> size = sim.cardinality({"bank": ["a", "b"], "shop": ["b", "c"]}, normalise="raw")["bank"]
    >>> int(size), size.shared / size.our_items
    (1, 0.5)
    """

    @property
    def shared(self) -> int:
        """How many keys are shared."""
        return self.job.result_items or 0

    def __int__(self) -> int:
        return self.shared

    def __index__(self) -> int:
        return self.shared

    def _facts(self) -> list[tuple[str, str]]:
        return [*super()._facts(), ("shared keys", f"{self.shared:,}")]


class Rows(Result):
    """Our rows of a result: ascending after ``intersect``, in the order that both sides share after ``align``.

    >>> hits = sim.align({"bank": ["a", "b", "c"], "shop": ["c", "x", "a"]}, normalise="raw")
    >>> sorted(hits["bank"].rows()), hits["bank"].rows() == hits["shop"].rows()
    (['a', 'c'], True)
    """

    def __init__(self, job: JobRecord, client: _core.Client, frame: Optional[Any]) -> None:
        super().__init__(job, client)
        self._frame = frame
        self._rows: Optional[memoryview] = None
        self._file: Optional[Any] = None

    @property
    def indices(self) -> memoryview:
        """The row numbers, from 0: a buffer of 32-bit numbers, which ``numpy.asarray`` takes without a copy."""
        if self._rows is None:
            self._rows = memoryview(self._client.job_rows(self.job.id)).cast("I")
        return self._rows

    def __len__(self) -> int:
        return len(self.indices)

    def rows(self, frame: Optional[Any] = None) -> Any:
        """The result's rows of ``frame``, which lies row by row beside the one that was given; of that one if absent.

        A pandas frame gives a pandas frame, a polars frame a polars frame, an array an array, a list a list.
        """
        frame = self._frame if frame is None else frame
        if frame is None:
            raise TypeError("the rows are in a registered file: use to_pandas, to_polars, to_arrow or write")
        return _frames.take(frame, self.indices)

    def to_pandas(self) -> Any:
        """The rows as a pandas DataFrame."""
        if self._frame is not None:
            return _frames.to_pandas(self.rows())
        import pandas

        return pandas.read_parquet(self._parquet())

    def to_polars(self) -> Any:
        """The rows as a polars DataFrame."""
        if self._frame is not None:
            return _frames.to_polars(self._typed_rows())
        import polars

        return polars.read_parquet(self._parquet())

    def to_arrow(self) -> Any:
        """The rows as a pyarrow Table."""
        if self._frame is not None:
            return _frames.to_arrow(self._typed_rows())
        import pyarrow.parquet

        return pyarrow.parquet.read_table(self._parquet())

    def __arrow_c_stream__(self, requested_schema: Optional[object] = None) -> object:
        """The Arrow PyCapsule interface: any library that speaks it takes the rows."""
        if self._frame is None:
            return self.to_arrow().__arrow_c_stream__(requested_schema)
        source = _frames.arrow_source(self._frame)
        return _core.take(source, self.indices.tobytes()).__arrow_c_stream__(requested_schema)

    def write(self, path: Union[str, PathLike[str]], columns: tuple[str, ...] = ()) -> None:
        """Writes the rows of a registered file to a new file: Parquet if its name ends so, else CSV."""
        if self._frame is not None:
            raise TypeError("the frame is yours: use rows(), and write what it gives")
        name = fspath(path)
        kind = "parquet" if name.lower().endswith(".parquet") else "csv"
        data = self._client.job_result(self.job.id, list(columns), kind)
        with open(name, "xb") as file:
            file.write(data)

    def _typed_rows(self) -> Any:
        """The rows, of a table whose columns have types: a pandas column forgets its own if all chosen rows are empty."""
        frame = _frames.to_arrow(self._frame) if _frames.library_of(self._frame) == "pandas" else self._frame
        return _frames.take(frame, self.indices)

    def _parquet(self) -> BytesIO:
        if self._file is None:
            self._file = self._client.job_result(self.job.id, [], "parquet")
        return BytesIO(self._file)

    def _facts(self) -> list[tuple[str, str]]:
        return [*super()._facts(), ("shared keys", f"{self.job.result_items or 0:,}"), ("our rows", f"{len(self):,}")]


def result_of(job: JobRecord, client: _core.Client, frame: Optional[Any]) -> Result:
    """The result of a job that is done."""
    if job.receiver == "peer":
        return Result(job, client)
    return Size(job, client) if job.kind == "cardinality" else Rows(job, client, frame)

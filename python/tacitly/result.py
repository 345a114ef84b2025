"""What a job gave: rows of our own data, a number, or a document, and the figures that its kind shows."""

from __future__ import annotations

from io import BytesIO
from os import PathLike, fspath
from typing import Any, Optional, Union

from . import _core, _frames, _html
from ._records import JobRecord, PartyRecord
from .evidence import Evidence


class Result:
    """A job that is done, of any kind. A side that did not receive has its figures and no rows, number or document.

    Kinds give it a class of their own with :func:`tacitly.kinds.register`.
    """

    _elsewhere = "document()"
    """Where the rows of a registered file come from."""

    def __init__(self, job: JobRecord, client: _core.Client, frame: Optional[Any] = None) -> None:
        self._client = client
        self._frame = frame
        self._rows: Optional[memoryview] = None
        self.job = job
        """The job as it stood when it was done."""

    @classmethod
    def of(cls, job: JobRecord, client: _core.Client, frame: Optional[Any] = None) -> Result:
        """The result of a job as it is for us; a kind may have several classes, say for those who receive nothing."""
        return cls(job, client, frame)

    @property
    def parties(self) -> tuple[PartyRecord, ...]:
        """Everybody who took part, us too."""
        return self.job.parties

    @property
    def figures(self) -> dict[str, Any]:
        """What the kind shows of the job, by name."""
        return self.job.summary

    @property
    def items(self) -> Optional[int]:
        """How many rows the result has, or the number that it is; ``None`` if none came to us."""
        return self.job.result_items

    @property
    def indices(self) -> memoryview:
        """The row numbers, from 0: a buffer of 32-bit numbers, which ``numpy.asarray`` takes without a copy.

        Raises :class:`~tacitly.errors.ResultNone` if the result is no rows, or none came to us.
        """
        if self._rows is None:
            self._rows = memoryview(self._client.job_rows(self.job.id)).cast("I")
        return self._rows

    def rows(self, frame: Optional[Any] = None) -> Any:
        """The result's rows of ``frame``, which lies row by row beside the one that was given; of that one if absent.

        A pandas frame gives a pandas frame, a polars frame a polars frame, an array an array, a list a list. Raises
        :class:`~tacitly.errors.ResultNone` if the result is no rows, or none came to us.
        """
        rows, frame = self.indices, self._frame if frame is None else frame
        if frame is None:
            raise TypeError(
                f"the rows are in a registered file: use {self._elsewhere}, or give rows() what lies beside the file"
            )
        return _frames.take(frame, rows)

    def document(self) -> bytes:
        """A result that is a document, as its kind wrote it; rows of a registered file come as CSV.

        Raises :class:`~tacitly.errors.ResultNone` if the result is a number, or none came to us.
        """
        return self._client.job_result(self.job.id, [], "")

    def summary(self) -> str:
        """The figures of the job, one a line."""
        facts = self._facts()
        width = max(len(name) for name, _ in facts)
        return "\n".join(f"{name:<{width}}  {fact}" for name, fact in facts)

    def evidence(self) -> Evidence:
        """The job's evidence, as our side has it on record."""
        return Evidence(self._client.evidence(job=self.job.id, query=""))

    def _facts(self) -> list[tuple[str, str]]:
        """What is worth telling, by name: the kind's own words stand between what every job has."""
        job = self.job
        return [
            ("job", job.id),
            ("kind", job.title),
            *self._told(),
            ("bytes out, in", f"{job.bytes_out:,}, {job.bytes_in:,}"),
        ]

    def _told(self) -> list[tuple[str, str]]:
        """The figures in words; kinds have better ones."""
        items = [] if self.items is None else [("result", f"{self.items:,}")]
        return [*((name, str(figure)) for name, figure in self.figures.items()), *items]

    def _repr_html_(self) -> str:
        return _html.table(("", ""), self._facts())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.job.title}, job {self.job.id}>"


class RowsResult(Result):
    """Rows of our own data, in whatever kind of table they are wanted."""

    _elsewhere = "to_pandas, to_polars, to_arrow or write"
    _file: Optional[bytes] = None

    def __len__(self) -> int:
        return len(self.indices)

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

"""Frames of any library: their key columns in, and rows of them back, each in its own kind.

No library is imported here unless the caller already uses it: what an object is tells its own module.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from . import _core, errors

Columns = Union[str, Sequence[str], None]

LONE_COLUMN = "key"
"""The name of a column that has none, such as a list."""

_NEEDED = {
    "pandas": ("2.2", "pip install 'pandas>=2.2' 'pyarrow>=14'"),
    "polars": ("1.3", "pip install 'polars>=1.3'"),
    "pyarrow": ("14", "pip install 'pyarrow>=14'"),
}
"""The first versions whose tables offer ``__arrow_c_stream__``."""


def library_of(value: object) -> str:
    """The top module of a value's type."""
    return type(value).__module__.partition(".")[0]


def is_lone(value: object) -> bool:
    """Whether a value is one column without a name: a list, an array, a series."""
    return isinstance(value, (list, tuple)) or library_of(value) == "numpy" or type(value).__name__ == "Series"


def column_names(value: object, on: Columns) -> list[str]:
    """The key columns, in order."""
    if on is None:
        if not is_lone(value):
            raise TypeError("a table needs on=, the name of its key column (or names)")
        return [str(getattr(value, "name", None) or LONE_COLUMN)]
    names = [on] if isinstance(on, str) else [str(name) for name in on]
    if not names:
        raise ValueError("on= names no key column")
    return names


def keys_of(value: Any, on: Columns) -> _core.Frame:
    """The key columns of a frame, on their way to a daemon.

    >>> len(keys_of(["13800138000", "13800138001"], None))
    2
    >>> len(keys_of({"mobile": ["13800138000"], "name": ["Li"]}, "mobile"))
    1
    """
    names = column_names(value, on)
    if isinstance(value, (str, bytes)):
        raise TypeError("a text is no frame; a dataset by its name is given without on=")
    if isinstance(value, Mapping):
        return _core.Frame.from_lists([(name, _list(_column(value, name))) for name in names])
    if is_lone(value) and not hasattr(value, "__arrow_c_stream__"):
        if len(names) != 1:
            raise TypeError("a list is one column: give one name, or none")
        if getattr(value, "ndim", 1) != 1:
            raise TypeError("an array is one column of keys: give one of its columns")
        return _core.Frame.from_lists([(names[0], _list(value))])
    if type(value).__name__ == "LazyFrame":
        raise TypeError("a LazyFrame holds no rows yet: give frame.collect()")
    if not hasattr(value, "__arrow_c_stream__"):
        raise TypeError(_too_old(value))
    return _core.Frame.from_arrow(_narrow(value, names), names)


def take(value: Any, rows: memoryview) -> Any:
    """These rows of a frame, a list, an array or any Arrow table, in this order, as the same kind.

    >>> take(["a", "b", "c"], memoryview(b"\\2\\0\\0\\0\\0\\0\\0\\0").cast("I"))
    ['c', 'a']
    """
    library = library_of(value)
    if isinstance(value, Mapping):
        return {name: take(column, rows) for name, column in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([value[row] for row in rows])
    if library == "numpy" or "scipy" in library:
        return value[_numpy_rows(rows)]
    if library == "pandas":
        return value.iloc[_numpy_rows(rows)]
    if library == "polars":
        return value[rows.tolist()]
    if library == "pyarrow":
        pyarrow = sys.modules["pyarrow"]
        numbers = pyarrow.Array.from_buffers(pyarrow.uint32(), len(rows), [None, pyarrow.py_buffer(rows)])
        return value.take(numbers)
    if hasattr(value, "iloc"):
        return value.iloc[rows.tolist()]
    if hasattr(value, "__arrow_c_stream__"):
        return _core.take(value, rows.tobytes())
    return value[rows.tolist()]


def to_pandas(value: Any) -> Any:
    """A frame as a pandas DataFrame, its types kept."""
    import pandas

    if isinstance(value, pandas.DataFrame):
        return value
    if library_of(value) == "pandas":
        return value.to_frame()
    if isinstance(value, Mapping):
        return pandas.DataFrame(dict(value))
    if not hasattr(value, "__arrow_c_stream__"):
        return pandas.DataFrame({LONE_COLUMN: _list(value)})
    if library_of(value) == "polars":
        # polars knows best how its categories become those of pandas.
        return (value if type(value).__name__ == "DataFrame" else value.to_frame()).to_pandas()
    return to_arrow(value).to_pandas()


def to_polars(value: Any) -> Any:
    """A frame as a polars DataFrame, its types kept."""
    import polars

    library = library_of(value)
    if isinstance(value, polars.DataFrame):
        return value
    if library == "polars":
        return value.to_frame()
    if library == "pandas":
        return polars.from_pandas(to_pandas(value))
    if isinstance(value, Mapping):
        return polars.DataFrame(dict(value))
    if library == "pyarrow":
        return polars.from_arrow(value)
    if hasattr(value, "__arrow_c_stream__"):
        return polars.DataFrame(value)
    return polars.DataFrame({LONE_COLUMN: _list(value)})


def to_arrow(value: Any) -> Any:
    """A frame as a pyarrow Table, its types kept."""
    import pyarrow

    library = library_of(value)
    if isinstance(value, pyarrow.Table):
        return value
    if isinstance(value, pyarrow.RecordBatch):
        return pyarrow.Table.from_batches([value])
    if library == "pandas":
        return pyarrow.Table.from_pandas(to_pandas(value), preserve_index=False)
    if library == "polars":
        return _table_of_polars(value)
    if isinstance(value, Mapping):
        return pyarrow.table(dict(value))
    if hasattr(value, "__arrow_c_stream__"):
        return pyarrow.table(value)
    return pyarrow.table({LONE_COLUMN: _list(value)})


def arrow_source(value: Any) -> Any:
    """Something with ``__arrow_c_stream__`` that holds the same rows, without an index column."""
    if library_of(value) == "pandas" or not hasattr(value, "__arrow_c_stream__"):
        return to_arrow(value)
    return value.to_frame() if type(value).__name__ == "Series" else value


def _table_of_polars(value: Any) -> Any:
    frame = value if type(value).__name__ == "DataFrame" else value.to_frame()
    return frame.to_arrow()


def _numpy_rows(rows: memoryview) -> Any:
    import numpy

    return numpy.frombuffer(rows, dtype=numpy.uint32)


def _list(column: Any) -> list[Any]:
    return list(column.tolist()) if hasattr(column, "tolist") else list(column)


def _column(value: Mapping[str, Any], name: str) -> Any:
    if name not in value:
        raise _no_column(name, list(value))
    return value[name]


def _no_column(name: str, there: Sequence[object]) -> errors.TacitlyError:
    # A frame made of a file without a header has a row for names, so none is shown.
    text = f"the frame, column {name!r}: there is no such column; it has {len(there)}; check the spelling"
    return errors.of("dataset-input", text)


def _narrow(value: Any, names: list[str]) -> Any:
    """Only the key columns, where the library has to copy what it hands over."""
    library = library_of(value)
    if type(value).__name__ == "Series":
        return value.to_frame(names[0]) if library == "pandas" else value.alias(names[0]).to_frame()
    if library != "pandas":
        return value
    for name in names:
        if name not in value.columns:
            raise _no_column(name, list(value.columns))
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ImportError(
            "pandas hands its columns over through pyarrow, which is not installed: pip install 'pyarrow>=14'"
        ) from None
    return value[names].reset_index(drop=True)


def _too_old(value: object) -> str:
    library = library_of(value)
    if library not in _NEEDED:
        return (
            f"{type(value).__name__} is no frame: give a table with __arrow_c_stream__ (pandas, polars, pyarrow, "
            "duckdb), a mapping of columns, a list or a numpy array"
        )
    version: Optional[str] = getattr(sys.modules.get(library), "__version__", None)
    needed, hint = _NEEDED[library]
    return f"frames of {library} need {library} {needed} or newer (here is {version}): {hint}"

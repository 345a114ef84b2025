"""Frames of every library in, the same rows back out, with their types."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tacitly as tt
from tacitly import _core, _frames

BANK = ["138-0013-8000", "13900000001", "13900000002", "13900000003"]
SHOP = ["+86 13900000002", "13800138000", "13700000000"]
SHARED = {"13800138000", "13900000002"}


class OnlyArrow:
    """A library that nobody has heard of, with Arrow's interface and nothing else."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def table_of(kind, keys):
    values = list(range(len(keys)))
    return {
        "dict": lambda: {"phone": keys, "n": values},
        "pandas": lambda: pd.DataFrame({"phone": keys, "n": values}, index=[f"r{value}" for value in values]),
        "polars": lambda: pl.DataFrame({"phone": keys, "n": values}),
        "pyarrow": lambda: pa.table({"phone": keys, "n": values}),
        "batch": lambda: pa.RecordBatch.from_pydict({"phone": keys, "n": values}),
        "arrow only": lambda: OnlyArrow(pa.table({"phone": keys, "n": values})),
    }[kind]()


def numbers_of(rows):
    """The column `n` of rows of any kind."""
    if not hasattr(rows, "__getitem__"):
        rows = pa.table(rows)
    column = rows["n"]
    return column.tolist() if hasattr(column, "tolist") else column.to_pylist() if hasattr(column, "to_pylist") else list(column)


@pytest.mark.parametrize("kind", ["dict", "pandas", "polars", "pyarrow", "batch", "arrow only"])
def test_a_table_of_any_library_gives_its_own_rows_in_the_common_order(sim, kind):
    frame = table_of(kind, BANK)
    hits = sim.align({"bank": frame, "shop": table_of("dict", SHOP)}, on="phone", normalise="cn-mobile")
    rows = hits["bank"].rows()
    if kind not in ("arrow only", "batch"):
        assert type(rows) is type(frame)
    theirs = [phone.replace("+86 ", "") for phone in hits["shop"].rows()["phone"]]
    assert [BANK[n].replace("-", "") for n in numbers_of(rows)] == theirs
    assert set(theirs) == SHARED


@pytest.mark.parametrize(
    "column",
    [
        BANK,
        tuple(BANK),
        np.array(BANK),
        np.array(BANK, dtype=object),
        pd.Series(BANK, name="phone"),
        pl.Series("phone", BANK),
        [13800138000, 13900000001, 13900000002, 13900000003],
        np.array([13800138000, 13900000001, 13900000002, 13900000003]),
        pl.Series([13800138000, 13900000001, 13900000002, 13900000003], dtype=pl.UInt64),
        pd.Series(BANK, dtype="category"),
        [b"13800138000", b"13900000001", b"13900000002", b"13900000003"],
    ],
    ids=lambda column: f"{type(column).__module__}.{type(column).__name__}",
)
def test_a_lone_column_needs_no_name(sim, column):
    hits = sim.intersect({"bank": column, "shop": SHOP}, normalise="cn-mobile")
    assert list(hits["bank"].indices) == [0, 2]
    rows = hits["bank"].rows()
    assert type(rows) is type(column) and len(rows) == 2


def test_nulls_of_every_library_are_empty_keys_and_never_meet(sim):
    for empty in ([None, "a"], pd.Series([None, "a"]), pl.Series([None, "a"]), np.array([np.nan, "a"], dtype=object)):
        hits = sim.intersect({"bank": empty, "shop": [None, "a"]}, normalise="raw", invalid="skip")
        assert list(hits["bank"].indices) == [1]


def wide_table():
    """A column of every type that people have, and a null in each."""
    utc = datetime.timezone.utc
    return pa.table(
        {
            "id": pa.array(["a", "b", "c", "d"]),
            "small": pa.array([1, None, 3, 4], pa.int8()),
            "big": pa.array([2**63, None, 3, 4], pa.uint64()),
            "score": pa.array([0.5, None, float("nan"), 4.0], pa.float64()),
            "single": pa.array([0.5, None, 1.5, 4.0], pa.float32()),
            "flag": pa.array([True, None, False, True]),
            "day": pa.array([datetime.date(2024, 2, 29), None, datetime.date(1999, 1, 1), datetime.date(2030, 1, 1)]),
            "moment": pa.array([datetime.datetime(2024, 2, 29, tzinfo=utc), None] * 2, pa.timestamp("us", "UTC")),
            "local": pa.array([datetime.datetime(2024, 2, 29), None] * 2, pa.timestamp("ns")),
            "money": pa.array([decimal.Decimal("1.25"), None] * 2, pa.decimal128(20, 2)),
            "group": pa.array(["x", None, "y", "x"]).dictionary_encode(),
            "raw": pa.array([b"\x00\xff", None, b"", b"z"]),
            "list": pa.array([[1, 2], None, [], [3]], pa.list_(pa.int64())),
        }
    )


def test_every_type_survives_the_way_through_a_result(sim):
    table = wide_table()
    for frame in (table, OnlyArrow(table)):
        hits = sim.intersect({"bank": frame, "shop": ["d", "b", "x"]}, on={"bank": "id", "shop": None}, normalise="raw")
        expected = table.take([1, 3])
        assert hits["bank"].to_arrow() == expected
        assert pa.table(hits["bank"]) == expected
        assert pl.DataFrame(hits["bank"]).equals(pl.from_arrow(expected))


def test_results_come_as_pandas_polars_and_pyarrow_with_types_kept(sim):
    table = wide_table()
    frame = table.to_pandas()
    frame["many"] = pd.array([1, None, 3, 4], dtype="Int64")
    frame.index = pd.Index([10, 20, 30, 40], name="row")
    hit = sim.intersect({"bank": frame, "shop": ["d", "b"]}, on={"bank": "id", "shop": None}, normalise="raw")["bank"]
    pd.testing.assert_frame_equal(hit.to_pandas(), frame.loc[[20, 40]])
    assert hit.to_polars().columns == list(frame.columns)
    assert hit.to_polars().schema["group"] in (pl.Categorical, pl.Enum) and hit.to_polars().schema["many"] == pl.Int64
    assert hit.to_arrow().schema.field("moment").type == pa.timestamp("us", "UTC")
    assert pa.table(hit) == hit.to_arrow()

    frame = pl.from_arrow(table)
    hit = sim.intersect({"bank": frame, "shop": ["d", "b"]}, on={"bank": "id", "shop": None}, normalise="raw")["bank"]
    assert hit.to_polars().equals(frame[[1, 3]]) and hit.to_polars().schema == frame.schema
    assert pl.from_arrow(hit.to_arrow()).equals(frame[[1, 3]])
    assert hit.to_pandas()["id"].tolist() == ["b", "d"]

    for frame in ({"id": ["a", "b"]}, ["a", "b"], np.array(["a", "b"])):
        hit = sim.intersect({"bank": frame, "shop": ["b"]}, on=None if not isinstance(frame, dict) else {"bank": "id", "shop": None}, normalise="raw")["bank"]
        for converted in (hit.to_pandas(), hit.to_polars(), hit.to_arrow()):
            assert converted.shape == (1, 1)
        assert pa.table(hit).num_rows == 1


def test_rows_of_other_data_that_lies_beside_the_frame(sim):
    hits = sim.align({"bank": ["a", "b", "c"], "shop": ["c", "b"]}, normalise="raw")
    order = list(hits["bank"].indices)
    features = np.arange(6).reshape(3, 2)
    assert hits["bank"].rows(features).tolist() == features[order].tolist()
    assert hits["bank"].rows(pd.DataFrame(features))[0].tolist() == [2 * row for row in order]
    assert np.asarray(hits["bank"].indices).dtype == np.uint32


def test_many_rows_in_many_batches_are_all_there(sim):
    count = 70_000
    keys = [f"{number:011}" for number in range(count)]
    chunked = pa.chunked_array([keys[:1], keys[1:50_000], keys[50_000:]])
    theirs = pl.DataFrame({"k": [f"{number:011}" for number in range(0, count, 8)]})
    hits = sim.intersect({"bank": pa.table({"k": chunked}), "shop": theirs}, on="k", normalise="raw")
    assert list(hits["bank"].indices) == list(range(0, count, 8))
    assert len(hits["shop"]) == count // 8


def test_what_is_no_frame_is_refused_in_words(sim):
    party = sim["bank"].session("shop", job="never met", timeout=1)
    cases = [
        (pl.LazyFrame({"a": ["x"]}), {"on": "a"}, "collect()"),
        (pd.DataFrame({"a": ["x"]}), {}, "on="),
        (object(), {"on": "a"}, "__arrow_c_stream__"),
        (np.zeros((2, 2)), {}, "one column"),
        (["x"], {"normalise": None}, "cn-mobile"),
        (pd.DataFrame({"a": ["x"]}), {"on": ["a"], "normalise": ["raw", "raw"]}, "profiles"),
        ("customers", {"on": "a"}, "registered dataset"),
    ]
    for frame, settings, words in cases:
        with pytest.raises(TypeError, match=".") as refused:
            party.intersect(frame, **{"normalise": "raw", **settings})
        assert words in str(refused.value)


def test_a_column_that_cannot_be_a_key_is_named_with_its_mend_and_no_value(sim):
    party = sim["bank"].session("shop", job="never met", timeout=1)
    cases = [
        (pd.DataFrame({"a": [13800138000.5]}), "a"),
        (pl.DataFrame({"a": [1.5]}), "a"),
        (pa.table({"a": [True]}), "a"),
        ({"a": [1.5]}, "a"),
        (pd.DataFrame({"b": ["secret"]}), "a"),
        (pl.DataFrame({"b": ["secret"]}), "a"),
        ({"b": ["secret"]}, "a"),
        (pl.DataFrame({"a": ["secret"]}), "a"),
        (["secret", "secret"], None),
    ]
    for frame, on in cases:
        with pytest.raises(tt.errors.DatasetInput) as refused:
            party.intersect(frame, on=on, normalise="cn-mobile" if on else "raw")
        text = str(refused.value)
        assert repr(on or "key").replace("'", '"') in text.replace("'", '"') or "row 2" in text
        assert "secret" not in text and "13800138000" not in text


def test_the_private_core_takes_no_broken_stream():
    class Liar:
        def __arrow_c_stream__(self, requested_schema=None):
            return "no capsule"

    with pytest.raises(TypeError):
        _core.Frame.from_arrow(Liar(), ["a"])
    used = pa.table({"a": ["x"]}).__arrow_c_stream__()

    class Spent:
        def __arrow_c_stream__(self, requested_schema=None):
            return used

    assert len(_core.Frame.from_arrow(Spent(), ["a"])) == 1
    with pytest.raises(ValueError):
        _core.Frame.from_arrow(Spent(), ["a"])
    with pytest.raises(ValueError, match="key column"):
        _core.Frame.from_arrow(pa.table({"a": ["x"]}), [])
    with pytest.raises(ValueError, match="key column"):
        _core.Frame.from_lists([])
    with pytest.raises(ValueError, match="no key column"):
        _frames.keys_of({"a": ["x"]}, [])
    with pytest.raises((ValueError, IndexError)):
        _core.take(pa.table({"a": ["x"]}), np.array([7], dtype=np.uint32).tobytes())
    assert _frames.library_of(pd.DataFrame()) == "pandas"

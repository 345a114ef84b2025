"""Libraries of before `__arrow_c_stream__`: refused in words that name the version needed. Run by python/test with them."""

import pandas
import polars
import pyarrow
import pytest

CASES = [
    (lambda: pandas.DataFrame({"a": ["x"]}), f"pandas 2.2 or newer (here is {pandas.__version__})"),
    (lambda: polars.DataFrame({"a": ["x"]}), f"polars 1.3 or newer (here is {polars.__version__})"),
    (lambda: pyarrow.table({"a": ["x"]}), f"pyarrow 14 or newer (here is {pyarrow.__version__})"),
]


@pytest.mark.parametrize("frame, words", CASES, ids=["pandas", "polars", "pyarrow"])
def test_a_library_that_is_too_old_is_named_with_the_version_needed(sim, frame, words):
    with pytest.raises(TypeError) as refused:
        sim["bank"].session("shop", job="too old").align(frame(), on="a", normalise="raw")
    assert words in str(refused.value) and "pip install" in str(refused.value)


def test_lists_and_arrays_need_no_library_at_all(sim):
    hits = sim.align({"bank": pandas.Series(["a", "b"]).to_numpy(), "shop": ["b"]}, normalise="raw")
    assert hits["shop"].rows() == ["b"]

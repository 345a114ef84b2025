"""What a kind of job asks beside parties and data, written as all sides sign it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any

_WORD = 2**64


def canonical(params: Mapping[str, Any]) -> str:
    """The one encoding of these parameters.

    Whole numbers from 0, texts, lists and mappings stand as they are. A float stands for exactly its value, as a whole
    number over a power of two, so that no rounding decides what parties agree on.

    >>> canonical({"rows": 3, "rate": 0.75, "labels": ["b", "a"]})
    '{"labels":["b","a"],"rate":{"neg":false,"num":3,"shift":2},"rows":3}'
    """
    return _text(_mapping(params, "params"))


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _value(value: Any, where: str) -> Any:
    if isinstance(value, str):
        return value
    # NumPy's whole numbers are none of Python's.
    if isinstance(value, Integral) and not isinstance(value, bool):
        if 0 <= int(value) < _WORD:
            return int(value)
        raise ValueError(f"{where}: a whole number is 0 or more and below 2**64; others are given as floats")
    if isinstance(value, float):
        return _fraction(value, where)
    if isinstance(value, Mapping):
        return _mapping(value, where)
    if isinstance(value, (list, tuple)):
        return [_value(one, f"{where}[{at}]") for at, one in enumerate(value)]
    raise TypeError(
        f"{where}: a {type(value).__name__} cannot be agreed on; give a number, a text, a list or a mapping of these"
    )


def _mapping(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not all(isinstance(name, str) for name in value):
        raise TypeError(f"{where}: the names of a mapping are texts")
    return {name: _value(one, f"{where}.{name}") for name, one in value.items()}


def _fraction(value: float, where: str) -> dict[str, Any]:
    if not math.isfinite(value):
        raise ValueError(f"{where}: a number that parties agree on is finite")
    num, power = value.as_integer_ratio()
    if abs(num) >= _WORD:
        raise ValueError(f"{where}: a number that parties agree on is below 2**64")
    return {"neg": num < 0, "num": abs(num), "shift": power.bit_length() - 1}

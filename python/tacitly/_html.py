"""Small tables for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def shown(text: object) -> str:
    """Text between tags. What commands a terminal, turns a line around or hides stands as its number.

    >>> shown("<b>\\u202e")
    '&lt;b&gt;\\\\u202e'
    """
    plain = (c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
    return escape("".join(plain))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """An HTML table; every cell is escaped."""
    line = "".join(f"<th>{shown(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{shown(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    title = f"<caption>{shown(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{line}</tr></thead><tbody>{body}</tbody></table>"

"""How does text that others wrote stand in a document of ours? As itself: in Markdown, and in a table that a spreadsheet opens."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-!|<>~&])")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def literal(text: str) -> str:
    """Text for a line or a table cell of Markdown, every sign of Markdown disarmed."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def safe_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe. Numbers stay numbers."""
    if not isinstance(value, str):
        return value
    return f"'{value}" if value.lstrip(" ").startswith(FORMULA) or value.startswith(FORMULA) else value


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """CSV with a head, as RFC 4180 has it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(head)
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    return out.getvalue()

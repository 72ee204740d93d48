"""How does a table leave as CSV, and come back? Cells that a spreadsheet would take for a formula carry an apostrophe meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from django.http import HttpResponse

from incidents import spelling

# `'=…` at a cell's beginning, as `spelling.safe_cell` wrote it: after a separator, a quote, or at a line's start.
GUARDED = re.compile(r"(?m)(^|[,;\t\"])'(?= *[=+\-@\t\r\n])")


def unguarded(text: str) -> str:
    """The table's text without the apostrophes that were put before formulas when it left."""
    return GUARDED.sub(r"\1", text)


def attached(head: Sequence[str], rows: Iterable[Sequence[object]], name: str) -> HttpResponse:
    """The table as a download, in UTF-8 with the mark that spreadsheets go by."""
    answer = HttpResponse("\ufeff" + spelling.table(head, rows), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer

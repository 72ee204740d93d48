"""How does a document leave the house on paper? Headings, paragraphs, lists and tables, as PDF; text is text, nothing is loaded.

Every piece of text is escaped before the typesetter sees it, so that markup in a monitor's name prints as it was written
and no picture, link or font is ever fetched. Characters that the font lacks print as their nearest letters, else as `?`.
"""

from __future__ import annotations

import functools
import html
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import reportlab
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import (
    HRFlowable,
    ListFlowable,
    ListItem,
    LongTable,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    TableStyle,
    XPreformatted,
)

from incidents.blocks import Block, Code, Grid, Heading, Line, Points, Text

INK, FAINT, LINE = colors.HexColor("#1c1a17"), colors.HexColor("#6b665e"), colors.HexColor("#d8d4cc")
LIKE = {"→": "->", "←": "<-", "−": "-", "✓": "ok", "≥": ">=", "≤": "<=", "■": "*", "●": "*", "▲": "*"}
MOST_CELLS = 20_000


@functools.cache
def _fonts() -> tuple[str, frozenset[int]]:
    """(the family's name, the characters it has): DejaVu where the machine has it, as it writes Greek and Cyrillic too; else what comes along."""
    usual = Path("/usr/share/fonts/truetype/dejavu")
    faces = [usual / f"{name}.ttf" for name in ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans", "DejaVuSans-Bold")]
    if not all(face.exists() for face in faces):
        along = Path(reportlab.__file__).parent / "fonts"
        faces = [along / f"{name}.ttf" for name in ("Vera", "VeraBd", "VeraIt", "VeraBI")]
    for suffix, face in zip(("", "-b", "-i", "-bi"), faces, strict=True):
        pdfmetrics.registerFont(TTFont(f"paper{suffix}", str(face)))
    pdfmetrics.registerFontFamily("paper", normal="paper", bold="paper-b", italic="paper-i", boldItalic="paper-bi")
    known: Any = pdfmetrics.getFont("paper").face
    return "paper", frozenset(known.charToGlyph)


def printable(text: str) -> str:
    """The text in characters that the font has; control characters are gone."""
    _, known = _fonts()
    found = []
    for char in text:
        if char in "\n\t":
            found.append(char)
        elif unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co"):
            continue  # what steers instead of being read, as a turn of direction
        elif ord(char) in known:
            found.append(char)
        else:
            bare = LIKE.get(char) or unicodedata.normalize("NFKD", char)
            found.append("".join(c for c in bare if ord(c) in known) or "?")
    return "".join(found)


def _escaped(text: str) -> str:
    return html.escape(printable(text), quote=True).replace("\n", "<br/>")


def _markup(text: Text) -> str:
    wrap = {"": "{}", "b": "<b>{}</b>", "i": "<i>{}</i>", "code": '<font face="Courier">{}</font>'}
    parts = []
    for words, style in text.runs:
        if style == "code" and not words.isascii():
            style = ""
        parts.append(wrap[style].replace("{}", _escaped(words)))
    return "".join(parts)


def _styles() -> dict[str, ParagraphStyle]:
    family, _ = _fonts()
    base = ParagraphStyle(
        "text", fontName=family, fontSize=9.5, leading=13.5, textColor=INK, spaceAfter=5, splitLongWords=1
    )
    return {
        "text": base,
        "item": ParagraphStyle("item", base, spaceAfter=2),
        "faint": ParagraphStyle("faint", base, textColor=FAINT, fontSize=8.5, leading=12),
        "cell": ParagraphStyle("cell", base, fontSize=8, leading=10.5, spaceAfter=0),
        "head": ParagraphStyle("head", base, fontSize=8, leading=10.5, spaceAfter=0, textColor=FAINT),
        "code": ParagraphStyle("code", base, fontName="Courier", fontSize=8, leading=10.5, spaceBefore=4, spaceAfter=7),
        "h1": ParagraphStyle("h1", base, fontName=f"{family}-b", fontSize=17, leading=22, spaceAfter=8),
        "h2": ParagraphStyle("h2", base, fontName=f"{family}-b", fontSize=12.5, leading=17, spaceBefore=9, spaceAfter=5, keepWithNext=1),
        "h3": ParagraphStyle("h3", base, fontName=f"{family}-b", fontSize=10.5, leading=14, spaceBefore=6, spaceAfter=4, keepWithNext=1),
    }  # fmt: skip


def pdf(title: str, blocks: Sequence[Block], *, foot: str = "") -> bytes:
    """A4 pages with page numbers. The same blocks give the same bytes."""
    styles, out = _styles(), io.BytesIO()
    width = A4[0] - 36 * mm
    paper = SimpleDocTemplate(
        out, pagesize=A4, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=18 * mm, bottomMargin=20 * mm, title=printable(title)[:200], author="", invariant=1
    )  # fmt: skip
    story: list[Any] = []
    for block in blocks:
        story += _flow(block, styles, width)

    def footer(canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont(_fonts()[0], 7.5)
        canvas.setFillColor(FAINT)
        canvas.drawString(18 * mm, 11 * mm, printable(foot)[:110])
        canvas.drawRightString(A4[0] - 18 * mm, 11 * mm, str(document.page))
        canvas.restoreState()

    paper.build(story or [Spacer(1, 1)], onFirstPage=footer, onLaterPages=footer)
    return out.getvalue()


def _flow(block: Block, styles: dict[str, ParagraphStyle], width: float) -> list[Any]:
    if isinstance(block, Heading):
        return [Paragraph(_escaped(block.text), styles[f"h{min(block.level, 3)}"])]
    if isinstance(block, Text):
        style = styles["faint" if block.faint else "text"]
        return [Paragraph(_markup(block), ParagraphStyle("quoted", style, leftIndent=14 * min(block.depth, 6), textColor=FAINT) if block.depth else style)]  # fmt: skip
    if isinstance(block, Code):
        text = printable(block.text).encode("latin-1", "replace").decode("latin-1")
        return [XPreformatted(html.escape(_wrapped(text), quote=True), styles["code"])]
    if isinstance(block, Line):
        return [HRFlowable(width="100%", color=LINE, spaceBefore=4, spaceAfter=8)]
    if isinstance(block, Points):
        return [_list(block, styles), Spacer(1, 4)]
    return _table(block, styles, width)


def _list(points: Points, styles: dict[str, ParagraphStyle]) -> ListFlowable:
    items: list[list[Any]] = []
    for item in points.items:
        if isinstance(item, Text):
            items.append([Paragraph(_markup(item), styles["item"])])
        elif items:
            items[-1].append(_list(item, styles))
        else:
            items.append([_list(item, styles)])
    kind: dict[str, Any] = (
        {"bulletType": "1", "bulletFormat": "%s."} if points.ordered else {"bulletType": "bullet", "start": "–"}
    )
    return ListFlowable(
        [ListItem(item) for item in items], leftIndent=16, bulletFontName=_fonts()[0], bulletFontSize=9.5, **kind
    )


def _wrapped(text: str, most: int = 100) -> str:
    return "\n".join(line[i : i + most] for line in text.split("\n") for i in range(0, max(1, len(line)), most))


def _table(grid: Grid, styles: dict[str, ParagraphStyle], width: float) -> list[Any]:
    if not grid.head:
        return []
    most = max(1, MOST_CELLS // len(grid.head))
    cells = [[Paragraph(_escaped(text), styles["head"]) for text in grid.head]]
    cells += [[Paragraph(_escaped(text[:2000]), styles["cell"]) for text in row] for row in grid.rows[:most]]
    shares = grid.widths or _shares(grid)
    table = LongTable(cells, hAlign="LEFT", colWidths=[width * share / sum(shares) for share in shares], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LINEBELOW", (0, 0), (-1, 0), 0.8, INK), ("LINEBELOW", (0, 1), (-1, -1), 0.3, LINE),
                ("LEFTPADDING", (0, 0), (-1, -1), 2), ("RIGHTPADDING", (0, 0), (-1, -1), 6), ("TOPPADDING", (0, 0), (-1, -1), 3), ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            ]
        )
    )  # fmt: skip
    return [table, Spacer(1, 8)]


def _shares(grid: Grid) -> tuple[float, ...]:
    longest = [
        max((min(len(text), 60) for text in column), default=1)
        for column in zip(grid.head, *grid.rows[:200], strict=True)
    ]
    return tuple(max(12, amount) for amount in longest)

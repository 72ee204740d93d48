"""What is a document made of? Headings, paragraphs, lists, tables; and how Markdown becomes them. Text is text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; `runs` are (text, style) with style of "", b, i, code. `depth`: in how many quotations it stands."""

    runs: tuple[tuple[str, str], ...]
    faint: bool = False
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Points:
    """A list; ordered or not. A list among its items belongs to the item before it."""

    items: tuple[Text | Points, ...]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: a head and rows of plain texts. `widths`: shares of the page's width."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Code:
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line across the page."""


Block = Heading | Text | Points | Grid | Code | Line


def says(text: str, *, faint: bool = False) -> Text:
    """A paragraph of plain text."""
    return Text(((text, ""),), faint)


# --- From Markdown --------------------------------------------------------------------------------------------------------
def blocks_of(markdown: str) -> list[Block]:
    """Markdown as blocks. HTML in it is text; links print their address, pictures their words."""
    tokens = (
        MarkdownIt("commonmark", {"html": False, "maxNesting": 12}).enable("table").disable("reference").parse(markdown)
    )
    found: list[Block] = []
    at = depth = 0
    while at < len(tokens):
        token = tokens[at]
        if token.type == "heading_open":
            found.append(Heading(_plain(tokens[at + 1]), int(token.tag[1])))
        elif token.type == "paragraph_open":
            found.append(Text(_runs(tokens[at + 1]), depth=depth))
        elif token.type in ("blockquote_open", "blockquote_close"):
            depth += token.nesting
        elif token.type in ("fence", "code_block"):
            found.append(Code(token.content))
        elif token.type == "hr":
            found.append(Line())
        elif token.type in ("bullet_list_open", "ordered_list_open", "table_open"):
            close = _closing(tokens, at)
            inside = tokens[at:close]
            found.append(
                _grid(inside) if token.type == "table_open" else _points(inside, token.type.startswith("ordered"))
            )
            at = close
        at += 1
    return found


def _closing(tokens: Sequence[Token], at: int) -> int:
    depth = 0
    for index in range(at, len(tokens)):
        depth += tokens[index].nesting
        if depth == 0:
            return index
    return len(tokens)


def _points(tokens: Sequence[Token], ordered: bool) -> Points:
    items: list[Text | Points] = []
    at = 1
    while at < len(tokens):
        token = tokens[at]
        if token.type in ("bullet_list_open", "ordered_list_open"):
            close = _closing(tokens, at)
            items.append(_points(tokens[at:close], token.type.startswith("ordered")))
            at = close
        elif token.type == "inline":
            items.append(Text(_runs(token)))
        at += 1
    return Points(tuple(items), ordered)


def _grid(tokens: Sequence[Token]) -> Grid:
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append(_plain(token))
    width = max(map(len, rows), default=0)
    even = [(*row, *[""] * (width - len(row))) for row in rows]
    return Grid(even[0] if even else (), tuple(even[1:]))


def _plain(token: Token) -> str:
    return "".join(text for text, _ in _runs(token))


def _runs(token: Token) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    style: list[str] = []
    target: list[str] = []
    for child in token.children or ():
        if child.type in ("strong_open", "em_open"):
            style.append("b" if child.type == "strong_open" else "i")
        elif child.type in ("strong_close", "em_close") and style:
            style.pop()
        elif child.type == "link_open":
            target.append(str(child.attrs.get("href", "")))
        elif child.type == "link_close" and target:
            address = target.pop()
            if not found or found[-1][0] != address:
                found.append((f" ({address})", ""))
        elif child.type == "code_inline":
            found.append((child.content, "code"))
        elif child.type in ("softbreak", "hardbreak"):
            found.append((" " if child.type == "softbreak" else "\n", ""))
        elif child.content:
            found.append((child.content, style[-1] if style else ""))
    return tuple(found)

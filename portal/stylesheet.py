"""Which rules of somebody's style sheet may stay on a page? Colours, type and space below `.status-page`; no request, nothing over the page.

Everything is an allow-list over parsed tokens: at-rules, selectors, properties, words of values, functions. What is not
on a list goes, alone, with a complaint that names its line and the cure. What stays is written anew from its tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import tinycss2

ROOT = ".status-page"
BYTES = 20_000
COMPLAINTS = 40
DEPTH = 4  # functions in functions
SELECTORS = 20  # in one rule
WORD = re.compile(r"-{0,2}[a-zA-Z_][a-zA-Z0-9_-]{0,60}\Z")
TEXT = re.compile(r"[^<>\\\x00-\x1f\x7f{}@]{0,120}\Z")
LENGTHY = {"px", "em", "rem", "ch", "ex", "vh", "vw", "vmin", "vmax", "pt", "cm", "mm", "in", "fr", "deg", "turn", "ms", "s"}  # fmt: skip
FUNCTIONS = {
    "rgb", "rgba", "hsl", "hsla", "hwb", "lab", "lch", "oklab", "oklch", "color-mix", "calc", "min", "max", "clamp", "var",
    "linear-gradient", "radial-gradient", "conic-gradient", "repeat", "minmax", "cubic-bezier", "light-dark",
}  # fmt: skip
_SIDES = ("", "-top", "-right", "-bottom", "-left", "-block", "-inline", "-block-start", "-block-end", "-inline-start", "-inline-end")  # fmt: skip
_CORNERS = ("-top-left", "-top-right", "-bottom-left", "-bottom-right")
PROPERTIES = frozenset(
    {
        "accent-color", "align-content", "align-items", "align-self", "aspect-ratio", "background", "background-color", "background-image", "background-origin",
        "background-position", "background-repeat", "background-size", "border-collapse", "border-color", "border-radius", "border-spacing", "border-style", "border-width",
        "box-shadow", "box-sizing", "caption-side", "caret-color", "clear", "color", "color-scheme", "column-gap", "columns", "content", "cursor", "display", "fill",
        "flex", "flex-basis", "flex-direction", "flex-flow", "flex-grow", "flex-shrink", "flex-wrap", "float", "font", "font-family", "font-feature-settings",
        "font-size", "font-stretch", "font-style", "font-variant", "font-variant-numeric", "font-weight", "gap", "grid", "grid-area", "grid-auto-flow", "grid-column",
        "grid-gap", "grid-row", "grid-template", "grid-template-areas", "grid-template-columns", "grid-template-rows", "height", "hyphens", "justify-content",
        "justify-items", "justify-self", "letter-spacing", "line-height", "list-style", "list-style-position", "list-style-type", "max-height", "max-width",
        "min-height", "min-width", "object-fit", "opacity", "order", "outline", "outline-color", "outline-offset", "outline-style", "outline-width", "overflow",
        "overflow-wrap", "overflow-x", "overflow-y", "place-content", "place-items", "position", "row-gap", "stroke", "stroke-width", "tab-size", "table-layout",
        "text-align", "text-decoration", "text-decoration-color", "text-decoration-line", "text-decoration-style", "text-decoration-thickness", "text-indent",
        "text-overflow", "text-shadow", "text-transform", "text-underline-offset", "text-wrap", "transition", "transition-duration", "transition-property",
        "transition-timing-function", "vertical-align", "visibility", "white-space", "width", "word-break", "word-spacing",
    }
    | {f"{noun}{side}" for noun in ("margin", "padding") for side in _SIDES}
    | {f"border{side}{what}" for side in _SIDES for what in ("", "-color", "-style", "-width")}
    | {f"border{corner}-radius" for corner in _CORNERS}
)  # fmt: skip
# Properties whose value is only ever one of a few words.
ONLY: dict[str, frozenset[str]] = {
    "position": frozenset({"static", "relative"}),
    "cursor": frozenset({"auto", "default", "pointer", "text", "help", "not-allowed", "inherit", "initial"}),
}
STATES = {
    "hover", "focus", "focus-visible", "focus-within", "active", "visited", "link", "first-child", "last-child", "only-child", "first-of-type", "last-of-type", "empty",
    "open", "disabled", "checked", "before", "after", "marker", "first-line", "first-letter", "placeholder",
}  # fmt: skip
WHOLE_PAGE = {"html", "body", ":root"}
MEDIA_WORDS = {
    "and", "not", "only", "or", "all", "screen", "print", "width", "min-width", "max-width", "height", "min-height", "max-height", "orientation", "portrait", "landscape",
    "prefers-color-scheme", "dark", "light", "prefers-reduced-motion", "reduce", "no-preference", "prefers-contrast", "more", "less", "hover", "none", "any-hover",
}  # fmt: skip

Kept = tuple[str, str]  # what stays of it, and what is wrong with it: one of the two is empty


def _one_word(token: Any) -> str:
    return token.value if WORD.match(token.value) else ""


def _value(tokens: Sequence[Any], *, depth: int = 0) -> Kept:
    """A value written anew from what may be in one."""
    if depth > DEPTH:
        return "", "functions stand too deep in one another; write it simpler"
    out: list[str] = []
    for token in tokens:
        kind = token.type
        if kind in ("whitespace", "comment"):
            out.append(" ")
        elif kind == "ident" and WORD.match(token.value):
            out.append(token.value)
        elif kind == "hash" and re.fullmatch(r"[0-9a-fA-F]{3,8}", token.value):
            out.append("#" + token.value)
        elif kind == "number":
            out.append(f"{token.value:g}")
        elif kind == "percentage":
            out.append(f"{token.value:g}%")
        elif kind == "dimension" and token.lower_unit in LENGTHY:
            out.append(f"{token.value:g}{token.lower_unit}")
        elif kind == "string" and '"' not in token.value and TEXT.match(token.value):
            out.append(f'"{token.value}"')
        elif kind == "literal" and token.value in {",", "/", "+", "-", "*"}:
            out.append(token.value)
        elif kind == "() block":
            inner, wrong = _value(token.content, depth=depth + 1)
            if wrong:
                return "", wrong
            out.append(f"({inner})")
        elif kind == "function" and token.lower_name in FUNCTIONS:
            inner, wrong = _value(token.arguments, depth=depth + 1)
            if wrong:
                return "", wrong
            out.append(f"{token.lower_name}({inner})")
        elif kind == "url" or (kind == "function" and token.lower_name in ("url", "src", "image", "image-set")):
            return "", "a page asks nobody else for anything: use a colour or a gradient instead of url()"
        elif kind == "function":
            return "", f"{token.lower_name[:30]}() is not kept; calc(), var(), colours and gradients are"
        else:
            return "", "it holds characters that are not kept; use plain words, numbers and colours"
    text = re.sub(r"\s+", " ", "".join(out)).strip()
    return (text, "") if text else ("", "it is empty; write a value after the colon")


def _declaration(node: Any) -> Kept:
    name = node.lower_name if not node.name.startswith("--") else node.name
    if name.startswith("--"):
        if not WORD.match(name):
            return "", "the name of a variable is --, then letters, digits and dashes"
    elif name not in PROPERTIES:
        return "", f"{name[:40]} is not kept; colours, type, borders and space are"
    value, wrong = _value(node.value)
    if wrong:
        return "", wrong
    if name in ONLY and value.lower() not in ONLY[name]:
        return "", f"it is only ever {' or '.join(sorted(ONLY[name]))} here"
    return f"{name}: {value}{' !important' if node.important else ''}", ""


def _split(tokens: Sequence[Any]) -> Iterator[list[Any]]:
    part: list[Any] = []
    for token in tokens:
        if token.type == "literal" and token.value == ",":
            yield part
            part = []
        else:
            part.append(token)
    yield part


def _selector(tokens: Sequence[Any]) -> Kept:
    """One selector below the page's root: elements, classes, ids, a few states; descendants and children."""
    simple = "write elements, .classes and #ids, with a space or > between them"
    compounds: list[str] = [""]
    after = ""  # the literal that waits for its name
    for token in tokens:
        kind = token.type
        if after:
            word = _one_word(token) if kind == "ident" else ""
            if not word or (after[0] == ":" and word.lower() not in STATES | {"root"}):
                if kind == "literal" and after == ":" and token.value == ":":
                    after = "::"
                    continue
                return "", simple
            compounds[-1] += after + (word.lower() if after[0] == ":" else word)
            after = ""
        elif kind in ("whitespace", "comment"):
            if compounds[-1] not in ("", ">"):
                compounds.append("")
        elif kind == "ident" and compounds[-1] == "" and _one_word(token):
            compounds[-1] = token.value
        elif kind == "hash" and token.is_identifier and WORD.match(token.value):
            compounds[-1] += "#" + token.value
        elif kind == "literal" and token.value in (".", ":"):
            after = token.value
        elif kind == "literal" and token.value == "*" and compounds[-1] == "":
            compounds[-1] = "*"
        elif kind == "literal" and token.value == ">":
            if compounds[-1]:
                compounds.append("")
            compounds[-1] = ">"
            compounds.append("")
        else:
            return "", simple
    compounds = [c for c in compounds if c]
    if after or not compounds or compounds[-1] == ">" or compounds[0] == ">":
        return "", simple
    if any(one == other == ">" for one, other in zip(compounds, compounds[1:], strict=False)):
        return "", simple
    if any(":root" in c for c in compounds[1:]) or (":root" in compounds[0] and compounds[0] != ":root"):
        return "", simple
    if compounds[0].lower() in WHOLE_PAGE:
        compounds[0] = ROOT
    elif not re.search(r"\.status-page(?![a-zA-Z0-9_-])", compounds[0]):
        compounds.insert(0, ROOT)
    return " ".join(compounds), ""


def _media(tokens: Sequence[Any], *, depth: int = 0) -> str:
    """The condition of @media written anew; empty when something in it is not known."""
    out: list[str] = []
    for token in tokens:
        kind = token.type
        if kind in ("whitespace", "comment"):
            out.append(" ")
        elif kind == "ident" and token.lower_value in MEDIA_WORDS:
            out.append(token.lower_value)
        elif kind == "number":
            out.append(f"{token.value:g}")
        elif kind == "dimension" and token.lower_unit in LENGTHY:
            out.append(f"{token.value:g}{token.lower_unit}")
        elif kind == "literal" and token.value in {":", ",", ">", "<", "="} and (depth or token.value == ","):
            out.append(token.value if token.value != "<" else "")
            if token.value == "<":
                return ""  # no "<" ever leaves here
        elif kind == "() block" and depth < 2:
            inner = _media(token.content, depth=depth + 1)
            if not inner:
                return ""
            out.append(f"({inner})")
        else:
            return ""
    return re.sub(r"\s+", " ", "".join(out)).strip()


class _Reading:
    """One style sheet being read: what is kept of it, and what is said about the rest."""

    def __init__(self) -> None:
        self.complaints: list[str] = []

    def complain(self, node: Any, what: str) -> None:
        if len(self.complaints) < COMPLAINTS:
            self.complaints.append(f"Line {node.source_line}: {what}.")

    def rule(self, node: Any) -> str:
        if len(selectors := list(_split(node.prelude))) > SELECTORS:
            self.complain(node, f"more than {SELECTORS} selectors before one block; write several rules")
            return ""
        kept: list[str] = []
        for tokens in selectors:
            selector, wrong = _selector(tokens)
            if wrong:
                shown = tinycss2.serialize(tokens).strip()[:40] if len(tokens) < 100 else "…"
                self.complain(node, f"the selector {shown!r} is not kept; {wrong}")
            else:
                kept.append(selector)
        declarations = self.declarations(node.content)
        return f"{', '.join(kept)} {{ {'; '.join(declarations)} }}" if kept and declarations else ""

    def declarations(self, content: Sequence[Any]) -> list[str]:
        kept: list[str] = []
        for node in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
            if node.type == "declaration":
                text, wrong = _declaration(node)
                if wrong:
                    self.complain(node, f"{node.name[:40]}: {wrong}")
                else:
                    kept.append(text)
            elif node.type == "error":
                self.complain(node, "not understood; write `property: value;`")
            else:
                self.complain(node, "rules inside rules are not kept; write them one after another")
        return kept

    def rules(self, nodes: Sequence[Any], *, inside: bool = False) -> list[str]:
        kept: list[str] = []
        for node in nodes:
            if node.type == "qualified-rule":
                kept.append(self.rule(node))
            elif (
                node.type == "at-rule" and node.lower_at_keyword == "media" and not inside and node.content is not None
            ):
                condition = _media(node.prelude)
                if not condition:
                    self.complain(
                        node, "this condition of @media is not kept; width, colour scheme, motion and print are"
                    )
                    continue
                nested = tinycss2.parse_rule_list(node.content, skip_comments=True, skip_whitespace=True)
                if inner := self.rules(nested, inside=True):
                    kept.append(f"@media {condition} {{\n" + "\n".join(inner) + "\n}")
            elif node.type == "at-rule":
                self.complain(
                    node, f"@{node.lower_at_keyword[:30]} is not kept; only @media is, and not inside another"
                )
            else:
                self.complain(node, "not understood; write `selector { property: value }`")
        return [text for text in kept if text]


def css(text: str) -> tuple[str, list[str]]:
    """The harmless part of a style sheet, below `.status-page`, and what is said about the rest (line and cure)."""
    if len(text.encode("utf-8", "replace")) > BYTES:
        return "", [f"Longer than {BYTES:,} bytes: nothing of it is kept. Shorten it."]
    reading = _Reading()
    nodes = tinycss2.parse_stylesheet(text, skip_comments=True, skip_whitespace=True)
    return "\n".join(reading.rules(nodes)), reading.complaints

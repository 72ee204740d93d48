"""How does text that people wrote become part of a page? Markdown and style sheets, kept only as far as they are harmless.

Markdown: raw HTML is text, what the renderer makes is cleaned against a short list, pictures become their alternative
text, links lead to http, https or mailto and pass nothing on. Nothing in the output depends on a second mention of a
part of the input (no link references), so it cannot grow much beyond it.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import nh3
from django.utils.html import escape, linebreaks
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from portal.stylesheet import css

__all__ = ["LIMIT", "css", "markdown"]

LIMIT = 20_000  # characters; what the fields hold is less
NESTING = 12  # lists in quotations in lists
GROWTH = 12  # times its length plus a little: no known text grows so much, and none may
URL_LIMIT = 2_000
TAGS = {
    "p", "br", "strong", "em", "code", "pre", "ul", "ol", "li", "a", "blockquote", "h3", "h4", "h5", "hr",
    "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
SCHEMES = {"http", "https", "mailto"}
REL = "nofollow noopener noreferrer"


def _may_lead(value: str) -> bool:
    """Does an address name where it leads, whole? What is relative leads elsewhere on each host that the page lives on."""
    if len(value) > URL_LIMIT or any(ord(c) <= 32 or ord(c) == 127 for c in value) or "\\" in value:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    if parts.scheme == "mailto":
        return "@" in parts.path and "%0" not in value.lower()  # no line of its own in the mail
    return parts.scheme in SCHEMES and bool(parts.hostname) and "@" not in parts.netloc


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Is asked about what the cleaner itself wrote as well: its `rel`."""
    return value if name == "rel" or (name == "href" and _may_lead(value)) else None


def _headings_below_the_pages(state: StateCore) -> None:
    """A text's headings stand below those of the page that carries it."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + 2, 5)}"


def _alternative(self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:  # fmt: skip
    """A picture is another request, and tells somebody who reads: its words stay."""
    return escape(self.renderInlineAsText(tokens[index].children or [], options, env))


def _renderer() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING}).enable("table").disable("reference")
    made.core.ruler.push("headings_below", _headings_below_the_pages)
    made.add_render_rule("image", _alternative)
    return made


RENDERER = _renderer()


def markdown(text: str, *, limit: int = LIMIT) -> SafeString:
    """Text in Markdown as harmless HTML; what is longer than `limit` characters is cut there, with a word about it."""
    cut = len(text) > limit
    text = text[:limit].replace("\x00", "")
    made = RENDERER.render(text)
    if len(made) > GROWTH * len(text) + 1_000:
        made = linebreaks(text, autoescape=True)
    clean = nh3.clean(
        made,
        tags=TAGS,
        attributes={"a": {"href"}},
        attribute_filter=_attribute,
        url_schemes=SCHEMES,
        link_rel=REL,
        strip_comments=True,
        clean_content_tags={"script", "style"},
    )
    return mark_safe(clean + ("<p>… (the rest is not shown: too long)</p>" if cut else ""))  # noqa: S308 - cleaned above

"""How does a person press a button where there is no browser? As one would: pages read, links followed, forms posted, cookies kept."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Protocol


class Visitor(Protocol):
    """Somebody with a window of their own. `name` says by what they look."""

    name: str

    def open(self, url: str) -> None:
        """Go there."""

    def text(self) -> str:
        """The page as it is now, in HTML."""

    def follow(self, words: str) -> None:
        """Press the link with these words. LookupError when there is none."""

    def submit(self, fields: dict[str, str], button: str = "") -> None:
        """Fill the page's form that has these fields in and press its button (by name=value, else the first). LookupError without one."""

    def picture(self, name: str) -> None:
        """Keep what the page looks like, where pictures are wanted and can be taken."""

    def close(self) -> None:
        """Leave."""


@dataclass
class Form:
    """A form of a page: where it goes, and what it sends if nobody types anything."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Reading(HTMLParser):
    """The links and forms of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._link: str | None = None
        self._said = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Part of HTMLParser."""
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(said.get("action", ""), said.get("method", "get").lower())
            self.forms.append(self._form)
        elif tag == "a":
            self._link, self._said = said.get("href", ""), ""
        elif self._form is not None and tag == "button":
            self._form.buttons.append((said.get("name", ""), said.get("value", "")))
        elif self._form is not None and tag == "input" and said.get("name"):
            sent = said.get("type") not in ("checkbox", "radio") or "checked" in said
            self._form.fields |= {said["name"]: said.get("value", "")} if sent else {}

    def handle_endtag(self, tag: str) -> None:
        """Part of HTMLParser."""
        if tag == "form":
            self._form = None
        elif tag == "a" and self._link is not None:
            self.links.append((" ".join(self._said.split()), self._link))
            self._link = None

    def handle_data(self, data: str) -> None:
        """Part of HTMLParser."""
        self._said += data


class Session:
    """A visitor without a browser."""

    name = "an HTTP session"

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor()
        )
        self._at, self._html = "", ""

    def open(self, url: str) -> None:
        """Go there."""
        self._ask(urllib.request.Request(url))  # noqa: S310 - our own address

    def text(self) -> str:
        """The page."""
        return self._html

    def follow(self, words: str) -> None:
        """Press the link with these words."""
        found = next((url for said, url in Reading(self._html).links if said == words), None)
        if found is None:
            raise LookupError(f"the page has no link “{words}”")
        self.open(urllib.parse.urljoin(self._at, found))

    def submit(self, fields: dict[str, str], button: str = "") -> None:
        """Fill the form in, and press its button."""
        wanted = set(fields) | {button.partition("=")[0]} - {""}
        for form in Reading(self._html).forms:
            known = {*form.fields, *(name for name, _ in form.buttons)}
            if form.method == "post" and wanted <= known and (wanted or form.action == ""):
                name, _, value = button.partition("=")
                sent = {**form.fields, **fields, **({name: value} if name else {})}
                self._ask(
                    urllib.request.Request(  # noqa: S310 - our own address
                        urllib.parse.urljoin(self._at, form.action) if form.action else self._at,
                        urllib.parse.urlencode(sent).encode(),
                        {"Referer": self._at},
                    )
                )
                return
        raise LookupError(f"the page has no form with {', '.join(sorted(wanted)) or 'one button'}")

    def picture(self, name: str) -> None:
        """Nothing can be seen here."""

    def close(self) -> None:
        """Nothing to leave."""

    def _ask(self, request: urllib.request.Request) -> None:
        try:
            with self._opener.open(request, timeout=30) as answer:
                self._at, self._html = answer.url, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as refused:
            self._at, self._html = refused.url, refused.read().decode("utf-8", "replace")

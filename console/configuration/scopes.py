"""How does a filter's scope stand in a file? By name: {monitor: Shop}, {site: Lisbon, client: acme}, {client: acme}.

What has no name here (`container:web`, an outside system's `endpoint:router-7`, the id of a row that is gone) stays text.
"""

from __future__ import annotations

from typing import Any

from alerts import filters
from console.configuration.forms import Form, Path, Showing, Taking
from console.configuration.secret import Secret

SECTIONS = {
    **dict.fromkeys(("monitor", "endpoint", "heartbeat", "certificate", "domain", "resource", "update", "agent"), "monitors"),
    "site": "sites", "service": "services",
}  # fmt: skip


class Scopes(Form):
    """A list of scopes; in the body words, or one text with commas."""

    def __init__(self, *, csv: bool = False) -> None:
        self.csv = csv

    def show(self, value: Any, at: Showing) -> Any:
        found = filters.words(value) if self.csv else list(value or ())
        return sorted((self._named(word, at) for word in found), key=str)

    def _named(self, word: str, at: Showing) -> Any:
        noun, _, identity = word.partition(":")
        pk = int(identity) if identity.isdigit() and len(identity) < 19 else None
        if noun == "client":
            known = at.index.table("clients").keys
            return {"client": known[pk].name if pk in known else identity} if pk in known or pk is None else word
        written = at.index.write(SECTIONS[noun], pk, at.owner) if noun in SECTIONS and pk is not None else None
        if written is None:
            return word
        return {noun: written} if isinstance(written, str) else {noun: written.pop("name"), **written}

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        if not isinstance(value, list):
            at.wrong(path, "Write a list of scopes, as [{monitor: Shop}, {client: acme}].")
            return "" if self.csv else []
        found = [self._word(item, at, (*path, number)) for number, item in enumerate(value)]
        return ",".join(filter(None, found)) if self.csv else [word for word in found if word]

    def _word(self, item: Any, at: Taking, path: Path) -> str | None:
        if isinstance(item, str) and "," not in item:
            return item
        nouns = [noun for noun in SECTIONS if noun in item] if isinstance(item, dict) else []
        if len(nouns) == 1 and not isinstance(item[nouns[0]], dict | list | Secret):
            rest = {name: part for name, part in item.items() if name != nouns[0]}
            pk = at.find(
                SECTIONS[nouns[0]], {"name": str(item[nouns[0]]), **rest} if rest else str(item[nouns[0]]), path
            )
            return f"{nouns[0]}:{pk}" if pk is not None else None
        if isinstance(item, dict) and not nouns and item.keys() == {"client"} and isinstance(item["client"], str):
            if at.index.client(item["client"]) is None:
                at.wrong(path, f"There is no client {item['client']!r}; add it to the files, or correct the slug.")
            return f"client:{item['client']}"
        known = ", ".join(("client", *SECTIONS))
        at.wrong(path, f"Write one scope, as {{monitor: Shop}}; it begins with one of {known}.")
        return None

"""What is there to be asked for? Every route of the resolver, and one installation of Acme's with a row for each of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.urls import URLResolver, get_resolver

from monitors.models import Monitor
from tests import cast
from tests.matrix.asking import Caller
from tests.matrix.roles import EVERYBODY
from tests.test_tenancy import OPEN, ROUTES, Route, _address, _pattern, _unknown

SHARED = {
    "help/{name}/": {"name": "on-call"},
    "help/pictures/{name}.webp": {"name": "alert"},
}  # the same for everybody who is signed in


@cache
def every_route() -> tuple[str, ...]:
    """Each address that the resolver knows, as `monitors/{pk}/edit/`, in its order; optional ends as written for it."""
    return tuple(dict.fromkeys(_below(get_resolver(), "")))


def _below(resolver: URLResolver, before: str) -> list[str]:
    found = []
    for entry in resolver.url_patterns:
        text = before + _pattern(entry)
        found += _below(entry, text) if isinstance(entry, URLResolver) else [text]
    return found


class Stage:
    """The rows, where they are found, and who may ask: made once for a whole test."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, Any]] = {text: make() for text, make in ROUTES.items()} | SHARED
        self.monitor: int = Monitor.objects.get(client=cast.acme(), name="shop").pk
        self.callers = {who: Caller(who.make() if who.make else None) for who in EVERYBODY}

    def where(self, text: str, **other: Any) -> str:
        """The address of Acme's row."""
        return _address(Route(text, ()), self.values.get(text, {}) | other)

    def nowhere(self, text: str) -> str:
        """The same address with ids that nobody has."""
        return _address(Route(text, ()), {name: _unknown(value) for name, value in self.values[text].items()})


def missing(table: set[str], routes: set[str]) -> str:
    """What a table does not know, and what it knows in vain."""
    unknown, gone = sorted(routes - table), sorted(table - routes)
    return f"say who may use them: {unknown}; gone, take them out: {gone}" if unknown or gone else ""


__all__ = ["OPEN", "Stage", "every_route", "missing"]

"""What do apps hand up to the shell? Small named lists, filled in each app's `ready()`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portal.tenancy import Viewer


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """One entry of the main navigation."""

    label: str
    url: str
    icon: str
    order: int = 50
    staff_only: bool = False
    verb: str = ""  # only for who may do this somewhere


navigation: list[NavigationItem] = []
badges: list[Callable[[Viewer], dict[str, int]]] = []
on_call: list[Callable[[Viewer], list[str]]] = []
guides: list[Callable[[str], tuple[str, str] | None]] = []
calls: list[Callable[[str, str], str]] = []
metrics: list[Callable[[datetime], Iterable[tuple[str, dict[str, str], float]]]] = []
metric_help: dict[str, tuple[str, str]] = {}


def add_navigation(*items: NavigationItem) -> None:
    """Add entries; the list stays sorted, twice is once."""
    for item in items:
        if item not in navigation:
            navigation.append(item)
    navigation.sort(key=lambda i: i.order)


def add_badges(source: Callable[[Viewer], dict[str, int]]) -> None:
    """A source of {address of a navigation entry: count}; the key `problems` is the number in the tab."""
    if source not in badges:
        badges.append(source)


def add_on_call(source: Callable[[Viewer], list[str]]) -> None:
    """A source of the names of who is on call now, as far as the viewer may know: for every page's top."""
    if source not in on_call:
        on_call.append(source)


def add_guides(source: Callable[[str], tuple[str, str] | None]) -> None:
    """A source of (address, title) of the guide that belongs to a page's address: for every page's foot."""
    if source not in guides:
        guides.append(source)


def add_calls(source: Callable[[str, str], str]) -> None:
    """A source of the API's call behind a page's address and query, as one line for a shell ("": none): for every page's foot."""
    if source not in calls:
        calls.append(source)


def add_metrics(
    source: Callable[[datetime], Iterable[tuple[str, dict[str, str], float]]], **described: tuple[str, str]
) -> None:
    """A source of (name, labels, value) for `/metrics`, with each name's (type, help)."""
    if source not in metrics:
        metrics.append(source)
        metric_help.update(described)

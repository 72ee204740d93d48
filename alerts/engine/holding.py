"""Why is an alert held back? Rules in one order, each with its name (SPEC RTE-4..6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Matcher:
    """A silence as the engine sees it. Empty fields match everything; all given ones must match."""

    id: int
    client: int | None = None
    source: str = ""
    entity_type: str = ""
    entity_id: str = ""
    client_match: str = ""
    site: str = ""
    tag: str = ""
    severity: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What routing and holding know of an alert."""

    source: str
    event: str
    severity: str
    entity_type: str
    entity_id: str
    entity_name: str
    client: int | None = None
    client_slug: str = ""
    site: int | None = None
    site_name: str = ""
    service: int | None = None
    tags: frozenset[str] = frozenset()
    parent_open: bool = False
    in_maintenance: int = 0  # the window's id
    flapping: bool = False
    snoozed: bool = False
    silences: tuple[Matcher, ...] = ()


def matches(m: Matcher, f: Facts) -> bool:
    """Does a silence cover this alert? An entity is named by its id or by its name."""
    return (
        (m.client is None or m.client == f.client)
        and m.source in ("", f.source)
        and m.entity_type in ("", f.entity_type)
        and m.severity in ("", f.severity)
        and (not m.entity_id or m.entity_id in (f.entity_id, f.entity_name))
        and (not m.client_match or m.client_match in (str(f.client), f.client_slug))
        and (not m.site or m.site in (str(f.site), f.site_name))
        and (not m.tag or m.tag.lower() in f.tags)
    )


def in_maintenance(f: Facts) -> int | bool:
    """Its monitor, service or site is being worked on; the answer is the window's id."""
    return f.in_maintenance


def silenced(f: Facts) -> int | bool:
    """A silence covers it; the answer is the silence's id."""
    return next((m.id for m in f.silences if matches(m, f)), False)


def explained_by_parent(f: Facts) -> int | bool:
    """What it depends on is down too."""
    return f.parent_open


def flapping(f: Facts) -> int | bool:
    """It comes and goes; the flapping alert speaks for it."""
    return f.flapping and f.event != "flapping"


def snoozed(f: Facts) -> int | bool:
    """Somebody asked to hear of it later."""
    return f.snoozed


HOLD_BACK: tuple[Callable[[Facts], int | bool], ...] = (
    in_maintenance,
    silenced,
    explained_by_parent,
    flapping,
    snoozed,
)


def hold(f: Facts) -> tuple[str, int | None]:
    """(reason, id of the silence or window) of the first rule that holds it back; ("", None) when nothing does."""
    for rule in HOLD_BACK:
        answer = rule(f)
        if answer:
            return rule.__name__, answer if rule in (silenced, in_maintenance) else None
    return "", None


def silence_is_active(
    *,
    starts_at: datetime,
    ends_at: datetime | None,
    cancelled: bool,
    at: datetime,
    occurrence: Callable[[datetime], datetime | None] | None = None,
) -> bool:
    """Does a silence hold now? `occurrence(at)` gives the latest start of a recurring one at or before `at`."""
    if cancelled or at < starts_at:
        return False
    if ends_at is None:
        return True
    if at < ends_at:
        return True
    start = occurrence(at) if occurrence else None
    return start is not None and at < start + (ends_at - starts_at)

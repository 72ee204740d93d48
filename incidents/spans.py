"""How long in all? Sets of time: half-open spans in order, none touching another. Pure.

union([(a, c), (b, d)]) -> [(a, d)]      subtract(down, work) -> what of `down` lies outside `work`
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

Span = tuple[datetime, datetime]


def union(spans: Iterable[Span]) -> list[Span]:
    """What at least one of them covers."""
    found: list[Span] = []
    for start, end in sorted(s for s in spans if s[0] < s[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def intersect(one: Iterable[Span], other: Iterable[Span]) -> list[Span]:
    """What both cover."""
    a, b, found = union(one), union(other), []
    i = j = 0
    while i < len(a) and j < len(b):
        start, end = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if start < end:
            found.append((start, end))
        if a[i][1] <= b[j][1]:
            i += 1
        else:
            j += 1
    return found


def subtract(one: Iterable[Span], other: Iterable[Span]) -> list[Span]:
    """What the first covers and the second does not."""
    found: list[Span] = []
    away = union(other)
    for start, end in union(one):
        for gone_from, gone_until in away:
            if gone_until <= start:
                continue
            if gone_from >= end:
                break
            if start < gone_from:
                found.append((start, gone_from))
            start = max(start, gone_until)
        if start < end:
            found.append((start, end))
    return found


def seconds(spans: Iterable[Span]) -> float:
    """How long they are together, each moment once."""
    return sum(((end - start) for start, end in union(spans)), timedelta()).total_seconds()

"""How are huge tables listed, and how do states and times look in a list? No counting, the same shapes as everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from portal.clock import database_now
from portal.errors import Refused
from portal.templatetags import parts


class Capped(Paginator):
    """Counts to 5,000 and no further: a list is read from its newest end, and older rows are found by filter or search."""

    MOST = 5000

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[: self.MOST].count()

    @property
    def capped(self) -> bool:
        """Are there (perhaps) more?"""
        return self.count >= self.MOST


class When(admin.SimpleListFilter):
    """The last hour, day or week by `field`. A date hierarchy would read the whole of a huge table."""

    title = "when"
    parameter_name = "when"
    field = "created_at"
    SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("hour", "Last hour"), ("day", "Last 24 hours"), ("week", "Last 7 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = self.SPANS.get(self.value() or "")
        return queryset.filter(**{f"{self.field}__gte": database_now() - span}) if span else queryset


class WhenAt(When):
    """The same by `at`."""

    field = "at"


def shape(state: str) -> str:
    """One of the seven states as shape, word and colour."""
    return parts.component("status", state=state)


def badge(state: str) -> str:
    """Any other state word."""
    return parts.component("badge", state=state)


def severity(word: str) -> str:
    """A severity; critical is solid."""
    return parts.component("severity", severity=word)


def moment(at: datetime | None) -> str:
    """A time as people say it, exact on hover."""
    return parts.moment(at)


def state_column(field: str, description: str, draw: Callable[[str], str] = badge) -> Any:
    """A list column that draws a state field."""

    @admin.display(description=description, ordering=field)
    def column(row: Model) -> str:
        return draw(str(getattr(row, field)))

    column.__name__ = field
    return column


def time_column(field: str, description: str) -> Any:
    """A list column that says a time."""

    @admin.display(description=description, ordering=field, empty_value="–")
    def column(row: Model) -> str | None:
        at = getattr(row, field)
        return moment(at) if at else None

    column.__name__ = field
    return column


def each(request: HttpRequest, rows: Iterable[Model], do: Callable[[Any], object], done: str) -> None:
    """Do it to each row, through its door; say to how many (`done`, as "paused"), and each refusal once."""
    count, refusals = 0, dict[str, int]()
    for row in rows:
        try:
            do(row)
        except Refused as refusal:
            refusals[str(refusal)] = refusals.get(str(refusal), 0) + 1
        except ValidationError as error:
            sentence = " ".join(error.messages)
            refusals[sentence] = refusals.get(sentence, 0) + 1
        else:
            count += 1
    if count:
        messages.success(request, f"{count} {done}.")
    for sentence, times in refusals.items():
        messages.error(request, sentence if times == 1 else f"{times} ×: {sentence}")

"""Which monitors does a list hold? ?client=&site=&service=&kind=&state=&tag=&search=&probe= (commas: any of these)."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from rest_framework.exceptions import ValidationError

from monitors import checks
from monitors.models import Monitor
from monitors.models.monitor import State
from portal.api.filters import IdFilter
from portal.models import Tag


def by_id(column: str) -> IdFilter:
    """Rows whose column is this id."""
    return IdFilter(field_name=column)


def words(text: str) -> list[str]:
    """A comma-separated value as lower-case words."""
    return [w.strip().lower() for w in text.split(",") if w.strip()]


class MonitorFilter(django_filters.FilterSet):
    """The filters of /api/v1/monitors."""

    client = by_id("client_id")
    site = by_id("site_id")
    service = by_id("service_id")
    parent = by_id("parent_id")
    enabled = django_filters.BooleanFilter()
    kind = django_filters.CharFilter(method="by_kind")
    state = django_filters.CharFilter(method="by_state")
    tag = django_filters.CharFilter(method="by_tag")
    probe = django_filters.CharFilter(method="by_probe")
    search = django_filters.CharFilter(method="by_text")

    class Meta:
        model = Monitor
        fields: list[str] = []

    def by_kind(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(kind__in=_known(name, value, checks.KINDS))

    def by_state(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(state__in=_known(name, value, State.values))

    def by_tag(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        wanted = Tag.objects.annotate(low=Lower("name")).filter(low__in=words(value)).values("pk")
        return rows.filter(pk__in=Monitor.tags.through.objects.filter(tag__in=wanted).values("monitor_id"))

    def by_probe(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(pk__in=Monitor.objects.filter(views__probe__slug__in=words(value)).order_by().values("pk"))

    def by_text(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        text = value.strip()[:100]
        settings = Q(config__url__icontains=text) | Q(config__host__icontains=text) | Q(config__name__icontains=text)
        return rows.filter(Q(name__icontains=text) | settings) if text else rows


def _known(name: str, value: str, every: Any) -> list[str]:
    wanted = words(value)
    unknown = [w for w in wanted if w not in every]
    if unknown:
        raise ValidationError({name: [f"{unknown[0][:40]!r} is not one of {', '.join(every)}."]})
    return wanted

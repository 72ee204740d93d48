"""Which outside systems may raise alerts here? Integrations; a key is shown once, when it is made or renewed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from alerts import integrations
from alerts.models import Integration
from portal.admin.desk import DoorForm
from portal.admin.fields import ObjectField, TagsField
from portal.admin.lists import each, time_column
from portal.admin.people import ShownOnce
from portal.audit import Actor


class IntegrationForm(DoorForm):
    tags = TagsField()
    mapping = ObjectField(help_text='Only for “any JSON”, as {"title": "$.alert.title", "key": "$.alert.id"}.')


@admin.register(Integration)
class IntegrationDesk(ShownOnce):
    form = IntegrationForm
    shown_title = "The new key"
    shown_hint = "Copy it into the outside system now; it is not shown again."
    list_display = (
        "name",
        "kind",
        "client",
        "enabled",
        "key_hint",
        time_column("last_event_at", "Last event"),
        "last_problem",
    )
    list_filter = ("kind", "enabled", "client")
    list_select_related = ("client",)
    search_fields = ("name", "client__name", "key_hint")
    autocomplete_fields = ("client", "site", "service")
    fields = ("name", "kind", "client", "site", "service", "tags", "mapping", "enabled")
    readonly_fields = ("key_hint", "last_event_at", "last_problem")
    actions = ("rotate", "revoke")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.fields, *self.readonly_fields) if obj else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("kind", "client", *self.readonly_fields) if obj else ()

    def create(self, by: Actor, values: dict[str, Any]) -> Integration:
        row, plain = integrations.create(by=by, **values)
        row.shown_once = plain
        return row

    def change(self, row: Integration, by: Actor, values: dict[str, Any]) -> Integration:
        integrations.change(row, by=by, **values)
        return row

    def remove(self, row: Integration, by: Actor) -> None:
        integrations.delete(row, by=by)

    @admin.action(description="Make a new key", permissions=["operate"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[Integration]) -> HttpResponse | None:
        rows = list(queryset[:2])
        if len(rows) != 1:
            messages.error(request, "Choose one: its new key is shown once.")
            return None
        plain = integrations.rotate(rows[0], by=Actor.of(request))
        context = {
            **self.admin_site.each_context(request), "title": self.shown_title, "hint": f"{rows[0]}: {self.shown_hint} The old key opens nothing any more.",
            "secret": plain, "opts": self.opts,
        }  # fmt: skip
        answer = TemplateResponse(request, "admin/shown_once.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    @admin.action(description="Take the key away", permissions=["operate"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Integration]) -> None:
        each(request, queryset, lambda row: integrations.revoke(row, by=Actor.of(request)), "without a key now")

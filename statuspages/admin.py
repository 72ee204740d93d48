"""Status pages at the support desk: looked up, switched and corrected by the doors; what readers did is read only."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from portal.admin.desk import Desk, DoorForm, Truth, TruthInline
from portal.admin.lists import Capped, badge, each, time_column
from portal.audit import Actor
from portal.clock import database_now
from portal.markup import css
from statuspages import services, subscribers
from statuspages.models import (
    Component,
    ComponentGroup,
    Page,
    Projection,
    Publication,
    ScheduledWork,
    Subscriber,
    WorkUpdate,
)


class PageForm(DoorForm):
    password = forms.CharField(
        required=False, max_length=200, widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "class": "vTextField"}),
        help_text="For a page behind a password; empty keeps the one that is.",
    )  # fmt: skip


class ComponentInline(TruthInline):
    model = Component
    fields = readonly_fields = ("name", "group", "service", "override", "override_until")


@admin.register(Page)
class PageDesk(Desk):
    form = PageForm
    list_display = (
        "name", "slug", "client", "visibility", "enabled", "custom_domain", "readers", time_column("published_at", "Copied"), "publish_error",
    )  # fmt: skip
    list_filter = ("enabled", "visibility", "language", "client")
    list_select_related = ("client",)
    search_fields = ("name", "slug", "custom_domain", "client__name")
    autocomplete_fields = ("client",)
    inlines = (ComponentInline,)
    readonly_fields = ("domain_verified_at", "published_at", "publish_error", "not_kept")
    fields = (
        "client", *services.SAID[:4], "password", *services.SAID[4:], "not_kept", "domain_verified_at", "published_at", "publish_error",
    )  # fmt: skip
    renamed = {"logo": "__all__"}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Page]:
        rows = super().get_queryset(request).defer("logo")
        return rows.annotate(reading=Count("subscribers", distinct=True))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "client") if obj else self.readonly_fields

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    @admin.display(description="Readers", ordering="reading")
    def readers(self, row: Any) -> int:
        return int(row.reading)

    @admin.display(description="Of its style sheet not kept")
    def not_kept(self, row: Page) -> str:
        complaints = css(row.custom_css)[1] if row.custom_css else []
        return " ".join(complaints) or "nothing"

    def create(self, by: Actor, values: dict[str, Any]) -> Page:
        return services.save_page(None, by=by, at=database_now(), **values)

    def change(self, row: Page, by: Actor, values: dict[str, Any]) -> Page:
        return services.save_page(row, by=by, at=database_now(), **values)

    def remove(self, row: Page, by: Actor) -> None:
        services.delete_page(row, by=by, at=database_now())


@admin.register(ComponentGroup)
class GroupDesk(Desk):
    list_display = ("name", "page", "order", "collapsed")
    list_filter = ("page",)
    list_select_related = ("page",)
    search_fields = ("name", "page__name")
    fields = ("page", "name", "collapsed")
    autocomplete_fields = ("page",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("page",) if obj else ()

    def create(self, by: Actor, values: dict[str, Any]) -> ComponentGroup:
        return services.save_group(values.pop("page"), None, by=by, at=database_now(), **values)

    def change(self, row: ComponentGroup, by: Actor, values: dict[str, Any]) -> ComponentGroup:
        return services.save_group(row.page, row, by=by, at=database_now(), **values)

    def remove(self, row: ComponentGroup, by: Actor) -> None:
        services.delete_group(row, by=by, at=database_now())


@admin.register(Component)
class ComponentDesk(Desk):
    list_display = ("name", "page", "group", "service", "said", "override_until", "show_uptime")
    list_filter = ("override", "page")
    list_select_related = ("page", "group", "service")
    search_fields = ("name", "page__name")
    fields = (
        "page",
        "name",
        "description",
        "group",
        "monitors",
        "service",
        "show_uptime",
        "override",
        "override_until",
        "override_by",
    )
    autocomplete_fields = ("page", "monitors", "service")
    raw_id_fields = ("group",)
    actions = ("as_measured",)
    renamed = {"monitor_ids": "monitors", "service_id": "service"}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("override", "override_until", "override_by", *(("page",) if obj else ()))

    @admin.display(description="Said by hand", ordering="override")
    def said(self, row: Component) -> str:
        return badge(row.get_override_display()) if row.override else "–"

    def create(self, by: Actor, values: dict[str, Any]) -> Component:
        return services.save_component(values.pop("page"), None, by=by, at=database_now(), **values)

    def change(self, row: Component, by: Actor, values: dict[str, Any]) -> Component:
        return services.save_component(row.page, row, by=by, at=database_now(), **values)

    def remove(self, row: Component, by: Actor) -> None:
        services.delete_component(row, by=by, at=database_now())

    @admin.action(description="Back to what is measured", permissions=["operate"])
    def as_measured(self, request: HttpRequest, queryset: QuerySet[Component]) -> None:
        by = Actor.of(request)
        each(request, queryset, lambda c: services.set_override(c, "", by=by, at=database_now()), "as measured")


class UpdateInline(TruthInline):
    model = WorkUpdate
    fields = readonly_fields = ("created_at", "status", "by", "message")


@admin.register(ScheduledWork)
class WorkDesk(Desk):
    list_display = ("title", "page", "state", "starts_at", "ends_at", "auto_start", "auto_end", "created_by")
    list_filter = ("status", "page")
    list_select_related = ("page",)
    search_fields = ("title", "page__name")
    date_hierarchy = "starts_at"
    fields = (
        "page", "title", "message", "components", "starts_at", "ends_at", "auto_start", "auto_end", "remind_minutes", "status", "window", "reminded_at",
        "created_by", "created_at",
    )  # fmt: skip
    autocomplete_fields = ("page", "components")
    inlines = (UpdateInline,)
    actions = ("cancel",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("status", "window", "reminded_at", "created_by", "created_at", *(("page",) if obj else ()))

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # readers were told of it; it is called off instead

    @admin.display(description="State", ordering="status")
    def state(self, row: ScheduledWork) -> str:
        return badge(row.get_status_display())

    def create(self, by: Actor, values: dict[str, Any]) -> ScheduledWork:
        return services.save_work(values.pop("page"), None, by=by, at=database_now(), **values)

    def change(self, row: ScheduledWork, by: Actor, values: dict[str, Any]) -> ScheduledWork:
        return services.save_work(row.page, row, by=by, at=database_now(), **values)

    @admin.action(description="Call off", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[ScheduledWork]) -> None:
        by = Actor.of(request)
        each(request, queryset, lambda w: services.cancel_work(w, by=by, at=database_now()), "called off")


@admin.register(WorkUpdate)
class WorkUpdateDesk(Truth):
    list_display = ("work", "status", "message", "by", "created_at")
    list_filter = ("status",)
    list_select_related = ("work",)
    search_fields = ("work__title", "message")
    ordering = ("-id",)
    paginator = Capped


@admin.register(Publication)
class PublicationDesk(Truth):
    list_display = ("incident", "page", "published_at", "published_by", "withdrawn_at")
    list_filter = ("page",)
    list_select_related = ("incident", "page")
    search_fields = ("incident__title", "title", "page__name")
    ordering = ("-id",)
    paginator = Capped
    actions = ("withdraw",)

    @admin.action(description="Take off the page", permissions=["operate"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Publication]) -> None:
        by = Actor.of(request)
        each(request, queryset, lambda p: services.withdraw(p, by=by, at=database_now()), "taken off")


@admin.register(Projection)
class ProjectionDesk(Truth):
    list_display = ("page", "wanted", "built_at", "digest")
    list_filter = ("wanted",)
    list_select_related = ("page",)
    search_fields = ("page__name", "page__slug")
    hidden = ("body", "days")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Projection]:
        return super().get_queryset(request).defer("body", "days")


@admin.register(Subscriber)
class SubscriberDesk(Truth):
    """Whoever reads a page; the address itself is shown on the page's own list, to those who may change it."""

    list_display = ("reader", "page", "kind", "state", "created_at", "confirmed_at", "failures")
    list_filter = ("kind", "state", "page")
    list_select_related = ("page",)
    search_fields = ("page__name",)
    ordering = ("-id",)
    paginator = Capped
    hidden = ("address", "address_hash", "mark")
    actions = ("remove_readers",)

    @admin.display(description="Reader")
    def reader(self, row: Subscriber) -> str:
        return format_html("№ {}", row.pk)

    @admin.action(description="End their subscription", permissions=["operate"])
    def remove_readers(self, request: HttpRequest, queryset: QuerySet[Subscriber]) -> None:
        by = Actor.of(request)
        each(request, queryset, lambda s: subscribers.remove(s, by=by, at=database_now()), "ended")

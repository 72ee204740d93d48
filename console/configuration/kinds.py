"""Which rows are configuration, and with which fields? One table, in the order in which rows are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from alerts.api import channels, message_templates, oncall, policies, triggers, windows
from alerts.models import Channel, EscalationPolicy, MaintenanceWindow, MessageTemplate, OnCallSchedule, Trigger
from console import contacts_api, services_api
from console.configuration.fields import Field, Fields, Items, Part
from console.configuration.forms import LEFT, REQUIRED, Json, Ref, Refs, Words
from console.configuration.people import Mode, People
from console.configuration.references import NOUNS, Key
from console.configuration.scopes import Scopes
from console.configuration.settings import (
    ChannelSettings,
    Logo,
    PagePassword,
    Settings,
    StepSettings,
    Webhook,
    of_password,
    of_webhook,
    whole,
)
from console.configuration.ways import Ways
from console.configuration.whence import Probes, TemplateValues, places_of, rule_of, usual_slug, usual_timeout
from monitors.api.monitors import Monitors
from monitors.api.templates import MonitorTemplates
from monitors.models import Monitor, MonitorTemplate
from playbooks.api import Playbooks
from playbooks.models import Playbook
from portal.api import resources
from portal.api.base import TenantViewSet
from portal.models import Client, Contact, ContactGroup, Service, Site
from statuspages.api import StatusPages
from statuspages.models import Page


@dataclass(frozen=True)
class Kind:
    """One kind of row. `owner`: its client is "needed", may be left out ("free": then it is ours), or it is one ("itself")."""

    section: str
    model: type
    resource: type[TenantViewSet]
    fields: Fields
    owner: str = "free"
    name: str = "name"
    also: tuple[str, ...] = ()  # what its serializer needs beside the fields
    only: Callable[[QuerySet], QuerySet] = lambda rows: rows
    together: tuple[tuple[str, str], ...] = ()  # whoever sets the first has to say the second as well

    @property
    def noun(self) -> str:
        """What one is called."""
        return NOUNS[self.section]

    def key_of(self, values: Mapping[str, Any]) -> Key:
        """By what it is known."""
        name = str(values[self.name])
        return Key(name, name) if self.owner == "itself" else Key(values.get("client"), name, values.get("nth", 1))

    def rows(self, view: Any) -> QuerySet:
        """The rows that are configuration, with what showing them needs."""
        return self.only(view.get_queryset()).order_by("pk")

    @property
    def body_fields(self) -> set[str]:
        """The serializer's fields that are read."""
        return {f.place.partition(".")[0] for f in self.fields.all} | set(self.also)

    @property
    def late(self) -> list[Field]:
        """Fields that name rows which may come later."""
        return [f for f in self.fields.all if f.late]


def usual_groups(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The headings that a page's components name, in their order."""
    named = [c["group"] for c in values.get("components") or () if isinstance(c, dict) and c.get("group")]
    return [{"name": name} for name in dict.fromkeys(named)]


def _recurring(rows: QuerySet) -> QuerySet:
    return windows.not_over(rows.exclude(recurrence=""))


TAGS = Field("tags", [], Words(ordered=False))
FILTERS = (("severities", Words), ("sources", Words), ("scopes", Scopes), ("tags", Words))
DAYS_AND_HOURS = (Field("weekdays", ""), Field("from_time", None), Field("until_time", None))
TELLS = (Field("channels", [], Refs("channels"), "channel_ids"), Field("contacts", [], Refs("contacts"), "contact_ids"),
         Field("groups", [], Refs("contact_groups"), "group_ids"))  # fmt: skip

CLIENTS = Kind("clients", Client, resources.Clients, Fields(
    Field("slug"), Field("name"), Field("timezone", "UTC"), Field("email", ""), Field("slack_webhook", None, Webhook(), of=of_webhook),
    TAGS, Field("notes", ""), Field("active", True),
), "itself", "slug")  # fmt: skip

SITES = Kind("sites", Site, resources.Sites, Fields(
    Field("name"), Field("url", ""), Field("address", ""), Field("timezone", ""), TAGS,
), "needed")  # fmt: skip

SERVICES = Kind("services", Service, services_api.Services, Fields(
    Field("name"), Field("description", ""), Field("incident_creation", "auto"), Field("merge_window_minutes", 5),
    Field("default_incident_severity", None), Field("escalation_policy", None, Ref("escalation_policies"), late=True),
    Field("auto_publish_page", None, Ref("status_pages"), late=True),
), "needed")  # fmt: skip

MONITOR_TEMPLATES = Kind("monitor_templates", MonitorTemplate, MonitorTemplates, Fields(
    Field("name"), Field("kind"), Field("description", ""), Field("values", {}, TemplateValues()),
))  # fmt: skip

MONITORS = Kind("monitors", Monitor, Monitors, Fields(
    Field("name"), Field("kind"), Field("site", None, Ref("sites")), Field("service", None, Ref("services")), Field("slug", usual_slug),
    Field("config", {}, Settings(), of=whole), Field("interval_seconds", 60), Field("timeout_seconds", usual_timeout), Field("confirmation_count", 2),
    Field("confirmation_seconds", 0), Field("recovery_count", 1), Field("recovery_seconds", 0), Field("degraded_latency_ms", None),
    Field("degraded_loss_percent", None), Field("quorum", 1), Field("distinct_networks", False), Field("probes", None, Probes(), of=places_of),
    Field("probe_rule", {}, Json(), of=rule_of), Field("severity", "critical"), Field("parent", None, Ref("monitors"), late=True),
    Field("template", None, Ref("monitor_templates")), Field("diagnose", True), Field("enabled", True), Field("flapping_changes", 6),
    Field("flapping_window_seconds", 1800), Field("runbook_url", ""), Field("notes", ""), TAGS,
), "needed", also=("uuid", "ping_url"), together=(("probe_rule", "probes"),))  # fmt: skip

CHANNELS = Kind("channels", Channel, channels.Channels, Fields(
    Field("name"), Field("type"), Field("config", {}, ChannelSettings(), of=whole), Field("enabled", True), Field("group_window_seconds", None),
    Field("rate_per_minute", None), Field("monthly_quota", None), Field("canary", False),
), also=("headers", "secret"), only=lambda rows: rows.filter(contact=None))  # fmt: skip

CONTACTS = Kind("contacts", Contact, contacts_api.Contacts, Fields(
    Field("name"), Field("email", ""), Field("phone", ""), Field("timezone", "UTC"), Field("ways", [], Ways(), "channels"),
))  # fmt: skip

CONTACT_GROUPS = Kind("contact_groups", ContactGroup, resources.ContactGroups, Fields(
    Field("name"), Field("contacts", [], Refs("contacts"), "contact_ids"),
))  # fmt: skip

SCHEDULES = Kind("on_call_schedules", OnCallSchedule, oncall.Schedules, Fields(
    Field("name"), Field("timezone", "UTC"), Field("tell_shift_start", False), Field("layers", [], Items(
        "layer", Field("contacts", [], Refs("contacts", ordered=True), "contact_ids"), Field("rotation", "weekly"),
        Field("rotation_days", lambda layer: 1 if layer.get("rotation") == "daily" else 7), Field("handoff_time", "09:00"), Field("handoff_day", 1),
        Field("starts_at"), Field("ends_at", None), *DAYS_AND_HOURS,
    )),
))  # fmt: skip

POLICIES = Kind("escalation_policies", EscalationPolicy, policies.Policies, Fields(
    Field("name"), Field("active", True), Field("attached_only", False),
    Field("filters", {}, Part("the filters", *(Field(name, [], form()) for name, form in FILTERS))),
    Field("levels", [], Items("level", Field("delay_seconds"), *TELLS, Field("schedules", [], Refs("on_call_schedules"), "schedule_ids"))),
    Field("repeat_count", 0), Field("repeat_after_seconds", 300), Field("on_empty", "next"),
))  # fmt: skip

TRIGGERS = Kind("triggers", Trigger, triggers.Triggers, Fields(
    Field("name"), *(Field(name, [], form(csv=True), f"filter_{name}") for name, form in FILTERS), *DAYS_AND_HOURS, Field("timezone", "UTC"),
    Field("enabled", True), Field("notify_on_resolve", True), Field("reminder_minutes", None), Field("verdict_wait_seconds", 8), *TELLS,
))  # fmt: skip

MESSAGE_TEMPLATES = Kind("message_templates", MessageTemplate, message_templates.MessageTemplates, Fields(
    Field("name"), Field("channel", None, Ref("channels")), Field("types", ""), Field("title", ""), Field("text", ""), Field("enabled", True),
))  # fmt: skip

STATUS_PAGES = Kind("status_pages", Page, StatusPages, Fields(
    Field("slug"), Field("name"), Field("enabled", True), Field("visibility", "public"), Field("password", None, PagePassword(), of=of_password),
    Field("headline", ""), Field("about", ""), Field("support_url", ""), Field("language", "en"), Field("timezone", "UTC"), Field("theme", "auto"),
    Field("accent", "#2563eb"), Field("logo", None, Logo(), of=lambda page: page.logo), Field("custom_css", ""), Field("show_latency", False),
    Field("show_targets", False), Field("show_verdicts", False), Field("show_uptime", True), Field("custom_domain", ""), Field("publish_folder", ""),
    Field("subscriptions", True), Field("groups", usual_groups, Items("group", Field("name"), Field("collapsed", False))),
    Field("components", [], Items(
        "component", Field("name"), Field("description", ""), Field("group", None), Field("monitors", [], Refs("monitors"), "monitor_ids"),
        Field("service", None, Ref("services"), "service_id"), Field("show_uptime", True),
    )),
), name="slug", together=(("groups", "components"),))  # fmt: skip

PLAYBOOKS = Kind("playbooks", Playbook, Playbooks, Fields(
    Field("name"), Field("notes", ""), Field("mode", "dry_run", Mode()), Field("events", [], Words(), "trigger.events"),
    Field("scopes", [], Scopes(), "trigger.scopes"), Field("tags", [], Words(), "trigger.tags"), Field("verdict_layers", [], Words()),
    Field("min_confidence", 0.8), Field("quorum", 2), Field("cooldown_seconds", 900), Field("hourly_cap", 3), Field("target_hourly_cap", 3),
    Field("blast_radius", 10), Field("approvals_required", 1), Field("approvers", [], People(), "approver_ids"), Field("approval_minutes", 30),
    Field("steps", REQUIRED, Items("step", Field("kind"), Field("config", {}, StepSettings(), of=whole), rows=lambda row: row.steps.all())),
    Field("verify_within_seconds", 120), Field("undo_on_failure", True), Field("trusted_after", 3),
))  # fmt: skip

WINDOWS = Kind("maintenance_windows", MaintenanceWindow, windows.Windows, Fields(
    Field("title"), Field("description", ""), Field("owner", LEFT), Field("starts_at"), Field("ends_at"), Field("recurrence"), Field("timezone", "UTC"),
    Field("scopes", [], Scopes()), Field("tags", [], Words()),
), name="title", only=_recurring)  # fmt: skip

KINDS: dict[str, Kind] = {
    kind.section: kind
    for kind in (
        CLIENTS, SITES, SERVICES, MONITOR_TEMPLATES, MONITORS, CHANNELS, CONTACTS, CONTACT_GROUPS, SCHEDULES, POLICIES, TRIGGERS,
        MESSAGE_TEMPLATES, STATUS_PAGES, PLAYBOOKS, WINDOWS,
    )
}  # fmt: skip

"""What is in a client's archive? Tables with their columns by name: what is not named here does not leave.

Secrets are in columns of their own (sealed) or in addresses that are keys (a heartbeat's, a report's, a feed's): none of
those is named. Rows are read in pieces, so that a year of results needs no more memory than a day of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.apps import apps
from django.db.models import Model

from monitors.models import Monitor, Probe, Result
from portal.models import Client

Row = dict[str, Any]
AT_ONCE = 500  # rows in memory


@dataclass(frozen=True, slots=True)
class Table:
    """A file of the archive. `columns` are its head as CSV; "" as ending of a JSON list."""

    name: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]
    csv: bool = False


# label: the way to its client, its columns, its lists of others' ids
JSON: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "sites": ("portal.Site", "client", "name url address timezone created_at", ()),
    "services": ("portal.Service", "client", "name description created_at", ()),
    "contacts": ("portal.Contact", "client", "name email phone timezone created_at", ()),
    "contact_groups": ("portal.ContactGroup", "client", "name", ("contacts",)),
    "people": ("portal.Membership", "client", "user__email user__name role created_at", ()),
    "monitors": (
        "monitors.Monitor", "client",
        "name kind config site_id service_id parent_id template_id interval_seconds timeout_seconds confirmation_seconds confirmation_count recovery_seconds "
        "recovery_count degraded_latency_ms degraded_loss_percent quorum distinct_networks severity diagnose in_maintenance runbook_url notes enabled state "
        "state_since state_reason created_at", ("tags",),
    ),
    "monitor_templates": ("monitors.MonitorTemplate", "client", "name description kind version created_at updated_at", ()),
    "certificates": ("monitors.Certificate", "monitor__client", "monitor_id fingerprint subject issuer names not_before not_after chain_error first_seen_at last_seen_at", ()),
    "diagnoses": ("monitors.Diagnosis", "monitor__client", "monitor_id alert_id cause state started_at finished_at verdict layer confidence", ()),
    "channels": ("alerts.Channel", "client", "name type config contact_id enabled rate_per_minute monthly_quota last_success_at unhealthy_reason created_at", ()),
    "ways": ("alerts.ContactChannel", "contact__client", "contact_id channel_id urgency delay_minutes quiet_from quiet_until quiet_urgency", ()),
    "triggers": (
        "alerts.Trigger", "client",
        "name filter_severities filter_sources filter_scopes filter_tags weekdays from_time until_time timezone enabled notify_on_resolve reminder_minutes created_at",
        ("channels", "contacts", "groups"),
    ),
    "escalation_policies": ("alerts.EscalationPolicy", "client", "name active attached_only repeat_count repeat_after_seconds on_empty created_at", ()),
    "escalation_levels": ("alerts.Level", "policy__client", "policy_id order delay_seconds", ("channels", "contacts", "groups", "schedules")),
    "on_call_schedules": ("alerts.OnCallSchedule", "client", "name timezone tell_shift_start created_at", ()),
    "on_call_layers": ("alerts.Layer", "schedule__client", "schedule_id order rotation rotation_days handoff_time handoff_day starts_at ends_at", ()),
    "on_call_overrides": ("alerts.Override", "schedule__client", "schedule_id contact_id starts_at ends_at reason", ()),
    "silences": ("alerts.Silence", "client", "reason owner starts_at ends_at recurrence timezone matchers cancelled_at created_at", ()),
    "maintenance_windows": ("alerts.MaintenanceWindow", "client", "title description owner starts_at ends_at recurrence timezone scopes tags cancelled_at created_at", ()),
    "maintenance_requests": ("alerts.MaintenanceRequest", "client", "title note starts_at ends_at timezone state asked_name created_at decided_at reason", ()),
    "message_templates": ("alerts.MessageTemplate", "client", "name types title text enabled created_at", ()),
    "integrations": ("alerts.Integration", "client", "name kind mapping tags enabled last_event_at created_at", ()),
    "incidents": (
        "incidents.Incident", "client",
        "title severity status service_id auto_created affected_monitor_ids created_at created_by began_at mitigated_at acknowledged_at acknowledged_by resolved_at "
        "resolved_by merged_into_id", (),
    ),
    "incident_updates": ("incidents.Update", "incident__client", "incident_id status message by created_at edited_at", ()),
    "incident_timeline": ("incidents.TimelineEntry", "incident__client", "incident_id seq at kind by text", ()),
    "postmortems": ("incidents.Postmortem", "incident__client", "incident_id body finished_at version updated_at updated_by", ()),
    "sla_contracts": ("incidents.SlaContract", "service__client", "service_id target_percent exclude_maintenance exclude_transit exclude_probe exclude_unknown counted_from timezone", ()),
    "sla_reports": ("incidents.SlaReport", "client", "month body digest made_at", ()),
    "sla_mails": ("incidents.ReportMail", "report__client", "report_id created_at sent_at error", ()),
    "status_pages": (
        "statuspages.Page", "client",
        "name slug enabled visibility headline about announcement support_url language timezone theme accent custom_css show_latency show_targets show_verdicts "
        "show_uptime custom_domain subscriptions created_at", (),
    ),
    "status_components": ("statuspages.Component", "page__client", "page_id group_id name description order service_id override show_uptime", ("monitors",)),
    "status_component_groups": ("statuspages.ComponentGroup", "page__client", "page_id name order collapsed", ()),
    "status_publications": ("statuspages.Publication", "page__client", "page_id incident_id title published_at published_by withdrawn_at", ("components",)),
    "status_works": ("statuspages.ScheduledWork", "page__client", "page_id title message starts_at ends_at status created_at", ("components",)),
    "status_subscribers": ("statuspages.Subscriber", "page__client", "page_id kind state created_at confirmed_at ended_at", ()),
    "playbooks": ("playbooks.Playbook", "client", "name notes mode version events scopes tags verdict_layers min_confidence approvals_required created_at", ()),
    "playbook_steps": ("playbooks.Step", "playbook__client", "playbook_id order kind", ()),
    "playbook_runs": ("playbooks.Run", "client", "playbook_name playbook_version monitor_id alert_id incident_id mode state reason created_at acted_at finished_at", ()),
}  # fmt: skip
CSV: dict[str, tuple[str, str, str]] = {
    "alerts": (
        "alerts.Alert", "client",
        "event severity status source condition entity_type entity_name title message kind target parent monitor_id incident_id created_at notified_at "
        "acknowledged_at acknowledged_by resolved_at resolved_by hold_reason",
    ),
    "state_changes": ("monitors.StateChange", "monitor__client", "monitor_id at from_state to_state first_failure_at reason layer"),
    "uptime": ("monitors.Rollup", "monitor__client", "monitor_id period start up degraded failing unknown latency_sum_ms"),
    "heartbeats": ("monitors.Ping", "monitor__client", "monitor_id at kind exit_code duration_ms method"),
    # What went through our own channels is ours: who of our staff was told, and where.
    "messages": ("alerts.Delivery", "channel__client", "alert_id kind channel_id contact_id via state reason created_at finished_at"),
    "message_attempts": ("alerts.Attempt", "delivery__channel__client", "delivery_id n at outcome response_code duration_ms error"),
    "audit_log": ("portal.AuditEntry", "client_id", "seq at actor ip action subject subject_name before after"),
}  # fmt: skip
MEASURED = ("ts", "probe", "status", "dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "total_ms", "loss_percent", "http_status", "error_class", "message")  # fmt: skip
ABOUT = "name slug timezone email active created_at"  # our notes about a client are not for it


def tables(client: Client) -> Iterator[Table]:
    """Every file of this client's archive, in order; a file of results for each monitor."""
    yield Table("client", (), lambda: _rows("portal.Client", "pk", client.pk, ABOUT.split(), ("tags",)))
    for name, (label, path, columns, lists) in JSON.items():
        yield Table(name, (), _later(label, path, client.pk, columns, lists))
    for name, (label, path, columns) in CSV.items():
        rows = _later(label, path, client.pk, columns, ())
        yield Table(
            name,
            ("id", *columns.split()),
            (lambda rows=rows: map(_without_notes, rows())) if name == "audit_log" else rows,
            csv=True,
        )  # type: ignore[misc]
    probes = dict(Probe.objects.values_list("pk", "name"))
    for pk in list(Monitor.objects.filter(client=client).order_by("pk").values_list("pk", flat=True)):
        yield Table(f"results/{pk}", MEASURED, lambda pk=pk: _measured(pk, probes), csv=True)  # type: ignore[misc]


def count(client: Client) -> int:
    """How many files that are."""
    return 1 + len(JSON) + len(CSV) + Monitor.objects.filter(client=client).count()


def _later(label: str, path: str, client: int, columns: str, lists: tuple[str, ...]) -> Callable[[], Iterator[Row]]:
    return lambda: _rows(label, path, client, columns.split(), lists)


def _rows(label: str, path: str, client: int, columns: Sequence[str], lists: Sequence[str]) -> Iterator[Row]:
    """The client's rows with their ids; lists as ids of what they name, tags as words."""
    model = apps.get_model(label)
    found = model._default_manager.filter(**{path: client}).order_by("pk").values("pk", *columns)
    stream = found.iterator(chunk_size=AT_ONCE)
    while some := list(islice(stream, AT_ONCE)):
        named = {name: _named(model, name, [row["pk"] for row in some]) for name in lists}
        for row in some:
            pk = row.pop("pk")
            yield {"id": pk, **row, **{name: found_for[pk] for name, found_for in named.items()}}


def _without_notes(row: Row) -> Row:
    """What we noted about the client is not for it, in the record of changes neither."""
    if str(row["subject"]).startswith("client:"):
        for side in ("before", "after"):
            row[side] = {name: value for name, value in (row[side] or {}).items() if name != "notes"}
    return row


def _named(model: type[Model], name: str, ids: list[int]) -> dict[int, list[Any]]:
    field: Any = model._meta.get_field(name)
    ours, theirs = f"{field.m2m_field_name()}_id", f"{field.m2m_reverse_field_name()}_id"
    shown = f"{field.m2m_reverse_field_name()}__name" if name == "tags" else theirs
    found: dict[int, list[Any]] = defaultdict(list)
    links = field.remote_field.through._base_manager.filter(**{f"{ours}__in": ids}).order_by("pk")
    for pk, value in links.values_list(ours, shown):
        found[pk].append(value)
    return found


def _measured(monitor: int, probes: dict[int, str]) -> Iterator[Row]:
    rows = Result.objects.filter(monitor_id=monitor).order_by("ts")
    words = dict(Result._meta.get_field("status").flatchoices)
    for row in rows.values("probe_id", *(c for c in MEASURED if c != "probe")).iterator(chunk_size=AT_ONCE):
        yield {
            **row,
            "probe": probes.get(row["probe_id"], row["probe_id"]),
            "status": words.get(row["status"], row["status"]),
        }

"""Where can one go, and what there wants attention? The main navigation and the counts beside it."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, Count, QuerySet, Value

from alerts.models import Alert, MaintenanceRequest
from console import curl, guides
from incidents.models import Incident
from playbooks.models import Run, RunState
from portal.registry import NavigationItem, add_badges, add_calls, add_guides, add_navigation
from portal.tenancy import ADMINISTER, WRITE, Viewer

ITEMS = (
    NavigationItem("Overview", "/", "overview", 10),
    NavigationItem("Monitors", "/monitors/", "monitor", 20),
    NavigationItem("Alerts", "/alerts/", "alert", 30),
    NavigationItem("Incidents", "/incidents/", "incident", 40),
    NavigationItem("Status pages", "/status-pages/", "page", 42),
    NavigationItem("Playbooks", "/playbooks/", "check", 43),
    NavigationItem("Approvals", "/approvals/", "check", 44),
    NavigationItem("On-call", "/on-call/", "on-call", 45),
    NavigationItem("Page on-call now", "/page-now/", "warning", 46, verb=WRITE),
    NavigationItem("Escalation", "/escalation-policies/", "escalation", 47),
    NavigationItem("Deliveries", "/deliveries/", "delivery", 50),
    NavigationItem("Silences", "/silences/", "silence", 60),
    NavigationItem("Maintenance", "/maintenance/", "clock", 62),
    NavigationItem("Availability", "/sla/", "clock", 64),
    NavigationItem("Triggers", "/triggers/", "people", 70),
    NavigationItem("Contacts", "/contacts/", "user", 73),
    NavigationItem("Who is told?", "/simulate/", "search", 72),
    NavigationItem("Channels", "/channels/", "external", 75),
    NavigationItem("Integrations", "/integrations/", "download", 77),
    NavigationItem("Probes", "/probes/", "probe", 78),
    NavigationItem("Clients", "/clients/", "client", 80),
    NavigationItem("Branding", "/branding/", "page", 82, staff_only=True, verb=ADMINISTER),
    NavigationItem("People", "/people/", "people", 82, verb=WRITE),
    NavigationItem("Trash", "/trash/", "trash", 95, verb=WRITE),
)


def register() -> None:
    """Hand them to the shell."""
    add_navigation(*ITEMS)
    add_badges(badges)
    add_guides(guides.link)
    add_calls(curl.line)


def badges(viewer: Viewer) -> dict[str, int]:
    """{address: how many are open there}, in one query: alerts that nothing else explains, and incidents."""
    alerts = Alert.objects.for_user(viewer).filter(resolved_at=None).exclude(hold_reason="explained_by_parent")
    rows = _counted(alerts, "/alerts/").union(
        _counted(Incident.objects.for_user(viewer).filter(resolved_at=None), "/incidents/"), all=True
    )
    waiting = Run.objects.for_user(viewer).filter(state=RunState.AWAITING_APPROVAL)
    rows = rows.union(_counted(waiting, "/approvals/"), all=True)
    asked = MaintenanceRequest.objects.for_user(viewer).filter(state=MaintenanceRequest.State.REQUESTED)
    rows = rows.union(_counted(asked, "/maintenance/"), all=True)
    found = {row["where"]: row["n"] for row in rows}
    return {**found, "problems": found.get("/alerts/", 0)}


def _counted(rows: QuerySet[Any], where: str) -> QuerySet[Any]:
    return (
        rows.order_by().annotate(where=Value(where, output_field=CharField())).values("where").annotate(n=Count("pk"))
    )

"""How does a monitor appear in an alert? Its facts as plain columns, so that alerts need look nothing up."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.db.models import QuerySet

from alerts.report import Report
from monitors import checks
from monitors.models import Monitor


def with_tags(rows: QuerySet[Monitor]) -> QuerySet[Monitor]:
    """With what `report_of` reads: the monitor's, its site's and its client's tags."""
    return rows.select_related("client", "site").prefetch_related("tags", "site__tags", "client__tags")


def tags_of(m: Monitor) -> list[str]:
    """The monitor's, its site's and its client's tags together."""
    rows = [*m.tags.all(), *m.client.tags.all(), *(m.site.tags.all() if m.site else ())]
    return sorted({t.name.lower() for t in rows})


def source_of(kind: str) -> str:
    """Which source speaks for this kind's health (SPEC ALR-1)."""
    return {
        "heartbeat": "heartbeat",
        "tls": "certificate",
        "domain": "domain",
        "host": "resource",
        "container": "container",
    }.get(kind, "endpoint")


def target_of(m: Monitor) -> str:
    """What a person reads: a host or address, without secrets."""
    try:
        return checks.get(m.kind).target(checks.parse(m.kind, {**m.config, **m.secrets.open()}))
    except Exception:  # a broken row still needs a name
        return m.name


def address_keys(m: Monitor) -> dict[str, Any]:
    """What it shares with others: the host it stands on."""
    host = m.config.get("host") or urlsplit(str(m.config.get("url", ""))).hostname
    return {"host": host} if host else {}


def report_of(
    m: Monitor, *, source: str, condition: str, event: str, failing: bool, at: datetime, **more: Any
) -> Report:
    """A report about a monitor; rows loaded by `with_tags` cost no further query."""
    return Report(
        source=source, condition=condition, event=event, entity_type="monitor", entity_id=str(m.pk), entity_name=m.name, failing=failing, at=at,
        client_id=m.client_id, site_id=m.site_id, service_id=m.service_id, monitor_id=m.pk, kind=m.kind, target=target_of(m) if failing else "",
        tags=tags_of(m) if failing else [], parent=f"monitor:{m.parent_id}" if m.parent_id else "", correlation=address_keys(m), **more,
    )  # fmt: skip

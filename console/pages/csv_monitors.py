"""How do monitors leave as a table that "Add several at once" takes back? The viewer's own rows, as the list is filtered."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from console.pages import csv_cells, visit
from console.pages.monitor_list import filtered
from monitors import checks, paste, places, rules
from monitors.models import Monitor
from portal.models import Client
from portal.tenancy import viewer_of


@visit.page
def export(request: HttpRequest) -> HttpResponse:
    """`/tables/monitors.csv?client=3&state=…`: as the list is filtered; a table is one client's, as when it comes back."""
    viewer = viewer_of(request)
    clients = Client.objects.for_user(viewer)
    chosen = clients.filter(pk=visit.whole(request.GET.get("client")) or 0) if request.GET.get("client") else clients
    found = list(chosen.order_by("pk")[:2])
    if len(found) != 1:
        messages.info(request, "Choose a client first: a table holds one client's monitors.")
        return redirect("monitors")
    rows = filtered(Monitor.objects.for_user(viewer), request.GET).filter(client=found[0])
    rows = rows.select_related("site", "service").prefetch_related("tags", "views__probe").order_by("name", "pk")
    head, body = table(list(rows))
    return csv_cells.attached(head, body, f"monitors-{found[0].slug}")


def table(monitors: Sequence[Monitor]) -> tuple[list[str], list[list[object]]]:
    """(head, rows) as `monitors.paste` reads them. Only settings that differ from what is usual; never a secret."""
    settings = [settings_of(m) for m in monitors]
    columns = sorted({name for found in settings for name in found})
    head = [*paste.COLUMNS, *(f"{paste.SETTING}{name}" for name in columns)]
    body = [[*_plain(m), *(found.get(name, "") for name in columns)] for m, found in zip(monitors, settings, strict=True)]  # fmt: skip
    return head, body


def _plain(m: Monitor) -> list[object]:
    cells: dict[str, object] = {
        "name": m.name,
        "url": address(m),
        "kind": m.kind,
        "interval": m.interval_seconds,
        "timeout": math.ceil(m.timeout_seconds),
        "tags": "; ".join(tag.name for tag in m.tags.all()),
        "site": m.site.name if m.site else "",
        "service": m.service.name if m.service else "",
        "severity": m.severity,
        "runbook_url": m.runbook_url,
        "notes": m.notes,
        "probes": watched_from(m),
    }
    return [cells[name] for name in paste.COLUMNS]


def watched_from(m: Monitor) -> str:
    """Its rule, or the places it was given; empty for the portal's own, which is what an empty cell means."""
    if m.probe_rule:
        return places.in_words(m.probe_rule)
    probes = [view.probe for view in m.views.all()]
    return "" if all(p.built_in for p in probes) or m.kind not in checks.KINDS else "; ".join(sorted(p.slug for p in probes))  # fmt: skip


def address(m: Monitor) -> str:
    """Its main setting as an address; empty where that is a list of words, which has a column of its own."""
    check = checks.KINDS.get(m.kind)
    value = m.config.get(check.main_field) if check else None
    if value is None or check is None or main_is_words(m.kind):
        return ""
    if isinstance(value, list):
        return ";".join(str(one) for one in value)
    if check.main_field == "host" and "port" in m.config:
        host = f"[{value}]" if ":" in str(value) else value
        return f"{host}:{m.config['port']}"
    return str(value)


def main_is_words(kind: str) -> bool:
    """Is the kind's main setting a list of words, as a server's services?"""
    field = checks.schemas()[kind]["properties"].get(checks.KINDS[kind].main_field, {})
    return field.get("type") == "array" and field.get("items", {}).get("type") != "integer"


def settings_of(m: Monitor) -> dict[str, str]:
    """{setting: cell} of what differs from the kind's usual values."""
    if m.kind not in checks.KINDS:
        return {}
    properties, secret = checks.schemas()[m.kind]["properties"], rules.secret_names(m.kind)
    main = checks.KINDS[m.kind].main_field
    spoken = set() if main_is_words(m.kind) else {main, "port"} if main == "host" else {main}
    return {
        name: cell(value, any_value=properties[name].get("$ref", "").endswith("/JsonValue"))
        for name, value in m.config.items()
        if name in properties and name not in secret | spoken and value not in (None, properties[name].get("default"))
    }


def cell(value: Any, *, any_value: bool = False) -> str:
    """A setting in one cell: lists with ; between, truth as true or false. Where any value may stand, text like 5 in quotes."""
    if any_value:
        return value if isinstance(value, str) and paste.any_json(value) == value else json.dumps(value)
    if isinstance(value, list):
        return "; ".join(str(one) for one in value)
    return value if isinstance(value, str) else json.dumps(value)

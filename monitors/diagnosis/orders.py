"""What is a probe told to measure? The target, the monitor's own check, whom to ask about names, what was known in better days."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from monitors.diagnosis.evidence import VERSION
from monitors.diagnosis.targets import target_of
from monitors.models import Baseline, Monitor, Probe, ProbeState
from portal.secrets import CannotOpen

MOST_KNOWN = 8


def order(m: Monitor, probe: Probe) -> dict[str, Any]:
    """For the portal's own probe, which measures at once: the check with its secrets readable."""
    return {**_public(m, probe), "check": _check(m, probe, secrets_of(m))}


def job_body(m: Monitor, probe: Probe, *, baseline: bool = False) -> dict[str, Any]:
    """For a remote probe's job. A job is a row, so no secret is in it: a check that needs one is added on the way out (`sent`)."""
    check = None if secrets_of(m) else _check(m, probe, {})
    return {**_public(m, probe), "check": check, "monitor": m.pk, "light": baseline}


def sent(body: dict[str, Any], probe_id: int) -> dict[str, Any]:
    """A stored body as it goes to the probe. Secrets only to a probe that watches the monitor, as its list has them too."""
    if body.get("check") is not None or "monitor" not in body:
        return body
    watches = ProbeState.objects.filter(probe=probe_id, active=True, monitor=body["monitor"])
    view = watches.select_related("monitor", "probe").first()
    return body if view is None else {**body, "check": _check(view.monitor, view.probe, secrets_of(view.monitor))}


def _public(m: Monitor, probe: Probe) -> dict[str, Any]:
    known = Baseline.objects.filter(monitor=m, probe=probe).values_list("data", flat=True).first() or {}
    names = known.get("names") or {}
    return {
        "v": VERSION, "probe": probe.pk, "slug": probe.slug, "private": probe.client_id is not None, "network": probe.network,
        "target": {**(target_of(m.kind, m.config) or {}), "known": list(names.get("addresses") or ())[:MOST_KNOWN]},
        "resolvers": list(settings.DIAGNOSIS_RESOLVERS), "anchors": list(probe.anchors), "owners": list(names.get("authoritative") or ())[:MOST_KNOWN],
    }  # fmt: skip


def _check(m: Monitor, probe: Probe, secrets: dict[str, Any]) -> dict[str, Any]:
    """`private`: may private addresses be reached, as for the monitor's checks from there?"""
    return {
        "kind": m.kind, "config": {**m.config, **secrets}, "private": m.trusted or probe.client_id is not None, "timeout": m.timeout_seconds, "degraded_latency_ms": m.degraded_latency_ms,
        "degraded_loss_percent": m.degraded_loss_percent,
    }  # fmt: skip


def secrets_of(m: Monitor) -> dict[str, Any]:
    """A monitor's secrets, readable."""
    try:
        return dict(m.secrets.open())
    except CannotOpen:
        return {"cannot_open": True}  # the check then says that its settings cannot be used

"""What would it have done? The last days' alerts through a playbook's conditions and gates, as far as history tells.

Votes of old moments are not kept, so the quorum is read from the verdict's own count of regions; whatever history does
not tell is named, never guessed.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from alerts import facts as around_alerts
from alerts.models import Alert
from playbooks import engine, facts, plans, proposing
from playbooks.models import Playbook
from portal.tenancy import viewer_of

MOST = 2000  # alerts that are looked at
SHOWN = 50
ASKED = ("quorum", "verdict", "cooldown", "cap", "target_cap")
NOT_ASKED = ("brakes", "maintenance", "blast_radius", "concurrency")


def replay(playbook: Playbook, viewer: Any, at: datetime, *, days: int = 90) -> dict[str, Any]:
    """{days, alerts, matched, fired, blocked: {gate: n}, not_asked, cut, moments}: one simulated past, in order of time."""
    since = at - timedelta(days=days)
    rows = Alert.objects.for_user(viewer_of(viewer)).filter(
        created_at__gte=since, created_at__lte=at, monitor_id__isnull=False
    )
    rows = rows.exclude(source="playbook").order_by("created_at", "pk")
    if playbook.client_id:
        rows = rows.filter(client=playbook.client_id)
    alerts = list(rows[: MOST + 1])
    cut, alerts = len(alerts) > MOST, alerts[:MOST]
    around = around_alerts.around(alerts) if alerts else None
    matched = [a for a in alerts if around and proposing.wants(playbook, a, around.of(a, a.created_at))]
    limits, targets = facts.limits_of(playbook), plans.of(playbook).targets
    fired: list[datetime] = []
    blocked: Counter[str] = Counter()
    moments: list[dict[str, Any]] = []
    for alert in matched:
        gates = _judged(alert, limits, targets, fired)
        held = next((g for g in gates if not g.passed), None)
        if held is None:
            fired.append(alert.created_at)
        else:
            blocked[held.gate] += 1
        moments.append({"alert": alert.pk, "title": alert.title, "at": alert.created_at, "would_act": held is None, "gate": held.gate if held else None, "detail": held.detail if held else "Every gate would have passed."})  # fmt: skip
    return {
        "days": days, "alerts": len(alerts), "matched": len(matched), "fired": len(fired), "blocked": dict(blocked.most_common()),
        "not_asked": list(NOT_ASKED), "cut": cut, "moments": moments[-SHOWN:][::-1],
    }  # fmt: skip


def _judged(alert: Alert, limits: engine.Limits, targets: list[str], fired: list[datetime]) -> list[engine.Gate]:
    """The gates that history can answer."""
    verdict = alert.verdict or {}
    regions = verdict.get("regions") or {}
    failing, voting = (
        len(regions[key]) if isinstance(regions.get(key), list) else None for key in ("confirming", "asked")
    )
    recent = [t for t in fired if alert.created_at - t < engine.HOUR]
    known = engine.Facts(
        at=alert.created_at, regions_failing=failing, regions_voting=voting, layer=verdict.get("layer"), confidence=verdict.get("confidence"), acted_last=fired[-1] if fired else None, acted_last_known=True,
        acted_this_hour=len(recent), target_acted_this_hour=dict.fromkeys(targets, len(recent)),
    )  # fmt: skip
    return [g for g in engine.judge(known, limits) if g.gate in ASKED]

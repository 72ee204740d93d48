"""What can people do with a monitor? One door each for pages, API, admin, forms and import; each says who and when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from monitors import checks, engine, places, rules, store
from monitors.models import Monitor, Probe, ProbeState
from monitors.models.monitor import State
from monitors.resting import FENCED, rest, wake
from monitors.resting import close_alerts as close_alerts
from monitors.resting import delete as delete
from monitors.resting import pause as pause
from monitors.resting import resume as resume
from monitors.rules import refuse_unreachable as refuse_unreachable
from monitors.rules import secret_names as secret_names
from monitors.rules import split_config as split_config
from portal import audit, bells
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Tag
from portal.tenancy import viewer_of

DECIDED = (
    "state",
    "state_since",
    "state_reason",
    "state_version",
    "flapping_since",
    "config_version",
    "uuid",
    "in_maintenance",
)


def save(
    m: Monitor,
    *,
    by: Actor,
    at: datetime,
    tags: Iterable[str] | None = None,
    probes: Iterable[Probe] | None = None,
    rule: dict[str, Any] | None = None,
    trusted: bool | None = None,
) -> Monitor:
    """Create or change a monitor: checked as a whole, scheduled at once, recorded. Nothing is stored when anything is wrong.

    `m.config` may hold secrets: they are split off and sealed. From where it is watched is said by `probes` (exactly
    these; its rule ends) or by `rule` (followed from now on); by neither, `m.probe_rule` holds or it stays where it is.
    Raises ValidationError naming the field and the cure.
    """
    new = m.pk is None
    if trusted is not None:
        m.trusted = trusted
    chosen = None if probes is None else list(probes)
    if chosen is not None and rule:
        raise ValidationError({"probe_rule": "Name probes or a rule, not both."})
    if chosen is not None or rule is not None:
        m.probe_rule = rule or {}
    rules.judge(m, chosen)
    with transaction.atomic():
        before = None if new else Monitor.objects.select_for_update().get(pk=m.pk)
        if before is not None:
            for name in DECIDED:
                setattr(m, name, getattr(before, name))
            m.config_version = before.config_version + 1
        else:
            m.state, m.state_since = (State.PENDING if m.enabled else State.PAUSED), at
        m.save()
        if tags is not None:
            m.tags.set(Tag.named(list(tags)))
        seen_from = _slugs(m) if before is not None and chosen is not None else None
        schedule(m, at, chosen if chosen is not None else ruled(m), quorum=None if before is None else before.quorum)
        if before is not None and before.enabled != m.enabled:
            rest(m, at, by) if not m.enabled else wake(m, at)
        elif (
            before is not None and m.enabled and m.kind in ("heartbeat", "push") and m.views.exclude(facts={}).exists()
        ):
            store.rush([m.pk], at)  # what it was told last is judged anew by the new settings
        changed = {} if before is None else _difference(before, m)
        if seen_from is not None and seen_from != (now := _slugs(m)):
            changed["before"]["probes"], changed["after"]["probes"] = seen_from, now
        audit.record(
            "monitor.create" if new else "monitor.change",
            m,
            by=by,
            client_id=m.client_id,
            before=changed.get("before"),
            after=changed.get("after") or {"name": m.name, "kind": m.kind},
        )
        bells.ring_on_commit(bells.PROBE)
    return m


def _difference(before: Monitor, after: Monitor) -> dict[str, dict[str, Any]]:
    names = [
        f.name
        for f in Monitor._meta.concrete_fields
        if f.name not in DECIDED and f.name not in ("secrets", "id", "created_at")
    ]
    changed = [n for n in names if getattr(before, n) != getattr(after, n)]
    return {
        "before": {n: getattr(before, n) for n in changed},
        "after": {n: getattr(after, n) for n in changed}
        | ({"secrets": "changed"} if before.secrets.open() != after.secrets.open() else {}),
    }


def _slugs(m: Monitor) -> list[str]:
    return sorted(m.views.values_list("probe__slug", flat=True))


def moves(m: Monitor, probes: Iterable[Probe] | None, rule: dict[str, Any] | None) -> bool:
    """Would this choice have it watched from elsewhere? What staff let into one network is not meant for another."""
    if rule is not None and rule != m.probe_rule:
        return True
    return probes is not None and {p.pk for p in probes} != set(m.views.values_list("probe_id", flat=True))


def ruled(m: Monitor) -> list[Probe] | None:
    """The probes that its rule chooses now; None without a rule, or when it fits none: then it stays where it is."""
    if not m.probe_rule or checks.KINDS[m.kind].passive:
        return None
    found = places.choose(m.probe_rule, m.pk, m.client_id, places.places(), distinct=m.distinct_networks)
    return list(Probe.objects.filter(pk__in=found).order_by("pk")) or None


def schedule(m: Monitor, at: datetime, probes: list[Probe] | None = None, *, quorum: int | None = None) -> None:
    """One view per probe: a new one is due at once (a person waits for it), then in its own slot of the interval.

    `quorum`: what it was before, for a monitor that is only changed; more than there are probes is refused when it rises.
    """
    if probes is None:
        known = list(m.views.values_list("probe_id", flat=True))
        if known:
            if quorum is not None and m.quorum > quorum:
                _refuse_quorum(m, len(known))
            if m.kind not in ("heartbeat", "push"):
                ProbeState.objects.filter(monitor=m).update(
                    next_due_at=at, settled=False, active=m.enabled, facts={}, **FENCED
                )
            return
        probes = list(Probe.objects.filter(built_in=True, enabled=True))
    if not m.probe_rule:  # with a rule it was judged by all that fit (`rules.judge_places`)
        _refuse_quorum(m, len(probes))
    if m.views.exclude(probe__in=probes).delete()[0]:
        m.views.update(changed=True)  # the votes are counted anew
    have = set(m.views.values_list("probe_id", flat=True))
    passive = checks.KINDS[m.kind].passive and m.kind != "group"
    ProbeState.objects.bulk_create(
        ProbeState(
            monitor=m, probe=p, active=m.enabled, next_due_at=at if not passive else at.replace(year=at.year + 10)
        )
        for p in probes
        if p.pk not in have
    )
    m.views.filter(probe__in=have).update(
        active=m.enabled, settled=False, **({} if passive else {"next_due_at": at, **FENCED})
    )


def _refuse_quorum(m: Monitor, count: int) -> None:
    if m.quorum > max(1, count):
        raise ValidationError(
            {
                "quorum": f"{m.quorum} probes are to agree, but only {count} watch it; choose more probes or a smaller quorum."
            }
        )


def spread(m: Monitor, at: datetime) -> None:
    """Move a monitor's views to their own slots (bulk imports: nobody waits for the first result)."""
    for v in m.views.all():
        ProbeState.objects.filter(pk=v.pk).update(
            next_due_at=engine.first_slot(m.pk, v.probe_id, m.interval_seconds, at)
        )


# --- Ask and tell ---------------------------------------------------------------------------------------------------------
def check_now(m: Monitor, *, by: Actor, at: datetime) -> None:
    """Make every probe look now; counts as a result. Refused while paused."""
    if not m.enabled:
        raise Refused("This monitor is paused; resume it first.")
    with transaction.atomic():
        store.rush([m.pk], at)
        bells.ring_on_commit(bells.PROBE)


def push(m: Monitor, *, status: str, message: str, latency_ms: float | None, at: datetime) -> None:
    """Take a result that a script posted. Refused for other kinds and while paused; ValidationError for a bad status."""
    if m.kind != "push":
        raise Refused("Results can be pushed to monitors of kind push only.")
    if not m.enabled:
        raise Refused("This monitor is paused; resume it first.")
    if status not in ("up", "degraded", "down", "failing"):
        raise ValidationError({"status": "One of up, degraded, down."})
    tell(m, {"pushed_at": at.isoformat(), "status": status, "message": message[:300], "latency_ms": latency_ms}, at)


def tell(m: Monitor, facts: dict[str, Any], at: datetime) -> None:
    """Give a passive monitor new facts; it is judged at once."""
    with transaction.atomic():
        for view in m.views.select_for_update().order_by("pk"):
            view.facts = {**view.facts, **facts}
            view.save(update_fields=["facts"])
        store.rush([m.pk], at)
        bells.ring_on_commit(bells.PROBE)


def probes_for(actor: Any, slugs: Iterable[str], client_id: int) -> list[Probe]:
    """The probes of these slugs that this person may use for this client; raises ValidationError for others."""
    wanted = list(dict.fromkeys(slugs))
    seen = Probe.objects.for_user(viewer_of(actor)).filter(slug__in=wanted, enabled=True)
    found = {p.slug: p for p in seen if p.client_id in (None, client_id)}
    missing = [s for s in wanted if s not in found]
    if missing or not wanted:
        known = ", ".join(Probe.objects.for_user(viewer_of(actor)).values_list("slug", flat=True))
        raise ValidationError({"probes": f"No such probe: {', '.join(missing) or '(none given)'}; there are {known}."})
    return [found[s] for s in wanted]

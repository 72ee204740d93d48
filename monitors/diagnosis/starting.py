"""When does a diagnosis begin, and who is asked to look? At a monitor's first failing result, or when a person asks.

`begin` runs inside the evaluator's transaction, under the monitors' locks, and writes rows only: one Diagnosis per
monitor and one Battery per probe. Who is measured when is decided by `batteries`, what follows by `gathering`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from alerts.models import Alert
from monitors import checks, engine, store
from monitors.diagnosis import links
from monitors.diagnosis.targets import Target, key_of, target_of
from monitors.models import Battery, Diagnosis, Monitor, Probe, ProbeState
from monitors.models.monitor import State
from monitors.remote import SPEAKING
from portal import audit, bells, sets
from portal.audit import Actor
from portal.errors import Refused

PATIENCE = timedelta(seconds=8)  # from the first failing result to the verdict
LEAST = timedelta(seconds=6)  # a battery needs so long: one that begins late is waited for all the same
SELDOM = timedelta(minutes=5)  # between two diagnoses of what fails for a moment now and then

FEW = 10  # so many at once are single failures; more are a storm
MOST_BESIDE = 20
# Checked cheaply and without harm whenever we like: what stands at an address. (Passive kinds and slow registries are not.)
ADDRESSED = ("http", "tcp", "icmp", "tls", "smtp", "imap", "ssh", "redis", "websocket")
GATHERING, DONE = Diagnosis.State.GATHERING, Diagnosis.State.DONE
Cause = Diagnosis.Cause


@dataclass(frozen=True, slots=True)
class Failing:
    """A monitor that has begun to fail. `since` is its first bad result's time; `sure`: it is confirmed, an alert follows."""

    monitor: Monitor
    cause: str
    since: datetime
    probes: tuple[Probe, ...]  # those that watch it
    sure: bool = False


# --- What is asked of whom: pure --------------------------------------------------------------------------------------
def newly_failing(
    m: Monitor, seen: Iterable[tuple[ProbeState, int]], probes: Mapping[int, Probe], decision: engine.Decision
) -> Failing | None:
    """Has this monitor begun to fail? `seen` are its active views, each with the vote that it has from now on.

    A failing result counts before it is confirmed, and before the probe's own line was proved: that line is part of what
    is measured. What was known to be down already is not looked at again, and blind probes begin nothing.
    """
    if not m.diagnose or m.state == State.DOWN:
        return None
    rows = [(v, vote) for v, vote in seen if probes[v.probe_id].blind_since is None and probes[v.probe_id].enabled and not v.stale]  # fmt: skip
    bad = [v.since for v, _ in rows if v.status == engine.FAILING and v.since is not None]
    poor = [v.since for v, vote in rows if vote == engine.DEGRADED and v.vote < engine.DEGRADED and v.since is not None]
    if not bad and not poor:
        return None
    cause = Cause.FAILURE if bad else Cause.DEGRADATION
    watching = tuple(probes[v.probe_id] for v, _ in rows)
    return Failing(m, cause, min(bad or poor), watching, sure=decision.alarming)


def due(f: Failing, last: Diagnosis | None, at: datetime) -> bool:
    """Is a diagnosis due, knowing the monitor's last one? One per episode; one in five minutes for what comes and goes.

    A failure that is confirmed has one of its own, even so soon after another: its alert needs a verdict. Only a
    monitor that is flapping has not: its one alert speaks of the coming and going.
    """
    if last is None:
        return True
    if last.state == GATHERING or last.started_at >= f.since:
        return False
    if last.cause == Cause.PERSON or (f.sure and f.monitor.flapping_since is None):
        return True
    return at - last.started_at >= SELDOM


def able(probe: Probe, at: datetime) -> bool:
    """Can this probe be asked to look now? One that is blind, resting or not heard would only be waited for."""
    if not probe.enabled or probe.blind_since is not None or probe.revoked_at is not None:
        return False
    if probe.built_in:
        return True
    return bool(probe.public_key) and probe.last_seen_at is not None and at - probe.last_seen_at < SPEAKING


def lookers(watching: Iterable[Probe], all_probes: Iterable[Probe], client_id: int, at: datetime) -> list[Probe]:
    """Who looks: the monitor's own probes, and the client's private ones, whose view from inside tells much."""
    chosen = {p.pk: p for p in watching} | {p.pk: p for p in all_probes if p.client_id == client_id}
    return [p for _, p in sorted(chosen.items()) if able(p, at) and p.client_id in (None, client_id)]


def share_key(m: Monitor, target: Target) -> str:
    """Whose batteries may stand for each other: the same host and port, seen with the same reach."""
    return f"{'private ' if m.trusted else ''}{key_of(target)}"[:200]


# --- Begin ------------------------------------------------------------------------------------------------------------
def begin(found: Sequence[Failing], probes: Mapping[int, Probe], at: datetime) -> dict[int, Diagnosis]:
    """Begin what is due; returns {monitor: Diagnosis}. In the transaction that holds the monitors' locks: three statements for all."""
    if not found or not settings.DIAGNOSIS:
        return {}
    targets = {f.monitor.pk: t for f in found if (t := target_of(f.monitor.kind, f.monitor.config)) is not None}
    last = _last([f for f in found if f.monitor.pk in targets], at)
    chosen = [f for f in found if f.monitor.pk in targets and due(f, last.get(f.monitor.pk), at)]
    asked = [(f, who) for f in chosen if (who := lookers(f.probes, probes.values(), f.monitor.client_id, at))]
    begun = Diagnosis.objects.bulk_create(
        [_new(f.monitor, f.cause, at, max(f.since + PATIENCE, at + LEAST), since=f.since) for f, _ in asked]
    )
    _ask(
        [(d, targets[f.monitor.pk], f.monitor, who) for d, (f, who) in zip(begun, asked, strict=True)]
    )  # fmt: skip
    _look_beside([f.monitor for f, _ in asked], at)
    return {d.monitor_id: d for d in begun}


def _look_beside(monitors: Sequence[Monitor], at: datetime) -> None:
    """What else stands at the same sites is checked at once: whether it is well too tells the edge from the server."""
    sites = {m.site_id for m in monitors if m.site_id is not None}
    if not sites or len(monitors) > FEW:  # a storm looks after itself
        return
    rows = Monitor.objects.filter(site__in=sites, enabled=True, kind__in=ADDRESSED).exclude(
        pk__in=[m.pk for m in monitors]
    )
    beside = list(rows.order_by("pk").values_list("pk", flat=True)[:MOST_BESIDE])

    def hurry() -> None:
        if store.rush(beside, at):
            bells.ring(bells.PROBE)

    if beside:
        transaction.on_commit(hurry, robust=True)


def ask(m: Monitor, *, by: Actor, at: datetime) -> Diagnosis:
    """Diagnose now, because a person wants to know; the one that is under way when there is one. Refused with the reason."""
    if not settings.DIAGNOSIS:
        raise Refused("Diagnosis is switched off here (DIAGNOSIS=off).")
    target = target_of(m.kind, m.config)
    if target is None:
        label = checks.KINDS[m.kind].label if m.kind in checks.KINDS else m.kind
        raise Refused(f"{label}: there is no address to send packets to, so nothing to diagnose.")
    with transaction.atomic():
        m = Monitor.objects.select_for_update(of=("self",)).get(pk=m.pk)
        under_way = Diagnosis.objects.filter(monitor=m, state=GATHERING).first()
        if under_way is not None:
            return under_way
        if not m.enabled:
            raise Refused("This monitor is paused; resume it first.")
        views = ProbeState.objects.filter(monitor=m, active=True).select_related("probe")
        own = Probe.objects.filter(client=m.client_id, enabled=True)
        who = lookers([v.probe for v in views], own, m.client_id, at)
        if not who:
            raise Refused("None of its probes can look now: they are blind, disabled or not heard.")
        bad = [v.since for v in views if v.status in (engine.FAILING, engine.DEGRADED) and v.since is not None]
        d = _new(m, Cause.PERSON, at, at + PATIENCE, since=min(bad, default=None), by=by.name)
        d.save()
        _ask([(d, target, m, who)])
        audit.record("monitor.diagnose", m, by=by, client_id=m.client_id, after={"diagnosis": d.pk})
    return d


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """What is known of a failure's cause when its alert is reported."""

    diagnosis: Diagnosis
    gathering: bool
    layer: str = ""
    verdict: dict[str, Any] | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    report_url: str = ""


def diagnosed(since: Mapping[int, datetime | None]) -> dict[int, Diagnosed]:
    """{monitor: what is known} for monitors that fail since then: a diagnosis under way, or one that was made of this failure. One statement."""
    if not since or not settings.DIAGNOSIS:
        return {}
    begins = [s for s in since.values() if s is not None]
    fits = Q(state=GATHERING) | Q(state=DONE, started_at__gte=min(begins)) if begins else Q(state=GATHERING)
    found = {}
    for d in Diagnosis.objects.filter(fits, monitor__in=list(since)).order_by("pk").defer("evidence"):
        began = since[d.monitor_id]
        if d.state == GATHERING:
            found[d.monitor_id] = Diagnosed(d, gathering=True)
        elif began is not None and d.started_at >= began and d.verdict:
            found[d.monitor_id] = Diagnosed(d, False, d.layer, d.verdict, for_alerts(d.verdict), links.url_of(d))
    return found


def for_alerts(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What an alert says of the evidence: how many paths were walked, how names and certificates are, what differs from usual."""
    return {
        "mtr_reports": verdict.get("mtr_reports", 0),
        **{name: verdict.get(name, "unknown") for name in ("dns", "ssl", "baseline_diff")},
        **({"loss": verdict["loss_percent"]} if verdict.get("loss_percent") else {}),
    }


def bind(opened: Iterable[Alert], known: Mapping[int, Diagnosed]) -> None:
    """These alerts were opened for failures that are being diagnosed, or were."""
    changed = []
    for alert in opened:
        if alert.condition == "health" and alert.monitor_id in known:
            d = known[alert.monitor_id].diagnosis
            d.alert_id = alert.pk
            changed.append(d)
    if changed:
        sets.write(changed, ["alert"])


def _last(found: Sequence[Failing], at: datetime) -> dict[int, Diagnosis]:
    """Each monitor's last diagnosis, as far back as it matters."""
    if not found:
        return {}
    oldest = min(at - SELDOM, *(f.since for f in found))
    rows = Diagnosis.objects.filter(
        Q(state=GATHERING) | Q(started_at__gte=oldest), monitor__in=[f.monitor.pk for f in found]
    )
    return {d.monitor_id: d for d in rows.order_by("pk").only("monitor", "state", "cause", "started_at")}


def _new(m: Monitor, cause: str, at: datetime, until: datetime, *, since: datetime | None, by: str = "") -> Diagnosis:
    return Diagnosis(
        monitor=m, cause=cause, requested_by=by[:200], first_failure_at=since, started_at=at, deadline_at=until, link_expires_at=at + links.GOOD_FOR
    )  # fmt: skip


def _ask(asked: Sequence[tuple[Diagnosis, Target, Monitor, list[Probe]]]) -> None:
    Battery.objects.bulk_create(
        Battery(diagnosis=d, probe=p, target_key=share_key(m, target)) for d, target, m, who in asked for p in who
    )
    if asked:
        bells.ring_on_commit(bells.DIAGNOSE, bells.CONCLUDE)

"""What state follows from what the probes saw, and who must know? Monitors whose views changed, fifty at a time.

One transaction per list: votes, states, changes, alerts, incidents and every delivery owed are committed together or
not at all; a killed evaluator leaves the views marked as changed, and another takes them.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import QuerySet

from alerts.models import Alert
from alerts.report import Report, report
from monitors import blindness, engine, maintenance, plans, store, subjects
from monitors.diagnosis import around, starting
from monitors.diagnosis.starting import Diagnosed
from monitors.models import Baseline, Monitor, Probe, ProbeState, StateChange
from monitors.models.monitor import State
from monitors.signals import state_changed
from portal import bells, sets
from portal.clock import database_now
from portal.residents import Resident

log = logging.getLogger("watchkeeper.evaluate")

AT_ONCE = 50
SEEN = (State.UP, State.DEGRADED, State.DOWN)
MOST_COLLISIONS = 20  # meetings with other transactions in a row, after which the list is taken apart
SUSPICION = timedelta(seconds=5)  # how long a child's page waits to see whether its parent is down too
WORDS = {
    ("endpoint", "consecutive_failure"): "{} is down",
    ("endpoint", "degraded"): "{} is degraded",
    ("heartbeat", "deadline_missed"): "{} has not reported",
    ("heartbeat", "exit_code_failure"): "{} reported a failure",
    ("certificate", "chain_invalid"): "{} offers no valid certificate",
    ("domain", "expiring"): "{} cannot be verified",
    ("resource", "consecutive_failure"): "{}: something that should run does not",
    ("container", "consecutive_failure"): "{}: the container engine does not answer",
}


@dataclass(slots=True)
class Judged:
    """One monitor, looked at."""

    monitor: Monitor
    views: list[ProbeState]
    decision: engine.Decision
    before: str
    shown: engine.Decision


def evaluate(at: datetime, limit: int = AT_ONCE, only: Sequence[int] | None = None) -> int:
    """Judge up to `limit` monitors whose views changed; returns how many. One transaction."""
    rows = ProbeState.objects.filter(changed=True)
    if only is not None:
        rows = rows.filter(monitor__in=only)
    ids = sorted(set(rows.order_by().values_list("monitor_id", flat=True)[: limit * 4]))[:limit]
    if not ids:
        return 0
    with transaction.atomic():
        locked = (
            Monitor.objects.filter(pk__in=ids)
            .order_by("pk")
            .select_for_update(skip_locked=True, of=("self",), no_key=True)
        )
        monitors = {m.pk: m for m in locked}
        if not monitors:
            return 0
        views: dict[int, list[ProbeState]] = defaultdict(list)
        for v in ProbeState.objects.filter(monitor__in=monitors).order_by("pk"):
            views[v.monitor_id].append(v)
        probes = Probe.objects.in_bulk()
        blindness.look(probes, at)  # before the votes are counted: what a probe loses here must not page anybody
        work = maintenance.titles(monitors.values())
        judged, votes, begun = [], [], []
        for m in monitors.values():
            limits = plans.limits_of(m)
            seen = [view_of(v, probes[v.probe_id]) for v in views[m.pk] if v.active]
            seen = [_with_vote(v, limits) for v in seen]
            by_probe = {v.probe: v for v in seen}
            for row in views[m.pk]:
                v = by_probe.get(row.probe_id)
                votes.append(
                    (
                        row.pk,
                        row.last_seq,
                        v.vote if v else row.vote,
                        v is None or (engine.settled(v, limits) and not _suspect(v, probes[v.probe])),
                    )
                )
            if m.enabled:
                decision = engine.decide(seen, limits, m.state)
                judged.append(Judged(m, views[m.pk], decision, m.state, engine.shown(decision, work.get(m.pk))))
                if m.pk not in work:
                    votes_now = [(row, by_probe[row.probe_id].vote) for row in views[m.pk] if row.probe_id in by_probe]
                    begun.append(starting.newly_failing(m, votes_now, probes, decision))
            m.in_maintenance = m.pk in work
        starting.begin([f for f in begun if f is not None], probes, at)
        _follow(judged, at)
        store.judged(votes)
    return len(monitors)


def view_of(row: ProbeState, probe: Probe) -> engine.View:
    """A row as the engine sees it. A failure counts only once the probe's own line was proved after it began."""
    view = engine.View(
        probe=row.probe_id, network=probe.network, status=row.status, streak=row.streak, since=row.since, last_at=row.last_at, vote=row.vote,
        error_class=row.error_class, message=row.message, stale=row.stale, blind=probe.blind_since is not None, resting=not probe.enabled,
    )  # fmt: skip
    return view if not _suspect(view, probe) else engine.replace(view, blind=True)


def _suspect(view: engine.View, probe: Probe) -> bool:
    """Is it open whether this failure is the target's or the probe's own? Only probes with anchors can tell, and they do within a second."""
    if not probe.anchors or view.status != engine.FAILING or view.since is None or view.vote == engine.FAILING:
        return False
    return probe.anchors_ok_at is None or probe.anchors_ok_at < view.since


def _with_vote(view: engine.View, limits: engine.Limits) -> engine.View:
    return view if view.blind or view.stale else engine.replace(view, vote=engine.confirmed(view, limits))


def _follow(judged: list[Judged], at: datetime) -> None:
    """States, changes, reports."""
    moved = [
        j
        for j in judged
        if j.shown.state != j.before or (j.shown.state != State.UP and j.shown.reason != j.monitor.state_reason)
    ]
    stepped = [j for j in moved if j.shown.state != j.before]
    for j in moved:
        j.monitor.state_reason = j.shown.reason[:300]
    for j in stepped:
        j.monitor.state, j.monitor.state_since, j.monitor.state_version = (
            j.shown.state,
            at,
            j.monitor.state_version + 1,
        )
    why = starting.diagnosed({j.monitor.pk: j.decision.first_failure_at for j in judged if j.decision.alarming})
    StateChange.objects.bulk_create(
        StateChange(
            monitor=j.monitor, version=j.monitor.state_version, at=at, from_state=j.before, to_state=j.shown.state,
            first_failure_at=j.shown.first_failure_at if j.shown.state != State.UP else None, reason=j.shown.reason[:300],
            layer=why[j.monitor.pk].layer if j.monitor.pk in why and j.shown.state in (State.DOWN, State.DEGRADED) else "",
        )
        for j in stepped
    )  # fmt: skip
    flapping = _flapping([j for j in stepped if j.before in SEEN and j.shown.state in SEEN], at)
    fields = ["state", "state_since", "state_reason", "state_version", "flapping_since", "in_maintenance"]
    sets.write([j.monitor for j in moved], fields)
    about_health = [j for j in judged if j.decision.alarming or (j.decision.state == State.UP and j.before != State.UP)]
    spoken_for = {j.monitor.pk for j in about_health}
    telling = about_health + [j for j in stepped if j.monitor.pk in flapping and j.monitor.pk not in spoken_for]
    if telling:
        loaded = {m.pk: m for m in subjects.with_tags(Monitor.objects.filter(pk__in=[j.monitor.pk for j in telling]))}
        suspects = _suspect_parents(telling, at)
        places = _places(telling)
        reports = []
        for j in telling:
            reports += _flap_reports(loaded[j.monitor.pk], flapping, at)
            if j.monitor.pk in spoken_for:
                reports.append(
                    health_report(
                        loaded[j.monitor.pk],
                        j.decision,
                        at,
                        flapping=bool(j.monitor.flapping_since),
                        wait=j.monitor.parent_id in suspects,
                        why=why.get(j.monitor.pk),
                        places=places.get(j.monitor.pk, ()),
                    )
                )
        starting.bind(report(reports), why)
    if stepped:
        state_changed.send(Monitor, monitors=[j.monitor for j in stepped], at=at)
        _rush_groups([j.monitor.pk for j in stepped], at)


def health_report(
    m: Monitor,
    d: engine.Decision,
    at: datetime,
    *,
    flapping: bool = False,
    wait: bool = False,
    why: Diagnosed | None = None,
    places: Sequence[Baseline] = (),
) -> Report:
    """What a decision says to alerts: one condition, `health`, whatever its depth; with the cause, or that it is looked for."""
    source = subjects.source_of(m.kind)
    severity = m.severity
    if d.state == State.DEGRADED:
        event, severity = "degraded", "warning" if m.severity == "critical" else m.severity
    elif source == "heartbeat":
        event = "exit_code_failure" if d.error_class == "exit_code" else "deadline_missed"
    else:
        event = {"certificate": "chain_invalid", "domain": "expiring"}.get(source, "consecutive_failure")
    known = why.evidence if why else {}
    said = subjects.report_of(
        m, source=source, condition="health", event=event, failing=d.alarming, at=at, severity=severity, message=d.message, started_at=d.first_failure_at,
        title=WORDS.get((source, event), "{} is unwell").format(m.name), flapping=flapping, not_before=at + SUSPICION if wait else None,
        evidence={"error_class": d.error_class, "bad": d.bad, "voters": d.voters, "mtr_reports": 0, **known},
        expects_verdict=why is not None and why.gathering, verdict=why.verdict if why else None, verdict_evidence=known or None, report_url=why.report_url if why else "",
    )  # fmt: skip
    said.correlation |= around.keys_of(places)
    return said


def _places(telling: list[Judged]) -> dict[int, list[Baseline]]:
    """Where those that begin to alarm live, as it was learned while they were well."""
    fresh = [j.monitor.pk for j in telling if j.decision.alarming and j.before not in (State.DOWN, State.DEGRADED)]
    found: dict[int, list[Baseline]] = defaultdict(list)
    if fresh:
        for row in Baseline.objects.filter(monitor__in=fresh).order_by("pk").defer("data"):
            found[row.monitor_id].append(row)
    return found


# --- Flapping -------------------------------------------------------------------------------------------------------------
def _flapping(stepped: list[Judged], at: datetime) -> dict[int, bool]:
    """{monitor: begins (True) or ends (False)} for monitors whose flapping changed; sets `flapping_since`."""
    news: dict[int, bool] = {}
    if not stepped:
        return news
    widest = max(j.monitor.flapping_window_seconds for j in stepped)
    times: dict[int, list[datetime]] = defaultdict(list)
    changes = _coming_and_going(at - timedelta(seconds=widest)).filter(monitor__in=[j.monitor.pk for j in stepped])
    for pk, when in changes.order_by().values_list("monitor_id", "at"):
        times[pk].append(when)
    for j in stepped:
        m = j.monitor
        already = m.flapping_since is not None
        now = engine.flapping(times[m.pk], m.flapping_changes, m.flapping_window_seconds, at, already)
        if now != already:
            m.flapping_since = at if now else None
            news[m.pk] = now
    return news


def _coming_and_going(since: datetime) -> QuerySet[StateChange]:
    """The changes that flapping is made of: what was seen, not what could not be seen for a while."""
    return StateChange.objects.filter(at__gt=since, from_state__in=SEEN, to_state__in=SEEN)


def _flap_reports(m: Monitor, news: dict[int, bool], at: datetime) -> list[Report]:
    if m.pk not in news:
        return []
    return [flap_report(m, at, failing=news[m.pk])]


def flap_report(m: Monitor, at: datetime, *, failing: bool) -> Report:
    """The one alert that speaks for a monitor that comes and goes."""
    return subjects.report_of(
        m, source=subjects.source_of(m.kind), condition="flapping", event="flapping", failing=failing, at=at, severity="warning", title=f"{m.name} is flapping",
        message=f"More than {m.flapping_changes} changes in {m.flapping_window_seconds // 60} minutes; further messages wait until it is calm.",
    )  # fmt: skip


def calm(at: datetime) -> int:
    """End the flapping of monitors that were steady for half their window; what is still down is told then."""
    ended = []
    with transaction.atomic():
        for m in subjects.with_tags(
            Monitor.objects.filter(flapping_since__isnull=False)
            .order_by("pk")
            .select_for_update(of=("self",), skip_locked=True)
        ):
            since = at - timedelta(seconds=m.flapping_window_seconds)
            times = list(_coming_and_going(since).filter(monitor=m).values_list("at", flat=True))
            if not engine.flapping(times, m.flapping_changes, m.flapping_window_seconds, at, True):
                Monitor.objects.filter(pk=m.pk).update(flapping_since=None)
                ended.append(flap_report(m, at, failing=False))
        report(ended)
    return len(ended)


# --- Neighbours ---------------------------------------------------------------------------------------------------------------
def _suspect_parents(telling: list[Judged], at: datetime) -> set[int]:
    """Parents that are not known to be down but have not been seen well since: they are asked at once, and the child's page waits for the answer."""
    parents = {
        j.monitor.parent_id
        for j in telling
        if j.decision.alarming and j.before != j.decision.state and j.monitor.parent_id
    }
    if not parents:
        return set()
    open_ones = set(
        Alert.objects.filter(
            resolved_at=None, condition="health", entity_type="monitor", entity_id__in=[str(p) for p in parents]
        ).values_list("monitor_id", flat=True)
    )
    suspects = {p for p in parents if p is not None} - open_ones
    alive = set(Monitor.objects.filter(pk__in=suspects, enabled=True).values_list("pk", flat=True))
    if store.rush(sorted(alive), at):
        bells.ring_on_commit(bells.PROBE)
    return alive


def _rush_groups(changed: list[int], at: datetime) -> None:
    """Groups are as bad as their worst child: they look again when a child changes."""
    members = set(changed)
    groups = [
        pk
        for pk, config in Monitor.objects.filter(kind="group", enabled=True).values_list("pk", "config")
        if members & set(config.get("monitor_ids", ()))
    ]
    if groups and store.rush(groups, at):
        bells.ring_on_commit(bells.PROBE)


# --- Time that passes without results ---------------------------------------------------------------------------------------------
def mark_stale(at: datetime) -> int:
    """Views whose checks are overdue abstain from now on; their monitors are judged again."""
    late = ProbeState.objects.filter(
        active=True, stale=False, last_at__isnull=False, next_due_at__lt=at - engine.STALE_MARGIN
    ).select_related("monitor")
    overdue = (
        v.pk for v in late.iterator(chunk_size=1000) if engine.is_stale(v.next_due_at, plans.limits_of(v.monitor), at)
    )
    ids = list(islice(overdue, 5000))
    return ProbeState.objects.filter(pk__in=ids).update(stale=True, changed=True) if ids else 0


def one_by_one(at: datetime) -> None:
    """Judge changed monitors each by itself; one that cannot be judged is passed over until its next result."""
    ids = sorted(
        set(ProbeState.objects.filter(changed=True).order_by().values_list("monitor_id", flat=True)[: AT_ONCE * 4])
    )[:AT_ONCE]
    for pk in ids:
        try:
            evaluate(at, only=[pk])
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("monitor %s cannot be judged; passed over until its next result", pk)
            ProbeState.objects.filter(monitor=pk).update(changed=False, settled=False)


class Evaluator(Resident):
    """Judges what changed; now and then looks for what time alone has changed."""

    bell_name = bells.EVALUATE

    def __init__(self) -> None:
        super().__init__("evaluator")
        self.sweep_at: datetime | None = None
        self.collisions = 0

    def step(self) -> float:
        at = database_now()
        if self.sweep_at is None or at - self.sweep_at > timedelta(seconds=5):
            self.sweep_at = at
            mark_stale(at)
            calm(at)
            blindness.sweep(at)
            maintenance.sweep(at)
        try:
            rest = 0.0 if evaluate(at) else 1.0
            self.collisions = 0
            return rest
        except IntegrityError as error:  # somebody opened the same alert or incident at the same moment: judged anew
            log.info("met another transaction, trying again: %s", str(error).splitlines()[0])
            self.collisions += 1
            if self.collisions < MOST_COLLISIONS:
                return 0.05
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            log.error("a list of monitors cannot be judged (%s); each is looked at by itself", type(error).__name__)
        self.collisions = 0
        one_by_one(at)
        return 0.05

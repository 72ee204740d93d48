"""When is there enough to judge, and what follows? Evidence is put together, judged, stored, and told upwards.

As soon as every probe has answered, or at the deadline with what has come by then. What comes later is judged again.
The judging is done outside any lock; the writing is one transaction under the monitor's, as the evaluator's is, so that
an alert opens either before (and is handed the verdict) or after (and finds it).
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any, cast

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q

from alerts import verdicts
from alerts.models import Alert
from monitors import engine
from monitors.diagnosis import batteries, links, owners, receiving, starting, verdict
from monitors.diagnosis.around import Around
from monitors.diagnosis.evidence import VERSION, BatteryEvidence, Evidence, Verdict
from monitors.diagnosis.learning import RemoteLearner
from monitors.diagnosis.targets import target_of
from monitors.models import Baseline, Battery, Diagnosis, Monitor, ProbeState, Result, RouteChange, StateChange
from monitors.models.monitor import State
from monitors.signals import verdict_reached
from portal import bells
from portal.clock import database_now
from portal.residents import Resident

log = logging.getLogger("watchkeeper.diagnosis")

AT_ONCE = 50
EARLY = 0.9  # so sure a verdict need not wait for the last probe
FEW = 10  # while no more are gathering, each is looked at whenever another probe has answered
BREATH = 0.05  # seconds between two lists of a storm: the evaluator and the sender live in the same process
RECENT = timedelta(days=1)  # route changes that a verdict may name
MOST_CHANGES = 20
GATHERING, DONE, DROPPED = Diagnosis.State.GATHERING, Diagnosis.State.DONE, Diagnosis.State.DROPPED
WORDS = {engine.UNKNOWN: "unknown", engine.UP: "up", engine.DEGRADED: "degraded", engine.FAILING: "failing"}
ANSWERED = (Battery.State.DONE, Battery.State.LATE)


# --- Put together -----------------------------------------------------------------------------------------------------
def word_of(v: ProbeState) -> str:
    """What one probe says of the monitor now: its last result, or why it has no say."""
    if v.probe.blind_since is not None:
        return "blind"
    return "stale" if v.stale else WORDS.get(v.status, "unknown")


def evidence_of(b: Battery, kind: str, monitor: int) -> dict[str, Any] | None:
    """A battery's evidence as the judge reads it; None where there is none."""
    if b.state not in ANSWERED:
        return None
    if b.reused_id is None:
        return b.evidence if "target" in b.evidence else None
    donor = b.reused
    if donor is None or "target" not in donor.evidence:
        return None
    same = donor.diagnosis.monitor_id == monitor
    return receiving.adapted(donor.evidence, donor.pk, same_monitor=same, kind=kind)


def assemble(d: Diagnosis, rows: list[Battery], at: datetime, around: Around) -> Evidence:
    """All that is known of this failure now."""
    m = d.monitor
    views = list(ProbeState.objects.filter(monitor=m, active=True).select_related("probe").order_by("pk"))
    failing = [v for v in views if v.status == engine.FAILING and not v.stale]
    baselines = list(Baseline.objects.filter(monitor=m).order_by("pk"))
    target = target_of(m.kind, m.config) or {"host": "", "port": 0, "tls": False}
    changes = RouteChange.objects.filter(monitor=m, at__gt=at - RECENT).order_by("-at", "-pk")[:MOST_CHANGES]
    probe = next((v.probe_id for v in sorted(failing, key=lambda v: (v.since or at, v.pk))), None)
    found = [e for b in rows if (e := evidence_of(b, m.kind, m.pk)) is not None]
    usually = {str(b.probe_id): b.data for b in baselines if b.learned_at is not None}
    ways = [way for data in usually.values() for way in (data.get("path"), *(data.get("paths") or ())) if way]
    named = owners.name_networks(found, (hop for way in ways for hop in way if hop))
    return {
        "v": VERSION,
        "at": at.timestamp(),
        "monitor": {
            "id": m.pk, "kind": m.kind, "host": target["host"], "port": target["port"], "tls": bool(target["tls"]), "interval_s": m.interval_seconds,
            "timeout_s": m.timeout_seconds, "quorum": m.quorum, "private": m.trusted,
        },
        "failure": _failure(d, views),
        "votes": {str(v.probe_id): word_of(v) for v in views},
        "batteries": cast(list[BatteryEvidence], found),
        "usual": usually,
        "networks": named,
        "route_changes": [
            {"probe": c.probe_id, "at": c.at.timestamp(), "before": c.before, "after": c.after, "as_before": c.as_before, "as_after": c.as_after}
            for c in changes
        ],
        "around": around.counts(m, baselines, probe, fails=bool(failing)),
        "expected": len(rows),
    }  # fmt: skip


def _failure(d: Diagnosis, views: list[ProbeState]) -> dict[str, Any]:
    """What the failing check said, from the first bad result of this failure."""
    since = d.first_failure_at
    if since is None:
        return {}
    first = Result.objects.filter(monitor_id=d.monitor_id, ts__gte=since - timedelta(seconds=1), status__gte=engine.DEGRADED).order_by("ts").first()  # fmt: skip
    state = "degraded" if d.cause == Diagnosis.Cause.DEGRADATION else "failing"
    if first is not None:
        return {
            "error_class": first.error_class, "message": first.message, "http_status": first.http_status, "since": since.timestamp(),
            "state": state if d.cause != Diagnosis.Cause.PERSON else WORDS[first.status],
        }  # fmt: skip
    bad = next((v for v in views if v.status in (engine.DEGRADED, engine.FAILING)), None)
    if bad is None:
        return {"state": state, "since": since.timestamp()}
    return {"error_class": bad.error_class, "message": bad.message, "http_status": None, "state": WORDS[bad.status], "since": since.timestamp()}  # fmt: skip


def judged(evidence: Evidence) -> Verdict:
    """The judge's word. A judge that breaks must not stop the others' verdicts: it then says that it cannot tell."""
    try:
        return verdict.judge(evidence)
    except Exception:
        log.exception("the evidence about monitor %s cannot be judged", evidence["monitor"].get("id"))
    return {
        "version": verdict.VERSION, "summary": "The evidence does not tell where the problem lives", "layer": "unknown", "cause": "unknown", "confidence": 0.0,
        "hop": None, "hop_address": None, "asn": None, "as_name": "", "loss_percent": None, "regions": {"confirming": [], "asked": []}, "for": [], "against": [], "ruled_out": [],
        "candidates": [], "also": [], "baseline_diff": "unknown", "dns": "unknown", "ssl": "unknown", "mtr_reports": 0,
    }  # fmt: skip


# --- Conclude ---------------------------------------------------------------------------------------------------------
def _rows(d: Diagnosis) -> list[Battery]:
    return list(Battery.objects.filter(diagnosis=d).select_related("reused__diagnosis").defer("reused__diagnosis__evidence").order_by("pk"))  # fmt: skip


def _standing(rows: list[Battery]) -> list[tuple[int, bool]]:
    """Which of them have answered; while this is the same, so is what they say."""
    return [(b.pk, b.state in ANSWERED) for b in rows]


def _locked(pk: int) -> tuple[Monitor, Diagnosis] | None:
    """Monitor first, as the evaluator does; the diagnosis without its evidence."""
    monitor = Diagnosis.objects.filter(pk=pk).values_list("monitor_id", flat=True).first()
    m = Monitor.objects.select_for_update(of=("self",)).filter(pk=monitor).first()
    d = Diagnosis.objects.select_for_update(of=("self",)).filter(pk=pk).defer("evidence").first()
    return (m, d) if m is not None and d is not None else None


def conclude(pk: int, at: datetime, around: Around | None = None, *, early: bool = False) -> bool:
    """Give the verdict from what there is. False when there is nothing to do, or more has come meanwhile: look again.

    `early`: others are still measuring, so only if what has come leaves hardly a doubt; what comes after is judged again.
    """
    d = Diagnosis.objects.select_related("monitor").filter(pk=pk, state=GATHERING).first()
    if d is None:
        return False
    rows = _rows(d)
    evidence = assemble(d, rows, at, around or Around())
    said = judged(evidence)
    if early and not _settled(evidence, said):
        return False
    with transaction.atomic():
        locked = _locked(pk)
        if locked is None:
            return False
        m, d = locked
        standing = Battery.objects.filter(diagnosis=d).order_by("pk").values_list("pk", "state")
        if d.state != GATHERING or [(b, state in ANSWERED) for b, state in standing] != _standing(rows):
            return False
        batteries.end_waiting(d, at)
        d.finished_at = at
        bells.ring_on_commit(bells.EVALUATE)  # which passed over this monitor while we held its lock
        well = not {"failing", "degraded"} & set(evidence["votes"].values())
        if well and not evidence["batteries"] and d.cause != Diagnosis.Cause.PERSON:
            d.state = DROPPED
            d.save(update_fields=["state", "finished_at"])
            return True
        d.state, d.evidence = DONE, cast(dict[str, Any], evidence)
        _store(d, m, said, at)
        verdict_reached.send(Diagnosis, diagnosis=d, at=at, first=True)
    return True


def _settled(evidence: Evidence, said: Verdict) -> bool:
    """Has everybody spoken who sees the failure, and half of all, and is the verdict as good as certain?"""
    spoken = {str(b["probe"]) for b in evidence["batteries"]}
    failing = {probe for probe, word in evidence["votes"].items() if word in ("failing", "degraded")}
    return said["confidence"] >= EARLY and failing <= spoken and len(spoken) * 2 >= evidence.get("expected", 0)


def revise(pk: int, at: datetime) -> bool:
    """Judge anew with what came late; true when that changed the verdict."""
    d = Diagnosis.objects.select_related("monitor").filter(pk=pk, state=DONE).first()
    if d is None:
        return False
    rows = _rows(d)
    found = [e for b in rows if (e := evidence_of(b, d.monitor.kind, d.monitor_id)) is not None]
    owners.name_networks(found)
    evidence = cast(Evidence, {**d.evidence, "batteries": found})  # the rest stays as it was when it failed
    said = judged(evidence)
    with transaction.atomic():
        locked = _locked(pk)
        if locked is None:
            return False
        m, d = locked
        late = [b.pk for b in rows if b.state == Battery.State.LATE and b.lease_until is not None]
        Battery.objects.filter(pk__in=late).update(lease_until=None)
        d.evidence = cast(dict[str, Any], evidence)
        bells.ring_on_commit(bells.EVALUATE)
        if cast(dict[str, Any], said) == d.verdict:
            d.save(update_fields=["evidence"])
            return False
        d.revision += 1
        _store(d, m, said, at)
        verdict_reached.send(Diagnosis, diagnosis=d, at=at, first=False)
    return True


def _store(d: Diagnosis, m: Monitor, said: Verdict, at: datetime) -> None:
    """The verdict, on the diagnosis, on the change of state that it explains, and with the alert that is open."""
    v = receiving.clean(dict(said))
    alert = Alert.objects.filter(monitor_id=m.pk, condition="health", resolved_at=None).order_by("-pk").first()
    d.verdict, d.layer, d.confidence, d.verdict_version = v, v["layer"], v["confidence"], v["version"]
    d.alert_id = alert.pk if alert is not None else d.alert_id
    d.save()
    since = d.first_failure_at
    if since is not None:
        bad = StateChange.objects.filter(monitor=m, at__gte=since, to_state__in=(State.DOWN, State.DEGRADED))
        bad.filter(first_failure_at__gte=since - timedelta(seconds=1)).update(layer=d.layer)
    if alert is not None:
        verdicts.attach(alert, v, starting.for_alerts(v), links.url_of(d), at=at, revised=d.revision > 0)


# --- All the time -----------------------------------------------------------------------------------------------------
def ready(at: datetime) -> list[int]:
    """Diagnoses that every probe has answered, or whose time is over; first those that something was measured for."""
    open_ = Battery.objects.filter(diagnosis=OuterRef("pk"), state__in=(Battery.State.WAITING, Battery.State.RUNNING))
    answered = Battery.objects.filter(diagnosis=OuterRef("pk"), state__in=ANSWERED)
    rows = Diagnosis.objects.filter(Q(deadline_at__lte=at) | ~Exists(open_), state=GATHERING).annotate(told=Exists(answered))  # fmt: skip
    return list(rows.order_by("-told", "deadline_at").values_list("pk", flat=True)[:AT_ONCE])


def half_told() -> dict[int, int]:
    """Diagnoses that some probes have answered and others not yet, with how many have. None in a storm."""
    if not 0 < Diagnosis.objects.filter(state=GATHERING).count() <= FEW:
        return {}
    answered = Battery.objects.filter(diagnosis__state=GATHERING, state__in=ANSWERED).order_by()
    return {pk: n for pk, n in answered.values_list("diagnosis").annotate(n=Count("pk")) if n > 1}


def to_revise(at: datetime) -> list[int]:
    """Diagnoses with evidence that came late and has not been judged."""
    late = batteries.recent(at).filter(state=Battery.State.LATE, lease_until__isnull=False, diagnosis__state=DONE)
    return sorted(set(late.order_by().values_list("diagnosis_id", flat=True)[:AT_ONCE]))


def seconds_to_next(at: datetime) -> float:
    """Until the next deadline, a second at most."""
    soonest = Diagnosis.objects.filter(state=GATHERING).order_by("deadline_at").values_list("deadline_at", flat=True).first()  # fmt: skip
    return 1.0 if soonest is None else min(1.0, max(0.01, (soonest - at).total_seconds()))


class Concluder(Resident):
    """Hands out what remote probes measure, and gives verdicts as soon as there are grounds."""

    bell_name = bells.CONCLUDE

    def __init__(self) -> None:
        super().__init__("concluder")
        self.around = Around()
        self.learner = RemoteLearner()
        self.looked_at: dict[int, int] = {}  # how many had answered when a diagnosis was last looked at

    def step(self) -> float:
        at = database_now()
        batteries.hand_out(at)
        batteries.give_up_lost(at)
        done = 0
        for pk in ready(at):
            done += conclude(pk, at, self.around)
        told = half_told()
        for pk, answered in told.items():
            if self.looked_at.get(pk) != answered:
                conclude(pk, at, self.around, early=True)
        self.looked_at = told
        for pk in to_revise(at):
            revise(pk, at)
        self.learner.step(at)
        return BREATH if done >= AT_ONCE else seconds_to_next(database_now())

"""Which probe measures what now? Batteries are claimed, shared, stored and given up here; the row is the queue.

At most eight are under way per probe. Monitors of one target share what was measured within the last minute, and one
whose target is being measured waits for that. What finds no room in time is given up when its diagnosis is judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from monitors import remote
from monitors.diagnosis import orders
from monitors.diagnosis.receiving import clean, received, texts_of
from monitors.models import Battery, Diagnosis, Probe, ProbeJob
from portal import bells
from portal.errors import Refused

MOST = 8  # under way at once per probe
SHARED = timedelta(seconds=60)  # for so long the evidence of one stands for others of its target
BEFORE = timedelta(
    milliseconds=500
)  # and only if it was measured of the same failure: begun no earlier than this before it
FRESH = timedelta(seconds=5)  # and for so long where a person asks: perhaps after a repair
LEASE = timedelta(seconds=15)
JOB_FOR = timedelta(seconds=8)  # a remote probe begins within this, or not at all
ON_THE_WAY = timedelta(seconds=15)  # and after that its answer is waited for so long
LOOKED_AT = 1000  # waiting rows of one round

RECENT = timedelta(minutes=10)

State = Battery.State


# --- Which are still spoken of? -------------------------------------------------------------------------------------------
def recent(at: datetime) -> QuerySet[Battery]:
    """Those of the last ten minutes' diagnoses: whoever looks each second must not walk through months of them."""
    older = Diagnosis.objects.filter(started_at__lt=at - RECENT).order_by("-pk").values_list("pk", flat=True).first()
    return Battery.objects.filter(diagnosis__gt=older or 0)


# --- Who is next ------------------------------------------------------------------------------------------------------
def share(probes: Iterable[int], at: datetime) -> int:
    """Waiting batteries whose target was measured a moment ago are done with that evidence. Returns how many."""
    waiting = list(
        recent(at)
        .filter(state=State.WAITING, probe__in=list(probes), diagnosis__state=Diagnosis.State.GATHERING)
        .order_by("pk")
        .values_list("pk", "probe_id", "target_key", "diagnosis__cause", "diagnosis__first_failure_at")[:LOOKED_AT]
    )
    if not waiting:
        return 0
    keys, places = {key for _, _, key, *_ in waiting}, {p for _, p, *_ in waiting}
    donors: dict[tuple[int, str], tuple[int, datetime, datetime]] = {}
    known = Battery.objects.filter(
        probe__in=places, target_key__in=keys, state__in=(State.DONE, State.LATE), reused=None, finished_at__gt=at - SHARED
    )  # fmt: skip
    for pk, probe, key, began, ended in known.order_by("pk").values_list("pk", "probe_id", "target_key", "started_at", "finished_at"):  # fmt: skip
        donors[probe, key] = (pk, began or ended, ended)
    taken: dict[int, list[int]] = {}
    for pk, probe, key, cause, since in waiting:
        donor = donors.get((probe, key))
        if donor is None:
            continue
        by_hand = cause == Diagnosis.Cause.PERSON
        if by_hand and at - donor[2] <= FRESH or not by_hand and (since is None or donor[1] >= since - BEFORE):
            taken.setdefault(donor[0], []).append(pk)
    count = 0
    for pk, batteries in sorted(taken.items()):
        count += Battery.objects.filter(pk__in=batteries, state=State.WAITING).update(
            state=State.DONE, reused=pk, evidence={"reused_from": pk}, finished_at=at
        )
    if count:
        bells.ring_on_commit(bells.CONCLUDE)
    return count


def claim(probes: Sequence[int], at: datetime, worker: str, lease: timedelta = LEASE) -> list[Battery]:
    """Take what these probes have room for, oldest first and one per target. In a transaction of its own, or the caller's."""
    known = recent(at).filter(probe__in=list(probes))
    waiting = known.filter(
        state=State.WAITING, diagnosis__state=Diagnosis.State.GATHERING, diagnosis__deadline_at__gt=at
    )  # fmt: skip
    if not waiting.exists():
        return []
    with transaction.atomic():
        list(Probe.objects.filter(pk__in=list(probes)).order_by("pk").select_for_update(no_key=True).values_list("pk"))
        busy = list(known.filter(state=State.RUNNING).values_list("probe_id", "target_key"))  # fmt: skip
        room, measured = Counter(dict.fromkeys(probes, MOST)), set(busy)
        room.subtract(p for p, _ in busy)
        chosen = []
        for pk, probe, key in waiting.order_by("pk").values_list("pk", "probe_id", "target_key")[:LOOKED_AT]:
            if room[probe] > 0 and (probe, key) not in measured:
                chosen.append(pk)
                room[probe] -= 1
                measured.add((probe, key))
        Battery.objects.filter(pk__in=chosen, state=State.WAITING).update(
            state=State.RUNNING, claimed_by=worker, lease_until=at + lease, started_at=at
        )
        mine = Battery.objects.filter(pk__in=chosen, state=State.RUNNING, claimed_by=worker)
        return list(mine.select_related("probe", "diagnosis__monitor").defer("diagnosis__evidence").order_by("pk"))


def hand_out(at: datetime) -> int:
    """Give remote probes what they have room for, as jobs. Returns how many batteries moved."""
    waiting = recent(at).filter(state=State.WAITING, probe__built_in=False)
    probes = sorted(set(waiting.order_by().values_list("probe_id", flat=True)))
    if not probes:
        return 0
    moved = share(probes, at)
    with transaction.atomic():
        for b in claim(probes, at, "", JOB_FOR + ON_THE_WAY):
            moved += 1
            body = orders.job_body(b.diagnosis.monitor, b.probe)
            try:
                job = remote.ask(b.probe, "diagnose", body, key=f"diagnose:{b.diagnosis_id}:{b.probe_id}", by="Watchkeeper", at=at, within=JOB_FOR)  # fmt: skip
            except Refused as refusal:
                _end([b.pk], str(refusal), at)
            else:
                Battery.objects.filter(pk=b.pk).update(job=job)
    return moved


# --- What came of it --------------------------------------------------------------------------------------------------
def keep(pk: int, said: Any, at: datetime, *, worker: str) -> bool:
    """Store what a claimed battery measured: in time, or late and to be judged anew. False when it is not this worker's any more."""
    with transaction.atomic():
        row = Battery.objects.filter(pk=pk).values_list("diagnosis_id", "diagnosis__monitor_id").first()
        if row is None:
            return False
        d = Diagnosis.objects.select_for_update(of=("self",)).only("state").get(pk=row[0])
        b = Battery.objects.select_for_update(of=("self",)).select_related("probe", "diagnosis__monitor").get(pk=pk)
        if b.claimed_by != worker or b.state not in (State.RUNNING, State.FAILED):
            return False
        evidence = received(said, b.probe, texts_of(orders.secrets_of(b.diagnosis.monitor)))
        if evidence is None:
            return bool(_end([pk], "What it sent is no evidence, or too much.", at))
        in_time = d.state == Diagnosis.State.GATHERING
        b.state, b.evidence, b.finished_at = State.DONE if in_time else State.LATE, evidence, at
        b.lease_until = None if in_time else at  # a late one with a lease has not been judged as yet
        b.save(update_fields=["state", "evidence", "finished_at", "lease_until"])
        bells.ring_on_commit(bells.CONCLUDE)
    return True


def give_up(pk: int, why: str, at: datetime, *, worker: str) -> bool:
    """A claimed battery that cannot be made."""
    return bool(_end([pk], why, at, claimed_by=worker))


def take_outcome(job: ProbeJob, at: datetime) -> None:
    """A remote probe's job has ended: its battery has what it measured, or the reason why not."""
    b = Battery.objects.filter(job=job).only("pk").first()
    if b is None:
        return
    if job.state == ProbeJob.State.DONE:
        keep(b.pk, job.result, at, worker="")
    else:
        give_up(b.pk, str(job.result.get("why") or f"The probe's answer: {job.get_state_display()}."), at, worker="")


def give_up_lost(at: datetime) -> int:
    """Whoever measured these died, or never answered: their time is over."""
    lost = recent(at).filter(state=State.RUNNING, lease_until__lt=at).values_list("pk", flat=True)[:LOOKED_AT]
    return _end(list(lost), "No answer in time.", at, lease_until__lt=at)


def free(workers: Sequence[str], at: datetime) -> int:
    """What dead workers had claimed is measured by another while there is time, else given up."""
    if not workers:
        return 0
    held = recent(at).filter(state=State.RUNNING, claimed_by__in=list(workers))
    open_ = Q(diagnosis__state=Diagnosis.State.GATHERING, diagnosis__deadline_at__gt=at + timedelta(seconds=2))
    again = list(held.filter(open_).values_list("pk", flat=True))
    freed = Battery.objects.filter(pk__in=again, state=State.RUNNING, claimed_by__in=list(workers)).update(
        state=State.WAITING, claimed_by="", lease_until=None, started_at=None
    )
    if freed:
        bells.ring_on_commit(bells.DIAGNOSE)
    return freed + _end(list(held.values_list("pk", flat=True)), "Whoever measured it died.", at)


def end_waiting(d: Diagnosis, at: datetime) -> int:
    """The verdict is given without those that found no room."""
    return Battery.objects.filter(diagnosis=d, state=State.WAITING).update(
        state=State.FAILED, finished_at=at, evidence={"why": "It found no room before the verdict was due."}
    )


def _end(pks: list[int], why: str, at: datetime, **still: Any) -> int:
    if not pks:
        return 0
    ended = Battery.objects.filter(pk__in=pks, state=State.RUNNING, **still).update(
        state=State.FAILED, finished_at=at, evidence={"why": clean(why)[:300]}
    )
    if ended:
        bells.ring_on_commit(bells.CONCLUDE)
    return ended

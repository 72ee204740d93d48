"""Is it the target, or is it us? A probe that lost its own uplink keeps its results but has no vote (SPEC STA-4).

With anchors (independent addresses), a failure counts only after they were seen well since it began: `check_anchors`
runs at the first failure and every few seconds while there are failures. Without anchors, a sudden majority of failures
makes a probe blind only when other probes see the same monitors well. One alert names the probe; no client is paged.
A remote probe asks its anchors itself; what is wrong with one that is silent or says so stands in `monitors.watching`.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.db import transaction

from alerts.report import Report, report
from monitors import assignment, engine, nameservers, remote, watching
from monitors.models import Probe, ProbeState
from portal import bells
from portal.clock import database_now
from portal.residents import Resident

log = logging.getLogger("watchkeeper.blindness")

SUDDEN = timedelta(seconds=60)  # what turned bad within this time turned bad "at once"
SOON = timedelta(seconds=60)  # when sight returns, everything is looked at again within this time
ANCHOR_SECONDS = 2.0
GRACE = 15.0  # seconds after this process began to look (or could not look): perhaps it was us who heard nobody
SELDOM = 5.0  # seconds between two looks at jobs whose time is over, and at which probes there are


def look(probes: dict[int, Probe], at: datetime) -> list[Probe]:
    """Probes without anchors, judged by their neighbours; blind ones are marked and told. Called with every evaluation."""
    candidates = [p for p in probes.values() if p.enabled and not p.anchors and p.blind_since is None]
    if len([p for p in probes.values() if p.enabled]) < 2:
        return []
    return [p for p in candidates if (why := _by_neighbours(p, at - SUDDEN)) and set_blind(p, why, at)]


def _by_neighbours(probe: Probe, since: datetime) -> str:
    """Did most of what turned bad after `since` turn bad for this probe alone? Neighbours count only with what they saw since then."""
    mine = ProbeState.objects.filter(probe=probe, active=True)
    failing = dict(mine.filter(status=engine.FAILING, since__gt=since).values_list("monitor_id", "since")[:2000])
    if len(failing) < engine.BLIND_LEAST:
        return ""
    well = (
        ProbeState.objects.filter(monitor__in=failing, active=True, status=engine.UP, stale=False)
        .exclude(probe=probe)
        .exclude(probe__blind_since__isnull=False)
    )
    disagreeing = {
        pk
        for pk, seen_at in well.order_by().values_list("monitor_id", "last_at")
        if seen_at is not None and (began := failing[pk]) is not None and seen_at >= began
    }
    return engine.blind(
        failing=len(failing),
        watched=mine.count(),
        anchors=0,
        anchors_ok=0,
        others_disagree=len(disagreeing) * 2 > len(failing),
    )


class Lookout(Resident):
    """Asks the anchors of the built-in probes while there is a reason to; beside the evaluator, which must not wait for a network.

    Remote probes are judged here too, each second: are they heard, and is their word good?
    """

    bell_name = bells.EVALUATE

    def __init__(self) -> None:
        super().__init__("lookout")
        self.listening_since = self.listened_at = time.monotonic()
        self.seldom_at = 0.0
        self.alone_at = -watching.RETURN
        self.places = 0  # the probes for which the rules were last followed

    def step(self) -> float:
        at, now = database_now(), time.monotonic()
        watch(at)
        if now - self.listened_at > GRACE:
            self.listening_since = now
        self.listened_at = now
        forgiving = now - self.alone_at < watching.RETURN
        if look_at_remote(at, listening=now - self.listening_since >= GRACE, forgiving=forgiving):
            self.alone_at = now
        if now - self.seldom_at > SELDOM:
            self.seldom_at = now
            remote.end_jobs(at)
            if (places := assignment.fingerprint()) != self.places:
                assignment.apply(at)
                self.places = places
        return 1.0


def watch(at: datetime) -> None:
    """Ask the anchors of probes that see failures they have not been proved fit to see, and of blind ones."""
    for probe in Probe.objects.filter(enabled=True, built_in=True):
        _tell_late(probe, at)
        names = nameservers.look(probe, at)
        if names:
            set_blind(probe, names, at, quiet=watching.silence_is_told(at))
            continue
        if names == "" and nameservers.is_dead(probe):
            set_seeing(probe, at)
        if not probe.anchors:
            continue
        failing = ProbeState.objects.filter(probe=probe, active=True, status=engine.FAILING).exclude(
            vote=engine.FAILING
        )
        if probe.anchors_ok_at is not None:
            failing = failing.filter(since__gt=probe.anchors_ok_at)
        if probe.blind_since is not None or failing.exists():
            check_anchors(probe, at)


def _tell_late(probe: Probe, at: datetime) -> None:
    """Blind without a word, because another alert spoke of the same cause: told when that one is over and this goes on."""
    if probe.blind_since is None or watching.is_told(probe) or watching.silence_is_told(at):
        return
    with transaction.atomic():
        report([_report(probe, at, True, probe.blind_reason)])


def look_at_remote(at: datetime, *, listening: bool = True, forgiving: bool = False) -> bool:
    """Judge all remote probes; True when none of several is heard: then it is us, and one alert says so for all.

    One who has only begun to listen does not judge silence. `forgiving`: none was heard a moment ago, and not all are
    back yet; those still silent abstain without an alert of their own.
    """
    probes = list(Probe.objects.filter(built_in=False).exclude(public_key=""))
    heard_of = [p for p in probes if watching.is_watched(p) and p.last_seen_at is not None]
    alone = listening and len(heard_of) > 1 and watching.nobody_heard(heard_of, at)
    for probe in probes:
        if listening or not watching.is_silent(probe, at):
            judge_remote(probe, at, quiet=alone or forgiving)
        if probe.health.get("cloned_at"):
            watching.clear_clone(probe, at)
    if listening:
        watching.tell_common_silence(alone, at)
    return alone


def judge_remote(probe: Probe, at: datetime, *, quiet: bool = False) -> None:
    """Take or give back a remote probe's vote by its own faults; one that its neighbours contradict is left to `sweep`.

    Whatever is done is done to the row as it is now, locked: it may have spoken since `probe` was read.
    """
    if not _to_do(probe, at):
        return
    with transaction.atomic():
        row = Probe.objects.select_for_update().get(pk=probe.pk)
        _judge(row, at, quiet)
    probe.blind_since, probe.blind_reason = row.blind_since, row.blind_reason


def _fault(probe: Probe, at: datetime) -> str:
    return watching.fault(probe, at) if watching.is_watched(probe) else ""


def _ours(probe: Probe) -> bool:
    return probe.blind_since is not None and watching.is_own_fault(probe.blind_reason)


def _to_do(probe: Probe, at: datetime) -> bool:
    return bool(_fault(probe, at)) or _ours(probe)


def _judge(probe: Probe, at: datetime, quiet: bool) -> None:
    why, ours = _fault(probe, at), _ours(probe)
    quiet = quiet or (
        watching.has_not_said(probe) and not watching.is_silent(probe, at)
    )  # it is back: nothing new to tell
    if why and probe.blind_since is None:
        set_blind(probe, why, at, quiet=quiet)
    elif why and ours:
        if why[:300] != probe.blind_reason:
            probe.blind_reason = why[:300]
            Probe.objects.filter(pk=probe.pk).update(blind_reason=probe.blind_reason)
        if not quiet and not watching.is_told(probe):
            report([_report(probe, at, True, why)])
    elif not why and ours:
        set_seeing(probe, at)


def hear(caller: remote.Caller, blind: str) -> None:
    """A probe says how it sees ("" is well). Kept and judged in one transaction, so that nobody judges half of it."""
    if not blind and caller.probe.blind_since is None and not caller.probe.health.get("blind"):
        return
    with transaction.atomic():
        row = Probe.objects.select_for_update().get(pk=caller.probe.pk)
        row.health = {**row.health, "blind": blind, "said_at": caller.made_at.isoformat()}
        row.save(update_fields=["health"])
        _judge(row, caller.at, quiet=False)
    caller.probe.health, caller.probe.blind_since, caller.probe.blind_reason = (
        row.health,
        row.blind_since,
        row.blind_reason,
    )


def sweep(at: datetime) -> None:
    """Give sight back to probes without anchors once their neighbours no longer disagree."""
    for probe in Probe.objects.filter(blind_since__isnull=False, anchors=[]):
        if watching.is_own_fault(probe.blind_reason):
            continue
        since = probe.blind_since or at
        # What it lost when it went blind may still be lost, however long ago that was.
        if at - since > SUDDEN and not _by_neighbours(probe, since - SUDDEN):
            set_seeing(probe, at)


def check_anchors(probe: Probe, at: datetime) -> bool:
    """Try a probe's anchors now (2 s at most) and write down what follows. True when it sees."""
    answered = sum(_reach_all(probe.anchors))
    why = engine.blind(failing=0, watched=0, anchors=len(probe.anchors), anchors_ok=answered, others_disagree=False)
    if why:
        set_blind(probe, why, at, quiet=watching.silence_is_told(at))
        return False
    Probe.objects.filter(pk=probe.pk).update(anchors_ok_at=at)
    if probe.blind_since is not None:
        set_seeing(probe, at)
    waiting = ProbeState.objects.filter(probe=probe, active=True, status=engine.FAILING, settled=False)
    if waiting.update(changed=True):
        bells.ring(bells.EVALUATE)
    return True


def _reach_all(anchors: Iterable[str]) -> list[bool]:
    anchors = list(anchors)
    pool = ThreadPoolExecutor(max(1, len(anchors)))
    asked = [pool.submit(_reaches, anchor) for anchor in anchors]
    # A name that nobody looks up keeps its thread longer than the connection may take: it is not waited for.
    answered, _ = wait(asked, ANCHOR_SECONDS + 0.5)
    pool.shutdown(wait=False, cancel_futures=True)
    return [one in answered and one.result() for one in asked]


def _reaches(anchor: str) -> bool:
    """Does a TCP connection to `host:port` (or a URL's host) stand within 2 s?"""
    try:
        parts = urlsplit(anchor if "//" in anchor else f"//{anchor}")
        port = parts.port or (80 if parts.scheme == "http" else 443)
        with socket.create_connection((parts.hostname or "", port), ANCHOR_SECONDS):
            return True
    except (OSError, ValueError):  # ValueError: it was mistyped
        return False


def _report(probe: Probe, at: datetime, failing: bool, why: str = "") -> Report:
    return Report(
        source="probe", condition="blind", event="blind", entity_type="probe", entity_id=str(probe.pk), entity_name=probe.name, failing=failing, at=at, severity="warning",
        title=f"Probe {probe.name} cannot see", message=f"{why} Its results are kept but do not count until it sees again." if why else "", client_id=probe.client_id,
    )  # fmt: skip


def set_blind(probe: Probe, why: str, at: datetime, *, quiet: bool = False) -> bool:
    """Take its vote away and raise the one alert that names it (`quiet`: another speaks of it)."""
    with transaction.atomic():
        if not Probe.objects.filter(pk=probe.pk, blind_since=None).update(blind_since=at, blind_reason=why[:300]):
            return False
        probe.blind_since, probe.blind_reason = at, why[:300]
        ProbeState.objects.filter(probe=probe, active=True).exclude(status=engine.UNKNOWN).update(changed=True)
        if not quiet:
            report([_report(probe, at, True, why)])
        bells.ring_on_commit(bells.EVALUATE)
    log.warning("probe %s is blind: %s", probe.slug, why)
    return True


def set_seeing(probe: Probe, at: datetime | None = None) -> None:
    """Give its vote back; everything it watches is looked at again, and what it saw while blind never counts.

    Views abstain until their next result (within a minute), their streaks begin anew, and a check under way is fenced off.
    """
    at = at or database_now()
    with transaction.atomic():
        Probe.objects.filter(pk=probe.pk).update(blind_since=None, blind_reason="")
        probe.blind_since, probe.blind_reason = None, ""
        mine = ProbeState.objects.filter(probe=probe, active=True)
        list(mine.order_by("pk").select_for_update().values_list("pk", flat=True))
        mine.update(changed=True, settled=False, claimed_by="", lease_token=None, lease_until=None, rush=False)
        seen = mine.exclude(last_at=None)
        seen.update(stale=True, streak=0, since=at)
        seen.filter(next_due_at__gt=at + SOON).update(next_due_at=at)
        report([_report(probe, at, False)])
        bells.ring_on_commit(bells.EVALUATE)

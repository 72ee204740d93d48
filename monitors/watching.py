"""Who watches the watchers? A remote probe that is silent, whose clock is off or whose own line is dead has no vote.

This file says what is wrong with one; `monitors.blindness` takes its vote and gives it back, as for every other probe that
cannot see: its views abstain, monitors with too few votes left are unknown, and one alert names the probe. A second alert
speaks of two programs with one identity.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from alerts.models import Alert
from alerts.report import Report, close, report
from monitors.models import Probe
from portal.audit import PORTAL

log = logging.getLogger("watchkeeper.watching")

SILENT = timedelta(seconds=10)  # it asks every 2 s: at least three looks were missed
CLOCK_OFF_MS = 30_000
LATELY = timedelta(seconds=5)  # when none of several was heard even for so long, it is not they who are silent
RETURN = 60.0  # seconds in which all come back after the portal was away: they try again at least each 30 s
CLEAR_AFTER = timedelta(seconds=60)  # two programs with one identity: told as over when only one spoke for so long
KEPT = (
    "rival_at",
    "cloned_at",
    "foreign_at",
    "said_at",
)  # what the portal keeps in a probe's `health` beside its own words
EVERYBODY = "all"
SAYS = ("It has not been heard of", "Its clock is off", "It reports that", "No name can be looked up")


def fault(probe: Probe, at: datetime) -> str:
    """Why a remote probe's word should not count now, or "". Pure, but for the row."""
    if probe.last_seen_at is None:
        return ""
    if is_silent(probe, at):
        return f"{SAYS[0]} since {probe.last_seen_at:%H:%M:%S} UTC: it is disconnected or has stopped."
    if has_not_said(probe):
        return probe.blind_reason
    if abs(probe.clock_offset_ms or 0) > CLOCK_OFF_MS:
        off = abs(probe.clock_offset_ms or 0) / 1000
        return f"{SAYS[1]} by {off:.0f} s; set it (NTP)."
    blind = probe.health.get("blind")
    return f"{SAYS[2]} {blind[:1].lower()}{blind[1:]}"[:300] if isinstance(blind, str) and blind else ""


def has_not_said(probe: Probe) -> bool:
    """Was it silent, and has not said since how it sees? Its first words after that come with results, or without any."""
    if probe.blind_since is None or not probe.blind_reason.startswith(SAYS[0]):
        return False
    said_at = probe.health.get("said_at")
    return not isinstance(said_at, str) or datetime.fromisoformat(said_at) < probe.blind_since


def is_silent(probe: Probe, at: datetime) -> bool:
    """Did it miss three looks?"""
    return probe.last_seen_at is not None and at - probe.last_seen_at > SILENT


def nobody_heard(probes: list[Probe], at: datetime) -> bool:
    """Is one of these silent, and none of the others heard lately? Pure."""
    silent = any(is_silent(p, at) for p in probes)
    return silent and all(p.last_seen_at is not None and at - p.last_seen_at > LATELY for p in probes)


def is_told(probe: Probe) -> bool:
    """Is there an open alert of its blindness?"""
    return Alert.objects.filter(
        resolved_at=None, source="probe", condition="blind", entity_type="probe", entity_id=str(probe.pk)
    ).exists()


def our_own_line_is_known(at: datetime) -> bool:
    """Has a built-in probe said, now or a moment ago, that this machine's line or name server is dead? Then that is the one page."""
    return _open_or_just_closed(
        [str(pk) for pk in Probe.objects.filter(built_in=True).values_list("pk", flat=True)], at
    )


def silence_is_told(at: datetime) -> bool:
    """Was it told, now or a moment ago, that no remote probe is heard? Then a blind built-in probe need not say the same."""
    return _open_or_just_closed([EVERYBODY], at)


def _open_or_just_closed(entities: list[str], at: datetime) -> bool:
    found = Alert.objects.filter(source="probe", condition="blind", entity_type="probe", entity_id__in=entities)
    return found.filter(Q(resolved_at=None) | Q(resolved_at__gt=at - timedelta(seconds=RETURN))).exists()


def tell_common_silence(alone: bool, at: datetime) -> None:
    """One alert for all: no remote probe is heard. It ends with the first that is; one cause is told once."""
    if alone and (silence_is_told(at) or our_own_line_is_known(at)):
        return  # also when one was heard a moment ago and hangs again: the way back is given a minute
    if not alone and not Alert.objects.filter(resolved_at=None, source="probe", entity_type="probe", entity_id=EVERYBODY).exists():  # fmt: skip
        return
    with transaction.atomic():
        report([Report(
            source="probe", condition="blind", event="blind", entity_type="probe", entity_id=EVERYBODY, entity_name="All remote probes", failing=alone, at=at, severity="warning",
            title="No remote probe is heard",
            message="All are silent at once: look at the portal's own line and web server first. What they watch is unknown until they are heard." if alone else "",
        )])  # fmt: skip


def is_own_fault(reason: str) -> bool:
    """Was this probe made blind for a fault of its own, and not because its neighbours contradict it?"""
    return reason.startswith(SAYS)


def is_watched(probe: Probe) -> bool:
    """Is this one whose silence means something?"""
    return probe.enabled and not probe.built_in and bool(probe.public_key) and probe.revoked_at is None


def fall_silent(probe: Probe, at: datetime) -> None:
    """A person took it out of service: its alerts close without a word. Within the caller's transaction."""
    Probe.objects.filter(pk=probe.pk).update(
        blind_since=None, blind_reason="", health={k: v for k, v in probe.health.items() if k not in KEPT}
    )
    rows = list(
        Alert.objects.filter(resolved_at=None, source="probe", entity_type="probe", entity_id=str(probe.pk))
        .order_by("pk")
        .select_for_update()
    )
    if rows:
        close(rows, at=at, by=PORTAL, quiet=True)


# --- Two programs, one identity -----------------------------------------------------------------------------------------
def _report(probe: Probe, at: datetime, failing: bool) -> Report:
    return Report(
        source="probe", condition="cloned", event="blind", entity_type="probe", entity_id=str(probe.pk), entity_name=probe.name, failing=failing, at=at, severity="warning",
        title=f"Probe {probe.name} runs twice",
        message="Two programs speak with the key of this probe, as after cloning a machine. The second is refused; enrol it as a probe of its own."
        if failing else "", client_id=probe.client_id, evidence={"observer": "cloned"},
    )  # fmt: skip


def two_speak(probe: Probe, at: datetime) -> None:
    """A second process was refused, and the first has just spoken again: both live. One alert says so."""
    with transaction.atomic():
        row = Probe.objects.select_for_update().get(pk=probe.pk)
        health = dict(row.health)
        if not health.pop("rival_at", None):
            return
        health["cloned_at"] = at.isoformat()
        row.health = probe.health = health
        row.save(update_fields=["health"])
        report([_report(row, at, True)])
    log.warning("two programs speak with the key of probe %s", probe.slug)


def clear_clone(probe: Probe, at: datetime) -> None:
    """Only one has spoken for a minute: it is over."""
    with transaction.atomic():
        row = Probe.objects.select_for_update().get(pk=probe.pk)
        health = dict(row.health)
        seen_at = health.get("cloned_at")
        if not seen_at or at - datetime.fromisoformat(seen_at) < CLEAR_AFTER:
            return
        health.pop("cloned_at")
        row.health = health
        row.save(update_fields=["health"])
        report([_report(row, at, False)])

"""Did it help? Fresh checks from the quorum decide: what was seen before the last step was done counts for nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction

from monitors import engine as watching
from monitors import evaluate, store
from monitors.models import Monitor, ProbeState
from playbooks import engine, records
from playbooks.models import Mode, Playbook, Run, RunState
from portal import audit
from portal.audit import PORTAL
from portal.clock import database_now

LOOK = timedelta(seconds=1)


def begin(run: Run, at: datetime) -> None:
    """Every step is done: look whether it helped. The run is locked."""
    until = at + timedelta(seconds=run.verify_within_seconds)
    seen = {"from": at.isoformat(), "needed": max(1, _quorum(run)), "well": 0, "asked": 0}
    records.move(run, RunState.VERIFYING, at, f"Every step is done; fresh checks decide until {until:%H:%M:%S} UTC.", verify_until=until, verification=seen)  # fmt: skip


def _quorum(run: Run) -> int:
    playbook = Playbook.objects.filter(pk=run.playbook_id).first()
    return playbook.quorum if playbook else 1


def follow(pk: int, worker: str, rest: Callable[[timedelta], None]) -> None:
    """Ask for checks until they say well, or its time is over. Returns when the run is not (ours to be) verified any more."""
    while True:
        at = database_now()
        with transaction.atomic():
            run = records.locked(pk)
            if run.state != RunState.VERIFYING or run.claimed_by != worker or run.verification.get("failed"):
                return
            well, asked = fresh(run)
            run.verification = {**run.verification, "well": well, "asked": asked}
            run.save(update_fields=["verification"])
            needed = min(run.verification.get("needed", 1), max(1, asked))
            state = Monitor.objects.filter(pk=run.monitor_id).values_list("state", flat=True).first()
            if asked and well >= needed and well == asked and state == "up":
                _helped(run, at)
                return
            if run.verify_until is None or at >= run.verify_until:
                _did_not_help(run, at, state)
                return
            if run.monitor_id:
                store.rush([run.monitor_id], at)
        rest(LOOK)


def fresh(run: Run) -> tuple[int, int]:
    """(well, asked): healthy probes' networks that see it well since the last step was done, and all that can say."""
    since = datetime.fromisoformat(run.verification["from"])
    rows = ProbeState.objects.filter(monitor=run.monitor_id, active=True).select_related("probe")
    views = [v for v in (evaluate.view_of(row, row.probe) for row in rows) if v.votes or v.last_at is None]
    able = [v for v in views if not v.stale and not v.blind and not v.resting]
    well = [v for v in able if v.last_at is not None and v.last_at > since and v.status == watching.UP]
    return watching.count(well, True), watching.count(able, True)


def _helped(run: Run, at: datetime) -> None:
    seen = run.verification
    records.move(run, RunState.SUCCEEDED, at, f"Verified: {seen['well']} of {seen['asked']} probes see it well.")
    playbook = Playbook.objects.select_for_update().filter(pk=run.playbook_id).first()
    if playbook is not None and run.undoes_id is None:
        playbook.verified_in_a_row += 1
        playbook.save(update_fields=["verified_in_a_row"])


def _did_not_help(run: Run, at: datetime, state: str | None) -> None:
    """Written down; what follows from it (undoing, telling) is `outcomes.finish`."""
    seen = run.verification
    reason = f"It did not help: {seen['well']} of {seen['asked']} probes see it well, the monitor is {state or 'gone'}."
    run.verification = {**seen, "failed": reason}
    run.save(update_fields=["verification"])
    records.tell(run, f"{run}: {reason}", at)


def lapsed(run: Run, at: datetime) -> None:
    """A run that was not verified takes trust away: the count begins anew, and the mode goes one step down."""
    playbook = Playbook.objects.select_for_update().filter(pk=run.playbook_id).first()
    if playbook is None or run.undoes_id is not None:
        return
    before, playbook.verified_in_a_row = playbook.mode, 0
    playbook.mode = engine.demoted(playbook.mode)
    if playbook.mode != Mode.AUTOMATIC:
        playbook.automatic_since, playbook.automatic_by = None, ""
    playbook.save(update_fields=["verified_in_a_row", "mode", "automatic_since", "automatic_by"])
    if before != playbook.mode:
        audit.record(
            "playbook.demote", playbook, by=PORTAL, client_id=playbook.client_id, before={"mode": before},
            after={"mode": playbook.mode, "why": f"{run} was not verified"},
        )  # fmt: skip

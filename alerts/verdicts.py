"""How does the probable cause come into what people are told? The first message waits for it a little; a late one follows.

The wait is nothing but the delivery's `next_attempt_at`: whatever dies meanwhile, the message goes out at that moment, with
the cause or without. Who was told without it hears of it once; a revised verdict is told only when it says another layer.
Each wait and its end is a decision of the notice (rule "verdict"), so that "why did it come 4 s later" has an answer.
(SPEC DIA-1, decision 0007)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from alerts import channels, engine, facts, snapshot
from alerts.models import Alert, Decision, Delivery, Notice, Trigger
from alerts.models.delivery import TOLD
from alerts.signals import alert_changed
from portal import bells, sets

RULE = "verdict"  # what decisions about it are filed under
LONGEST_WAIT = 30  # seconds; what triggers may ask for at most
LONGEST = timedelta(seconds=LONGEST_WAIT)
SURE_ENOUGH = 0.5  # a revised verdict below it is not worth a second message
LATER = 6  # priority: it explains what was told already, so what is new goes first
RINGING = ("twilio_voice", "pushover")  # a call, and a siren until somebody presses: nobody is woken twice to hear why
WAITING = (Notice.Kind.OPENED, Notice.Kind.RAISED)  # what may wait; escalation keeps its own clock
UNTOUCHED = (Delivery.State.PENDING, Delivery.State.HELD)


# --- Waiting ------------------------------------------------------------------------------------------------------------
def seconds_of_triggers() -> dict[int, int]:
    """{enabled trigger: how long its first message may wait}."""
    return dict(Trigger.objects.filter(enabled=True).values_list("pk", "verdict_wait_seconds"))


def waits(
    rules: Sequence[engine.Rule], f: engine.Facts, at: datetime, seconds: Mapping[int, int], told: Iterable[int]
) -> dict[int, int]:
    """{channel: seconds} of the channels that are told: of several triggers that name one, the shortest wait holds."""
    told = set(told)
    if len(set(seconds.values())) == 1:  # the usual case; a storm asks this a thousand times
        return dict.fromkeys(told, next(iter(seconds.values())))
    found: dict[int, int] = {}
    for rule in rules:
        if rule.id not in seconds or engine.refuses(rule, f, at):
            continue
        ways = [w.channel for w in rule.ways if w.urgency != "high" or f.severity == "critical"]
        for channel in told.intersection([*rule.channels, *ways]):
            found[channel] = min(found.get(channel, LONGEST_WAIT), seconds[rule.id])
    return found


def put_off(rows: Sequence[Delivery], notice: Notice, began: datetime, seconds: Mapping[int, int]) -> list[Decision]:
    """Let these unsaved deliveries of one notice wait for the cause, from the first failing result; what to write of it.

    The notice remembers when each would have been due: the verdict may come before the wait is over.
    """
    awaited: dict[str, list[str]] = {}
    decisions: dict[int, Decision] = {}
    for row in rows:
        wait = min(seconds.get(row.channel_id, 0), LONGEST_WAIT)
        until = began + timedelta(seconds=wait)
        if not wait or until <= row.next_attempt_at:
            continue
        awaited[str(row.channel_id)] = [row.next_attempt_at.isoformat(), until.isoformat()]
        row.next_attempt_at = until
        reason = f"the cause is looked for, until {until:%H:%M:%S} UTC at most ({wait} s from the first failing check)"
        decisions.setdefault(wait, Decision(notice=notice, rule=RULE, outcome="waits", reason=reason))
    if awaited:
        notice.snapshot["awaited"] = awaited
    return list(decisions.values())


def still_waiting(rows: Iterable[Delivery], at: datetime) -> list[Delivery]:
    """Of released deliveries, those whose wait for the cause is not over: with the moment it ends as their time."""
    late = []
    for row in rows:
        _, until = _awaited(row)
        if until is not None and until > at:
            row.next_attempt_at = until
            late.append(row)
    return late


def _awaited(row: Delivery) -> tuple[datetime | None, datetime | None]:
    """(due without the wait, the end of the wait) of a delivery; `row.notice` should be loaded."""
    kept = row.notice.snapshot.get("awaited", {}).get(str(row.channel_id)) if row.kind in WAITING else None
    return (datetime.fromisoformat(kept[0]), datetime.fromisoformat(kept[1])) if kept else (None, None)


# --- Its coming -----------------------------------------------------------------------------------------------------------
def keep(alert: Alert, verdict: dict[str, Any], evidence: dict[str, Any] | None, report_url: str) -> None:
    """Put a verdict, its evidence and its report on an alert; the caller saves it."""
    alert.verdict = verdict
    alert.evidence = {**alert.evidence, **(evidence or {})}
    if report_url:
        alert.links = {**alert.links, "report": report_url}


def attach(
    alert: Alert,
    verdict: dict[str, Any],
    evidence: dict[str, Any] | None,
    report_url: str,
    *,
    at: datetime,
    revised: bool = False,
) -> None:
    """A verdict has come: what waits for it goes out with it, who was told without it hears of it. In the caller's transaction.

    `revised`: later evidence changed it. A resolved alert keeps it, and nobody is told. Again with the same is harmless.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("attach() must run inside a transaction")
    row = Alert.objects.select_for_update(of=("self",)).filter(pk=alert.pk).first()
    if row is None:
        return
    before = row.verdict
    was = before, row.evidence, row.links
    keep(row, verdict, evidence, report_url)
    alert.verdict, alert.evidence, alert.links = row.verdict, row.evidence, row.links
    if was == (row.verdict, row.evidence, row.links):
        return
    row.updated_at = alert.updated_at = at
    row.save(update_fields=["verdict", "evidence", "links", "updated_at"])
    if not row.is_resolved:
        fresh = _refresh(row, at)
        if worth_telling(before, verdict, revised=revised):
            _tell_late(row, fresh, at, revised=before is not None)
        alert.next_seq = row.next_seq
    alert_changed.send(Alert, alerts=[row], at=at, change="verdict")


def worth_telling(before: Mapping[str, Any] | None, verdict: Mapping[str, Any], *, revised: bool = False) -> bool:
    """Should people who were told already hear of it? A first cause that is known; a revised one that is another, and likely."""
    layer = verdict.get("layer", "unknown")
    if layer == "unknown":
        return False
    if before is None:
        return not revised or verdict.get("confidence", 0) >= SURE_ENOUGH
    return layer != before.get("layer") and verdict.get("confidence", 0) >= SURE_ENOUGH


def _refresh(alert: Alert, at: datetime) -> set[str]:
    """What nobody tried to send yet says the cause; what waited only for it is due. The destinations that hear it this way."""
    rows = list(
        Delivery.objects.filter(alert=alert, state__in=UNTOUCHED, attempt=0)
        .order_by("pk")
        .select_for_update(of=("self",))
        .select_related("notice")
    )
    notices = {row.notice_id: row.notice for row in rows}
    due: list[Delivery] = []
    ended: set[int] = set()
    for row in rows:
        row.notice = notices[row.notice_id]  # one object for all of one notice
        otherwise, until = _awaited(row)
        if otherwise is None or row.state != Delivery.State.PENDING or row.next_attempt_at != until:
            continue  # it waits for something else, too: that keeps its time
        row.next_attempt_at = max(at, otherwise)
        due.append(row)
        ended.add(row.notice_id)
    sets.write(due, ["next_attempt_at"])
    for notice in notices.values():
        notice.snapshot = snapshot.diagnosed(notice.snapshot, alert)
    sets.write(list(notices.values()), ["snapshot"])
    Decision.objects.bulk_create(
        Decision(notice=notice, rule=RULE, outcome="told", reason=_found(notice, alert, at, waited=pk in ended))
        for pk, notice in notices.items()
    )
    if due:
        bells.ring_on_commit(bells.SEND)
    return {row.destination_key for row in rows if row.state == Delivery.State.PENDING}


def _found(notice: Notice, alert: Alert, at: datetime, *, waited: bool) -> str:
    began = notice.snapshot.get("started_at")
    when = (
        f" {(at - datetime.fromisoformat(began)).total_seconds():.1f} s after the first failing check" if began else ""
    )
    known = (alert.verdict or {}).get("layer", "unknown") != "unknown"
    said = f"the cause came{when}" if known else f"the diagnosis ended{when} without a cause"
    return f"{said}: it waits no longer" if waited else f"{said}: it is in the message" if known else said


def _tell_late(alert: Alert, fresh: set[str], at: datetime, *, revised: bool) -> None:
    """One `updated` notice to those who were told without this cause."""
    told: dict[str, Delivery] = {}
    rows = Delivery.objects.filter(alert=alert).exclude(kind=Notice.Kind.ACKNOWLEDGED).select_related("channel")
    for row in rows.order_by("pk"):
        trying = row.state == Delivery.State.SENDING or (row.state == Delivery.State.PENDING and row.attempt > 0)
        if row.destination_key not in fresh and (trying or row.state in TOLD) and hears_updates(row.channel.type):
            told[row.destination_key] = row
    if not told or alert.hold_reason:  # nobody wants to hear of it now; its page and what is told next say the cause
        return
    around = facts.around([alert])
    told = {key: row for key, row in told.items() if not around.usable.get(row.channel_id, "gone")}
    if not told:
        return
    alert.next_seq += 1
    notice = snapshot.notice(alert, Notice.Kind.UPDATED, at, around.names)
    notice.save()
    alert.save(update_fields=["next_seq"])
    Delivery.objects.bulk_create(
        Delivery(
            notice=notice, alert=alert, seq=notice.seq, kind=notice.kind, destination_key=key, channel_id=row.channel_id, contact_id=row.contact_id,
            client_id=alert.client_id, via=row.via, priority=LATER, wants_recovery=row.wants_recovery, remind_minutes=row.remind_minutes,
            gather=around.windows.get(row.channel_id, 0) > 0, next_attempt_at=at, created_at=at,
        )
        for key, row in told.items()
    )  # fmt: skip
    reason = "later evidence says another cause than was told" if revised else "the first message had gone without it"
    Decision.objects.create(notice=notice, rule=RULE, outcome="told", reason=reason)
    bells.ring_on_commit(bells.SEND)


def hears_updates(kind: str) -> bool:
    """May a channel of this type say more of what it has told? Not one that rings."""
    return kind in channels.KINDS and kind not in RINGING

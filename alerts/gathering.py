"""How does a storm become few messages, and a dead channel a message elsewhere?

Per destination the first alert goes at once; what follows within the window is carried in one message, worst first
(SPEC RTE-7). The decision is taken under the destination's row, so that any number of senders agree.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from alerts import engine, facts, limits
from alerts.models import Channel, Delivery, Destination, Notice
from alerts.models.alert import RANK
from alerts.snapshot import moment

log = logging.getLogger("watchkeeper.gathering")

MOST_LINES = 20


def step(at: datetime) -> int:
    """Let each destination with waiting messages take its turn; returns how many gathered messages were made."""
    waiting = list(
        Delivery.objects.filter(state=Delivery.State.PENDING, gather=True, next_attempt_at__lte=at)
        .order_by()
        .values_list("destination_key", flat=True)
        .distinct()[:200]
    )
    return sum(_safe_turn(key, at) for key in sorted(waiting))


def _safe_turn(key: str, at: datetime) -> int:
    """One destination's turn. Should a message in it break the gathering, they all go out by themselves instead."""
    try:
        return _turn(key, at)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("messages to %s cannot be gathered; each is sent by itself", key)
        Delivery.objects.filter(
            state=Delivery.State.PENDING, gather=True, destination_key=key, next_attempt_at__lte=at
        ).update(gather=False)
        return 0


def _turn(key: str, at: datetime) -> int:
    with transaction.atomic():
        Destination.objects.get_or_create(key=key)
        place = Destination.objects.select_for_update().get(key=key)
        rows = list(
            Delivery.objects.filter(
                state=Delivery.State.PENDING, gather=True, destination_key=key, next_attempt_at__lte=at
            )
            .exclude(Exists(_before_it(key, at)))
            .select_related("notice", "channel", "alert")
            .order_by("id")
            .select_for_update(of=("self",))
        )
        if not rows:
            return 0
        since = min(r.next_attempt_at for r in rows)
        turn = engine.turn(
            first_at=place.first_at,
            gathered_at=place.gathered_at,
            window=limits.window(rows[0].channel, over_quota=limits.over_quota(rows[0].channel, at)),
            at=at,
            since=since,
        )
        if turn.verb == "wait":
            Delivery.objects.filter(pk__in=[r.pk for r in rows]).update(next_attempt_at=turn.until)
            return 0
        if turn.verb == "send" or len(rows) == 1:
            first = min(rows, key=_worst_first)
            Delivery.objects.filter(pk=first.pk).update(gather=False)
            _fold(rows, first, at)
            if turn.verb == "send":
                place.first_at, place.gathered_at = at, None
            else:
                place.gathered_at = at
            place.save(update_fields=["first_at", "gathered_at"])
            return 0
        _carry(rows, at)
        place.gathered_at = at
        place.save(update_fields=["gathered_at"])
        return 1


def _before_it(key: str, at: datetime) -> QuerySet[Delivery]:
    """What was said earlier of the same alert and is still on its way (perhaps in another's message) or not yet due: nothing
    may overtake it."""
    earlier = Delivery.objects.filter(alert=OuterRef("alert"), destination_key=key, seq__lt=OuterRef("seq"))
    pending = Q(state=Delivery.State.PENDING)
    carried = Q(state=Delivery.State.GATHERED, carried_by__state__in=[Delivery.State.PENDING, Delivery.State.SENDING])
    return earlier.filter(
        Q(state=Delivery.State.SENDING) | (pending & Q(gather=False)) | (pending & Q(next_attempt_at__gt=at)) | carried
    )


def _fold(rows: list[Delivery], first: Delivery, at: datetime) -> None:
    """What was to be said before it of the same alert is said by it: "raised" tells what "opened" would have."""
    earlier = [r.pk for r in rows if r.alert_id is not None and r.alert_id == first.alert_id and r.seq < first.seq]
    if earlier:
        Delivery.objects.filter(pk__in=earlier).update(
            state=Delivery.State.GATHERED, carried_by=first, finished_at=at, reason="Told by the message that followed."
        )


def _worst_first(d: Delivery) -> tuple[bool, int, int]:
    return d.kind == Notice.Kind.RECOVERED, -RANK[d.notice.severity], d.pk


def _carry(rows: list[Delivery], at: datetime) -> Delivery:
    """One message that carries all of these; a pair of down and recovered inside it is said once, as recovered."""
    latest = {(r.alert_id or -r.pk): r for r in sorted(rows, key=lambda r: r.seq)}
    ordered = sorted(latest.values(), key=_worst_first)
    channel = rows[0].channel
    clients = {r.client_id for r in ordered}
    counts = {
        word: sum(1 for r in ordered if _word(r) == word) for word in ("critical", "warning", "info", "recovered")
    }
    said = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
    worst = next((w for w in ("critical", "warning", "info") if counts[w]), "info")
    only_good = counts["recovered"] == len(ordered)
    notice = Notice.objects.create(
        client_id=clients.pop() if len(clients) == 1 else None, kind=Notice.Kind.DIGEST, event="digest", type="digest", severity=worst, created_at=at,
        snapshot={
            "kind": "recovered" if only_good else "digest", "event": "digest", "type": "digest", "severity": worst,
            "title": f"{len(ordered)} alerts: {said}", "cause": "; ".join(_name(r) for r in ordered[:3]) + (" …" if len(ordered) > 3 else ""),
            "at": moment(at), "facts": [["Alerts", str(len(ordered))]], "links": [{"rel": "open", "label": "Open overview", "url": facts.portal_url("/")}],
            "lines": [_line(r) for r in ordered[:MOST_LINES]], "more": max(0, len(ordered) - MOST_LINES), "thread": f"gathered-{channel.pk}",
        },
    )  # fmt: skip
    carrier = Delivery.objects.create(
        notice=notice, kind=notice.kind, destination_key=rows[0].destination_key, channel=channel, contact_id=rows[0].contact_id, client_id=notice.client_id,
        via=f"gathered from {len(rows)}", priority=min(r.priority for r in rows), next_attempt_at=at, created_at=at,
    )  # fmt: skip
    Delivery.objects.filter(pk__in=[r.pk for r in rows]).update(
        state=Delivery.State.GATHERED, carried_by=carrier, finished_at=at, reason="Told in a gathered message."
    )
    return carrier


def _word(r: Delivery) -> str:
    return "recovered" if r.kind == Notice.Kind.RECOVERED else r.notice.severity


def _name(r: Delivery) -> str:
    snap = r.notice.snapshot
    return " · ".join(
        filter(None, (snap.get("client", {}).get("name"), snap.get("monitor", {}).get("name") or snap.get("title")))
    )


def _line(r: Delivery) -> dict:
    snap = r.notice.snapshot
    return {
        "severity": r.notice.severity, "event": snap.get("event", ""), "name": snap.get("monitor", {}).get("name") or snap.get("title", ""),
        "client": snap.get("client", {}).get("name", ""), "cause": snap.get("cause", ""), "resolved": r.kind == Notice.Kind.RECOVERED,
        "url": facts.portal_url(f"/alerts/{r.alert_id}/") if r.alert_id else facts.portal_url("/"),
    }  # fmt: skip


def undeliverable(row: Delivery, error: str, *, at: datetime, permanent: bool) -> None:
    """A delivery ended without proof of arrival: mark the channel, and tell its owner by another way.

    Every message that is lost is told, also while the channel is known to be ill: it may be the only one that was owed.
    The other channel gathers them, so that a storm into a dead channel does not become a storm elsewhere.
    """
    if row.kind == Notice.Kind.TEST:
        Channel.objects.filter(pk=row.channel_id).update(last_answer=error[:300])
        return
    if row.state == Delivery.State.FAILED:
        Channel.objects.filter(pk=row.channel_id, unhealthy_since=None).update(
            unhealthy_since=at, unhealthy_reason=error[:300], last_answer=error[:300]
        )
    Delivery.objects.filter(carried_by=row, state=Delivery.State.GATHERED).update(
        reason=f"The gathered message was not delivered: {error}"[:300]
    )
    other = fallback(row.channel)
    if other is None or row.kind in (Notice.Kind.CHANNEL_DEAD, Notice.Kind.QUOTA):
        return
    lost = row.notice.snapshot.get("title", "a message")
    how = "could not be delivered" if row.state == Delivery.State.FAILED else "was perhaps not delivered"
    about = {
        "title": f"Channel {row.channel.name} does not deliver", "cause": f"“{lost}” {how}: {error[:200]}",
        "facts": [["Channel", row.channel.name], ["Message", lost], ["Answer", error[:200]]],
    }  # fmt: skip
    _tell_owner(
        other, row.channel, Notice.Kind.CHANNEL_DEAD, "channel.dead", about, f"channel {row.channel.name} failed", at
    )


def quota_reached(channel: Channel, percent: int, *, at: datetime) -> None:
    """A channel has used 80 or 100 % of its month: its owner hears of it by another way, or by itself when there is none."""
    most = limits.quota(channel)
    says = (
        "From now on it speaks at most twice an hour, in gathered messages."
        if percent >= 100
        else "Above it, messages are gathered by the hour."
    )
    about = {
        "title": f"Channel {channel.name} has used {percent} % of its month", "cause": f"{most} messages a month are allowed. {says}",
        "facts": [["Channel", channel.name], ["Quota", f"{most} a month"]],
    }  # fmt: skip
    _tell_owner(
        fallback(channel) or channel, channel, Notice.Kind.QUOTA, "channel.quota", about, f"quota of {channel.name}", at
    )


def _tell_owner(
    to: Channel, about: Channel, kind: str, type_: str, says: dict[str, Any], via: str, at: datetime
) -> None:
    """News of a channel, told through another."""
    notice = Notice.objects.create(
        client_id=to.client_id, kind=kind, event=kind, type=type_, severity="warning", created_at=at,
        snapshot={
            "kind": kind, "event": kind, "type": type_, "severity": "warning", "at": moment(at), **says,
            "links": [{"rel": "open", "label": "Open deliveries", "url": facts.portal_url(f"/deliveries/?channel={about.pk}")}],
        },
    )  # fmt: skip
    Delivery.objects.create(
        notice=notice, kind=notice.kind, destination_key=to.destination_key, channel=to, client_id=to.client_id, via=via[:200],
        priority=3, gather=limits.window(to) > 0, next_attempt_at=at, created_at=at,
    )  # fmt: skip


def fallback(channel: Channel) -> Channel | None:
    """Another channel that reaches whoever owns this one: the same client's, else our own staff's; healthy ones only."""
    healthy = Channel.objects.filter(enabled=True, unhealthy_since=None).exclude(pk=channel.pk)
    own = healthy.filter(client=channel.client_id) if channel.client_id else healthy.none()
    return own.order_by("id").first() or healthy.filter(client=None).order_by("id").first()

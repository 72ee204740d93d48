"""Somebody answered: who hears of it, and which call need not go out any more? (SPEC ESC-3, CHN-3)"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from alerts import channels, facts, limits, snapshot
from alerts.escalating import PAGING
from alerts.models import Alert, Delivery, Notice
from alerts.models.delivery import TOLD
from portal import bells
from portal.models import Client, Service, Site

LATER = 3  # priority: after calls, before what people read at leisure


def tell_acknowledged(alert: Alert, *, at: datetime) -> Notice | None:
    """Those already called hear, once, that somebody has it; so do channels that keep a record of the alert up to date."""
    told: dict[str, Delivery] = {}
    wants: dict[str, bool] = {}
    rows = Delivery.objects.filter(alert=alert).exclude(kind=Notice.Kind.ACKNOWLEDGED).select_related("channel")
    for row in rows.order_by("pk"):
        called = row.kind in PAGING and (
            row.state in (*TOLD, Delivery.State.SENDING) or (row.attempt > 0 and row.ambiguous > 0)
        )
        kind = channels.KINDS.get(row.channel.type)
        kept = kind is not None and kind.lifecycle
        on_record = kept and row.state in (*TOLD, Delivery.State.SENDING, Delivery.State.PENDING)
        if called or on_record:
            told[row.destination_key] = row
            wants[row.destination_key] = wants.get(row.destination_key, False) or row.wants_recovery
    told = {key: row for key, row in told.items() if not facts.obstacle(row.channel)}
    if not told:
        return None
    alert.next_seq += 1
    notice = snapshot.notice(alert, Notice.Kind.ACKNOWLEDGED, at, _names(alert))
    notice.severity = notice.snapshot["severity"] = "info"  # it is no alarm, whatever the alert is
    notice.snapshot["cause"] = f"{alert.acknowledged_by} has it."
    notice.snapshot["facts"].append(("Acknowledged by", alert.acknowledged_by))
    notice.snapshot["links"] = [link for link in notice.snapshot["links"] if link["rel"] != "acknowledge"]
    notice.save()
    alert.save(update_fields=["next_seq"])
    recent = _heard(told.values(), at)
    Delivery.objects.bulk_create(
        Delivery(
            notice=notice, alert=alert, seq=notice.seq, kind=notice.kind, destination_key=key, channel_id=row.channel_id, contact_id=row.contact_id,
            client_id=alert.client_id, via=row.via, priority=LATER, wants_recovery=wants[key], next_attempt_at=at, created_at=at,
            gather=row.channel_id in recent and limits.window(row.channel) > 0,
        )
        for key, row in told.items()
    )  # fmt: skip
    bells.ring_on_commit(bells.SEND)
    return notice


def _names(alert: Alert) -> facts.Names:
    def one(model: type[Client | Site | Service], pk: int | None) -> dict[int, Any]:
        return model.objects.in_bulk([pk]) if pk else {}

    return facts.Names(one(Client, alert.client_id), one(Site, alert.site_id), one(Service, alert.service_id))


def _heard(rows: Iterable[Delivery], at: datetime) -> set[int]:
    """Channels that heard of an acknowledgement within the last minute: of many at once the first is said by itself."""
    ids = {row.channel_id for row in rows}
    said = Delivery.objects.filter(
        channel__in=ids, kind=Notice.Kind.ACKNOWLEDGED, created_at__gt=at - timedelta(seconds=60)
    )
    return set(said.order_by().values_list("channel_id", flat=True))


def pointless(row: Delivery) -> str:
    """Why a call that is about to be tried again need not go out any more; "" when it must. `row.alert` should be loaded."""
    if row.kind not in PAGING or row.alert is None or row.ambiguous:
        return ""
    if row.alert.is_resolved:
        return "It recovered before this was sent."
    taken = row.alert.acknowledged_at
    return f"{row.alert.acknowledged_by} acknowledged first." if taken is not None and row.created_at <= taken else ""

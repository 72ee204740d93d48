"""How much may a channel send? A gathering window, messages a minute, messages a month; what is above is gathered, not dropped.

A rate is kept by gathering: within a window a destination hears at most one message at once and one gathered one, so N a
minute is a window of two N-ths of a minute. Over its monthly quota the window is an hour (SPEC DLV-6).
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from django.db import IntegrityError, transaction
from django.db.models import F

from alerts import channels
from alerts.models import Channel, Usage

DEFAULT_WINDOW = 60.0
OVER_QUOTA_WINDOW = 3600.0
WARN_AT = (80, 100)


def per_minute(channel: Channel) -> int | None:
    """Most messages a minute; None when only its window counts. What a program reads is never gathered, so it has no rate."""
    kind = channels.KINDS.get(channel.type)
    if kind is None or not kind.people:
        return None
    return channel.rate_per_minute if channel.rate_per_minute is not None else kind.per_minute


def quota(channel: Channel) -> int | None:
    """Most messages a month; None: not counted."""
    kind = channels.KINDS.get(channel.type)
    return channel.monthly_quota if channel.monthly_quota is not None else (kind.per_month if kind else None)


def window(channel: Channel, *, over_quota: bool = False) -> float:
    """Its gathering window in seconds: as set, else 60 for what people read and 0 for machines; wide enough for its rate."""
    kind = channels.KINDS.get(channel.type)
    if kind is None or (not kind.people and channel.group_window_seconds is None):
        return 0.0
    wanted = DEFAULT_WINDOW if channel.group_window_seconds is None else float(channel.group_window_seconds)
    rate = per_minute(channel)
    if rate:
        wanted = max(wanted, 120.0 / rate)
    if kind.people and (over_quota or (wanted == 0 and quota(channel))):
        wanted = max(wanted, OVER_QUOTA_WINDOW if over_quota else 1.0)
    return wanted


def month_of(at: datetime) -> date:
    """The first day of its month, in UTC."""
    return at.astimezone(UTC).date().replace(day=1)


def over_quota(channel: Channel, at: datetime) -> bool:
    """Has it sent what a month allows?"""
    most = quota(channel)
    if most is None:
        return False
    return Usage.objects.filter(channel=channel, month=month_of(at), sent__gte=most).exists()


def count(channel: Channel, sent: int, at: datetime) -> int | None:
    """Add what was sent; returns 80 or 100 when that percentage of the quota was reached now and has not been said yet."""
    most = quota(channel)
    if most is None or sent <= 0:
        return None
    month = month_of(at)
    rows = Usage.objects.filter(channel=channel, month=month)
    if not rows.update(sent=F("sent") + sent):
        try:
            with transaction.atomic():
                Usage.objects.create(channel=channel, month=month, sent=sent)
        except IntegrityError:  # another sender made it at the same moment
            rows.update(sent=F("sent") + sent)
    usage = rows.get()
    reached = max((p for p in WARN_AT if usage.sent * 100 >= most * p), default=0)
    if reached > usage.warned_percent and rows.filter(warned_percent__lt=reached).update(warned_percent=reached):
        return reached
    return None

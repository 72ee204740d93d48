"""How much may a channel send? Above its rate or its month, messages are gathered; nothing is dropped, and its owner hears of it."""

from __future__ import annotations

from datetime import date

import pytest

from alerts import canary, digest, limits
from alerts.models import Channel, Delivery, Usage
from portal.errors import Refused
from tests import cast
from tests.alerts import stage
from tests.alerts.stage import T, drain, ends, failing, later, tell

pytestmark = pytest.mark.django_db


def sent(channel: Channel) -> list[str]:
    """What the channel's owner has read, in order."""
    rows = Delivery.objects.filter(channel=channel, state="delivered").order_by("finished_at", "id")
    return [d.notice.snapshot["title"] for d in rows]


# --- Messages a minute -------------------------------------------------------------------------------------------------
def test_a_channel_of_two_a_minute_says_the_rest_in_one_message():
    slow = stage.mail(rate_per_minute=2, group_window_seconds=0)
    stage.trigger(slow)
    for number in range(6):
        tell(failing(number, later(seconds=number)))
        drain(later(seconds=number))
    assert sent(slow) == ["monitor-0 is down"]
    drain(later(seconds=61))
    assert sent(slow) == ["monitor-0 is down", "5 alerts: 5 critical"]
    assert not Delivery.objects.filter(state__in=["expired", "failed"]).exists()


def test_what_a_program_reads_has_no_rate():
    hook = stage.webhook(rate_per_minute=1)
    assert limits.per_minute(hook) is None and limits.window(hook) == 0


def test_without_a_rate_the_window_is_as_set():
    assert limits.window(stage.mail()) == 60
    assert limits.window(stage.mail("B", group_window_seconds=0)) == 0
    assert limits.window(stage.mail("C", group_window_seconds=5, rate_per_minute=4)) == 30


# --- Messages a month ----------------------------------------------------------------------------------------------------
def test_at_80_percent_the_owner_is_told_by_another_way_and_at_the_quota_once_more():
    stage.webhook("elsewhere")
    tight = stage.mail(monthly_quota=5, group_window_seconds=0)
    stage.trigger(tight)
    for number in range(5):
        at = later(minutes=10 * number)
        tell(failing(number, at))
        drain(at)
    said = [d.notice.snapshot["title"] for d in Delivery.objects.filter(kind="quota").order_by("id")]
    assert said == ["Channel Ana's mail has used 80 % of its month", "Channel Ana's mail has used 100 % of its month"]
    assert Usage.objects.get().sent == 5


def test_over_its_quota_a_channel_speaks_twice_an_hour_at_most():
    tight = stage.mail(monthly_quota=1, group_window_seconds=0)
    stage.trigger(tight)
    for minute in (0, 10, 20, 30):
        tell(failing(minute, later(minutes=minute)))
        drain(later(minutes=minute))
    drain(later(minutes=50))
    drain(later(minutes=95))
    heard = [d.notice.snapshot["title"] for d in Delivery.objects.filter(channel=tight, state="gathered")]
    assert len(sent(tight)) == 3, "the first, one gathered message in that hour, one in the next"
    assert {"monitor-20 is down", "monitor-30 is down"} <= set(heard), "nothing was dropped"


def test_a_new_month_counts_anew():
    tight = stage.mail(monthly_quota=1)
    assert limits.count(tight, 1, T) == 100
    assert limits.over_quota(tight, T) and not limits.over_quota(tight, later(minutes=60 * 24 * 11))
    assert limits.month_of(T) == date(2026, 11, 1)


def test_a_quota_warns_once():
    tight = stage.mail(monthly_quota=10)
    assert [limits.count(tight, 1, T) for _ in range(11)] == [None] * 7 + [80, None, 100, None]


# --- The weekly test --------------------------------------------------------------------------------------------------------
def test_a_channel_that_asks_for_it_is_tested_every_week():
    channel = stage.webhook(canary=True)
    stage.webhook("does not ask")
    assert canary.step(T) == 1
    assert canary.step(later(minutes=60)) == 0
    assert [d.channel for d in drain(T)] == [channel]
    assert canary.step(later(minutes=60 * 24 * 7)) == 1


def test_a_failed_weekly_test_marks_the_channel_and_tells_its_owner():
    stage.webhook("elsewhere")
    channel = stage.webhook(canary=True)
    canary.step(T)
    (row,) = stage.claim(T)
    ends(row, "permanent", at=T, code=404, error="HTTP 404")
    channel.refresh_from_db()
    assert channel.unhealthy_since == T
    (news,) = stage.claim(T)
    assert news.kind == "channel_dead" and news.channel.name == "elsewhere"


# --- A digest on demand -------------------------------------------------------------------------------------------------------
def test_a_digest_lists_what_is_open_worst_first():
    tell(failing(1, severity="warning"), failing(2), failing(3, client=cast.globex()))
    channel = stage.mail()
    row = digest.send(channel, by=cast.TESTS, at=T)
    assert row.notice.snapshot["title"] == "3 open alerts: 2 critical, 1 warning"
    assert [line["name"] for line in row.notice.snapshot["lines"]] == ["monitor-2", "monitor-3", "monitor-1"]


def test_a_clients_channel_gets_its_own_alerts_only():
    tell(failing(2), failing(3, client=cast.globex()))
    row = digest.send(stage.mail(of=cast.globex()), by=cast.TESTS, at=T)
    assert [line["name"] for line in row.notice.snapshot["lines"]] == ["monitor-3"]


def test_nothing_open_is_said_too_and_a_channel_that_is_off_is_refused():
    assert digest.send(stage.mail(), by=cast.TESTS, at=T).notice.snapshot["title"] == "Nothing is open"
    with pytest.raises(Refused, match="switched off"):
        digest.send(stage.mail("off", enabled=False), by=cast.TESTS, at=T)

"""The queue that is also the ledger: who may send what now, whose result counts, what a dead worker leaves behind."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection

from alerts import outbox
from alerts.models import Alert, Attempt, Channel, Conversation, Delivery, Destination, Notice
from portal.models import Worker
from tests import cast
from tests.alerts import stage
from tests.alerts.stage import T, claim, ends, failing, later, tell, told, well

pytestmark = pytest.mark.django_db


@pytest.fixture
def ops() -> Channel:
    channel = stage.webhook()
    stage.trigger(channel)
    return channel


@pytest.fixture
def small(monkeypatch) -> None:
    """Eight in flight for a client, two for a destination."""
    monkeypatch.setattr(outbox, "PER_CLIENT", 8)
    monkeypatch.setattr(outbox, "PER_DESTINATION", 2)


def channels(rows: list[Delivery]) -> list[str]:
    return sorted(d.channel.name for d in rows)


# --- Claims --------------------------------------------------------------------------------------------------------------
def test_a_claim_takes_what_is_due_and_marks_it(ops):
    tell(failing(7))
    assert claim(T - timedelta(seconds=1)) == []
    (row,) = claim(T)
    assert (row.state, row.claimed_by, row.attempt, row.lease_until) == (
        "sending",
        "w1",
        1,
        T + outbox.LEASE,
    ) and row.lease_token
    assert claim(T, worker="w2") == []
    assert claim(T, limit=0) == []


def test_of_one_alert_and_channel_only_the_oldest_goes_and_other_channels_do_not_wait(ops):
    stage.trigger(stage.webhook("second"), name="Second")
    (alert,) = tell(failing(7, severity="warning", event="degraded"))
    tell(failing(7, later(seconds=1)))
    assert told(alert) == [("opened", "pending")] * 2 + [("raised", "pending")] * 2
    first = claim(later(seconds=1))
    assert [d.kind for d in first] == ["opened", "opened"] and channels(first) == ["ops", "second"]
    ends(next(d for d in first if d.channel_id == ops.pk), at=later(seconds=2))
    after = claim(later(seconds=2))
    assert [(d.kind, d.channel.name) for d in after] == [("raised", "ops")]  # the other channel's is still on its way
    ends(next(d for d in first if d.channel_id != ops.pk), "retry", later(seconds=2))
    assert claim(later(seconds=5)) == []  # the raise does not overtake an opening that will be tried again
    assert [d.kind for d in claim(later(seconds=32))] == ["opened"]


def test_a_destination_gets_two_at_a_time_and_a_client_eight(ops, small):
    for n in range(6):
        stage.trigger(stage.webhook(f"more {n}"), name=f"More {n}")
    tell(*(failing(n) for n in range(5)))
    stage.trigger(stage.webhook("globex's", cast.globex()), name="Globex", client=cast.globex())
    tell(failing(50, client=cast.globex()))
    taken = claim(T)
    per_client = Counter(d.client_id for d in taken)
    assert per_client[cast.acme().pk] == outbox.PER_CLIENT
    assert max(Counter(d.destination_key for d in taken).values()) <= outbox.PER_DESTINATION
    assert per_client[cast.globex().pk] >= 1  # a busy client does not keep another waiting
    assert claim(T) == []  # until something comes back


def test_a_slow_destination_keeps_nobody_else_waiting(ops, small):
    slow = stage.webhook("slow")
    stage.trigger(slow, name="Slow")
    tell(*(failing(n) for n in range(40)))
    for _ in range(60):
        for row in claim(T):
            if row.channel_id != slow.pk:
                ends(row, at=T)
    assert len(stage.rows(channel=ops, state="delivered")) == 40
    assert [d.state for d in stage.rows(channel=slow)].count("sending") == 2


def test_what_is_worse_goes_first(ops):
    for severity, monitor in (("info", 1), ("warning", 2), ("critical", 3)):
        tell(failing(monitor, severity=severity, event="degraded" if severity != "critical" else "consecutive_failure"))
    assert [d.notice.severity for d in claim(T, limit=2)] == ["critical", "warning"]


# --- Results --------------------------------------------------------------------------------------------------------------
def test_a_delivered_one_says_when_the_alert_was_first_told(ops):
    (alert,) = tell(failing(7))
    (row,) = claim(T)
    assert ends(row, at=later(seconds=1), code=200, provider_id="x-1", duration_ms=3.5) == 0
    row.refresh_from_db()
    assert (row.state, row.finished_at, row.lease_token, row.claimed_by) == ("delivered", later(seconds=1), None, "")
    assert Alert.objects.get().notified_at == later(seconds=1)
    (attempt,) = Attempt.objects.all()
    assert (attempt.n, attempt.outcome, attempt.response_code, attempt.duration_ms) == (1, "delivered", 200, 3.5)
    assert Conversation.objects.get(alert=alert).provider_id == "x-1"
    ops.refresh_from_db()
    assert ops.last_success_at == later(seconds=1) and ops.unhealthy_since is None
    tell(failing(7, later(1), severity="critical"))
    assert Alert.objects.get().notified_at == later(seconds=1)  # the first time, for ever


def test_the_ladder_then_failed_with_one_row_per_attempt(ops):
    tell(failing(7))
    at, waits = T, []
    for _ in range(5):
        (row,) = claim(at)
        ends(row, "retry", at, code=503, error="HTTP 503")
        row.refresh_from_db()
        waits.append((row.next_attempt_at - at).total_seconds())
        at = row.next_attempt_at
    assert waits[:4] == [30, 60, 120, 240]
    assert (row.state, row.attempt, row.reason) == ("failed", 5, "HTTP 503")
    assert list(Attempt.objects.order_by("n").values_list("n", "outcome")) == [(n, "retry") for n in range(1, 6)]
    assert claim(later(60)) == []


def test_a_permanent_answer_stops_at_once_marks_the_channel_and_its_owner_hears_of_it_elsewhere(ops):
    other = stage.webhook("other")
    tell(failing(7), failing(8))
    for row in claim(T):
        ends(row, "permanent", T, code=404, error="HTTP 404: no such hook")
    ops.refresh_from_db()
    assert ops.unhealthy_since == T and "no such hook" in ops.unhealthy_reason
    dead = stage.rows(kind="channel_dead")  # every message that was lost, also while the channel is known to be ill
    assert len(dead) == 2 and {d.channel for d in dead} == {other}
    assert {d.notice.snapshot["title"] for d in dead} == {"Channel ops does not deliver"}
    sent = [d for d in stage.drain(later(1)) if d.kind == "channel_dead"]
    assert {d.pk for d in sent} == {d.pk for d in dead}
    tell(failing(9, later(2)))
    (row,) = claim(later(2))
    ends(row, at=later(2))
    ops.refresh_from_db()
    assert ops.unhealthy_since is None and ops.unhealthy_reason == ""


def test_a_result_whose_lease_went_to_another_worker_changes_nothing(ops):
    tell(failing(7))
    (frozen,) = claim(T)
    assert outbox.reap(later(1)) == 1
    (again,) = claim(later(1), worker="w2")
    assert again.lease_token != frozen.lease_token
    assert ends(frozen, "permanent", later(1), error="from the past") == 1
    again.refresh_from_db()
    assert again.state == "sending" and again.claimed_by == "w2"
    assert ends(again, at=later(1)) == 0
    assert ends(again, "permanent", later(2)) == 1  # and a second result for the same lease neither
    again.refresh_from_db()
    assert again.state == "delivered"


# --- Workers that die ----------------------------------------------------------------------------------------------------
def test_a_worker_that_is_gone_leaves_an_ambiguous_attempt_and_the_next_one_sends_at_once():
    stage.trigger(stage.webhook())
    tell(failing(7))
    Worker.objects.create(id="w1", role="page", host="here", pid=1, started_at=T, seen_at=T)
    claim(T)
    assert outbox.reap(later(seconds=3)) == 0  # seen a moment ago
    assert outbox.reap(later(seconds=5)) == 1
    (row,) = stage.rows()
    assert (row.state, row.ambiguous, row.next_attempt_at) == ("pending", 1, later(seconds=5))
    assert Attempt.objects.get().outcome == "lost"
    (row,) = claim(later(seconds=5), worker="w2")
    assert row.attempt == 2


def test_where_no_key_folds_copies_the_second_loss_ends_it_as_unknown_and_somebody_is_told():
    mail, other = stage.mail(group_window_seconds=0), stage.webhook("other")
    stage.trigger(mail)
    (alert,) = tell(failing(7))
    claim(T)
    outbox.reap(later(1))
    claim(later(1))
    outbox.reap(later(2))
    (row,) = stage.rows(alert)
    assert (row.state, row.attempt, row.ambiguous) == ("unknown", 2, 2)
    assert claim(later(5)) and stage.rows(kind="channel_dead")[0].channel == other
    tell(well(7, later(6)))
    assert told(alert)[-1] == ("recovered", "pending")  # perhaps they heard of the failure


def test_a_keyed_channel_is_tried_freely(ops):
    tell(failing(7))
    for minutes in range(4):
        (row,) = claim(later(minutes))
        assert row.attempt == minutes + 1
        outbox.reap(later(minutes, seconds=50))
    assert stage.rows()[0].state == "pending"


def test_a_clean_stop_gives_claims_back_unharmed(ops):
    tell(failing(7))
    rows = claim(T)
    assert outbox.give_back(rows) == 1
    (row,) = claim(T)
    assert (row.attempt, row.ambiguous, Attempt.objects.count()) == (1, 0, 0)


# --- Recoveries that make no sense ------------------------------------------------------------------------------------------
def test_recovered_is_not_told_where_the_failure_never_arrived(ops):
    (alert,) = tell(failing(7))
    (sending,) = claim(T)
    tell(well(7, later(seconds=1)))
    ends(sending, "permanent", later(seconds=2), error="gone")
    assert [d.kind for d in claim(later(seconds=3)) if d.kind == "recovered"] == []
    (recovery,) = stage.rows(alert, kind="recovered")
    assert (
        recovery.state == "expired"
        and recovery.reason == "The failure never reached this channel, so its recovery is not told."
    )
    assert recovery.lease_token is None and recovery.claimed_by == ""


# --- Storms ---------------------------------------------------------------------------------------------------------------
def test_a_thousand_alerts_are_one_message_and_one_gathered_and_none_is_lost():
    mail, machine = stage.mail(), stage.webhook("machine")
    stage.trigger(mail)
    alerts = tell(*(failing(n, client=c) for n, c in zip(range(1000), [cast.acme(), cast.globex()] * 500, strict=True)))
    assert len(alerts) == 1000
    first = stage.drain(T)
    assert [(d.kind, d.channel_id) for d in first] == [("opened", mail.pk)]
    assert stage.drain(later(seconds=19)) == []
    (digest,) = stage.drain(later(seconds=20))
    snapshot = digest.notice.snapshot
    assert (
        digest.kind == "digest"
        and snapshot["title"] == "999 alerts: 999 critical"
        and len(snapshot["lines"]) == 20
        and snapshot["more"] == 979
    )
    states = Counter(Delivery.objects.exclude(kind="digest").values_list("state", flat=True))
    assert states == {"delivered": 1, "gathered": 999}
    assert Delivery.objects.filter(carried_by=digest).count() == 999
    assert Alert.objects.filter(notified_at=None).count() == 0
    assert stage.drain(later(5)) == [] and stage.rows(channel=machine) == []


def test_the_worst_goes_first_and_stands_first():
    stage.trigger(stage.mail())
    tell(
        failing(1, severity="info", event="available"),
        failing(2, severity="warning", event="degraded"),
        failing(3),
        failing(4, severity="warning", event="degraded"),
    )
    assert [d.notice.snapshot["title"] for d in stage.drain(T)] == ["monitor-3 is down"]
    (digest,) = stage.drain(later(seconds=20))
    assert [line["severity"] for line in digest.notice.snapshot["lines"]] == ["warning", "warning", "info"]
    assert digest.notice.severity == "warning"


def test_what_failed_and_recovered_inside_the_message_is_said_once():
    stage.trigger(stage.mail())
    tell(failing(1), failing(2), failing(3))
    stage.drain(T)
    stage.drain(later(seconds=20))
    tell(well(2, later(seconds=30)), well(3, later(seconds=30)))
    tell(failing(4, later(seconds=31)), failing(5, later(seconds=32)))
    tell(well(5, later(seconds=40)))  # was never said: nothing to take back
    (digest,) = stage.drain(later(seconds=80))
    assert digest.notice.snapshot["title"] == "3 alerts: 1 critical, 2 recovered"


def test_machines_hear_everything_at_once(ops):
    tell(*(failing(n) for n in range(5)))
    assert len(stage.drain(T)) == 5 and not stage.rows(kind="digest")


def test_a_window_of_nothing_gathers_nothing():
    stage.trigger(stage.mail(group_window_seconds=0))
    tell(*(failing(n) for n in range(5)))
    assert len(stage.drain(T)) == 5


@pytest.mark.parametrize("window", [5, 20, 60])
def test_a_steady_stream_is_one_message_a_window(window):
    stage.trigger(stage.mail(group_window_seconds=window))
    sent: list[float] = []
    length = 4 * max(window, 20)
    for second in range(0, length, max(1, window // 20)):
        at = later(seconds=second)
        tell(failing(second, at))
        sent += [second for _ in stage.drain(at)]
    assert 3 <= len(sent) <= length / window + 2
    assert all(later_ - earlier >= min(window, 20) for earlier, later_ in zip(sent, sent[1:], strict=False))
    assert len(stage.rows(state="pending")) <= window + 1


def test_one_that_waited_alone_goes_as_itself():
    stage.trigger(stage.mail())
    tell(failing(1))
    stage.drain(T)
    tell(failing(2, later(seconds=5)))
    (alone,) = stage.drain(later(seconds=20))
    assert alone.kind == "opened"


def test_a_gathered_message_that_fails_says_so_at_what_it_carried():
    stage.trigger(stage.mail())
    other = stage.webhook("other")
    tell(failing(1), failing(2), failing(3))
    stage.drain(T)
    (digest,) = claim(later(seconds=20))
    ends(digest, "permanent", later(seconds=21), error="550 no such user")
    assert {d.reason for d in stage.rows(state="gathered")} == {
        "The gathered message was not delivered: 550 no such user"
    }
    assert stage.rows(kind="channel_dead")[0].channel == other
    assert Alert.objects.filter(notified_at=None).count() == 2


# --- Two at once ------------------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_many_workers_claim_each_delivery_once():
    from concurrent.futures import ThreadPoolExecutor

    for n in range(6):
        stage.trigger(stage.webhook(f"c{n}"), name=f"t{n}")
    tell(*(failing(n) for n in range(10)))

    def work(name: str) -> list[int]:
        taken: list[int] = []
        try:
            idle = 0
            while idle < 3:
                found = claim(T, limit=3, worker=name)
                idle = 0 if found else idle + 1
                for row in found:
                    assert ends(row, at=T) == 0
                taken += [row.pk for row in found]
            return taken
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        taken = [pk for part in pool.map(work, "abcd") for pk in part]
    assert len(taken) == len(set(taken))
    taken += [row.pk for row in stage.drain(T)]
    assert len(taken) == len(set(taken)) == 60
    assert Attempt.objects.count() == 60


@pytest.mark.django_db(transaction=True)
def test_two_senders_that_look_at_the_same_moment_gather_once():
    from concurrent.futures import ThreadPoolExecutor

    stage.trigger(stage.mail())
    tell(*(failing(n) for n in range(20)))
    stage.drain(T)

    def look(_: int) -> None:
        from alerts import gathering

        try:
            gathering.step(later(seconds=20))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(4)))
    assert Notice.objects.filter(kind="digest").count() == 1
    assert Destination.objects.get().gathered_at == later(seconds=20)

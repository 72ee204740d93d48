"""Whatever happens in whatever order: does everybody hear the truth, once, in order, and in the end?

Monitors fail and recover, people acknowledge, snooze, silence and plan work, messages arrive or fail, and time passes.
Everything goes through the product's own doors; after each step the watchman looks, as he does every second.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from alerts import acts, facts, quiet
from alerts.models import Alert, Delivery, MaintenanceWindow, Silence
from alerts.models.delivery import TOLD
from portal.errors import Refused
from tests import cast
from tests.alerts import stage

FAILURES = ("opened", "raised")
PARENTS = {3: "monitor:1"}  # 3 stands behind 1
SETTLED_WITHIN = 60  # minutes, once all quiet has ended
monitors = st.sampled_from([1, 2, 3])
minutes = st.sampled_from([1, 5, 30])


class Story(RuleBasedStateMachine):
    """One world: three monitors, a machine that hears of everything, a person's mail, one for the worst only."""

    def __init__(self) -> None:
        super().__init__()
        self.world = transaction.atomic()
        self.world.__enter__()
        self.now, self.looked = stage.T, None
        self.heard: dict[tuple[str, int], list[tuple[int, str]]] = {}
        stage.trigger(stage.webhook("all"), stage.mail("mail"), name="All")
        stage.trigger(
            stage.webhook("worst", url="https://hooks.example/worst"),
            name="The worst, and no recoveries",
            filter_severities="critical",
            notify_on_resolve=False,
        )

    def teardown(self) -> None:
        try:
            self.settle()
            self.in_the_end()
        finally:
            transaction.set_rollback(True)
            self.world.__exit__(None, None, None)

    def pass_time(self, **length: float) -> datetime:
        """A little later; the watchman has looked."""
        self.now += timedelta(**length)
        quiet.step(self.now, self.looked)
        self.looked = self.now
        return self.now

    def open(self, monitor: int) -> Alert | None:
        return Alert.objects.filter(resolved_at=None, monitor_id=monitor).first()

    # --- What happens to monitors ---------------------------------------------------------------------------------------
    @rule(monitor=monitors)
    def down(self, monitor: int) -> None:
        stage.tell(stage.failing(monitor, self.pass_time(seconds=1), parent=PARENTS.get(monitor, "")))

    @rule(monitor=monitors)
    def degraded(self, monitor: int) -> None:
        how = {"event": "degraded", "severity": "warning", "parent": PARENTS.get(monitor, "")}
        stage.tell(stage.failing(monitor, self.pass_time(seconds=1), **how))

    @rule(monitor=monitors)
    def up(self, monitor: int) -> None:
        stage.tell(stage.well(monitor, self.pass_time(seconds=1)))

    # --- What people do -------------------------------------------------------------------------------------------------
    @rule(monitor=monitors)
    def acknowledge(self, monitor: int) -> None:
        alert, at = self.open(monitor), self.pass_time(seconds=1)
        if alert:
            acts.acknowledge(alert, by=cast.TESTS, at=at)

    @rule(monitor=monitors, minutes=minutes | st.none())
    def snooze(self, monitor: int, minutes: int | None) -> None:
        alert, at = self.open(monitor), self.pass_time(seconds=1)
        if alert:
            acts.snooze(alert, by=cast.TESTS, at=at, minutes=minutes)

    @rule(monitor=monitors)
    def wake(self, monitor: int) -> None:
        alert, at = self.open(monitor), self.pass_time(seconds=1)
        if alert and (alert.snoozed_until_recovered or (alert.snoozed_until and alert.snoozed_until > at)):
            quiet.unsnooze(alert, by=cast.TESTS, at=at)

    @rule(monitor=monitors | st.none(), minutes=minutes | st.none(), later=st.sampled_from([0, 2]))
    def silence(self, monitor: int | None, minutes: int | None, later: int) -> None:
        at = self.pass_time(seconds=1)
        end = {"duration_seconds": minutes * 60} if minutes else {"until_recovered": True}
        quiet.save_silence(
            by=cast.TESTS,
            at=at,
            reason="noise",
            matchers={"entity_id": monitor} if monitor else {},
            starts_at=at + timedelta(minutes=later),
            **end,
        )

    @precondition(lambda self: Silence.objects.filter(cancelled_at=None).exists())
    @rule()
    def cancel_a_silence(self) -> None:
        at = self.pass_time(seconds=1)
        row = Silence.objects.filter(cancelled_at=None).order_by("pk").first()
        if row:
            quiet.cancel_silence(row, by=cast.TESTS, at=at)

    @rule(monitor=monitors | st.none(), minutes=minutes, later=st.sampled_from([0, 2]), again=st.booleans())
    def plan_work(self, monitor: int | None, minutes: int, later: int, again: bool) -> None:
        at = self.pass_time(seconds=1)
        quiet.save_window(
            by=cast.TESTS,
            at=at,
            title="work",
            client=cast.acme(),
            scopes=[f"monitor:{monitor}"] if monitor else [],
            starts_at=at + timedelta(minutes=later),
            duration_seconds=minutes * 60,
            recurrence="FREQ=DAILY" if again else "",
        )

    @precondition(lambda self: MaintenanceWindow.objects.filter(cancelled_at=None).exists())
    @rule(cancel=st.booleans())
    def end_some_work(self, cancel: bool) -> None:
        at = self.pass_time(seconds=1)
        row = MaintenanceWindow.objects.filter(cancelled_at=None).order_by("pk").first()
        try:
            (quiet.cancel_window if cancel else quiet.end_now)(row, by=cast.TESTS, at=at)
        except Refused:
            assert facts.window_state(row, at, facts.closed_early([row])) != "active"

    # --- What becomes of messages -----------------------------------------------------------------------------------------
    @rule(how_many=st.integers(1, 3))
    def deliver_some(self, how_many: int) -> None:
        self.send("delivered", how_many)

    @rule(how_many=st.integers(1, 2))
    def fail_some(self, how_many: int) -> None:
        self.send("retry", how_many)

    @rule(length=st.sampled_from([20, 90, 600, 3600, 86400]))
    def time_passes(self, length: int) -> None:
        self.pass_time(seconds=length)

    def send(self, outcome: str, how_many: int) -> int:
        at = self.pass_time(seconds=1)
        rows = stage.claim(at, limit=how_many)
        for row in rows:
            if row.kind in FAILURES and row.attempt == 1:
                assert not row.alert.hold_reason, f"{row.kind} of a held alert was sent: {row.alert.hold_reason}"
            stage.ends(row, outcome, at=at)
            if outcome == "delivered":
                carried = (
                    Delivery.objects.filter(carried_by=row).order_by("seq", "pk") if row.kind == "digest" else [row]
                )
                for one in carried:
                    self.hear(one)
        return len(rows)

    def hear(self, row: Delivery) -> None:
        """A destination hears of an alert: never of something older, never "recovered" out of the blue."""
        if row.alert_id is None:
            return
        so_far = self.heard.setdefault((row.destination_key, row.alert_id), [])
        assert all(seq < row.seq for seq, _ in so_far), f"{row.kind} #{row.seq} after {so_far}"
        if row.kind == "recovered":
            assert any(kind in FAILURES for _, kind in so_far), "recovered, of what it never heard"
            assert row.channel.name != "worst", "it did not want recoveries"
        so_far.append((row.seq, row.kind))

    # --- What is always true ----------------------------------------------------------------------------------------------
    @invariant()
    def messages_wait_only_where_the_alert_waits(self) -> None:
        stuck = Delivery.objects.filter(state="held", alert__hold_reason="")
        assert not stuck.exists(), [(d.alert_id, d.kind, d.hold_reason) for d in stuck]

    @invariant()
    def whoever_holds_it_is_on_record(self) -> None:
        for alert in Alert.objects.filter(resolved_at=None, hold_reason__in=["silenced", "in_maintenance"]):
            rows = Delivery.objects.filter(alert=alert, state="held")
            for silence, window in rows.values_list("silence_id", "window_id"):
                assert (silence if alert.hold_reason == "silenced" else window) == alert.held_by

    # --- What is true in the end --------------------------------------------------------------------------------------------
    def settle(self) -> None:
        """All quiet ends, and everything is delivered."""
        at = self.pass_time(seconds=1)
        for row in Silence.objects.filter(cancelled_at=None):
            quiet.cancel_silence(row, by=cast.TESTS, at=at)
        for row in MaintenanceWindow.objects.filter(cancelled_at=None):
            if facts.window_state(row, at, facts.closed_early([row])) != "ended":
                quiet.cancel_window(row, by=cast.TESTS, at=at)
        for alert in Alert.objects.filter(resolved_at=None):
            self.wake(alert.monitor_id)
        left = Delivery.objects.filter(state__in=["pending", "sending"])
        for _ in range(SETTLED_WITHIN):
            self.pass_time(minutes=1)
            while self.send("delivered", 50):
                pass
            if not left.exists():
                break
        assert not left.exists(), [(d.kind, d.state, d.next_attempt_at) for d in left]

    def in_the_end(self) -> None:
        for alert in Alert.objects.all():
            for channel in ("all", "mail", "worst"):
                self.the_truth_was_heard(alert, channel)
        held = Alert.objects.filter(resolved_at=None).exclude(hold_reason="")
        assert {a.hold_reason for a in held} <= {"explained_by_parent"}
        assert all(self.open(1) for _ in held), "only while the parent is down"

    def the_truth_was_heard(self, alert: Alert, channel: str) -> None:
        """Who heard of a failure that is over heard that, too; and what is wrong still, and held by nothing, is known."""
        rows = list(Delivery.objects.filter(alert=alert, channel__name=channel).order_by("seq"))
        if not rows:
            return
        told = self.heard.get((rows[0].destination_key, alert.pk), [])
        failed = any(kind in FAILURES for _, kind in told)
        if alert.is_resolved and failed and channel != "worst":
            assert told[-1][1] == "recovered", f"{channel} believes that {alert} still is: {told}"
        if not alert.is_resolved and not alert.hold_reason:
            lost = any(r.state == "failed" for r in rows)  # every attempt failed: its owner was told by another way
            assert failed or lost, f"{channel} was never told of {alert}: {[(r.kind, r.state, r.reason) for r in rows]}"
        assert all(r.state in (*TOLD, "failed", "expired", "held") for r in rows)


# `make test` tells the same stories every time; STORIES=2000 (as in `make soak`) tells new ones.
STORIES = int(os.environ.get("STORIES", "0"))


@pytest.mark.django_db
def test_everybody_hears_the_truth_whatever_happens():
    run_state_machine_as_test(
        Story,
        settings=settings(
            max_examples=STORIES or 30,
            stateful_step_count=25,
            deadline=None,
            derandomize=not STORIES,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )

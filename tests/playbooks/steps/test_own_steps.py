"""Do the steps that touch only our own records do what they say, once, even when a worker dies in between?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alerts.models import Channel, Delivery, Notice
from incidents import services as incidents
from incidents.models import Incident
from monitors import services as monitors
from monitors.models.monitor import State
from playbooks.steps.base import NotDone
from portal.clock import database_now
from portal.models import Client
from tests import cast
from tests.monitors import rows
from tests.monitors.seeing import judge, see
from tests.playbooks.steps import scene

pytestmark = pytest.mark.django_db


# --- wait -----------------------------------------------------------------------------------------------------------------
def test_waiting_rests_as_long_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    rested: list[float] = []
    clock = [100.0]

    def rest(span: timedelta) -> None:
        rested.append(span.total_seconds())
        clock[0] += span.total_seconds()

    monkeypatch.setattr("playbooks.steps.wait.time.monotonic", lambda: clock[0])
    step = scene.made("wait", seconds=7)
    assert step.do(scene.context(scene.run(), "wait", rest)).output == "Waited 7 s."
    assert sum(rested) == pytest.approx(7) and max(rested) <= 1 and step.longest() > 7


# --- check ------------------------------------------------------------------------------------------------------------------
def watched() -> Any:
    """A monitor that two probes watch and that is down; both have to agree."""
    probes = [rows.probe(), rows.probe("paris", network="AS1")]
    monitor = rows.monitor(probes=probes, quorum=2)
    at = database_now() - timedelta(minutes=2)
    for n in range(3):
        for probe in probes:
            see(monitor, "uff"[n], at + timedelta(seconds=n), probe)
        judge(at + timedelta(seconds=n))
    monitor.refresh_from_db()
    assert monitor.state == State.DOWN
    return monitor, probes


def looks(monitor: Any, probes: Any, letter: str) -> Any:
    """Between two looks of the step, these probes see that."""

    def rest(span: timedelta) -> None:
        at = database_now()
        for probe in probes:
            see(monitor, letter, at, probe)
        judge(at)

    return rest


def checked(monitor: Any, rest: Any, **given: Any) -> Any:
    of = scene.run(monitor=monitor)
    return scene.made("check", **given).do(scene.context(of, "check", rest))


def test_it_goes_on_when_the_probes_have_looked_and_it_is_up() -> None:
    monitor, probes = watched()
    assert checked(monitor, looks(monitor, probes, "u")).after == {"state": "up", "fresh": 2, "probes": 2}


def test_a_state_from_before_does_not_count() -> None:
    """It is up already, but nobody has looked since the step began."""
    monitor, probes = watched()
    type(monitor).objects.filter(pk=monitor.pk).update(state=State.UP)
    looked: list[int] = []

    def rest(span: timedelta) -> None:
        looked.append(1)
        looks(monitor, probes, "u")(span)

    checked(monitor, rest)
    assert looked


def test_it_fails_when_it_stays_down() -> None:
    monitor, probes = watched()
    ahead = [timedelta(0)]

    def rest(span: timedelta) -> None:
        looks(monitor, probes, "f")(span)
        ahead[0] += timedelta(seconds=10)

    context = scene.context(scene.run(monitor=monitor), "check", rest)
    context = replace(context, now=lambda: database_now() + ahead[0])
    with pytest.raises(NotDone, match="still down: .*2 of 2 probes have looked") as refusal:
        scene.made("check", within_seconds=30).do(context)
    assert refusal.value.after["state"] == "down" and ahead[0] >= timedelta(seconds=30)


def test_degraded_will_do_where_that_is_said() -> None:
    monitor, probes = watched()
    assert checked(monitor, looks(monitor, probes, "d"), wanted="not_down").after["state"] == "degraded"


def test_every_probe_is_asked_to_look_at_once() -> None:
    monitor, probes = watched()
    monitor.views.update(next_due_at=database_now() + timedelta(hours=1))
    due: list[Any] = []

    def rest(span: timedelta) -> None:
        due.append([view.next_due_at for view in monitor.views.all()])
        looks(monitor, probes, "u")(span)

    checked(monitor, rest)
    assert all(at <= database_now() for at in due[0])


def test_a_paused_or_vanished_monitor_cannot_be_checked() -> None:
    monitor, _ = watched()
    monitors.pause(monitor, by=cast.TESTS, at=database_now())
    with pytest.raises(NotDone, match="paused"):
        checked(monitor, None)
    of = scene.run(scene.playbook(cast.acme(), "Another"), monitor=None)
    with pytest.raises(NotDone, match="no monitor"):
        scene.made("check").do(scene.context(of, "check"))


# --- incident_update ----------------------------------------------------------------------------------------------------------
def incident() -> Incident:
    return incidents.create(
        title="Shop is down", severity="major", by=cast.TESTS, at=database_now(), client_id=cast.acme().pk, notify=False
    )


def update(of: Any, **given: Any) -> Any:
    step = scene.made("incident_update", **{"message": "Traffic is being moved.", **given})
    return step, scene.context(of, "incident_update")


def test_the_incident_is_updated_in_the_playbooks_name() -> None:
    about = incident()
    step, context = update(scene.run(incident=about), status="identified")
    done = step.do(context)
    row = about.updates.order_by("-pk").first()
    assert (row.by, row.message, row.status) == ("Playbook Fail over", "Traffic is being moved.", "identified")
    assert done.after == {"update": row.pk, "status": "identified"}


def test_that_it_works_again_was_said_by_a_playbook_not_by_a_person() -> None:
    about = incident()
    step, context = update(scene.run(incident=about), status="monitoring")
    step.do(context)
    about.refresh_from_db()
    assert about.mitigated_at is not None
    assert about.times_known_by["mitigated_at"] == "playbook"


def test_a_step_begun_anew_posts_no_second_update() -> None:
    about, count = incident(), None
    step, context = update(scene.run(incident=about))
    step.do(context)
    count = about.updates.count()
    assert step.do(context).output == "It was done already." and about.updates.count() == count


def test_an_update_that_the_incident_does_not_take_leaves_no_mark() -> None:
    about = incident()
    incidents.resolve(about, by=cast.TESTS, at=database_now())
    of = scene.run(incident=about)
    step, context = update(of)
    with pytest.raises(NotDone, match="takes no such update"):
        step.do(context)
    assert scene.row(of).after == {}


def test_without_an_incident_there_is_nothing_to_post_on() -> None:
    step, context = update(scene.run())
    with pytest.raises(NotDone, match="no incident"):
        step.do(context)


# --- notify -----------------------------------------------------------------------------------------------------------------
def channel(of: Client | None, name: str = "ops", **values: Any) -> Channel:
    return Channel.objects.create(client=of, name=name, type="webhook", config={"url": "https://hooks.example/ops"}, **values)  # fmt: skip


def tell(of: Any, *channels: Channel) -> Any:
    step = scene.made("notify", channel_ids=[c.pk for c in channels], message="The shop was moved.")
    return step, scene.context(of, "notify")


def test_a_message_goes_out_through_the_outbox_once() -> None:
    ops, mail = channel(cast.acme()), channel(cast.acme(), "mail")
    of = scene.run(incident=incident())
    step, context = tell(of, ops, mail)
    done = step.do(context)
    rows_ = list(Delivery.objects.filter(channel__in=[ops, mail]).select_related("notice"))
    assert {(d.channel_id, d.state, d.notice_id) for d in rows_} == {(c.pk, "pending", done.after["notice"]) for c in (ops, mail)}  # fmt: skip
    said = rows_[0].notice.snapshot
    assert said["cause"] == "The shop was moved." and said["client"]["name"] == "Acme"
    assert [link["rel"] for link in said["links"]] == ["open", "incident"]
    assert step.do(context).output == "It was done already." and Notice.objects.count() == 1


def test_the_message_can_be_read_where_it_arrives(receiver: Any) -> None:
    from alerts import sender
    from alerts.outbox import claim

    hook = Channel.objects.create(client=cast.acme(), name="hook", type="webhook", config={"url": receiver.url("/in")})
    step, context = tell(scene.run(), hook)
    step.do(context)
    (row,) = claim("w1", 10, database_now())
    ((_, kind, message),) = sender.prepare([row], database_now())
    assert "The shop was moved." in message.headline and message.where == "Acme · shop"
    sender.send_now(Delivery.objects.get(pk=row.pk))
    type(row).objects.filter(pk=row.pk).update(state="pending", lease_token=None, lease_until=None)
    sent = sender.send_now(Delivery.objects.get(pk=row.pk))
    assert sent.state == "delivered" and "The shop was moved." in receiver.calls[-1].json()["text"]


def test_only_channels_of_the_same_client_are_told() -> None:
    ours, theirs, staff = channel(cast.acme()), channel(cast.globex()), channel(None)
    for other in (theirs, staff):
        of = scene.run(scene.playbook(cast.acme(), f"For {other.pk}"))
        step, context = tell(of, ours, other)
        assert f"no channel #{other.pk}" in step.problem(cast.acme().pk)
        with pytest.raises(NotDone, match=f"no channel #{other.pk}.*nobody was told"):
            step.do(context)
    assert not Delivery.objects.exists()


def test_the_msps_own_playbook_may_tell_its_staff_and_the_runs_client_and_nobody_else() -> None:
    ours, theirs, staff = channel(cast.acme()), channel(cast.globex()), channel(None)
    book = scene.playbook(None)
    step, context = tell(scene.run(book), ours, staff)
    assert step.problem(None) == "" and step.do(context).after["channels"] == sorted([ours.pk, staff.pk])
    step, context = tell(scene.run(book), theirs)
    with pytest.raises(NotDone, match="nobody was told"):
        step.do(context)


def test_a_channel_that_is_off_is_a_problem() -> None:
    step, context = tell(scene.run(), channel(cast.acme(), enabled=False))
    assert "switched off" in step.problem(cast.acme().pk)
    with pytest.raises(NotDone, match="None of its channels"):
        step.do(context)

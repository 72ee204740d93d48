"""Does an answer on the phone acknowledge the alert, and is nobody asked longer than it rings?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from alerts import acts, channels
from alerts.channels.pushover import Pushover
from alerts.models import Alert, Channel, Conversation, Run
from alerts.twoway import ringing
from alerts.twoway.ringing import Listener
from portal import residents
from portal.clock import database_now
from portal.models import AuditEntry, ProviderSettings
from tests import cast
from tests.alerts import climbing, stage
from tests.alerts.letters import LOOPBACK
from tests.alerts.vendors import desk
from tests.alerts.vendors.pushover import RECEIPT, TOKEN, UNANSWERED, USER, VENDOR
from tests.rig import answers
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.django_db
ANSWERED = {**UNANSWERED, "acknowledged": 1, "acknowledged_at": 1795272000, "acknowledged_by": USER, "acknowledged_by_device": "anas-phone"}  # fmt: skip


@pytest.fixture(autouse=True)
def nobody_has_asked():
    """Whoever asked last is remembered for a while in the cache."""
    ringing.cache.clear()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Receiver]:
    settings.OUTBOUND_ALLOW = LOOPBACK.allow
    with desk.at_work(VENDOR, monkeypatch) as server:
        yield server


def saying(server: Receiver, state: dict[str, Any], status: int = 200) -> None:
    """What Pushover answers from now on."""
    server.behave(EVERYWHERE, answers.ok_json(state, status))


def told(**way: Any) -> tuple[Alert, Channel, datetime]:
    """An alert whose emergency rings on Ana's phone, and escalates elsewhere in five minutes."""
    config, secrets = channels.split("pushover", {"user": USER, "token": TOKEN})
    phone = Channel.objects.create(name="Pushover", type="pushover", config=config, secrets=secrets)
    ana = climbing.person("Ana", phone, **way)
    climbing.policy(climbing.level(0, contacts=[ana]), climbing.level(300, stage.webhook("Boss")))
    at = database_now()
    (alert,) = stage.tell(stage.failing(at=at))
    climbing.sweep(at)
    for row in stage.claim(at):
        stage.ends(row, at=at, provider_id=RECEIPT)
    assert Conversation.objects.get().provider_id == RECEIPT
    return alert, phone, at


def test_who_answers_on_the_phone_has_it_and_nobody_further_is_called(server):
    alert, _, _ = told()
    saying(server, ANSWERED)
    assert Listener().step() == ringing.EVERY
    alert.refresh_from_db()
    assert (alert.status, alert.acknowledged_by) == ("acknowledged", "Ana")
    assert Run.objects.get().status == "stopped_by_ack"
    entry = AuditEntry.objects.get(action="alert.acknowledge")
    assert "Pushover" in entry.actor and "anas-phone" in entry.actor
    assert [call.path for call in server.calls] == [f"/1/receipts/{RECEIPT}.json"]


def test_while_nobody_has_answered_it_is_asked_again_and_again(server):
    alert, _, _ = told()
    saying(server, UNANSWERED)
    listener = Listener()
    for _ in range(2):
        listener.step()
        ringing.cache.clear()
    alert.refresh_from_db()
    assert alert.status == "open" and len(server.calls) == 2
    saying(server, ANSWERED)
    listener.step()
    alert.refresh_from_db()
    assert alert.status == "acknowledged"


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({**UNANSWERED, "expired": 1}, 200),
        ({"status": 0, "errors": ["receipt not found"], "receipt": "not found"}, 404),
    ],
)
def test_what_rings_no_more_or_is_not_known_is_not_asked_for_again(server, state, status):
    alert, _, _ = told()
    saying(server, state, status)
    listener = Listener()
    for _ in range(3):
        listener.step()
        ringing.cache.clear()
    alert.refresh_from_db()
    assert alert.status == "open" and len(server.calls) == 1


def test_trouble_at_the_vendor_stops_nothing(server):
    alert, _, _ = told()
    saying(server, {"status": 0, "errors": ["oops"]}, 500)
    listener = Listener()
    listener.step()
    ringing.cache.clear()
    saying(server, ANSWERED)
    listener.step()
    alert.refresh_from_db()
    assert alert.status == "acknowledged"


def test_nobody_is_asked_of_what_somebody_has_is_over_or_is_too_old(server):
    alert, phone, at = told()
    acts.acknowledge(alert, by=cast.TESTS, at=at)
    assert ringing.ringing(at) == []
    Run.objects.update(status="active", ended_at=None, next_action_at=at)
    assert len(ringing.ringing(at)) == 1, "it became worse and rings anew"
    ringing.cache.clear()
    assert ringing.ringing(at + timedelta(hours=4)) == []
    acts.resolve(alert, by=cast.TESTS, at=at)
    assert ringing.ringing(at) == [] and server.calls == []


def test_a_channel_without_an_account_or_of_another_type_is_passed_over():
    _, phone, at = told()
    Channel.objects.filter(pk=phone.pk).update(secrets={})
    ProviderSettings.objects.all().delete()
    assert ringing.ringing(at) == []
    Channel.objects.filter(pk=phone.pk).update(type="webhook", config={"url": "http://x.example/"})
    assert ringing.ringing(at) == []


@pytest.mark.django_db(transaction=True)
def test_nothing_is_asked_within_a_transaction(server, monkeypatch):
    seen: list[bool] = []
    asked = Pushover.ask
    monkeypatch.setattr(
        Pushover, "ask", lambda self, receipt: (seen.append(connection.in_atomic_block), asked(self, receipt))[1]
    )
    told()
    saying(server, ANSWERED)
    Listener().step()
    assert seen == [False] and Alert.objects.get().status == "acknowledged"


@pytest.mark.once
def test_it_lives_where_messages_are_sent():
    assert ("page", Listener) in residents._factories

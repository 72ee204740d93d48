"""Who would be told, and why not? The simulator asks the real rules."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.models import Alert, Channel, ContactChannel, Delivery, Notice, Silence, Trigger
from monitors import services
from portal.clock import database_now
from portal.models import Contact
from tests import cast
from tests.monitors.rows import monitor

pytestmark = pytest.mark.django_db


def channel(name: str = "ops", **more) -> Channel:
    return Channel.objects.create(name=name, type="webhook", config={}, **more)


def trigger(name: str, *channels: Channel, **more) -> Trigger:
    row = Trigger.objects.create(name=name, **more)
    row.channels.set(channels)
    return row


def ask(m, event: str = "", who=None) -> dict:
    answer = cast.api(who or cast.make_staff()).get(
        f"/api/v1/simulate?monitor={m.pk}" + (f"&event={event}" if event else "")
    )
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.fixture(autouse=True)
def no_other_triggers():
    cast.acme(), cast.globex()
    Trigger.objects.all().delete()


def test_triggers_and_contacts_rules_are_followed():
    m, ops, phone = monitor(tags=["prod"]), channel(), channel("Ana's phone")
    trigger("Critical → ops", ops, filter_severities="critical")
    ana = Contact.objects.create(name="Ana")
    ContactChannel.objects.create(contact=ana, channel=phone, delay_minutes=5)
    trigger("People", filter_tags="prod").contacts.set([ana])
    trigger("Elsewhere", channel("elsewhere"), filter_scopes="endpoint:999")
    told = ask(m, "consecutive_failure")["would_tell"]
    assert [(t["at_seconds"], t["channel"], t["contact"], t["via"]) for t in told] == [
        (0, ops.pk, None, "trigger Critical → ops"),
        (300, phone.pk, ana.pk, "trigger People"),
    ]
    assert [t["channel"] for t in ask(m, "degraded")["would_tell"]] == [phone.pk]  # a warning
    assert (Alert.objects.count(), Notice.objects.count(), Delivery.objects.count()) == (0, 0, 0)


def test_what_holds_it_back_is_named():
    m, at = monitor(), database_now()
    trigger("All", channel())
    Silence.objects.create(
        reason="Database work",
        starts_at=at - timedelta(hours=1),
        ends_at=at + timedelta(hours=1),
        matchers={"entity_id": "shop"},
    )
    answer = ask(m)
    assert answer["would_tell"] == [] and answer["held_back"] == [
        {"rule": "silenced", "reason": f"Silence {Silence.objects.get().pk}: Database work"}
    ]


def test_a_parent_that_is_down_explains_it():
    parent, at = monitor(name="router"), database_now()
    child = monitor(name="shop", parent=parent)
    trigger("All", channel())
    assert len(ask(child)["would_tell"]) == 1
    Alert.objects.create(
        source="endpoint", condition="health", event="consecutive_failure", entity_type="monitor", entity_id=str(parent.pk), entity_name="router", severity="critical",
        client=parent.client, monitor_id=parent.pk, title="router is down", created_at=at, updated_at=at,
    )  # fmt: skip
    assert ask(child)["held_back"] == [{"rule": "explained_by_parent", "reason": "router is down too."}]


def test_nobody_and_switched_off_channels_are_said():
    m = monitor()
    assert ask(m)["held_back"][0]["rule"] == "routing"
    trigger("All", channel(enabled=False))
    answer = ask(m)
    assert answer["would_tell"] == [] and "switched off" in str(answer["held_back"])


def test_a_paused_monitor_tells_nobody():
    m = monitor()
    trigger("All", channel())
    services.pause(m, by=cast.TESTS, at=database_now())
    assert ask(m) == {
        "would_tell": [],
        "held_back": [
            {"rule": "paused", "reason": "The monitor is paused: nothing is checked, so nothing is noticed."}
        ],
    }


@pytest.mark.parametrize(
    ("kind", "config", "event", "severity"),
    [
        ("http", {"url": "http://shop.example/"}, "consecutive_failure", "critical"),
        ("http", {"url": "https://shop.example/"}, "expiring", "warning"),
        ("http", {"url": "https://shop.example/"}, "flapping", "warning"),
        ("tls", {"host": "shop.example"}, "expired", "critical"),
        ("domain", {"name": "shop.example"}, "expiring", "warning"),
        ("heartbeat", {"period_seconds": 60}, "deadline_missed", "critical"),
        ("heartbeat", {"period_seconds": 60}, "exit_code_failure", "critical"),
    ],
)
def test_each_event_goes_by_its_severity(kind, config, event, severity):
    m, only = monitor(kind=kind, config=config), channel()
    trigger("One severity", only, filter_severities=severity)
    assert [t["channel"] for t in ask(m, event)["would_tell"]] == [only.pk]


def test_a_clients_person_sees_their_own_channels_and_no_words_of_the_staff():
    m, at = monitor(), database_now()
    own = channel("acme", client=cast.acme())
    trigger("All", channel("staff only"), own)
    answer = ask(m, who=cast.viewer())
    assert [t["channel"] for t in answer["would_tell"]] == [own.pk] and "staff" not in str(answer)
    Silence.objects.create(
        reason="they owe us money", starts_at=at - timedelta(hours=1), ends_at=at + timedelta(hours=1), matchers={}
    )
    assert ask(m, who=cast.alice())["held_back"] == [
        {"rule": "silenced", "reason": "A silence of our staff covers it."}
    ]


def test_mistakes_and_foreign_monitors():
    m = monitor()
    assert cast.api(cast.mallory()).get(f"/api/v1/simulate?monitor={m.pk}").status_code == 404
    caller = cast.api(cast.make_staff())
    assert caller.get("/api/v1/simulate?monitor=987654").status_code == 404
    for query, field in (
        ("monitor=x", "monitor"),
        ("", "monitor"),
        (f"monitor={m.pk}&event=apocalypse", "event"),
        (f"monitor={m.pk}&event=deadline_missed", "event"),
    ):
        answer = caller.get(f"/api/v1/simulate/?{query}")
        assert answer.status_code == 400 and field in answer.json()["error"]["fields"]

"""Contacts over the API with the ways to reach them, in both forms of SPEC 19."""

from __future__ import annotations

import pytest

from alerts.models import Channel, ContactChannel
from portal.models import AuditEntry, Contact
from tests import cast
from tests.alerts import stage

pytestmark = pytest.mark.django_db
NO_QUIET = {"quiet_from": None, "quiet_until": None, "quiet_urgency": "low"}


@pytest.fixture
def staff():
    return cast.api(cast.make_staff())


def test_both_forms_at_once(staff):
    shared = stage.webhook("ops", cast.acme())
    body = {
        "client": cast.acme().pk, "name": "Ana", "email": "ana@acme.example", "phone": "+351 1",
        "channels": [{"channel": shared.pk, "urgency": "high", "delay_minutes": 5}, {"type": "email", "url": "ana@acme.example", "config": {}}],
    }  # fmt: skip
    answer = staff.post("/api/v1/contacts", body)
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    own = Channel.objects.get(contact=made["id"])
    assert own.client == cast.acme() and own.config == {"to": ["ana@acme.example"]} and own.name == "Ana (email)"
    assert made["channels"] == [
        {
            "channel": own.pk,
            "urgency": "all",
            "delay_minutes": 0,
            **NO_QUIET,
            "type": "email",
            "name": "Ana (email)",
            "url": "ana@acme.example",
            "own": True,
        },
        {
            "channel": shared.pk,
            "urgency": "high",
            "delay_minutes": 5,
            **NO_QUIET,
            "type": "webhook",
            "name": "ops",
            "url": "https://hooks.example/ops",
            "own": False,
        },
    ]
    assert staff.get(f"/api/v1/contacts/{made['id']}").json() == made
    assert staff.put(f"/api/v1/contacts/{made['id']}", made).json() == made  # what was read can be sent back
    assert Channel.objects.count() == 2 and AuditEntry.objects.filter(action="contact.channels").count() == 1


def test_a_list_that_is_sent_replaces_the_old_one_and_what_is_not_sent_stays(staff):
    shared = stage.webhook("ops", cast.acme())
    made = staff.post(
        "/api/v1/contacts",
        {"client": cast.acme().pk, "name": "Ana", "channels": [{"type": "email", "url": "ana@acme.example"}]},
    ).json()
    path = f"/api/v1/contacts/{made['id']}"
    assert len(staff.patch(path, {"phone": "1"}).json()["channels"]) == 1
    assert [w["channel"] for w in staff.patch(path, {"channels": [{"channel": shared.pk}]}).json()["channels"]] == [
        shared.pk
    ]
    assert not Channel.objects.filter(contact=made["id"]).exists()
    assert staff.patch(path, {"channels": []}).json()["channels"] == []
    assert Channel.objects.filter(pk=shared.pk).exists()


def test_an_own_channel_with_a_history_is_only_switched_off(staff):
    made = staff.post(
        "/api/v1/contacts",
        {"client": cast.acme().pk, "name": "Ana", "channels": [{"type": "email", "url": "ana@acme.example"}]},
    ).json()
    contact = Contact.objects.get(pk=made["id"])
    stage.trigger(name="To Ana", contacts=[contact])
    stage.tell(stage.failing())
    staff.patch(f"/api/v1/contacts/{made['id']}", {"channels": []})
    assert Channel.objects.get(contact=contact).enabled is False and len(stage.rows()) == 1


def test_an_own_channel_is_changed_in_place_and_a_shared_one_by_itself(staff):
    shared = stage.webhook("ops", cast.acme())
    made = staff.post(
        "/api/v1/contacts",
        {"client": cast.acme().pk, "name": "Ana", "channels": [{"type": "email", "url": "ana@acme.example"}]},
    ).json()
    (way,) = made["channels"]
    path = f"/api/v1/contacts/{made['id']}"
    (changed,) = staff.patch(path, {"channels": [{**way, "url": "ana@home.example"}]}).json()["channels"]
    assert changed["channel"] == way["channel"] and changed["url"] == "ana@home.example"
    answer = staff.patch(path, {"channels": [{"channel": shared.pk, "url": "https://elsewhere.example/"}]})
    assert answer.status_code == 400 and "channels.0.channel" in answer.json()["error"]["fields"]


@pytest.mark.parametrize(
    ("way", "field"),
    [
        ({}, "channels.0.channel"),
        ({"type": "fax", "url": "1"}, "channels.0.type"),
        ({"type": "webhook", "url": "http://10.0.0.1/"}, "channels.0.url"),
        ({"type": "webhook", "config": {"url": "http://10.0.0.1/"}}, "channels.0.config.url"),
        ({"type": "email", "url": "nobody"}, "channels.0.url"),
        ({"channel": 987654}, "channels.0.channel"),
        ({"type": "email", "url": "a@b.example", "urgency": "some"}, "channels.0.urgency"),
        ({"type": "email", "url": "a@b.example", "delay_minutes": 99999}, "channels.0.delay_minutes"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_kept(staff, way, field):
    answer = staff.post("/api/v1/contacts", {"client": cast.acme().pk, "name": "Ana", "channels": [way]})
    assert answer.status_code == 400, answer.json()
    assert any(key == field or key.startswith(f"{field}.") for key in answer.json()["error"]["fields"]), answer.json()
    assert Contact.objects.count() == Channel.objects.count() == ContactChannel.objects.count() == 0


def test_a_channel_is_named_once_and_belongs_to_the_contacts_client(staff):
    shared, theirs, ours = (
        stage.webhook("ops", cast.acme()),
        stage.webhook("theirs", cast.globex()),
        stage.webhook("noc"),
    )
    twice = staff.post(
        "/api/v1/contacts",
        {"client": cast.acme().pk, "name": "Ana", "channels": [{"channel": shared.pk}, {"channel": shared.pk}]},
    )
    assert "channels.1.channel" in twice.json()["error"]["fields"]
    for channel in (theirs, ours):
        answer = staff.post(
            "/api/v1/contacts", {"client": cast.acme().pk, "name": "Ana", "channels": [{"channel": channel.pk}]}
        )
        assert "channels.0.channel" in answer.json()["error"]["fields"]
    another = cast.contact(name="Bo")
    personal = stage.mail("Bo's", cast.acme(), contact=another)
    answer = staff.post(
        "/api/v1/contacts", {"client": cast.acme().pk, "name": "Ana", "channels": [{"channel": personal.pk}]}
    )
    assert "channels.0.channel" in answer.json()["error"]["fields"]


def test_a_clients_admin_reaches_their_own_people_by_their_own_channels():
    alice, own = cast.api(cast.alice()), stage.webhook("own", cast.acme())
    made = alice.post(
        "/api/v1/contacts",
        {"name": "Ana", "channels": [{"channel": own.pk}, {"type": "email", "url": "a@acme.example"}]},
    )
    assert made.status_code == 201 and all(c.client == cast.acme() for c in Channel.objects.all())
    unseen = alice.post("/api/v1/contacts", {"name": "Bo", "channels": [{"channel": stage.webhook("noc").pk}]})
    assert "channels.0.channel" in unseen.json()["error"]["fields"]
    assert cast.api(cast.mallory()).get(f"/api/v1/contacts/{made.json()['id']}").status_code == 404
    assert cast.api(cast.viewer()).patch(f"/api/v1/contacts/{made.json()['id']}", {"channels": []}).status_code == 403


def test_a_list_costs_the_same_with_three_and_with_thirty(staff, django_assert_max_num_queries):
    channel = stage.webhook("ops", cast.acme())
    staff.get("/api/v1/contacts")
    for n in range(30):
        ContactChannel.objects.create(contact=cast.contact(name=f"c{n}"), channel=channel)
    with django_assert_max_num_queries(6):
        assert len(staff.get("/api/v1/contacts").json()["results"]) == 30


def test_quiet_hours_come_in_pairs_and_back_as_they_were_sent(staff):
    way = {
        "type": "email",
        "url": "ana@acme.example",
        "quiet_from": "22:00",
        "quiet_until": "07:00",
        "quiet_urgency": "all",
    }
    body = {"client": cast.acme().pk, "name": "Ana", "timezone": "Europe/Lisbon", "channels": [way]}
    for change, field in (
        ({"quiet_until": None}, "quiet_until"),
        ({"quiet_from": None}, "quiet_from"),
        ({"quiet_until": "22:00"}, "quiet_until"),
        ({"quiet_from": "late"}, "quiet_from"),
        ({"quiet_urgency": "some"}, "quiet_urgency"),
    ):
        answer = staff.post("/api/v1/contacts", {**body, "channels": [{**way, **change}]})
        assert answer.status_code == 400 and field in str(answer.json()), change
    made = staff.post("/api/v1/contacts", body).json()
    assert {key: made["channels"][0][key] for key in NO_QUIET} == {key: way[key] for key in NO_QUIET}
    path = f"/api/v1/contacts/{made['id']}"
    assert staff.put(path, made).json() == made
    row = ContactChannel.objects.get()
    assert (row.quiet_from.hour, row.quiet_until.hour, row.quiet_urgency) == (22, 7, "all")
    assert AuditEntry.objects.filter(action="contact.channels").count() == 1, "the same again is no change"
    staff.patch(path, {"channels": [{"channel": row.channel_id}]})
    entry = AuditEntry.objects.filter(action="contact.channels").latest("pk")
    assert "22:00" in str(entry.before) and "22:00" not in str(entry.after)

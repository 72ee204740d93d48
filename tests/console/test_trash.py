"""The trash as people use it: delete, see what waits there, undo, or delete for good. And whom a deletion keeps from being told."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest

from alerts import outbox, policies, services
from alerts.facts import rules as routing
from alerts.models import Channel, ContactChannel, Delivery, LayerMember, Notice, OnCallSchedule, Trigger
from incidents.models import ReportRecipient
from monitors.models import Monitor
from portal import services as ground
from portal import trash
from portal.clock import database_now
from portal.models import AuditEntry, Contact, ContactGroup, TrashEntry
from tests import cast
from tests.console import scene
from tests.console.visiting import browser, text
from tests.portal.at_the_desk import desk

pytestmark = pytest.mark.django_db


def read(answer) -> str:
    return html.unescape(text(answer))


def entry_of(row) -> TrashEntry:
    return TrashEntry.objects.get(kind=row._meta.label_lower, object_id=row.pk)


def back(row) -> list[str]:
    return trash.put_back(entry_of(row), by=cast.TESTS, at=database_now())


# --- As pages --------------------------------------------------------------------------------------------------------------
def test_after_deleting_a_monitor_the_message_offers_undo():
    m = scene.monitor(name="<b>shop</b>")
    caller = browser(cast.alice())
    assert "waits in the trash for 30 days" in read(caller.get(f"/monitors/{m.pk}/delete/"))
    page = caller.post(f"/monitors/{m.pk}/delete/", follow=True)
    assert "was deleted" in read(page) and "<b>shop</b>" not in page.content.decode()
    (undo,) = re.findall(r'href="(/trash/\d+/put-back/)">Undo', page.content.decode())
    assert "checked at once" in read(caller.get(undo))
    again = caller.post(undo, follow=True)
    assert again.redirect_chain[-1][0] == f"/monitors/{m.pk}/" and "is back" in read(again)
    assert Monitor.objects.get(pk=m.pk).enabled and caller.get(undo).status_code == 404


def test_several_deleted_together_point_to_the_trash():
    rows = [scene.monitor(name=name) for name in ("a", "b")]
    caller = browser(cast.alice())
    data = {"action": "delete", "ids": [m.pk for m in rows], "confirmed": "1"}
    page = caller.post("/monitors/act/", data, follow=True)
    assert "2 monitors were deleted" in read(page) and 'href="/trash/">Undo' in page.content.decode()


def test_the_trash_says_what_whose_who_and_until_when():
    caller = browser(cast.alice())
    assert "The trash is empty" in read(caller.get("/trash/"))
    m = scene.monitor()
    caller.post(f"/monitors/{m.pk}/delete/")
    page = read(caller.get("/trash/"))
    gone = entry_of(m).deleted_at + timedelta(days=30)
    for words in ("shop Monitor · Acme", cast.alice().email, f"{gone:%-d %b %Y}", "Put back", "Delete for good"):
        assert words in page, words


def test_deleting_for_good_names_what_is_lost():
    m = scene.monitor()
    caller = browser(cast.alice())
    caller.post(f"/monitors/{m.pk}/delete/")
    path = f"/trash/{entry_of(m).pk}/purge/"
    assert "results, uptime, certificates and pings are deleted" in read(caller.get(path))
    assert Monitor._base_manager.filter(pk=m.pk).exists(), "looking deletes nothing"
    assert "deleted for good" in read(caller.post(path, follow=True))
    assert not Monitor._base_manager.filter(pk=m.pk).exists()
    assert AuditEntry.objects.get(action="monitor.purged").actor == cast.alice().email


def test_each_sees_their_own_trash_only():
    m = scene.monitor()
    ours = Channel.objects.create(name="Ours", type="webhook", config={"url": "https://example.com/"})
    browser(cast.make_staff()).post(f"/monitors/{m.pk}/delete/")
    services.delete_channel(ours, by=cast.TESTS)
    assert {r["entry"].name for r in browser(cast.make_staff()).get("/trash/").context["rows"]} == {"shop", "Ours"}
    assert {r["entry"].name for r in browser(cast.alice()).get("/trash/").context["rows"]} == {"shop"}
    assert not browser(cast.mallory()).get("/trash/").context["rows"]
    for verb in ("put-back", "purge"):
        path = f"/trash/{entry_of(m).pk}/{verb}/"
        assert browser(cast.mallory()).post(path).status_code == 404
        assert browser(cast.make_auditor()).post(path).status_code == 403
    for reader in (cast.person("vera@acme.example", "viewer", cast.acme()), cast.make_auditor()):
        assert browser(reader).get("/trash/").status_code == 403
    assert TrashEntry.objects.filter(pk=entry_of(m).pk).exists()


def test_where_the_name_is_taken_another_is_asked_for():
    site = cast.site()
    ground.delete(site, by=cast.TESTS)
    ground.create(type(site), by=cast.TESTS, client=cast.acme(), name=site.name)
    caller, path = browser(cast.alice()), f"/trash/{entry_of(site).pk}/put-back/"
    assert "called as it was by now" in read(caller.get(path))
    refused = caller.post(path, {"name": site.name})
    assert refused.status_code == 400 and "Another site has this name" in read(refused)
    caller.post(path, {"name": "Old hall"})
    assert type(site).objects.get(pk=site.pk).name == "Old hall"


def test_what_the_desk_deletes_goes_to_the_trash_as_well():
    rows = [
        scene.monitor(),
        cast.site(),
        cast.contact(),
        *scene.channel(cast.acme()).triggers.all(),
        Channel.objects.get(),
    ]
    caller = desk(cast.make_owner())
    for row in rows:
        data = {"action": "delete_selected", "_selected_action": [row.pk]}
        asked = caller.post(f"/admin/{row._meta.label_lower.replace('.', '/')}/", data)
        assert "into the trash" in read(asked), row
        caller.post(f"/admin/{row._meta.label_lower.replace('.', '/')}/", {**data, "post": "yes"})
        assert entry_of(row).deleted_by == cast.make_owner().email


# What stays with a deleted row: its history, its own lists, and what its kind ends by itself (a monitor's views).
STAYS = {
    "monitors.monitor": {
        "monitors.Diagnosis", "monitors.Baseline", "monitors.RouteChange", "monitors.ProbeState", "monitors.FailureBody", "monitors.StateChange", "monitors.Rollup",
        "monitors.Ping", "monitors.Certificate", "monitors.HostSample", "monitors.Host", "monitors.Container", "playbooks.Run",
    },
    "portal.site": {"alerts.Alert"},
    "alerts.channel": {"alerts.Delivery", "alerts.Usage"},
    "portal.contact": {"alerts.Delivery", "alerts.OnCallSchedule", "incidents.Incident", "incidents.ReportMail"},
    "alerts.trigger": set(),
}  # fmt: skip


@pytest.mark.parametrize("label", STAYS)
def test_of_everything_that_points_at_it_somebody_has_decided_what_becomes_of_it(label):
    kind = trash.kind_of(label)
    let_go = {*trash.rows_with(kind), *kind.loosens, *kind.along}
    undecided = [
        f"{r.related_model._meta.label}.{r.field.name}"
        for r in kind.model._meta.get_fields(include_hidden=True)
        if (r.one_to_many or r.one_to_one) and r.auto_created and not r.related_model._meta.auto_created
        and r.related_model._meta.label not in STAYS[label]
        and f"{r.related_model._meta.label}.{r.field.name}" not in let_go
    ]  # fmt: skip
    assert not undecided, f"name these in the Kind, by trash.takes, or in STAYS if they are only history: {undecided}"


# --- Who is told no more ---------------------------------------------------------------------------------------------------
def waiting(channel: Channel, contact: Contact | None = None) -> Delivery:
    """A message that waits to be sent."""
    at = database_now()
    notice = Notice.objects.create(client=cast.acme(), kind="test", event="test", type="test", severity="info", created_at=at, snapshot={})  # fmt: skip
    return Delivery.objects.create(
        notice=notice, kind="test", destination_key=channel.destination_key, channel=channel, contact=contact,
        client=cast.acme(), next_attempt_at=at + timedelta(hours=1), created_at=at,
    )  # fmt: skip


def test_a_deleted_channel_is_told_nothing_and_comes_back_with_who_named_it():
    row = scene.channel(cast.acme())
    trigger, person = row.triggers.get(), cast.contact()
    services.add_way(person, by=cast.TESTS, channel=row, delay_minutes=5)
    message = waiting(row)
    page = browser(cast.alice()).post(f"/channels/{row.pk}/delete/", follow=True)
    assert "Undo" in read(page) and row.name not in {c.name for c in Channel.objects.all()}
    message.refresh_from_db()
    assert (message.state, message.reason) == ("expired", "The channel was deleted.")
    assert not trigger.channels.exists() and not ContactChannel.objects.exists()
    assert row.pk not in {c for rule in routing([cast.acme().pk]) for c in rule.channels}
    assert cast.api(cast.make_staff()).get(f"/api/v1/channels/{row.pk}").status_code == 404

    assert back(row) == []
    assert list(trigger.channels.all()) == [row] and person.ways.get().delay_minutes == 5
    assert Channel.objects.get(pk=row.pk).enabled
    message.refresh_from_db()
    assert message.state == "expired", "what was dropped stays dropped: nobody wants old news"


def test_a_channel_that_was_off_comes_back_off():
    row = scene.channel(cast.acme())
    Channel.objects.filter(pk=row.pk).update(enabled=False)
    services.delete_channel(Channel.objects.get(pk=row.pk), by=cast.TESTS)
    back(row)
    assert not Channel.objects.get(pk=row.pk).enabled


def test_nobody_is_told_twice_by_a_channel_that_was_made_anew():
    ground.change_client(cast.acme(), by=cast.TESTS, email="all@acme.example")
    row = Channel.objects.get(made_for="client_email")
    services.delete_channel(row, by=cast.TESTS)
    ground.change_client(cast.acme(), by=cast.TESTS, timezone="Europe/Lisbon")
    assert Channel.objects.filter(made_for="client_email", enabled=True).count() == 1
    (remark,) = back(row)
    assert "stays switched off" in remark
    assert Channel.objects.filter(made_for="client_email", enabled=True).count() == 1


def test_a_deleted_contact_is_told_nothing_and_comes_back_to_every_place():
    person = Contact.objects.create(client=cast.acme(), name="Ana", email="ana@acme.example")
    services.add_way(person, by=cast.TESTS, type="email", settings={"to": [person.email]})
    own = person.own_channels.get()
    shared = scene.channel(cast.acme(), "Shared")
    services.add_way(person, by=cast.TESTS, channel=shared, delay_minutes=10)
    group = ContactGroup.objects.create(client=cast.acme(), name="On call")
    group.contacts.add(person)
    trigger = Trigger.objects.create(client=cast.acme(), name="To Ana")
    trigger.contacts.add(person)
    plan = OnCallSchedule.objects.create(client=cast.acme(), name="Nights")
    layer = plan.layers.create(order=1, rotation="daily", starts_at=database_now() - timedelta(days=1))
    LayerMember.objects.create(layer=layer, contact=person, position=0)
    message = waiting(shared, person)

    browser(cast.alice()).post(f"/contacts/{person.pk}/delete/")
    assert not Contact.objects.filter(pk=person.pk).exists() and not Channel.objects.filter(pk=own.pk).exists()
    assert not ContactChannel.objects.exists() and not LayerMember.objects.exists() and not group.contacts.exists()
    assert not [way for rule in routing([cast.acme().pk]) for way in rule.ways]
    message.refresh_from_db()
    assert message.state == "expired"

    assert back(person) == []
    assert {w.channel.name for w in person.ways.all()} == {own.name, "Shared"} and list(group.contacts.all()) == [
        person
    ]
    assert list(trigger.contacts.all()) == [person] and LayerMember.objects.get().position == 0
    assert {way.contact for rule in routing([cast.acme().pk]) for way in rule.ways} == {person.pk}


def test_a_deleted_contact_is_not_mailed_the_months_report():
    person = cast.contact()
    ReportRecipient.objects.create(client=cast.acme(), contact=person)
    ground.delete(person, by=cast.TESTS)
    assert not ReportRecipient.objects.exists()
    back(person)
    assert ReportRecipient.objects.get().contact == person


def test_a_turn_that_somebody_else_has_by_now_is_not_given_back_in_silence():
    person, other = cast.contact(), Contact.objects.create(client=cast.acme(), name="Ben")
    layer = OnCallSchedule.objects.create(client=cast.acme(), name="Nights").layers.create(order=1, rotation="daily", starts_at=database_now())  # fmt: skip
    LayerMember.objects.create(layer=layer, contact=person, position=0)
    ground.delete(person, by=cast.TESTS)
    LayerMember.objects.create(layer=layer, contact=other, position=0)
    (remark,) = back(person)
    assert "could not be put back" in remark and LayerMember.objects.get().contact == other


def test_a_persons_own_channel_needs_the_person():
    person = Contact.objects.create(client=cast.acme(), name="Ana", email="ana@acme.example")
    services.add_way(person, by=cast.TESTS, type="email", settings={"to": [person.email]})
    own = person.own_channels.get()
    services.delete_channel(own, by=cast.TESTS)
    ground.delete(person, by=cast.TESTS)
    page = browser(cast.alice()).post(f"/trash/{entry_of(own).pk}/put-back/", follow=True)
    assert "belongs to Ana, which is in the trash" in read(page)
    trash.purge(entry_of(person), by=cast.TESTS, at=database_now())
    assert not TrashEntry.objects.exists(), "it went with the person"


def test_a_deleted_trigger_tells_nobody_until_it_is_back():
    row = scene.channel(cast.acme())
    trigger = row.triggers.get()
    browser(cast.alice()).post(f"/triggers/{trigger.pk}/delete/")
    assert trigger.pk not in {rule.id for rule in routing([cast.acme().pk])}
    assert Trigger.objects.filter(name=trigger.name).count() == 0
    Trigger.objects.create(client=cast.acme(), name=trigger.name.upper())
    assert trash.taken_name(entry_of(trigger)) == "name"
    trash.put_back(entry_of(trigger), by=cast.TESTS, at=database_now(), name="Again")
    assert {rule.id: rule.channels for rule in routing([cast.acme().pk])}[trigger.pk] == (row.pk,)


def test_an_escalation_level_goes_on_without_a_deleted_channel():
    row, other = scene.channel(cast.acme()), scene.channel(cast.acme(), "Other")
    policy = policies.save_policy(None, by=cast.TESTS, client=cast.acme(), name="Ladder", levels=[{"delay_seconds": 0, "channels": [row, other]}])  # fmt: skip
    services.delete_channel(row, by=cast.TESTS)
    assert [c.name for c in policy.levels.get().channels.all()] == ["Other"]
    back(row)
    assert {c.name for c in policy.levels.get().channels.all()} == {"Ops", "Other"}


def test_a_message_of_a_deleted_channel_is_not_tried_again():
    row = scene.channel(cast.acme())
    message = waiting(row)
    services.delete_channel(row, by=cast.TESTS)
    Delivery.objects.filter(pk=message.pk).update(state="failed")
    caller = browser(cast.alice())
    page = caller.get("/deliveries/")
    assert not page.context["rows"][0]["may_retry"]
    said = caller.post(f"/deliveries/{message.pk}/retry/", follow=True)
    assert "put it back first" in read(said)
    message.refresh_from_db()
    assert message.state == "failed"


def test_whatever_still_asks_for_a_deleted_channel_sends_nothing():
    row = scene.channel(cast.acme())
    services.delete_channel(row, by=cast.TESTS)
    late = waiting(row)
    at = database_now() + timedelta(hours=2)
    assert outbox.claim("w", 10, at) == []
    late.refresh_from_db()
    assert (late.state, late.reason) == ("expired", "The channel was deleted.")

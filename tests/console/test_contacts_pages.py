"""People and their ways as a person without scripts works with them: who, how, when, and what would reach them now."""

from __future__ import annotations

import html
from datetime import UTC, datetime, time, timedelta

import pytest

from alerts import policies, schedules, services
from alerts.models import Channel, ContactChannel, Delivery, Trigger
from console.pages import contacts
from portal.models import AuditEntry, Contact, ContactGroup
from tests import cast
from tests.alerts import stage
from tests.console.test_pages import queries
from tests.console.visiting import browser, form_of, text
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.django_db
NIGHT = datetime(2026, 3, 3, 2, 0, tzinfo=UTC)


def ana(**values) -> Contact:
    """Acme's Ana, in Lisbon (UTC+0 in March)."""
    known = {"client": cast.acme(), "name": "Ana", "email": "ana@acme.example", "timezone": "Europe/Lisbon"}
    return Contact.objects.create(**{**known, **values})


def read(answer) -> str:
    return html.unescape(text(answer))


# --- Making a person ---------------------------------------------------------------------------------------------------
def test_a_new_contact_has_their_mail_as_the_first_way():
    caller = browser(cast.alice())
    data = {"client": cast.acme().pk, "name": "Ana", "email": "ana@acme.example", "timezone": "Europe/Lisbon", "mail_them": "on"}  # fmt: skip
    assert caller.post("/contacts/add/", {**data, "timezone": "Nowhere"}).status_code == 400
    page = read(caller.post("/contacts/add/", data, follow=True))
    assert "Ana (email)" in page and "at once" in page
    person = Contact.objects.get()
    assert person.ways.get().channel.config == {"to": ["ana@acme.example"]} and person.own_channels.count() == 1
    caller.post("/contacts/add/", {**data, "name": "Ben", "mail_them": ""})
    assert not Contact.objects.get(name="Ben").ways.exists()


def test_a_client_admin_makes_their_clients_people_only():
    data = {"client": cast.globex().pk, "name": "Eve", "timezone": "UTC"}
    caller = browser(cast.alice())
    assert caller.post("/contacts/add/", data).status_code == 400
    assert caller.post("/contacts/add/", {**data, "client": ""}).status_code == 400
    assert not Contact.objects.exists()


def test_a_contact_is_changed_put_into_groups_and_deleted():
    person, group = ana(), ContactGroup.objects.create(client=cast.acme(), name="On call")
    ContactGroup.objects.create(client=cast.globex(), name="Theirs")
    caller = browser(cast.alice())
    page = caller.get(f"/contacts/{person.pk}/edit/")
    assert "Theirs" not in read(page)
    caller.post(f"/contacts/{person.pk}/edit/", {**form_of(page), "phone": "+351912345678", "groups": [group.pk]})
    person.refresh_from_db()
    assert person.phone == "+351912345678" and list(person.groups.all()) == [group]
    caller.post(f"/contacts/{person.pk}/edit/", {**form_of(page), "name": "Ana Lima"})
    assert not person.groups.exists()
    assert AuditEntry.objects.filter(action="contactgroup.changed").count() == 2
    assert "Deleted" not in read(caller.get(f"/contacts/{person.pk}/delete/"))
    assert "was deleted" in read(caller.post(f"/contacts/{person.pk}/delete/", follow=True))


# --- Their ways ----------------------------------------------------------------------------------------------------------
def test_a_way_of_their_own_is_made_right_there(receiver: Receiver):
    person = ana(phone="+351912345678")
    caller, path = browser(cast.alice()), f"/contacts/{person.pk}"
    kinds = read(caller.get(f"{path}/ways/add/"))
    assert "Telegram" in kinds and "Apprise" not in kinds
    form = caller.get(f"{path}/ways/add/?type=twilio_sms")
    assert form.context["form"]["config_to"].value() == "+351912345678", "what is known of them is there already"
    data = {
        "type": "webhook",
        "config_url": "nonsense",
        "urgency": "high",
        "delay_minutes": "5",
        "quiet_urgency": "all",
    }
    assert "config_url" in caller.post(f"{path}/ways/add/", data).context["form"].errors
    data |= {"config_url": receiver.url(), "quiet_from": "22:00"}
    assert "quiet_until" in caller.post(f"{path}/ways/add/", data).context["form"].errors
    page = read(caller.post(f"{path}/ways/add/", {**data, "quiet_until": "07:00"}, follow=True))
    assert "after 5 min, critical only, nothing 22:00–07:00" in page
    way = ContactChannel.objects.get()
    assert way.channel.contact == person and way.channel.client == cast.acme()
    assert "was delivered" in read(caller.post(f"/channels/{way.channel_id}/test/", {"next": f"{path}/"}, follow=True))


def test_a_shared_channel_becomes_a_way_and_stays_when_the_way_goes():
    person, shared = ana(), stage.webhook("ops", cast.acme())
    foreign = stage.webhook("theirs", cast.globex())
    caller, path = browser(cast.alice()), f"/contacts/{person.pk}"
    assert "?channel=" in caller.get(f"{path}/ways/add/").content.decode()
    data = {"urgency": "all", "delay_minutes": "0", "quiet_urgency": "low"}
    assert caller.post(f"{path}/ways/add/", {**data, "channel": foreign.pk}).status_code == 404
    caller.post(f"{path}/ways/add/", {**data, "channel": shared.pk})
    way = person.ways.get(channel=shared)
    assert caller.post(f"{path}/ways/add/", {**data, "channel": shared.pk}).status_code == 404, "once is enough"
    page = caller.get(f"{path}/ways/{way.pk}/")
    assert caller.post(f"{path}/ways/{way.pk}/", {**form_of(page), "delay_minutes": "1441"}).status_code == 400
    caller.post(f"{path}/ways/{way.pk}/", {**form_of(page), "delay_minutes": "10", "quiet_from": "23:00", "quiet_until": "06:30"})  # fmt: skip
    way.refresh_from_db()
    assert (way.delay_minutes, way.quiet_from, way.quiet_until) == (10, time(23), time(6, 30))
    caller.post(f"{path}/ways/{way.pk}/remove/")
    assert not person.ways.exists() and Channel.objects.filter(pk=shared.pk).exists()


def test_only_shared_channels_of_the_same_client_are_offered():
    person, colleague = ana(), ana(name="Ben")
    shared = stage.webhook("shared", cast.acme())
    services.add_way(colleague, by=cast.TESTS, type="email", settings={"to": ["ben@acme.example"]})
    stage.webhook("our own staff"), stage.webhook("theirs", cast.globex())
    page = browser(cast.make_staff()).get(f"/contacts/{person.pk}/ways/add/")
    assert [channel for channel, _ in page.context["shared"]] == [shared]


def test_another_clients_ways_do_not_exist():
    person, other = ana(), Contact.objects.create(client=cast.globex(), name="Gus")
    services.add_way(person, by=cast.TESTS, type="email", settings={"to": ["ana@acme.example"]})
    way = person.ways.get()
    caller = browser(cast.mallory())
    for path in ("", "edit/", "delete/", "ways/add/", f"ways/{way.pk}/", f"ways/{way.pk}/remove/"):
        assert caller.get(f"/contacts/{person.pk}/{path}").status_code == 404, path
        assert caller.post(f"/contacts/{person.pk}/{path}").status_code == 404, path
    assert caller.get(f"/contacts/{other.pk}/ways/{way.pk}/").status_code == 404, "nor under one's own contact"
    assert person.ways.count() == 1


def test_whoever_may_only_read_is_offered_nothing_and_stopped():
    person = ana()
    services.add_way(person, by=cast.TESTS, type="email", settings={"to": ["ana@acme.example"]})
    group = ContactGroup.objects.create(client=cast.acme(), name="On call")
    for who in (cast.viewer, cast.make_auditor):
        caller = browser(who())
        page = caller.get(f"/contacts/{person.pk}/")
        assert page.status_code == 200 and page.content.decode().count('method="post"') == 1  # signing out
        assert "Add a contact" not in read(caller.get("/contacts/"))
        assert "Add a group" not in read(caller.get("/contact-groups/"))
        for path in ("contacts/add", f"contacts/{person.pk}/edit", f"contacts/{person.pk}/ways/add", "contact-groups/add", f"contact-groups/{group.pk}"):  # fmt: skip
            assert caller.get(f"/{path}/").status_code == 403, path


# --- What would reach them, what names them --------------------------------------------------------------------------------
def test_what_would_reach_ana_now_follows_her_delays_urgencies_and_quiet_hours():
    person = ana()
    services.add_way(person, by=cast.TESTS, type="email", settings={"to": ["ana@acme.example"]}, quiet_from=time(22), quiet_until=time(7))  # fmt: skip
    services.add_way(person, by=cast.TESTS, channel=stage.webhook("SMS", cast.acme()), urgency="high", delay_minutes=5)
    services.add_way(person, by=cast.TESTS, channel=stage.webhook("off", cast.acme(), enabled=False))
    ways = list(ContactChannel.objects.select_related("channel", "contact").order_by("delay_minutes", "id"))

    def said(severity: str, at: datetime) -> list[tuple[str, float, bool]]:
        found = contacts.reaching(ways, severity, at)
        return [(r["channel"].name, (r["at"] - at) / timedelta(minutes=1), r["quiet"]) for r in found]

    assert said("critical", NIGHT) == [("Ana (email)", 0, False), ("SMS", 5, False)]
    assert said("warning", NIGHT) == [("Ana (email)", 300, True)], "at two in the night it waits until seven"
    assert said("warning", NIGHT + timedelta(hours=8)) == [("Ana (email)", 0, False)]
    page = read(browser(cast.alice()).get(f"/contacts/{person.pk}/"))
    assert "A critical alert would reach Ana now by Ana (email)" in page and "Not used: it is switched off" in page


def test_a_person_nobody_names_is_silent_and_one_without_a_way_is_reached_by_nothing():
    person = ana()
    caller = browser(cast.alice())
    page = read(caller.get(f"/contacts/{person.pk}/"))
    assert "would reach Ana now by nothing" in page and "Nothing that is switched on names Ana" in page
    assert "No way yet" in read(caller.get("/contacts/")) and "Nobody: silent" in read(caller.get("/contacts/"))
    trigger = Trigger.objects.create(client=cast.acme(), name="All of Acme")
    trigger.contacts.add(person)
    assert "Nothing that is switched on" not in read(caller.get(f"/contacts/{person.pk}/"))
    Trigger.objects.update(enabled=False)
    assert "All of Acme (off)" in read(caller.get("/contacts/")) and "All off: silent" in read(caller.get("/contacts/"))


def test_everything_that_names_a_person_is_listed_by_whatever_way_it_does():
    person = ana()
    group = ContactGroup.objects.create(client=cast.acme(), name="On call")
    group.contacts.add(person)
    Trigger.objects.create(client=cast.acme(), name="By group").groups.add(group)
    rota = schedules.save_schedule(
        None, by=cast.TESTS, client=cast.acme(), name="Rota", layers=[{"contacts": [person]}]
    )
    policies.save_policy(
        None, by=cast.TESTS, name="Climb", client=cast.acme(), levels=[{"delay_seconds": 0, "schedules": [rota]}, {"delay_seconds": 60, "contacts": [person], "groups": [group]}],
    )  # fmt: skip
    ours = Trigger.objects.create(name="Our own secret")
    ours.contacts.add(person)
    page = read(browser(cast.alice()).get(f"/contacts/{person.pk}/")).partition("Named by")[2]
    for words in (
        "By group",
        "Climb , level 1",
        "Climb , level 2",
        "Rota (on call)",
        "1 rule of your provider",
        "On call",
    ):
        assert words in page, words
    assert page.count("level 2") == 1, "named twice in one level, said once"
    assert "Our own secret" not in page
    assert "Our own secret" in read(browser(cast.make_staff()).get(f"/contacts/{person.pk}/"))


# --- Groups ----------------------------------------------------------------------------------------------------------------
def test_a_group_is_made_changed_and_deleted():
    person, other = ana(), Contact.objects.create(client=cast.globex(), name="Gus")
    caller = browser(cast.make_staff())
    data = {"client": cast.acme().pk, "name": "On call", "contacts": [person.pk, other.pk]}
    answer = caller.post("/contact-groups/add/", data)
    assert answer.status_code == 400 and "that client only" in str(answer.context["form"].errors["contacts"])
    caller.post("/contact-groups/add/", {**data, "contacts": [person.pk]})
    group = ContactGroup.objects.get()
    assert list(group.contacts.all()) == [person] and "Ana" in read(caller.get("/contact-groups/"))
    assert caller.post("/contact-groups/add/", {**data, "contacts": []}).status_code == 400, "the name is taken"
    page = caller.get(f"/contact-groups/{group.pk}/")
    assert "Gus" not in read(page), "of that client's people only"
    caller.post(f"/contact-groups/{group.pk}/", {**form_of(page), "name": "Night shift"})
    assert ContactGroup.objects.get().name == "Night shift"
    assert browser(cast.mallory()).post(f"/contact-groups/{group.pk}/delete/").status_code == 404
    caller.post(f"/contact-groups/{group.pk}/delete/")
    assert not ContactGroup.objects.exists() and Contact.objects.filter(pk=person.pk).exists()


# --- The whole way, and costs ------------------------------------------------------------------------------------------------
def test_quiet_hours_that_were_typed_hold_back_a_message_that_is_not_critical():
    person = ana()
    caller = browser(cast.alice())
    data = {"type": "webhook", "config_url": "https://hooks.acme.example/x", "urgency": "all", "delay_minutes": "0", "quiet_from": "22:00", "quiet_until": "07:00", "quiet_urgency": "low"}  # fmt: skip
    caller.post(f"/contacts/{person.pk}/ways/add/", data)
    Trigger.objects.create(client=cast.acme(), name="All").contacts.add(person)
    stage.tell(stage.failing(1, NIGHT, severity="warning"), stage.failing(2, NIGHT, severity="critical"))
    due = {d.alert.severity: d.next_attempt_at for d in Delivery.objects.select_related("alert")}
    assert due == {"warning": NIGHT + timedelta(hours=5), "critical": NIGHT}


def test_many_people_stand_on_pages_that_keep_what_was_looked_for():
    Contact.objects.bulk_create(Contact(client=cast.acme(), name=f"Ana {n:02}", timezone="UTC") for n in range(60))
    ana(name="Somebody else")
    caller = browser(cast.make_staff())
    first, second = (caller.get(f"/contacts/?q=ana&page={n}") for n in (1, 2))
    assert first.content.count(b"data-row") == 50 and second.content.count(b"data-row") == 10
    assert b"?q=ana&amp;page=2" in first.content and "Somebody else" not in read(first) + read(second)


def test_the_lists_cost_the_same_with_three_people_and_with_thirty():
    def more(count: int) -> None:
        for n in range(count):
            of = cast.client(f"Client {n} of {count}")
            person = Contact.objects.create(client=of, name=f"Person {n}")
            services.add_way(person, by=cast.TESTS, channel=stage.webhook(f"hook {n}", of))
            group = ContactGroup.objects.create(client=of, name="On call")
            group.contacts.add(person)
            Trigger.objects.create(client=of, name=f"To {n} of {count}").groups.add(group)
            rota = schedules.save_schedule(None, by=cast.TESTS, client=of, name=f"Rota {n} of {count}", layers=[{"contacts": [person]}])  # fmt: skip
            policies.save_policy(None, by=cast.TESTS, name=f"Policy {n} of {count}", client=of, levels=[{"delay_seconds": 0, "contacts": [person], "groups": [group], "schedules": [rota]}])  # fmt: skip

    caller = browser(cast.make_staff())
    more(12)
    paths = ("/contacts/", "/contact-groups/", f"/contacts/{Contact.objects.first().pk}/")
    few = {path: queries(caller, path) for path in paths}
    more(27)
    assert all(queries(caller, path) <= few[path] for path in paths)
    assert max(few.values()) <= 30, few

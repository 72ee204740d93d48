"""On-call schedules over the API: the printed example, who has it now, take-overs, the calendar's feed, turns that are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from icalendar import Calendar

from alerts import feed, oncall, schedules, turns
from alerts.channels.email import compose
from alerts.message import message_from
from alerts.models import ContactChannel, Decision, Delivery, LayerMember, Notice, OnCallSchedule
from portal.clock import database_now
from portal.models import AuditEntry, Contact
from tests import cast
from tests.alerts import stage
from tests.rig.abreast import abreast

pytestmark = pytest.mark.django_db
PATH = "/api/v1/on-call-schedules"
MONDAY = "2026-11-16T09:00:00Z"


@pytest.fixture
def staff():
    return cast.api(cast.make_staff())


def person(name: str, of: Any = None) -> Contact:
    return Contact.objects.create(client=of, name=name, email=f"{name.lower()}@acme.example")


def body(*people: Contact, name: str = "Ops", **layer: Any) -> dict[str, Any]:
    """The printed example."""
    first = {
        "order": 1, "rotation": "weekly", "rotation_days": 7, "handoff_time": "09:00", "handoff_day": 1, "starts_at": MONDAY,
        "contact_ids": [p.pk for p in people],
    }  # fmt: skip
    return {"name": name, "timezone": "Europe/Lisbon", "layers": [{**first, **layer}]}


def made(staff, *people: Contact, **values: Any) -> dict[str, Any]:
    answer = staff.post(PATH, body(*people, **values))
    assert answer.status_code == 201, answer.json()
    return answer.json()


def row_of(answer: dict[str, Any]) -> OnCallSchedule:
    return OnCallSchedule.objects.get(pk=answer["id"])


# --- Made, read, changed ------------------------------------------------------------------------------------------------
def test_the_printed_example_works(staff):
    ana, ben = person("Ana"), person("Ben")
    sent = body(ana, ben)
    answer = staff.post(PATH, sent)
    assert answer.status_code == 201, answer.json()
    got = answer.json()
    assert {key: got[key] for key in ("name", "timezone")} == {"name": "Ops", "timezone": "Europe/Lisbon"}
    (layer,) = got["layers"]
    assert {key: layer[key] for key in sent["layers"][0] if key != "starts_at"} == {
        key: value for key, value in sent["layers"][0].items() if key != "starts_at"
    }
    assert datetime.fromisoformat(layer["starts_at"]) == datetime.fromisoformat(MONDAY)
    path = f"{PATH}/{got['id']}"
    assert staff.get(path).json() == got and staff.get(PATH).json()["results"] == [got]
    assert staff.put(path, got).json() == got, "what was read can be sent back"
    assert staff.patch(path, {"name": "Night"}).json()["layers"] == got["layers"], "layers that are not sent stay"
    assert staff.delete(path).status_code == 204 and staff.get(path).status_code == 404
    actions = AuditEntry.objects.filter(subject=f"oncallschedule:{got['id']}").order_by("id")
    assert list(actions.values_list("action", flat=True)) == [f"oncallschedule.{v}" for v in ("created", "changed", "deleted")]  # fmt: skip


def test_a_layer_needs_no_more_than_its_people(staff):
    ana = person("Ana")
    got = staff.post(PATH, {"name": "n", "layers": [{"contact_ids": [ana.pk]}]}).json()
    (layer,) = got["layers"]
    assert (layer["order"], layer["rotation"], layer["handoff_time"], layer["handoff_day"]) == (1, "weekly", "09:00", 1)
    now = staff.get(f"{PATH}/{got['id']}/now").json()
    assert now["contact"]["id"] == ana.pk and now["next"] is None
    assert now["ends_at"] is None, "turn after turn is the same person's: nothing changes"


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"name": " "}, "name"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"layers": [{"contact_ids": []}]}, "layers.0.contact_ids"),
        ({"layers": [{}]}, "layers.0.contact_ids"),
        ({"layers": [{"contact_ids": [987654]}]}, "layers.0.contact_ids"),
        ({"layers": [{"contact_ids": ["x"]}]}, "layers.0.contact_ids.0"),
        ({"layers": [{"contact_ids": [2**70]}]}, "layers.0.contact_ids.0"),
        ({"rotation": "hourly"}, "layers.0.rotation"),
        ({"rotation_days": 0}, "layers.0.rotation_days"),
        ({"rotation_days": 366}, "layers.0.rotation_days"),
        ({"handoff_day": 0}, "layers.0.handoff_day"),
        ({"handoff_day": 8}, "layers.0.handoff_day"),
        ({"handoff_time": "25:00"}, "layers.0.handoff_time"),
        ({"order": -1}, "layers.0.order"),
        ({"order": 10**30}, "layers.0.order"),
        ({"starts_at": "yesterday"}, "layers.0.starts_at"),
        ({"starts_at": "0001-01-01T00:00:00Z"}, "layers.0.starts_at"),
        ({"ends_at": "2026-11-16T09:00:00Z"}, "layers.0.ends_at"),
        ({"weekdays": "7"}, "layers.0.weekdays"),
        ({"from_time": "09:00"}, "layers.0.until_time"),
        ({"from_time": "09:00", "until_time": "09:00"}, "layers.0.until_time"),
    ],
)
def test_what_makes_no_sense_is_said_at_its_field(staff, wrong, key):
    sent = body(person("Ana"))
    if wrong.keys() & {"name", "timezone", "layers"}:
        sent |= wrong
    else:
        sent["layers"][0] |= wrong
    answer = staff.post(PATH, sent)
    assert answer.status_code == 400, answer.json()
    assert key in answer.json()["error"]["fields"], answer.json()
    assert not OnCallSchedule.objects.exists()


def test_the_second_layers_mistakes_are_said_at_the_second_layer(staff):
    sent = body(person("Ana"))
    sent["layers"].append({**sent["layers"][0], "handoff_day": 9})
    fields = staff.post(PATH, sent).json()["error"]["fields"]
    assert set(fields) == {"layers.1.order", "layers.1.handoff_day"} and "order 1" in fields["layers.1.order"][0]


def test_a_name_is_taken_once_whatever_its_case(staff):
    ana = person("Ana")
    got = made(staff, ana)
    answer = staff.post(PATH, body(ana, name=" ops"))
    assert answer.json()["error"]["fields"] == {"name": ["A schedule of this name exists; choose another name."]}
    assert staff.patch(f"{PATH}/{got['id']}", {"name": "OPS"}).status_code == 200


def test_whoever_is_gone_is_skipped_and_the_others_keep_their_turns(staff):
    ana, ben, cleo = person("Ana"), person("Ben"), person("Cleo")
    got = made(staff, ana, ben, cleo, rotation="daily")
    row, start = row_of(got), database_now()
    before = {s.start: s.contact for s in oncall.timeline(row, start, start + timedelta(days=12))}
    ben_id = ben.pk
    ben.delete()
    for _ in range(2):  # …also after the page or a script has saved what it read
        after = {s.start: s.contact for s in oncall.timeline(row, start, start + timedelta(days=12))}
        later = {at: who for at, who in before.items() if at > start}
        assert all(after[at] == (cleo.pk if who == ben_id else who) for at, who in later.items())
        read = staff.get(f"{PATH}/{row.pk}").json()
        assert read["layers"][0]["contact_ids"] == [ana.pk, cleo.pk]
        assert staff.put(f"{PATH}/{row.pk}", read).status_code == 200


def test_a_list_costs_the_same_with_three_and_with_thirty(staff, django_assert_max_num_queries):
    ana = person("Ana")
    staff.get(PATH)
    for n in range(30):
        made(staff, ana, name=f"s{n}")
    with django_assert_max_num_queries(8):
        assert len(staff.get(PATH).json()["results"]) == 30
    with django_assert_max_num_queries(6):  # the clock, schedules, layers, members, overrides, people
        found = oncall.on_call_many(list(OnCallSchedule.objects.all()), database_now())
    assert set(found.values()) == {ana} and len(found) == 30


# --- Whose --------------------------------------------------------------------------------------------------------------
def test_a_clients_schedule_names_its_own_people_and_our_staff(staff):
    ours, own, theirs = person("Sam"), cast.contact(), cast.contact(cast.globex(), "Gina")
    answer = staff.post(PATH, {**body(own, ours), "client": cast.acme().pk})
    assert answer.status_code == 201, answer.json()
    refused = staff.post(PATH, {**body(own, theirs, name="other"), "client": cast.acme().pk})
    assert "another client" in refused.json()["error"]["fields"]["layers.0.contact_ids"][0]
    alice, path = cast.api(cast.alice()), f"{PATH}/{answer.json()['id']}"
    assert alice.put(path, alice.get(path).json()).status_code == 200, "who is there already may stay"
    for stranger in (theirs, ours):
        said = alice.post(PATH, body(stranger, name="x")).json()["error"]["fields"]
        assert said == {"layers.0.contact_ids": [f"There is no contact {stranger.pk}."]}


def test_another_clients_schedule_does_not_exist(staff):
    got = staff.post(PATH, {**body(cast.contact()), "client": cast.acme().pk}).json()
    row = row_of(got)
    taken = schedules.add_override(
        row, by=cast.TESTS, at=database_now(), contact=cast.contact(), ends_at=database_now() + timedelta(days=1)
    )
    mallory, viewer = cast.api(cast.mallory()), cast.api(cast.viewer())
    path = f"{PATH}/{row.pk}"
    for tail in ("", "/now", "/shifts", "/overrides"):
        assert mallory.get(path + tail).status_code == 404 and viewer.get(path + tail).status_code == 200
    until = (database_now() + timedelta(hours=1)).isoformat()
    takes_over = {"contact_id": cast.contact().pk, "ends_at": until}
    for caller, status in ((mallory, 404), (viewer, 403)):
        assert caller.put(path, {"name": "x"}).status_code == status
        assert caller.post(f"{path}/overrides", takes_over).status_code == status
        assert caller.delete(f"{path}/overrides/{taken.pk}").status_code == status
        assert caller.delete(f"{path}/feed").status_code == status
        assert caller.delete(path).status_code == status
    assert mallory.get(PATH).json()["results"] == [] and OnCallSchedule.objects.count() == 1


# --- Who has it ---------------------------------------------------------------------------------------------------------
def test_now_says_who_has_it_until_when_and_who_is_next(staff):
    ana, ben = person("Ana"), person("Ben")
    got = made(staff, ana, ben)
    now = staff.get(f"{PATH}/{got['id']}/now?at=2026-11-18T12:00:00Z").json()
    assert now["contact"] == {"id": ana.pk, "name": "Ana", "email": "ana@acme.example", "phone": ""}
    assert (now["starts_at"], now["ends_at"]) == ("2026-11-16T09:00:00Z", "2026-11-23T09:00:00Z")
    assert now["source"] == "layer:1"
    assert (now["next"]["contact"]["name"], now["next"]["starts_at"]) == ("Ben", "2026-11-23T09:00:00Z")
    before = staff.get(f"{PATH}/{got['id']}/now?at=2026-11-10T12:00:00Z").json()
    assert (before["contact"], before["source"], before["ends_at"]) == (None, "gap", "2026-11-16T09:00:00Z")
    assert before["next"]["contact"]["name"] == "Ana"
    assert staff.get(f"{PATH}/{got['id']}/now?at=noon").status_code == 400


def test_shifts_cover_what_was_asked_and_gaps_are_shown(staff):
    got = made(staff, person("Ana"), weekdays="0,1,2,3,4")
    path = f"{PATH}/{got['id']}/shifts"
    found = staff.get(f"{path}?since=2026-11-18T00:00:00Z&until=2026-11-25T00:00:00Z").json()["results"]
    assert [(s["starts_at"][:10], (s["contact"] or {}).get("name")) for s in found] == [
        ("2026-11-18", "Ana"), ("2026-11-21", None), ("2026-11-23", "Ana"), ("2026-11-23", "Ana"),
    ]  # fmt: skip
    assert len(staff.get(path).json()["results"]) >= 8
    assert staff.get(f"{path}?since=2026-11-18T00:00:00Z&until=2027-11-18T00:00:00Z").status_code == 400


def test_somebody_takes_over_and_gives_back(staff):
    ana, cleo = person("Ana"), person("Cleo")
    got = made(staff, ana)
    path, at = f"{PATH}/{got['id']}/overrides", database_now()
    sent = {"contact_id": cleo.pk, "ends_at": (at + timedelta(hours=2)).isoformat(), "reason": "Dentist"}
    answer = staff.post(path, sent)
    assert answer.status_code == 201, answer.json()
    taken = answer.json()
    assert (taken["contact_name"], taken["reason"]) == ("Cleo", "Dentist") and "sam@msp.example" in taken["created_by"]
    assert staff.get(path).json()["results"] == [taken]
    assert oncall.on_call(row_of(got), database_now()) == cleo
    assert staff.delete(f"{path}/{taken['id']}").status_code == 204
    assert oncall.on_call(row_of(got), database_now()) == ana
    assert staff.delete(f"{path}/{taken['id']}").status_code == 404
    entry = AuditEntry.objects.get(action="oncallschedule.override_removed")
    assert (entry.subject, entry.before["name"]) == (f"oncallschedule:{got['id']}", "Cleo")


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"contact_id": 987654}, "contact_id"),
        ({"contact_id": None}, "contact_id"),
        ({"ends_at": None}, "ends_at"),
        ({"ends_at": "2026-01-01T00:00:00Z"}, "ends_at"),
        ({"starts_at": "2020-01-01T00:00:00Z", "ends_at": "2020-01-02T00:00:00Z"}, "ends_at"),
        ({"ends_at": "2099-01-01T00:00:00Z"}, "ends_at"),
        ({"ends_at": "9999-01-01T00:00:00Z"}, "ends_at"),
        ({"reason": "x" * 301}, "reason"),
    ],
)
def test_a_take_over_that_makes_no_sense_is_said_at_its_field(staff, wrong, key):
    ana = person("Ana")
    got = made(staff, ana)
    sent = {"contact_id": ana.pk, "ends_at": (database_now() + timedelta(hours=2)).isoformat(), **wrong}
    answer = staff.post(f"{PATH}/{got['id']}/overrides", sent)
    assert answer.status_code == 400 and key in answer.json()["error"]["fields"], answer.json()


# --- The calendar's feed ---------------------------------------------------------------------------------------------------
def events(answer) -> list[Any]:
    return list(Calendar.from_ical(answer.content).walk("VEVENT"))


def feed_of(got: dict[str, Any]) -> str:
    return got["feed_url"].partition("//")[2].partition("/")[2].join(("/", ""))


def test_a_calendar_program_reads_the_feed_without_signing_in(staff):
    ana, ben = person("Ana"), person("Bén, the; second")
    got = made(staff, ana, ben, rotation="daily")
    answer = Browser().get(feed_of(got), HTTP_ACCEPT="text/calendar")
    assert answer.status_code == 200 and answer["Content-Type"] == "text/calendar; charset=utf-8"
    calendar = Calendar.from_ical(answer.content)
    assert str(calendar["PRODID"]) == "-//Watchkeeper//On-call//EN" and calendar["X-WR-CALNAME"] == "On call: Ops"
    found = events(answer)
    assert {str(e["SUMMARY"]) for e in found} == {"On call: Ana (Ops)", "On call: Bén, the; second (Ops)"}
    assert all(e["DTSTART"].dt.tzinfo is not None and e["DTSTART"].to_ical().endswith(b"Z") for e in found)
    assert max(e["DTEND"].dt for e in found) >= database_now() + timedelta(weeks=25)
    assert len({str(e["UID"]) for e in found}) == len(found)
    mine = events(Browser().get(f"{feed_of(got)}&contact={ben.pk}"))
    assert mine and {str(e["SUMMARY"]) for e in mine} == {"On call: Bén, the; second (Ops)"}
    assert b"\n" not in answer.content.replace(b"\r\n", b""), "lines end as the standard says"
    assert max(map(len, answer.content.split(b"\r\n"))) <= 75


def test_the_feed_has_its_own_key_and_a_wrong_one_finds_nothing(staff):
    got, other = made(staff, person("Ana")), made(staff, person("Ben"), name="Other")
    url, browser = feed_of(got), Browser()
    key = url.partition("token=")[2]
    for wrong in (url[:-1], url + "0", url.replace(key, ""), url.partition("?")[0], url.replace(key, "é"), url.replace(key, key.upper())):  # fmt: skip
        assert browser.get(wrong).status_code == 404, wrong
    assert browser.get(feed_of(other).replace(f"/{other['id']}/", f"/{got['id']}/")).status_code == 404
    assert browser.get(f"{url}&contact=x").status_code == 404
    assert browser.get(url.replace("feed.ics?", "feed.ics/?")).status_code == 200
    assert browser.post(url).status_code == 405
    assert feed_of(staff.delete(f"{PATH}/{got['id']}/feed").json()) != url
    assert browser.get(url).status_code == 404, "revoked"
    assert browser.get(feed_of(staff.get(f"{PATH}/{got['id']}").json())).status_code == 200


def test_the_feed_of_an_inactive_client_is_closed(staff):
    got = staff.post(PATH, {**body(cast.contact()), "client": cast.acme().pk}).json()
    cast.acme().__class__.objects.filter(pk=cast.acme().pk).update(active=False)
    assert Browser().get(feed_of(got)).status_code == 404


def test_a_calendar_that_is_up_to_date_is_not_sent_again(staff):
    got = made(staff, person("Ana"), person("Ben"))
    first = Browser().get(feed_of(got))
    again = Browser().get(feed_of(got), HTTP_IF_NONE_MATCH=first["ETag"])
    assert again.status_code == 304 and again.content == b"" and again["ETag"] == first["ETag"]
    staff.patch(f"{PATH}/{got['id']}", {"name": "Other"})
    changed = Browser().get(feed_of(got), HTTP_IF_NONE_MATCH=first["ETag"])
    assert changed.status_code == 200 and changed["ETag"] != first["ETag"]


def test_an_event_keeps_its_uid_and_counts_its_changes(staff):
    ana, ben = person("Ana"), person("Ben")
    got = made(staff, ana, ben)
    row, at = row_of(got), database_now()
    before = {(e["DTSTART"].dt, str(e["SUMMARY"])): e for e in events(Browser().get(feed_of(got)))}
    shift = next(s for s in oncall.timeline(row, at, at + timedelta(days=30)) if s.start > at)
    middle = shift.start + timedelta(days=2)
    cleo = person("Cleo")
    schedules.add_override(
        row, by=cast.TESTS, at=at, contact=cleo, starts_at=middle, ends_at=middle + timedelta(days=1)
    )
    after = {(e["DTSTART"].dt, str(e["SUMMARY"])): e for e in events(Browser().get(feed_of(got)))}
    for key, event in before.items():
        assert str(after[key]["UID"]) == str(event["UID"]) and int(after[key]["SEQUENCE"]) > int(event["SEQUENCE"])
    assert len(after) == len(before) + 2, "the take-over, and the rest of the shift that it cut"
    # A day later the window has moved: what is in both is the same, byte for byte.
    today, later = feed.calendar(row, at), feed.calendar(row, at + timedelta(days=1))
    same = {str(e["UID"]): e.to_ical() for e in Calendar.from_ical(today).walk("VEVENT")}
    assert all(same[str(e["UID"])] == e.to_ical() for e in Calendar.from_ical(later).walk("VEVENT") if str(e["UID"]) in same)  # fmt: skip


# --- Whose turn has begun ---------------------------------------------------------------------------------------------------
def reach(contact: Contact, *channels: Any, urgency: str = "all", **values: Any) -> None:
    for channel in channels:
        ContactChannel.objects.create(contact=contact, channel=channel, urgency=urgency, **values)


def told() -> list[tuple[str, str]]:
    rows = Delivery.objects.filter(kind=Notice.Kind.SHIFT).select_related("contact", "channel").order_by("id")
    return [(d.contact.name, d.channel.name) for d in rows]


@pytest.fixture
def rota(staff):
    """Ana, then Ben, by turns of a day from 09:00 in Lisbon; Ana has two ways, Ben a mail."""
    ana, ben = person("Ana"), person("Ben")
    reach(ana, stage.mail("Ana's mail"), stage.webhook("Ana's hook"))
    reach(ana, stage.webhook("Ana's pager"), urgency="high")
    reach(ben, stage.mail("Ben's mail"), delay_minutes=30)
    got = made(staff, ana, ben, rotation="daily")
    staff.patch(f"{PATH}/{got['id']}", {"tell_shift_start": True})
    return row_of(got)


AT = datetime(2026, 11, 16, 12, 0, tzinfo=UTC)


def test_who_has_it_is_told_once_and_then_who_is_next(rota):
    assert turns.tell(AT) == 1 and turns.tell(AT + timedelta(minutes=1)) == 0
    assert told() == [("Ana", "Ana's mail"), ("Ana", "Ana's hook")], "the pager is for critical alerts only"
    assert turns.tell(AT + timedelta(hours=20, minutes=59)) == 0
    assert turns.tell(AT + timedelta(hours=21)) == 1
    assert told()[2:] == [("Ben", "Ben's mail")]
    row = Delivery.objects.order_by("id").last()
    at = AT + timedelta(hours=21)
    assert (row.next_attempt_at, row.gather, row.alert, row.state) == (at, False, None, "pending"), "at once, by itself"
    snap = row.notice.snapshot
    assert snap["title"] == "You are on call: Ops" and "until Wed 18 Nov 09:00 (Europe/Lisbon)" in snap["cause"]
    assert ["Then", "Ana"] in snap["facts"]
    skipped = Decision.objects.filter(outcome="skipped").get()
    assert "critical alerts only" in skipped.reason and "Ana's pager" in skipped.reason


def test_two_looks_at_the_same_moment_tell_once(rota):
    schedule = OnCallSchedule.objects.get()
    plan = oncall.plans([schedule], AT, AT)[schedule.pk]
    assert turns._changed(schedule, plan, AT) is True
    assert turns._changed(schedule, plan, AT) is False, "it still believes that nobody was told"
    assert len(told()) == 2


@pytest.mark.django_db(transaction=True)
def test_four_beats_at_the_same_moment_tell_once(rota):
    assert sorted(abreast(lambda number: turns.tell(AT), 4)) == [0, 0, 0, 1]
    assert len(told()) == 2


def test_a_message_that_cannot_be_written_leaves_the_turn_to_be_told(rota, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(turns.Delivery.objects, "create", lambda **values: 1 / 0)
        assert turns.tell(AT) == 0
    assert told() == [] and OnCallSchedule.objects.get().told_contact is None
    assert turns.tell(AT) == 1 and len(told()) == 2


def test_a_take_over_and_a_gap_are_changes_too(rota, staff):
    turns.tell(AT)
    cleo = person("Cleo")
    reach(cleo, stage.webhook("Cleo's hook"))
    schedules.add_override(rota, by=cast.TESTS, at=AT, contact=cleo, starts_at=AT + timedelta(hours=1), ends_at=AT + timedelta(hours=2))  # fmt: skip
    assert turns.tell(AT + timedelta(hours=1)) == 1 and told()[-1] == ("Cleo", "Cleo's hook")
    assert turns.tell(AT + timedelta(hours=2)) == 1 and told()[-1] == ("Ana", "Ana's hook")
    LayerMember.objects.all().delete()
    assert turns.tell(AT + timedelta(hours=3)) == 0
    assert OnCallSchedule.objects.get().told_contact is None


def test_nobody_is_told_of_a_schedule_that_does_not_ask_for_it(rota, staff):
    path = f"{PATH}/{rota.pk}"
    turns.tell(AT)
    staff.patch(path, {"tell_shift_start": False})
    assert turns.tell(AT + timedelta(days=1)) == 0
    staff.patch(path, {"tell_shift_start": True})
    assert turns.tell(AT) == 1, "who has it when it is switched on again is told"


def test_nobody_is_told_of_an_inactive_clients_turns(rota):
    OnCallSchedule.objects.update(client=cast.acme())
    type(cast.acme()).objects.update(active=False)
    assert turns.tell(AT) == 0 and told() == []


def test_a_channel_that_is_off_is_passed_over(rota):
    for channel in (way.channel for way in ContactChannel.objects.filter(contact__name="Ana", urgency="all")):
        channel.enabled = False
        channel.save()
    assert turns.tell(AT) == 1 and told() == []
    assert Decision.objects.filter(reason__contains="switched off").count() == 2


def test_the_message_goes_out_and_reads_well(rota):
    turns.tell(AT)
    sent = stage.drain(AT)
    assert [d.channel.name for d in sent] == ["Ana's mail", "Ana's hook"]
    assert {d.state for d in Delivery.objects.all()} == {"delivered"}
    message = message_from(sent[0].notice.snapshot, delivery_id=sent[0].pk, attempt=1, sent_at=AT)
    mail = compose(message, sender="watch@msp.example", to=("ana@acme.example",))
    text = mail.get_body(("plain",)).get_content()
    assert "On call" in mail["Subject"] and "You are on call: Ops" in mail["Subject"]
    assert "until Tue 17 Nov 09:00 (Europe/Lisbon)" in text and "Ben" in text and f"/on-call/{rota.pk}/" in text


def test_the_job_runs_each_minute():
    from portal import slots

    assert slots._jobs["alerts.turns"].every_seconds == 60


def test_the_page_of_the_message_exists():
    assert reverse("on_call_schedule", args=[1]) == "/on-call/1/"

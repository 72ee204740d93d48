"""The page /on-call/, as a person without scripts works with it: who has it, the calendar, the form, taking over, the feed."""

from __future__ import annotations

import html
import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client as Browser

from alerts import oncall, schedules
from alerts.engine.oncall import Shift
from alerts.models import EscalationPolicy, Layer, Level, OnCallSchedule, Override
from console.pages.on_call_calendar import calendar
from portal.clock import database_now
from portal.models import Client, Contact
from tests import cast
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db


def person(name: str, of: Client | None = None, **values) -> Contact:
    return Contact.objects.create(client=of, name=name, email=f"{name.lower()}@x.example", **values)


def schedule(*people: Contact, of: Client | None = None, name: str = "Ops", zone: str = "Europe/Lisbon", **layer) -> OnCallSchedule:  # fmt: skip
    """A week each, since long ago."""
    first = {"rotation": "weekly", "starts_at": datetime(2026, 1, 5, 9, tzinfo=UTC), "contacts": list(people), **layer}
    return schedules.save_schedule(None, by=cast.TESTS, client=of, name=name, timezone=zone, layers=[first])


def sent_back(answer) -> dict[str, list[str]]:
    """What a browser would send of the schedule's form, without the button."""
    found: dict[str, list[str]] = {}
    body = answer.content.decode()
    body = body[body.index('class="form rota-form"') :]
    for tag in re.findall(r"<input[^>]*>", body):
        attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if "name" not in attributes or (attributes.get("type") == "checkbox" and " checked" not in tag):
            continue
        found.setdefault(attributes["name"], []).append(html.unescape(attributes.get("value", "")))
    for name, options in re.findall(r'<select name="([^"]+)".*?>(.*?)</select>', body, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', options) or re.search(
            r'<option value="([^"]*)"', options
        )
        found.setdefault(name, []).append(chosen[1])
    found.pop("csrfmiddlewaretoken", None)
    return found


# --- Who has it ---------------------------------------------------------------------------------------------------------
def test_an_empty_list_teaches():
    page = text(browser(cast.make_staff()).get("/on-call/"))
    assert "No schedule yet" in page and "Add a schedule" in page
    seen = text(browser(cast.viewer()).get("/on-call/"))
    assert "No schedule of yours" in seen and "Add a schedule" not in seen


def test_the_list_says_who_has_it_who_is_next_and_where_gaps_are():
    ana, ben = person("Ana"), person("Ben")
    whole, office = schedule(ana, ben), schedule(ana, name="Office", weekdays="0", handoff_time=time(0))
    at = database_now()
    page = text(browser(cast.make_staff()).get("/on-call/"))
    now = oncall.on_call(whole, at)
    assert f"Ops {now.name} until" in page and "No gap" in page
    assert ("Gap" in page) and f"{ {ana: ben, ben: ana}[now].name } from" in page
    if oncall.on_call(office, at) is None:
        assert "One schedule has nobody on call right now" in page


def test_a_list_costs_the_same_for_three_and_for_thirty(django_assert_max_num_queries):
    ana, ben = person("Ana"), person("Ben")
    caller = browser(cast.make_staff())
    schedule(ana, ben)
    caller.get("/on-call/")
    for n in range(30):
        schedule(ana, ben, name=f"s{n}")
    with django_assert_max_num_queries(19):
        assert caller.get("/on-call/").status_code == 200


def test_the_navigation_leads_there():
    assert 'href="/on-call/"' in browser(cast.viewer()).get("/on-call/").content.decode()


def test_the_calendar_shows_two_or_four_weeks_with_names_and_gaps_in_words():
    row = schedule(person("Ana"), person("Ben"), weekdays="0,1,2,3,4", handoff_time=time(0))
    caller = browser(cast.make_staff())
    two = caller.get(f"/on-call/{row.pk}/?from=2026-11-25").content.decode()
    assert two.count('class="rota-day') == 14 and 'id="day-2026-11-23"' in two and 'id="day-2026-12-07"' not in two
    days = dict(re.findall(r'id="day-([\d-]+)">(.*?)</ul></li>', two, re.S))
    assert "rota-gap" in days["2026-11-28"] and "Nobody" in days["2026-11-28"]
    names = {re.search(r'rota-name">(\w+)<', days[day])[1] for day in ("2026-11-24", "2026-12-01")}
    assert names == {"Ana", "Ben"}, "a week each, by name and not by colour alone"
    four = caller.get(f"/on-call/{row.pk}/?from=2026-11-25&weeks=4").content.decode()
    assert four.count('class="rota-day') == 28
    assert "Nobody is on call at these times of the next 4 weeks" in text(caller.get(f"/on-call/{row.pk}/"))
    for odd in ("0001-01-01", "9999-12-31", "yesterday", "2026-02-31"):
        assert caller.get(f"/on-call/{row.pk}/?from={odd}").status_code == 200


@pytest.mark.once
@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [("Europe/Lisbon", "2026-03-29", "23 h"), ("Europe/Lisbon", "2026-10-25", "25 h"), ("Australia/Lord_Howe", "2026-10-04", "23.5 h"), ("Asia/Kathmandu", "2026-10-25", "")],
)  # fmt: skip
def test_a_day_whose_clock_changes_has_its_own_length(zone, day, hours):
    z, first = ZoneInfo(zone), date.fromisoformat(day) - timedelta(days=1)
    start = datetime.combine(first - timedelta(days=2), time(0), UTC)
    line = [Shift(start, start + timedelta(days=9), None, "gap")]
    days = calendar(line, first, first + timedelta(days=3), z, {}, start)
    assert [d.hours for d in days] == ["", hours, ""] and all(len(d.parts) == 1 for d in days)
    assert all((p.begins, p.until) == ("", "") for d in days for p in d.parts), "nobody, all day"


def test_a_handover_stands_on_its_day_at_its_wall_time():
    row = schedule(person("Ana"), person("Ben"))
    page = browser(cast.make_staff()).get(f"/on-call/{row.pk}/?from=2026-11-23").content.decode()
    monday = re.search(r'id="day-2026-11-23">(.*?)</ul></li>', page, re.S)[1]
    assert "until 09:00" in monday and "from 09:00" in monday and monday.count('class="rota-part ') == 2


# --- The form ------------------------------------------------------------------------------------------------------------
def test_a_schedule_is_made_with_buttons_only():
    ana, ben = person("Ana"), person("Ben")
    caller = browser(cast.make_staff())
    data = sent_back(caller.get("/on-call/add/"))
    assert data["layers"] == ["1"] and data["layer0-members"] == ["2"]
    data |= {
        "name": ["Ops"],
        "timezone": ["Europe/Lisbon"],
        "layer0-member0": [str(ana.pk)],
        "layer0-member1": [str(ben.pk)],
    }
    # One more person, moved up, and one row too many that is taken away again; nothing is stored meanwhile.
    for do in ("add_member:0", "up_member:0:1", "remove_member:0:2", "add_layer", "add_member:1", "remove_layer:1"):
        answer = caller.post("/on-call/add/", {**data, "do": do})
        assert answer.status_code == 200 and "Nothing was saved yet" not in text(answer), do
        data = sent_back(answer)
    assert data["name"] == ["Ops"] and not OnCallSchedule.objects.exists()
    assert [data[f"layer0-member{n}"] for n in range(2)] == [[str(ben.pk)], [str(ana.pk)]] and data["layers"] == ["1"]
    made = caller.post("/on-call/add/", {**data, "do": "save"}, follow=True)
    assert "Ops was saved." in text(made) and "Ben, then Ana" in text(made)
    layer = Layer.objects.get()
    assert (layer.order, layer.rotation, layer.handoff_time) == (1, "weekly", time(9))
    assert [m.contact for m in layer.members.all()] == [ben, ana]


def test_what_is_wrong_is_said_and_what_was_typed_stays():
    caller = browser(cast.make_staff())
    data = sent_back(caller.get("/on-call/add/"))
    answer = caller.post("/on-call/add/", {**data, "name": ["Ops"], "timezone": ["Mars/Olympus"]})
    assert answer.status_code == 400 and "is not a time zone" in html.unescape(text(answer))
    answer = caller.post("/on-call/add/", {**data, "name": ["Ops"], "layer0-from_time": "09:00"})
    page = text(answer)
    assert answer.status_code == 400 and "Name at least one person." in page and "Give both ends of the hours" in page
    assert sent_back(answer)["name"] == ["Ops"] and sent_back(answer)["layer0-from_time"] == ["09:00"]
    assert not OnCallSchedule.objects.exists()


def test_saving_a_form_untouched_changes_nothing():
    ana, ben, cleo = person("Ana"), person("Ben"), person("Cleo")
    row = schedule(ana, ben, cleo, rotation="custom", rotation_days=3, starts_at=datetime(2026, 3, 2, 9, 0, 17, tzinfo=UTC), weekdays="0,4", from_time=time(8), until_time=time(7))  # fmt: skip
    ben.delete()
    before, at = schedules.picture(row), database_now()
    who = [oncall.on_call(row, at + timedelta(days=n)) for n in range(20)]
    caller, path = browser(cast.make_staff()), f"/on-call/{row.pk}/edit/"
    answer = caller.post(path, sent_back(caller.get(path)))
    assert answer.status_code == 302, text(answer)
    assert "1 person who took turns was deleted" in text(caller.get(f"/on-call/{row.pk}/"))
    assert schedules.picture(row) == before and who == [oncall.on_call(row, at + timedelta(days=n)) for n in range(20)]


def test_times_are_typed_in_the_schedules_own_zone():
    ana = person("Ana")
    caller = browser(cast.make_staff())
    data = sent_back(caller.get("/on-call/add/"))
    data |= {
        "name": ["N"],
        "timezone": ["Asia/Kathmandu"],
        "layer0-member0": [str(ana.pk)],
        "layer0-starts_at": ["2026-11-23T09:00"],
    }
    assert caller.post("/on-call/add/", data).status_code == 302
    assert Layer.objects.get().starts_at == datetime(2026, 11, 23, 3, 15, tzinfo=UTC)
    assert (
        'value="2026-11-23T09:00"' in caller.get(f"/on-call/{OnCallSchedule.objects.get().pk}/edit/").content.decode()
    )


@pytest.mark.parametrize("do", ["", "fly", "remove_layer:9", "remove_layer:x", "up_member:0:0", "remove_member:0:99", "add_member:-1", "add_layer:1:2:3"])  # fmt: skip
def test_a_button_that_is_not_there_does_no_harm(do):
    caller = browser(cast.make_staff())
    data = sent_back(caller.get("/on-call/add/"))
    assert caller.post("/on-call/add/", {**data, "do": do}).status_code in (200, 400)
    assert caller.post("/on-call/add/", {"do": do, "layers": "9" * 30, "layer0-members": "-1"}).status_code in (
        200,
        400,
    )


# --- Taking over ----------------------------------------------------------------------------------------------------------
def test_the_form_proposes_me_from_now_until_the_shift_ends():
    sam = cast.make_staff()
    row = schedule(person("Ana"), person("Ben"))
    me = person("Sam", user=sam)
    caller = browser(sam)
    answer = caller.get(f"/on-call/{row.pk}/")
    form = answer.context["form"]
    now = oncall.plans([row], database_now(), database_now())[row.pk].current(database_now())
    assert form["contact"].value() == me.pk and form.initial["ends_at"] == now.end
    assert abs(form.initial["starts_at"] - database_now()) < timedelta(minutes=1)
    zone = ZoneInfo("Europe/Lisbon")
    data = {
        "contact": me.pk, "starts_at": f"{database_now().astimezone(zone):%Y-%m-%dT%H:%M}", "ends_at": f"{now.end.astimezone(zone):%Y-%m-%dT%H:%M}",
        "reason": "Swap",
    }  # fmt: skip
    page = text(caller.post(f"/on-call/{row.pk}/take-over/", data, follow=True))
    assert "Sam has it from" in page and "takes over" in page
    assert oncall.on_call(row, database_now()) == me
    taken = Override.objects.get()
    page = text(caller.post(f"/on-call/{row.pk}/take-over/{taken.pk}/remove/", follow=True))
    assert "the rotation counts again" in page and not Override.objects.exists()


def test_a_take_over_that_makes_no_sense_is_said_at_its_field():
    ana = person("Ana")
    row = schedule(ana)
    caller = browser(cast.make_staff())
    data = {"contact": ana.pk, "starts_at": "2030-01-02T00:00", "ends_at": "2030-01-01T00:00"}
    answer = caller.post(f"/on-call/{row.pk}/take-over/", data)
    assert answer.status_code == 400 and "It must end after it starts." in text(answer)
    assert 'value="2030-01-02T00:00"' in answer.content.decode()
    assert caller.post(f"/on-call/{row.pk}/take-over/", {}).status_code == 400
    assert not Override.objects.exists()


# --- The feed, the end, and whose it is -----------------------------------------------------------------------------------
def test_the_feeds_address_is_shown_works_and_is_revoked():
    row = schedule(person("Ana"))
    caller = browser(cast.make_staff())

    def shown() -> str:
        page = caller.get(f"/on-call/{row.pk}/").content.decode()
        return html.unescape(re.search(r'id="feed-all"[^>]*>https?://[^/]+([^<]+)<', page)[1])

    old = shown()
    assert Browser().get(old).status_code == 200
    assert "stops being updated" in text(caller.get(f"/on-call/{row.pk}/revoke/")) and shown() == old
    assert "works no more" in text(caller.post(f"/on-call/{row.pk}/revoke/", follow=True))
    assert Browser().get(old).status_code == 404 and Browser().get(shown()).status_code == 200


def test_who_has_turns_gets_an_address_with_only_those():
    alice = cast.alice()
    row = schedule(person("Alice", cast.acme(), user=alice), person("Ben", cast.acme()), of=cast.acme())
    assert "Your turns only" in text(browser(alice).get(f"/on-call/{row.pk}/"))
    assert "Your turns only" not in text(browser(cast.make_staff()).get(f"/on-call/{row.pk}/"))


def test_deleting_asks_first_and_names_what_goes():
    row = schedule(person("Ana"))
    level = Level.objects.create(policy=EscalationPolicy.objects.create(name="Night"), order=1, delay_seconds=60)
    level.schedules.add(row)
    caller = browser(cast.make_staff())
    page = text(caller.get(f"/on-call/{row.pk}/delete/"))
    assert "Night" in page and "reach nobody" in page and OnCallSchedule.objects.exists()
    assert "Ops was deleted." in text(caller.post(f"/on-call/{row.pk}/delete/", follow=True))
    assert not OnCallSchedule.objects.exists()


def test_a_client_sees_its_own_and_a_viewer_changes_nothing():
    ours = person("Sue", phone="+351 900 000 000")
    row = schedule(ours, cast.contact(), of=cast.acme())
    taken = schedules.add_override(row, by=cast.TESTS, at=database_now(), contact=ours, ends_at=database_now() + timedelta(hours=4))  # fmt: skip
    paths = ["", "edit/", "delete/", "revoke/", "take-over/", f"take-over/{taken.pk}/remove/"]
    mallory, viewer = browser(cast.mallory()), browser(cast.viewer())
    for tail in paths:
        assert mallory.get(f"/on-call/{row.pk}/{tail}").status_code == 404, tail
        assert mallory.post(f"/on-call/{row.pk}/{tail}").status_code == 404, tail
    for tail in paths[1:]:
        assert viewer.post(f"/on-call/{row.pk}/{tail}").status_code == 403, tail
    page = viewer.get(f"/on-call/{row.pk}/")
    assert "Sue" in text(page) and "+351" not in text(page), "the name of our staff, not their number"
    assert "Take over" not in text(page) and "Revoke" not in text(page)
    assert "Ops" not in text(mallory.get("/on-call/")) and viewer.get("/on-call/add/").status_code == 403
    assert "+351" in text(browser(cast.make_staff()).get(f"/on-call/{row.pk}/"))
    assert Browser().get(f"/on-call/{row.pk}/").status_code == 302


def test_a_clients_admin_makes_one_of_their_own_people():
    alice, own = cast.alice(), cast.contact()
    stranger = person("Gina", cast.globex())
    caller = browser(alice)
    answer = caller.get("/on-call/add/")
    assert "Ana" in text(answer) and "Gina" not in text(answer) and "Our own staff" not in text(answer)
    data = sent_back(answer) | {"name": ["Ours"], "layer0-member0": [str(stranger.pk)]}
    assert caller.post("/on-call/add/", data).status_code == 400
    data["layer0-member0"] = [str(own.pk)]
    assert caller.post("/on-call/add/", data).status_code == 302
    assert OnCallSchedule.objects.get().client == cast.acme()


def test_nothing_stands_inline_and_names_are_escaped():
    row = schedule(person("<b>*_&"), name="<i>Ops & co")
    caller = browser(cast.make_staff())
    for path in ("/on-call/", f"/on-call/{row.pk}/", f"/on-call/{row.pk}/edit/", "/on-call/add/"):
        page = caller.get(path).content.decode()
        assert not re.search(r'\sstyle="|\son[a-z]+="|<script(?![^>]*src)', page), path
        assert "<b>*" not in page and "<i>Ops" not in page

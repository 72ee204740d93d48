"""Maintenance windows over the API: the printed body, what makes no sense, previews, what was hidden, and whose it is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.models import Alert, MaintenanceWindow, Occurrence, Silence
from portal.clock import database_now
from tests import cast
from tests.alerts import stage

pytestmark = pytest.mark.django_db
WHERE = "/api/v1/maintenance-windows"


@pytest.fixture
def staff():
    return cast.api(cast.make_staff())


def body(**values) -> dict:
    start = database_now() + timedelta(days=1)
    base = {
        "title": "Switch replaced", "client": None, "starts_at": start.isoformat(), "ends_at": (start + timedelta(hours=2)).isoformat(),
        "recurrence": None, "timezone": "UTC", "scopes": ["endpoint:7"], "tags": [],
    }  # fmt: skip
    return {**base, **values}


def now(**values) -> dict:
    """The body of one that runs from now for ten minutes."""
    return {"title": "Now", "scopes": ["endpoint:7"], "duration_seconds": 600, **values}


def test_the_printed_body_makes_one(staff):
    site = cast.site()
    sent = body(client=cast.acme().pk, scopes=["endpoint:7", f"site:{site.pk}"])
    answer = staff.post(WHERE, sent)
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert {k: made[k] for k in ("title", "client", "recurrence", "timezone", "scopes", "tags")} == {
        k: sent[k] for k in ("title", "client", "recurrence", "timezone", "scopes", "tags")
    }
    assert made["state"] == "upcoming" and "sam@msp.example" in made["owner"] and len(made["occurrences"]) == 1
    assert staff.get(f"{WHERE}/{made['id']}").json() == made


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "  "}, "title"),
        ({"ends_at": None}, "ends_at"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
        ({"ends_at": "2099-01-01T00:00:00Z"}, "ends_at"),
        ({"duration_seconds": 60}, "duration_seconds"),
        ({"starts_at": "tomorrow"}, "starts_at"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"recurrence": "every sunday"}, "recurrence"),
        ({"recurrence": "FREQ=HOURLY"}, "recurrence"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["endpoint:7", "moon:1"]}, "scopes.1"),
        ({"scopes": ["endpoint:7,endpoint:8"]}, "scopes.0"),
        ({"scopes": ["endpoint"]}, "scopes.0"),
        ({"scopes": ["site:987654"]}, "scopes.0"),
        ({"scopes": ["service:987654"]}, "scopes.0"),
        ({"scopes": ["client:nobody"]}, "scopes.0"),
        ({"scopes": "endpoint:7"}, "scopes"),
        ({"scopes": [{"endpoint": 7}]}, "scopes.0"),
        ({"tags": ["a,b"]}, "tags.0"),
        ({"tags": ["x" * 60]}, "tags.0"),
        ({"client": 987654}, "client"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_at_its_field(staff, change, field):
    for where in (WHERE, f"{WHERE}/preview"):
        answer = staff.post(where, body(**change))
        assert answer.status_code == 400, answer.json()
        assert field in answer.json()["error"]["fields"], answer.json()
    assert not MaintenanceWindow.objects.exists()


def test_a_clients_window_names_that_clients_places_only(staff):
    theirs = cast.site(cast.globex(), "Mill")
    for scope in (f"site:{theirs.pk}", f"client:{cast.globex().pk}", "client:globex"):
        answer = staff.post(WHERE, body(client=cast.acme().pk, scopes=[scope]))
        assert "scopes.0" in answer.json()["error"]["fields"], answer.json()
    assert staff.post(WHERE, body(scopes=[f"site:{theirs.pk}"])).status_code == 201


def test_the_list_shows_what_is_not_over_what_runs_or_all_of_them(staff):
    ended, cancelled = body(title="over"), body(title="cancelled")
    ended |= {"starts_at": "2026-03-01T02:00:00Z", "ends_at": "2026-03-01T04:00:00Z"}
    ids = {
        b["title"]: staff.post(WHERE, b).json()["id"]
        for b in (ended, cancelled, now(title="now"), now(title="done"), body(title="coming"))
    }
    ids["sundays"] = staff.post(WHERE, {**ended, "title": "sundays", "recurrence": "FREQ=WEEKLY"}).json()["id"]
    assert staff.delete(f"{WHERE}/{ids['cancelled']}").status_code == 204
    assert staff.post(f"{WHERE}/{ids['done']}/end").json()["state"] == "ended"

    def titles(query: str) -> set[str]:
        return {w["title"] for w in staff.get(f"{WHERE}{query}").json()["results"]}

    assert titles("") == {"now", "coming", "sundays"}
    assert titles("?active=true") - {"sundays"} == {"now"}
    assert titles("?all=true") == set(ids)
    states = {w["title"]: w["state"] for w in staff.get(f"{WHERE}?all=true").json()["results"]}
    del states["sundays"]
    assert states == {"over": "ended", "cancelled": "cancelled", "now": "active", "done": "ended", "coming": "upcoming"}


def test_it_is_changed_by_what_is_given(staff):
    made = staff.post(WHERE, body()).json()
    for method in (staff.patch, staff.put):
        answer = method(f"{WHERE}/{made['id']}", {"title": method.__name__})
        assert answer.status_code == 200 and answer.json()["title"] == method.__name__
        assert answer.json()["ends_at"] == made["ends_at"] and answer.json()["scopes"] == ["endpoint:7"]
    assert staff.patch(f"{WHERE}/{made['id']}", {"client": cast.acme().pk}).status_code == 400
    assert "scopes.0" in staff.patch(f"{WHERE}/{made['id']}", {"scopes": ["x"]}).json()["error"]["fields"]
    assert "scopes" in staff.patch(f"{WHERE}/{made['id']}", {"scopes": []}).json()["error"]["fields"]


def test_from_holding_to_what_it_hid(staff):
    stage.trigger(stage.webhook())
    made = staff.post(WHERE, now()).json()
    assert made["state"] == "active" and Occurrence.objects.count() == 1
    (alert,) = stage.tell(stage.failing(7, database_now()))
    assert staff.get(f"/api/v1/alerts/{alert.pk}").json()["hold_reason"] == "in_maintenance"
    assert stage.drain(database_now()) == []
    shown = staff.get(f"{WHERE}/{made['id']}").json()
    assert (shown["hid_count"], shown["hid_alerts"]) == (1, [alert.pk])
    (hidden,) = staff.get(f"{WHERE}/{made['id']}/hidden").json()["results"]
    assert (hidden["id"], hidden["hidden_messages"]) == (alert.pk, 1)
    assert staff.post(f"{WHERE}/{made['id']}/end").status_code == 200
    assert [d.alert_id for d in stage.drain(database_now())] == [alert.pk]
    assert staff.post(f"{WHERE}/{made['id']}/end").status_code == 409
    assert staff.delete(f"{WHERE}/{made['id']}").status_code == 409
    assert staff.get(f"{WHERE}/{made['id']}/hidden").json()["results"][0]["id"] == alert.pk


def test_a_preview_answers_what_it_would_cover_and_stores_nothing(staff):
    shop, other = cast.monitor(), cast.monitor(cast.globex(), "mill")
    stage.trigger(stage.webhook())
    (alert,) = stage.tell(stage.failing(shop.pk, database_now()))
    stage.tell(stage.failing(other.pk, database_now(), client=cast.globex()))
    wish = body(scopes=[f"endpoint:{shop.pk}"], recurrence="FREQ=DAILY")
    seen = staff.post(f"{WHERE}/preview", wish).json()
    assert seen["monitors"] == [{"id": shop.pk, "name": "shop", "client": cast.acme().pk, "state": "pending"}]
    assert [a["id"] for a in seen["alerts"]] == [alert.pk]
    assert (seen["monitor_count"], seen["alert_count"], len(seen["occurrences"])) == (1, 1, 5)
    silence = {"reason": "x", "matchers": {"entity_id": "shop"}, "duration_seconds": 60}
    seen = staff.post("/api/v1/silence/preview", silence).json()
    assert [m["id"] for m in seen["monitors"]] == [shop.pk] and [
        a["id"] for a in seen["alerts"]
    ] == []  # by its own name
    seen = staff.post("/api/v1/silence/preview", {**silence, "matchers": {"entity_id": shop.pk}}).json()
    assert [a["id"] for a in seen["alerts"]] == [alert.pk] and len(seen["occurrences"]) == 1
    assert not MaintenanceWindow.objects.exists() and not Silence.objects.exists()
    assert Alert.objects.get(pk=alert.pk).hold_reason == ""


def test_a_preview_shows_only_what_its_asker_sees():
    cast.monitor(), cast.monitor(cast.globex(), "mill")
    for who, name in ((cast.alice, "shop"), (cast.mallory, "mill")):
        seen = cast.api(who()).post(f"{WHERE}/preview", now(scopes=[])).json()
        assert [m["name"] for m in seen["monitors"]] == [name]
        seen = cast.api(who()).post("/api/v1/silence/preview", {"reason": "x", "matchers": {}, "duration_seconds": 9})
        assert [m["name"] for m in seen.json()["monitors"]] == [name]


def test_a_list_costs_the_same_with_three_and_with_thirty(staff, django_assert_max_num_queries):
    staff.get(WHERE)
    at = database_now()
    for n in range(30):
        MaintenanceWindow.objects.create(
            title=str(n), starts_at=at, ends_at=at + timedelta(hours=1), recurrence="FREQ=DAILY", tags=["x"]
        )
    with django_assert_max_num_queries(12):
        assert len(staff.get(WHERE).json()["results"]) == 30


# --- Whose -----------------------------------------------------------------------------------------------------------
def test_a_clients_admin_plans_for_their_own_and_nobody_else():
    alice = cast.api(cast.alice())
    assert alice.post(WHERE, now(scopes=[])).json()["client"] == cast.acme().pk
    assert alice.post(WHERE, now(client=None)).status_code == 403
    assert alice.post(WHERE, now(client=cast.globex().pk)).status_code == 400
    assert cast.api(cast.viewer()).post(WHERE, now()).status_code == 403
    assert cast.api(cast.alice(), "read").post(WHERE, now()).status_code == 403
    (other,) = stage.tell(stage.failing(7, database_now(), client=cast.globex()))
    assert other.hold_reason == ""


def test_another_clients_window_does_not_exist(staff):
    ours, theirs = (staff.post(WHERE, now(client=c)).json()["id"] for c in (None, cast.acme().pk))
    mallory = cast.api(cast.mallory())
    assert mallory.get(f"{WHERE}?all=true").json()["results"] == []
    for pk in (ours, theirs, 987654):
        assert mallory.get(f"{WHERE}/{pk}").status_code == 404
        assert mallory.get(f"{WHERE}/{pk}/hidden").status_code == 404
        assert mallory.patch(f"{WHERE}/{pk}", {"title": "x"}).status_code == 404
        assert mallory.delete(f"{WHERE}/{pk}").status_code == 404
        assert mallory.post(f"{WHERE}/{pk}/end").status_code == 404


def test_a_snoozed_alert_is_woken(staff):
    (alert,) = stage.tell(stage.failing(7, database_now()))
    assert staff.post(f"/api/v1/alerts/{alert.pk}/unsnooze").status_code == 409
    assert staff.post(f"/api/v1/alerts/{alert.pk}/snooze", {"minutes": 30}).status_code == 200
    woken = staff.post(f"/api/v1/alerts/{alert.pk}/unsnooze").json()
    assert (woken["snoozed_until"], woken["hold_reason"]) == (None, None)
    assert cast.api(cast.mallory()).post(f"/api/v1/alerts/{alert.pk}/unsnooze").status_code == 404


def test_the_lists_of_silences_know_which_hold_now_and_what_they_hid(staff):
    stage.trigger(stage.webhook())
    start = (database_now() + timedelta(days=1)).isoformat()
    running = staff.post("/api/v1/silence", {"reason": "now", "matchers": {}, "duration_seconds": 600}).json()["id"]
    staff.post("/api/v1/silence", {"reason": "coming", "matchers": {}, "duration_seconds": 600, "starts_at": start})
    assert [s["reason"] for s in staff.get("/api/v1/silence?active=true").json()["results"]] == ["now"]
    (alert,) = stage.tell(stage.failing(7, database_now()))
    (hidden,) = staff.get(f"/api/v1/silence/{running}/hidden").json()["results"]
    assert (hidden["id"], hidden["hidden_messages"]) == (alert.pk, 1)

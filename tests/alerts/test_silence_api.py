"""Silences over the API: the printed example, ends and recurrences that make sense, rows that keep what they hid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from alerts import facts
from alerts.models import Silence
from portal.clock import database_now
from tests import cast
from tests.alerts import stage

pytestmark = pytest.mark.django_db
EXAMPLE = {
    "reason": "Scheduled database maintenance", "starts_at": "2026-03-01T02:00:00Z", "ends_at": "2026-03-01T04:00:00Z",
    "matchers": {"source": "endpoint", "entity_id": "postgres-health"},
}  # fmt: skip


@pytest.fixture
def staff():
    return cast.api(cast.make_staff())


def now_until(**length: float) -> dict[str, str]:
    at = database_now()
    return {"starts_at": at.isoformat(), "ends_at": (at + timedelta(**length)).isoformat()}


def test_the_printed_example_works(staff):
    answer = staff.post("/api/v1/silence", EXAMPLE)
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert {key: made[key] for key in ("reason", "starts_at", "ends_at", "matchers")} == EXAMPLE
    assert made["recurrence"] is None and made["until_recovered"] is False and "sam@msp.example" in made["owner"]
    assert staff.get(f"/api/v1/silence/{made['id']}").json()["id"] == made["id"]


def test_the_list_shows_what_is_not_over_and_all_of_them_when_asked(staff):
    coming = (database_now() + timedelta(days=1)).isoformat()
    for reason, more in {
        "past": EXAMPLE,
        "now": {"matchers": {}, "duration_seconds": 600},
        "open-ended": {"matchers": {}, "until_recovered": True},
        "coming": {"matchers": {}, "starts_at": coming, "duration_seconds": 60},
        "sundays": {**EXAMPLE, "recurrence": "FREQ=WEEKLY;BYDAY=SU"},
        "sundays until": {**EXAMPLE, "recurrence": "FREQ=WEEKLY;BYDAY=SU;UNTIL=20260401T000000Z"},
        "cancelled": {"matchers": {}, "duration_seconds": 600},
    }.items():
        made = staff.post("/api/v1/silence", {**more, "reason": reason})
        assert made.status_code == 201, made.json()
    assert staff.delete(f"/api/v1/silence/{made.json()['id']}").status_code == 204
    assert [s["reason"] for s in staff.get("/api/v1/silence").json()["results"]] == [
        "sundays",
        "coming",
        "open-ended",
        "now",
    ]
    states = {s["reason"]: s["state"] for s in staff.get("/api/v1/silence?all=true").json()["results"]}
    assert states.pop("sundays") in ("upcoming", "active")
    assert states == {
        "cancelled": "cancelled",
        "sundays until": "ended",
        "coming": "upcoming",
        "open-ended": "active",
        "now": "active",
        "past": "ended",
    }


def test_what_it_hides_is_held_listed_and_sent_when_it_is_cancelled(staff):
    stage.trigger(stage.webhook())
    stage.tell(stage.failing(6, database_now()))
    stage.drain(database_now())
    (before,) = stage.tell(stage.failing(7, database_now()))
    made = staff.post(
        "/api/v1/silence", {"reason": "work", "matchers": {"entity_id": 7}, "duration_seconds": 600}
    ).json()
    assert (made["hid_count"], made["hid_alerts"]) == (1, [before.pk])
    (during,) = stage.tell(stage.failing(7, database_now(), source="certificate", condition="expired", event="expired"))
    shown = staff.get(f"/api/v1/silence/{made['id']}").json()
    assert (shown["hid_count"], shown["hid_alerts"]) == (2, [during.pk, before.pk])
    assert staff.get(f"/api/v1/alerts/{during.pk}").json()["hold_reason"] == "silenced"
    assert stage.drain(database_now()) == []
    assert staff.delete(f"/api/v1/silence/{made['id']}").status_code == 204
    assert [d.alert_id for d in stage.drain(database_now())] == [before.pk, during.pk]
    kept = staff.get(f"/api/v1/silence/{made['id']}").json()
    assert kept["state"] == "cancelled" and "sam@msp.example" in kept["cancelled_by"] and kept["hid_count"] == 2
    again = staff.delete(f"/api/v1/silence/{made['id']}")
    assert again.status_code == 409


def test_until_recovered_ends_when_nothing_it_holds_is_open(staff):
    made = staff.post(
        "/api/v1/silence", {"reason": "known", "matchers": {"source": "endpoint"}, "until_recovered": True}
    ).json()
    at = database_now()
    stage.tell(stage.failing(1, at), stage.failing(2, at))
    stage.tell(stage.well(1, database_now()))
    assert staff.get(f"/api/v1/silence/{made['id']}").json()["state"] == "active"
    stage.tell(stage.well(2, database_now()))
    assert staff.get(f"/api/v1/silence/{made['id']}").json()["state"] == "ended"
    (fresh,) = stage.tell(stage.failing(1, database_now()))
    assert fresh.hold_reason == ""


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": None}, "reason"),
        ({"ends_at": None}, "ends_at"),
        ({"ends_at": "2026-03-01T02:00:00Z"}, "ends_at"),
        ({"ends_at": "2026-03-01T01:00:00Z"}, "ends_at"),
        ({"ends_at": "2036-03-01T01:00:00Z"}, "ends_at"),
        ({"duration_seconds": 60}, "duration_seconds"),
        ({"until_recovered": True}, "until_recovered"),
        ({"ends_at": None, "duration_seconds": 0}, "duration_seconds"),
        ({"ends_at": None, "duration_seconds": 10**9}, "duration_seconds"),
        ({"ends_at": None, "until_recovered": True, "recurrence": "FREQ=DAILY"}, "until_recovered"),
        ({"starts_at": "yesterday"}, "starts_at"),
        ({"starts_at": "9999-12-31T23:59:59Z", "ends_at": None, "duration_seconds": 60}, "starts_at"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"matchers": None}, "matchers"),
        ({"matchers": []}, "matchers"),
        ({"matchers": "endpoint"}, "matchers"),
        ({"matchers": {"colour": "red"}}, "matchers.colour"),
        ({"matchers": {"source": "moon"}}, "matchers.source"),
        ({"matchers": {"severity": "high"}}, "matchers.severity"),
        ({"matchers": {"entity_type": "planet"}}, "matchers.entity_type"),
        ({"matchers": {"entity_id": True}}, "matchers.entity_id"),
        ({"matchers": {"entity_id": [7]}}, "matchers.entity_id"),
        ({"matchers": {"entity_id": 1.5}}, "matchers.entity_id"),
        ({"matchers": {"tag": 7}}, "matchers.tag"),
        ({"recurrence": "every sunday"}, "recurrence"),
        ({"recurrence": "FREQ=SECONDLY"}, "recurrence"),
        ({"recurrence": "FREQ=HOURLY"}, "recurrence"),
        ({"recurrence": "FREQ=DAILY;BYHOUR=3"}, "recurrence"),
        ({"recurrence": "FREQ=DAILY;COUNT=99999999"}, "recurrence"),
        ({"recurrence": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}, "recurrence"),
        ({"recurrence": "FREQ=WEEKLY;BYDAY=XX"}, "recurrence"),
        ({"recurrence": "DTSTART:19000101T000000\nRRULE:FREQ=DAILY"}, "recurrence"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_at_its_field(staff, change, field):
    answer = staff.post("/api/v1/silence", {**EXAMPLE, **change})
    assert answer.status_code == 400, answer.json()
    assert field in answer.json()["error"]["fields"], answer.json()
    assert Silence.objects.count() == 0


def test_matchers_have_to_be_said_and_nothing_means_everything(staff):
    body = {key: value for key, value in EXAMPLE.items() if key != "matchers"}
    assert "matchers" in staff.post("/api/v1/silence", body).json()["error"]["fields"]
    assert staff.post("/api/v1/silence", {**body, "matchers": {}}).status_code == 201


def test_an_until_in_utc_is_kept_in_the_rules_own_time(staff):
    body = {
        **EXAMPLE,
        "timezone": "America/New_York",
        "recurrence": "RRULE:FREQ=WEEKLY;BYDAY=SU;UNTIL=20260401T000000Z",
    }
    made = staff.post("/api/v1/silence", body).json()
    assert made["recurrence"] == "FREQ=WEEKLY;BYDAY=SU;UNTIL=20260331T200000"
    assert (
        facts.holds(Silence.objects.get(), datetime(2026, 3, 8, 3, 0, tzinfo=UTC)) is False
    )  # Saturday evening in New York


def test_a_weekly_silence_holds_at_the_same_wall_time_and_just_as_long_after_the_clocks_change():
    # Sundays from 01:00 to 04:00 in Lisbon; on 29 March 2026 the clocks jump from 01:00 to 02:00.
    starts = datetime(2026, 3, 22, 1, 0, tzinfo=UTC)
    silence = Silence(
        starts_at=starts,
        ends_at=starts + timedelta(hours=3),
        recurrence="FREQ=WEEKLY",
        timezone="Europe/Lisbon",
        matchers={},
    )
    assert facts.holds(silence, datetime(2026, 4, 5, 0, 0, tzinfo=UTC)) is True  # 01:00 summer time
    assert facts.holds(silence, datetime(2026, 4, 5, 2, 59, tzinfo=UTC)) is True
    assert facts.holds(silence, datetime(2026, 4, 5, 3, 0, tzinfo=UTC)) is False
    before_the_jump = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    starts = datetime(2026, 3, 22, 0, 30, tzinfo=UTC)
    silence = Silence(
        starts_at=starts,
        ends_at=starts + timedelta(hours=3),
        recurrence="FREQ=WEEKLY",
        timezone="Europe/Lisbon",
        matchers={},
    )
    assert facts.holds(silence, before_the_jump) is True
    assert facts.holds(silence, before_the_jump + timedelta(hours=2, minutes=59)) is True
    assert facts.holds(silence, before_the_jump + timedelta(hours=3)) is False


def test_a_list_costs_the_same_with_three_and_with_thirty(staff, django_assert_max_num_queries):
    staff.get("/api/v1/silence")
    for n in range(30):
        Silence.objects.create(reason=str(n), starts_at=database_now(), until_recovered=True, matchers={})
    with django_assert_max_num_queries(9):
        assert len(staff.get("/api/v1/silence").json()["results"]) == 30


# --- Whose -----------------------------------------------------------------------------------------------------------
def test_a_clients_silence_hides_only_their_own_alerts():
    stage.trigger(stage.webhook())
    made = (
        cast.api(cast.alice())
        .post("/api/v1/silence", {"reason": "quiet", "matchers": {}, "duration_seconds": 600})
        .json()
    )
    assert made["client"] == cast.acme().pk
    (own,) = stage.tell(stage.failing(1, database_now()))
    (other,) = stage.tell(stage.failing(2, database_now(), client=cast.globex()))
    assert (own.hold_reason, other.hold_reason) == ("silenced", "")


def test_a_clients_admin_never_silences_everybody():
    body = {"reason": "x", "matchers": {}, "duration_seconds": 60}
    assert cast.api(cast.alice()).post("/api/v1/silence", {**body, "client": None}).status_code == 403
    assert cast.api(cast.alice()).post("/api/v1/silence", {**body, "client": cast.globex().pk}).status_code == 400
    assert cast.api(cast.viewer()).post("/api/v1/silence", body).status_code == 403
    assert Silence.objects.count() == 0


def test_another_clients_silence_does_not_exist(staff):
    ours = staff.post("/api/v1/silence", {"reason": "x", "matchers": {}, "duration_seconds": 60}).json()["id"]
    theirs = staff.post(
        "/api/v1/silence", {"client": cast.acme().pk, "reason": "x", "matchers": {}, "duration_seconds": 60}
    ).json()["id"]
    mallory = cast.api(cast.mallory())
    assert mallory.get("/api/v1/silence?all=true").json()["results"] == []
    assert [mallory.delete(f"/api/v1/silence/{pk}").status_code for pk in (ours, theirs, 987654)] == [404] * 3
    assert [mallory.get(f"/api/v1/silence/{pk}").status_code for pk in (ours, theirs)] == [404] * 2
    assert staff.put(f"/api/v1/silence/{ours}", {"reason": "y"}).status_code == 405  # made and cancelled, never changed

"""STP-2, MON-7, I7, I8, I10: what a page's data say, and what they never say."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.signals import maintenance_changed
from incidents.signals import incident_changed
from monitors.models import Diagnosis, Monitor
from monitors.signals import state_changed
from statuspages import projection, projector
from statuspages.models import Component, Page, Projection, Publication
from tests import cast
from tests.statuspages import showing
from tests.statuspages.showing import AT, FAILING, HOUR, UP

pytestmark = pytest.mark.django_db
TODAY = AT.replace(hour=0, minute=0)


def only(body: dict, name: str = "Checkout") -> dict:
    return next(c for group in body["groups"] for c in group["components"] if c["name"] == name)


# --- Status ---------------------------------------------------------------------------------------------------------------
def test_monitors_make_components_and_components_the_page():
    page = showing.page()
    showing.component(page, "Checkout", showing.monitor("down", "a"), showing.monitor("up", "b"))
    showing.component(page, "Mail", showing.monitor("up", "c"))
    body = projection.body_of(page, AT)
    assert (only(body)["status"], only(body, "Mail")["status"]) == ("partial_outage", "operational")
    assert body["state"] == {
        "status": "partial_outage",
        "sentence": "Partial outage: Checkout",
        "components": ["Checkout"],
    }


def test_all_monitors_of_a_service_stand_behind_its_component():
    page, service = showing.page(), cast.service()
    showing.component(page, service=service)
    showing.monitor("down", "a", service=service)
    assert only(projection.body_of(page, AT))["status"] == "major_outage"


def test_a_published_incident_speaks_for_the_components_of_its_monitors():
    page, m = showing.page(), showing.monitor("up")
    showing.component(page, "Checkout", m)
    showing.incident(page, severity="critical", affected_monitor_ids=[m.pk])
    body = projection.body_of(page, AT)
    assert only(body)["status"] == "major_outage" and body["incidents"][0]["components"] == ["Checkout"]


def test_a_withdrawn_and_an_unpublished_incident_say_nothing():
    page, m = showing.page(), showing.monitor("up")
    part = showing.component(page, "Checkout", m)
    showing.incident(None, title="Not for the public", affected_monitor_ids=[m.pk])
    showing.incident(page, title="Taken back", components=[part])
    Publication.objects.update(withdrawn_at=AT)
    body = projection.body_of(page, AT)
    assert body["incidents"] == [] and only(body)["status"] == "operational"
    assert "Not for" not in json.dumps(body) and "Taken" not in json.dumps(body)


def test_work_under_way_stands_above_an_incident():
    page = showing.page()
    part = showing.component(page, "Checkout", showing.monitor("down"))
    showing.incident(page, severity="critical", components=[part])
    showing.work(page, status="in_progress", components=[part], starts_at=AT - HOUR, ends_at=AT + HOUR)
    assert only(projection.body_of(page, AT))["status"] == "under_maintenance"


def test_what_a_person_set_ends_by_itself():
    page = showing.page()
    showing.component(page, "Checkout", showing.monitor("down"), override="operational", override_until=AT + HOUR)
    assert only(projection.body_of(page, AT))["status"] == "operational"
    assert only(projection.body_of(page, AT + HOUR))["status"] == "major_outage"


def test_incidents_of_fifteen_days_stand_on_the_page_older_ones_in_their_month():
    page = showing.page()
    showing.incident(page, "Yesterday", at=AT - timedelta(days=1), resolved_at=AT - timedelta(hours=20))
    showing.incident(page, "In October", at=AT - timedelta(days=40), resolved_at=AT - timedelta(days=39))
    showing.incident(page, "Long ago", at=AT - timedelta(days=500), resolved_at=AT - timedelta(days=499))
    body = projection.body_of(page, AT)
    assert [i["title"] for i in body["incidents"]] == ["Yesterday"]
    assert {m["month"]: [i["title"] for i in m["incidents"]] for m in body["history"] if m["incidents"]} == {
        "2026-11": ["Yesterday"], "2026-10": ["In October"]
    }  # fmt: skip
    assert len(body["history"]) == 12


# --- Days -----------------------------------------------------------------------------------------------------------------
def test_ninety_days_end_with_today_and_count_what_was_measured():
    page, m = showing.page(), showing.monitor("up")
    showing.component(page, "Checkout", m)
    showing.rolled(m, TODAY - timedelta(days=2), 24, up=60)
    showing.rolled(m, TODAY - timedelta(days=1), 12, up=45, failing=15)  # and then the portal was away for twelve hours
    showing.rolled(m, TODAY, 12, up=60)
    showing.seen(m, TODAY + 11 * HOUR, [UP] * 80 + [FAILING] * 10)  # the last rolled hour once more, and half an hour
    showing.changed(m, TODAY - timedelta(days=1), "up", "down")
    showing.changed(m, TODAY - 12 * HOUR, "down", "up")
    told = only(projection.body_of(page, AT))
    days = {d["date"]: d for d in told["days"]}
    assert len(told["days"]) == 90 and told["days"][-1]["date"] == "2026-11-21"
    assert days["2026-11-18"] == {"date": "2026-11-18", "up": None, "worst": "unknown", "no_data": True}
    assert days["2026-11-19"] == {"date": "2026-11-19", "up": 100.0, "worst": "operational", "no_data": False}
    assert days["2026-11-20"] == {"date": "2026-11-20", "up": 75.0, "worst": "major_outage", "no_data": False}
    assert days["2026-11-21"]["up"] == 98.6666, "740 of 750; the last rolled hour is not counted twice"


def test_what_was_seen_during_maintenance_does_not_count():
    page, m = showing.page(), showing.monitor("up")
    showing.component(page, "Checkout", m)
    showing.rolled(m, TODAY, 2, up=60)
    showing.rolled(m, TODAY + 2 * HOUR, 1, failing=60)  # wholly in it
    showing.rolled(m, TODAY + 3 * HOUR, 1, failing=30, up=30)  # touched by it: counted from what is outside
    showing.seen(m, TODAY + 3 * HOUR, [FAILING] * 30 + [UP] * 30)
    showing.rolled(m, TODAY + 4 * HOUR, 1, up=60)
    showing.changed(m, TODAY + 2 * HOUR, "up", "maintenance")
    showing.changed(m, TODAY + 3 * HOUR + timedelta(minutes=30), "maintenance", "up")
    told = only(projection.body_of(page, AT))
    assert told["days"][-1] == {"date": "2026-11-21", "up": 100.0, "worst": "operational", "no_data": False}
    assert told["uptime"] == 100.0


def test_an_hour_touched_by_maintenance_whose_results_are_gone_is_left_out():
    page, m, then = showing.page(), showing.monitor("up"), TODAY - timedelta(days=30)
    showing.component(page, "Checkout", m)
    showing.rolled(m, then, 1, failing=30, up=30)
    showing.rolled(m, then + HOUR, 1, up=30, degraded=30)
    showing.rolled(m, TODAY, 1, up=60)
    showing.changed(m, then, "up", "maintenance")
    showing.changed(m, then + timedelta(minutes=30), "maintenance", "up")
    day = next(d for d in only(projection.body_of(page, AT))["days"] if d["date"] == f"{then:%Y-%m-%d}")
    assert (day["up"], day["worst"]) == (100.0, "operational")


def test_a_day_that_is_over_is_counted_once_until_its_component_has_other_monitors():
    page, m = showing.page(), showing.monitor("up")
    part = showing.component(page, "Checkout", m)
    showing.rolled(m, TODAY - timedelta(days=3), 96 - 12, up=60)
    showing.build(page)
    kept = Projection.objects.get().days[str(part.pk)]["days"]
    assert sorted(kept) == ["2026-11-18", "2026-11-19", "2026-11-20"]
    m.rollups.filter(start__lt=TODAY).update(up=0, failing=60)
    showing.build(page, AT + HOUR)
    assert {d["date"]: d["up"] for d in only(Projection.objects.get().body)["days"]}["2026-11-19"] == 100.0
    part.monitors.add(showing.monitor("up", "another"))
    showing.build(page, AT + 2 * HOUR)
    assert {d["date"]: d["up"] for d in only(Projection.objects.get().body)["days"]}["2026-11-19"] == 0.0


def test_days_are_those_of_the_pages_zone():
    page, m = showing.page(timezone="America/Sao_Paulo"), showing.monitor("up")
    showing.component(page, "Checkout", m)
    showing.rolled(m, TODAY + HOUR, 1, up=60)  # 22:00 of the day before, there
    showing.rolled(m, TODAY + 11 * HOUR, 1, up=1)
    showing.seen(m, TODAY + 11 * HOUR, [UP])
    days = only(projection.body_of(page, AT))["days"]
    assert [(d["date"], d["no_data"]) for d in days[-3:]] == [
        ("2026-11-19", True),
        ("2026-11-20", False),
        ("2026-11-21", False),
    ]


def test_percentages_are_told_only_if_wanted():
    page, m = showing.page(show_uptime=False), showing.monitor("up")
    showing.component(page, "Checkout", m)
    showing.component(page, "Mail", m, show_uptime=False)
    showing.rolled(m, TODAY, 1, up=60)
    body = projection.body_of(page, AT)
    assert "uptime" not in only(body) and set(only(body)["days"][-1]) == {"date", "worst", "no_data"}
    assert "days" not in only(body, "Mail")


def test_response_times_are_told_only_if_wanted():
    page, m = showing.page(), showing.monitor("up")
    showing.component(page, "Checkout", m)
    showing.rolled(m, AT - 3 * HOUR, 3, up=60)
    assert "latency" not in only(projection.body_of(page, AT))
    page.show_latency = True
    points = only(projection.body_of(page, AT))["latency"]
    assert [at for at, _ in points] == ["2026-11-21T09:00:00Z", "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z"]
    assert all(20 <= ms <= 30 for _, ms in points)


# --- What is never told -----------------------------------------------------------------------------------------------------
SECRETS = (
    "secret-monitor",
    "10.9.8.7",
    "db.internal.acme.example",
    "ECONNREFUSED-secret",
    "globex-secret",
    "s3cr3t-note",
    "hop-as64500",
)


def planted() -> Page:
    """Acme's page, with words that nobody outside may read wherever words can stand."""
    page = showing.page()
    private = {"url": "https://db.internal.acme.example/10.9.8.7"}
    m = showing.monitor(
        "down", "secret-monitor", config=private, state_reason="ECONNREFUSED-secret", notes="s3cr3t-note"
    )
    part = showing.component(page, "Checkout", m)
    other = showing.monitor("down", "globex-secret", cast.globex())
    part.monitors.add(other)  # whoever linked it: a page shows its own client's alone
    showing.changed(m, AT - HOUR, "up", "down")
    m.changes.update(reason="ECONNREFUSED-secret")
    showing.incident(
        page, "secret-monitor is down", auto_created=True, affected_monitor_ids=[m.pk], at=AT - HOUR, message=""
    )
    elsewhere = showing.page(cast.globex())
    showing.component(elsewhere, "globex-secret", other)
    foreign = showing.incident(elsewhere, "globex-secret title", components=elsewhere.components.all())
    Publication.objects.create(page=page, incident=foreign, published_at=AT)
    alert = cast.alert()
    Diagnosis.objects.create(
        monitor=m, alert=alert, cause="failure", started_at=AT, deadline_at=AT, state="done", layer="transit",
        verdict={"summary": "loss at hop-as64500", "layer": "transit"},
    )  # fmt: skip
    return page


def test_nothing_private_and_nothing_of_another_client_is_in_the_data():
    text = json.dumps(projection.body_of(planted(), AT))
    assert [word for word in SECRETS if word in text] == []
    assert "Disruption of Checkout" in text, "the machine's own title names a monitor, so readers get another"


def test_a_client_gone_from_the_link_leaves_the_status_alone():
    """A foreign monitor that is linked all the same counts for nothing."""
    page = showing.page()
    part = showing.component(page, "Checkout", showing.monitor("up"))
    part.monitors.add(showing.monitor("down", "globex-secret", cast.globex()))
    assert only(projection.body_of(page, AT))["status"] == "operational"


def test_the_cause_is_told_only_if_wanted_and_without_hops():
    from incidents.models import IncidentAlert

    page = planted()
    row = page.publications.get(incident__auto_created=True).incident
    IncidentAlert.objects.create(incident=row, alert=cast.alert(), joined_at=AT)
    assert "cause" not in projection.body_of(page, AT)["incidents"][0]
    page.show_verdicts = True
    body = projection.body_of(page, AT)
    assert next(i for i in body["incidents"] if i["id"]).get("cause") == "the networks on the way there"
    assert [word for word in SECRETS if word in json.dumps(body)] == []


def test_host_names_are_told_only_if_wanted():
    page = planted()
    page.show_targets = True
    assert only(projection.body_of(page, AT))["targets"] == [
        "db.internal.acme.example"
    ] or "db.internal.acme.example" in str(only(projection.body_of(page, AT))["targets"])


def test_texts_are_markdown_without_anything_that_runs():
    page = showing.page(about="**Hello** <script>alert(1)</script>", announcement="[x](javascript:alert(1))")
    about = projection.body_of(page, AT)["page"]
    assert "<strong>Hello</strong>" in about["about"] and "<script" not in about["about"]
    assert "href" not in about["announcement"]


def test_an_announcement_ends_by_itself():
    page = showing.page(announcement="Closed on Monday", announcement_until=AT)
    assert (
        projection.body_of(page, AT - HOUR)["page"]["announcement"]
        and not projection.body_of(page, AT)["page"]["announcement"]
    )


# --- Building anew --------------------------------------------------------------------------------------------------------
@pytest.fixture
def built() -> tuple[Page, Component, Monitor]:
    page, m = showing.page(), showing.monitor("up")
    part = showing.component(page, "Checkout", m)
    return showing.build(page), part, m


def wanted(page: Page) -> bool:
    return Projection.objects.get(page=page).wanted


def test_a_build_clears_the_wish_and_says_whether_anything_is_different(built):
    page, _, m = built
    assert not wanted(page) and not projection.rebuild(page, AT + timedelta(minutes=1))
    Monitor.objects.filter(pk=m.pk).update(state="down")
    assert projection.rebuild(page, AT + timedelta(minutes=2))


def test_a_monitors_news_marks_its_pages_and_no_other(built):
    page, _, m = built
    other = showing.build(showing.page(cast.globex()))
    state_changed.send(Monitor, monitors=[m], at=AT)
    assert wanted(page) and not wanted(other)


def test_news_of_a_services_monitor_marks_the_page(built):
    page, part, _ = built
    part.service = cast.service()
    part.save()
    m = showing.monitor("down", "new", service=cast.service())
    state_changed.send(Monitor, monitors=[m], at=AT)
    assert wanted(page)


def test_an_incidents_news_marks_the_pages_it_is_published_on(built):
    page, _, _ = built
    row = showing.incident(None)
    incident_changed.send(type(row), incidents=[row], at=AT, change="updated")
    assert not wanted(page)
    Publication.objects.create(page=page, incident=row, published_at=AT)
    incident_changed.send(type(row), incidents=[row], at=AT, change="updated")
    assert wanted(page)


def test_maintenance_marks_the_pages_that_announced_it(built):
    page, _, _ = built
    window = cast.window()
    showing.work(page, window=window)
    maintenance_changed.send(type(window), windows=[window], scopes=[], at=AT, began=True)
    assert wanted(page)


def test_the_loop_builds_what_was_never_built_what_is_wanted_and_what_is_a_minute_old(built):
    page, _, _ = built
    assert projector.due(AT + timedelta(seconds=30)) == []
    projection.want([page.pk], at=AT)
    assert projector.due(AT + timedelta(seconds=30)) == [page]
    projector.build([page], AT + timedelta(seconds=30))
    assert projector.due(AT + timedelta(seconds=60)) == []
    assert projector.due(AT + timedelta(seconds=90)) == [page]
    new = showing.page(cast.globex())
    assert projector.due(AT + timedelta(seconds=31)) == [new]
    Page.objects.update(enabled=False)
    assert projector.due(AT + timedelta(hours=1)) == []


def test_one_page_that_cannot_be_built_does_not_stop_the_others(built, monkeypatch, caplog):
    page, _, _ = built
    new, honest = showing.page(cast.globex()), projection._build

    def breaks_for_acme(of: Page, *rest: object) -> object:
        if of == page:
            raise RuntimeError("broken row")
        return honest(of, *rest)

    monkeypatch.setattr(projection, "_build", breaks_for_acme)
    projector.build([page, new], AT + timedelta(minutes=1))
    assert Projection.objects.get(page=new).digest and "acme could not be built" in caplog.text


def test_of_two_that_build_at_once_the_later_one_stands(built, monkeypatch):
    page, _, m = built
    honest = projection._build

    def overtaken(*given: object) -> object:
        body = honest(*given)
        monkeypatch.setattr(projection, "_build", honest)
        Monitor.objects.filter(pk=m.pk).update(state="down")
        assert projection.rebuild(page, AT + timedelta(minutes=2))
        return body

    monkeypatch.setattr(projection, "_build", overtaken)
    assert not projection.rebuild(page, AT + timedelta(minutes=1))
    assert Projection.objects.get(page=page).body["state"]["status"] == "major_outage"


def queries_of(page: Page) -> int:
    with CaptureQueriesContext(connection) as seen:
        projection.body_of(page, AT)
    return len(seen)


def test_a_page_takes_as_many_queries_with_thirty_components_as_with_three():
    page = showing.page(show_latency=True, show_verdicts=True)
    showing.rolled(showing.monitor("up", "m0"), TODAY, 1, up=60)

    def grow(first: int, last: int) -> None:
        for n in range(first, last):
            part = showing.component(page, f"C{n}", showing.monitor("up", f"m{n}"))
            showing.incident(page, f"I{n}", components=[part])
            showing.work(page, f"W{n}", components=[part])

    grow(0, 3)
    few = queries_of(page)
    grow(3, 30)
    assert queries_of(page) == few <= 22


def test_what_announces_work_is_said_once():
    page = showing.page()
    work = showing.work(page)
    work.message = "Orders wait meanwhile."
    work.save()
    work.updates.create(status="in_progress", message="We begin.", created_at=AT)
    told = projection.body_of(page, AT)["works"][0]
    assert "Orders wait" in told["html"] and [u["html"] for u in told["updates"]] == ["", "<p>We begin.</p>\n"]

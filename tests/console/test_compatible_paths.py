"""Scripts written for other portals: Probr's `/api/alerts`, key for key."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from alerts.models import Alert
from tests import cast
from tests.alerts import stage

pytestmark = pytest.mark.django_db
KEYS = [
    "id",
    "site_id",
    "probe_config_id",
    "severity",
    "probe_type",
    "title",
    "message",
    "is_resolved",
    "resolved_at",
    "notified_at",
    "created_at",
]


@pytest.fixture
def alert() -> Alert:
    stage.trigger(stage.webhook())
    (opened,) = stage.tell(stage.failing(7, site_id=cast.site().pk, message="Connection timeout after 10000ms"))
    return opened


def test_the_list_is_bare_and_has_exactly_these_keys(alert):
    stage.drain(stage.later(seconds=2))
    caller = cast.api(cast.make_staff())
    for path in ("/api/alerts", "/api/alerts/"):
        (body,) = caller.get(path).json()
        assert list(body) == KEYS
    assert body == {
        "id": alert.pk, "site_id": cast.site().pk, "probe_config_id": 7, "severity": "critical", "probe_type": "http_health",
        "title": "[CRITICAL] http_health — shop.acme.example", "message": "Connection timeout after 10000ms", "is_resolved": False, "resolved_at": None,
        "notified_at": "2026-11-21T12:00:02.000Z", "created_at": "2026-11-21T12:00:00.000Z",
    }  # fmt: skip


def test_without_a_site_the_title_names_the_monitor():
    stage.tell(stage.failing(8, kind="tcp", severity="warning", event="degraded"))
    (body,) = cast.api(cast.make_staff()).get("/api/alerts").json()
    assert (body["probe_type"], body["title"], body["site_id"]) == ("tcp", "[WARNING] tcp — monitor-8", None)


def test_the_filters(alert):
    stage.tell(*(stage.failing(n) for n in range(100, 220)))
    stage.tell(stage.well(100, stage.later(1)))
    caller = cast.api(cast.make_staff())
    assert len(caller.get("/api/alerts").json()) == 100
    assert len(caller.get("/api/alerts?limit=1000").json()) == len(caller.get("/api/alerts?limit=99999").json()) == 121
    assert len(caller.get("/api/alerts?limit=3").json()) == 3
    assert [a["id"] for a in caller.get(f"/api/alerts?site_id={alert.site_id}").json()] == [alert.pk]
    assert [a["is_resolved"] for a in caller.get("/api/alerts?resolved=true").json()] == [True]
    assert len(caller.get("/api/alerts?resolved=false&limit=500").json()) == 120
    for query in ("limit=0", "limit=x", "site_id=x"):
        assert caller.get(f"/api/alerts?{query}").status_code == 400, query


def test_a_manual_resolve_answers_with_the_alert(alert):
    caller = cast.api(cast.make_staff())
    body = caller.patch(f"/api/alerts/{alert.pk}/resolve").json()
    assert list(body) == KEYS and body["is_resolved"] is True and body["resolved_at"]
    assert caller.patch(f"/api/alerts/{alert.pk}/resolve/").status_code == 409
    assert caller.patch("/api/alerts/987654/resolve").status_code == 404


def test_it_is_as_closed_as_the_rest(alert):
    assert APIClient().get("/api/alerts").status_code == 401
    mallory = cast.api(cast.mallory())
    assert (
        mallory.get("/api/alerts").json() == [] and mallory.patch(f"/api/alerts/{alert.pk}/resolve").status_code == 404
    )
    assert cast.api(cast.viewer()).patch(f"/api/alerts/{alert.pk}/resolve").status_code == 403
    assert cast.api(cast.make_staff(), "read").patch(f"/api/alerts/{alert.pk}/resolve").status_code == 403


def test_a_page_of_the_list_costs_the_same_with_one_and_with_thirty(alert, django_assert_max_num_queries):
    caller = cast.api(cast.make_staff())
    caller.get("/api/alerts")
    stage.tell(*(stage.failing(n, site_id=cast.site().pk) for n in range(100, 130)))
    with django_assert_max_num_queries(4):
        assert len(caller.get("/api/alerts").json()) == 31

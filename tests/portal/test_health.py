"""Who watches the watcher sees the truth: alive, ready with reasons, numbers for those who may read them."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import OperationalError
from django.test import override_settings

from portal import database, health, registry
from portal.clock import database_now
from portal.models import Worker
from tests import cast


def test_alive_asks_nothing_of_the_database(client):
    answer = client.get("/healthz")  # pytest-django refuses queries in a test without the database
    assert answer.status_code == 200 and answer.content == b"OK\n"


def working(seconds_ago: float = 0, role: str = "all") -> Worker:
    at = database_now() - dt.timedelta(seconds=seconds_ago)
    return Worker.objects.create(id=f"w{role}{seconds_ago}", role=role, host="h", pid=1, started_at=at, seen_at=at)


@pytest.mark.django_db
def test_ready_when_migrated_and_somebody_works(client):
    working()
    assert client.get("/readyz").json() == {"status": "ready", "reasons": [], "workers": {"all": 1}}


@pytest.mark.django_db
def test_not_ready_names_the_reason(client, monkeypatch):
    working(seconds_ago=60)
    answer = client.get("/readyz")
    assert answer.status_code == 503 and "No worker" in answer.json()["reasons"][0]
    monkeypatch.setattr(database, "pending", lambda: True)
    assert "not migrated" in client.get("/readyz").json()["reasons"][0]

    def away() -> bool:
        raise OperationalError("gone")

    monkeypatch.setattr(database, "pending", away)
    answer = client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["reasons"] == ["The database does not answer."]


@pytest.mark.django_db
def test_pending_migrations_are_seen(monkeypatch):
    database.forget()
    assert database.pending() is False
    database.forget()
    monkeypatch.setattr("portal.database.MigrationExecutor.migration_plan", lambda self, targets: ["one"])
    assert database.pending() is True
    database.forget()


@pytest.mark.django_db
def test_metrics_are_text_with_help_types_and_escaped_labels(client, monkeypatch):
    monkeypatch.setattr(registry, "metrics", [health.own_metrics])
    monkeypatch.setattr(registry, "metric_help", dict(registry.metric_help))
    registry.add_metrics(
        lambda at: [("wk_odd", {"name": 'a"b\\c\nd'}, 1.5), ("wk_odd", {"name": "plain"}, 2)],
        wk_odd=("gauge", "Odd names."),
    )

    def broken(at):
        raise RuntimeError("one app's trouble")

    registry.add_metrics(broken)
    working()
    answer = client.get("/metrics", HTTP_HOST="localhost:8000")
    text = answer.content.decode()
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/plain; version=0.0.4")
    assert '# TYPE wk_odd gauge\nwk_odd{name="a\\"b\\\\c\\nd"} 1.5\nwk_odd{name="plain"} 2\n' in text
    assert 'watchkeeper_workers{role="all"} 1\n' in text
    assert text.count("# TYPE wk_odd") == 1


@pytest.mark.django_db
@override_settings(ALLOWED_HOSTS=["portal.example", "localhost"])
def test_metrics_are_for_this_machine_or_a_token_that_reads_everything(client):
    here = {"HTTP_HOST": "localhost:8000"}
    assert client.get("/metrics", **here).status_code == 200
    assert client.get("/metrics", HTTP_HOST="portal.example").status_code == 401
    assert client.get("/metrics", **here, REMOTE_ADDR="192.0.2.7").status_code == 401
    for header in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA"):
        assert client.get("/metrics", **here, **{header: "198.51.100.1"}).status_code == 401

    def bearer(plain: str) -> dict[str, str]:
        return {
            "HTTP_HOST": "portal.example",
            "HTTP_AUTHORIZATION": f"Bearer {plain}",
            "REMOTE_ADDR": "192.0.2.7",
        }

    assert client.get("/metrics", **bearer(cast.token(cast.make_auditor(), "read"))).status_code == 200
    assert client.get("/metrics", **bearer(cast.token(cast.make_staff(), "ping"))).status_code == 403
    assert client.get("/metrics", **bearer(cast.token(cast.alice(), "read"))).status_code == 403
    assert (
        client.get("/metrics", **bearer(cast.token(cast.make_staff(), "read", client=cast.acme()))).status_code == 403
    )
    assert client.get("/metrics", **bearer("wk_00000000_" + "x" * 43)).status_code == 401
    assert client.get("/metrics", **here, HTTP_AUTHORIZATION="Bearer nonsense").status_code == 401


@pytest.mark.django_db
def test_errors_are_pages_for_people_and_json_for_programs(client):
    assert b"<html" in client.get("/nowhere/").content
    assert client.get("/api/nowhere").json()["error"]["code"] == "not_found"
    assert client.get("/api/v1/sites", HTTP_HOST="evil.example").status_code == 400

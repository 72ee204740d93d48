"""Many rows in one statement: what `sets.write` writes is what Django would have written, and nothing else."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert
from incidents.models import Incident
from monitors.models import Monitor, ProbeState
from portal import sets
from portal.clock import database_now
from tests import cast
from tests.monitors import rows
from tests.rig.abreast import abreast

pytestmark = pytest.mark.django_db


def test_every_sort_of_value_comes_back_as_it_was():
    m, at = rows.monitor(), database_now()
    other = rows.monitor(name="other")
    m.name, m.enabled, m.quorum, m.timeout_seconds, m.uuid = 'it\'s "q" %s\\ ☃', False, 3, 2.5, uuid.uuid4()
    m.config, m.state_since, m.degraded_latency_ms, m.parent = {"a": [1, None, "ü"], "b": {}}, at, None, other
    names = [
        "name",
        "enabled",
        "quorum",
        "timeout_seconds",
        "uuid",
        "config",
        "state_since",
        "degraded_latency_ms",
        "parent",
    ]
    assert sets.write([m], names) == 1
    stored = Monitor.objects.get(pk=m.pk)
    assert [getattr(stored, n) for n in names] == [getattr(m, n) for n in names]


def test_nothing_else_is_written():
    m = rows.monitor()
    Monitor.objects.filter(pk=m.pk).update(name="changed meanwhile")
    m.name, m.state_reason = "in memory", "because"
    sets.write([m], ["state_reason"])
    stored = Monitor.objects.get(pk=m.pk)
    assert (stored.name, stored.state_reason) == ("changed meanwhile", "because")


def test_nulls_and_values_side_by_side():
    at = database_now()
    monitors = [rows.monitor(name=f"m {n}") for n in range(4)]
    for n, m in enumerate(monitors):
        m.state_since = at if n % 2 else None
        m.parent = monitors[0] if n == 3 else None
    sets.write(reversed(monitors), ["state_since", "parent"])
    found = list(Monitor.objects.order_by("pk").values_list("state_since", "parent_id"))
    assert found == [(None, None), (at, None), (None, None), (at, monitors[0].pk)]


def test_only_nulls():
    m = rows.monitor()
    m.state_since = m.flapping_since = m.degraded_loss_percent = None
    sets.write([m], ["state_since", "flapping_since", "degraded_loss_percent"])
    assert Monitor.objects.get(pk=m.pk).state_since is None


def test_json_lists_and_objects_of_alerts_and_incidents():
    alert = cast.alert()
    alert.links, alert.tags, alert.verdict = {"report": "https://x"}, ["a", "b"], None
    sets.write([alert], ["links", "tags", "verdict"])
    stored = Alert.objects.get(pk=alert.pk)
    assert (stored.links, stored.tags, stored.verdict) == ({"report": "https://x"}, ["a", "b"], None)
    incident = Incident.objects.create(client=cast.acme(), title="x", created_at=database_now())
    incident.affected_monitor_ids = []
    sets.write([incident], ["affected_monitor_ids"])
    incident.affected_monitor_ids = [3, 1, 2]
    sets.write([incident], ["affected_monitor_ids"])
    assert Incident.objects.get().affected_monitor_ids == [3, 1, 2]


def test_no_rows_no_statement():
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert sets.write([], ["name"]) == 0
    assert not asked.captured_queries


def test_what_a_constraint_forbids_is_refused_as_django_says_it():
    """The caller tells "met another transaction" from "the database is away" by Django's exceptions, not by the driver's."""
    m = rows.monitor()
    m.quorum = 0
    with pytest.raises(IntegrityError), transaction.atomic():
        sets.write([m], ["quorum"])


def test_a_row_that_is_gone_is_passed_over():
    here, gone = rows.monitor(name="here"), rows.monitor(name="gone")
    Monitor.objects.filter(pk=gone.pk).delete()
    here.state_reason = gone.state_reason = "x"
    sets.write([here, gone], ["state_reason"])
    assert list(Monitor.objects.values_list("state_reason", flat=True)) == ["x"]


@pytest.mark.django_db(transaction=True)
def test_two_writers_of_the_same_rows_in_opposite_order_do_not_meet_in_a_ring():
    probe = rows.probe("north", built_in=True)
    for n in range(40):
        rows.monitor(name=f"m {n}", probes=[probe])
    views = list(ProbeState.objects.all())
    at = database_now()

    def write(number: int) -> None:
        mine = ProbeState.objects.in_bulk([v.pk for v in views])
        order = sorted(mine.values(), key=lambda v: v.pk, reverse=bool(number % 2))
        for n in range(8):
            for v in order:
                v.next_due_at = at + timedelta(seconds=number * 100 + n)
            with transaction.atomic():
                sets.write(order, ["next_due_at"])

    abreast(write, 4)
    assert ProbeState.objects.values("next_due_at").distinct().count() == 1, "the last writer's rows, whole"

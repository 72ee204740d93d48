"""What if one row is bad, at any stage? It is set aside with its reason, and all the others go on."""

from __future__ import annotations

import psycopg
import pytest

from alerts.models import Delivery, Notice
from monitors.models import Monitor, Result
from tests.faults import checker, scene
from tests.faults.plant import Plant, until
from tests.faults.scene import Scene
from tests.rig.answers import ok
from tests.rig.receiver import Receiver
from tests.rig.site import Site

pytestmark = pytest.mark.once

POISON = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF {when} THEN RAISE EXCEPTION 'no column takes this' USING ERRCODE = '22021'; END IF; RETURN NEW; END $$;
CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {name}();
"""


def poison(plant: Plant, table: str, when: str) -> None:
    """From now on the database refuses these rows, as it does a text with a NUL or a number out of range."""
    with psycopg.connect(plant.database_url, autocommit=True) as connection:
        connection.execute(POISON.format(name=f"poison_{table}", table=table, when=when))


def test_a_bad_message_a_bad_answer_and_a_bad_result(plant: Plant, receiver: Receiver) -> None:
    """R36, sending: a snapshot nobody can read, one inside a gathered message, an answer with NULs, a result refused."""
    town = Scene(receiver, clients=2, window=5)
    receiver.behave(f"/webhook/{town.clients[1].pk}", ok(b"\x00\xff\xfe taken \x00"))
    alerts = town.fail(20)
    bad = Notice.objects.filter(alert__in=alerts[4:6])
    bad.update(snapshot={"monitor": None, "lines": [1], "title": 7})
    refused = Delivery.objects.filter(alert=alerts[0]).earliest("pk")
    poison(plant, "alerts_attempt", f"NEW.delivery_id = {refused.pk}")
    plant.start("page")
    until(scene.settled, within=120, what="every delivery to end")
    ended = {d.pk: d for d in Delivery.objects.filter(notice__in=bad)}
    others = Delivery.objects.filter(alert__in=alerts).exclude(pk__in=ended)
    assert all(d.state in ("failed", "gathered") and d.reason for d in ended.values()), [
        d.state for d in ended.values()
    ]
    assert {d.state for d in ended.values() if d.channel.type == "webhook"} == {"failed"}
    assert set(others.values_list("state", flat=True)) <= {"delivered", "gathered"}
    refused.refresh_from_db()
    assert refused.state == "delivered" and "could not be stored" in refused.reason
    assert Notice.objects.filter(kind="channel_dead").exists(), "nobody was told"
    bad.update(snapshot={"title": "unreadable"})
    verdict = checker.check(receiver.calls)
    print(f"poison on the way out: {verdict}")
    verdict.holds()
    assert verdict.unprovoked == 0


@pytest.mark.soak
def test_a_result_and_an_alert_that_cannot_be_stored(plant: Plant, receiver: Receiver, site: Site) -> None:
    """R36, judging: one monitor's results are refused, another's alert is; their neighbours are checked and paged."""
    town = Scene(receiver)
    plant.start("page", wait=False)
    plant.start("probe")
    monitors = town.watch([site.url(f"/{n}") for n in range(6)])
    until(lambda: Monitor.objects.filter(state="up").count() == 6, within=120, what="the sites to be seen well")
    silent, mute = monitors[1], monitors[4]
    poison(plant, "monitors_result", f"NEW.monitor_id = {silent.pk}")
    poison(plant, "alerts_alert", f"NEW.entity_id = '{mute.pk}'")
    before = Result.objects.filter(monitor_id=silent.pk).count()
    site.fail()
    until(lambda: Monitor.objects.filter(state="down").count() == 4, within=120, what="the neighbours to be seen down")
    until(lambda: len(receiver.calls) >= 8, within=120, what="their pages")
    site.up()
    until(lambda: Monitor.objects.filter(state="up").count() == 6, within=120, what="the neighbours to be seen well")
    until(scene.settled, within=120, what="every delivery to end")
    assert Result.objects.filter(monitor_id=silent.pk).count() == before
    verdict = checker.check(receiver.calls)
    print(f"poison on the way in: {verdict}")
    verdict.holds()

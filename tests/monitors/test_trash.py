"""A deleted monitor waits in the trash: nothing checks it, nothing tells of it, and it comes back as it was."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from alerts.models import Alert
from monitors import bulk, remote, rollups, services, store
from monitors.diagnosis import batteries, gathering
from monitors.models import Battery, Diagnosis, Monitor, MonitorTemplate, Probe, ProbeState, Result, Rollup, StateChange
from portal import trash
from portal.clock import database_now
from portal.errors import Refused
from portal.models import AuditEntry, Site, TrashEntry
from portal.tenancy import viewer_of
from statuspages.models import Component, Page
from tests import cast
from tests.console import scene
from tests.monitors import rows

pytestmark = pytest.mark.django_db


def thrown_away(m: Monitor) -> TrashEntry:
    """The entry of a monitor that was just deleted."""
    services.delete(m, by=cast.TESTS, at=database_now())
    return TrashEntry.objects.get(kind="monitors.monitor", object_id=m.pk)


def back(entry: TrashEntry, **more: str) -> Monitor:
    trash.put_back(entry, by=cast.TESTS, at=database_now(), **more)
    return Monitor.objects.get(pk=entry.object_id)


def hidden(m: Monitor) -> Monitor:
    """The row itself, past the mark."""
    return Monitor._base_manager.get(pk=m.pk)


# --- Gone ----------------------------------------------------------------------------------------------------------------
def test_a_deleted_monitor_is_seen_nowhere_and_keeps_its_history():
    m = rows.monitor()
    scene.results(m, database_now(), 3)
    entry = thrown_away(m)
    assert not Monitor.objects.filter(pk=m.pk).exists() and not cast.acme().monitors.exists()
    assert not Monitor.objects.for_user(cast.make_staff()).exists()
    assert Result.objects.filter(monitor_id=m.pk).count() == 3
    assert (entry.name, entry.deleted_by, entry.client) == ("shop", cast.TESTS.name, cast.acme())


def test_what_was_seen_just_before_is_counted_all_the_same():
    m, hour = rows.monitor(), rollups.hour_of(database_now())
    scene.results(m, hour + timedelta(minutes=30), 3)
    thrown_away(m)
    rollups.roll_hour(hour)
    assert Rollup.objects.get(monitor_id=m.pk, period="h").up == 3


def test_nothing_claims_it_any_more_and_a_result_under_way_does_not_count():
    m, at = rows.monitor(), database_now()
    (claim,) = store.claim("w", [rows.probe().pk], 10, at)
    thrown_away(m)
    assert not ProbeState.objects.filter(monitor_id=m.pk).exists()
    assert not store.claim("w", [rows.probe().pk], 10, at + timedelta(hours=1))
    assert not ProbeState.objects.filter(lease_token=claim.token).exists()
    assert not hidden(m).enabled


def test_a_remote_probe_is_told_that_it_has_one_less():
    berlin = rows.probe("berlin")
    m = rows.monitor(probes=[berlin])
    before = remote.work(berlin, database_now())
    assert [order["id"] for order in before.body()["monitors"]] == [m.pk]
    thrown_away(m)
    berlin.refresh_from_db()
    assert remote.work(berlin, database_now(), before.etag).body()["monitors"] == []


def test_its_open_alert_closes_quietly_and_the_change_is_on_record():
    s = scene.outage()
    entry = thrown_away(s.down)
    alert = Alert.objects.get(pk=s.alert.pk)
    assert alert.resolved_at is not None and not Alert.objects.filter(monitor_id=s.down.pk, resolved_at=None).exists()
    assert StateChange.objects.filter(monitor_id=s.down.pk).latest("version").to_state == "paused"
    assert AuditEntry.objects.filter(action="monitor.delete", subject=f"monitor:{entry.object_id}").count() == 1


def test_what_is_being_looked_into_ends_and_is_not_waited_for():
    m, at = rows.monitor(), database_now()
    d = Diagnosis.objects.create(monitor=m, cause="person", state="gathering", started_at=at, deadline_at=at)
    battery = Battery.objects.create(
        diagnosis=d, probe=rows.probe(), state="running", target_key="shop", started_at=at, lease_until=at
    )
    thrown_away(m)
    assert gathering.ready(at + timedelta(minutes=1)) == []
    assert batteries.keep(battery.pk, {}, at, worker=battery.claimed_by) is False
    d.refresh_from_db()
    battery.refresh_from_db()
    assert (d.state, battery.state) == ("dropped", "failed")


def test_a_ping_to_it_finds_nobody(client):
    m = rows.monitor(kind="heartbeat")
    assert client.get(f"/ping/{m.uuid}").status_code == 200
    thrown_away(m)
    assert client.get(f"/ping/{m.uuid}").status_code == 404


def test_it_is_deleted_once():
    m = rows.monitor()
    thrown_away(m)
    with pytest.raises(Refused, match="in the trash already"):
        services.delete(m, by=cast.TESTS, at=database_now())


def test_several_at_once_go_there_as_well():
    found = [rows.monitor(name=name) for name in ("a", "b")]
    bulk.act("delete", found, viewer=viewer_of(cast.make_staff()), by=cast.TESTS, at=database_now())
    assert TrashEntry.objects.count() == 2 and not Monitor.objects.exists()


def test_the_api_answers_404_for_it():
    m = rows.monitor()
    caller = cast.api(cast.make_staff())
    assert caller.delete(f"/api/v1/monitors/{m.pk}").status_code == 204
    for path in ("", "/results", "/uptime", "/host"):
        assert caller.get(f"/api/v1/monitors/{m.pk}{path}").status_code == 404, path
    assert TrashEntry.objects.get().deleted_by.startswith(cast.make_staff().email)


# --- Back ----------------------------------------------------------------------------------------------------------------
def test_it_comes_back_as_it_was_and_is_checked_at_once():
    berlin, paris = rows.probe("berlin"), rows.probe("paris")
    template = MonitorTemplate.objects.create(name="T", kind="http")
    m = rows.monitor(probes=[berlin, paris], tags=["prod"], quorum=2, site=cast.site(), template=template)
    child = rows.monitor(name="child", parent=m)
    page = Page.objects.create(client=cast.acme(), name="Status", slug="acme")
    part = Component.objects.create(page=page, name="Shop")
    part.monitors.add(m)
    entry = thrown_away(m)
    child.refresh_from_db()
    assert (
        child.parent is None and not Component.monitors.through.objects.exists() and not cast.site().monitors.exists()
    )

    m = back(entry)
    child.refresh_from_db()
    assert (m.site, m.template, m.quorum, m.enabled, m.state) == (cast.site(), template, 2, True, "pending")
    assert [t.name for t in m.tags.all()] == ["prod"] and child.parent == m and list(part.monitors.all()) == [m]
    assert set(m.views.values_list("probe__slug", flat=True)) == {"berlin", "paris"}
    assert {c.monitor for c in store.claim("w", [berlin.pk, paris.pk], 10, database_now())} == {m.pk}
    assert not TrashEntry.objects.exists() and AuditEntry.objects.filter(action="monitor.put_back").exists()


def test_a_paused_one_comes_back_paused():
    m = rows.monitor()
    services.pause(m, by=cast.TESTS, at=database_now())
    m = back(thrown_away(Monitor.objects.get(pk=m.pk)))
    assert not m.enabled and m.state == "paused" and not m.views.filter(active=True).exists()


def test_what_is_gone_meanwhile_is_said():
    berlin = rows.probe("berlin")
    m = rows.monitor(probes=[berlin, rows.probe()], quorum=2, site=cast.site())
    entry = thrown_away(m)
    Probe.objects.filter(pk=berlin.pk).delete()
    Site.objects.all().delete()
    remarks = trash.put_back(entry, by=cast.TESTS, at=database_now())
    assert "Its site is gone" in " ".join(remarks) and "1 instead of 2" in " ".join(remarks)
    assert Monitor.objects.get(pk=m.pk).quorum == 1


def test_a_jobs_address_that_another_has_by_now_needs_another():
    m = rows.monitor(kind="heartbeat", name="backup", slug="backup")
    entry = thrown_away(m)
    other = rows.monitor(kind="heartbeat", name="backup", slug="backup")
    assert other.slug == "backup", "its address was free"
    assert trash.taken_name(entry) == "slug"
    with pytest.raises(ValidationError, match="Another monitor has this ping address"):
        trash.put_back(entry, by=cast.TESTS, at=database_now())
    assert back(entry, name="backup-old").slug == "backup-old"


# --- For good ------------------------------------------------------------------------------------------------------------
def test_after_thirty_days_it_goes_for_good_and_not_before():
    m = rows.monitor()
    entry = thrown_away(m)
    assert trash.sweep(entry.deleted_at + timedelta(days=29)) == 0
    assert trash.sweep(entry.deleted_at + timedelta(days=30)) == 1
    assert not Monitor._base_manager.exists() and not TrashEntry.objects.exists()
    purged = AuditEntry.objects.get(action="monitor.purged")
    assert purged.actor == "Watchkeeper" and purged.before["deleted_by"] == cast.TESTS.name


def test_one_that_cannot_go_does_not_hold_up_the_others(monkeypatch):
    first, second = thrown_away(rows.monitor(name="a")), thrown_away(rows.monitor(name="b"))
    real = trash.purge

    def stuck(entry, **more):
        if entry.pk == first.pk:
            raise Refused("It is stuck.")
        real(entry, **more)

    monkeypatch.setattr(trash, "purge", stuck)
    assert trash.sweep(second.deleted_at + timedelta(days=31)) == 1
    assert list(TrashEntry.objects.all()) == [first]


# --- Sites ---------------------------------------------------------------------------------------------------------------
def test_a_site_comes_back_with_the_monitors_that_stood_there():
    site, m = cast.site(), rows.monitor(site=cast.site())
    moved = rows.monitor(name="moved", site=site)
    caller = cast.api(cast.make_staff())
    assert caller.delete(f"/api/v1/sites/{site.pk}").status_code == 204
    assert caller.get(f"/api/v1/sites/{site.pk}").status_code == 404
    m.refresh_from_db()
    assert m.site is None and m.enabled, "its monitors are watched all the same"
    elsewhere = Site.objects.create(client=cast.acme(), name="Elsewhere")
    Monitor.objects.filter(pk=moved.pk).update(site=elsewhere)
    trash.put_back(TrashEntry.objects.get(), by=cast.TESTS, at=database_now())
    assert list(site.monitors.all()) == [m] and list(elsewhere.monitors.all()) == [moved]


def test_a_sites_name_is_free_while_it_is_in_the_trash():
    site = cast.site()
    caller = cast.api(cast.make_staff())
    caller.delete(f"/api/v1/sites/{site.pk}")
    again = caller.post("/api/v1/sites", {"client": cast.acme().pk, "name": site.name}, format="json")
    assert again.status_code == 201, again.content
    entry = TrashEntry.objects.get()
    assert trash.taken_name(entry) == "name"
    with pytest.raises(ValidationError, match="Another site has this name"):
        trash.put_back(entry, by=cast.TESTS, at=database_now())
    trash.put_back(entry, by=cast.TESTS, at=database_now(), name="The old one")
    assert Site.objects.get(pk=site.pk).name == "The old one"

"""Everything of a client in one archive: what is in it, what is not, who may have it, and how it is made."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
import zipfile
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from alerts.models import Channel
from console.exporting import archive, contents, jobs
from incidents.models import Incident
from monitors import partitions
from monitors.models import Monitor, Probe, Result
from playbooks.models import Step
from portal import services
from portal.clock import database_now
from portal.errors import Refused
from portal.models import AuditEntry, Client, ClientExport, ExportPart
from portal.secrets import Sealed
from statuspages import services as pages
from tests import cast
from tests.console import scene
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db


def opened(data: bytes) -> zipfile.ZipFile:
    found = zipfile.ZipFile(io.BytesIO(data))
    assert found.testzip() is None
    return found


def packed(of: Client | None = None) -> zipfile.ZipFile:
    """The archive as it is when written in one go."""
    out = io.BytesIO()
    archive.write(of or cast.acme(), out, database_now())
    return opened(out.getvalue())


def objects(found: zipfile.ZipFile, name: str) -> list[dict]:
    return json.loads(found.read(f"{name}.json"))


def lines(found: zipfile.ZipFile, name: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(found.read(f"{name}.csv").decode("utf-8-sig"))))


def made(person=None) -> ClientExport:
    """An archive, asked for and made."""
    jobs.ask(cast.acme(), by=cast.TESTS, at=database_now())
    assert jobs.make_next(database_now())
    return ClientExport.objects.get()


# --- What is in it --------------------------------------------------------------------------------------------------------
def test_everything_a_client_can_ask_for_is_there():
    s = scene.outage()
    cast.site(), cast.service(), cast.contact(), cast.group(), cast.schedule(), cast.silence(), cast.window()
    pages.save_page(None, by=cast.TESTS, at=database_now(), client=cast.acme(), name="Acme status")
    found = packed()
    for name in (
        "client",
        "sites",
        "services",
        "contacts",
        "contact_groups",
        "monitors",
        "channels",
        "triggers",
        "on_call_schedules",
        "silences",
        "maintenance_windows",
        "incidents",
        "incident_timeline",
        "status_pages",
    ):
        assert objects(found, name), name
    for name in ("alerts", "state_changes", "messages", "audit_log"):
        assert lines(found, name), name
    (shop,) = [m for m in objects(found, "monitors") if m["name"] == "shop"]
    assert shop["config"]["url"] == scene.URL and shop["tags"] == ["prod"]
    results = lines(found, f"results/{shop['id']}")
    assert len(results) == 12 and results[0]["status"] == "up" and results[0]["probe"] == "Portal"
    (alert,) = lines(found, "alerts")
    assert (
        alert["entity_name"] == "api"
        and objects(found, "incident_timeline")[0]["incident_id"] == Incident.objects.get().pk
    )
    assert s and "Times are UTC" in found.read("README.txt").decode()


def test_no_secret_and_no_address_that_is_a_key_is_in_it():
    planted = "planted-s3cret"
    scene.outage()
    beat = scene.monitor(name="nightly", kind="heartbeat", config={"period_seconds": 60, "grace_seconds": 60})
    Monitor.objects.update(secrets=Sealed.of({"password": planted}))
    for row in Channel.objects.all():
        row.secrets = {"url": f"https://hooks.example/{planted}"}
        row.save()
    services.change_client(
        cast.acme(), by=cast.TESTS, slack_webhook=f"https://hooks.slack.com/{planted}", notes=f"{planted} of ours"
    )
    Step.objects.create(playbook=cast.playbook(), order=9, kind="http", config={}, secrets={"token": planted})
    page = pages.save_page(
        None,
        by=cast.TESTS,
        at=database_now(),
        client=cast.acme(),
        name="Acme",
        password=f"{planted}1A!",
        visibility="password",
    )
    cast.token(cast.alice())
    whole = b"".join(found.read(name) for found in [packed()] for name in found.namelist()).decode()
    page.refresh_from_db(), beat.refresh_from_db()
    assert planted not in whole
    assert str(beat.uuid) not in whole and page.password_hash not in whole and page.feed_mark not in whole


def test_of_another_client_nothing_is_in_it():
    scene.outage(), scene.monitor(cast.globex(), "Globex vault"), cast.contact(cast.globex(), "Gloria")
    Channel.objects.create(name="Staff only", type="webhook", secrets={"url": "https://x.example/"})
    found = packed()
    whole = b"".join(found.read(name) for name in found.namelist()).decode()
    for word in ("Globex", "Gloria", "Staff only"):
        assert word not in whole, word


def test_cells_are_no_formulas():
    m = scene.monitor()
    at = database_now()
    partitions.ensure(at.date(), at.date())
    Result.objects.create(
        monitor_id=m.pk, probe_id=Probe.objects.get(slug="local").pk, ts=at, status=3, message="=HYPERLINK(1)"
    )
    assert lines(packed(), f"results/{m.pk}")[0]["message"] == "'=HYPERLINK(1)"


def test_many_results_need_no_more_memory_than_few():
    m, at = scene.monitor(), database_now()
    partitions.ensure((at - timedelta(days=1)).date(), at.date())
    probe = Probe.objects.get(slug="local").pk
    peaks = []
    for start, more in ((0, 600), (600, 2400)):
        Result.objects.bulk_create((Result(monitor_id=m.pk, probe_id=probe, ts=at - timedelta(seconds=start + n), status=1, message="x" * 200) for n in range(more)), batch_size=1000)  # fmt: skip
        tracemalloc.start()
        jobs.ask(cast.acme(), by=cast.TESTS, at=at)
        jobs.make_next(database_now())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5 + 500_000, "five times as many rows, of which 500 are held at a time"


# --- How it is made -------------------------------------------------------------------------------------------------------
def test_it_is_made_in_the_background_kept_a_week_and_the_same_by_command(tmp_path):
    scene.monitor()
    row = made()
    assert row.state == "ready" and row.done == row.total == contents.count(cast.acme()) and row.parts.exists()
    data = b"".join(jobs.fetched(row, by=cast.TESTS, at=database_now()))
    assert len(data) == row.size
    call_command("export_client", "acme", str(tmp_path / "acme.zip"))
    assert opened(data).namelist() == opened((tmp_path / "acme.zip").read_bytes()).namelist()
    with pytest.raises(CommandError, match="there already"):
        call_command("export_client", "acme", str(tmp_path / "acme.zip"))
    with pytest.raises(CommandError, match="no client with the slug"):
        call_command("export_client", "nobody", str(tmp_path / "b.zip"))
    with pytest.raises(Refused, match="its week is over"):
        jobs.fetched(row, by=cast.TESTS, at=row.expires_at)
    assert jobs.forget(row.expires_at + timedelta(hours=1)) == 1 and not ExportPart.objects.exists()
    actions = AuditEntry.objects.filter(client_id=cast.acme().pk, action__startswith="client.export").values_list(
        "action", flat=True
    )
    assert sorted(actions) == ["client.export_asked", "client.export_fetched", "client.export_fetched"]


def test_one_at_a_time_and_what_a_dead_process_left_is_said():
    jobs.ask(cast.acme(), by=cast.TESTS, at=database_now())
    with pytest.raises(Refused, match="being made already"):
        jobs.ask(cast.acme(), by=cast.TESTS, at=database_now())
    ClientExport.objects.update(state="running", lease_token=7, lease_until=database_now() - timedelta(seconds=1))
    assert not jobs.make_next(database_now())
    row = ClientExport.objects.get()
    assert row.state == "failed" and "Ask for it once more" in row.error
    assert made_again().state == "ready"


def made_again() -> ClientExport:
    jobs.ask(cast.acme(), by=cast.TESTS, at=database_now())
    jobs.make_next(database_now())
    return ClientExport.objects.latest("pk")


def test_one_that_was_taken_away_meanwhile_is_not_finished(monkeypatch):
    row = jobs.ask(cast.acme(), by=cast.TESTS, at=database_now())
    write = archive.write

    def and_then_gone(client, out, at, told):
        ClientExport.objects.filter(pk=row.pk).update(state="failed")
        write(client, out, at, told)

    monkeypatch.setattr(jobs.archive, "write", and_then_gone)
    assert jobs.make_next(database_now())
    row.refresh_from_db()
    assert row.state == "failed"


# --- Who may have it ------------------------------------------------------------------------------------------------------
def test_staff_and_the_clients_admin_ask_for_it_and_fetch_it():
    scene.monitor()
    path = f"/clients/{cast.acme().pk}/export/"
    for person in (cast.alice(), cast.make_staff()):
        caller = browser(person)
        assert "Download everything" in text(caller.get(f"/clients/{cast.acme().pk}/"))
        assert "being made" in text(caller.post(path, follow=True))
        assert "Waiting for its turn" in text(caller.get(path))
        assert "not ready" in text(caller.get(f"{path}file/", follow=True))
        jobs.make_next(database_now())
        assert "Ready" in text(caller.get(path))
        answer = caller.get(f"{path}file/")
        assert answer["Content-Type"] == "application/zip" and "no-store" in answer["Cache-Control"]
        assert "monitors.json" in opened(b"".join(answer.streaming_content)).namelist()
    assert "Download everything first" in text(browser(cast.make_staff()).get(f"/clients/{cast.acme().pk}/delete/"))


@pytest.mark.parametrize("tail", ["", "file/"])
def test_nobody_else_gets_it(tail):
    made()
    path = f"/clients/{cast.acme().pk}/export/{tail}"
    assert browser(cast.mallory()).get(path).status_code == 404
    for person in (cast.viewer(), cast.approver(), cast.make_auditor()):
        assert browser(person).get(path).status_code == 403
    from django.test import Client as Browser

    assert Browser().get(path).status_code == 302, "signing in comes first"


def test_over_the_api():
    scene.monitor()
    api, path = cast.api(cast.alice()), f"/api/v1/clients/{cast.acme().pk}/export"
    assert api.get(path).status_code == 404
    asked = api.post(path)
    assert asked.status_code == 202 and asked.data["state"] == "waiting"
    assert api.post(path).status_code == 409
    assert api.get(f"{path}/file").status_code == 409
    jobs.make_next(database_now())
    told = api.get(path).data
    assert told["state"] == "ready" and told["done"] == told["total"] and told["expires_at"]
    assert "monitors.json" in opened(b"".join(api.get(f"{path}/file").streaming_content)).namelist()
    assert cast.api(cast.alice(), "read").get(path).status_code == 403, "it is more than reading"
    assert cast.api(cast.mallory()).get(path).status_code == 404

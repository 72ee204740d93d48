"""A client that leaves: what stops at that moment, what nobody sees any more, and how it all comes back as it was."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.test import Client as Browser

from alerts import feed as calendars
from alerts import integrations, outbox
from alerts.models import Alert, Channel, Delivery, Notice
from incidents.models import Incident
from monitors import resting, store
from monitors.models import Monitor, Probe, ProbeState
from portal import leaving, services, trash
from portal.clock import database_now
from portal.errors import Refused
from portal.models import AuditEntry, Client, Contact, Token, TrashEntry
from portal.tenancy import tenant_path_of, viewer_of
from statuspages import services as pages
from statuspages.models import Component, Page, Publication
from statuspages.serving import board
from tests import cast
from tests.console import scene
from tests.console.visiting import LISTS, browser, text

pytestmark = pytest.mark.django_db


def read(answer) -> str:
    return html.unescape(text(answer))


def leave(of=None) -> TrashEntry:
    """Acme goes into the trash."""
    client = of or cast.acme()
    services.delete_client(client, by=cast.TESTS)
    return TrashEntry.objects.get(kind="portal.client", object_id=client.pk)


def back(entry, name="") -> list[str]:
    return trash.put_back(entry, by=cast.TESTS, at=database_now(), name=name)


def waiting(alert=None) -> Delivery:
    at = database_now()
    row = cast.channel()
    notice = Notice.objects.create(client=cast.acme(), kind="test", event="test", type="test", severity="info", created_at=at, snapshot={})  # fmt: skip
    return Delivery.objects.create(
        notice=notice, kind="test", destination_key=row.destination_key, channel=row, alert=alert, client=cast.acme(),
        next_attempt_at=at, created_at=at,
    )  # fmt: skip


def page(of, **values) -> Page:
    return pages.save_page(None, by=cast.TESTS, at=database_now(), client=of, **values)


# --- As pages -------------------------------------------------------------------------------------------------------------
def test_staff_are_told_what_goes_and_get_an_undo():
    cast.site(), scene.monitor()
    client, caller = cast.acme(), browser(cast.make_staff())
    asked = read(caller.get(f"/clients/{client.pk}/delete/"))
    for words in ("1 monitors", "1 sites", "nothing of it is checked", "30 days"):
        assert words in asked, words
    assert Client.objects.filter(pk=client.pk).exists(), "looking deletes nothing"
    said = caller.post(f"/clients/{client.pk}/delete/", follow=True)
    (undo,) = re.findall(r'href="(/trash/\d+/put-back/)">Undo', said.content.decode())
    assert caller.get(f"/clients/{client.pk}/").status_code == 404
    assert "what rested rests" in read(caller.get(undo))
    assert caller.post(undo, follow=True).redirect_chain[-1][0] == f"/clients/{client.pk}/"


def test_only_our_own_people_delete_a_client_or_find_it_in_the_trash():
    client = cast.acme()
    for person in (cast.alice(), cast.make_auditor(), cast.mallory()):
        assert browser(person).post(f"/clients/{client.pk}/delete/").status_code in (403, 404)
    alice, entry = browser(cast.alice()), leave()
    assert "Acme" in read(browser(cast.make_staff()).get("/trash/"))
    assert alice.get(f"/trash/{entry.pk}/put-back/").status_code == 404
    assert browser(cast.mallory()).post(f"/trash/{entry.pk}/put-back/").status_code == 404


def test_deleting_over_the_api_can_be_undone_too():
    client = cast.acme()
    api = cast.api(cast.make_staff())
    assert api.delete(f"/api/v1/clients/{client.pk}").status_code == 204
    assert api.get(f"/api/v1/clients/{client.pk}").status_code == 404
    back(TrashEntry.objects.get())
    assert api.get(f"/api/v1/clients/{client.pk}").status_code == 200


# --- Nobody sees it -------------------------------------------------------------------------------------------------------
def test_its_people_and_tokens_see_nothing():
    alice, key = cast.alice(), cast.api(cast.alice())
    staffs = cast.api(cast.make_staff(), client=cast.acme())
    scene.monitor(), leave()
    assert not viewer_of(alice).client_ids
    assert key.get("/api/v1/monitors").data["results"] == []
    assert staffs.get("/api/v1/monitors").status_code == 401
    assert Token.objects.count() == 2, "they hold again when it is back"


def test_no_row_of_it_is_seen_by_our_own_people():
    scene.outage()
    for make in (
        cast.site,
        cast.service,
        cast.contact,
        cast.group,
        cast.trigger,
        cast.silence,
        cast.window,
        cast.schedule,
        cast.integration,
        cast.delivery,
    ):
        make()
    page(cast.acme(), name="Acme status")
    staff, client = cast.make_staff(), cast.acme().pk
    models = [m for m in apps.get_models() if tenant_path_of(m) and hasattr(m._default_manager, "for_user")]
    seen = {
        m._meta.label
        for m in models
        if m._default_manager.for_user(staff).filter(**{tenant_path_of(m): client}).exists()
    }
    assert len(seen) > 12, "there is much to hide"
    leave()
    left = {
        m._meta.label
        for m in models
        if m._default_manager.for_user(staff).filter(**{tenant_path_of(m): client}).exists()
    }
    assert left == {"portal.AuditEntry"}
    assert not Delivery.objects.for_user(staff).exists(), "what our own channels said about it neither"


def test_no_list_search_or_picker_names_it():
    scene.outage(), cast.site(), cast.contact(), cast.service(), cast.schedule()
    page(cast.acme(), name="Acme status")
    cast.alice()
    caller = browser(cast.make_owner())
    paths = [
        *LISTS,
        "/search/?q=Acme",
        "/people/",
        "/wallboard/",
        "/monitors/add/",
        "/incidents/add/",
        "/sla/",
        "/branding/",
        "/admin/portal/client/",
    ]
    assert "Acme" in read(caller.get("/clients/"))
    leave()
    named = [
        p
        for p in paths
        if "Acme" in read(caller.get(p)).replace("No such client", "").replace('value="Acme"', "").replace("“Acme”", "")
    ]
    assert not named


# --- Nothing runs ---------------------------------------------------------------------------------------------------------
def test_nothing_of_it_is_checked_and_a_result_under_way_does_not_count():
    m, at = scene.monitor(), database_now()
    probe = Probe.objects.get(built_in=True)
    ProbeState.objects.filter(monitor=m).update(next_due_at=at - timedelta(minutes=1))
    (claim,) = store.claim("w", [probe.pk], 10, at)
    leave()
    assert store.claim("w", [probe.pk], 10, at + timedelta(hours=1)) == []
    assert not ProbeState.objects.filter(monitor=m, lease_token=claim.token).exists()


def test_alerts_close_without_a_word_and_what_waits_is_dropped():
    scene.outage()
    alert = Alert.objects.get(resolved_at=None)
    before, message = Delivery.objects.count(), waiting(alert)
    leave()
    alert.refresh_from_db(), message.refresh_from_db()
    assert alert.resolved_at and (message.state, message.reason) == ("expired", "The client was deleted.")
    assert Delivery.objects.count() == before + 1, "nobody is told of a recovery"


def test_a_message_that_comes_later_is_not_sent():
    cast.channel()
    leave()
    late = waiting_of_gone()
    assert outbox.claim("w", 10, database_now() + timedelta(hours=1)) == []
    late.refresh_from_db()
    assert (late.state, late.reason) == ("expired", "The client was deleted.")


def waiting_of_gone() -> Delivery:
    """About the client that left, by a channel of our own."""
    at, client = database_now(), Client._base_manager.get(name="Acme")
    ours = Channel.objects.create(name="Ours", type="webhook", secrets={"url": "https://hooks.msp.example/x"})
    notice = Notice.objects.create(client=client, kind="test", event="test", type="test", severity="info", created_at=at, snapshot={})  # fmt: skip
    return Delivery.objects.create(
        notice=notice, kind="test", destination_key=ours.destination_key, channel=ours, client=client, next_attempt_at=at, created_at=at,
    )  # fmt: skip


def test_its_heartbeats_keys_pages_and_links_answer_as_if_they_were_gone():
    beat = scene.monitor(name="nightly", kind="heartbeat", config={"period_seconds": 60, "grace_seconds": 60})
    shown, feed = page(cast.acme(), name="Acme status"), cast.schedule()
    key = integrations.create(
        by=cast.TESTS, client=cast.acme(), name="Any", kind="generic", mapping={"title": "title"}
    )[1]
    ics = calendars.address(feed).partition("://")[2].partition("/")[2]
    anyone = Browser()

    def answers() -> list[int]:
        board.look_again()
        return [
            anyone.post(f"/ping/{beat.uuid}").status_code,
            anyone.post(
                "/api/v1/inbound/generic",
                {"title": "x"},
                "application/json",
                headers={"Authorization": f"Bearer {key}"},
            ).status_code,
            anyone.get(f"/status/{shown.slug}/").status_code,
            anyone.get(f"/{ics}").status_code,
        ]

    assert 404 not in (now := answers()) and 401 not in now, now
    entry = leave()
    assert answers() == [404, 401, 404, 404]
    back(entry)
    assert answers() == now


def test_our_own_status_page_lets_go_of_its_parts_and_has_them_again():
    m, service = scene.monitor(), cast.service()
    ours = page(None, name="Everything")
    part = Component.objects.create(page=ours, name="Shop", service=service)
    part.monitors.add(m)
    at = database_now()
    incident = Incident.objects.create(
        client=cast.acme(), title="Shop down", severity="critical", status="investigating", created_at=at
    )
    told = Publication.objects.create(page=ours, incident=incident, published_at=at)
    entry = leave()
    part.refresh_from_db(), told.refresh_from_db()
    assert not part.monitors.exists() and part.service is None and told.withdrawn_at
    back(entry)
    part.refresh_from_db(), told.refresh_from_db()
    assert told.withdrawn_at is None
    assert list(part.monitors.all()) == [m] and part.service == service


# --- Back as it was -------------------------------------------------------------------------------------------------------
def test_what_ran_runs_and_what_rested_rests():
    runs, rests = scene.monitor(), scene.monitor(name="old")
    resting.pause(rests, by=cast.TESTS, at=database_now())
    hidden = page(cast.acme(), name="Draft", enabled=False)
    shown = page(cast.acme(), name="Acme status")
    gone = Contact.objects.create(client=cast.acme(), name="Gone before")
    services.delete(gone, by=cast.TESTS)
    entry = leave()
    assert back(entry) == []
    assert {m.name: (m.enabled, m.state) for m in Monitor.objects.all()} == {
        "shop": (True, "pending"),
        "old": (False, "paused"),
    }
    assert set(ProbeState.objects.filter(active=True).values_list("monitor__name", flat=True)) == {"shop"}
    assert ProbeState.objects.get(monitor=runs).next_due_at <= database_now()
    assert {p.name: p.enabled for p in Page.objects.all()} == {"Draft": False, "Acme status": True}, (hidden, shown)
    assert not Contact.objects.filter(pk=gone.pk).exists() and TrashEntry.objects.get().object_id == gone.pk
    assert Client.objects.get().active and viewer_of(cast.alice()).client_ids


def test_an_inactive_client_comes_back_inactive():
    services.change_client(cast.acme(), by=cast.TESTS, active=False)
    back(leave())
    assert not Client.objects.get().active


def test_another_clients_monitor_stands_by_itself_meanwhile():
    gateway = scene.monitor(name="gateway")
    other = scene.monitor(cast.globex(), "branch")
    Monitor.objects.filter(pk=other.pk).update(parent=gateway)
    entry = leave()
    assert Monitor.objects.get(pk=other.pk).parent is None
    back(entry)
    assert Monitor.objects.get(pk=other.pk).parent == gateway


def test_name_and_slug_are_free_at_once_and_who_comes_back_takes_another():
    entry = leave()
    new = cast.acme()
    assert (new.name, new.slug) == ("Acme", "acme") and new.pk != entry.object_id
    caller, path = browser(cast.make_staff()), f"/trash/{entry.pk}/put-back/"
    assert "called as it was by now" in read(caller.get(path))
    assert caller.post(path, {"name": "Acme"}).status_code == 400
    said = read(caller.post(path, {"name": "Acme the first"}, follow=True))
    assert "Its slug is acme-the-first now" in said
    assert set(Client.objects.values_list("name", "slug")) == {("Acme", "acme"), ("Acme the first", "acme-the-first")}


def test_what_was_being_made_at_that_moment_is_stopped_within_the_minute():
    """A row whose transaction had not ended when the client left: no door lets one in afterwards."""
    entry = leave()
    late = scene.monitor(Client._base_manager.get(pk=entry.object_id), "late")
    assert Monitor.objects.filter(pk=late.pk).exists()
    assert leaving.settle(database_now()) == 1 and leaving.settle(database_now()) == 0
    assert not Monitor.objects.filter(pk=late.pk).exists() and not ProbeState.objects.filter(active=True).exists()
    entry.refresh_from_db()
    back(entry)
    assert Monitor.objects.get(pk=late.pk).enabled


# --- For good, and on record ----------------------------------------------------------------------------------------------
def test_after_thirty_days_it_goes_for_good_and_its_record_stays():
    scene.outage(), cast.contact(), cast.site()
    client, entry = cast.acme().pk, leave()
    assert trash.sweep(entry.deleted_at + timedelta(days=29)) == 0
    assert trash.sweep(entry.deleted_at + timedelta(days=30, seconds=1)) >= 1
    assert not Client._base_manager.filter(pk=client).exists() and not Monitor._base_manager.exists()
    assert not TrashEntry.objects.exists()
    done = list(
        AuditEntry.objects.filter(client_id=client, action__startswith="client.")
        .order_by("pk")
        .values_list("action", flat=True)
    )
    assert done == ["client.created", "client.deleted", "client.purged"]


def test_coming_back_stands_in_its_own_chain():
    client = cast.acme().pk
    back(leave())
    assert AuditEntry.objects.filter(client_id=client, action="client.put_back").count() == 1


def test_what_came_back_cannot_be_deleted_for_good_by_an_old_page():
    entry = leave()
    back(entry)
    with pytest.raises(Refused, match="not in the trash any more"):
        trash.purge(entry, by=cast.TESTS, at=database_now())
    with pytest.raises(Refused, match="not in the trash any more"):
        back(entry)
    assert Client.objects.count() == 1

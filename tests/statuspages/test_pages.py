"""Status pages as people without scripts work with them: make one, fill it, order it, plan work, publish, look who reads."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from incidents import services as incidents
from incidents.models import ServiceRules
from portal.clock import database_now
from statuspages import services
from statuspages.models import Component, Page, Publication, ScheduledWork, Subscriber
from tests import cast
from tests.console.visiting import browser, form_of, text
from tests.statuspages.test_services import png

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def page(of=None, **values) -> Page:
    at = database_now()
    return services.save_page(
        None, by=cast.TESTS, at=at, client=of or cast.acme(), **{"name": "Acme status", "slug": "acme", **values}
    )


def part(on: Page, name: str = "Shop", *monitors, **values) -> Component:
    return services.save_component(on, None, by=cast.TESTS, at=database_now(), name=name, monitors=monitors, **values)


def incident(**values):
    given = {"title": "Checkout fails", "severity": "major", "client_id": cast.acme().pk, "notify": False, **values}
    return incidents.create(by=cast.TESTS, at=database_now(), **given)


# --- The page -------------------------------------------------------------------------------------------------------------
def test_a_name_is_enough_to_begin_with():
    caller = browser(cast.alice())
    assert "Readers ask, because they see nothing" in text(caller.get("/status-pages/"))
    form = form_of(caller.get("/status-pages/add/"))
    seen = caller.post("/status-pages/add/", {**form, "name": "Acme status", "client": cast.acme().pk}, follow=True)
    made = Page.objects.get()
    assert (made.client, made.slug) == (cast.acme(), "acme-status") and seen.redirect_chain[-1][
        0
    ] == f"/status-pages/{made.pk}/"
    assert "Nothing to see yet" in text(seen) and "Add a component" in text(seen)
    assert "Acme status" in text(caller.get("/status-pages/"))


def test_what_is_saved_untouched_stays_as_it_was():
    made = page(about="Hello", custom_domain="status.acme.example", custom_css="h1 { color: red }")
    caller = browser(cast.make_staff())
    caller.post(f"/status-pages/{made.pk}/edit/", form_of(caller.get(f"/status-pages/{made.pk}/edit/")))
    after = Page.objects.get()
    for name in services.SAID:
        assert getattr(after, name) == getattr(made, name), name


def test_a_mistake_stands_at_its_field_and_nothing_is_saved():
    made, caller = page(), browser(cast.alice())
    form = form_of(caller.get(f"/status-pages/{made.pk}/edit/"))
    answer = caller.post(
        f"/status-pages/{made.pk}/edit/",
        {**form, "custom_domain": "https://x", "visibility": "password", "name": "Other"},
    )
    assert answer.status_code == 400 and "Write the name alone" in text(answer) and "needs one" in text(answer)
    made.refresh_from_db()
    assert made.name == "Acme status"


def test_a_logo_is_taken_and_a_drawing_that_runs_is_not():
    made, caller = page(), browser(cast.alice())
    form = form_of(caller.get(f"/status-pages/{made.pk}/edit/"))
    bad = caller.post(
        f"/status-pages/{made.pk}/edit/", {**form, "logo": SimpleUploadedFile("a.png", b"<svg onload=alert(1)>")}
    )
    assert "SVG is a program" in text(bad)
    caller.post(f"/status-pages/{made.pk}/edit/", {**form, "logo": SimpleUploadedFile("a.png", png(200, 50))})
    made.refresh_from_db()
    assert made.logo_type == "image/png"
    caller.post(f"/status-pages/{made.pk}/edit/", {**form, "no_logo": "on"})
    made.refresh_from_db()
    assert not made.logo


def test_what_of_the_style_sheet_is_not_kept_is_said():
    made, caller = page(), browser(cast.alice())
    form = form_of(caller.get(f"/status-pages/{made.pk}/edit/"))
    seen = caller.post(f"/status-pages/{made.pk}/edit/", {**form, "custom_css": "p { position: fixed }"}, follow=True)
    assert "Line 1: position: it is only ever relative or static here." in text(seen)


def test_the_record_to_copy_stands_on_the_page():
    made = page(custom_domain="status.acme.example")
    seen = text(browser(cast.alice()).get(f"/status-pages/{made.pk}/"))
    assert "_watchkeeper.status.acme.example" in seen and made.domain_mark in seen and "Not proved" in seen


def test_a_page_is_switched_off_and_deleted_after_a_question():
    made, caller = page(), browser(cast.alice())
    caller.post(f"/status-pages/{made.pk}/off/")
    made.refresh_from_db()
    assert not made.enabled and "Off" in text(caller.get("/status-pages/"))
    assert "0 readers" in text(caller.get(f"/status-pages/{made.pk}/delete/")) and Page.objects.exists()
    caller.post(f"/status-pages/{made.pk}/delete/")
    assert not Page.objects.exists()


def test_whoever_may_only_read_changes_nothing():
    made = page()
    shop = part(made)
    caller = browser(cast.viewer())
    seen = caller.get(f"/status-pages/{made.pk}/")
    assert seen.status_code == 200 and "<form" not in seen.content.decode().partition("<main")[2]
    for tail in ("off/", "verify/", "delete/", f"components/{shop.pk}/up/", f"components/{shop.pk}/override/"):
        assert caller.post(f"/status-pages/{made.pk}/{tail}").status_code == 403, tail
    for tail in ("edit/", "components/add/", "works/add/", f"components/{shop.pk}/"):
        assert caller.get(f"/status-pages/{made.pk}/{tail}").status_code == 403, tail
    assert browser(cast.mallory()).get(f"/status-pages/{made.pk}/").status_code == 404


def test_the_list_costs_the_same_for_three_and_for_twelve():
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert caller.get("/status-pages/").status_code == 200
        return len(queries)

    caller = browser(cast.make_staff())
    for number in range(3):
        part(page(slug=f"a{number}"))
    caller.get("/status-pages/")
    few = cost()
    for number in range(3, 12):
        part(page(slug=f"a{number}"))
    assert cost() == few


# --- Components -----------------------------------------------------------------------------------------------------------
def test_a_component_is_made_below_a_new_heading():
    made, caller, shop = page(), browser(cast.alice()), cast.monitor()
    cast.monitor(cast.globex(), "theirs")
    form = caller.get(f"/status-pages/{made.pk}/components/add/")
    assert "theirs" not in text(form)
    data = {"name": "Shop", "monitors": [shop.pk], "new_group": "Core", "show_uptime": "on"}
    seen = caller.post(f"/status-pages/{made.pk}/components/add/", data, follow=True)
    row = Component.objects.get()
    assert (row.group.name, list(row.monitors.all())) == ("Core", [shop]) and "1 monitor" in text(seen)
    more = caller.post(f"/status-pages/{made.pk}/components/add/", {"name": "Mail", "another": "1"})
    assert more["Location"].endswith("/components/add/")


def test_another_clients_monitor_cannot_be_chosen_even_by_hand():
    made, theirs = page(), cast.monitor(cast.globex(), "theirs")
    answer = browser(cast.make_staff()).post(
        f"/status-pages/{made.pk}/components/add/", {"name": "Shop", "monitors": [theirs.pk]}
    )
    assert answer.status_code == 400 and not Component.objects.exists()


def test_order_is_changed_by_buttons_within_a_heading():
    made, caller = page(), browser(cast.alice())
    group = services.save_group(made, None, by=cast.TESTS, at=database_now(), name="Core")
    a, _, c = part(made, "a"), part(made, "b", group=group), part(made, "c")
    seen = caller.get(f"/status-pages/{made.pk}/").content.decode()
    assert 'aria-label="Move c up"' in seen and 'aria-label="Move a up"' not in seen
    answer = caller.post(f"/status-pages/{made.pk}/components/{c.pk}/up/")
    assert answer["Location"].endswith(f"#component-{c.pk}")
    assert [x.name for x in made.components.filter(group=None)] == ["c", "a"]
    caller.post(f"/status-pages/{made.pk}/components/{c.pk}/up/")
    assert [x.name for x in made.components.filter(group=None)] == ["c", "a"], "further up is nowhere"
    assert a.pk


def test_a_component_is_said_by_hand_until_a_time():
    made, caller = page(), browser(cast.alice())
    row = part(made)
    until = (database_now() + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M")
    seen = caller.post(
        f"/status-pages/{made.pk}/components/{row.pk}/override/", {"override": "degraded", "until": until}, follow=True
    )
    row.refresh_from_db()
    assert row.override == "degraded" and row.override_until and "is said to be: degraded" in text(seen)
    bad = caller.post(
        f"/status-pages/{made.pk}/components/{row.pk}/override/",
        {"override": "degraded", "until": "2020-01-01T00:00"},
        follow=True,
    )
    assert "past already" in text(bad)


# --- Planned work -----------------------------------------------------------------------------------------------------------
def test_work_is_planned_told_and_called_off():
    made, caller = page(timezone="Europe/Lisbon"), browser(cast.alice())
    shop = part(made, "Shop", cast.monitor())
    form = form_of(caller.get(f"/status-pages/{made.pk}/works/add/"))
    seen = caller.post(
        f"/status-pages/{made.pk}/works/add/", {**form, "title": "Upgrade", "components": [shop.pk]}, follow=True
    )
    row = ScheduledWork.objects.get()
    assert "Planned; subscribers are told." in text(seen) and row.window is not None and "Europe/Lisbon" in text(seen)
    where = f"/status-pages/{made.pk}/works/{row.pk}/"
    seen = caller.post(where, {"status": "in_progress", "message": "We begin."}, follow=True)
    assert "It runs; readers were told." in text(seen) and "We begin." in text(seen)
    assert caller.post(where, {"status": "scheduled"}).status_code == 400
    caller.post(f"{where}cancel/", {"reason": "Not today."})
    row.refresh_from_db()
    assert row.status == "cancelled" and row.updates.last().message == "Not today."
    assert "plan new work" in text(caller.get(f"{where}edit/", follow=True))


# --- The box on an incident's page ------------------------------------------------------------------------------------------
def test_an_incident_is_published_from_its_box():
    made, caller = page(), browser(cast.alice())
    shop, mail = part(made, "Shop", cast.monitor()), part(made, "Mail")
    told = incident(affected_monitor_ids=[cast.monitor().pk])
    box = caller.get(f"/incidents/{told.pk}/publication/", headers={"HX-Request": "true"})
    html = box.content.decode()
    assert "<html" not in html and f'value="{shop.pk}" checked' in html and f'value="{mail.pk}" checked' not in html
    assert "<html" in caller.get(f"/incidents/{told.pk}/publication/").content.decode(), (
        "a page of its own without scripts"
    )
    caller.post(
        f"/incidents/{told.pk}/publication/", {"page": made.pk, "components": [mail.pk], "title": "Letters wait"}
    )
    shown = Publication.objects.get()
    assert (list(shown.components.all()), shown.title) == ([mail], "Letters wait")
    assert "Published" in text(caller.get(f"/incidents/{told.pk}/publication/"))
    assert "subscribers hear nothing further" in text(
        caller.get(f"/incidents/{told.pk}/publication/{shown.pk}/withdraw/")
    )
    caller.post(f"/incidents/{told.pk}/publication/{shown.pk}/withdraw/")
    shown.refresh_from_db()
    assert shown.withdrawn_at


def test_what_waits_for_a_person_says_so():
    made = page()
    ServiceRules.objects.create(service=cast.service(), creation="auto_with_confirmation", auto_publish_page=made.pk)
    told = incident(service=cast.service())
    type(told).objects.filter(pk=told.pk).update(auto_created=True)
    seen = text(browser(cast.alice()).get(f"/incidents/{told.pk}/publication/"))
    assert "Waits for you" in seen and "Confirm, and publish" in seen


def test_the_box_offers_only_pages_that_may_speak_of_it():
    page(cast.globex(), name="Globex status", slug="globex")
    told = incident()
    seen = text(browser(cast.make_staff()).get(f"/incidents/{told.pk}/publication/"))
    assert "Globex status" not in seen and "Add one" in seen
    theirs = Page.objects.get()
    assert browser(cast.make_staff()).post(f"/incidents/{told.pk}/publication/", {"page": theirs.pk}).status_code == 404
    assert "Publish on" not in text(browser(cast.viewer()).get(f"/incidents/{told.pk}/publication/"))


# --- Readers ----------------------------------------------------------------------------------------------------------------
def test_readers_addresses_are_for_those_who_may_change_the_page():
    made, at = page(), database_now()
    row = Subscriber.objects.create(
        page=made,
        kind="email",
        address="reader@acme.example",
        address_hash="x",
        state="active",
        created_at=at,
        asked_at=at,
    )
    where = f"/status-pages/{made.pk}/readers/"
    assert "reader@acme.example" in text(browser(cast.alice()).get(where))
    assert "reader@" not in text(browser(cast.viewer()).get(where)) and "reader@" not in text(
        browser(cast.make_auditor()).get(where)
    )
    assert browser(cast.viewer()).get(f"{where}{row.pk}/remove/").status_code == 403
    browser(cast.alice()).post(f"{where}{row.pk}/remove/")
    assert not Subscriber.objects.exists()


# --- The rule of a service ------------------------------------------------------------------------------------------------------
def test_a_services_form_names_its_page_and_keeps_one_that_is_not_seen():
    made = page()
    where = f"/services/{cast.service().pk}/"
    caller = browser(cast.alice())
    caller.post(where, {**form_of(caller.get(where)), "auto_publish_page": made.pk})
    assert ServiceRules.objects.get().auto_publish_page == made.pk
    ours = services.save_page(None, by=cast.TESTS, at=database_now(), name="Platform")
    ServiceRules.objects.update(auto_publish_page=ours.pk)
    caller.post(where, {**form_of(caller.get(where)), "name": "Till"})
    assert ServiceRules.objects.get().auto_publish_page == ours.pk and "Platform" not in text(caller.get(where))


# --- Elsewhere --------------------------------------------------------------------------------------------------------------------
def test_what_other_sites_can_show_is_there_to_copy():
    made = page()
    shop = part(made)
    where = f"/status-pages/{made.pk}/"
    shown = text(browser(cast.alice()).get(where))
    assert "/status/acme/embed/" in shown and "/status/acme/badge.svg" in shown
    assert f"/status/acme/badge/{shop.pk}.svg" in browser(cast.alice()).get(where).content.decode()
    services.save_page(made, by=cast.TESTS, at=database_now(), visibility="signed_in")
    assert "embed/" not in text(browser(cast.alice()).get(where)), "nothing of it answers strangers"

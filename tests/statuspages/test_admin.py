"""The support desk of status pages: through the doors, and without showing what is kept from it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client as Browser

from portal.clock import database_now
from statuspages import services
from statuspages.models import Component, Page, Projection, ScheduledWork, Subscriber
from tests import cast

pytestmark = pytest.mark.django_db


def desk() -> Browser:
    found = Browser()
    found.force_login(cast.make_owner(), backend="django.contrib.auth.backends.ModelBackend")
    return found


def page(**values) -> Page:
    at = database_now()
    return services.save_page(
        None, by=cast.TESTS, at=at, client=cast.acme(), **{"name": "Acme status", "slug": "acme", **values}
    )


def fields(answer) -> dict[str, object]:
    form = answer.context["adminform"].form
    found: dict[str, object] = {"components-TOTAL_FORMS": "0", "components-INITIAL_FORMS": "0"}
    for field in form:
        value = field.value()
        if value not in (None, False, ""):
            found[field.html_name] = (
                "on"
                if value is True
                else [str(getattr(v, "pk", v)) for v in value]
                if isinstance(value, list)
                else str(value)
            )
    return found


def test_a_page_is_changed_by_its_door():
    made, browser = page(), desk()
    where = f"/admin/statuspages/page/{made.pk}/change/"
    form = fields(browser.get(where))
    assert browser.post(where, {**form, "headline": "Hello"}).status_code == 302
    assert Page.objects.get().headline == "Hello"
    bad = browser.post(where, {**form, "custom_domain": "https://x"})
    assert "Write the name alone" in bad.content.decode()
    assert made.domain_mark not in browser.get(where).content.decode()


def test_a_component_of_another_client_is_refused_at_its_field():
    made, theirs = page(), cast.monitor(cast.globex(), "theirs")
    data = {"page": made.pk, "name": "Shop", "monitors": [theirs.pk]}
    answer = desk().post("/admin/statuspages/component/add/", data)
    assert "No such monitor of Acme" in answer.content.decode() and not Component.objects.exists()


def test_readers_are_numbers_there():
    made, at = page(), database_now()
    row = Subscriber.objects.create(
        page=made,
        kind="email",
        address="reader@acme.example",
        address_hash="abchash",
        state="active",
        created_at=at,
        asked_at=at,
    )
    for where in ("/admin/statuspages/subscriber/", f"/admin/statuspages/subscriber/{row.pk}/change/"):
        html = desk().get(where).content.decode()
        assert "reader@" not in html and "abchash" not in html and row.mark not in html, where


def test_every_list_and_page_answers():
    made, at = page(), database_now()
    shop = services.save_component(made, None, by=cast.TESTS, at=at, name="Shop")
    services.set_override(shop, "degraded", by=cast.TESTS, at=at)
    services.save_group(made, None, by=cast.TESTS, at=at, name="Core")
    services.save_work(
        made,
        None,
        by=cast.TESTS,
        at=at,
        title="Upgrade",
        starts_at=at + timedelta(hours=1),
        ends_at=at + timedelta(hours=2),
    )
    assert Projection.objects.exists()
    browser = desk()
    for name in (
        "page",
        "component",
        "componentgroup",
        "scheduledwork",
        "workupdate",
        "publication",
        "projection",
        "subscriber",
    ):
        assert browser.get(f"/admin/statuspages/{name}/").status_code == 200, name
    for name, row in (
        ("component", shop),
        ("scheduledwork", ScheduledWork.objects.get()),
        ("projection", Projection.objects.get()),
    ):
        assert browser.get(f"/admin/statuspages/{name}/{row.pk}/change/").status_code == 200, name
    browser.post("/admin/statuspages/component/", {"action": "as_measured", "_selected_action": [shop.pk]})
    shop.refresh_from_db()
    assert shop.override == ""
    browser.post(
        "/admin/statuspages/scheduledwork/", {"action": "cancel", "_selected_action": [ScheduledWork.objects.get().pk]}
    )
    assert ScheduledWork.objects.get().status == "cancelled"


def test_the_pages_own_list_reads_what_was_built_on_either_database():
    made = page()
    services.save_component(made, None, by=cast.TESTS, at=database_now(), name="Shop")
    Projection.objects.update(body={"state": {"status": "major_outage"}})
    for where in ("/status-pages/", f"/status-pages/{made.pk}/"):
        assert "Major outage" in desk().get(where).content.decode(), where

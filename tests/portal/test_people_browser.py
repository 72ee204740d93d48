"""Sign-in and people in a real browser: the way over the company's sign-on, the pages at a desk and on a phone, for everybody."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client as Visits

from portal import people
from portal.models import Membership
from tests import cast
from tests.console.test_browser import PHONE, Visitor, chromium  # noqa: F401 - a fixture
from tests.portal.an_app import by_password
from tests.portal.provider import provided
from tests.rig import axe

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture(autouse=True)
def nothing_remembered():
    cache.clear()


def test_somebody_signs_on_over_the_company_and_comes_back(chromium, live_server, settings):  # noqa: F811
    cast.make_staff()
    settings.BASE_URL = live_server.url
    with provided(settings) as provider:
        provider.callback = f"{live_server.url}/login/oidc/callback/"
        window = chromium.new_context()
        page = window.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{live_server.url}/login/?next=/clients/")
        page.get_by_role("link", name="Sign in with Acme ID").click()
        page.wait_for_url("**/clients/")
        known = {cookie["name"]: cookie for cookie in window.cookies() if cookie["name"].startswith("known-")}
        assert [(c["httpOnly"], c["sameSite"]) for c in known.values()] == [(True, "Lax")]
        window.close()


def test_a_session_is_ended_from_another_browser(chromium, live_server):  # noqa: F811
    sam = cast.make_staff()
    phone = Visits(headers={"User-Agent": "Mozilla/5.0 (iPhone) Version/18.0 Safari/604.1"})
    by_password(phone, sam)
    here = Visitor(chromium, live_server, sam)
    page = here.open("/security/")
    page.get_by_role("link", name="Your sessions").click()
    page.get_by_role("button", name="End the session of Safari on iPhone").click()
    page.get_by_text("The session of Safari on iPhone was ended.").wait_for()
    assert phone.get("/security/").status_code == 302 and here.complaints == []


def test_a_person_is_invited_and_made_an_approver(chromium, live_server):  # noqa: F811
    alice = Visitor(chromium, live_server, cast.alice())
    page = alice.open("/people/")
    page.get_by_role("link", name="Invite somebody").click()
    page.get_by_label("E-mail").fill("ina@acme.example")
    page.get_by_label("Role").select_option("viewer")
    page.get_by_role("button", name="Invite", exact=True).click()
    page.get_by_text("ina@acme.example was invited").wait_for()
    page.get_by_role("link", name="ina@acme.example").click()
    page.locator("select[name=role]").select_option("approver")
    page.get_by_role("button", name="Change the role").click()
    page.get_by_text("is client approver now").wait_for()
    assert Membership.objects.get(user__email="ina@acme.example").role == "approver" and alice.complaints == []


def test_staff_look_as_a_client_does_and_end_it(chromium, live_server):  # noqa: F811
    cast.monitor(), cast.monitor(cast.globex(), "globex shop")
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open("/")
    page.get_by_label("Your account").click()
    page.get_by_role("link", name="View as a client").click()
    page.get_by_label("Client").select_option(label="Acme")
    page.get_by_label("Reason").fill("Alice asks why she sees no chart")
    page.get_by_role("button", name="View", exact=True).click()
    page.get_by_text("You see what Acme’s viewers see").wait_for()
    page.goto(f"{live_server.url}/monitors/")
    assert "globex" not in page.inner_text("main")
    page.get_by_role("button", name="End", exact=True).click()
    page.get_by_text("You see your own portal again.").wait_for()
    assert sam.complaints == []


@pytest.mark.parametrize("size", [PHONE, {"width": 1280, "height": 900}], ids=["phone", "desk"])
def test_everybody_can_use_the_pages(chromium, live_server, size):  # noqa: F811
    people.invite(
        "a-rather-long-name-of-somebody@subsidiary.acme.example", role="viewer", client=cast.acme(), by=cast.TESTS
    )
    ina, vic = Membership.objects.latest("pk"), cast.viewer()
    row = Membership.objects.get(user=vic)
    olga = Visitor(chromium, live_server, cast.make_owner(), size)
    by_password(Visits(headers={"User-Agent": "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0"}), cast.make_owner())
    barriers = []
    paths = [
        "/people/",
        "/people/?q=nobody",
        "/people/invite/",
        f"/people/{ina.pk}/",
        f"/people/{row.pk}/",
        f"/people/{row.pk}/remove/",
    ]
    for path in [*paths, f"/people/{row.pk}/end-sessions/", "/security/", "/security/sessions/", "/view-as/"]:
        look(olga, path, barriers)
    page = olga.open(f"/view-as/?client={cast.acme().pk}")
    page.get_by_label("Reason").fill("Seeing what Acme sees")
    page.get_by_role("button", name="View", exact=True).click()
    page.get_by_text("viewers see").wait_for()
    for path in ("/", "/search/?q=shop"):
        look(olga, path, barriers)
    refused = olga.open("/security/")
    assert "You are only looking" in refused.inner_text("main")
    barriers += axe.look(refused, "refused")
    assert not barriers, axe.told(barriers)


def look(visitor: Visitor, path: str, barriers: list) -> None:
    page = visitor.open(path)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    barriers += axe.look(page, path)


def test_everybody_can_use_the_way_in(chromium, live_server, settings):  # noqa: F811
    cast.make_staff()
    settings.BASE_URL = live_server.url
    with provided(settings) as provider:
        settings.OIDC = provider.settings(require=True)
        provider.callback, provider.denies = f"{live_server.url}/login/oidc/callback/", "access_denied"
        window = chromium.new_context(viewport=PHONE)
        page = window.new_page()
        page.set_default_timeout(60_000)
        barriers = []
        page.goto(f"{live_server.url}/login/")
        barriers += axe.look(page, "/login/")
        page.get_by_role("link", name="Sign in with Acme ID").click()
        page.get_by_role("heading", name="You are not signed in").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        barriers += axe.look(page, "not signed in")
        window.close()
    assert not barriers, axe.told(barriers)

"""Staff look as a client's people do: with a reason, for half an hour, seeing no more than the client, changing nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
import time_machine
from django.conf import settings
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client as Browser

from monitors.models import Monitor
from portal import audit, people, viewing
from portal.models import AuditEntry, Client, Membership, Site
from portal.viewing import OnlyLooking
from tests import cast, test_tenancy
from tests.console.visiting import FORMS, LISTS

pytestmark = [pytest.mark.django_db, pytest.mark.once]
REASON = "Alice asks why she sees no chart"


@pytest.fixture(autouse=True)
def two_clients():
    cache.clear()
    cast.monitor(), cast.monitor(cast.globex(), "globex shop")
    cast.site(), cast.site(cast.globex(), "Globex HQ")


def as_(user) -> Browser:
    browser = Browser()
    browser.force_login(user)
    return browser


def begin(browser: Browser, client: Client | None = None, reason: str = REASON):
    return browser.post("/view-as/", {"client": (client or cast.acme()).pk, "reason": reason})


@pytest.fixture
def looking() -> Browser:
    """Sam of our staff looks as Acme's people do."""
    browser = as_(cast.make_staff())
    assert begin(browser)["Location"] == "/"
    return browser


def entries(action: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action, client_id=cast.acme().pk))


# --- Begin, and who may -----------------------------------------------------------------------------------------------
def test_the_client_reads_who_looked_why_and_until_when(looking):
    (entry,) = entries("client.viewing_began")
    assert entry.actor == "sam@msp.example" and entry.after["reason"] == REASON and "T" in entry.after["until"]
    for who, told in ((cast.alice(), True), (cast.mallory(), False)):
        assert (f"sam@msp.example, because: {REASON}" in as_(who).get("/people/").content.decode()) == told
        assert AuditEntry.objects.for_user(who).filter(action="client.viewing_began").exists() == told
    looking.post("/view-as/end/")
    assert entries("client.viewing_ended")[0].after == {"how": "ended"} and not list(audit.verify())


@pytest.mark.parametrize("reason", ["", "   ", "why", "x" * 501])
def test_without_a_reason_nobody_looks(reason):
    browser = as_(cast.make_staff())
    assert begin(browser, reason=reason).status_code == 400
    assert browser.get("/clients/").content.count(b"Globex") and not entries("client.viewing_began")


def test_who_may_look():
    for who, status in (
        (cast.make_owner, 302),
        (cast.make_staff, 302),
        (cast.make_auditor, 403),
        (cast.alice, 404),
        (cast.stranger, 404),
    ):
        browser = as_(who())
        assert begin(browser).status_code == status, who
        assert ("viewing" in browser.session) == (status == 302)
    assert Browser().get("/view-as/")["Location"].startswith("/login/")


def test_a_client_that_is_inactive_has_no_view():
    Client.objects.filter(pk=cast.acme().pk).update(active=False)
    assert begin(as_(cast.make_staff())).status_code == 400


def test_looking_at_the_form_begins_nothing():
    browser = as_(cast.make_staff())
    assert browser.get(f"/view-as/?client={cast.acme().pk}").status_code == 200 and "viewing" not in browser.session
    assert 'href="/view-as/"' in browser.get("/").content.decode()


# --- What is seen -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", LISTS)
def test_every_list_shows_what_a_viewer_of_the_client_sees(looking, path):
    cast.make_owner()
    vic = as_(cast.viewer()).get(path)
    seen = looking.get(path)
    assert seen.status_code == vic.status_code
    if seen.status_code == 200:
        assert "Globex" not in seen.content.decode() and "globex" not in seen.content.decode()
        assert main_of(seen) == main_of(vic)


def main_of(page) -> list[str]:
    """The page's rows and buttons, without what belongs to the person or the moment."""
    text = page.content.decode().partition('<main class="main"')[2].partition("<footer")[0]
    text = re.sub(r'<section class="messages" aria-label="You view.*?</section>', "", text, flags=re.S)
    text = re.sub(
        r"csrfmiddlewaretoken\" value=\"\w+|<time.*?</time>|(?<=value=\")\d{4}-\d\d-\d\dT[\d:]+", "", text, flags=re.S
    )
    return text.split()


def test_another_clients_things_do_not_exist(looking):
    other = Monitor.objects.get(client=cast.globex())
    for path in (
        f"/monitors/{other.pk}/",
        f"/clients/{cast.globex().pk}/",
        f"/api/v1/monitors/{other.pk}",
        f"/api/v1/clients/{cast.globex().pk}",
    ):
        assert looking.get(path).status_code == 404, path
    assert looking.get(f"/monitors/{cast.monitor().pk}/").status_code == 200
    assert [row["name"] for row in looking.get("/api/v1/clients").json()["results"]] == ["Acme"]


def test_no_address_tells_staff_who_look_as_globex_anything_of_acmes():
    browser = as_(cast.make_staff())
    begin(browser, cast.globex())
    told = {}
    for route in test_tenancy.all_routes():
        if route.text in test_tenancy.ROUTES:
            where = "/" + route.text.format(**test_tenancy.ROUTES[route.text]())
            told[where] = browser.get(where).status_code
    assert len(told) > 150 and not {where: status for where, status in told.items() if status not in (404, 405)}


def test_notes_of_staff_and_the_administration_stay_out_of_sight(looking):
    Client.objects.filter(pk=cast.acme().pk).update(notes="A difficult customer")
    page = looking.get(f"/clients/{cast.acme().pk}/").content.decode()
    assert "difficult" not in page and "/admin/" not in page
    for path in ("/admin/", "/admin/portal/client/", "/security/", "/security/sessions/", "/password/change/"):
        assert looking.get(path).status_code == 403, path
    assert looking.get("/people/").status_code == 404


def test_the_banner_says_whose_portal_it_is_and_offers_the_end(looking):
    for path in ("/", "/monitors/", "/there-is-nothing/", f"/monitors/{cast.monitor().pk}/"):
        page = looking.get(path).content.decode()
        assert path == "/there-is-nothing/" or (
            "You see what Acme’s viewers see" in page and 'action="/view-as/end/"' in page
        )
    assert "viewers see" not in as_(cast.viewer()).get("/").content.decode()


def test_tokens_of_the_same_person_see_what_they_saw(looking):
    assert len(cast.api(cast.make_staff()).get("/api/v1/clients").json()["results"]) == 2


def test_other_sessions_of_the_same_person_are_not_concerned(looking):
    assert "Globex" in as_(cast.make_staff()).get("/clients/").content.decode()


# --- Nothing is changed -----------------------------------------------------------------------------------------------
def addresses() -> list[str]:
    """Every address of the portal, with something in the place of its parameters."""
    return sorted({"/" + re.sub(r"\{\w+\}", "1", route.text) for route in every_route()})


def every_route() -> Iterator[test_tenancy.Route]:
    """Also those without parameters, which the net of tenancy leaves out."""
    yield from test_tenancy.routes()
    for path in (
        *LISTS,
        *FORMS,
        "/logout/",
        "/view-as/",
        "/people/invite/",
        "/api/v1/sites",
        "/api/v1/users",
        "/mcp",
        "/healthz",
    ):
        yield test_tenancy.Route(path.lstrip("/"), ())


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "NONSENSE"])
def test_no_address_but_the_end_takes_a_write(looking, rf, method):
    """Asked of the door itself, which every address is behind: six hundred whole answers would take minutes."""
    session, sam = looking.session, cast.make_staff()
    door = OnlyLooking(lambda request: HttpResponse("through"))
    for path in addresses() if method == "POST" else addresses()[::20]:
        request = rf.generic(method, path)
        request.COOKIES[settings.SESSION_COOKIE_NAME] = session.session_key
        request.session, request.user = session, sam
        assert door.process_view(request, None, (), {}).status_code == 403, path
    assert len(addresses()) > 200


def test_writes_are_refused_and_change_nothing(looking):
    m, before = cast.monitor(), (test_tenancy._count(), AuditEntry.objects.count())
    for path in (
        f"/monitors/{m.pk}/pause/",
        f"/monitors/{m.pk}/delete/",
        "/silences/add/",
        "/clients/add/",
        "/logout/",
        "/view-as/",
        "/admin/",
        "/mcp",
    ):
        assert looking.post(path, {"reason": "x"}).status_code == 403, path
    for method in ("post", "put", "patch", "delete"):
        answer = getattr(looking, method)(f"/api/v1/monitors/{m.pk}", "{}", content_type="application/json")
        assert answer.status_code == 403, method
    assert (test_tenancy._count(), AuditEntry.objects.count()) == before
    assert looking.session["viewing"]["client"] == cast.acme().pk


def test_a_refusal_says_how_to_go_on(looking):
    page = looking.post(f"/monitors/{cast.monitor().pk}/pause/")
    assert page.status_code == 403 and "End that first" in page.content.decode()
    program = looking.post("/api/v1/sites", {"name": "X", "client": cast.acme().pk}, content_type="application/json")
    assert program.status_code == 403 and program.json()["error"]["code"] == "only_looking"
    assert Site.objects.count() == 2


# --- The end ----------------------------------------------------------------------------------------------------------
def test_after_the_end_everything_is_as_before(looking):
    assert looking.get("/view-as/end/").status_code == 302 and "viewing" in looking.session, "looking ends nothing"
    looking.post("/view-as/end/")
    assert "Globex" in looking.get("/clients/").content.decode() and looking.get("/admin/").status_code == 200
    looking.post("/view-as/end/")
    assert len(entries("client.viewing_ended")) == 1, "pressed twice, it ended once"


def test_two_pages_that_notice_the_end_at_the_same_moment_write_it_once(looking, rf):
    for _ in range(2):
        request = rf.get("/")
        request.session, request.user = dict(looking.session), cast.make_staff()
        viewing.end(request, "over")
    assert len(entries("client.viewing_ended")) == 1


def test_after_half_an_hour_it_is_over_and_the_client_reads_so(looking):
    now = time.time()
    with time_machine.travel(now + 29 * 60, tick=False):
        assert "Globex" not in looking.get("/clients/").content.decode()
    with time_machine.travel(now + 30 * 60 + 1, tick=False):
        assert "Globex" in looking.get("/clients/").content.decode()
    assert entries("client.viewing_ended")[0].after == {"how": "over"} and "viewing" not in looking.session


def test_who_is_no_longer_one_of_ours_sees_nothing(looking):
    session = looking.session
    Membership.objects.filter(
        user=cast.make_staff()
    ).delete()  # however it happened: with the door, the session ends too
    assert (
        session["viewing"]
        and "Acme" not in looking.get("/clients/").content.decode().partition("<main")[2].partition("</section>")[2]
    )
    assert looking.get(f"/monitors/{cast.monitor().pk}/").status_code == 404


def test_a_client_that_is_switched_off_meanwhile_shows_nothing(looking):
    Client.objects.filter(pk=cast.acme().pk).update(active=False)
    assert looking.get(f"/monitors/{cast.monitor().pk}/").status_code == 404


def test_a_session_that_ends_takes_it_along(looking):
    people.end_sessions(cast.make_staff())
    assert looking.get("/clients/")["Location"].startswith("/login/")


@pytest.mark.parametrize(("who", "status"), [(cast.make_owner, 200), (cast.mallory, 200), (cast.stranger, 404)])
def test_somebody_else_in_the_same_session_does_not_look(looking, who, status):
    known = dict(looking.session["viewing"])
    looking.force_login(who())
    kept = looking.session
    kept["viewing"] = known
    kept.save()
    other = Monitor.objects.get(client=cast.globex())
    assert looking.get(f"/monitors/{other.pk}/").status_code == status, "what they see themselves, no more and no less"

"""Can everybody use every page? axe-core, in a real Chromium, light and dark, at a desk and on a phone: WCAG 2.2 A and AA."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.template.loader import render_to_string
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from pytest_django.live_server_helper import LiveServer

from portal.models import User
from tests import cast
from tests.portal import an_app, every_page
from tests.rig import axe

CHROMIUM = Path("/usr/bin/chromium")
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# Pages that need no context; 404 is asked for.
BROKEN = ("403_csrf.html", "500.html", "403.html", "429.html", "503.html")
# What is asked for within minutes of signing in: by somebody with a password alone, by somebody who set up an app.
FIRST_STEP = ("/security/", "/security/app/", "/security/passkeys/", "/security/passkeys/add/")
SECOND_STEP = (
    "/security/",
    "/security/codes/",
    "/security/codes/new/",
    "/security/app/remove/",
    "/reauthenticate/code/",
)

pytestmark = pytest.mark.once

# No page for people: asked by programs, or only pressed and then sent on. All else must be among `every_page`'s addresses.
NOT_PAGES = {
    # programs ask
    None, "api-schema", "api-docs", "mcp", "inbound-events", "inbound-enqueue", "inbound-alertmanager", "inbound-generic", "ping", "hook_twilio_message", "hook_twilio_voice",
    "hook_twilio_status", "hook_vonage_message", "hook_vonage_status", "hook_slack", "hook_telegram", "hook_bounces", "compatible-alerts", "compatible-alert-resolve", "compatible-incident",
    "compatible-page-incident",
    # files
    "diagnosis_raw", "report_raw", "branding_logo", "guide_picture", "incident_postmortem_export", "sla_export", "monitors_csv", "contacts_csv", "client_export_file",
    # pressed, then sent on to a page that is here
    "sessions_end", "viewing_end", "oidc_begin", "oidc_again", "oidc_callback",
    "monitor_act", "monitor_diagnose", "monitor_press", "alert_press", "incident_group_into", "incident_ungroup", "incident_postmortem_press", "incident_press", "delivery_retry",
    "channel_test", "channel_press", "policy_press", "silence_cancel", "maintenance_press", "on_call_take_over", "on_call_give_back", "status_group_press", "account_set_password",
    "filter_save", "filter_delete", "sla_recipients", "sla_to_me", "sla_mail_again", "maintenance_request_press", "playbook_press", "playbook_release", "playbook_stop", "run_press", "mfa_reauthenticate_webauthn", "mfa_login_webauthn",
    # of a passkey, which a browser's own key store must have made
    "mfa_edit_webauthn", "mfa_remove_webauthn",
    # not there once there is an owner; nobody signs up
    "setup", "setup_link", "account_signup",
}  # fmt: skip


@pytest.fixture(scope="module")
def installation(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """One filled portal for all of these tests: they look and change nothing. Emptied afterwards, as after every test
    that commits."""
    with django_db_blocker.unblock():
        filled = every_page.fill()
        filled.server = LiveServer("localhost")
        yield filled
        filled.server.stop()
        call_command("flush", verbosity=0, interactive=False)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One headless Chromium."""
    sync = pytest.importorskip("playwright.sync_api", reason="NOT RUN: playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"NOT RUN: there is no {CHROMIUM}")
    with pytest.MonkeyPatch.context() as patch, sync.sync_playwright() as playwright:
        # Playwright's own event loop in this thread must not forbid the ORM here.
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """Somebody with a window, who is shown one page after another and keeps what they could not use."""

    def __init__(
        self, chromium: Any, at: SimpleNamespace, user: User | None = None, size: dict[str, int] = DESK
    ) -> None:
        self.base = at.server.url
        self.window = chromium.new_context(viewport=size, has_touch=size is PHONE, reduced_motion="reduce")
        if user is not None:
            session = Browser()
            session.post("/login/", {"login": user.email, "password": cast.PASSWORD})
            cookie = {"name": "sessionid", "value": session.cookies["sessionid"].value, "url": self.base}
            self.window.add_cookies([cookie])
        self.page = self.window.new_page()
        self.page.set_default_timeout(60_000)
        self.barriers: list[axe.Barrier] = []

    def open(self, path: str) -> Any:
        """Go there, and arrive there."""
        self.page.emulate_media(color_scheme=axe.LIGHT)
        answer = self.page.goto(self.base + path)
        assert self.page.url == self.base + path, f"{path} leads to {self.page.url}"
        return answer

    def stands_in_for(self, path: str, html: str) -> None:
        """This address answers so, whatever the portal says; style sheets come from the portal."""
        self.page.route(self.base + path, lambda route: route.fulfill(status=200, content_type="text/html", body=html))

    def proves_it(self, path: str, field: str, value: str) -> None:
        """This page asks first who is there."""
        self.page.goto(self.base + path)
        self.page.locator(f"input[name={field}]").fill(value)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(f"**{path}")

    def looks(self, name: str, **how: Any) -> None:
        """At what stands in the window."""
        self.barriers += axe.look(self.page, name, **how)

    def tour(self, paths: Sequence[str], **how: Any) -> None:
        """Open and look at all of them."""
        for path in paths:
            assert self.open(path).status < 500, path
            self.looks(path, **how)

    def leaves(self) -> None:
        """Say all that was found; close the window."""
        self.window.close()
        assert not self.barriers, axe.told(self.barriers)


def test_a_page_of_each_kind(installation, chromium):
    sam = Visitor(chromium, installation, cast.make_owner())
    sam.tour(every_page.each_kind(installation))
    sam.leaves()


@pytest.mark.soak
@pytest.mark.parametrize("third", range(3))  # none may take so long that a busy machine gives it up
def test_every_other_page_of_our_own_staff(installation, chromium, third):
    sam, seen = Visitor(chromium, installation, cast.make_owner()), every_page.each_kind(installation)
    sam.tour([path for path in every_page.of_staff(installation) if path not in seen][third::3])
    sam.leaves()


@pytest.mark.soak
def test_every_question_before_something_is_gone(installation, chromium):
    sam = Visitor(chromium, installation, cast.make_owner())
    sam.tour(every_page.before_it_is_gone(installation))
    sam.leaves()


@pytest.mark.soak
def test_every_page_of_a_client(installation, chromium):
    alice = Visitor(chromium, installation, cast.alice())
    alice.tour(every_page.of_clients(installation))
    alice.leaves()


@pytest.mark.soak
def test_every_list_while_there_is_nothing_in_it(installation, chromium):
    nobody = Visitor(chromium, installation, cast.person("ivo@initech.example", "admin", cast.client("Initech")))
    nobody.tour(every_page.LISTS)
    nobody.leaves()


@pytest.mark.soak
def test_every_other_public_page(installation, chromium):
    reader, seen = Visitor(chromium, installation), every_page.each_public_kind(installation)
    reader.tour([path for path in every_page.of_readers(installation) if path not in seen])
    reader.leaves()


def test_a_public_page_of_each_kind(installation, chromium):
    reader = Visitor(chromium, installation)
    reader.tour(every_page.each_public_kind(installation))
    reader.open("/status/locked/")
    reader.page.get_by_label("Password").fill("not this one")
    reader.page.get_by_role("button").click()
    reader.page.wait_for_selector("#trouble")
    reader.looks("/status/locked/ after a wrong password")
    reader.leaves()


def test_setting_up_a_second_step(installation, chromium):
    sam = Visitor(chromium, installation, cast.make_owner())
    sam.proves_it("/security/app/", "password", cast.PASSWORD)
    sam.tour(FIRST_STEP)
    sam.leaves()


def test_signing_in_by_a_second_step(installation, chromium):
    person, sam = cast.make_staff(), Visitor(chromium, installation)
    an_app.give_app(person)
    codes = an_app.give_codes(person)
    sam.open("/login/")
    sam.page.locator("input[name=login]").fill(person.email)
    sam.page.locator("input[name=password]").fill(cast.PASSWORD)
    sam.page.keyboard.press("Enter")
    sam.page.wait_for_url("**/login/second-step/")
    sam.looks("/login/second-step/")
    sam.page.locator("input[name=code]").fill(codes[0])
    sam.page.keyboard.press("Enter")
    sam.page.wait_for_selector(".topbar")
    sam.open("/reauthenticate/code/")
    sam.looks("/reauthenticate/code/")
    sam.proves_it("/security/codes/", "code", codes[1])
    sam.tour(SECOND_STEP)
    sam.leaves()


@pytest.mark.parametrize("templates", [BROKEN[:2], pytest.param(BROKEN[2:], marks=pytest.mark.soak)])
def test_what_is_said_when_a_page_cannot_be_shown(installation, chromium, templates):
    reader = Visitor(chromium, installation)
    for template in templates:
        reader.stands_in_for(f"/{template}", render_to_string(template))
        reader.open(f"/{template}")
        reader.looks(template)
    reader.leaves()


@pytest.mark.parametrize("pages", [slice(2), pytest.param(slice(2, None), marks=pytest.mark.soak)])
def test_the_administration(installation, chromium, pages):
    sam = Visitor(chromium, installation, cast.make_owner())
    sam.tour(every_page.of_the_desk(installation)[pages])
    sam.leaves()


def test_a_form_that_is_sent_back(installation, chromium):
    sam = Visitor(chromium, installation, cast.make_owner())
    for path in ("/monitors/add/", "/contacts/add/", "/status-pages/add/"):
        sam.open(path)
        sam.page.locator("main form .btn-primary").first.click()
        sam.page.wait_for_selector(".error")
        sam.looks(f"{path} sent back")
    sam.leaves()


def test_what_opens_above_a_page(installation, chromium):
    sam = Visitor(chromium, installation, cast.make_owner())
    sam.open(f"/incidents/{installation.incident.pk}/")
    sam.page.locator("details.menu > summary").first.click()
    sam.looks("the account menu")
    sam.page.keyboard.press("Escape")
    for one in sam.page.locator("dialog").all():
        one.evaluate("dialog => dialog.showModal()")
        sam.looks(f"the dialog {one.get_attribute('id')}")
        one.evaluate("dialog => dialog.close()")
    sam.leaves()


def test_on_a_phone_what_is_opened_by_night(installation, chromium):
    s = installation
    sam = Visitor(chromium, s, cast.make_owner(), PHONE)
    paths = (
        "/", f"/alerts/{s.alert.pk}/", f"/incidents/{s.incident.pk}/", f"/monitors/{s.down.pk}/", f"/diagnoses/{s.diagnosis.pk}/", f"/on-call/{s.schedule.pk}/", "/silences/add/",
        f"/status/{s.page.slug}/", f"/status/{s.page.slug}/subscribe/", f"/runs/{s.run.pk}/",
    )  # fmt: skip
    sam.tour(paths, themes=[axe.LIGHT])
    sam.open("/")
    sam.page.get_by_role("button", name="Menu").click()
    sam.looks("the menu on a phone")
    sam.leaves()


def test_no_page_was_left_out(installation):
    s = installation
    shown = [
        *every_page.of_staff(s),
        *every_page.before_it_is_gone(s),
        *every_page.of_readers(s),
        *FIRST_STEP,
        *SECOND_STEP,
        "/login/second-step/",
    ]
    visited = {resolve(path.partition("?")[0]).url_name for path in shown if path != "/there-is-nothing/"}
    missing = {name for name in names(get_resolver().url_patterns) if name not in visited} - NOT_PAGES
    assert not missing, f"add their addresses to tests/portal/every_page.py: {sorted(missing)}"


def names(patterns: Sequence[URLPattern | URLResolver]) -> Iterator[str | None]:
    """The names of all routes outside the API and the admin, which name theirs themselves."""
    for one in patterns:
        if isinstance(one, URLPattern):
            yield one.name
        elif str(one.pattern) not in ("admin/", "api/v1/"):
            yield from names(one.url_patterns)

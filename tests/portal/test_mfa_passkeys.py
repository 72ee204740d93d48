"""Passkeys in a real browser with an authenticator of its own: added, used instead of the password, used as second step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.core.cache import cache
from django.test import Client as Browser

from portal import mfa
from portal.models import AuditEntry
from tests import cast
from tests.console.test_browser import DESK, PHONE, chromium  # noqa: F401 - a fixture
from tests.portal.an_app import by_password, give_app, shown, signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
KEEP = os.environ.get("WATCHKEEPER_SCREENSHOTS")  # a directory: keep what was seen there


@pytest.fixture(autouse=True)
def no_attempts_yet():
    cache.clear()


class Person:
    """Somebody with a browser and a device that knows their finger."""

    def __init__(self, chromium: Any, live_server: Any, size: dict[str, int] = DESK, **options: Any) -> None:  # noqa: F811
        self.base = live_server.url
        self.page = chromium.new_context(viewport=size, **options).new_page()
        self.page.set_default_timeout(30_000)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.device = self.page.context.new_cdp_session(self.page)
        self.device.send("WebAuthn.enable")
        about = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
        added = self.device.send(
            "WebAuthn.addVirtualAuthenticator",
            {"options": {**about, "isUserVerified": True, "automaticPresenceSimulation": True}},
        )
        self.authenticator = {"authenticatorId": added["authenticatorId"]}

    def open(self, path: str) -> None:
        self.page.goto(self.base + path)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def at(self, path: str) -> bool:
        """Wait until that page is there."""
        self.page.wait_for_url(self.base + path)
        return True

    def by_password(self, user: Any) -> None:
        self.open("/login/")
        self.page.get_by_label("Email").fill(user.email)
        self.page.get_by_label("Password").fill(cast.PASSWORD)
        self.press("Sign in")

    def sign_out(self) -> None:
        self.open("/logout/")
        self.press("Sign out")
        self.at("/login/")

    def add_passkey(self, name: str, alone: bool = True) -> None:
        """Through the pages, from signed in to the codes or the overview."""
        self.open("/security/passkeys/add/")
        if "/reauthenticate/" in self.page.url:
            self.page.get_by_label("Password").fill(cast.PASSWORD)
            self.press("Go on")
            self.at("/security/passkeys/add/")
        self.page.get_by_label("Its name").fill(name)
        self.page.get_by_label("Sign in with it alone").set_checked(alone)
        self.press("Add it")


def test_a_passkey_replaces_the_password(chromium, live_server):  # noqa: F811
    sam = cast.make_staff()
    somebody = Person(chromium, live_server)
    somebody.by_password(sam)
    somebody.at("/")
    somebody.add_passkey("work laptop")
    assert somebody.at("/security/codes/") and somebody.page.locator(".recovery-codes li").count() == 10
    assert [str(row) for row in Authenticator.objects.filter(type=mfa.PASSKEY)] == ["work laptop"]
    somebody.sign_out()

    somebody.open("/login/?next=/security/passkeys/")
    somebody.press("Sign in with a passkey")
    assert somebody.at("/security/passkeys/"), "and to where they wanted to go"
    proof = AuditEntry.objects.filter(action="user.signed_in").latest("seq")
    assert proof.after == {"with": ["passkey"]} and proof.actor == sam.email
    assert somebody.complaints == []
    assert [m.subject for m in mail.outbox] == ["A second step was added to your account (Watchkeeper)"]


def test_a_passkey_as_the_second_step_and_again_before_something_important(chromium, live_server):  # noqa: F811
    sam = cast.make_staff()
    somebody = Person(chromium, live_server)
    somebody.by_password(sam)
    somebody.at("/")
    somebody.add_passkey("key on my ring", alone=False)
    somebody.at("/security/codes/")
    somebody.sign_out()
    somebody.by_password(sam)
    somebody.at("/login/second-step/")
    somebody.press("Use a passkey")
    somebody.at("/")

    key = Authenticator.objects.get(type=mfa.PASSKEY)
    somebody.open(f"/security/passkeys/{key.pk}/remove/")
    assert somebody.page.url.startswith(f"{somebody.base}/reauthenticate/passkey/?next="), "the finger once more"
    somebody.press("Use a passkey")
    somebody.at(f"/security/passkeys/{key.pk}/remove/")
    somebody.press("Remove it")
    somebody.at("/security/passkeys/")
    assert not Authenticator.objects.exists() and "was removed" in mail.outbox[-1].subject
    assert somebody.complaints == []


def test_a_device_that_does_not_know_the_finger_is_told_so(chromium, live_server):  # noqa: F811
    sam = cast.make_staff()
    somebody = Person(chromium, live_server)
    somebody.by_password(sam)
    somebody.at("/")
    somebody.add_passkey("work laptop")
    somebody.at("/security/codes/")
    somebody.sign_out()
    somebody.device.send("WebAuthn.setUserVerified", {**somebody.authenticator, "isUserVerified": False})
    somebody.press("Sign in with a passkey")
    somebody.page.get_by_text("Nothing came from your device").wait_for()
    assert somebody.page.url == f"{somebody.base}/login/"


def test_without_scripts_codes_work_and_nothing_is_offered_that_cannot(chromium, live_server):  # noqa: F811
    sam = cast.make_staff()
    give_app(sam)
    somebody = Person(chromium, live_server, java_script_enabled=False)
    somebody.by_password(sam)
    somebody.at("/login/second-step/")
    assert not somebody.page.get_by_role("button", name="Use a passkey").is_visible()
    somebody.page.get_by_label("Code").fill(shown())
    somebody.press("Sign in")
    assert somebody.at("/")


def test_the_pages_fit_a_desk_and_a_phone_in_both_themes(chromium, live_server):  # noqa: F811
    sam = cast.make_staff()
    somebody = Person(chromium, live_server)
    somebody.by_password(sam)
    somebody.at("/")
    seen = []

    def look(name: str) -> None:
        seen.append(name)
        for size in (DESK, PHONE):
            somebody.page.set_viewport_size(size)
            wide = somebody.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{name} is {wide} px too wide"
            for scheme in ("light", "dark") if KEEP else ():
                somebody.page.emulate_media(color_scheme=scheme)
                where = Path(KEEP) / f"mfa-{name}-{scheme}-{size['width']}.png"
                somebody.page.screenshot(path=str(where), full_page=True)

    for name, path in (("overview-empty", "/security/"), ("reauthenticate", "/security/app/")):
        somebody.open(path)
        look(name)
    somebody.page.get_by_label("Password").fill(cast.PASSWORD)
    somebody.press("Go on")
    somebody.at("/security/app/")
    somebody.page.get_by_text("It cannot be scanned").click()
    look("app")
    secret = somebody.page.locator(".secret-key").inner_text()
    somebody.page.get_by_label("The code that it then shows").fill(shown(secret))
    somebody.press("Switch it on")
    somebody.at("/security/codes/")
    look("codes")
    somebody.open("/security/passkeys/add/")
    look("passkey-add")
    somebody.add_passkey("a laptop with a name that is rather long for a small list")
    somebody.at("/security/")
    for name, path in (
        ("overview", "/security/"),
        ("passkeys", "/security/passkeys/"),
        ("app-remove", "/security/app/remove/"),
        ("codes-new", "/security/codes/new/"),
    ):
        somebody.open(path)
        look(name)
    somebody.sign_out()
    look("login")
    somebody.by_password(sam)
    somebody.at("/login/second-step/")
    look("second-step")
    somebody.page.get_by_label("Code").fill("123")
    somebody.press("Sign in")
    somebody.page.get_by_text("This code does not fit").wait_for()
    look("second-step-wrong")
    assert len(seen) == 12 and somebody.complaints == []


# --- What a program sends in the place of a browser's answer ------------------------------------------------------------------
GARBAGE = [
    "", "x", "[]", "1", "null", "{}", '{"rawId": 1}', '{"response": []}', '{"id": "x", "rawId": "x", "type": "public-key", "response": {}}',
    '{"id": "eA", "rawId": "eA", "type": "public-key", "response": {"clientDataJSON": "e30", "authenticatorData": "eA", "signature": "eA", "userHandle": "eA"}}',
    '{"id": "eA", "rawId": "eA", "type": "public-key", "response": {"clientDataJSON": "e30", "attestationObject": "eA"}}',
    '{"id": "eA", "rawId": "eA", "type": "public-key", "response": {"clientDataJSON": null, "attestationObject": null}}',
]  # fmt: skip


@pytest.mark.django_db
def test_garbage_signs_nobody_in(client):
    for sent in GARBAGE:
        cache.clear()  # the throttle
        client.get("/login/passkey/", headers={"Accept": "application/json"})
        answer = client.post("/login/passkey/", {"credential": sent})
        assert answer["Location"] == "/login/" and not signed_in(client), sent


@pytest.mark.django_db
def test_garbage_is_no_new_passkey(client):
    sam = cast.make_staff()
    by_password(client, sam)
    client.post("/reauthenticate/", {"password": cast.PASSWORD})
    for sent in GARBAGE:
        assert client.get("/security/passkeys/add/").status_code == 200
        assert client.post("/security/passkeys/add/", {"name": "x", "credential": sent}).status_code == 200, sent
    assert not mfa.has_factor(sam)


@pytest.mark.django_db
def test_garbage_is_no_second_step(client):
    sam = cast.make_staff()
    give_app(sam)
    by_password(client, sam)
    for sent in GARBAGE:
        cache.clear()
        answer = client.post("/login/second-step/", {"credential": sent})
        assert answer.status_code == 200 and not signed_in(client), sent


@pytest.mark.django_db
def test_somebody_elses_passkey_is_not_there():
    sam, mallory = cast.make_staff(), cast.mallory()
    hers = Authenticator.objects.create(user=sam, type=mfa.PASSKEY, data={"name": "x", "credential": {}})
    browser = Browser()
    by_password(browser, mallory)
    browser.post("/reauthenticate/", {"password": cast.PASSWORD})
    for path in (f"/security/passkeys/{hers.pk}/", f"/security/passkeys/{hers.pk}/remove/"):
        assert browser.get(path).status_code == browser.post(path, {"name": "y"}).status_code == 404, path
    assert Authenticator.objects.get().data["name"] == "x"


@pytest.mark.django_db
def test_a_passkey_belongs_to_the_portals_own_name(client, settings):
    settings.BASE_URL = "https://portal.example"
    options = client.get("/login/passkey/", headers={"Accept": "application/json"}).json()["request_options"]
    assert options["publicKey"]["rpId"] == "portal.example" and options["publicKey"]["userVerification"] == "required"


@pytest.mark.django_db
def test_a_portal_without_a_safe_name_says_why_there_are_no_passkeys(client, settings):
    settings.PASSKEYS_POSSIBLE, settings.MFA_SUPPORTED_TYPES = False, ["totp", "recovery_codes"]
    by_password(client, cast.make_staff())
    assert b"Passkeys need an address with https" in client.get("/security/").content
    client.logout()
    assert b"passkey" not in client.get("/login/").content

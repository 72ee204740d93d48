"""A mail scanner presses everything in the letter that asks for approval: nothing happens. Then the person does: it is done, once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from alerts.models import Delivery
from playbooks import beginning, codes, performing
from playbooks.models import Run
from portal import mfa
from portal.clock import database_now
from portal.models import AuditEntry, User
from tests import cast
from tests.alerts import stage
from tests.console.test_browser import DESK, chromium  # noqa: F401 - a fixture
from tests.playbooks import acting, scanner
from tests.playbooks.acting import carried_out
from tests.playbooks.test_acting import awaiting
from tests.playbooks.test_codes import code_in, reached, texts, twilio  # noqa: F401 - a fixture
from tests.portal import an_app
from tests.rig.mailbox import Mail, Mailbox
from tests.rig.receiver import Receiver
from tests.statuspages.reading import send

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture
def portal(settings: Any, live_server: Any, mailbox: Mailbox) -> Iterator[str]:
    """The portal's address, as real as its mail server."""
    settings.BASE_URL = live_server.url
    settings.SMTP = {"host": "127.0.0.1", "port": mailbox.port, "tls": "none"}
    settings.DEFAULT_FROM_EMAIL = "watch@msp.example"
    yield live_server.url


def asked(mailbox: Mailbox, *, app: bool = True) -> tuple[acting.Scene, Run, User, Mail, list[str]]:
    """A run that waits for Bob, his letter as it arrived, and every link in it and in the alert's own mail."""
    stage.trigger(stage.mail(), name="Mail to Ana")
    bob = acting.approver()
    if app:
        an_app.give_app(bob)
    scene, run = awaiting()
    send(Delivery.objects.order_by("-next_attempt_at").first().next_attempt_at)
    (letter,) = mailbox.to(bob.email)
    found = [link for mail in mailbox.mails for link in scanner.links(mail)]
    return scene, run, bob, letter, [link for link in dict.fromkeys(found) if "/approve/" in link or "/runs/" in link]


def nothing_happened(run: Run, bell: list[str]) -> None:
    """Nobody's word was taken, and no worker finds anything to begin."""
    run.refresh_from_db()
    assert run.state == "awaiting_approval" and run.acted_at is None
    assert not run.approvals.exists() and not run.steps.exclude(state="waiting").exists()
    assert performing.due(database_now()) == [] and beginning.begin(run.pk, acting.WORKER, database_now()) is None
    assert bell == []


def own(letter: Mail) -> str:
    """Bob's own link to the question."""
    return next(link for link in scanner.links(letter) if "/approve/" in link)


def test_every_link_and_every_form_from_five_addresses_decide_nothing(portal: str, mailbox: Mailbox, bell: list[str]):
    scene, run, bob, letter, found = asked(mailbox)
    assert own(letter) in found and len([link for link in found if "/approve/" in link]) == 2, (
        "his own, and the alert's"
    )
    assert all(link.startswith(portal) for link in found), "the configured host, nobody else's"
    assert scanner.scan(found) > 50
    nothing_happened(run, bell)
    # What it typed was noted, and did not use up what Bob may type wrongly himself.
    assert AuditEntry.objects.filter(action="playbook.wrong_code").count() == 3
    assert mfa.verify_totp(bob, an_app.shown(), database_now())


def test_who_gets_codes_by_telephone_hears_of_it_once(
    portal: str,
    mailbox: Mailbox,
    bell: list[str],
    twilio: Receiver,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    """The scanner finds a button that sends a code, and a field to type one: it presses both, and guesses."""
    monkeypatch.setattr(codes, "PAUSE", timedelta(hours=1))  # however long the scanner takes here
    reached(acting.approver())
    scene, run, bob, letter, found = asked(mailbox, app=False)
    scanner.Scanner(scanner.ADDRESSES[0]).visits(own(letter))
    scanner.Scanner(scanner.ADDRESSES[1]).visits(own(letter))
    nothing_happened(run, bell)
    assert len(twilio.calls) == 1
    codes.send(run, bob, database_now() + codes.PAUSE + timedelta(seconds=1))  # later Bob asks for one himself
    code = code_in(texts(twilio)[-1])
    with requests.Session() as session:
        page = session.get(own(letter), timeout=60).text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
        sent = {"csrfmiddlewaretoken": token, "plan_hash": run.plan_hash, "word": "approve", "code": code}
        session.post(own(letter), sent, timeout=60)
    assert carried_out(run, scene.well).state == "succeeded" and bell == [f"{run.pk}.1 main"]


def test_before_and_after_the_person_a_browser_that_presses_all_forms_changes_nothing(
    portal: str,
    mailbox: Mailbox,
    chromium: Any,  # noqa: F811
    bell: list[str],
):
    scene, run, bob, letter, found = asked(mailbox)
    assert scanner.scan_with_scripts(chromium, found) >= 6
    nothing_happened(run, bell)

    page = chromium.new_context(viewport=DESK).new_page()
    page.set_default_timeout(60_000)
    page.goto(own(letter))
    page.get_by_role("link", name="sign in", exact=True).click()
    page.locator("input[name=login]").fill(bob.email)
    page.locator("input[name=password]").fill(cast.PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/login/second-step/**")
    page.locator("input[name=code]").fill(an_app.shown())
    page.keyboard.press("Enter")
    page.wait_for_url(own(letter))
    plan, gates = page.locator("section", has_text="What it would do"), page.locator("section[aria-labelledby=gates]")
    assert "Ring the bell “main”." in plan.inner_text() and run.plan_hash[:12] in plan.inner_text()
    assert "It is the service." in page.locator("section[aria-labelledby=why]").inner_text()
    assert gates.locator("li").count() == len(run.gates) and "no" not in gates.locator(".badge").all_inner_texts()
    page.get_by_role("button", name="Approve").click()
    page.wait_for_selector("#approve[data-state=approved]")
    done = carried_out(run, scene.well)
    assert done.state == "succeeded" and bell == [f"{run.pk}.1 main"]
    assert [(a.user, a.how) for a in done.approvals.all()] == [(bob, "totp")]

    scanner.scan_with_scripts(chromium, found)
    scanner.scan(found[:1])
    carried_out(run, worker="worker:2")
    run.refresh_from_db()
    assert (run.state, run.approvals.count(), len(bell)) == ("succeeded", 1, 1)
    page.get_by_role("link", name="Open the run").click()
    page.wait_for_selector("text=Verified")
    stranger = chromium.new_context().new_page()
    stranger.goto(own(letter))
    assert "Succeeded" in stranger.inner_text("h1") and "bob@msp.example" in stranger.inner_text("main")
    assert stranger.locator("form").count() == 0, "there is nothing left to press"


ATTACK = '<!doctype html><title>x</title><body><iframe src="{link}"></iframe><form method="post" action="{link}"><input name="word" value="approve"><input name="plan_hash" value="{plan}"></form>'


def test_another_site_can_neither_frame_the_page_nor_press_for_who_is_signed_in(
    portal: str,
    mailbox: Mailbox,
    chromium: Any,  # noqa: F811
    bell: list[str],
):
    scene, run, bob, letter, found = asked(mailbox)
    window = chromium.new_context()
    session = an_app.with_code(bob)
    window.add_cookies([{"name": "sessionid", "value": session.cookies["sessionid"].value, "url": portal}])
    page = window.new_page()
    page.set_default_timeout(60_000)
    page.goto(own(letter))
    assert page.get_by_role("button", name="Approve").count() == 1, "signed in a moment ago"
    evil = "http://evil.example/"
    html = ATTACK.format(link=own(letter), plan=run.plan_hash)
    page.route(evil, lambda route: route.fulfill(status=200, content_type="text/html", body=html))
    page.goto(evil)
    framed = page.frames[1]
    assert framed.url != own(letter) and framed.locator("form").count() == 0
    with page.expect_response(lambda answer: answer.request.method == "POST") as heard:
        page.evaluate("HTMLFormElement.prototype.submit.call(document.forms[0])")
    assert heard.value.status == 403
    nothing_happened(run, bell)


def test_nothing_that_is_stored_opens_the_door(portal: str, mailbox: Mailbox, tmp_path: Path):
    """Who reads the whole database has no link: tokens are worked out from the installation's key."""
    from django.core.management import call_command

    _, _, _, letter, found = asked(mailbox)
    dump = tmp_path / "all.json"
    call_command("dumpdata", "playbooks", "alerts", "portal", output=str(dump), verbosity=0)
    text = dump.read_text()
    assert run_of(own(letter)) not in text


def run_of(link: str) -> str:
    """The signature of a link."""
    return link.rstrip("/").rpartition(".")[2]

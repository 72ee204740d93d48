"""Who may say yes, where, and what do they see? Approvals as a client's people and strangers meet them; what the messages carry."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser

from alerts import outbox
from alerts.models import Channel
from alerts.sender import prepare
from playbooks import codes, links
from playbooks.models import Run
from portal import mfa
from portal.clock import database_now
from portal.models import AuditEntry, User
from tests import cast
from tests.alerts import stage
from tests.console.visiting import browser, text
from tests.playbooks import acting
from tests.playbooks.acting import says, sent_back
from tests.portal import an_app

once = pytest.mark.once


def waits_for(*people: User, bells: tuple[str, ...] = (), **values: Any) -> tuple[acting.Scene, Run]:
    """A run that waits for these people's word."""
    acting.playbook(*bells, **values).approvers.add(*people)
    scene = acting.scene()
    scene.down()
    scene.explained()
    return scene, acting.only_run()


def path_of(run: Run, person: User | None = None) -> str:
    """The page behind the button: in that person's letter, or (None) in a message that many read."""
    return f"/approve/{links.token(run, person.pk if person else 0)}/"


# --- A client's own people -----------------------------------------------------------------------------------------------------
@once
@pytest.mark.django_db
def test_a_clients_approver_finds_it_looks_at_it_and_allows_it():
    april = cast.approver()
    _, run = waits_for(april)
    window = Browser()
    an_app.by_password(window, april)
    assert "Waiting for you" in text(window.get("/approvals/"))
    page = window.get(f"/runs/{run.pk}/")
    read = text(page)
    assert all(words in read for words in ("Ring the bell “main”.", "It is the service.", "Do you allow it?"))
    window.post(f"/runs/{run.pk}/", {**sent_back(page, "plan_hash"), "word": "approve"})
    run.refresh_from_db()
    assert run.state == "approved" and run.approvals.get().user == april
    assert "Decided lately" in text(window.get("/approvals/"))


@once
@pytest.mark.django_db
def test_what_leads_nowhere_for_a_client_is_no_link():
    """A playbook of ours that serves every client is not theirs to open; its runs about them are."""
    april = cast.approver()
    _, run = waits_for(april, client=None)
    ours, theirs = (browser(user).get(f"/runs/{run.pk}/").content.decode() for user in (cast.make_staff(), april))
    assert f'href="/playbooks/{run.playbook_id}/"' in ours
    assert f'href="/playbooks/{run.playbook_id}/"' not in theirs and "Ring the bell" in theirs
    for path in set(_links(theirs)):
        assert browser(april).get(path).status_code == 200, path


def _links(html: str) -> list[str]:
    """Where the page's own part leads."""
    main = html[html.index('id="main"') : html.index("</main>")]
    return re.findall(r'href="(/[^"]*)"', main)


@once
@pytest.mark.django_db
def test_other_clients_people_do_not_even_know_of_it():
    _, run = waits_for(cast.approver())
    mallory = browser(cast.mallory())
    assert run.playbook_name not in text(mallory.get("/approvals/")) + text(mallory.get("/runs/"))
    assert mallory.get(f"/runs/{run.pk}/").status_code == 404
    assert mallory.post(f"/runs/{run.pk}/", {"word": "approve", "plan_hash": run.plan_hash}).status_code == 404


@once
@pytest.mark.django_db
def test_a_viewer_sees_that_it_waits_and_is_not_asked():
    _, run = waits_for(cast.approver())
    page = browser(cast.viewer()).get(f"/runs/{run.pk}/")
    assert "not one of the people who were asked" in text(page) and b'value="approve"' not in page.content


@once
@pytest.mark.django_db
def test_after_my_yes_it_waits_for_others_and_says_who_agreed():
    april, bob = cast.approver(), acting.approver()
    _, run = waits_for(april, bob, approvals_required=2)
    says(run, april)
    inbox = text(browser(april).get("/approvals/"))
    assert "Waiting for you" not in inbox and "you agreed" in inbox
    page = text(browser(bob).get(f"/runs/{run.pk}/"))
    assert "1 of 2 approvals so far" in page and "april@acme.example by authenticator app" in page


# --- By the link ---------------------------------------------------------------------------------------------------------------
@once
@pytest.mark.django_db
def test_by_ones_own_link_a_code_of_the_app_is_enough_and_looking_again_sends_nothing_again():
    april = cast.approver()
    an_app.give_app(april)
    _, run = waits_for(april)
    where, window = path_of(run, april), Browser(enforce_csrf_checks=True)
    form = sent_back(window.get(where), "plan_hash")
    answer = window.post(where, {**form, "word": "approve", "code": an_app.shown()})
    assert (answer.status_code, answer["Location"]) == (302, where)
    run.refresh_from_db()
    assert run.state == "approved" and run.approvals.get().how == "totp"
    assert "Enough people agreed." in text(window.get(where))


@once
@pytest.mark.django_db
def test_the_link_in_a_message_that_many_read_asks_everybody_to_sign_in():
    april = cast.approver()
    an_app.give_app(april)
    _, run = waits_for(april)
    page = Browser().get(path_of(run))
    assert "Sign in to decide" in text(page) and b'name="code"' not in page.content
    Browser().post(path_of(run), {"word": "approve", "plan_hash": run.plan_hash, "code": an_app.shown()})
    run.refresh_from_db()
    assert run.state == "awaiting_approval"


@once
@pytest.mark.django_db
def test_who_types_wrong_codes_at_the_link_does_not_shut_the_person_out():
    april = cast.approver()
    an_app.give_app(april)
    _, run = waits_for(april)
    sent = {"word": "approve", "plan_hash": run.plan_hash}
    said = [text(Browser().post(path_of(run, april), {**sent, "code": an_app.unlike()})) for _ in range(6)]
    assert [codes.TOO_MANY in words for words in said] == [False] * 3 + [True] * 3
    assert codes.TOO_MANY in text(Browser().post(path_of(run, april), {**sent, "code": an_app.shown()}))
    window = an_app.with_code(april)
    window.post(path_of(run, april), sent)
    run.refresh_from_db()
    assert run.state == "approved"


@once
@pytest.mark.django_db
def test_who_has_a_passkey_alone_is_not_asked_for_a_code():
    april = cast.approver()
    mfa.Authenticator.objects.create(user=april, type=mfa.PASSKEY, data={"name": "laptop"})
    _, run = waits_for(april)
    assert "Sign in to decide" in text(Browser().get(path_of(run, april)))
    page = browser(april).get(f"/runs/{run.pk}/")
    assert "Confirm with your passkey" in text(page) and b'name="code"' not in page.content


@once
@pytest.mark.django_db
@pytest.mark.parametrize(("who", "chain"), [(cast.viewer, "client"), (cast.mallory, "msp")])
def test_a_forwarded_letter_helps_nobody_and_is_on_record(who, chain):
    """Whom the client does not know by name is for the MSP alone to know."""
    april = cast.approver()
    _, run = waits_for(april)
    other = who()
    window = Browser()
    an_app.by_password(window, other)
    page = window.get(path_of(run, april))
    assert f"You are signed in as {other.email}" in text(page)
    answer = window.post(path_of(run, april), {"word": "approve", "plan_hash": run.plan_hash})
    assert answer.status_code == 403
    noted = AuditEntry.objects.get(action="playbook.refused")
    assert noted.actor == other.email and noted.chain.startswith(chain)
    run.refresh_from_db()
    assert run.state == "awaiting_approval"


@once
@pytest.mark.django_db
def test_the_pages_behind_the_button_are_never_framed_kept_or_named_elsewhere():
    april = cast.approver()
    _, run = waits_for(april)
    where = path_of(run, april)
    # A page with a form names itself to the portal alone: under no-referrer a browser's form would come from "null".
    for answer in (Browser().get(where), Browser().head(where), Browser().post(where, {"word": "approve"})):
        _closed(answer, "same-origin")
    says(run, april, "deny")
    for answer in (
        Browser().get(where),
        Browser().get("/approve/1.2.wrong/"),
        browser(april).post(where, {"word": "approve"}),
    ):
        _closed(answer, "no-referrer")


def _closed(answer: Any, referrer: str) -> None:
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"] and answer["X-Frame-Options"] == "DENY"
    assert "no-store" in answer["Cache-Control"] and answer["Referrer-Policy"] == referrer


@once
@pytest.mark.django_db
def test_a_link_of_another_plan_or_person_opens_nothing():
    april = cast.approver()
    _, run = waits_for(april)
    number, _, signature = links.token(run, april.pk).split(".")
    for wrong in (f"{number}.{cast.alice().pk}.{signature}", f"{run.pk + 1}.{april.pk}.{signature}", f"{number}.{april.pk}.{signature[:-1]}"):  # fmt: skip
        assert Browser().get(f"/approve/{wrong}/").status_code == 404
    before = path_of(run, april)
    Run.objects.filter(pk=run.pk).update(plan_hash="0" * 64)
    assert "leads nowhere" in text(Browser().get(before))


# --- What the messages carry -----------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_in_slack_and_telegram_the_button_is_a_link_and_the_text_says_what_to_whom_until_when(settings):
    settings.BASE_URL = "https://portal.example"  # a name that Telegram takes for a button
    chat = [
        Channel.objects.create(
            client=cast.acme(),
            name="Slack",
            type="slack",
            config={"channel": "C0123456"},
            secrets={"token": "xoxb-own-token"},
        ),
        Channel.objects.create(
            client=cast.acme(),
            name="Telegram",
            type="telegram",
            config={"chat_id": "42"},
            secrets={"bot_token": "123456789:AAabcdefghijklmnopqrstuvwxyz0123456"},
        ),
    ]
    stage.trigger(*chat)
    _, run = waits_for(cast.approver())
    due = max(row.next_attempt_at for row in stage.rows())
    sent = []
    while len(sent) < 4:  # a chat takes one message, then rests
        rows, due = outbox.claim("w1", 100, due), due + timedelta(seconds=5)
        sent += [(row, kind.request(message)) for row, kind, message in prepare(rows, due) if row.channel in chat]
        for row in rows:
            stage.ends(row, at=due)
    asking = [
        (row.channel.type, request.body.decode()) for row, request in sent if row.notice.event == "approval_needed"
    ]
    assert sorted(kind for kind, _ in asking) == ["slack", "telegram"]
    for _, body in asking:
        said = json.dumps(json.loads(body), ensure_ascii=False)
        assert all(words in said for words in (str(run), "shop", "Ring the bell “main”.", f"{run.expires_at:%H:%M:%S}"))
    for row, request in sent:  # the alert's own message and the question
        buttons = list(_buttons(json.loads(request.body)))
        approve = [b for b in buttons if b.get("url") == links.url(run)]
        assert len(approve) == 1, (row, buttons)
        assert "callback_data" not in approve[0] and "value" not in approve[0], "pressed, it opens a page and no more"


def _buttons(node: Any) -> Any:
    """Everything in a body that has an address to open."""
    if isinstance(node, dict):
        if "url" in node:
            yield node
        for value in node.values():
            yield from _buttons(value)
    elif isinstance(node, list):
        for value in node:
            yield from _buttons(value)


@pytest.mark.django_db
def test_the_letters_link_has_the_configured_host_whatever_host_was_asked(settings):
    settings.ALLOWED_HOSTS, settings.SMTP = ["*"], {"host": "127.0.0.1", "port": 25, "tls": "none"}
    april = cast.approver()
    scene, run = waits_for(april)
    says(run, april)
    acting.carried_out(run, scene.well)
    browser(cast.alice()).post(f"/runs/{run.pk}/put-back/", headers={"host": "evil.example"})
    back = Run.objects.get(undoes=run)
    letter = stage.rows(destination_key__startswith="approver:")[-1]
    ((_, _, message),) = prepare([letter], database_now())
    assert [link.url for link in message.links if link.rel == "approve"] == [
        f"{settings.BASE_URL}{path_of(back, april)}"
    ]
    assert "evil" not in json.dumps(letter.notice.snapshot)

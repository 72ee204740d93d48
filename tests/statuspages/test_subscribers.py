"""Do only those hear of a page's news who asked for it and proved it, can they stop it, and does nobody learn who they are?"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from standardwebhooks import Webhook as Oracle

from alerts.models import Attempt, Delivery
from portal.errors import Refused
from portal.models import AuditEntry
from statuspages import links, phrases, subscribers
from statuspages.models import Subscriber
from tests import cast
from tests.rig import answers
from tests.rig.mailbox import Mailbox, Mode
from tests.rig.receiver import Receiver
from tests.statuspages import reading
from tests.statuspages.reading import ANA, T, later, link, press, send, state

pytestmark = pytest.mark.django_db
FORM = "/status/acme/subscribe/"


@pytest.fixture(autouse=True)
def public(settings: Any, mailbox: Mailbox) -> None:
    cache.clear()  # counts of an hour
    cast.make_owner()
    settings.BASE_URL = "https://portal.example"
    settings.SMTP = {"host": "127.0.0.1", "port": mailbox.port, "tls": "none"}
    settings.DEFAULT_FROM_EMAIL = "status@portal.example"


@pytest.fixture
def now():
    """The database's clock stands at T for the pages."""
    from unittest.mock import patch

    with patch("statuspages.subscriber_views.database_now", lambda: T):
        yield


def ask(address: str = ANA, kind: str = "email", **more: Any) -> Any:
    return Browser(enforce_csrf_checks=True).post(FORM, {"kind": kind, "address": address, **more})


# --- Double opt-in -----------------------------------------------------------------------------------------------------------
def test_a_reader_asks_confirms_hears_and_leaves(mailbox, now):
    page = reading.page()
    assert ask().status_code == 200
    (row,) = Subscriber.objects.all()
    assert (row.state, row.kind) == ("pending", "email")
    reading.opened(reading.publication(page))
    send()
    (question,) = mailbox.to(ANA)  # the news of this moment is not for them yet
    assert question.subject == "Acme status: confirm your subscription" and question.message["List-Unsubscribe"] is None
    where = link(question.text, "confirm")
    assert (
        state(Browser().get(where)) == "confirm_ask" and "a•••@readers.example" in Browser().get(where).content.decode()
    )
    assert state(press(where)) == "confirmed"
    row.refresh_from_db()
    assert (row.state, row.confirmed_at) == ("active", T)

    reading.opened(reading.publication(page, title="Mail is late"), "We *know* why.", later(1))
    send(later(1))
    news = mailbox.to(ANA)[-1]
    assert news.subject == "Acme status: Mail is late — Investigating"
    assert "New incident: Mail is late" in news.text and "We *know* why." in news.text and "<em>know</em>" in news.html
    assert news.message["Auto-Submitted"] == "auto-generated" and news.message["Precedence"] == "bulk"

    assert news.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    answer = press(news.message["List-Unsubscribe"], **{"List-Unsubscribe": "One-Click"})
    assert (answer.status_code, state(answer)) == (200, "left")
    row.refresh_from_db()
    assert row.state == "left" and not row.address  # what is not needed any more is not kept
    reading.opened(reading.publication(page, title="Third"), at=later(2))
    assert send(later(2)) == [] and len(mailbox.mails) == 2


def test_scanners_that_open_every_link_change_nothing(now):
    page = reading.page()
    row = reading.reader(page, state="pending", asked_at=T)
    active = reading.reader(page, "ben@readers.example")
    for who, place in ((row, links.CONFIRM), (active, links.LEAVE), (active, links.PREFERENCES)):
        for method in ("get", "head"):
            answer = getattr(Browser(), method)(reading.path(links.url(who, place)))
            assert (
                answer.status_code == 200
                and "no-store" in answer["Cache-Control"]
                and answer["Referrer-Policy"] == "no-referrer"
            )
    assert sorted(Subscriber.objects.values_list("state", flat=True)) == ["active", "pending"]


def test_a_question_is_good_for_three_days(now):
    old = reading.reader(reading.page(), state="pending", asked_at=T - timedelta(days=3, minutes=1))
    where = reading.path(links.url(old, links.CONFIRM))
    assert state(Browser().get(where)) == "expired" and state(press(where)) == "expired"
    old.refresh_from_db()
    assert old.state == "pending"


def test_leaving_is_no_way_back_for_an_old_question(now):
    row = reading.reader(reading.page(), state="left", ended_at=T)
    assert press(reading.path(links.url(row, links.CONFIRM))).status_code == 404
    row.refresh_from_db()
    assert row.state == "left"


def test_whoever_left_may_come_back(mailbox, now):
    row = reading.reader(reading.page(), state="left", ended_at=T - timedelta(days=2))
    row.address = ""
    row.save()
    ask()
    send()
    assert state(press(link(mailbox.to(ANA)[0].text, "confirm"))) == "confirmed"
    row.refresh_from_db()
    assert row.state == "active" and row.address.open() == ANA


# --- Links -------------------------------------------------------------------------------------------------------------------
def test_a_link_is_good_for_one_purpose_and_one_reader(now):
    page = reading.page()
    row, other = reading.reader(page), reading.reader(page, "ben@readers.example")
    signature = links.token(row, links.PREFERENCES).partition(".")[2]
    for wrong in (
        links.token(row, links.CONFIRM),
        f"{other.pk}.{signature}",
        f"{row.pk}.x",
        "1",
        "999999.AAAA",
        "x" * 300,
    ):
        answer = press(f"/status/acme/leave/{wrong}/")
        assert (answer.status_code, state(answer)) == (404, "unknown")
    assert set(Subscriber.objects.values_list("state", flat=True)) == {"active"}


def test_a_new_mark_ends_all_links(now):
    row = reading.reader(reading.page())
    where = reading.path(links.url(row, links.LEAVE))
    Subscriber.objects.update(mark="f" * 32)
    assert press(where).status_code == 404


def test_leaving_works_when_the_page_is_renamed_switched_off_and_takes_nobody(now):
    page = reading.page()
    row = reading.reader(page)
    where = reading.path(links.url(row, links.LEAVE))
    page.slug, page.enabled, page.subscriptions = "renamed", False, False
    page.save()
    assert state(press(where)) == "left" and state(press(where)) == "left"


def test_guessing_is_limited_and_leaving_is_not(monkeypatch, now):
    from statuspages import subscriber_views

    monkeypatch.setattr(subscriber_views, "MOST_WRONG", 2)
    row = reading.reader(reading.page())
    guesser = Browser(REMOTE_ADDR="203.0.113.78")
    assert [guesser.get("/status/acme/leave/1.x/").status_code for _ in range(4)] == [404, 404, 429, 429]
    assert (
        state(guesser.post(reading.path(links.url(row, links.LEAVE)))) == "left"
    )  # one mail provider presses for many


def test_a_link_of_nobody_does_not_tell_the_name_of_a_private_page():
    reading.page(visibility="signed_in", name="Secret project")
    assert b"Secret" not in Browser().get("/status/acme/leave/1.x/").content


# --- Nobody learns who subscribed ----------------------------------------------------------------------------------------------
def test_the_answer_and_the_work_are_the_same_for_every_address(now):
    page = reading.page()
    for name, values in {
        "active": {}, "pending": {"state": "pending"}, "just": {"state": "pending", "asked_at": T - timedelta(minutes=5)}, "left": {"state": "left"}, "failed": {"state": "failed"},
    }.items():  # fmt: skip
        reading.reader(page, f"{name}@readers.example", **values)
    ask("warm@readers.example")
    heard = {}
    for name in ("new", "active", "pending", "just", "left", "failed"):
        with CaptureQueriesContext(connection) as asked:
            answer = ask(f"{name}@readers.example")
        shapes = [q["sql"].split(" ", 2)[:2] for q in asked.captured_queries if "SAVEPOINT" not in q["sql"]]
        heard[name] = (answer.status_code, answer.content, len(shapes))
    different = {name: said[2] for name, said in heard.items()}
    assert len({said[:2] for said in heard.values()}) == 1
    assert len(set(different.values())) == 1, different


def test_a_stranger_cannot_change_what_a_reader_chose(now):
    page = reading.page()
    mail, shop = reading.component(page, "Mail"), reading.component(page)
    row = reading.reader(page, ANA, "email", mail)
    ask(components=[str(shop.pk)])
    row.refresh_from_db()
    assert (row.state, list(row.components.all())) == ("active", [mail])


def test_somebody_who_is_subscribed_is_told_so_and_by_nobody_else(mailbox, now):
    reading.reader(reading.page())
    ask()
    send()
    (mail,) = mailbox.to(ANA)
    assert (
        mail.subject == "Acme status: you are subscribed"
        and link(mail.text, "preferences")
        and "/confirm/" not in mail.text
    )


# --- How often -------------------------------------------------------------------------------------------------------------------
def test_one_question_in_ten_minutes_however_often_somebody_asks(mailbox):
    page = reading.page()
    for minutes in (0, 1, 9.9):
        subscribers.subscribe(page, "email", "Ana@Readers.example", [], at=later(minutes), ip=f"203.0.113.{minutes}")
        subscribers.subscribe(page, "email", "ana@readers.example", [], at=later(minutes), ip="203.0.113.1")
    send(later(9.9))
    assert len(mailbox.mails) == 1 and Subscriber.objects.count() == 1
    assert [d.state for d in reading.owed()] == ["delivered", *["expired"] * 5]
    subscribers.subscribe(page, "email", ANA, [], at=later(10), ip="203.0.113.1")
    send(later(10))
    assert len(mailbox.mails) == 2


def test_many_pages_together_do_not_pester_one_address(monkeypatch):
    monkeypatch.setattr(subscribers, "MOST_TO_ONE", 2)
    for n in range(4):
        subscribers.subscribe(reading.page(slug=f"page-{n}"), "email", ANA, [], at=T, ip=f"203.0.113.{n}")
    assert [d.state for d in reading.owed()] == ["pending", "pending", "expired", "expired"]


def test_one_network_address_asks_so_often_an_hour(monkeypatch, now):
    monkeypatch.setattr(subscribers, "MOST_ASKED", 3)
    reading.page()
    one = Browser(REMOTE_ADDR="203.0.113.9")
    codes = [one.post(FORM, {"kind": "email", "address": f"r{n}@readers.example"}).status_code for n in range(5)]
    assert codes == [200, 200, 200, 429, 429] and Subscriber.objects.count() == 3
    assert ask("somebody@else.example").status_code == 200


def test_a_page_is_no_source_of_junk_for_many_who_ask_little(monkeypatch):
    monkeypatch.setattr(subscribers, "MOST_OF_PAGE", 4)
    page = reading.page()
    for n in range(8):
        subscribers.subscribe(page, "email", f"r{n}@readers.example", [], at=T, ip=f"198.51.100.{n}")
    assert sum(d.state == "pending" for d in reading.owed()) <= 4


# --- Addresses ---------------------------------------------------------------------------------------------------------------------
HEADERS = [
    "a@b.example\r\nBcc: all@x.example", "a@b.example\nSubject: x", "a\r@b.example", "a\x0b@b.example", "a\x0c@b.example", "a\x00@b.example", "a\u2028@b.example",
    "a\u2029@b.example", "a\x85@b.example", '"a\\\r\n b"@b.example', '"a,b"@c.example', "a@b.example,c@d.example", "a@b.example;c@d.example", "a@b.example c@d.example",
    "<a@b.example>", "Ana <a@b.example>", "a@b.example>", "=?utf-8?q?a=0d=0aBcc:x?=@b.example x", "a@[127.0.0.1]", "a@b.example\t", "a@b\x01.example", "a@", "@b.example",
    "a@b@c.example", "x" * 250 + "@b.example", "ａ@b.example", "a@b..example", "javascript:alert(1)", "", " ", "a(b)@c.example",
]  # fmt: skip


@pytest.mark.parametrize("address", HEADERS)
def test_what_is_no_plain_address_is_refused_and_nothing_is_sent(address):
    page = reading.page()
    kept = address.strip()
    if kept in ("a@b.example",):  # white space around it is a slip of the hand
        return
    with pytest.raises(ValidationError):
        subscribers.subscribe(page, "email", address, [], at=T, ip="203.0.113.1")
    assert not Subscriber.objects.exists() and not Delivery.objects.exists()


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/x", "http://[::1]/", "http://169.254.169.254/latest", "http://10.0.0.1/", "http://2130706433/", "http://0x7f.1/", "ftp://hooks.example/",
     "file:///etc/passwd", "http://user:pw@hooks.example/", "hooks.example", "http://hooks.example/\r\nX: y", "http://[fd00::1]/", "http://100.64.0.1/"],
)  # fmt: skip
def test_a_webhook_of_a_public_page_never_leads_inside(url):
    with pytest.raises(ValidationError, match="not a URL that can be used"):
        subscribers.subscribe(reading.page(), "webhook", url, [], at=T, ip="203.0.113.1")


@pytest.mark.parametrize(
    "url",
    ["https://hooks.slack.com.evil.example/services/T/B/x", "http://hooks.slack.com/services/T/B/x", "https://hooks.slack.com:8443/services/T/B/x", "https://slack.com/services/T/B/x",
     "https://hooks.slack.com/other", "https://hooks.slack.com@evil.example/services/x", "https://hooks.slack.com/services/T/B/x?y"],
)  # fmt: skip
def test_slack_means_slacks_own_webhooks(url):
    with pytest.raises(ValidationError, match="Slack"):
        subscribers.subscribe(reading.page(), "slack", url, [], at=T, ip="203.0.113.1")


def test_the_form_says_what_is_wrong_and_keeps_what_was_typed(now):
    page = reading.page()
    part = reading.component(page)
    answer = ask('<b>"x', components=[str(part.pk)])
    text = answer.content.decode()
    assert (
        answer.status_code == 400
        and "not an e-mail address" in text
        and "&lt;b&gt;&quot;x" in text
        and "checked" in text
    )
    assert "<script" not in text.partition("<main")[2]


# --- Webhook and Slack ---------------------------------------------------------------------------------------------------------------
def test_a_webhook_is_confirmed_by_whoever_reads_there_and_signed_from_then_on(receiver: Receiver, now):
    page = reading.page(visibility="signed_in")  # its readers are known people: what staff allowed may be reached
    subscribers.subscribe(page, "webhook", receiver.url("/in"), [], at=T, ip="203.0.113.1")
    send()
    (call,) = receiver.at("/in")
    body = call.json()
    assert body["type"] == "statuspage.subscription" and "monitor" not in body and "alert" not in body
    where = reading.path(body["links"]["confirm"])
    answer = Browser(enforce_csrf_checks=True).post(where, headers={"accept": "application/json"})
    assert answer.status_code == 200 and answer.json()["state"] == "confirmed"
    secret = answer.json()["secret"]
    assert b"whsec_" not in press(where).content  # shown once

    with time_machine.travel(T + timedelta(seconds=1), tick=True):
        reading.opened(reading.publication(page, reading.component(page)), "We are *looking*.")
        send()
        call = receiver.at("/in")[-1]
        assert Oracle(secret).verify(call.body, dict(call.headers)) == call.json()
    body = json.loads(call.body)
    assert body["type"] == "statuspage.incident.opened" and body["message"] == "We are *looking*."
    assert body["incident"]["title"] == "Payments fail" and body["components"][0]["name"] == "Checkout"
    assert set(body["links"]) == {"open", "preferences", "unsubscribe"}


def test_a_public_pages_webhook_is_not_sent_inside_whatever_its_name_stands_for(receiver: Receiver):
    page = reading.page()
    row = reading.reader(page, f"http://localhost:{receiver.port}/in", "webhook")
    reading.opened(reading.publication(page))
    send()
    assert receiver.calls == [] and [d.state for d in reading.owed(row)] == ["failed"]


def test_slack_gets_blocks_with_nothing_that_is_markup(now):
    from alerts import addressees
    from alerts.sender import prepare

    page = reading.page(name="<!channel> *bold*")
    row = reading.reader(page, "https://hooks.slack.com/services/T0/B0/abcdefghijkl", "slack")
    reading.opened(reading.publication(page, title="<!here> & co"), "<@U1> *x*")
    ((_, kind, message),) = prepare(reading.owed(row), T)
    content = json.loads(kind.request(message).body)
    assert (
        content["mrkdwn"] is False and "<!" not in json.dumps(content) and "&lt;!here&gt; &amp; co" in content["text"]
    )
    assert {b["text"]["type"] for b in content["attachments"][0]["blocks"] if b["type"] == "section"} == {"plain_text"}
    urls = [e["url"] for b in content["attachments"][0]["blocks"] if b["type"] == "actions" for e in b["elements"]]
    assert any("/leave/" in url for url in urls) and addressees.NEWS == "news"


# --- Addresses that no longer work ---------------------------------------------------------------------------------------------------
def test_an_address_that_is_refused_three_times_is_given_up(mailbox):
    page = reading.page()
    row = reading.reader(page)
    mailbox.behave(Mode.REJECT)
    for n in range(4):
        reading.opened(reading.publication(page, title=f"Nr {n}"), at=later(n))
        send(later(n))
        row.refresh_from_db()
        assert (row.failures, row.state) == (min(n + 1, 3), "active" if n < 2 else "failed")
    assert [d.state for d in reading.owed(row)] == ["failed"] * 3


def test_an_address_that_takes_one_in_between_is_well(mailbox):
    page = reading.page()
    row = reading.reader(page, failures=2)
    reading.opened(reading.publication(page))
    send()
    row.refresh_from_db()
    assert (row.failures, row.state) == (0, "active")


def test_our_own_servers_trouble_is_no_readers_fault(settings, mailbox):
    page = reading.page()
    row = reading.reader(page, failures=2)
    mailbox.behave(Mode.REJECT_DATA)
    reading.opened(reading.publication(page))
    send()
    settings.SMTP = {}
    reading.opened(reading.publication(page, title="Second"), at=later(1))
    send(later(1))
    row.refresh_from_db()
    assert (row.failures, row.state) == (2, "active")


def test_a_receiver_that_is_gone_is_given_up(receiver):
    page = reading.page(visibility="signed_in")
    receiver.behave("/in", answers.status(410))
    row = reading.reader(page, receiver.url("/in"), "webhook", failures=2)
    reading.opened(reading.publication(page))
    send()
    row.refresh_from_db()
    assert row.state == "failed"


def test_no_address_stands_in_the_log_of_messages(mailbox, receiver):
    page = reading.page(visibility="signed_in")
    reading.reader(page)
    reading.reader(page, receiver.url("/in/very-secret-path"), "webhook")
    mailbox.behave(Mode.REJECT)
    receiver.behave("/in/very-secret-path", answers.status(404, b"no /in/very-secret-path here"))
    reading.opened(reading.publication(page))
    send()
    said = [f"{a.error} {a.answer}" for a in Attempt.objects.all()] + [d.reason for d in reading.owed()]
    assert len(said) == 4 and all(said)
    assert not any(
        ANA in text or "very-secret" in text or "readers.example" in text.replace("•••", "") for text in said
    ), said
    owner = cast.api(cast.make_owner())
    for where in ("/api/v1/deliveries", "/api/v1/notification-logs"):
        answer = owner.get(where)
        assert (
            answer.status_code == 200
            and ANA not in answer.content.decode()
            and "very-secret" not in answer.content.decode()
        )
        assert [r["channel"] for r in answer.json()["results"]] == [None, None]
        assert (
            cast.api(cast.alice()).get(where).json()["results"] == []
        )  # readers are not told to clients message by message


# --- Whose page --------------------------------------------------------------------------------------------------------------------
def test_only_who_may_see_a_page_may_subscribe_to_it():
    reading.page(visibility="signed_in")
    for who, code in ((None, 302), (cast.mallory(), 404), (cast.alice(), 200), (cast.make_staff(), 200)):
        browser = Browser()
        if who:
            browser.force_login(who)
        assert browser.get(FORM).status_code == code
        assert browser.post(FORM, {"kind": "email", "address": ANA}).status_code == code
    assert Subscriber.objects.count() == 1


def test_a_page_with_a_password_takes_those_who_said_it():
    from statuspages import gate

    page = reading.page(visibility="password", password_hash="x")
    browser = Browser()
    for answer in (browser.get(FORM), browser.post(FORM, {"address": ANA})):
        assert answer["Location"] == "/status/acme/?to=subscribe/"
    browser.cookies[gate.cookie_name(page.pk)] = gate.pass_for(page.pk, page.password_hash)
    assert browser.get(FORM).status_code == 200


@pytest.mark.parametrize("off", [{"enabled": False}, {"subscriptions": False}])
def test_a_page_that_takes_nobody_answers_as_if_there_were_no_form(off):
    reading.page(**off)
    assert Browser().get(FORM).status_code == 404 and ask().status_code == 404 and not Subscriber.objects.exists()


def test_components_of_another_page_are_not_there(now):
    foreign = reading.component(reading.page(cast.globex(), "globex"), "Theirs")
    row = reading.reader(reading.page())
    reading.component(row.page)
    where = reading.path(links.url(row, links.PREFERENCES))
    assert b"Theirs" not in Browser().get(where).content
    press(where, components=[str(foreign.pk)])
    ask("new@readers.example", components=[str(foreign.pk)])
    assert not Subscriber.components.through.objects.exists()


def test_a_reader_chooses_and_chooses_again(now):
    page = reading.page()
    mail, shop = reading.component(page, "Mail"), reading.component(page)
    row = reading.reader(page)
    where = reading.path(links.url(row, links.PREFERENCES))
    assert b"Saved" in press(where, components=[str(mail.pk), str(shop.pk)]).content
    assert set(row.components.all()) == {mail, shop}
    press(where)
    assert not row.components.exists()


# --- The staff's side ------------------------------------------------------------------------------------------------------------------
def test_staff_counts_removes_and_asks_again():
    page = reading.page()
    waiting = reading.reader(page, state="pending")
    reading.reader(page, "ben@readers.example")
    assert subscribers.counts(page) == {"pending": 1, "active": 1, "left": 0, "failed": 0}
    subscribers.ask_again(waiting, by=cast.TESTS, at=T)
    assert [d.state for d in reading.owed(waiting)] == ["pending"]
    with pytest.raises(Refused, match="ten minutes"):
        subscribers.ask_again(waiting, by=cast.TESTS, at=later(1))
    subscribers.remove(waiting, by=cast.TESTS, at=later(2))
    assert subscribers.counts(page)["pending"] == 0 and [d.state for d in reading.owed()] == ["expired"]
    assert {e.action for e in AuditEntry.objects.filter(action__startswith="subscriber.")} == {
        "subscriber.removed",
        "subscriber.asked_again",
    }
    assert not any(ANA in str(e.before) + str(e.after) + e.subject_name for e in AuditEntry.objects.all())


def test_unanswered_questions_and_old_goodbyes_are_forgotten():
    page = reading.page()
    reading.reader(page, "a@readers.example", state="pending", asked_at=T - timedelta(days=8))
    reading.reader(page, "b@readers.example", state="left", ended_at=T - timedelta(days=401))
    reading.reader(page, "c@readers.example", state="left", ended_at=T - timedelta(days=399))
    reading.reader(page, "d@readers.example")
    subscribers.forget(T)
    assert Subscriber.objects.count() == 2


def test_the_three_languages_say_the_same_things():
    english = phrases.PHRASES["en"]
    for language, said in phrases.PHRASES.items():
        assert said.keys() == english.keys(), language
        for key, text in said.items():
            assert sorted(part[1:-1] for part in _parts(text)) == sorted(part[1:-1] for part in _parts(english[key])), (
                language,
                key,
            )


def _parts(text: str) -> list[str]:
    import re

    return re.findall(r"\{\w+\}", text)

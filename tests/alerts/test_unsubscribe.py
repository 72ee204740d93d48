"""Can a reader stop digests by one click, can nobody else, and can nobody stop being paged that way?"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client as Browser

from alerts import digest, services, unsubscribing
from alerts.channels.email import Email, EmailConfig, compose, stoppable
from alerts.message import Message
from alerts.models import Channel, Delivery, Notice
from alerts.sender import prepare
from portal.errors import Refused
from portal.models import AuditEntry
from tests import cast
from tests.alerts import letters, stage
from tests.alerts.stage import T

pytestmark = pytest.mark.django_db
TO = "ana@acme.example"


@pytest.fixture(autouse=True)
def public(settings: Any) -> None:
    cast.make_owner()
    settings.BASE_URL = "https://portal.example"
    settings.SMTP, settings.DEFAULT_FROM_EMAIL = {"host": "127.0.0.1"}, "wk@portal.example"


def letter(row: Delivery) -> Any:
    """The mail of a delivery, as it would go out."""
    row = Delivery.objects.select_related("alert", "channel", "notice").get(pk=row.pk)
    ((_, kind, message),) = prepare([row], T)
    assert isinstance(kind, Email) and message is not None
    return compose(stoppable(message, kind.address()), sender="wk@portal.example", to=kind.config.to)


def link(channel: Channel) -> str:
    """The path in the header of a digest to that channel."""
    mail = letter(digest.send(channel, by=cast.TESTS, at=T))
    return str(mail["List-Unsubscribe"]).strip("<>").removeprefix("https://portal.example")


def state(answer: Any) -> str:
    found = re.search(r'data-state="(\w+)"', answer.content.decode())
    return found[1] if found else ""


def stopped(channel: Channel) -> bool:
    return Channel.objects.get(pk=channel.pk).digests_stopped_at is not None


# --- The mail --------------------------------------------------------------------------------------------------------------
def test_a_digest_can_be_stopped_by_one_click_of_the_mail_program():
    mail = letter(digest.send(stage.mail(), by=cast.TESTS, at=T))
    assert re.fullmatch(r"<https://portal\.example/u/\d+\.[\w-]{20}/>", mail["List-Unsubscribe"])
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "Send no more digests: https://portal.example/u/" in mail.get_body(("plain",)).get_content()


def test_without_tls_there_is_a_link_but_no_one_click(settings):
    settings.BASE_URL = "http://portal.example"
    mail = letter(digest.send(stage.mail(), by=cast.TESTS, at=T))
    assert mail["List-Unsubscribe"].startswith("<http://") and mail["List-Unsubscribe-Post"] is None


@pytest.mark.parametrize("kind", [k for k in Notice.Kind.values if k != "digest"])
def test_no_other_message_can_be_stopped(kind):
    message = replace(letters.PAGE, kind=kind, digest_of=5)
    _plain(message)


def test_alerts_gathered_in_a_storm_are_no_digest():
    channel = stage.mail()
    stage.trigger(channel)
    stage.tell(*(stage.failing(n) for n in range(7, 12)))
    sent = [*stage.drain(T), *stage.drain(stage.later(seconds=30))]
    (gathered,) = [r for r in sent if r.kind == "digest"]
    assert letter(gathered)["List-Unsubscribe"] is None
    _plain(letters.GATHERED)


def _plain(message: Message) -> None:
    channel = Email(EmailConfig(to=(TO,)))
    mail = compose(stoppable(message, channel.address()), sender="wk@portal.example", to=(TO,))
    assert mail["List-Unsubscribe"] is None and mail["List-Unsubscribe-Post"] is None
    assert "/u/" not in mail.get_body(("plain",)).get_content()


# --- The page --------------------------------------------------------------------------------------------------------------
def test_a_scanner_that_opens_the_link_changes_nothing():
    channel = stage.mail()
    where = link(channel)
    for method in ("get", "head"):
        answer = getattr(Browser(), method)(where)
        assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
        assert answer["Referrer-Policy"] == "no-referrer"
    assert state(Browser().get(where)) == "ask" and TO in Browser().get(where).content.decode()
    assert not stopped(channel)


def test_one_click_without_a_cookie_stops_them_and_again_is_harmless():
    channel = stage.mail()
    where, program = link(channel), Browser(enforce_csrf_checks=True)
    one_click = {"List-Unsubscribe": "One-Click"}
    assert state(program.post(where, one_click)) == "done" and stopped(channel)
    before = Channel.objects.get(pk=channel.pk).digests_stopped_at
    answer = program.post(where, one_click)
    assert (answer.status_code, state(answer)) == (200, "already") and state(program.get(where)) == "already"
    assert Channel.objects.get(pk=channel.pk).digests_stopped_at == before
    assert AuditEntry.objects.filter(action="channel.digests_stopped").count() == 1


def test_the_next_digest_is_refused_with_the_reason_until_they_are_switched_on_again():
    channel = stage.mail()
    Browser().post(link(channel))
    channel.refresh_from_db()
    with pytest.raises(Refused, match=r"The reader asked for no more digests on .*; they can be switched on again at"):
        digest.send(channel, by=cast.TESTS, at=T)
    unsubscribing.resume(channel, by=cast.TESTS)
    assert not stopped(channel) and digest.send(channel, by=cast.TESTS, at=T).pk
    with pytest.raises(Refused):
        unsubscribing.resume(channel, by=cast.TESTS)
    assert AuditEntry.objects.filter(action="channel.digests_resumed").count() == 1


def test_alerts_go_on_after_digests_were_stopped():
    channel = stage.mail()
    stage.trigger(channel)
    Browser().post(link(channel))
    stage.tell(stage.failing(7))
    assert [r.kind for r in stage.drain(T) if r.channel_id == channel.pk and r.alert_id] == ["opened"]


@pytest.mark.parametrize(
    "wrong", ["1", "x.y", "999999.AAAAAAAAAAAAAAAAAAAA", "{pk}.AAAAAAAAAAAAAAAAAAAA", "{acknowledge}"]
)
def test_what_is_not_a_token_leads_nowhere_whether_the_channel_exists_or_not(wrong):
    from alerts import links

    channel = stage.mail()
    where = f"/u/{wrong.format(pk=channel.pk, acknowledge=links.token(channel.pk))}/"
    answers = [Browser().get(where), Browser().post(where)]
    assert [(a.status_code, state(a)) for a in answers] == [(404, "unknown")] * 2 and not stopped(channel)
    assert TO not in answers[0].content.decode()


def test_a_link_for_one_channel_or_for_earlier_addresses_stops_no_other():
    first, second = stage.mail("one"), stage.mail("two")
    number, _, signature = link(first).strip("/").removeprefix("u/").partition(".")
    assert Browser().post(f"/u/{second.pk}.{signature}/").status_code == 404
    where = f"/u/{number}.{signature}/"
    assert Browser().post(where).status_code == 200 and stopped(first)
    services.save_channel(Channel.objects.get(pk=first.pk), by=cast.TESTS, settings={"to": "ben@acme.example"})
    assert Browser().post(where).status_code == 404 and not stopped(first)  # new readers have not asked


def test_an_international_address_finds_its_channel():
    channel = services.save_channel(
        None, by=cast.TESTS, name="intl", type="email", settings={"to": "ops@bücher.example"}
    )
    assert state(Browser().get(link(channel))) == "ask"


def test_guessing_is_limited(monkeypatch):
    monkeypatch.setattr(unsubscribing, "MOST_AN_HOUR", 2)
    answers = [Browser(REMOTE_ADDR="203.0.113.77").get("/u/1.x/").status_code for _ in range(4)]
    assert answers == [404, 404, 429, 429]


# --- The portal's side -------------------------------------------------------------------------------------------------------
def test_the_channels_page_says_so_and_switches_them_on_again():
    channel = stage.mail()
    unsubscribing.stop(channel, by=cast.TESTS, at=T)
    staff = Browser()
    staff.force_login(cast.make_owner())
    page = staff.get("/channels/").content.decode()
    assert "asked for no more digests" in page and "Send digests again" in page and "Send a digest now" not in page
    staff.post(f"/channels/{channel.pk}/digests-again/")
    assert not stopped(channel) and "Send a digest now" in staff.get("/channels/").content.decode()

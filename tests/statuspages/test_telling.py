"""Does news reach exactly the readers it is for, once, quickly, and never before a page to the people who repair it?"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from alerts import addressees, outbox
from alerts.models import Delivery, Notice
from alerts.sender import Sender
from portal.clock import database_now
from portal.residents import pulse
from statuspages import links, subscribers, telling
from statuspages.models import Subscriber, WorkUpdate
from tests import cast
from tests.alerts import stage
from tests.rig.mailbox import Mailbox, Mode
from tests.statuspages import reading
from tests.statuspages.reading import ANA, T, later, link, send

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def public(settings: Any) -> None:
    cache.clear()
    cast.make_owner()
    settings.BASE_URL = "https://portal.example"


@pytest.fixture
def post(settings: Any, mailbox: Mailbox) -> Mailbox:
    """The installation's mail server."""
    settings.SMTP = {"host": "127.0.0.1", "port": mailbox.port, "tls": "none"}
    settings.DEFAULT_FROM_EMAIL = "status@portal.example"
    return mailbox


def heard(*readers: Subscriber) -> list[list[str]]:
    """What each is owed, in order."""
    return [[d.notice.type.removeprefix("statuspage.") for d in reading.owed(row)] for row in readers]


def many(count: int) -> Any:
    """A page with so many readers by mail."""
    page = reading.page()
    Subscriber.objects.bulk_create(
        Subscriber(page=page, kind="email", address=f"r{n}@readers.example", address_hash=f"{n}", state="active", created_at=T, asked_at=T, confirmed_at=T) for n in range(count)
    )  # fmt: skip
    return page


# --- Who hears ---------------------------------------------------------------------------------------------------------------
def test_news_of_one_page_never_reaches_anothers_readers():
    ours, theirs, second = reading.page(), reading.page(cast.globex(), "globex"), reading.page(slug="acme-internal")
    msp = reading.page(slug="msp")
    msp.client = None
    msp.save()
    readers = [reading.reader(page) for page in (ours, theirs, second, msp)]  # the same address on each
    reading.opened(reading.publication(ours))
    telling.work_news(reading.work(second), what="scheduled", at=T)
    assert heard(*readers) == [["incident.opened"], [], ["maintenance.scheduled"], []]
    assert all(d.client_id == ours.client_id for d in reading.owed())


def test_readers_of_components_hear_of_those_and_of_maintenance_there_too():
    page = reading.page()
    mail, shop = reading.component(page, "Mail"), reading.component(page)
    everything, of_mail, of_shop = (
        reading.reader(page),
        reading.reader(page, "m@x.example", "email", mail),
        reading.reader(page, "s@x.example", "email", shop),
    )
    both = reading.reader(page, "b@x.example", "email", mail, shop)
    reading.opened(reading.publication(page, mail))
    telling.work_news(reading.work(page, shop), what="scheduled", at=T)
    assert heard(everything, of_mail, of_shop, both) == [
        ["incident.opened", "maintenance.scheduled"], ["incident.opened"], ["maintenance.scheduled"], ["incident.opened", "maintenance.scheduled"],
    ]  # fmt: skip


def test_news_about_no_component_in_particular_is_for_all():
    page = reading.page()
    of_mail = reading.reader(page, ANA, "email", reading.component(page, "Mail"))
    reading.opened(reading.publication(page))
    telling.work_news(reading.work(page), what="scheduled", at=T)
    assert heard(of_mail) == [["incident.opened", "maintenance.scheduled"]]


@pytest.mark.parametrize("state", ["pending", "left", "failed"])
def test_only_who_confirmed_hears(state):
    page = reading.page()
    row = reading.reader(page, state=state)
    assert reading.opened(reading.publication(page)) == 0 and heard(row) == [[]]


def test_withdrawn_switched_off_and_closed_pages_are_silent():
    page = reading.page()
    row = reading.reader(page)
    made = reading.publication(page)
    made.withdrawn_at = T
    assert reading.opened(made) == 0
    for off in ("enabled", "subscriptions"):
        other = reading.page(slug=off, **{off: False})
        reading.reader(other)
        assert reading.opened(reading.publication(other)) == 0
        assert telling.work_news(reading.work(other), what="scheduled", at=T) == 0
    assert heard(row) == [[]] and not Notice.objects.filter(kind=addressees.NEWS).exists()


# --- Once ----------------------------------------------------------------------------------------------------------------------
def test_an_occasion_is_told_once_whoever_reports_it_twice():
    page = reading.page()
    row, made, planned = reading.reader(page), reading.publication(page), reading.work(page)
    for _ in range(2):
        reading.opened(made)
        for minutes in (1, 2):
            telling.incident_news(made, what="updated", message="More.", at=later(minutes))
        telling.incident_news(made, what="resolved", message="", at=later(3))
        telling.work_news(planned, what="reminder", at=later(4))
    telling.work_news(planned, what="reminder", at=later(5))  # another worker, a moment later
    assert heard(row) == [
        ["incident.opened", "incident.update", "incident.update", "incident.resolved", "maintenance.reminder"]
    ]


def test_work_that_was_moved_reminds_again():
    page = reading.page()
    row, planned = reading.reader(page), reading.work(page)
    telling.work_news(planned, what="reminder", at=T)
    planned.starts_at += timedelta(days=1)
    telling.work_news(planned, what="reminder", at=later(60))
    assert heard(row) == [["maintenance.reminder"] * 2]


def test_news_that_is_rolled_back_is_no_news():
    page = reading.page()
    row, made = reading.reader(page), reading.publication(page)
    with pytest.raises(RuntimeError), transaction.atomic():
        reading.opened(made)
        raise RuntimeError
    assert heard(row) == [[]] and reading.opened(made) == 1


def test_what_is_no_occasion_is_a_mistake_of_ours():
    page = reading.page()
    with pytest.raises(KeyError):
        telling.incident_news(reading.publication(page), what="exploded", message="", at=T)
    with pytest.raises(ValueError, match="no news"):
        telling.work_news(reading.work(page), what="exploded", at=T)


# --- What it says ----------------------------------------------------------------------------------------------------------------
def test_a_mail_of_planned_work_says_when_and_where(post):
    page = reading.page(language="pt", timezone="America/Sao_Paulo")
    reading.reader(page)
    planned = reading.work(page, reading.component(page, "Loja"))
    telling.work_news(planned, what="scheduled", at=T)
    send()
    (mail,) = post.to(ANA)
    assert mail.subject == "Acme status: Switch replaced — Manutenção agendada"
    assert "De 22 de novembro de 2026, 09:00 a 22 de novembro de 2026, 11:00 (America/Sao_Paulo)" in mail.text
    assert (
        "Afeta: Loja" in mail.text and "Short breaks." in mail.text and "Cancelar a subscrição: https://" in mail.text
    )
    assert link(mail.text, "leave") and link(mail.text, "preferences")


def test_what_a_person_said_with_a_move_is_told_with_it(post):
    page = reading.page()
    reading.reader(page)
    planned = reading.work(page)
    WorkUpdate.objects.create(work=planned, status="verifying", message="Nearly there.", created_at=later(5))
    telling.work_news(planned, what="verifying", at=later(5))
    send(later(5))
    assert "Nearly there." in post.to(ANA)[0].text


def test_mails_of_one_incident_stand_together_and_speak_of_no_monitor(post):
    page = reading.page()
    reading.reader(page)
    made = reading.publication(page, reading.component(page))
    reading.opened(made)
    telling.incident_news(made, what="resolved", message="Fixed.", at=later(9))
    send(later(9))
    first, second = (mail.message for mail in post.to(ANA))
    assert first["References"].split()[0] == second["References"].split()[0]
    for mail in post.to(ANA):
        for word in ("monitor", "Monitor", "[Incident", "Reference", "acknowledge", "critical"):
            assert word not in mail.text and word not in mail.html.partition("<body")[2]


@pytest.mark.parametrize("nasty", ["x\r\nBcc: all@x.example", "x\nList-Unsubscribe: <https://evil.example>", "x\u2028Bcc: y", "x\x0bBcc: y", "x\x85Bcc: y", "=?utf-8?q?x=0D=0ABcc:_y?=", "\u202egnp.exe"])  # fmt: skip
def test_no_name_or_title_becomes_a_header(post, nasty):
    page = reading.page(name=f"Acme {nasty}")
    row = reading.reader(page)
    reading.opened(reading.publication(page, title=nasty), nasty)
    send()
    (mail,) = post.to(ANA)
    assert mail.recipients == (ANA,) and mail.message["Bcc"] is None and mail.message["To"] == ANA
    assert "\n" not in mail.subject and mail.message.get_all("List-Unsubscribe") == [mail.message["List-Unsubscribe"]]
    assert links.url(row, links.LEAVE) in str(mail.message["List-Unsubscribe"])


def test_markup_of_a_title_shows_as_typed_and_that_of_a_message_is_harmless(post):
    page = reading.page()
    reading.reader(page)
    reading.opened(
        reading.publication(page, title="<img src=x onerror=alert(1)>"),
        "<script>alert(1)</script> [x](javascript:alert(1)) **bold**",
    )
    send()
    html = post.to(ANA)[0].html
    assert (
        "&lt;img src=x" in html
        and "<script" not in html
        and 'href="javascript' not in html
        and "<strong>bold</strong>" in html
    )


def test_without_tls_a_mail_program_gets_the_link_but_no_one_click(post, settings):
    settings.BASE_URL = "http://portal.example"
    page = reading.page()
    reading.reader(page)
    reading.opened(reading.publication(page))
    send()
    (mail,) = post.to(ANA)
    assert (
        mail.message["List-Unsubscribe"].strip().startswith("<http://")
        and mail.message["List-Unsubscribe-Post"] is None
    )


def test_whoever_leaves_while_news_wait_gets_none(post):
    page = reading.page()
    row = reading.reader(page)
    reading.opened(reading.publication(page))
    subscribers.leave(row, at=T)
    assert send() == [] and [d.state for d in reading.owed(row)] == ["expired"]


def test_a_message_that_was_claimed_as_its_reader_left_is_not_sent(post):
    page = reading.page()
    row = reading.reader(page)
    reading.opened(reading.publication(page))
    Subscriber.objects.filter(pk=row.pk).update(state="left", address="")
    send()
    assert post.mails == [] and [d.reason for d in reading.owed(row)] == ["Whom it was for does not want it any more."]


# --- How many, and after whom --------------------------------------------------------------------------------------------------------
def test_ten_readers_or_three_hundred_cost_the_same_queries():
    def cost(count: int) -> int:
        Subscriber.objects.all().delete()
        page = many(count)
        made = reading.publication(page, title=f"For {count}")
        with CaptureQueriesContext(connection) as asked:
            assert reading.opened(made) == count
        return len(asked)

    assert cost(10) == cost(300) <= 12


def test_every_delivery_is_whole():
    page = many(2)
    reading.opened(reading.publication(page))
    for row in reading.owed():
        row.full_clean(
            exclude=[
                "alert",
                "channel",
                "contact",
                "client",
                "silence",
                "window",
                "carried_by",
                "lease_token",
                "lease_until",
                "finished_at",
                "remind_minutes",
            ]
        )
        assert (row.priority, row.state, row.gather, row.channel, row.created_at) == (
            addressees.BY_MAIL,
            "pending",
            False,
            None,
            T,
        )
        assert row.destination_key.startswith("subscriber:") and "@" not in row.destination_key


def test_a_page_is_claimed_before_ten_thousand_mails_that_waited_longer():
    page = many(10_000)
    assert reading.opened(reading.publication(page)) == 10_000
    ops = stage.webhook()
    stage.trigger(ops)
    stage.tell(stage.failing(7, later(1)))
    first = outbox.claim("w1", 1, later(1))
    assert [d.channel_id for d in first] == [ops.pk]
    rest = outbox.claim("w1", 256, later(1))
    assert len(rest) == outbox.BULK_PER_CLIENT and all(d.channel_id is None for d in rest)
    stage.tell(stage.failing(8, later(2)))  # while readers' mails hang, also to the same client
    assert [d.channel_id for d in outbox.claim("w1", 256, later(2))] == [ops.pk]


def test_readers_of_one_client_do_not_wait_for_anothers_thousands():
    reading.opened(reading.publication(many(300)))
    theirs = reading.page(cast.globex(), "globex")
    row = reading.reader(theirs)
    reading.opened(reading.publication(theirs), at=later(1))
    taken = outbox.claim("w1", 256, later(1))
    assert f"subscriber:{row.pk}" in {d.destination_key for d in taken} and len(taken) <= outbox.BULK_AT_ONCE


def test_slow_receivers_of_hooks_make_no_reader_by_mail_wait():
    page = reading.page()
    for n in range(30):
        reading.reader(page, f"https://h{n}.example/", "webhook")
    row = reading.reader(page)
    reading.opened(reading.publication(page))
    assert outbox.claim("w1", 1, T)[0].destination_key == f"subscriber:{row.pk}"


@pytest.mark.django_db(transaction=True)
def test_a_page_by_mail_overtakes_readers_whose_mails_hang(post, monkeypatch):
    """The whole sender: the mail server keeps every thread that readers' mails may have, and takes the page's meanwhile."""
    hangs = 20.0
    page = many(outbox.BULK_PER_CLIENT + 2)
    post.behave(Mode.SLOW, delay=hangs)
    at = database_now()
    reading.opened(reading.publication(page), at=at)
    monkeypatch.setattr(pulse, "sure_since", lambda instant: True)  # the housekeeper's part
    sender = Sender()
    sender.start()
    try:
        post.wait_for(outbox.BULK_PER_CLIENT)
        post.behave(Mode.ACCEPT)  # what comes from now on is answered at once
        on_duty = stage.mail()
        stage.trigger(on_duty)
        stage.tell(stage.failing(7, database_now()))
        (paged,) = post.wait_for(1, "ana@acme.example")
        arrived = Delivery.objects.filter(channel=on_duty, state="delivered")
        until = time.monotonic() + 60
        while not arrived.exists() and time.monotonic() < until:
            time.sleep(0.05)
        post.refuse()  # cuts those that hang
    finally:
        sender.stop()
        sender.join(60)
    assert paged.instant < post.mails[0].instant + hangs  # none of theirs had ended yet
    assert arrived.count() == 1

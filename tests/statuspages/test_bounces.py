"""STP-4: letters that come back after they were taken: what counts, against whom, and that nobody can forge it against another."""

from __future__ import annotations

from email.message import EmailMessage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client as Browser

from portal.models import AuditEntry
from statuspages import bounces, links
from statuspages.models import Subscriber
from tests import cast
from tests.console.visiting import browser, text
from tests.rig.mailbox import Mailbox, Mode
from tests.statuspages import reading
from tests.statuspages.reading import ANA, later, send

pytestmark = pytest.mark.django_db
BEN = "ben@readers.example"


@pytest.fixture(autouse=True)
def public(settings: Any, mailbox: Mailbox) -> None:
    cache.clear()
    cast.make_owner()
    settings.BASE_URL = "https://portal.example"
    settings.SMTP = {"host": "127.0.0.1", "port": mailbox.port, "tls": "none"}
    settings.DEFAULT_FROM_EMAIL = "status@portal.example"


def letters(mailbox: Mailbox, many: int, first: int = 0) -> list[bytes]:
    """So many news go out to the readers of Acme's page; the raw letters as the mail server took them."""
    page, before = reading.page(), len(mailbox.mails)
    for n in range(first, first + many):
        reading.opened(reading.publication(page, title=f"Nr {n}"), at=later(n))
        send(later(n))
    return [one.raw for one in mailbox.mails[before:]]


def report(
    letter: bytes, status: str = "5.1.1", action: str = "failed", said: str = "", *, whole: bool = True
) -> bytes:
    """What a mail server writes about a letter that it could not bring (RFC 3464): the whole letter, or its head only."""
    mail = MIMEMultipart("report", **{"report-type": "delivery-status"})
    mail["From"], mail["To"], mail["Subject"] = "MAILER-DAEMON@mx.example", "status@portal.example", "Undelivered Mail"
    mail.attach(MIMEText("I am sorry to have to inform you …"))
    verdict = EmailMessage()
    recipient = EmailMessage()
    verdict["Reporting-MTA"] = "dns; mx.example"
    recipient["Final-Recipient"], recipient["Action"], recipient["Status"] = f"rfc822; {ANA}", action, status
    recipient["Diagnostic-Code"] = f"smtp; {said or f'550 5.1.1 <{ANA}>: no such user'}"
    part = MIMEMessage(EmailMessage(), "delivery-status")
    part.set_payload([verdict, recipient])
    mail.attach(part)
    head = letter.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    kind, body = (b"message/rfc822", letter) if whole else (b"text/rfc822-headers", head)
    raw = mail.as_bytes()
    boundary = mail.get_boundary().encode()
    end = b"--" + boundary + b"--"
    return raw.replace(end, b"--" + boundary + b"\nContent-Type: " + kind + b"\n\n" + body + b"\n" + end)


def bring(mail: bytes, key: str = "", **headers: str) -> Any:
    """A mail server hands it over."""
    kind = headers.pop("content_type", "message/rfc822")
    return Browser(enforce_csrf_checks=True).post(f"/hooks/bounces/{key or links.hook_key()}/", mail, content_type=kind)


def standing(row: Subscriber) -> tuple[str, int]:
    row.refresh_from_db()
    return row.state, row.bounces


# --- What counts ---------------------------------------------------------------------------------------------------------------
def test_three_letters_in_a_row_that_come_back_suspend_a_reader(mailbox):
    row = reading.reader(reading.page())
    for n, letter in enumerate(letters(mailbox, 3)):
        assert bring(report(letter)).status_code == 202
        assert standing(row) == ("active" if n < 2 else "failed", n + 1)
    assert (
        row.ended_reason.startswith("3 letters in a row came back (5.1.1). 550 5.1.1") and ANA not in row.ended_reason
    )
    assert not letters(mailbox, 1, first=3), "nothing more goes there"


def test_a_report_with_the_head_alone_counts_too(mailbox):
    row = reading.reader(reading.page())
    bring(report(letters(mailbox, 1)[0], whole=False))
    assert standing(row) == ("active", 1)


def test_a_letter_in_between_that_stayed_begins_the_count_anew(mailbox):
    row = reading.reader(reading.page())
    first, second, _, fourth = letters(mailbox, 4)
    for letter in (first, second, fourth):
        bring(report(letter))
    assert standing(row) == ("active", 1)


def test_reports_may_come_in_any_order_and_twice(mailbox):
    row = reading.reader(reading.page())
    one, two, three = letters(mailbox, 3)
    for letter in (two, one, two, one):
        bring(report(letter))
    assert standing(row) == ("active", 2)
    bring(report(three))
    assert standing(row) == ("failed", 3)


@pytest.mark.parametrize(
    "values",
    [{"status": "4.4.1", "action": "delayed"}, {"action": "delivered"}, {"status": "2.1.5", "action": "relayed"}, {"status": "5.7.1"}, {"status": "5.3.4"}, {"status": "x"}],
)  # fmt: skip
def test_what_is_late_delivered_or_not_the_readers_fault_does_not_count(mailbox, values):
    row = reading.reader(reading.page())
    assert bring(report(letters(mailbox, 1)[0], **values)).status_code == 202
    assert standing(row) == ("active", 0)


# --- Against whom --------------------------------------------------------------------------------------------------------------
def test_a_forged_report_harms_no_other_reader(mailbox):
    """Ben has a letter of his own, and knows all there is to know of Ana's but her link."""
    page = reading.page()
    ana, ben = reading.reader(page), reading.reader(page, BEN)
    hers, his = sorted(letters(mailbox, 1), key=lambda raw: BEN.encode() in raw)
    number = bounces.LETTER.search(hers.decode())[1].encode()
    own = bounces.LETTER.search(his.decode())[1].encode()
    assert number != own
    mixed = his.replace(b"delivery-" + own, b"delivery-" + number).replace(BEN.encode(), ANA.encode())
    answers = {
        bring(report(mail)).content for mail in (mixed, his.replace(own, b"999999"), b"Message-ID: <x>\r\n\r\nx")
    }
    assert len(answers) == 1 and standing(ana) == standing(ben) == ("active", 0)


def test_another_readers_number_with_a_guessed_link_counts_for_nothing(mailbox):
    ana = reading.reader(reading.page())
    letter = letters(mailbox, 1)[0]
    number = bounces.LETTER.search(letter.decode())[1]
    made = f"Message-ID: <delivery-{number}.0123abcd@portal.example>\r\nList-Unsubscribe: <https://portal.example/status/acme/leave/{ana.pk}.{'A' * 24}/>\r\n\r\nx"
    bring(report(made.encode()))
    assert standing(ana) == ("active", 0)


@pytest.mark.parametrize(
    "mail", [b"", b"\x00\xff" * 50, b"Subject: hello\n\nnot a report", b"Content-Type: multipart/report; boundary=x\n\n--x\nContent-Type: message/delivery-status\n\n--x--",
    b"Content-Type: multipart/report; boundary=x\n\n" + b"--x\nContent-Type: multipart/mixed; boundary=x\n\n" * 500, b"Content-Type: message/rfc822\n\n" * 900],
    ids=["nothing", "noise", "another mail", "empty", "deep", "nested"],
)  # fmt: skip
def test_what_is_no_report_is_none(mail):
    assert bounces.read(mail) is None


# --- The door --------------------------------------------------------------------------------------------------------------------
def test_the_door_takes_raw_mail_of_some_size_with_the_key_alone(mailbox):
    row = reading.reader(reading.page())
    mail = report(letters(mailbox, 1)[0])
    assert (
        bring(mail, key="A" * 32).status_code == 404 and bring(mail, content_type="application/json").status_code == 415
    )
    assert bring(mail + b"x" * 256 * 1024).status_code == 413
    assert Browser().get(f"/hooks/bounces/{links.hook_key()}/").status_code == 405
    assert standing(row) == ("active", 0)


# --- What staff sees and does ------------------------------------------------------------------------------------------------------
def test_staff_sees_why_a_reader_was_suspended_and_resumes_it(mailbox):
    page = reading.page()
    row = reading.reader(page)
    mailbox.behave(Mode.REJECT)
    letters(mailbox, 3)
    assert standing(row)[0] == "failed"
    where, staff = f"/status-pages/{page.pk}/readers/", browser(cast.make_staff())
    shown = text(staff.get(where))
    assert "Suspended" in shown and "3 messages in a row were refused for good" in shown
    assert browser(cast.viewer()).post(f"{where}{row.pk}/resume/").status_code == 403
    staff.post(f"{where}{row.pk}/resume/")
    row.refresh_from_db()
    assert (row.state, row.failures, row.ended_reason, row.ended_at) == ("active", 0, "", None)
    mailbox.behave(Mode.ACCEPT)
    assert len(letters(mailbox, 1, first=5)) == 1, "news go there again"
    assert AuditEntry.objects.filter(action="subscriber.resumed").count() == 1


def test_only_what_is_suspended_is_resumed():
    page = reading.page()
    row, never = reading.reader(page), reading.reader(page, BEN, state="failed", confirmed_at=None)
    where, staff = f"/status-pages/{page.pk}/readers/", browser(cast.make_staff())
    assert "Only a suspended subscription" in text(staff.post(f"{where}{row.pk}/resume/", follow=True))
    assert "never confirmed" in text(staff.post(f"{where}{never.pk}/resume/", follow=True))
    never.refresh_from_db()
    assert never.state == "failed"


def test_the_doors_address_is_for_our_own_staff(mailbox):
    page = reading.page()
    where = f"/status-pages/{page.pk}/readers/"
    assert links.hook_url() in text(browser(cast.make_owner()).get(where))
    assert links.hook_key() not in text(browser(cast.alice()).get(where))


def test_whoever_was_suspended_may_subscribe_anew(mailbox):
    row = reading.reader(reading.page(), state="failed", failures=3, bounces=2, ended_reason="gone")
    Browser().post("/status/acme/subscribe/", {"kind": "email", "address": ANA})
    row.refresh_from_db()
    assert (row.state, row.failures, row.bounces, row.ended_reason) == ("pending", 0, 0, "")


def test_what_waits_to_go_out_stands_above_the_readers():
    page = reading.page()
    reading.reader(page)
    where = f"/status-pages/{page.pk}/readers/"
    assert "to go out" not in text(browser(cast.make_staff()).get(where))
    reading.opened(reading.publication(page))
    reading.opened(reading.publication(reading.page(cast.globex(), "globex")))
    assert "1 message waits to go out" in text(browser(cast.make_staff()).get(where))
    send()
    assert "to go out" not in text(browser(cast.make_staff()).get(where))

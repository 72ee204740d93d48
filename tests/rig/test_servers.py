"""Do the rig's servers — receiver, mailbox, site — behave on the wire as they are told to?"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from http.client import RemoteDisconnected
from pathlib import Path

import pytest

from tests.rig import answers
from tests.rig.certificates import Authority, self_signed
from tests.rig.mailbox import Mailbox, Mode
from tests.rig.receiver import EVERYWHERE, Receiver
from tests.rig.site import Site

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]


def get(
    url: str | urllib.request.Request,
    data: bytes | None = None,
    timeout: float = 30,
    context: ssl.SSLContext | None = None,
) -> tuple[int, bytes]:
    """Status and body, whatever the status."""
    try:
        with urllib.request.urlopen(url, data, timeout, context=context) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


# --- Receiver --------------------------------------------------------------------------------------------------------
class TestReceiver:
    def test_it_records_what_it_hears(self, receiver: Receiver) -> None:
        before = time.time()
        request = urllib.request.Request(
            receiver.url("/hook?key=1"), b'{"a": 1}', {"Content-Type": "application/json", "X-Key": "k"}
        )
        assert get(request) == (200, b"ok")
        (call,) = receiver.calls
        assert (call.method, call.path, call.query) == ("POST", "/hook", {"key": ["1"]})
        assert call.json() == {"a": 1}
        assert call.headers["x-key"] == "k"
        assert before <= call.at <= time.time()
        assert call.accepted

    def test_answers_come_in_order_and_the_last_one_stays(self, receiver: Receiver) -> None:
        url = receiver.behave("/hook", answers.too_many(7), answers.accept_then_500(), answers.ok("done"))
        assert [get(url, b"{}") for _ in range(4)] == [
            (429, b"slow down"),
            (500, b"internal error"),
            (200, b"done"),
            (200, b"done"),
        ]
        assert [call.accepted for call in receiver.at("/hook")] == [False, True, True, True]
        assert len(receiver.accepted("/hook")) == 3

    def test_retry_after_is_said(self, receiver: Receiver) -> None:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(receiver.behave("/hook", answers.too_many(7)))
        assert caught.value.headers["Retry-After"] == "7"

    def test_accept_then_cut_says_nothing_but_keeps_the_message(self, receiver: Receiver) -> None:
        with pytest.raises(RemoteDisconnected):
            get(receiver.behave("/hook", answers.accept_then_cut()), b"{}")
        assert [call.body for call in receiver.accepted()] == [b"{}"]

    def test_reset_is_a_reset(self, receiver: Receiver) -> None:
        with pytest.raises(ConnectionResetError):
            get(receiver.behave("/hook", answers.connection_reset()), b"{}")
        assert receiver.accepted() == []

    def test_slow_and_drip_outlast_an_impatient_caller(self, receiver: Receiver) -> None:
        with pytest.raises(TimeoutError):
            get(receiver.behave("/slow", answers.slow(60)), timeout=0.2)
        with urllib.request.urlopen(receiver.behave("/drip", answers.drip(b"abc", every=0.05)), timeout=30) as response:
            assert response.read(1) == b"a"
            assert response.read() == b"bc"

    def test_every_path_can_be_told_at_once(self, receiver: Receiver) -> None:
        receiver.behave(EVERYWHERE, answers.status(503))
        receiver.behave("/fine")
        assert get(receiver.url("/any"))[0] == 503
        assert get(receiver.url("/fine"))[0] == 200

    def test_slack_says_no_in_its_two_ways(self, receiver: Receiver) -> None:
        hook = receiver.behave("/services/T/B/x", answers.slack_hook_refuses("channel_is_archived"))
        assert get(hook, b"{}") == (410, b"channel_is_archived")
        code, body = get(receiver.behave("/api/chat.postMessage", answers.slack_api_refuses()), b"{}")
        assert (code, body) == (200, b'{"ok": false, "error": "channel_not_found"}')
        assert receiver.accepted() == []

    def test_big_and_chunked_bodies_arrive_whole(self, receiver: Receiver) -> None:
        get(receiver.url("/big"), b"x" * 3_000_000)
        request = urllib.request.Request(receiver.url("/chunks"), iter([b"ab", b"cd"]), method="POST")
        get(request)
        assert [len(receiver.at("/big")[0].body), receiver.at("/chunks")[0].body] == [3_000_000, b"abcd"]

    def test_one_can_wait_for_calls_and_hears_what_came_instead(self, receiver: Receiver) -> None:
        caller = threading.Timer(0.1, get, [receiver.url("/late")])
        caller.start()
        assert len(receiver.wait_for(1, "/late")) == 1
        caller.join()
        with pytest.raises(AssertionError, match="heard nothing"):
            receiver.wait_for(1, "/never", within=0.05)
        receiver.forget()
        assert receiver.calls == []


# --- Mailbox ---------------------------------------------------------------------------------------------------------
def letter(to: str = "ana@acme.example") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "watch@msp.example", to, "Die Seite ist gestört"
    mail.set_content("Grüße")
    mail.add_alternative("<p>Grüße</p>", subtype="html")
    return mail


def send(box: Mailbox, mail: EmailMessage | None = None) -> None:
    with smtplib.SMTP(box.host, box.port, timeout=30) as smtp:
        smtp.send_message(mail or letter())


class TestMailbox:
    def test_it_keeps_mails(self, mailbox: Mailbox) -> None:
        send(mailbox)
        (mail,) = mailbox.wait_for(1, "ana@acme.example")
        assert (mail.subject, mail.text.strip(), mail.html.strip()) == (
            "Die Seite ist gestört",
            "Grüße",
            "<p>Grüße</p>",
        )
        assert (mail.sender, mail.recipients, mail.tls) == ("watch@msp.example", ("ana@acme.example",), False)
        assert mailbox.to("bob@acme.example") == []

    @pytest.mark.parametrize(("mode", "code"), [(Mode.REJECT, 550), (Mode.TEMPFAIL, 451)])
    def test_it_refuses_a_recipient(self, mailbox: Mailbox, mode: Mode, code: int) -> None:
        mailbox.behave(mode)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
            send(mailbox)
        assert caught.value.recipients["ana@acme.example"][0] == code
        assert (mailbox.mails, mailbox.attempts) == ([], 1)

    def test_it_refuses_after_reading(self, mailbox: Mailbox) -> None:
        mailbox.behave(Mode.REJECT_DATA)
        with pytest.raises(smtplib.SMTPDataError) as caught:
            send(mailbox)
        assert caught.value.smtp_code == 554
        assert mailbox.mails == []

    def test_cut_after_data_leaves_the_sender_in_doubt_and_the_mail_in_the_box(self, mailbox: Mailbox) -> None:
        mailbox.behave(Mode.CUT)
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
            send(mailbox)
        assert len(mailbox.mails) == 1
        mailbox.forget()
        send(mailbox)
        assert len(mailbox.mails) == 1

    def test_slow_outlasts_an_impatient_sender(self, mailbox: Mailbox) -> None:
        mailbox.behave(Mode.SLOW, delay=60)
        with (
            smtplib.SMTP(mailbox.host, mailbox.port, timeout=2) as smtp,
            pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"),
        ):
            smtp.send_message(letter())
        assert len(mailbox.mails) == 1

    def test_a_refusing_port_cuts_who_is_there_and_comes_back(self, mailbox: Mailbox) -> None:
        with smtplib.SMTP(mailbox.host, mailbox.port, timeout=30) as smtp:
            mailbox.refuse()
            with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
                smtp.noop()
        with pytest.raises(ConnectionRefusedError):
            send(mailbox)
        mailbox.listen()
        send(mailbox)
        assert len(mailbox.mails) == 1

    @pytest.mark.parametrize("implicit", [False, True])
    def test_tls_with_a_certificate_of_its_own(self, authority: Authority, implicit: bool) -> None:
        trust = ssl.create_default_context(cadata=authority.pem.decode())
        certificate = authority.issue()
        with Mailbox(certificate=certificate, implicit_tls=implicit, require_tls=not implicit) as box:
            if implicit:
                smtp: smtplib.SMTP = smtplib.SMTP_SSL(box.host, box.port, context=trust, timeout=30)
            else:
                smtp = smtplib.SMTP(box.host, box.port, timeout=30)
                with pytest.raises(smtplib.SMTPException):
                    smtp.sendmail("a@msp.example", ["b@acme.example"], "too early")
                smtp.starttls(context=trust)
            smtp.send_message(letter())
            smtp.quit()
            assert [mail.tls for mail in box.mails] == [True]

    def test_it_can_ask_for_a_password(self) -> None:
        with Mailbox(login=("watch", "right")) as box:
            with smtplib.SMTP(box.host, box.port, timeout=30) as smtp, pytest.raises(smtplib.SMTPAuthenticationError):
                smtp.login("watch", "wrong")
            with smtplib.SMTP(box.host, box.port, timeout=30) as smtp:
                smtp.login("watch", "right")
                smtp.send_message(letter())
            assert [mail.login for mail in box.mails] == ["watch"]


# --- Site ------------------------------------------------------------------------------------------------------------
class TestSite:
    def test_its_health_is_switched_while_somebody_watches(self, site: Site) -> None:
        assert get(site.url()) == (200, b"<h1>All is well</h1>")
        site.fail()
        assert get(site.url())[0] == 500
        site.hang()
        with pytest.raises(TimeoutError):
            get(site.url(), timeout=0.2)
        site.refuse()
        with pytest.raises(urllib.error.URLError, match="refused"):
            get(site.url())
        site.slow(0.05)
        assert get(site.url())[0] == 200
        site.reset()
        with pytest.raises(ConnectionResetError):
            get(site.url())
        site.up("back")
        assert get(site.url(host="localhost")) == (200, b"back")
        assert site.hits == 6

    def test_a_refusing_site_keeps_its_port(self, site: Site) -> None:
        site.refuse()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", site.port))

    def test_it_shows_the_certificate_it_is_given(self, authority: Authority, tmp_path: Path) -> None:
        trust = ssl.create_default_context(cafile=str(authority.trust(tmp_path)))
        good = authority.issue(valid=timedelta(days=5))
        with Site(certificate=good) as site:
            assert get(site.url(), context=trust)[0] == 200
            shown = ssl.get_server_certificate(("127.0.0.1", site.port))
            assert shown.encode() == good.pem
            for bad, complaint in (
                (authority.issue(valid=timedelta(days=-1)), "expired"),
                (authority.issue(("other.example",)), "mismatch|not valid"),
                (self_signed(), "self.signed"),
            ):
                site.show(bad)
                with pytest.raises(urllib.error.URLError, match=complaint):
                    get(site.url(), context=trust)
        assert timedelta(days=4) < good.not_after - datetime.now(UTC) <= timedelta(days=5)
        assert len(good.fingerprint) == 64

"""Does a page arrive as mail: once, readable, threaded, injected by nobody, and never later than agreed?"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.email import Email
from alerts.channels.letter import subject, write
from portal import smtp
from portal.outbound.guard import Reach
from tests.alerts.letters import GATHERED, HOSTILE, LOOPBACK, PAGE, RECOVERED, TEST, TRAPS, trapped
from tests.rig.certificates import Authority, self_signed
from tests.rig.mailbox import Mailbox, Mode

pytestmark = pytest.mark.once
TO = "ops@acme.example"


def mail_to(to: Any = TO, provider: dict[str, Any] | None = None, reach: Reach = LOOPBACK, **more: Any) -> Email:
    config, secrets = channels.split("email", {"to": to, **more})
    built = channels.build({"type": "email", "config": config, "secrets": secrets}, provider, reach)
    assert isinstance(built, Email)
    return built


@pytest.fixture
def environment(mailbox: Mailbox) -> Iterator[Mailbox]:
    """SMTP_HOST and friends name the mailbox."""
    with named(mailbox):
        yield mailbox


def named(box: Mailbox, **more: Any) -> Any:
    values = {
        "host": "127.0.0.1",
        "port": box.port,
        "user": "",
        "password": "",
        "sender": "Watchkeeper <wk@msp.example>",
    }
    return override_settings(SMTP={**values, "tls": "none", **more}, OUTBOUND_ALLOW=())


# --- what arrives ----------------------------------------------------------------------------------------------------
def test_a_page_arrives_in_html_and_text(environment: Mailbox) -> None:
    receipt = mail_to().send(PAGE)
    (mail,) = environment.mails
    assert receipt.code == 250 and receipt.provider_id == mail.message["Message-ID"]
    assert mail.subject == "[Down] Acme · shop — connection refused"
    assert mail.text.splitlines()[0] == "connection refused"
    assert "Acknowledge: https://portal.example/alerts/9/#acknowledge" in mail.text
    assert "Reference #K7Q" in mail.text and "(repeat)" not in mail.text
    assert 'href="https://portal.example/alerts/9/"' in mail.html and "<img" not in mail.html
    assert mail.sender == "wk@msp.example" and mail.recipients == (TO,)
    headers = mail.message
    assert headers["From"] == "Watchkeeper <wk@msp.example>" and headers["To"] == TO
    assert headers["Auto-Submitted"] == "auto-generated" and headers["Date"] and headers["Importance"] == "high"
    assert headers["List-Unsubscribe"] is None, "paging mail has none"


def test_a_repeat_is_the_same_mail_and_the_recovery_joins_its_thread(environment: Mailbox) -> None:
    channel = mail_to()
    first = channel.send(PAGE)
    channel.send(replace(PAGE, attempt=2))
    channel.send(replace(RECOVERED, provider_id=first.provider_id))
    page, repeat, recovery = (mail.message for mail in environment.mails)
    assert page["Message-ID"] == repeat["Message-ID"] != recovery["Message-ID"]
    assert "#K7Q (repeat)" in environment.mails[1].text
    root = page["References"]
    assert root == page["In-Reply-To"] and "alert-9" in root
    assert recovery["In-Reply-To"] == page["Message-ID"]
    assert recovery["References"].split() == [root, page["Message-ID"]]
    assert environment.mails[2].subject == "[Recovered] Acme · shop — after 6 min"


def test_a_test_is_marked_and_stands_alone(environment: Mailbox) -> None:
    mail_to().send(TEST)
    (mail,) = environment.mails
    assert mail.subject.startswith("[Test] ") and "nothing is wrong" in mail.text and "nothing is wrong" in mail.html
    assert mail.message["References"] is None


def test_a_gathered_mail_counts_and_lists_the_worst_first() -> None:
    letter = write(GATHERED)
    assert letter.subject == "[Gathered] 23 alerts: 22 critical, 1 recovered"
    assert letter.text.splitlines()[0] == "23 alerts: 22 critical, 1 recovered"
    assert "■ Down · Acme · shop — connection refused\n  https://portal.example/alerts/9/" in letter.text
    assert letter.text.index("shop") < letter.text.index("Globex") < letter.text.index("mail")
    assert "and 20 more" in letter.text and "and 20 more" in letter.html
    assert "&lt;b&gt;*_&amp;" in letter.html and HOSTILE in letter.text


class Choosy(Mailbox):
    """Knows everybody but Ben."""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address.startswith("ben@"):
            return "550 5.1.1 no Ben here"
        return await super().handle_RCPT(server, session, envelope, address, options)


def test_one_unknown_recipient_does_not_keep_the_others_from_hearing() -> None:
    with Choosy() as box, named(box):
        receipt = mail_to("ana@acme.example, ben@acme.example").send(PAGE)
        assert box.mails[0].recipients == ("ana@acme.example",)
        assert "not taken for ben@acme.example: 550 5.1.1 no Ben here" in receipt.answer
        with pytest.raises(DeliveryError, match="no Ben here") as refusal:
            mail_to("ben@acme.example").send(PAGE)
        assert refusal.value.permanent


def test_several_people_get_one_mail(environment: Mailbox) -> None:
    mail_to("ana@acme.example, ben@acme.example; ana@acme.example").send(PAGE)
    (mail,) = environment.mails
    assert mail.recipients == ("ana@acme.example", "ben@acme.example")


# --- what people can type --------------------------------------------------------------------------------------------
def test_a_name_shows_as_typed_in_both_parts() -> None:
    letter = write(trapped(HOSTILE))
    assert "&lt;b&gt;*_&amp;" in letter.html and "<b>" not in letter.html
    assert HOSTILE in letter.text and "&lt;" not in letter.text
    assert write(trapped("{{7*7}} {% include 'x' %}")).text.count("{{7*7}}") >= 2


@pytest.mark.parametrize("trap", TRAPS)
def test_no_trap_adds_a_header_a_line_or_a_recipient(environment: Mailbox, trap: str) -> None:
    for base in (PAGE, GATHERED, RECOVERED):
        mail_to().send(trapped(trap, base))
    for mail in environment.mails:
        assert mail.recipients == (TO,) and mail.sender == "wk@msp.example"
        assert set(mail.message.keys()) <= {
            *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "MIME-Version"),
            *("Auto-Submitted", "X-Auto-Response-Suppress", "Importance", "Content-Type", "Content-Transfer-Encoding"),
        }
        assert len(mail.subject) <= 78 and mail.subject.isprintable()
        assert all(len(line) <= 998 for line in mail.raw.split(b"\r\n")) and mail.raw.isascii()
        assert "https://portal.example/alerts/9/" in mail.text
    assert len(environment.mails) == 3


def test_the_subject_keeps_the_word_and_the_names_end() -> None:
    long = trapped("shop-with-a-name-that-goes-on-and-on-and-on-in-a-region-called-eu-central-1")
    cut = subject(replace(long, cause="connection refused by everything there is", client={"name": "Acme"}))
    assert cut.startswith("[Down] Acme · shop") and "eu-central-1 — connection" in cut and cut.endswith("…")
    assert len(cut) <= 78


@pytest.mark.parametrize(
    "to",
    [
        "",
        "ops",
        "ops@",
        "@acme.example",
        "a@b.example\r\nBcc: x@y.example\r\n",
        "Ana <ana@acme.example>",
        "a@[127.0.0.1\r\n]",
    ]
    + [
        "a@acme.example>\r\nRCPT TO:<b@x.example",
        "a b@acme.example",
        ",".join(f"u{n}@acme.example" for n in range(21)),
    ],
)
def test_what_is_not_an_address_is_refused_when_saved(to: str) -> None:
    with pytest.raises(channels.InvalidSettings) as refusal:
        channels.split("email", {"to": to})
    assert "to" in refusal.value.fields


def test_an_international_domain_is_written_as_smtp_wants_it() -> None:
    assert mail_to("ops@bücher.example").address() == "ops@xn--bcher-kva.example"


@pytest.mark.parametrize("sender", ["x\r\nBcc: a@b.example", "no address", "Ana\x00 <a@b.example>"])
def test_a_sender_that_would_break_out_is_refused(sender: str) -> None:
    with pytest.raises(channels.InvalidSettings):
        channels.split("email", {"to": TO, "sender": sender})


# --- which server ----------------------------------------------------------------------------------------------------
def test_without_a_mail_server_it_says_what_to_set() -> None:
    with override_settings(SMTP={"host": "", "port": 587, "user": "", "password": "", "sender": "", "tls": "starttls"}):
        assert "SMTP_HOST" in mail_to().ready()
        with pytest.raises(DeliveryError, match="SMTP_HOST") as refusal:
            mail_to().send(PAGE)
    assert refusal.value.permanent


def test_the_environments_server_is_exempt_from_the_guard_and_a_channels_own_is_not(environment: Mailbox) -> None:
    mail_to(reach=Reach()).send(PAGE)
    own = {"smtp_host": "127.0.0.1", "smtp_port": environment.port, "smtp_tls": "none"}
    with pytest.raises(DeliveryError, match="OUTBOUND_ALLOW") as refusal:
        mail_to(reach=Reach(), **own).send(PAGE)
    assert refusal.value.permanent and len(environment.mails) == 1
    mail_to(reach=LOOPBACK, **own).send(PAGE)
    assert len(environment.mails) == 2


def test_provider_settings_complete_the_environment_but_another_host_gets_none_of_its_login(
    environment: Mailbox,
) -> None:
    with named(environment, user="env", password="env-password"):
        server, sender = mail_to(provider={"sender": "pages@msp.example"}).server()
        assert server is not None and (server.user, sender, server.reach) == ("env", "pages@msp.example", None)
        other, _ = mail_to(provider={"host": "mail.other.example"}).server()
        assert other is not None and (other.user, other.password, other.port) == ("", "", 587)
        assert other.reach is not None and other.reach.private
        own, _ = mail_to(smtp_host="mail.client.example").server()
        assert own is not None and (own.user, own.password) == ("", "")
        assert "env-password" not in repr(server)
        assert mail_to(provider={"host": "mail.other.example", "port": "x"}).ready() != ""


def test_starttls_and_tls_verify_the_certificate(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trust(tmp_path)))
    for implicit, tls in ((False, "starttls"), (True, "tls")):
        with Mailbox(certificate=authority.issue(), implicit_tls=implicit, require_tls=not implicit) as box:
            with named(box, tls=tls):
                mail_to().send(PAGE)
            assert box.mails[0].tls
        for certificate in (self_signed(), authority.issue(("other.example",))):
            with Mailbox(certificate=certificate, implicit_tls=implicit) as box, named(box, tls=tls):
                with pytest.raises(DeliveryError, match="certificate is not trusted") as refusal:
                    mail_to().send(PAGE)
                assert not refusal.value.ambiguous and not box.attempts


def test_starttls_is_never_silently_left_out(environment: Mailbox) -> None:
    with named(environment, tls="starttls"), pytest.raises(DeliveryError, match="does not offer STARTTLS") as refusal:
        mail_to().send(PAGE)
    assert refusal.value.permanent and not environment.attempts


def test_a_login_is_used_and_a_refused_one_names_the_cure() -> None:
    with Mailbox(login=("watch", "correct-horse")) as box:
        with named(box, user="watch", password="correct-horse"):
            mail_to().send(PAGE)
        assert box.mails[0].login == "watch"
        with named(box, user="watch", password="wrong-horse"):
            with pytest.raises(DeliveryError, match="user name or password.*535.*Check") as refusal:
                mail_to().send(PAGE)
        assert refusal.value.permanent and "wrong-horse" not in str(refusal.value) and refusal.value.code == 535


def test_a_login_where_none_is_offered_names_the_cure(environment: Mailbox) -> None:
    with named(environment, user="watch", password="pässwort"), pytest.raises(DeliveryError) as refusal:
        mail_to().send(PAGE)
    assert refusal.value.permanent


# --- what can go wrong -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mode", "code", "permanent", "ambiguous"),
    [(Mode.REJECT, 550, True, False), (Mode.REJECT_DATA, 554, True, False), (Mode.TEMPFAIL, 451, False, False)]
    + [(Mode.CUT, None, False, True)],
)
def test_what_the_server_says_is_what_it_means(
    environment: Mailbox, mode: Mode, code: int | None, permanent: bool, ambiguous: bool
) -> None:
    environment.behave(mode)
    with pytest.raises(DeliveryError) as refusal:
        mail_to().send(PAGE)
    error = refusal.value
    assert (error.code, error.permanent, error.ambiguous) == (code, permanent, ambiguous)
    assert str(code) in str(error) if code else "may have arrived" in str(error)


def test_nobody_listens(environment: Mailbox) -> None:
    environment.refuse()
    with pytest.raises(DeliveryError, match="refused the connection") as refusal:
        mail_to().send(PAGE)
    assert not refusal.value.permanent and not refusal.value.ambiguous


def test_a_confirmation_that_never_comes_is_ambiguous(environment: Mailbox) -> None:
    environment.behave(Mode.SLOW, delay=30)
    with pytest.raises(smtp.MailError, match="may have arrived") as refusal:
        smtp.send(smtp.Server("127.0.0.1", environment.port, tls="none"), "a@b.example", [TO], b"x", seconds=2)
    assert refusal.value.ambiguous


@contextlib.contextmanager
def scripted(*says: bytes, every: float = 0.0) -> Iterator[int]:
    """A server that says these bytes, one after the other, and hears nothing; yields its port."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    for piece in says:
                        connection.sendall(piece)
                        if stop.wait(every):
                            return
                    stop.wait(20)

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
    thread.join(30)


def test_a_server_that_drips_or_says_nothing_is_left_at_the_deadline() -> None:
    for says in ((), (b"2",) * 1000, (b"220-more\r\n",) * 1000):
        with scripted(*says, every=0.05) as port:
            began = time.monotonic()
            with pytest.raises(smtp.MailError, match="did not answer in time") as refusal:
                smtp.send(smtp.Server("127.0.0.1", port, tls="none"), "a@b.example", [TO], b"x", seconds=0.6)
            assert time.monotonic() - began < 20, "each byte must not start the clock anew"
            assert not refusal.value.permanent and not refusal.value.ambiguous


def test_a_handshake_that_never_ends_is_left_at_the_deadline() -> None:
    with scripted() as port, pytest.raises(smtp.MailError, match="did not answer in time"):
        smtp.send(smtp.Server("127.0.0.1", port, tls="tls"), "a@b.example", [TO], b"x", seconds=0.4)


def test_a_server_that_talks_without_end_is_cut_off() -> None:
    with scripted(b"220-more\r\n" * 60_000) as port, pytest.raises(smtp.MailError) as refusal:
        smtp.send(smtp.Server("127.0.0.1", port, tls="none"), "a@b.example", [TO], b"x", seconds=20)
    assert not refusal.value.ambiguous


@pytest.mark.parametrize("tls", ["starttls", "tls", "none"])
def test_what_is_no_mail_server_is_an_answer_too(tls: Any) -> None:
    with scripted(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port, pytest.raises(smtp.MailError) as refusal:
        smtp.send(smtp.Server("127.0.0.1", port, tls=tls), "a@b.example", [TO], b"x", seconds=2)
    assert not refusal.value.ambiguous


def test_a_dot_inside_a_mail_does_not_end_it(environment: Mailbox) -> None:
    server = smtp.Server("127.0.0.1", environment.port, tls="none")
    smtp.send(server, "a@b.example", [TO], b"Subject: x\n\nbefore\n.\nMAIL FROM:<evil@x.example>\r.\rafter\r\n..two")
    (mail,) = environment.mails
    assert (
        mail.raw.split(b"\r\n\r\n", 1)[1].rstrip(b"\r\n")
        == b"before\r\n.\r\nMAIL FROM:<evil@x.example>\r\n.\r\nafter\r\n..two"
    )


def test_an_address_cannot_smuggle_a_command(environment: Mailbox) -> None:
    server = smtp.Server("127.0.0.1", environment.port, tls="none")
    with pytest.raises(smtp.MailError, match="cannot carry") as refusal:
        smtp.send(server, "a@b.example", ["x@y.example>\r\nRCPT TO:<z@y.example"], b"x")
    assert refusal.value.permanent and not environment.mails

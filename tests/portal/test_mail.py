"""Do account mails go out through the installation's mail server, and is trouble with it told instead of hidden?"""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from django.core import mail
from django.test import override_settings

from portal import names
from portal.models import ProviderSettings
from portal.names import Unresolved, addresses_of
from portal.smtp import MailError
from tests.rig.mailbox import Mailbox, Mode

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _our_backend(settings: Any, mailbox: Mailbox) -> None:
    """pytest-django puts Django's own memory backend in its place; here the real one is meant."""
    settings.EMAIL_BACKEND = "portal.mail.Backend"
    settings.SMTP = {"host": "127.0.0.1", "port": mailbox.port, "user": "", "password": "", "sender": "", "tls": "none"}
    settings.DEFAULT_FROM_EMAIL = "portal@msp.example"


def write(to: str = "ana@acme.example", **more: Any) -> mail.EmailMultiAlternatives:
    letter = mail.EmailMultiAlternatives("Réset your password", "Open the link.\n.\nBye", to=[to], **more)
    letter.attach_alternative("<p>Open the link.</p>", "text/html")
    return letter


def test_an_account_mail_arrives_whole(mailbox: Mailbox) -> None:
    assert write(to="Ana <ana@acme.example>", bcc=["audit@msp.example"]).send() == 1
    (got,) = mailbox.mails
    assert got.subject == "Réset your password" and got.sender == "portal@msp.example"
    assert got.recipients == ("ana@acme.example", "audit@msp.example") and got.message["Bcc"] is None
    assert got.text.splitlines() == ["Open the link.", ".", "Bye"] and "<p>" in got.html


def test_the_stored_provider_settings_win_over_the_environment(mailbox: Mailbox) -> None:
    ProviderSettings.objects.create(provider="smtp", config={"sender": "Acme MSP <help@msp.example>"})
    with Mailbox(login=("watch", "secret-word")) as other:
        row = ProviderSettings.objects.get(provider="smtp")
        write().send()
        assert mailbox.mails[0].sender == "help@msp.example"
        row.config |= {"host": "localhost", "port": other.port, "tls": "none", "user": "watch"}
        row.secrets = {"password": "secret-word"}
        row.save()
        write().send()
        assert other.mails[0].login == "watch" and len(mailbox.mails) == 1


def test_a_stored_host_on_loopback_needs_outbound_allow() -> None:
    ProviderSettings.objects.create(provider="smtp", config={"host": "localhost", "tls": "none"})
    with override_settings(OUTBOUND_ALLOW=()), pytest.raises(MailError, match="OUTBOUND_ALLOW"):
        write().send()


def test_a_refusal_is_raised_or_counted(mailbox: Mailbox) -> None:
    mailbox.behave(Mode.REJECT)
    with pytest.raises(MailError, match="550"):
        write().send()
    assert write().send(fail_silently=True) == 0


def test_without_a_mail_server_it_says_what_to_set(settings: Any) -> None:
    settings.SMTP = {**settings.SMTP, "host": ""}
    with pytest.raises(MailError, match="SMTP_HOST"):
        write().send()
    assert write().send(fail_silently=True) == 0


def test_a_subject_cannot_add_a_header(mailbox: Mailbox) -> None:
    letter = write()
    letter.subject = "x\r\nBcc: all@evil.example"
    with pytest.raises(ValueError, match="newlines"):
        letter.send()
    assert not mailbox.mails


def test_a_name_server_that_never_answers_costs_its_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def never(*_: Any, **__: Any) -> list[Any]:
        answered.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    for _ in range(names.MOST_AT_ONCE):
        with pytest.raises(Unresolved, match="in time"):
            addresses_of("mail.example", 0.01)
    with pytest.raises(Unresolved, match="Too many"):
        addresses_of("mail.example", 0.01)
    assert addresses_of("192.0.2.7", 0.01) == ["192.0.2.7"]
    answered.set()

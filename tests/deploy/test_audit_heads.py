"""Do signed heads of the audit log reach somebody outside, by mail or HTTP, once and surely; and does a copy prove a cut tail?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from portal import audit, environment
from portal.clock import database_now
from portal.models import AuditEntry, AuditHead
from tests import cast
from tests.rig import answers
from tests.rig.mailbox import Mailbox, Mode

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture(autouse=True)
def something_happened(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    cast.acme(), cast.globex()


def test_by_http_each_chains_latest_head_goes_out_once(receiver: Any, settings: Any) -> None:
    settings.AUDIT_HEADS = receiver.url("/heads")
    for _ in range(2):  # the second hour has nothing new
        audit.publish_heads(database_now())
    (call,) = receiver.at("/heads")
    lines = call.body.decode().splitlines()
    assert call.method == "POST" and {line.split()[1] for line in lines} == set(AuditHead.objects.values_list("chain", flat=True))  # fmt: skip
    assert set(lines) <= set(audit.heads_file().read_text().splitlines())
    cast.site()
    audit.publish_heads(database_now())
    assert len(receiver.at("/heads")) == 2 and f" client:{cast.acme().pk} " in receiver.at("/heads")[1].body.decode()


def test_by_mail_they_arrive_at_the_address(mailbox: Mailbox, settings: Any) -> None:
    settings.EMAIL_BACKEND, settings.AUDIT_HEADS = "portal.mail.Backend", "audit@elsewhere.example"
    settings.SMTP = {"host": "127.0.0.1", "port": mailbox.port, "user": "", "password": "", "sender": "", "tls": "none"}
    audit.publish_heads(database_now())
    (got,) = mailbox.mails
    assert got.recipients == ("audit@elsewhere.example",) and settings.BASE_URL in got.subject
    assert got.text.strip().splitlines() == audit.heads_file().read_text().splitlines()


@pytest.mark.parametrize("way", ["mail", "http"])
def test_what_was_not_taken_is_sent_again_with_the_next(
    way: str, mailbox: Mailbox, receiver: Any, settings: Any
) -> None:
    if way == "mail":
        settings.EMAIL_BACKEND, settings.AUDIT_HEADS = "portal.mail.Backend", "audit@elsewhere.example"
        settings.SMTP = {"host": "127.0.0.1", "port": mailbox.port, "user": "", "password": "", "sender": "", "tls": "none"}  # fmt: skip
        mailbox.behave(Mode.TEMPFAIL)
    else:
        settings.AUDIT_HEADS = receiver.behave("/heads", answers.status(500))
    audit.publish_heads(database_now())
    first = audit.heads_file().read_text().splitlines()
    if way == "mail":
        assert mailbox.mails == []
        mailbox.behave(Mode.ACCEPT)
    else:
        settings.AUDIT_HEADS = receiver.url("/later")
    audit.publish_heads(database_now())
    sent = mailbox.mails[0].text if way == "mail" else receiver.at("/later")[0].body.decode()
    assert sent.strip().splitlines() == first


def test_an_address_inside_is_refused_and_the_file_is_written_all_the_same(receiver: Any, settings: Any) -> None:
    settings.AUDIT_HEADS, settings.OUTBOUND_ALLOW = receiver.url("/heads"), ()
    assert audit.publish_heads(database_now()) and receiver.calls == [] and audit.heads_file().is_file()


def test_a_copy_elsewhere_shows_a_tail_that_was_cut_here_with_its_file(tmp_path: Path, receiver: Any, settings: Any, capsys: Any) -> None:  # fmt: skip
    settings.AUDIT_HEADS = receiver.url("/heads")
    audit.publish_heads(database_now())
    copy = tmp_path / "copy"
    copy.write_bytes(receiver.at("/heads")[0].body)
    call_command("verify_audit", heads=copy)
    last = AuditEntry.objects.filter(chain="msp").order_by("-seq")[0] if AuditEntry.objects.filter(chain="msp").exists() else AuditEntry.objects.order_by("-seq")[0]  # fmt: skip
    before = AuditEntry.objects.filter(chain=last.chain, seq=last.seq - 1).first()
    AuditEntry.objects.filter(pk=last.pk).delete()
    AuditHead.objects.filter(chain=last.chain).update(seq=last.seq - 1, hash=before.hash if before else "")
    audit.heads_file().unlink()
    assert list(audit.verify()) == [], "here nothing shows it"
    with pytest.raises(SystemExit):
        call_command("verify_audit", heads=copy)
    assert "its tail was cut" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "good"),
    [("", True), ("a@b.example", True), ("https://x.example/h", True), ("http://127.0.0.1:1/h", True), ("http://x.example/", False), ("ftp://x/", False),
     ("a@b@c", False), ("a b@c.example", False), ("someone", False), ("https://", False)],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_its_cure(value, good, monkeypatch, settings):
    monkeypatch.setattr(environment, "mistakes", [])
    assert environment.mail_or_url("AUDIT_HEADS", value, settings.OUTBOUND_ALLOW) == (value if good else "")
    assert [("AUDIT_HEADS=" in text) for text in environment.mistakes] == ([] if good else [True])

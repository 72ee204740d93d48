"""Mails to a client's people lead to the client's own domain; the same news to our staff and to others leads to BASE_URL."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail

from alerts import requested, requesting, sender, services
from alerts.models import Channel, Delivery
from portal import branding, invitations, mfa
from portal.clock import database_now
from tests import cast
from tests.alerts import stage

pytestmark = [pytest.mark.django_db, pytest.mark.once]
BASE, OWN = "https://portal.msp.example", "https://portal.acme.example"


@pytest.fixture(autouse=True)
def at_its_own_domain(settings: Any) -> None:
    settings.BASE_URL, settings.SMTP = BASE, {**settings.SMTP, "host": "mail.msp.example"}
    row = branding.save(cast.acme(), by=cast.TESTS, name="Acme Watch", accent="", domain="portal.acme.example")
    branding.prove(row, by=cast.TESTS, at=database_now(), asked=lambda name: [row.domain_mark])


def hosts(row: Delivery) -> set[str]:
    """Where the links of a message lead, as it goes out."""
    ((_, _, message),) = sender.prepare([row], database_now())
    assert message.links
    return {re.match(r"https://[^/]+", link.url)[0] for link in message.links}


def test_an_alert_leads_the_clients_people_home_and_our_staff_to_ours():
    theirs, ours = (Channel.objects.create(client=of, name=f"mail {of}", type="email", config={"to": ["x@x.example"]}) for of in (cast.acme(), None))  # fmt: skip
    services.save_trigger(None, by=cast.TESTS, name="all", channels=[theirs, ours])
    (alert,) = stage.tell(stage.failing(7, database_now(), title="shop is down"))
    rows = {row.channel_id: row for row in Delivery.objects.select_related("alert", "channel", "notice", "contact").filter(alert=alert)}  # fmt: skip
    assert hosts(rows[theirs.pk]) == {OWN} and hosts(rows[ours.pk]) == {BASE}


@pytest.mark.parametrize(("asker", "home"), [("alice", OWN), ("make_staff", BASE)])
def test_a_letter_to_one_person_leads_where_that_person_is_at_home(asker, home):
    at = database_now()
    about = {"title": "x", "starts_at": at, "ends_at": at + timedelta(hours=1)}
    row = requesting.ask(cast.acme(), user=getattr(cast, asker)(), by=cast.TESTS, at=at, **about)
    requesting.decline(row, by=cast.TESTS, at=at, reason="No.")
    assert hosts(requested.last_letter(row)) == {home}


def test_invitations_and_news_of_an_account_lead_home():
    for client, home in ((cast.acme(), OWN), (cast.globex(), BASE), (None, BASE)):
        role = "viewer" if client else "staff"
        membership, link, _ = invitations.invite(
            f"new@{home[8:]}{role}.example", role=role, client=client, by=cast.TESTS
        )
        assert link.startswith(f"{home}/invite/") and link in mail.outbox[-1].body
        mfa.tell(membership.user, "A passkey was added", "So it is.")
        assert f"{home}/security/" in mail.outbox[-1].body
    assert "Acme Watch" in mail.outbox[0].subject

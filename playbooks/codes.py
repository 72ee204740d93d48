"""How does somebody prove it is they who has only the link? By a code typed there by hand: their authenticator's, or one
that was sent to their telephone, which is never the way the link itself came (SPEC PLB-4).

Whoever has the link can type there, a mail scanner too. What it types must not use up the tries that the person has for
signing in: so it may be wrong less often here than there. A code that was sent is bound to run, person and plan; only its
keyed hash is stored, and it goes out past the outbox, whose rows people read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from alerts.channels.base import DeliveryError, HttpChannel, Receipt
from alerts.channels.telephone import masked
from alerts.message import Message
from alerts.models import Channel, ContactChannel
from alerts.opening import open_channel
from alerts.sender import send_http
from playbooks.models import Run, RunState
from portal import audit, mfa
from portal.audit import Actor
from portal.errors import Refused
from portal.models import OneTimeLink, ProviderSettings, User
from portal.outbound.http import HttpEngine

MOST_WRONG = 3  # fewer than `mfa.MOST_WRONG`: signing in stays possible
TOO_MANY = "Three codes were wrong here. Sign in to decide; here it is possible again in five minutes."

PURPOSE = "approve-code"
TELEPHONE = ("twilio_sms", "vonage_sms")  # one person's own; a chat may be a group's
LIFE, PAUSE = timedelta(minutes=10), timedelta(minutes=1)
TRIES, MOST_SENT = 5, 3  # of one code; for one run and person
NONE_LEFT = "No code is good any more. Have another one sent, or sign in to decide."
WRONG = "This is not the code that was sent. Look at the newest message."


def has_codes(person: Any) -> bool:
    """Has this person something that shows codes? A passkey alone shows none."""
    return mfa.Authenticator.objects.filter(user_id=person.pk, type__in=(mfa.TOTP, mfa.RECOVERY)).exists()


# --- Of the authenticator ---------------------------------------------------------------------------------------------------
def by_app(run: Run, person: User, code: str, at: datetime, *, ip: str = "") -> str:
    """Use up a code that was typed at the link: totp or recovery_codes. Refused: wrong, used, or too many wrong ones."""
    with transaction.atomic():
        rows = list(mfa.Authenticator.objects.select_for_update().filter(user_id=person.pk).order_by("pk"))
        since = (at - mfa.WRONG_FOR).timestamp()
        wrong = max((sum(moment > since for moment in row.data.get("wrong", ())) for row in rows), default=0)
        if wrong >= MOST_WRONG:
            refusal = TOO_MANY
        else:
            try:
                return str(mfa.use_code(person, code, at).type)
            except Refused as why:  # raised on from outside of the transaction: the wrong try stays counted
                refusal = str(why)
            _note(run, person, refusal, ip)
    raise Refused(refusal)


def _note(run: Run, person: User, why: str, ip: str) -> None:
    by = Actor(name=f"the link of {person.email}"[:200], ip=ip)
    audit.record("playbook.wrong_code", run, by=by, client_id=run.client_id, after={"why": why})


# --- By telephone -----------------------------------------------------------------------------------------------------------
def telephone(run: Run, person: User) -> Channel | None:
    """Where a code may be sent to: a number of this person's contact, ours or of the run's client.

    None as well for who has a second step, or must have one: the stronger proof is not traded for a weaker one.
    """
    if mfa.has_factor(person) or mfa.required_of(person):
        return None
    ways = ContactChannel.objects.filter(
        Q(contact__client=None) | Q(contact__client=run.client_id), contact__user=person, channel__type__in=TELEPHONE, channel__enabled=True
    )  # fmt: skip
    way = ways.select_related("channel").order_by("delay_minutes", "pk").first()
    return way.channel if way else None


def hint(channel: Channel) -> str:
    """Which number, without saying it."""
    return masked(str(channel.config.get("to", "")))


def pending(run: Run, person: User, at: datetime) -> bool:
    """Is a code on its way that is still good?"""
    return _sent(run, person).filter(used_at=None, expires_at__gt=at).exists()


def send(run: Run, person: User, at: datetime) -> None:
    """Send a new code; those before are good no more. Waits for the vendor. Refused with the cure when it cannot be."""
    if run.state != RunState.AWAITING_APPROVAL:
        raise Refused(f"There is nothing to decide any more: this run is {run.get_state_display().lower()}.")
    channel = telephone(run, person)
    if channel is None:
        raise Refused("There is no telephone that a code could be sent to. Sign in to decide.")
    with transaction.atomic():
        User.objects.select_for_update().get(pk=person.pk)  # two at once send one
        rows = list(_sent(run, person).order_by("-pk"))
        if len(rows) >= MOST_SENT:
            raise Refused("Three codes were sent for this already. Sign in to decide.")
        if rows and rows[0].expires_at > at + LIFE - PAUSE:
            raise Refused("A code was sent a moment ago. It may take a minute.")
        _sent(run, person).filter(used_at=None).update(used_at=at)
        code, salt = f"{secrets.randbelow(10**6):06d}", secrets.token_hex(8)
        row = OneTimeLink.objects.create(
            purpose=PURPOSE, hash=_hash(run, person, salt, code), subject=f"run:{run.pk}:{TRIES}:{salt}", user=person, recipient=channel.type,
            expires_at=at + LIFE,
        )  # fmt: skip
        audit.record("playbook.code_sent", run, by=Actor(f"the link of {person.email}"[:200]), client_id=run.client_id, after={"to": hint(channel)})  # fmt: skip
    answer = _deliver(channel, _message(run, code, at))
    if not isinstance(answer, Receipt):
        OneTimeLink.objects.filter(pk=row.pk).update(used_at=at)
        raise Refused("The code could not be sent. Sign in to decide, or try again in a minute.")


def by_telephone(run: Run, person: User, code: str, at: datetime, *, ip: str = "") -> str:
    """Use up the code that was sent: "code". Refused: wrong, too late, used, of another plan, or too many wrong ones."""
    with transaction.atomic():
        good = _sent(run, person).filter(used_at=None, expires_at__gt=at)
        row = good.select_for_update(of=("self",)).order_by("-pk").first()
        if row is None:
            raise Refused(NONE_LEFT)
        name, number, tries, salt = row.subject.split(":")
        if hmac.compare_digest(row.hash, _hash(run, person, salt, mfa.plain_code(code))):
            row.used_at = at
            row.save(update_fields=["used_at"])
            return "code"
        left = int(tries) - 1
        row.subject, row.used_at = f"{name}:{number}:{left}:{salt}", None if left else at
        row.save(update_fields=["subject", "used_at"])
        refusal = WRONG if left else NONE_LEFT
        _note(run, person, refusal, ip)
    raise Refused(refusal)


def _sent(run: Run, person: User) -> Any:
    return OneTimeLink.objects.filter(purpose=PURPOSE, user=person, subject__startswith=f"run:{run.pk}:")


def _hash(run: Run, person: User, salt: str, code: str) -> str:
    """Keyed: six digits are guessed at once by who has the table alone."""
    said = f"playbooks.code:{run.pk}.{person.pk}.{run.plan_hash}.{salt}.{code}"
    return hmac.new(settings.SECRET_KEY.encode(), said.encode(), hashlib.sha256).hexdigest()


def _message(run: Run, code: str, at: datetime) -> Message:
    """No link: what is typed by hand is typed at the page that is open."""
    cause = f"{code} is the code to decide about {run}. It is good for 10 minutes. Did you not ask for it? Tell nobody."
    return Message(
        delivery_id=0, attempt=1, kind="playbook", event="code", type="playbook.code", severity="info", title=f"{run}", cause=cause, at=at, sent_at=at
    )  # fmt: skip


def _deliver(channel: Channel, message: Message) -> Receipt | DeliveryError | None:
    """One request to the vendor, as the Test button makes one."""
    providers = {p.provider: p.values() for p in ProviderSettings.objects.all()}
    try:
        kind = open_channel(channel, providers)
    except ValueError as error:  # its settings fit no more
        return DeliveryError(str(error), permanent=True)
    if (obstacle := kind.ready()) or not isinstance(kind, HttpChannel):
        return DeliveryError(obstacle or "It cannot be sent from here.", permanent=True)

    async def alone() -> Receipt | DeliveryError | None:
        engine = HttpEngine(max_inflight=1)
        try:
            return await send_http(engine, kind, message)
        finally:
            engine.close()

    return asyncio.run(alone())

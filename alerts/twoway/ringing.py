"""Has somebody answered on their phone? Pushover is asked, as long as an emergency rings and nobody has its alert.

Pushover calls nobody back unless asked to at an address that the world can reach; its receipts can be asked from anywhere.
One question a round and receipt, outside of any transaction; who answered acknowledges by the same door as everybody.
Several workers may ask; with a common cache one does, and a second acknowledgement changes nothing anyway.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db.models import Exists, OuterRef, Q

from alerts.channels.base import DeliveryError
from alerts.channels.pushover import Pushover
from alerts.channels.wording import one_line
from alerts.models import Alert, Channel, Conversation, Delivery, Run
from alerts.twoway import taking
from portal.clock import database_now
from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine, OutboundError
from portal.residents import Resident

log = logging.getLogger("watchkeeper.ringing")

EVERY = 30.0  # seconds; Pushover allows one question in five
AT_ONCE = 100  # receipts a round
LONGEST = timedelta(hours=3, minutes=5)  # no emergency rings longer
OVER, UNSURE = "over", "unsure"
TROUBLES = (DeliveryError, OutboundError, ValueError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Ringing:
    """A receipt that nobody has answered yet, as far as we know; with all that is needed to ask."""

    delivery: Delivery
    receipt: str
    kind: Pushover
    reach: Reach


def ringing(at: datetime, done: set[str] | None = None) -> list[Ringing]:
    """The receipts to ask for now: of alerts that nobody has, or that call people anew; none of `done`."""
    called = Exists(Run.objects.filter(alert=OuterRef("alert"), ended_at=None))
    talks = Conversation.objects.filter(Q(alert__status=Alert.Status.OPEN) | called, alert__resolved_at=None)
    rows = Channel.objects.filter(type=Pushover.kind).order_by()
    keys = {row.destination_key: row for row in rows}
    talks = talks.filter(destination_key__in=keys).exclude(provider_id="").exclude(provider_id__in=done or ())
    found: list[Ringing] = []
    providers = None
    for talk in talks.order_by("pk")[:AT_ONCE]:
        row = _told(talk, at)
        if row is None or not cache.add(f"ringing:{talk.provider_id}", 1, EVERY - 10):
            continue
        providers = taking.accounts() if providers is None else providers
        kind = taking.opened(keys[talk.destination_key], providers)
        if isinstance(kind, Pushover) and not kind.ready():
            found.append(Ringing(row, talk.provider_id, kind, kind.reach))
    return found


def _told(talk: Conversation, at: datetime) -> Delivery | None:
    """The last message that this destination got of the alert, when it is new enough to ring still."""
    rows = Delivery.objects.filter(alert=talk.alert_id, destination_key=talk.destination_key, attempt__gt=0)
    last = rows.select_related("alert", "channel__contact", "contact").order_by("-seq", "-pk").first()
    if last is None or (last.finished_at or last.next_attempt_at) < at - LONGEST:
        return None
    return last


async def ask(found: list[Ringing], engine: HttpEngine) -> list[tuple[bool, str]]:
    """(answered, by whom) of each; (False, OVER) where there is nothing to be known any more, else (False, UNSURE or "")."""
    return list(await asyncio.gather(*(_ask(one, engine) for one in found)))


async def _ask(one: Ringing, engine: HttpEngine) -> tuple[bool, str]:
    try:
        response = await engine.fetch(one.kind.ask(one.receipt), one.reach)
        answered, said = one.kind.answered(response)
    except TROUBLES as error:
        permanent = isinstance(error, ValueError) or (isinstance(error, DeliveryError) and error.permanent)
        if permanent and not isinstance(error, ValueError):
            log.warning("Pushover does not say whether delivery %s was answered: %s", one.delivery.pk, error)
        return False, OVER if permanent else UNSURE
    return answered, OVER if not answered and said == "expired" else said


def heed(found: list[Ringing], answers: list[tuple[bool, str]], at: datetime) -> set[str]:
    """Acknowledge what was answered; the receipts that need not be asked for again."""
    done = set()
    for one, (answered, said) in zip(found, answers, strict=True):
        if answered:
            name = taking.person_of(one.delivery)
            where = one_line(f"Pushover, {said}")[:100]
            taking.take(one.delivery, "", name=name, where=where, at=at, user_id=taking.user_of(one.delivery))
        if answered or said == OVER:
            done.add(one.receipt)
    return done


class Listener(Resident):
    """Asks every half a minute."""

    longest_rest = EVERY

    def __init__(self) -> None:
        super().__init__("receipts")
        self.done: dict[str, float] = {}  # receipt -> when it was settled; another worker asks once more, no harm

    def step(self) -> float:
        now = time.monotonic()
        kept = LONGEST.total_seconds()
        self.done = {receipt: since for receipt, since in self.done.items() if now - since < kept}
        found = ringing(database_now(), set(self.done))
        if found:
            answers = asyncio.run(_round(found))
            self.done |= dict.fromkeys(heed(found, answers, database_now()), now)
        return EVERY


async def _round(found: list[Ringing]) -> list[tuple[bool, str]]:
    engine = HttpEngine(max_inflight=10)
    try:
        return await ask(found, engine)
    finally:
        engine.close()

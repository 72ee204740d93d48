"""Who wants a page's news, and proved that it is theirs to want? Asking, confirming, choosing, leaving; and how they are reached.

Whoever asks gets the same answer and causes the same work, whether the address was known or not. To an address goes at most
one question in ten minutes; nothing else goes there before its owner opened the link and pressed. Mail, webhook and Slack
are confirmed alike: by the link that the question carries, so whoever can read there has it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, F, QuerySet

from alerts import addressees
from alerts.addressees import Addressee, Ended
from alerts.channels.wording import cut, one_line
from alerts.message import Link
from alerts.models import Delivery, Notice
from alerts.snapshot import moment
from alerts.twoway import hooks
from portal import audit, bells
from portal.audit import Actor
from portal.errors import Refused
from portal.secrets import CannotOpen
from statuspages import addresses, letters, links
from statuspages.models import Component, Page, Subscriber
from statuspages.phrases import say

log = logging.getLogger("watchkeeper.subscribers")
State, Kind = Subscriber.State, Subscriber.Kind

PREFIX: Final = "subscriber"
AGAIN: Final = timedelta(minutes=10)  # between two questions to one address
CONFIRM_WITHIN: Final = timedelta(days=3)
MOST_ASKED: Final = 20  # an hour, of one network address on one page
MOST_TO_ONE: Final = 10  # an hour, to one address from all pages together
MOST_OF_PAGE: Final = 300  # questions that wait for an answer, of the last hour and one page
GIVE_UP_AFTER: Final = 3  # messages in a row that the other side refused for good
FORGET_ASKED, FORGET_ENDED = timedelta(days=7), timedelta(days=400)
WELL: Final[dict[str, Any]] = {"failures": 0, "bounces": 0, "bounced_letter": None, "ended_reason": ""}
REFUSED_READER: Final = "The mail server refused the recipient"  # not our own server's login, size or policy


class TooMany(Refused):
    """Somebody asks more often than people do."""


# --- Asking ----------------------------------------------------------------------------------------------------------------
def subscribe(page: Page, kind: str, address: str, components: Collection[Component], *, at: datetime, ip: str) -> None:
    """Send the question there, unless it was just asked. ValidationError for what is no address, TooMany, Refused.

    Nothing tells the caller whether the address was known: not the answer, and not the work (the queries are the same).
    """
    if not page.enabled or not page.subscriptions:
        raise Refused(say(page.language, "off"))
    if hooks.counted("subscribe", f"{page.pk}:{ip}") > MOST_ASKED:
        raise TooMany(say(page.language, "many_text"))
    where = addresses.normal(page, kind, address)
    chosen = [c for c in components if c.page_id == page.pk]
    pestered = hooks.counted("subscribe-to", links.fingerprint(kind, where)) > MOST_TO_ONE
    with transaction.atomic():
        row = _row(page, kind, where, at)
        known = row.state == State.ACTIVE
        room = _room(page, at)
        due = row.asked_at <= at - AGAIN and not pestered and (known or room)
        _note(row, where, at, due=due, known=known)
        # What a confirmed reader chose is changed by the reader only, at a link that only they have.
        _choose(row, [] if known else chosen, change=not known)
        _ask(row, known=known, at=at, sent=due)


def _row(page: Page, kind: str, where: str, at: datetime) -> Subscriber:
    """The one row of this address on the page, held."""
    mark = links.fingerprint(kind, where)
    new = Subscriber(page=page, kind=kind, address=where, address_hash=mark, created_at=at, asked_at=at - AGAIN)
    Subscriber.objects.bulk_create([new], ignore_conflicts=True)
    found = Subscriber.objects.select_for_update(of=("self",)).select_related("page")
    return found.get(page=page, kind=kind, address_hash=mark)


def _room(page: Page, at: datetime) -> bool:
    """May another question go out from this page? Many senders of few requests must not make it a source of junk."""
    waiting = Subscriber.objects.filter(page=page, state=State.PENDING, asked_at__gt=at - timedelta(hours=1))
    return waiting.count() < MOST_OF_PAGE


def _note(row: Subscriber, where: str, at: datetime, *, due: bool, known: bool) -> None:
    values: dict[str, Any] = {"asked_at": at if due else row.asked_at}
    if not known:
        values |= {"state": State.PENDING, "address": where, "ended_at": None, **WELL}
    Subscriber.objects.filter(pk=row.pk).update(**values)
    for name, value in values.items():
        setattr(row, name, value)


def _choose(row: Subscriber, chosen: Sequence[Component], *, change: bool) -> None:
    through = Subscriber.components.through
    through.objects.filter(subscriber_id=row.pk if change else 0).delete()
    through.objects.bulk_create(
        [through(subscriber_id=row.pk, component_id=c.pk) for c in chosen], ignore_conflicts=True
    )


def _ask(row: Subscriber, *, known: bool, at: datetime, sent: bool) -> None:
    """The question as a delivery; one that may not go out yet stands in the ledger with its reason."""
    page, type_ = row.page, "statuspage.subscription"
    letter = letters.question(page, known=known)
    leads = letter.pop("open")
    notice = Notice.objects.create(
        client_id=page.client_id, kind=addressees.NEWS, event="subscription", type=type_, created_at=at,
        snapshot={
            "kind": addressees.NEWS, "event": "subscription", "type": type_, "severity": "info", "title": letter["subject"], "cause": "", "at": moment(at),
            "links": [leads] if leads else [], "letter": letter,
        },
    )  # fmt: skip
    waits = Delivery.State.PENDING if sent else Delivery.State.EXPIRED
    Delivery.objects.create(
        notice=notice, kind=notice.kind, destination_key=addressees.key(PREFIX, row.pk), client_id=page.client_id, via=letters.via_of(page),
        priority=addressees.ASKED, state=waits, reason="" if sent else "It was asked a moment ago; nothing was sent again.", next_attempt_at=at, created_at=at,
        finished_at=None if sent else at,
    )  # fmt: skip
    bells.ring_on_commit(bells.SEND)


# --- The reader's doors ------------------------------------------------------------------------------------------------------
def confirm(row: Subscriber, *, at: datetime) -> str:
    """The owner pressed: "confirmed", "already", "expired", or "unknown" when it was ended since."""
    fresh = Subscriber.objects.filter(pk=row.pk, state=State.PENDING, asked_at__gt=at - CONFIRM_WITHIN)
    if fresh.update(state=State.ACTIVE, confirmed_at=at, ended_at=None, **WELL):
        row.refresh_from_db(fields=["state", "confirmed_at"])
        return "confirmed"
    row.refresh_from_db(fields=["state"])
    return standing(row, at)


def standing(row: Subscriber, at: datetime) -> str:
    """What a link to confirm would do: "ask", "already", "expired", "unknown"."""
    if row.state == State.ACTIVE:
        return "already"
    if row.state != State.PENDING:
        return "unknown"
    return "ask" if row.asked_at > at - CONFIRM_WITHIN else "expired"


def leave(row: Subscriber, *, at: datetime) -> bool:
    """No more news there; the address is forgotten. False when that was so already."""
    wanted = Subscriber.objects.filter(pk=row.pk).exclude(state=State.LEFT)
    with transaction.atomic():
        if not wanted.update(state=State.LEFT, ended_at=at, address=""):
            return False
        _drop([row.pk], "They unsubscribed.", at)
    return True


def choose(row: Subscriber, components: Collection[Component], *, at: datetime) -> None:
    """Hear of these parts of the page only; none: of all. Refused for somebody who is not subscribed."""
    with transaction.atomic():
        if not Subscriber.objects.select_for_update().filter(pk=row.pk, state=State.ACTIVE).exists():
            raise Refused(say(row.page.language, "unknown_text"))
        _choose(row, [c for c in components if c.page_id == row.page_id], change=True)


def _drop(ids: Collection[int], reason: str, at: datetime) -> None:
    """What still waits for them is not sent."""
    keys = [addressees.key(PREFIX, pk) for pk in ids]
    waiting = Delivery.objects.filter(destination_key__in=keys, state=Delivery.State.PENDING)
    waiting.update(state=Delivery.State.EXPIRED, reason=reason, finished_at=at)


# --- The staff's doors -------------------------------------------------------------------------------------------------------
def counts(page: Page) -> dict[str, int]:
    """How many in each state; every state is named."""
    found = dict(Subscriber.objects.filter(page=page).order_by().values_list("state").annotate(n=Count("id")))
    return {state: found.get(state, 0) for state in State.values}


def of_page(page: Page) -> QuerySet[Subscriber]:
    """Its subscribers, newest first; whoever may write may open their addresses."""
    return Subscriber.objects.filter(page=page).select_related("page").prefetch_related("components").order_by("-id")


def remove(row: Subscriber, *, by: Actor, at: datetime) -> None:
    """Staff ends a subscription for good; all its links end."""
    with transaction.atomic():
        audit.record(
            "subscriber.removed",
            row,
            by=by,
            client_id=row.page.client_id,
            before={"kind": row.kind, "state": row.state},
        )
        _drop([row.pk], f"{by.name} removed the subscription.", at)
        row.delete()


def ask_again(row: Subscriber, *, by: Actor, at: datetime) -> None:
    """Staff sends the question once more. Refused for one that is not waiting, or was asked within ten minutes."""
    with transaction.atomic():
        held = Subscriber.objects.select_for_update(of=("self",)).select_related("page").get(pk=row.pk)
        if held.state != State.PENDING:
            raise Refused(
                f"Only an unconfirmed subscription is asked again; this one is: {held.get_state_display().lower()}."
            )
        if held.asked_at > at - AGAIN:
            raise Refused("It was asked within the last ten minutes; wait a little.")
        _note(held, held.address.open(), at, due=True, known=False)
        _ask(held, known=False, at=at, sent=True)
        audit.record("subscriber.asked_again", held, by=by, client_id=held.page.client_id)


def resume(row: Subscriber, *, by: Actor, at: datetime) -> None:
    """Staff ends a suspension: news go there again. Refused for one that is not suspended, or never confirmed."""
    with transaction.atomic():
        held = Subscriber.objects.select_for_update(of=("self",)).select_related("page").get(pk=row.pk)
        if held.state != State.FAILED:
            raise Refused(f"Only a suspended subscription is resumed; this one is: {held.get_state_display().lower()}.")
        if held.confirmed_at is None:
            raise Refused("Its owner never confirmed it; they may subscribe again.")
        Subscriber.objects.filter(pk=held.pk).update(state=State.ACTIVE, ended_at=None, **WELL)
        audit.record(
            "subscriber.resumed", held, by=by, client_id=held.page.client_id, before={"ended_reason": held.ended_reason}
        )


# --- How they are reached, and what became of it -----------------------------------------------------------------------------
def resolve(ids: Collection[int]) -> Mapping[int, Addressee]:
    """How these are reached now, each with the links that are theirs: one query."""
    found: dict[int, Addressee] = {}
    rows = Subscriber.objects.filter(pk__in=ids, state__in=(State.PENDING, State.ACTIVE), page__enabled=True)
    for row in rows.select_related("page"):
        try:
            found[row.pk] = _addressee(row)
        except CannotOpen:
            log.error("the address of subscriber %s cannot be opened: a key is missing in ENCRYPTION_KEYS", row.pk)
    return found


def _addressee(row: Subscriber) -> Addressee:
    address, language = row.address.open(), row.page.language
    config: dict[str, Any] = {"to": [address]} if row.kind == Kind.EMAIL else {"url": address}
    if row.kind == Kind.WEBHOOK:
        config["secret"] = links.secret(row)
    own: tuple[Link, ...] = (Link("confirm", say(language, "confirm"), links.url(row, links.CONFIRM)),)
    if row.state == State.ACTIVE:
        own = (
            Link("preferences", say(language, "preferences"), links.url(row, links.PREFERENCES)),
            Link("unsubscribe", say(language, "leave"), links.url(row, links.LEAVE)),
        )
    return Addressee(str(row.kind), config, own, addresses.reach_of(row.page))


def ended(results: Sequence[Ended]) -> None:
    """Messages ended: an address that is refused for good three times in a row is suspended, one that takes them is well."""
    at = max(e.at for e in results)
    Subscriber.objects.filter(pk__in={e.id for e in results if e.delivered}, failures__gt=0).update(failures=0)
    refused = {e.id: e.reason for e in results if e.permanent}
    if not refused:
        return
    rows = Subscriber.objects.filter(pk__in=refused, state__in=(State.PENDING, State.ACTIVE)).order_by("pk")
    theirs = [
        pk
        for pk, kind in rows.values_list("pk", "kind")
        if kind != Kind.EMAIL or refused[pk].startswith(REFUSED_READER)
    ]
    Subscriber.objects.filter(pk__in=theirs).update(failures=F("failures") + 1)
    lost = Subscriber.objects.filter(pk__in=theirs, failures__gte=GIVE_UP_AFTER).order_by("pk")
    for pk in list(lost.values_list("pk", flat=True)):
        suspend(pk, f"{GIVE_UP_AFTER} messages in a row were refused for good. {refused[pk]}", at)


def suspend(pk: int, reason: str, at: datetime) -> None:
    """No more news there until somebody resumes it, or its owner subscribes anew. `reason`: without the address."""
    Subscriber.objects.filter(pk=pk).update(state=State.FAILED, ended_at=at, ended_reason=cut(one_line(reason), 300))
    _drop([pk], "The reader's address refuses messages.", at)


def forget(at: datetime) -> None:
    """Questions that nobody answered go after a week, what ended after 400 days."""
    Subscriber.objects.filter(state=State.PENDING, asked_at__lt=at - FORGET_ASKED).delete()
    Subscriber.objects.filter(state__in=(State.LEFT, State.FAILED), ended_at__lt=at - FORGET_ENDED).delete()


def connect() -> None:
    """Called when Django starts: readers are addressees of the outbox."""
    from portal import slots

    addressees.register(PREFIX, resolve, ended)
    slots.register("statuspages.forget_subscribers", 3600, forget)

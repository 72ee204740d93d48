"""Who carries messages out? One resident loop: claim, send many at once, write what became of them.

HTTP channels share one libcurl engine on an asyncio loop; libraries that block (SMTP) get a few threads. The database
is touched by the resident's own thread only, and never while a message is on the wire.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError

from alerts import addressees, homes, links, outbox, phrasing, reminding
from alerts.channels.base import Channel as Kind
from alerts.channels.base import DeliveryError, HttpChannel, Receipt, ThreadedChannel
from alerts.message import Message, message_from
from alerts.models import Conversation, Delivery
from alerts.opening import open_channel
from portal import bells, branding
from portal.clock import database_now
from portal.models import ProviderSettings
from portal.outbound.http import HttpEngine, OutboundError
from portal.residents import WORKER_ID, Resident, pulse

log = logging.getLogger("watchkeeper.sender")

THREADS = 8
DEADLINE = 30.0


class Sender(Resident):
    """Claims, sends, settles."""

    bell_name = bells.SEND

    def __init__(self, capacity: int | None = None) -> None:
        super().__init__("sender")
        self.capacity = capacity or settings.SEND_CONCURRENCY
        self.in_flight = 0
        self.done: queue.SimpleQueue[outbox.Outcome] = queue.SimpleQueue()
        self.unbegun: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self.checked_at = 0.0
        self.doubtful: set[int] = set()  # tokens of claims that perhaps succeeded, and of which nothing was begun

    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.carrier = threading.Thread(target=self.loop.run_forever, name="sender-http", daemon=True)
        self.carrier.start()
        self.engine = asyncio.run_coroutine_threadsafe(_engine(), self.loop).result()
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sender-smtp")
        # A page's mail never waits in line behind readers' mails, and those never in line at all (their lease runs).
        self.bulk_pool = ThreadPoolExecutor(outbox.BULK_AT_ONCE, thread_name_prefix="sender-bulk")

    def step(self) -> float:
        if self.in_flight > 8:
            time.sleep(0.005)  # let answers come together: one transaction for many
        self._settle()
        instant = time.monotonic()
        if not pulse.sure_since(instant):
            return 0.5  # perhaps taken for dead: nothing new until the housekeeper has been heard again
        at = database_now()
        if time.monotonic() - self.checked_at > 1:
            self.checked_at = time.monotonic()
            reminding.step(at)
        if self.doubtful:
            outbox.forgo(self.doubtful)
            self.doubtful.clear()
        token = outbox.new_token()
        self.doubtful.add(token)  # until everything is on its way: the database may go away at any statement
        rows = outbox.claim(WORKER_ID, self.capacity - self.in_flight, at, token)
        letters = prepare(rows, at) if rows else []
        self.doubtful.clear()
        if rows:
            for row, kind, message in letters:
                self.in_flight += 1
                self._launch(row, kind, message, at, instant)
            return 0.0 if self.in_flight < self.capacity and len(rows) > 1 else 0.05
        return outbox.next_due(at) if not self.in_flight else min(0.25, outbox.next_due(at, beyond=at))

    def _launch(
        self, row: Delivery, kind: Kind | DeliveryError, message: Message | None, at: datetime, claimed: float
    ) -> None:
        began = time.monotonic()

        def ours() -> bool:
            return pulse.sure_since(claimed)

        def landed(answer: Receipt | DeliveryError | None) -> None:
            if answer is None:
                self.unbegun.put(row)
            else:
                answer = addressees.discreet(answer, kind) if row.channel_id is None else answer
                self.done.put(
                    _outcome(
                        row,
                        answer,
                        at + timedelta(seconds=time.monotonic() - claimed),
                        (time.monotonic() - began) * 1000,
                    )
                )
            self.bell.set()

        if isinstance(kind, DeliveryError) or message is None:
            landed(kind if isinstance(kind, DeliveryError) else DeliveryError("nothing to send", permanent=True))
        elif isinstance(kind, HttpChannel):
            future = asyncio.run_coroutine_threadsafe(send_http(self.engine, kind, message, ours), self.loop)
            future.add_done_callback(lambda f: landed(f.result()))
        else:
            pool = self.bulk_pool if row.priority >= outbox.BULK else self.pool
            pool.submit(send_threaded, kind, message, ours).add_done_callback(lambda f: landed(f.result()))

    def _settle(self) -> None:
        while not self.unbegun.empty():
            row = self.unbegun.get()
            self.in_flight -= 1
            outbox.give_back(
                [row]
            )  # changes nothing where the row has gone to another; should the database be away, the lease frees it
        outcomes = []
        while not self.done.empty():
            outcomes.append(self.done.get())
        if outcomes:
            try:
                self._store(outcomes)
            except Exception:
                for outcome in outcomes:  # they wait here until the database is back; their lease stands meanwhile
                    self.done.put(outcome)
                raise
            self.in_flight -= len(outcomes)

    def _store(self, outcomes: list[outbox.Outcome]) -> None:
        """Write results; one that cannot be stored is parked and does not hold up the others."""
        try:
            outbox.finish(outcomes)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            if len(outcomes) == 1:
                log.exception("the result of delivery %s cannot be stored; it is parked", outcomes[0].delivery_id)
                outbox.park(outcomes[0])
                return
            for outcome in outcomes:
                self._store([outcome])

    def end(self) -> None:
        until = time.monotonic() + 28
        while self.in_flight and time.monotonic() < until:
            self.bell.wait(0.1)
            self.bell.clear()
            self._settle()
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.bulk_pool.shutdown(wait=False, cancel_futures=True)
        self.loop.call_soon_threadsafe(self.engine.close)
        self.loop.call_soon_threadsafe(self.loop.stop)


async def _engine() -> HttpEngine:
    return HttpEngine(max_inflight=settings.SEND_CONCURRENCY)


def prepare(rows: list[Delivery], at: datetime) -> list[tuple[Delivery, Kind | DeliveryError, Message | None]]:
    """Everything that needs the database, before anything goes out. A row that cannot be prepared ends as permanent."""
    providers = {p.provider: p.values() for p in ProviderSettings.objects.all()}
    keys = {
        (c.alert_id, c.destination_key): c.provider_id
        for c in Conversation.objects.filter(alert__in=[r.alert_id for r in rows if r.alert_id])
    }
    templates = phrasing.of_rows(rows)
    readers, at_home = addressees.of_rows(rows), branding.homes()
    letters: list[tuple[Delivery, Kind | DeliveryError, Message | None]] = []
    for row in rows:
        try:
            reader = readers.get(row.pk)
            if row.channel is None and reader is None:
                letters.append((row, DeliveryError("Whom it was for does not want it any more.", permanent=True), None))
                continue
            kind = addressees.opened(reader, providers) if reader else open_channel(row.channel, providers)
            obstacle = kind.ready()
            if obstacle:
                letters.append((row, DeliveryError(obstacle, permanent=True), None))
                continue
            message = message_from(
                row.notice.snapshot,
                delivery_id=row.pk,
                attempt=row.attempt,
                sent_at=at,
                provider_id=keys.get((row.alert_id or 0, row.destination_key), ""),
                **links.of(row),
            )
            if reader:
                message = replace(message, links=message.links + reader.links)
            if row.alert_id is not None and templates:
                chosen = phrasing.choose(
                    templates, message, client=row.client_id, channel=row.channel_id, owner=row.channel.client_id
                )
                message = phrasing.said(message, chosen)
            letters.append((row, kind, homes.led_home(links.addressed(message, row), row, reader, at_home)))
        except Exception as error:  # one bad row must not stop the others (it is parked, with its reason)
            log.exception("delivery %s cannot be prepared", row.pk)
            letters.append(
                (
                    row,
                    DeliveryError(f"It could not be prepared ({type(error).__name__}); see the log.", permanent=True),
                    None,
                )
            )
    return letters


def _always() -> bool:
    return True


async def send_http(
    engine: HttpEngine, kind: HttpChannel, message: Message, ours: Callable[[], bool] = _always
) -> Receipt | DeliveryError | None:
    """One request; every way it can end is an answer, never an exception. None: not begun, as it is no longer surely `ours`."""
    if not ours():
        return None
    try:
        return await asyncio.wait_for(kind.deliver(message, lambda r: engine.fetch(r, kind.reach)), DEADLINE)
    except DeliveryError as error:
        return error
    except OutboundError as error:
        return kind.failed(error)
    except TimeoutError:
        return DeliveryError("No answer within 30 s.", ambiguous=True)
    except Exception as error:
        log.exception("channel %s failed unexpectedly", kind.kind)
        return DeliveryError(f"Internal error ({type(error).__name__}); see the log.", permanent=True)


def send_threaded(kind: Kind, message: Message, ours: Callable[[], bool] = _always) -> Receipt | DeliveryError | None:
    """The same for a library that blocks."""
    if not ours():
        return None
    try:
        assert isinstance(kind, ThreadedChannel)
        return kind.send(message)
    except DeliveryError as error:
        return error
    except Exception as error:
        log.exception("channel %s failed unexpectedly", kind.kind)
        return DeliveryError(f"Internal error ({type(error).__name__}); see the log.", permanent=True)


def _outcome(row: Delivery, answer: Receipt | DeliveryError, at: datetime, duration_ms: float) -> outbox.Outcome:
    common = {
        "delivery_id": row.pk,
        "token": row.lease_token or 0,
        "n": row.attempt,
        "at": at,
        "duration_ms": round(duration_ms, 1),
    }
    if isinstance(answer, Receipt):
        return outbox.Outcome(
            outcome="delivered", code=answer.code, provider_id=answer.provider_id, answer=answer.answer, **common
        )
    outcome = "permanent" if answer.permanent else "ambiguous" if answer.ambiguous else "retry"
    return outbox.Outcome(
        outcome=outcome, code=answer.code, error=str(answer), retry_after=answer.retry_after, **common
    )


def send_now(row: Delivery) -> Delivery:
    """Send one (test) delivery in this process and return it with its result; for the Test button."""
    at = database_now()
    token = time.monotonic_ns() & 0x3FFFFFFFFFFFFFFF
    if not Delivery.objects.filter(pk=row.pk, state=Delivery.State.PENDING).update(
        state=Delivery.State.SENDING,
        lease_token=token,
        lease_until=at + timedelta(seconds=45),
        claimed_by=WORKER_ID,
        attempt=1,
    ):
        row.refresh_from_db()
        return row
    row = Delivery.objects.select_related("notice", "channel", "alert").get(pk=row.pk)
    began = time.monotonic()
    ((_, kind, message),) = prepare([row], at)
    if isinstance(kind, DeliveryError) or message is None:
        answer: Receipt | DeliveryError = (
            kind if isinstance(kind, DeliveryError) else DeliveryError("nothing to send", permanent=True)
        )
    elif isinstance(kind, HttpChannel):
        answer = asyncio.run(_alone(kind, message))
    else:
        answer = send_threaded(kind, message)
    if row.channel_id is None:
        answer = addressees.discreet(answer, kind)
    outbox.finish([_outcome(row, answer, database_now(), (time.monotonic() - began) * 1000)])
    row.refresh_from_db()
    return row


async def _alone(kind: HttpChannel, message: Message) -> Receipt | DeliveryError:
    engine = HttpEngine(max_inflight=1)
    try:
        return await send_http(engine, kind, message)
    finally:
        engine.close()

"""Which deliveries are sent now, by whom, and what became of them? The row is the queue; this is its only door.

Claims are conditional updates with a lease and a fencing token; the result is written only where the token still
stands, so a worker that was frozen and thaws changes nothing. Order is kept per alert and destination; per client and
destination only a few are in flight, so that one slow vendor delays nobody else (SPEC DLV-1..4). What goes to readers of
status pages (bulk) has a few places of its own: thousands of such mails take no page's place, whoever's they are.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F, Q

from alerts import addressees, answered, channels, engine, escalating, gathering, limits, reminding
from alerts.models import Alert, Attempt, Channel, Conversation, Delivery
from portal import bells, sets
from portal.clock import parameter
from portal.models import Worker

log = logging.getLogger("watchkeeper.outbox")

LEASE = timedelta(seconds=45)  # above the longest send (30 s); a dead worker's claims are freed much sooner
PER_CLIENT, PER_DESTINATION = 48, 16
BULK = addressees.ASKED  # priority from which a message is one of many, to readers
BULK_AT_ONCE, BULK_PER_CLIENT = 24, 16  # of all; of one client, so that another's readers do not wait for them
GONE_AFTER = timedelta(seconds=4)

# Everything is worked out of one look at what is open: no plan of it depends on how the table was a minute ago, so a storm
# that came since the last ANALYZE is claimed as quickly as a quiet day's.
_CLAIM = """
WITH open_ones AS (
  SELECT id, destination_key, alert_id, seq, state, gather, priority, next_attempt_at,
         CASE WHEN priority < %(bulk)s THEN COALESCE(client_id, 0) ELSE -1 - COALESCE(client_id, 0) END AS client,
         min(seq) OVER (PARTITION BY alert_id, destination_key) AS first_seq
  FROM alerts_delivery WHERE state IN ('pending', 'sending')
), at_destination AS (
  SELECT destination_key, count(*) AS n FROM open_ones WHERE state = 'sending' GROUP BY destination_key
), at_client AS (
  SELECT client, count(*) AS n FROM open_ones WHERE state = 'sending' GROUP BY client
), heads AS (
  SELECT d.id, d.destination_key, d.client, d.priority, d.next_attempt_at,
         row_number() OVER (PARTITION BY d.destination_key ORDER BY d.priority, d.next_attempt_at, d.id) AS in_destination
  FROM open_ones d
  WHERE d.state = 'pending' AND d.gather = %(no)s AND d.next_attempt_at <= %(at)s AND (d.alert_id IS NULL OR d.seq = d.first_seq)
), possible AS (
  SELECT h.id, h.client, h.priority, h.next_attempt_at,
         row_number() OVER (PARTITION BY h.client ORDER BY h.priority, h.next_attempt_at, h.id) AS in_client
  FROM heads h LEFT JOIN at_destination b ON b.destination_key = h.destination_key
  WHERE h.in_destination + COALESCE(b.n, 0) <= %(per_destination)s
), placed AS (
  SELECT p.id, p.client, p.priority, p.next_attempt_at, p.in_client + COALESCE(b.n, 0) AS place
  FROM possible p LEFT JOIN at_client b ON b.client = p.client
  WHERE p.in_client + COALESCE(b.n, 0) <= CASE WHEN p.client < 0 THEN %(per_bulk_client)s ELSE %(per_client)s END
), counted AS (
  SELECT p.*, row_number() OVER (PARTITION BY CASE WHEN client < 0 THEN 1 ELSE 0 END ORDER BY place, priority, next_attempt_at, id) AS in_bulk
  FROM placed p
), chosen AS (
  SELECT id FROM counted
  WHERE client >= 0 OR in_bulk + (SELECT count(*) FROM open_ones WHERE state = 'sending' AND client < 0) <= %(bulk_at_once)s
  ORDER BY priority, next_attempt_at, id LIMIT %(limit)s
)
UPDATE alerts_delivery SET state = 'sending', claimed_by = %(worker)s, lease_token = %(token)s, lease_until = %(until)s, attempt = attempt + 1
WHERE state = 'pending' AND id IN (SELECT id FROM chosen) RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt gave. `outcome`: delivered, permanent, retry or ambiguous."""

    delivery_id: int
    token: int
    n: int
    outcome: str
    at: datetime
    duration_ms: float | None = None
    code: int | None = None
    error: str = ""
    answer: str = ""
    provider_id: str = ""
    retry_after: float | None = None


def new_token() -> int:
    """A fencing token."""
    return random.getrandbits(62)


def claim(worker: str, limit: int, at: datetime, token: int | None = None) -> list[Delivery]:
    """Take up to `limit` due deliveries under a fresh lease. Gathering is decided first.

    When it raises, rows may have been taken all the same (committed, and the answer lost): `forgo` the token then.
    """
    if limit <= 0:
        return []
    gathering.step(at)
    token = new_token() if token is None else token
    values = {
        "no": False, "at": parameter(at), "per_destination": PER_DESTINATION, "per_client": PER_CLIENT, "limit": limit, "worker": worker, "token": token, "until": parameter(at + LEASE),
        "bulk": BULK, "bulk_at_once": BULK_AT_ONCE, "per_bulk_client": BULK_PER_CLIENT,
    }  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return []
    rows = (
        Delivery.objects.filter(pk__in=ids, lease_token=token)
        .select_related("notice", "channel", "alert", "client")
        .order_by("priority", "id")
    )
    return [row for row in rows if not _pointless(row, at)]


def _pointless(row: Delivery, at: datetime) -> bool:
    """Is there no use in sending it any more? It ends here then, and says why."""
    gone = "The channel was deleted." if row.channel is not None and row.channel.deleted_at is not None else ""
    if row.client is not None and row.client.deleted_at is not None:
        gone = "The client was deleted."
    why = gone or answered.pointless(row) or _never_heard(row)
    if not why:
        return False
    Delivery.objects.filter(pk=row.pk, lease_token=row.lease_token).update(
        state=Delivery.State.EXPIRED, reason=why, claimed_by="", lease_token=None, lease_until=None, finished_at=at
    )
    return True


def _never_heard(row: Delivery) -> str:
    """ "Recovered" for somebody who in the end never heard of the failure: the sentence that says so, or ""."""
    if row.kind != "recovered" or row.alert_id is None:
        return ""
    before = Delivery.objects.filter(alert_id=row.alert_id, destination_key=row.destination_key, seq__lt=row.seq)
    if before.filter(state__in=["delivered", "unknown", "gathered"]).exists():
        return ""
    if before.filter(alert__source="probe", state="failed").exists():  # our own line was what had failed: see `telling`
        return ""
    return "The failure never reached this channel, so its recovery is not told."


def finish(outcomes: Sequence[Outcome]) -> int:
    """Write what became of attempts; returns how many were fenced off because their lease had been given to another."""
    if not outcomes:
        return 0
    fenced = 0
    with transaction.atomic():
        _alerts_first([o.delivery_id for o in outcomes])
        rows = {
            d.pk: d
            for d in Delivery.objects.filter(pk__in=[o.delivery_id for o in outcomes])
            .order_by("pk")
            .select_for_update(of=("self",))
            .select_related("channel", "notice")
        }
        ended: list[tuple[Delivery, Outcome]] = []
        attempts: list[Attempt] = []
        for o in outcomes:
            row = rows.get(o.delivery_id)
            if row is None or row.state != Delivery.State.SENDING or row.lease_token != o.token:
                fenced += 1
                continue
            attempts.append(
                Attempt(
                    delivery=row,
                    n=o.n,
                    at=o.at,
                    outcome=o.outcome,
                    response_code=o.code,
                    duration_ms=o.duration_ms,
                    error=o.error[:500],
                    answer=o.answer[:300],
                )
            )
            _settle(row, o)
            ended.append((row, o))
        Attempt.objects.bulk_create(attempts)
        _write([d for d, _ in ended])
        _remember(ended)
    if fenced:
        log.warning("%d results came after their lease had gone to another worker; nothing was overwritten", fenced)
    return fenced


def _settle(row: Delivery, o: Outcome) -> None:
    kind = channels.KINDS.get(row.channel.type) if row.channel else None
    row.ambiguous += o.outcome == "ambiguous"
    if row.kind == "test" and o.outcome != "delivered":
        state, wait = "failed", 0.0
    else:
        state, wait = engine.after_attempt(
            attempt=row.attempt - row.ladder_from,
            outcome=o.outcome,
            ambiguous=row.ambiguous,
            keyed=bool(kind and kind.keyed),
            retry_after=o.retry_after,
        )
    row.state, row.reason = state, "" if state == "delivered" else o.error[:300]
    row.claimed_by, row.lease_token, row.lease_until = "", None, None
    if state == "pending":
        row.next_attempt_at = o.at + timedelta(seconds=wait)
    else:
        row.finished_at = o.at


def _write(rows: list[Delivery]) -> None:
    """The common end is one statement for all; the others keep their own reasons and times."""
    well = [d for d in rows if d.state == "delivered"]
    if well:
        Delivery.objects.filter(pk__in=[d.pk for d in well]).update(
            state="delivered",
            reason="",
            claimed_by="",
            lease_token=None,
            lease_until=None,
            finished_at=max(d.finished_at for d in well if d.finished_at),
        )
    fields = [
        "state",
        "reason",
        "claimed_by",
        "lease_token",
        "lease_until",
        "ambiguous",
        "next_attempt_at",
        "finished_at",
    ]
    sets.write([d for d in rows if d.state != "delivered"], fields)


def _remember(ended: list[tuple[Delivery, Outcome]]) -> None:
    """What follows from results: first told, the vendor's id, the channel's health, somebody to hear of a dead one."""
    delivered = [(d, o) for d, o in ended if d.state == "delivered"]
    told_alerts = {d.alert_id: o.at for d, o in reversed(delivered) if d.alert_id}
    carried = list(
        Delivery.objects.filter(carried_by__in=[d.pk for d, _ in delivered if d.kind == "digest"]).values_list(
            "alert_id", "carried_by_id"
        )
    )
    when = {d.pk: o.at for d, o in delivered}
    told_alerts |= {a: when[c] for a, c in carried if a}
    first = Alert.objects.filter(pk__in=told_alerts, notified_at=None).order_by("pk").values_list("pk", flat=True)
    by_time: dict[datetime, list[int]] = defaultdict(list)
    for pk in first:
        by_time[told_alerts[pk]].append(pk)
    for at, pks in by_time.items():
        Alert.objects.filter(pk__in=pks).update(notified_at=at)
    for latest in (False, True):  # a first message is what is threaded by and edited; of a receipt the last one counts
        Conversation.objects.bulk_create(
            [
                Conversation(alert_id=d.alert_id, destination_key=d.destination_key, provider_id=o.provider_id, told_seq=d.seq)
                for d, o in delivered if d.alert_id and o.provider_id and _latest_counts(d) == latest
            ],
            update_conflicts=True, unique_fields=["alert", "destination_key"], update_fields=["told_seq"] + ["provider_id"] * latest,
        )  # fmt: skip
    reminding.told([(d, o.at) for d, o in delivered])
    _count(delivered)
    well = {d.channel_id: (d.channel, o) for d, o in delivered if d.channel}
    for channel_id, (channel, o) in well.items():
        # Written at most once in ten seconds, or when it was ill: a storm must not queue behind one row.
        before = o.at - timedelta(seconds=10)
        if (
            channel.unhealthy_since is None
            and channel.last_success_at is not None
            and channel.last_success_at >= before
        ):
            continue
        stale = Q(last_success_at=None) | Q(last_success_at__lt=before) | Q(unhealthy_since__isnull=False)
        Channel.objects.filter(stale, pk=channel_id).update(
            last_success_at=o.at,
            unhealthy_since=None,
            unhealthy_reason="",
            last_answer=f"{o.code or ''} delivered".strip(),
        )
    lost = [(d, o) for d, o in ended if d.state in ("failed", "unknown")]
    for d, o in lost:
        if d.channel is None:
            continue
        gathering.undeliverable(d, o.error, at=o.at, permanent=o.outcome == "permanent")
    if lost:
        escalating.undelivered([d for d, _ in lost], at=max(o.at for _, o in lost))
    addressees.ended((d, o.outcome == "permanent", o.error) for d, o in ended if d.channel_id is None)


def _latest_counts(row: Delivery) -> bool:
    kind = channels.KINDS.get(row.channel.type) if row.channel else None
    return bool(kind and kind.latest_counts)


def _count(delivered: list[tuple[Delivery, Outcome]]) -> None:
    """What counts against a monthly quota; near it and at it, the channel's owner hears of it by another way."""
    sent: dict[int, list[tuple[Delivery, Outcome]]] = defaultdict(list)
    for d, o in delivered:
        if d.channel_id is not None:
            sent[d.channel_id].append((d, o))
    for rows in sent.values():
        (d, o), n = rows[-1], len(rows)
        reached = limits.count(d.channel, n, o.at)
        if reached:
            gathering.quota_reached(d.channel, reached, at=o.at)


def _alerts_first(deliveries: list[int]) -> None:
    """Lock what these deliveries tell of, before the deliveries: whoever closes an alert holds it when it comes for them."""
    if connection.vendor != "postgresql":
        return
    told = set(
        Delivery.objects.filter(Q(pk__in=deliveries) | Q(carried_by__in=deliveries), alert__isnull=False).values_list(
            "alert_id", flat=True
        )
    )
    list(Alert.objects.filter(pk__in=told).order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))


def reap(at: datetime) -> int:
    """Free what dead workers held and what outlived its lease: an attempt that nobody finished may have arrived."""
    gone = list(Worker.objects.filter(seen_at__lt=at - GONE_AFTER).values_list("pk", flat=True))
    dead = Q(state=Delivery.State.SENDING) & (Q(lease_until__lt=at) | Q(claimed_by__in=gone))
    with transaction.atomic():
        found = list(Delivery.objects.filter(dead).values_list("pk", flat=True))
        if not found:
            return 0
        _alerts_first(found)
        lost = list(
            Delivery.objects.filter(dead, pk__in=found)
            .order_by("pk")
            .select_for_update(of=("self",))
            .select_related("channel", "notice")
        )
        if not lost:
            return 0
        ended: list[tuple[Delivery, Outcome]] = []
        for row in lost:
            o = Outcome(
                row.pk,
                row.lease_token or 0,
                row.attempt,
                "ambiguous",
                at,
                error="The sending process died or froze; whether it arrived is not known.",
            )
            _settle(row, o)
            if row.state == "pending":
                row.next_attempt_at = at  # nobody waits for a dead worker's ladder
            ended.append((row, o))
        Attempt.objects.bulk_create(
            [Attempt(delivery=d, n=o.n, at=at, outcome="lost", error=o.error) for d, o in ended], ignore_conflicts=True
        )
        _write(lost)
        _remember(ended)
    bells.ring(bells.SEND)
    return len(lost)


def give_back(rows: Sequence[Delivery]) -> int:
    """Claims that were never begun go back unharmed (a clean stop)."""
    return sum(
        Delivery.objects.filter(pk=r.pk, lease_token=r.lease_token, state=Delivery.State.SENDING).update(
            state=Delivery.State.PENDING, attempt=F("attempt") - 1, claimed_by="", lease_token=None, lease_until=None
        )
        for r in rows
    )


def park(o: Outcome) -> int:
    """End a delivery whose result cannot be written in full: delivered or failed, nothing else follows from it."""
    state = Delivery.State.DELIVERED if o.outcome == "delivered" else Delivery.State.FAILED
    return Delivery.objects.filter(pk=o.delivery_id, lease_token=o.token, state=Delivery.State.SENDING).update(
        state=state,
        reason="Its result could not be stored; see the log.",
        claimed_by="",
        lease_token=None,
        lease_until=None,
        finished_at=o.at,
    )


def forgo(tokens: Collection[int]) -> int:
    """Give back whatever was claimed under tokens of which nothing was begun."""
    return Delivery.objects.filter(lease_token__in=list(tokens), state=Delivery.State.SENDING).update(
        state=Delivery.State.PENDING, attempt=F("attempt") - 1, claimed_by="", lease_token=None, lease_until=None
    )


def next_due(at: datetime, *, beyond: datetime | None = None) -> float:
    """Seconds until the next waiting delivery is due, at most 1: how long a sender may rest.

    `beyond`: what was due by then had its chance, and waits for a place that comes free (which rings).
    """
    waiting = Delivery.objects.filter(state=Delivery.State.PENDING)
    soonest = (
        (waiting if beyond is None else waiting.filter(next_attempt_at__gt=beyond))
        .order_by("next_attempt_at")
        .values_list("next_attempt_at", flat=True)
        .first()
    )
    return 1.0 if soonest is None else min(1.0, max(0.02, (soonest - at).total_seconds()))

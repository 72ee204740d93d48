"""What happens at the plant while it is hurt? Clients whose monitors fail and recover, and a provider that keeps count.

Each client has two channels at the fake provider: a webhook (its vendor folds copies by key) and a Slack hook (no key:
every copy is seen). Failures go through the product's own door, `alerts.report`, in the transaction that causes them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db import transaction

from alerts.models import Alert, Channel, ContactChannel, Delivery, Notice, Trigger
from alerts.report import Report, report
from incidents.models import Incident
from monitors import services
from monitors.models import Monitor
from portal.clock import database_now
from portal.models import Client
from tests import cast
from tests.rig.answers import Answer
from tests.rig.receiver import EVERYWHERE, Receiver

CLIENTS = 4
UNFINISHED = ("pending", "sending", "held")


class Scene:
    """Clients, channels and their provider. `fail` and `recover` cause deliveries; `settled` says when all have ended."""

    def __init__(self, receiver: Receiver, *, clients: int = CLIENTS, delay: float = 0.03, window: int = 0) -> None:
        self.receiver = receiver
        self.clients: list[Client] = []
        self.channels: dict[int, str] = {}  # channel id -> the path it posts to
        self._numbers = itertools.count(1)
        receiver.behave(EVERYWHERE, Answer(delay=delay))
        clear()
        for n in range(clients):
            client = cast.client(f"Client {n}")
            trigger = Trigger.objects.create(client=client, name=f"Everything of client {n}")
            for kind in ("webhook", "slack"):
                trigger.channels.add(
                    self._channel(client, kind, f"/{kind}/{client.pk}", window if kind == "slack" else 0)
                )
            self.clients.append(client)

    def _channel(self, client: Client, kind: str, path: str, window: int) -> Channel:
        url = {"url": self.receiver.url(path)}
        place = {"secrets": url} if kind == "slack" else {"config": url}
        row = Channel.objects.create(
            client=client, name=f"{kind} of {client.name}", type=kind, group_window_seconds=window, **place
        )
        self.channels[row.pk] = path
        return row

    def reach_later(self, client: Client, minutes: int) -> Channel:
        """A person of this client hears by webhook, if nobody has acknowledged within these minutes."""
        person = cast.contact(client, "Late")
        channel = self._channel(client, "webhook", f"/late/{client.pk}", 0)
        ContactChannel.objects.create(contact=person, channel=channel, delay_minutes=minutes)
        Trigger.objects.get(client=client, name=f"Everything of client {self.clients.index(client)}").contacts.add(
            person
        )
        return channel

    def fail(self, count: int, *, at_once: int = 10) -> list[int]:
        """`count` monitors fail, `at_once` in a transaction, the clients in turn; returns their alerts' ids."""
        opened: list[int] = []
        numbers = [next(self._numbers) for _ in range(count)]
        for start in range(0, count, at_once):
            opened += self.one_transaction(numbers[start : start + at_once])
        return opened

    def one_transaction(self, numbers: Sequence[int]) -> list[int]:
        """These numbers fail together."""
        with transaction.atomic():
            at = database_now()
            rows = report([self.word(n, failing=True, at=at) for n in numbers])
        return [row.pk for row in rows]

    def recover(self, alerts: Iterable[int]) -> None:
        """These alerts' monitors are well again."""
        rows = Alert.objects.filter(pk__in=list(alerts), resolved_at=None).order_by("pk")
        numbers = [int(row.entity_id) - FIRST for row in rows]
        with transaction.atomic():
            at = database_now()
            report([self.word(n, failing=False, at=at) for n in numbers])

    def word(self, number: int, *, failing: bool, at: datetime) -> Report:
        """What is known of an imagined monitor now."""
        return Report(
            source="endpoint",
            condition="health",
            event="consecutive_failure",
            entity_type="monitor",
            entity_id=str(FIRST + number),
            entity_name=f"shop {number}",
            failing=failing,
            at=at,
            title=f"shop {number} is down",
            message="connection refused",
            client_id=self.clients[number % len(self.clients)].pk,
        )

    def watch(self, urls: Iterable[str], *, interval: int = 5, **more: object) -> list[Monitor]:
        """Real http monitors of the first client, confirmed by two checks."""
        rows = []
        for number, url in enumerate(urls):
            monitor = Monitor(
                client=self.clients[0],
                name=f"site {number}",
                kind="http",
                config={"url": url},
                interval_seconds=interval,
                timeout_seconds=4,
                **more,
            )
            rows.append(services.save(monitor, by=cast.TESTS, at=database_now()))
        return rows


FIRST = 1_000_000  # imagined monitors are numbered from here, away from the real ones


def settled() -> bool:
    """Has every delivery come to its end?"""
    return not Delivery.objects.filter(state__in=UNFINISHED).exists()


def unfinished() -> int:
    """How many deliveries are still on their way."""
    return Delivery.objects.filter(state__in=UNFINISHED).count()


def clear() -> None:
    """Nothing ever happened here."""
    for model in (Monitor, Incident, Notice, Alert, Trigger, Channel):
        model.objects.all().delete()

"""What is this probe to watch, and when next? Orders become plans; each monitor keeps a view of its own here.

The views decide only the schedule (a failure is looked at again a second later, without asking anybody); what a monitor's
state is, and who hears of it, the portal decides from the results.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from monitors import checks, engine
from monitors.running import Plan
from portal.outbound.guard import Reach

AHEAD = timedelta(seconds=0.5)  # handed to the engine so early, started when due
TELL_AGAIN = timedelta(hours=1)  # a certificate that has not changed is told again so often
Networks = tuple[IPv4Network | IPv6Network, ...]


def plan_of(order: dict[str, Any], allow: Networks = ()) -> Plan:
    """One monitor of the portal's answer. One that this version cannot check gets a plan that says so."""
    fault, config, kind = "", None, checks.KINDS.get(order["kind"])
    try:
        if kind is None or kind.passive:
            raise ValueError("not a kind that a probe checks")
        config = kind.parse(order["config"])
    except Exception as error:
        fault = f"This probe cannot use its settings ({type(error).__name__}); is the probe as new as the portal?"
    limits = engine.Limits(**{name: order[name] for name in LIMITS})
    return Plan(
        monitor=order["id"], name=order["kind"], kind=kind or checks.Check, config=config, limits=limits, reach=Reach(allow=allow, private=bool(order["private"])),
        degraded_latency_ms=order["degraded_latency_ms"], degraded_loss_percent=order["degraded_loss_percent"],
        upside_down=bool(getattr(config, "upside_down", False)), fault=fault,
    )  # fmt: skip


LIMITS = ("interval", "timeout", "confirmation_count", "confirmation_seconds", "recovery_count", "recovery_seconds")


@dataclass(slots=True, eq=False)
class Watch:
    """One monitor as this probe watches it. A changed order makes a new one: what the old one still brings is dropped."""

    plan: Plan
    version: int
    view: engine.View
    due_at: datetime
    slot: datetime  # its own place in the interval, which a look out of turn does not move: load stays flat
    under_way: bool = False
    again: bool = False  # asked for at once while a check was under way
    rushed: int = 0  # the last request for a look that was followed
    told: Any = None  # the certificate or registration that the portal knows
    told_at: datetime | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # passive kinds have some, and are not checked here

    @property
    def monitor(self) -> int:
        """Its id at the portal."""
        return self.plan.monitor

    def observe(self, status: int, at: datetime, error_class: str, message: str) -> engine.View:
        """Take one more result; says when to look again."""
        limits = self.plan.limits
        view = engine.observe(self.view, status, at, error_class=error_class, message=message)
        self.view = replace(view, vote=engine.confirmed(view, limits))
        if self.again:
            self.due_at = at
        elif not engine.settled(self.view, limits):
            self.due_at = at + engine.RECHECK
        else:
            if at >= self.slot:
                self.slot = engine.next_due(self.view, limits, self.slot, at)
            self.due_at = self.slot
        self.under_way = self.again = False
        return self.view

    def news(self, seen: Any, at: datetime) -> bool:
        """Is this certificate or registration one the portal has not heard of, or not for an hour?"""
        if seen == self.told and self.told_at is not None and at - self.told_at < TELL_AGAIN:
            return False
        self.told, self.told_at = seen, at
        return True


class Plans:
    """All watches, and which of them is due next."""

    def __init__(self, probe: int, allow: Networks = ()) -> None:
        self.probe, self.allow = probe, allow
        self.watches: dict[int, Watch] = {}
        self._queue: list[tuple[datetime, int, Watch]] = []
        self._number = 0

    def follow(self, orders: Sequence[dict[str, Any]], at: datetime) -> set[int]:
        """The portal's list, whole. Returns the monitors that are not ours any more."""
        wanted = {order["id"] for order in orders}
        gone = self.watches.keys() - wanted
        for monitor in gone:
            del self.watches[monitor]
        for order in orders:
            known = self.watches.get(order["id"])
            if known is not None and known.version == order["version"]:
                continue
            plan = plan_of(order, self.allow)
            first = engine.first_slot(plan.monitor, self.probe, plan.limits.interval, at)
            watch = Watch(
                plan, order["version"], engine.View(probe=self.probe), at if known is not None else first, first
            )
            if known is not None:  # only its settings changed: what was seen stands, and it is looked at anew now
                watch.view, watch.rushed = known.view, known.rushed
            self.watches[plan.monitor] = watch
            self.put(watch)
        return gone

    def rush(self, wanted: Sequence[Sequence[int]], at: datetime) -> None:
        """(monitor, request's number) pairs: look at once; each request is followed once."""
        for monitor, number in wanted:
            watch = self.watches.get(monitor)
            if watch is None or number <= watch.rushed:
                continue
            watch.rushed = number
            if watch.under_way:
                watch.again = True
            else:
                watch.due_at = at
                self.put(watch)

    def put(self, watch: Watch) -> None:
        """Queue it for its due time; what was queued for another is void."""
        self._number += 1
        heapq.heappush(self._queue, (watch.due_at, self._number, watch))

    def due(self, at: datetime, most: int) -> Iterator[Watch]:
        """Those due within half a second, now under way."""
        soon = at + AHEAD
        while self._queue and most > 0 and self._queue[0][0] <= soon:
            due_at, _, watch = heapq.heappop(self._queue)
            if watch.under_way or watch.due_at != due_at or self.watches.get(watch.monitor) is not watch:
                continue
            watch.under_way = True
            most -= 1
            yield watch

    def seconds_to_next(self, at: datetime) -> float:
        """Until something can be handed in; a second at most."""
        return min(1.0, max(0.0, (self._queue[0][0] - AHEAD - at).total_seconds())) if self._queue else 1.0

"""Who else is there, and how are they? Monitors that share something with this one, across all clients, as counts only.

A verdict is shown to clients: that seven of nine monitors on one address fail tells where a problem lives, whose they
are is nobody else's business. One `Around` answers for a while: what fails together asks the same questions.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from monitors import engine
from monitors.diagnosis.targets import target_of
from monitors.models import Baseline, Monitor, ProbeState
from portal.clock import database_now

GOOD_FOR = 2.0  # seconds
LATELY = timedelta(seconds=10)
HOSTS_GOOD_FOR = 60.0
MOST_KEPT = 5000

Counts = tuple[int, int]  # watched, failing


def keys_of(baselines: Iterable[Baseline]) -> dict[str, Any]:
    """What an alert shares with others: AS, address, certificate authority, as they were learned in better days."""
    found: dict[str, Any] = {}
    for row in baselines:
        for name, value in (("as", row.asn), ("host", row.address), ("issuer", row.issuer)):
            if value not in (None, ""):
                found.setdefault(name, value)
    return found


def failing_views() -> Exists:
    """Does any view of the outer monitor see it fail now, confirmed or not?"""
    return Exists(ProbeState.objects.filter(monitor=OuterRef("pk"), active=True, stale=False, status=engine.FAILING))


def seen_lately() -> Exists:
    """Was the outer monitor checked in the last seconds? What was well a minute ago says nothing of now."""
    views = ProbeState.objects.filter(monitor=OuterRef("pk"), active=True, stale=False)
    return Exists(views.filter(last_at__gte=database_now() - LATELY))


class Around:
    """Counts, remembered for two seconds each."""

    def __init__(self) -> None:
        self.kept: dict[Hashable, tuple[float, Counts]] = {}
        self.hosts: dict[str, list[int]] = {}
        self.hosts_at = -HOSTS_GOOD_FOR

    def counts(self, m: Monitor, baselines: list[Baseline], probe: int | None, *, fails: bool) -> dict[str, dict[str, int]]:  # fmt: skip
        """{same_as: {"watched": n, "failing": m}, …} without the monitor itself. What is not known of it is left out."""
        found: dict[str, Counts] = {}
        for name, column in (("same_as", "asn"), ("same_address", "address"), ("same_issuer", "issuer"), ("same_dns", "dns_provider")):  # fmt: skip
            value = next((v for b in baselines if (v := getattr(b, column)) not in (None, "")), None)
            if value is not None:
                found[name] = self._kept((name, value), lambda c=column, v=value: self._by_baseline(c, v))
        target = target_of(m.kind, m.config)
        if target is not None:
            host = str(target["host"])
            found["same_host"] = self._kept(("same_host", host), lambda: self._of(Monitor.objects.filter(pk__in=self._at_host(host))))  # fmt: skip
        if m.site_id is not None:
            found["same_site"] = self._kept(("same_site", m.site_id), lambda: self._of(Monitor.objects.filter(site=m.site_id)))  # fmt: skip
        if probe is not None:
            found["same_probe"] = self._kept(("same_probe", probe), lambda: self._by_probe(probe))
        return {
            name: {"watched": max(0, watched - 1), "failing": max(0, failing - fails)}
            for name, (watched, failing) in found.items()
        }

    def _kept(self, key: Hashable, ask: Callable[[], Counts]) -> Counts:
        now = time.monotonic()
        known = self.kept.get(key)
        if known is not None and now - known[0] < GOOD_FOR:
            return known[1]
        if len(self.kept) > MOST_KEPT:
            self.kept.clear()
        answer = ask()
        self.kept[key] = (now, answer)
        return answer

    def _of(self, rows: QuerySet[Monitor]) -> Counts:
        n = rows.filter(enabled=True).annotate(fails=failing_views(), lately=seen_lately()).aggregate(
            watched=Count("pk", filter=Q(fails=True) | Q(lately=True)), failing=Count("pk", filter=Q(fails=True))
        )  # fmt: skip
        return n["watched"], n["failing"]

    def _by_baseline(self, column: str, value: Any) -> Counts:
        return self._of(Monitor.objects.filter(pk__in=Baseline.objects.filter(**{column: value}).values("monitor_id")))

    def _by_probe(self, probe: int) -> Counts:
        mine = ProbeState.objects.filter(probe=probe, active=True, stale=False)
        mine = mine.filter(Q(status=engine.FAILING) | Q(last_at__gte=database_now() - LATELY))
        n = mine.aggregate(watched=Count("pk"), failing=Count("pk", filter=Q(status=engine.FAILING)))
        return n["watched"], n["failing"]

    def _at_host(self, host: str) -> list[int]:
        """The monitors of one host. Hosts stand inside the settings of each kind: all are read, once a minute."""
        if time.monotonic() - self.hosts_at >= HOSTS_GOOD_FOR:
            hosts: dict[str, list[int]] = defaultdict(list)
            for pk, kind, config in Monitor.objects.filter(enabled=True).values_list("pk", "kind", "config").iterator():
                found = target_of(kind, config)
                if found is not None:
                    hosts[str(found["host"])].append(pk)
            self.hosts, self.hosts_at = dict(hosts), time.monotonic()
        return self.hosts.get(host, [])

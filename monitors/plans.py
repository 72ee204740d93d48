"""What does checking this monitor mean? Its settings, opened and parsed once per change, kept in the prober's memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from django.conf import settings

from monitors import checks, engine
from monitors.models import Monitor
from monitors.running import Plan as Plan
from portal.outbound.guard import Reach

MOST = 50_000


def limits_of(m: Monitor) -> engine.Limits:
    """A monitor's thresholds for the engine."""
    passive = m.kind in checks.KINDS and checks.KINDS[m.kind].passive
    return engine.Limits(
        interval=m.interval_seconds, timeout=m.timeout_seconds, confirmation_count=m.confirmation_count, confirmation_seconds=m.confirmation_seconds,
        recovery_count=m.recovery_count, recovery_seconds=m.recovery_seconds, quorum=m.quorum, distinct_networks=m.distinct_networks, one_shot=passive,
    )  # fmt: skip


def reach_of(m: Monitor) -> Reach:
    """Staff may watch private addresses, a client's people may not; OUTBOUND_ALLOW opens more."""
    return Reach(allow=settings.OUTBOUND_ALLOW, private=m.trusted)


def plan_of(m: Monitor) -> Plan:
    """The plan; a monitor whose stored settings no longer fit its kind gets one that says so."""
    fault, config = "", None
    kind = checks.KINDS.get(m.kind)
    try:
        if kind is None:
            raise ValueError(f"the kind {m.kind} is not known")
        config = kind.parse({**m.config, **m.secrets.open()})
    except Exception as error:
        fault = f"Its settings cannot be used ({type(error).__name__}); open it and save it anew."
    return Plan(
        monitor=m.pk, name=m.kind, kind=kind or checks.Check, config=config, limits=limits_of(m), reach=reach_of(m), degraded_latency_ms=m.degraded_latency_ms,
        degraded_loss_percent=m.degraded_loss_percent, upside_down=bool(getattr(config, "upside_down", False)), fault=fault,
    )  # fmt: skip


class Plans:
    """Plans by monitor and version; the least recently used go first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[int, Plan]] = OrderedDict()

    def get(self, wanted: Iterable[tuple[int, int]]) -> dict[int, Plan]:
        """The plans of (monitor, config_version) pairs; what is missing or older is read from the database."""
        found, missing = {}, set()
        for monitor, version in wanted:
            kept = self._kept.get(monitor)
            if kept is not None and kept[0] == version:
                found[monitor] = kept[1]
                self._kept.move_to_end(monitor)
            else:
                missing.add(monitor)
        if missing:
            for m in Monitor.objects.filter(pk__in=missing):
                plan = plan_of(m)
                found[m.pk] = plan
                self._kept[m.pk] = (m.config_version, plan)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return found

"""What do these tests watch? Monitors made through the door, and results written as if they had been checked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from monitors import services
from monitors.models import Monitor, Probe, Result
from portal.clock import database_now
from portal.models import Client
from tests import cast

UP, DEGRADED, FAILING, UNKNOWN = 1, 2, 3, 0


def probe(slug: str = "local", **more: Any) -> Probe:
    """The probe of this slug; all but `local` are made when asked for first."""
    return Probe.objects.get_or_create(slug=slug, defaults={"name": slug.title(), "built_in": slug == "local", **more})[
        0
    ]


def monitor(
    of: Client | None = None,
    name: str = "shop",
    kind: str = "http",
    probes: Sequence[Probe] | None = None,
    tags: Sequence[str] = (),
    **fields: Any,
) -> Monitor:
    """A new monitor, trusted as if staff had made it."""
    config = fields.pop(
        "config",
        {
            "http": {"url": "http://127.0.0.1:9/"},
            "heartbeat": {"period_seconds": 60, "grace_seconds": 30},
            "push": {},
        }.get(kind, {}),
    )
    row = Monitor(client=of or cast.acme(), name=name, kind=kind, config=config, **fields)
    return services.save(row, by=cast.TESTS, at=database_now(), tags=tags, probes=probes or [probe()], trusted=True)


def result(
    m: Monitor, at: datetime, status: int = UP, ms: float | None = 20.0, by: Probe | None = None, **more: Any
) -> Result:
    """A result, not yet saved."""
    return Result(monitor_id=m.pk, ts=at, probe_id=(by or probe()).pk, status=status, total_ms=ms, **more)

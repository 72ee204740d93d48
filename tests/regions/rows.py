"""What does the portal in the rig watch? Run inside its environment: makes the rows, prints a token for each region.

python -m tests.regions.rows '{"regions": 6, "monitors": 1000, …}'
"""

from __future__ import annotations

import json
import sys
from typing import Any


def make(order: dict[str, Any]) -> dict[str, Any]:
    """Client, probes, monitors with their views, a channel that hears everything; tokens and ids."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from alerts import services as alerting
    from alerts.models import Channel
    from monitors import engine, partitions, remote
    from monitors.models import Monitor, Probe, ProbeState
    from portal.audit import PORTAL
    from portal.clock import database_now
    from portal.models import Client

    at = database_now()
    partitions.ensure_ahead(at)
    client = Client.objects.create(name="Acme", slug="acme")
    channel = Channel.objects.create(name="ops", type="webhook", config={"url": order["post"]})
    alerting.save_trigger(None, by=PORTAL, name="All", channels=[channel])
    anchors = order["anchors"]
    local = Probe.objects.get(slug="local")
    Probe.objects.filter(pk=local.pk).update(anchors=order.get("portal_anchors", anchors))
    regions = [Probe.objects.create(name=f"Region {n}", slug=f"region-{n}", anchors=anchors) for n in range(1, order["regions"] + 1)]  # fmt: skip

    def watch(names: list[str], urls: list[str], probes: list[Probe], quorum: int) -> list[int]:
        rows = Monitor.objects.bulk_create(
            [
                Monitor(
                    client=client, name=name, kind="http", config={"url": url}, interval_seconds=order["interval"], timeout_seconds=order["timeout"], quorum=quorum,
                    trusted=True, state_since=at, diagnose=False,
                )
                for name, url in zip(names, urls, strict=True)
            ],
            batch_size=500,
        )  # fmt: skip
        ProbeState.objects.bulk_create(
            [
                ProbeState(monitor=m, probe=p, next_due_at=engine.first_slot(m.pk, p.pk, order["interval"], at))
                for m in rows
                for p in probes
            ],
            batch_size=500,
        )
        return [m.pk for m in rows]

    count, built_in = order["monitors"], order.get("built_in", [])
    numbers = range(1, count + 1)
    ids = watch([f"shop {n}" for n in numbers], [f"{order['site']}/m/{n}" for n in numbers], regions, order["quorum"])
    ours = watch([f"own {n}" for n, _ in enumerate(built_in)], built_in, [local], 1) if built_in else []
    tokens = [remote.new_token(p, by=PORTAL, at=database_now()) for p in regions]
    return {"tokens": tokens, "monitors": ids, "built_in": ours, "regions": [p.pk for p in regions], "local": local.pk}


if __name__ == "__main__":
    print(json.dumps(make(json.loads(sys.argv[1]))))

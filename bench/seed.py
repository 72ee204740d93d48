"""Rows in bulk for measurements: `python -m bench.seed` inside our environment (DATABASE_URL …)."""

from __future__ import annotations

import argparse
import json


def main() -> None:
    """Make a client with many monitors, their schedule spread over the interval, and a webhook that hears of all."""
    import django

    django.setup()
    from django.core.management import call_command

    from alerts.models import Channel, Trigger
    from monitors import engine, partitions
    from monitors.models import Monitor, Probe, ProbeState
    from portal.clock import database_now
    from portal.models import Client

    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--interval", type=float, default=5)
    parser.add_argument("--timeout", type=float, default=4)
    parser.add_argument("--config", required=True)
    parser.add_argument("--name", default="m")
    parser.add_argument("--webhook", default="")
    parser.add_argument("--window", type=int, default=0)
    given = parser.parse_args()
    call_command("migrate", verbosity=0)
    at = database_now()
    partitions.ensure_ahead(at)
    client, _ = Client.objects.get_or_create(name="Bench", defaults={"slug": "bench"})
    probe = Probe.objects.get(slug="local")
    config = json.loads(given.config)
    rows = Monitor.objects.bulk_create(
        [
            Monitor(
                client=client,
                name=f"{given.name} {n}",
                kind="http",
                config=config,
                interval_seconds=int(given.interval),
                timeout_seconds=given.timeout,
                trusted=True,
                state_since=at,
            )
            for n in range(given.count)
        ],
        batch_size=2000,
    )
    ProbeState.objects.bulk_create(
        [
            ProbeState(monitor=m, probe=probe, next_due_at=engine.first_slot(m.pk, probe.pk, given.interval, at))
            for m in rows
        ],
        batch_size=2000,
    )
    if given.webhook:
        channel = Channel.objects.create(
            name="bench", type="webhook", config={"url": given.webhook}, group_window_seconds=given.window
        )
        Trigger.objects.create(name="bench").channels.add(channel)
    print(len(rows))


if __name__ == "__main__":
    main()

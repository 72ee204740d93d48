"""How fast do messages go out, and how fast is it decided who gets one? (SPEC DLV-4, RTE-2)"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime

import psycopg

from bench import stage
from tests.rig.postgres import Postgres
from tests.rig.valkey import Valkey

_SEED = """
import django, sys; django.setup()
from datetime import timedelta
from django.core.management import call_command
call_command("migrate", verbosity=0)
from alerts.models import Channel, Delivery, Notice
from alerts.snapshot import moment
from portal.clock import database_now
from portal.models import Client
url, channels, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
at = database_now() + timedelta(seconds=float(sys.argv[4]))
clients = [Client.objects.create(name=f"Client {n}") for n in range(channels // 5)]
rows = [Channel.objects.create(name=f"c{n}", type="webhook", client=clients[n % len(clients)], config={"url": f"{url}/{n}"}) for n in range(channels)]
snap = {"kind": "opened", "event": "down", "type": "monitor.down", "severity": "critical", "title": "shop is down", "cause": "connection refused", "at": moment(at)}
notices = Notice.objects.bulk_create([Notice(client=rows[n % channels].client, kind="opened", event="down", type="monitor.down", severity="critical", snapshot=snap, created_at=at) for n in range(count)], batch_size=2000)
Delivery.objects.bulk_create([Delivery(notice=x, kind="opened", destination_key=rows[n % channels].destination_key, channel=rows[n % channels], client=rows[n % channels].client,
    priority=2, next_attempt_at=at, created_at=at) for n, x in enumerate(notices)], batch_size=2000)
"""


_NEIGHBOURS = """
import django, sys; django.setup()
from datetime import timedelta
from django.core.management import call_command
call_command("migrate", verbosity=0)
from alerts.models import Channel, Delivery, Notice
from alerts.snapshot import moment
from portal.clock import database_now
from portal.models import Client
hanging, well, ahead = sys.argv[1], sys.argv[2], float(sys.argv[3])
at = database_now() + timedelta(seconds=ahead)
bad, good = Client.objects.create(name="Slow"), Client.objects.create(name="Quick")
snap = {"kind": "opened", "event": "down", "type": "monitor.down", "severity": "critical", "title": "shop is down", "cause": "connection refused", "at": moment(at)}
def owe(client, url, count, after):
    for n in range(count):
        c = Channel.objects.create(name=f"{client.name} {n}", type="webhook", client=client, config={"url": f"{url}/{n}"})
        x = Notice.objects.create(client=client, kind="opened", event="down", type="monitor.down", severity="critical", snapshot=snap, created_at=at)
        when = at + timedelta(seconds=after * n)
        Delivery.objects.create(notice=x, kind="opened", destination_key=c.destination_key, channel=c, client=client, priority=2, next_attempt_at=when, created_at=when)
owe(bad, hanging, 100, 0)
owe(good, well, 50, 0.1)
"""


class Vendor:
    """A vendor that takes 20 ms for each message."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.seconds, self.taken = seconds, 0
        self.loop = asyncio.new_event_loop()
        self.port = 0
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        ready.wait(5)

    def _run(self, ready: threading.Event) -> None:
        async def begin() -> None:
            server = await asyncio.start_server(self._converse, "127.0.0.1", 0, backlog=2048)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()

        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(begin())
        self.loop.run_forever()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            await reader.readexactly(length)
            await asyncio.sleep(self.seconds)
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            await writer.drain()
            self.taken += 1
        finally:
            writer.close()


def run(count: int = 10_000, channels: int = 50, senders: int = 1) -> dict[str, object]:
    """`count` due deliveries over `channels` channels of ten clients, a vendor that needs 20 ms; `senders` processes."""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        pg, vk = stack.enter_context(Postgres(durable=True)), stack.enter_context(Valkey())
        (directory / "trusted.pem").write_bytes(b"")
        vendor = Vendor()
        env = stage.ours(pg.create_database("bench"), vk.url(), directory) | {"SSL_CERT_FILE": ""}
        ahead = 25.0
        seed = [sys.executable, "-c", _SEED, f"http://127.0.0.1:{vendor.port}", str(channels), str(count), str(ahead)]
        began = time.monotonic()
        subprocess.run(seed, env=env, cwd=stage.ROOT, check=True)
        log = directory / "log"
        workers = [stack.enter_context(stage.process("up", "--only", "page", env=env, log=log)) for _ in range(senders)]
        with psycopg.connect(env["DATABASE_URL"], autocommit=True) as db:
            (due,) = db.execute(
                "SELECT extract(epoch FROM min(next_attempt_at) - now()) FROM alerts_delivery"
            ).fetchone() or (0,)
            time.sleep(max(0.0, float(due)))
            late, started = time.monotonic() - began > ahead + 20, time.monotonic()
            before = stage.cpu_seconds([p for w in workers for p in stage.family(w)])
            while time.monotonic() - started < 120:
                (left,) = db.execute(
                    "SELECT count(*) FROM alerts_delivery WHERE state IN ('pending', 'sending')"
                ).fetchone() or (0,)
                if not left:
                    break
                time.sleep(0.1)
            lasted = time.monotonic() - started
            spent = stage.cpu_seconds([p for w in workers for p in stage.family(w)]) - before
            states = dict(db.execute("SELECT state, count(*) FROM alerts_delivery GROUP BY 1").fetchall())
        return {
            "deliveries": count, "channels": channels, "senders": senders, "per_s": round(count / lasted), "all_out_s": round(lasted, 1), "cpu_ms": round(spent / count * 1000, 2),
            "taken": vendor.taken, **states, "log": log.read_text()[-600:] + (" late start" if late else ""),
        }  # fmt: skip


def neighbour() -> dict[str, object]:
    """A hundred webhooks of one client that never answer, all due at once; how late are another client's messages meanwhile?"""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        pg, vk = stack.enter_context(Postgres(durable=True)), stack.enter_context(Valkey())
        hanging, well = Vendor(3600), Vendor()
        env = stage.ours(pg.create_database("bench"), vk.url(), directory) | {"SSL_CERT_FILE": ""}
        urls = [f"http://127.0.0.1:{v.port}" for v in (hanging, well)]
        subprocess.run([sys.executable, "-c", _NEIGHBOURS, *urls, "12"], env=env, cwd=stage.ROOT, check=True)
        stack.enter_context(stage.process("up", "--only", "page", env=env, log=directory / "log"))
        with psycopg.connect(env["DATABASE_URL"], autocommit=True) as db:
            time.sleep(22)
            late = [
                float(r[0])
                for r in db.execute(
                    "SELECT extract(epoch FROM t.at - make_interval(secs => t.duration_ms / 1000) - d.created_at) FROM alerts_attempt t JOIN alerts_delivery d ON d.id = t.delivery_id"
                    " JOIN portal_client c ON c.id = d.client_id WHERE c.name = 'Quick' AND d.state = 'delivered'"
                )
            ]
            (stuck,) = db.execute("SELECT count(*) FROM alerts_delivery WHERE state <> 'delivered'").fetchone() or (0,)
        late.sort()
        if not late:
            return {"note": "nothing was delivered", "log": (directory / "log").read_text()[-1500:]}
        return {
            "hanging": stuck,
            "others": len(late),
            "late_p50_s": round(late[len(late) // 2], 3),
            "late_worst_s": round(late[-1], 3),
        }


def routing(triggers: int = 500, silences: int = 200, rounds: int = 200) -> dict[str, object]:
    """Milliseconds of one alert's hold-back and routing decision among many triggers and silences (pure part)."""
    from alerts import engine

    rules = [
        engine.Rule(
            id=n, name=f"t{n}", client=None if n % 3 else n % 40, severities=frozenset(["critical"] if n % 2 else []), sources=frozenset(["endpoint"] if n % 5 else []),
            scopes=frozenset([f"site:{n % 90}"] if n % 4 == 0 else []), tags=frozenset([f"tag{n % 20}"] if n % 7 else []), channels=(n % 60, (n + 1) % 60),
            ways=(engine.Way(100 + n % 50, n % 50, "all", n % 10),),
        )
        for n in range(triggers)
    ]  # fmt: skip
    quiet = tuple(
        engine.Matcher(id=n, source="endpoint", entity_id=f"host-{n}", tag=f"tag{n}") for n in range(silences)
    )
    about = engine.Facts(
        source="endpoint", event="consecutive_failure", severity="critical", entity_type="monitor", entity_id="7", entity_name="shop", client=3, client_slug="acme", site=4, service=5,
        tags=frozenset(["tag3", "prod"]), silences=quiet,
    )  # fmt: skip
    usable = dict.fromkeys(range(200), "")
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        engine.hold(about)
        plan = engine.route(about, rules, at, usable=usable, owners={})
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return {
        "triggers": triggers,
        "silences": silences,
        "told": len(plan.told),
        "p50_ms": round(took[len(took) // 2], 2),
        "p99_ms": round(took[int(len(took) * 0.99)], 2),
    }


if __name__ == "__main__":
    print(json.dumps(routing()))
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)))

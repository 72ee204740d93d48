"""Does an outage slow the healthy? Good targets beside thousands that accept and never answer, and names that do not exist."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from contextlib import ExitStack

import psycopg

from bench import stage
from bench.pipeline import seed
from tests.rig.postgres import Postgres
from tests.rig.valkey import Valkey


class Silence:
    """A port that accepts and says nothing."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        self.ready.wait(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)

        async def start() -> None:
            async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.read()
                writer.close()

            server = await asyncio.start_server(hold, "127.0.0.1", 0, backlog=4096)
            self.port = server.sockets[0].getsockname()[1]
            self.ready.set()

        self.loop.run_until_complete(start())
        self.loop.run_forever()


def run(good: int, silent: int, dead_names: int, interval: float, seconds: float) -> dict[str, object]:
    """Rates and latency of the good ones, with and without the bad, in one run."""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        pg, vk = stack.enter_context(Postgres(durable=True)), stack.enter_context(Valkey())
        http, _, _ = stack.enter_context(stage.nginx(directory))
        quiet = Silence()
        env = stage.ours(pg.create_database("bench"), vk.url(), directory)
        seed(
            env,
            "--count",
            str(good),
            "--interval",
            str(interval),
            "--name",
            "good",
            "--config",
            json.dumps({"url": f"http://127.0.0.1:{http}/"}),
        )
        for name in ("probe", "page"):
            stack.enter_context(stage.process("up", "--only", name, env=env, log=directory / "log"))
        with psycopg.connect(env["DATABASE_URL"], autocommit=True) as db:
            until = time.monotonic() + 120
            while (
                db.execute("SELECT count(*) FROM monitors_monitor WHERE state <> 'up'").fetchone()[0]
                and time.monotonic() < until
            ):
                time.sleep(0.5)
            time.sleep(interval)
            calm = _measure(db, seconds)
            if silent:
                seed(
                    env,
                    "--count",
                    str(silent),
                    "--interval",
                    "20",
                    "--timeout",
                    "10",
                    "--name",
                    "silent",
                    "--config",
                    json.dumps({"url": f"http://127.0.0.1:{quiet.port}/"}),
                )
            if dead_names:
                seed(
                    env,
                    "--count",
                    str(dead_names),
                    "--interval",
                    "20",
                    "--timeout",
                    "5",
                    "--name",
                    "dead",
                    "--config",
                    json.dumps({"url": "http://no-such-name.invalid/"}),
                )
            for _ in range(5):
                time.sleep(5)
                print(
                    "waiting",
                    db.execute(
                        "SELECT count(*) FILTER (WHERE lease_token IS NOT NULL), count(*) FILTER (WHERE next_due_at < now() AND lease_token IS NULL), max(now() - next_due_at) FROM monitors_probestate"
                    ).fetchone(),
                    file=sys.stderr,
                )
            storm = _measure(db, seconds)
            wrong = db.execute(
                "SELECT count(*) FROM monitors_result r JOIN monitors_monitor m ON m.id = r.monitor_id WHERE m.name LIKE 'good%' AND r.status <> 1"
            ).fetchone()[0]
        return {
            "good": good,
            "silent": silent,
            "dead_names": dead_names,
            "calm": calm,
            "outage": storm,
            "good_reported_not_up": wrong,
            "log": (directory / "log").read_text()[-3000:],
        }


def _measure(db: psycopg.Connection, seconds: float) -> dict[str, float]:
    began = db.execute("SELECT clock_timestamp()").fetchone()[0]
    time.sleep(seconds)
    row = db.execute(
        "SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY r.total_ms), percentile_cont(0.95) WITHIN GROUP (ORDER BY r.total_ms) FROM monitors_result r "
        "JOIN monitors_monitor m ON m.id = r.monitor_id WHERE m.name LIKE 'good%%' AND r.ts > %s",
        [began],
    ).fetchone()
    return {"per_s": round(row[0] / seconds, 1), "p50_ms": round(row[1] or 0, 2), "p95_ms": round(row[2] or 0, 2)}

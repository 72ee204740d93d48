"""SPD-1: claim → probe → store → evaluate, against a local nginx on the same two cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg

from bench import stage
from tests.rig.postgres import Postgres
from tests.rig.valkey import Valkey


def seed(env: dict[str, str], *arguments: str) -> None:
    """Rows through `bench.seed`."""
    subprocess.run(
        [sys.executable, "-m", "bench.seed", *arguments], env=env, cwd=stage.ROOT, check=True, stdout=subprocess.DEVNULL
    )


def postgres_family(pg: Postgres) -> list[psutil.Process]:
    """The server and its back ends."""
    for c in psutil.net_connections("tcp"):
        if c.laddr and c.laddr.port == pg.port and c.status == "LISTEN" and c.pid:
            return stage.family(psutil.Process(c.pid))
    return []


def run(scheme: str, monitors: int, interval: float, seconds: float, warm: float = 5) -> dict[str, object]:
    """One measurement on PostgreSQL and Redis; returns rates, CPU per stored check and lateness."""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        pg, vk = stack.enter_context(Postgres(durable=True)), stack.enter_context(Valkey())
        http, https, _ = stack.enter_context(stage.nginx(directory))
        env = stage.ours(pg.create_database("bench"), vk.url(), directory)
        url = f"http://127.0.0.1:{http}/" if scheme == "http" else f"https://127.0.0.1:{https}/"
        config = {"url": url}
        seed(env, "--count", str(monitors), "--interval", str(interval), "--config", json.dumps(config))
        log = directory / "log"
        workers = [
            stack.enter_context(stage.process("up", "--only", name, env=env, log=log)) for name in ("probe", "page")
        ]
        print("processes:", *(w.pid for w in workers), file=sys.stderr, flush=True)
        with psycopg.connect(env["DATABASE_URL"], autocommit=True) as db:
            until = time.monotonic() + 60
            while not _count(db) and time.monotonic() < until:
                time.sleep(0.5)
            born = time.monotonic()
            while (
                db.execute("SELECT count(*) FROM monitors_monitor WHERE state = 'pending'").fetchone()[0]
                and time.monotonic() - born < 120
            ):
                time.sleep(0.5)
            born = time.monotonic() - born
            print("all known after", born, log.read_text()[-1500:], file=sys.stderr, flush=True)
            time.sleep(warm)
            parts = {
                "probe": stage.family(workers[0]),
                "page": stage.family(workers[1]),
                "postgres": postgres_family(pg),
            }
            before, cpu = _count(db), {name: stage.cpu_seconds(ps) for name, ps in parts.items()}
            began, lag = time.monotonic(), 0.0
            while time.monotonic() - began < seconds:
                time.sleep(1)
                lag = max(lag, _lag(db))
            lasted = time.monotonic() - began
            stored = _count(db) - before
            split = {name: stage.cpu_seconds(ps) - cpu[name] for name, ps in parts.items()}
            spent = sum(split.values())
            bad = db.execute("SELECT count(*) FROM monitors_result WHERE status <> 1").fetchone()[0]
            latency = db.execute(
                "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total_ms), percentile_cont(0.99) WITHIN GROUP (ORDER BY total_ms) FROM (SELECT total_ms FROM monitors_result ORDER BY ts DESC LIMIT 50000) t"
            ).fetchone()
        text = log.read_text() if log.exists() else ""
        return {
            "scheme": scheme, "monitors": monitors, "due_per_s": round(monitors / interval), "stored_per_s": round(stored / lasted), "cpu_ms": round(spent / max(1, stored) * 1000, 3),
            "cpu_ms_by": {name: round(s / max(1, stored) * 1000, 3) for name, s in split.items()}, "worst_lag_s": round(lag, 2), "all_known_s": round(born, 1), "not_up": bad, "p50_ms": round(latency[0] or 0, 2), "p99_ms": round(latency[1] or 0, 2), "log": text[-2000:],
        }  # fmt: skip


def _count(db: psycopg.Connection) -> int:
    # The fence counts each accepted result once; counting millions of raw rows would be part of the load.
    return int(db.execute("SELECT COALESCE(sum(last_seq), 0) FROM monitors_probestate").fetchone()[0])


def _lag(db: psycopg.Connection) -> float:
    return float(
        db.execute(
            "SELECT COALESCE(max(extract(epoch FROM now() - next_due_at)), 0) FROM monitors_probestate WHERE lease_token IS NULL AND active"
        ).fetchone()[0]
    )


if __name__ == "__main__":
    scheme = sys.argv[1] if len(sys.argv) > 1 else "http"
    count, interval = int(os.environ.get("MONITORS", "20000")), float(os.environ.get("INTERVAL", "5"))
    print(json.dumps(run(scheme, count, interval, float(os.environ.get("SECONDS_", "20"))), indent=1))
    _ = Path

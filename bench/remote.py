"""Remote probes (PRB-1): results a second that the portal takes in, and checks a second that one probe process makes.

`python -m bench.remote` inside our environment (DATABASE_URL …) makes probes with monitors and prints their tokens.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from bench import stage
from bench.pipeline import postgres_family
from monitors.probe.clock import Clock
from monitors.probe.link import Link, enroll
from tests.rig.postgres import Postgres
from tests.rig.valkey import Valkey

BATCH = 2000


def main() -> None:
    """Make rows; one token a line."""
    import django

    django.setup()
    from django.core.management import call_command

    from monitors import engine, partitions, remote
    from monitors.models import Monitor, Probe, ProbeState
    from portal.audit import PORTAL
    from portal.clock import database_now
    from portal.models import Client

    parser = argparse.ArgumentParser()
    parser.add_argument("--probes", type=int, default=1)
    parser.add_argument("--monitors", type=int, required=True)
    parser.add_argument("--interval", type=int, default=5)
    parser.add_argument("--url", default="http://127.0.0.1:9/")
    given = parser.parse_args()
    call_command("migrate", verbosity=0)
    at = database_now()
    partitions.ensure_ahead(at)
    client, _ = Client.objects.get_or_create(name="Bench", defaults={"slug": "bench"})
    for n in range(given.probes):
        probe = Probe.objects.create(name=f"bench {n}", slug=f"bench-{n}")
        rows = Monitor.objects.bulk_create(
            [
                Monitor(
                    client=client, name=f"m {n} {i}", kind="http", config={"url": given.url}, interval_seconds=given.interval, timeout_seconds=4, trusted=True,
                    state_since=at,
                )
                for i in range(given.monitors)
            ],
            batch_size=2000,
        )  # fmt: skip
        ProbeState.objects.bulk_create(
            [
                ProbeState(monitor=m, probe=probe, next_due_at=engine.first_slot(m.pk, probe.pk, given.interval, at))
                for m in rows
            ],
            batch_size=2000,
        )
        print(remote.new_token(probe, by=PORTAL, at=database_now()))


@contextmanager
def portal(stack: ExitStack, directory: Path, *arguments: str) -> Iterator[tuple[str, list[str], dict[str, str], Postgres, psutil.Process]]:  # fmt: skip
    """(address, tokens, environment, database, web process) of a web process on PostgreSQL with rows made."""
    pg, vk = stack.enter_context(Postgres(durable=True)), stack.enter_context(Valkey())
    env = stage.ours(pg.create_database("bench"), vk.url(), directory)
    made = subprocess.run([sys.executable, "-m", "bench.remote", *arguments], env=env, cwd=stage.ROOT, check=True, capture_output=True, text=True)  # fmt: skip
    port = stage.free_port()
    web = stack.enter_context(stage.process("up", "--only", "web", "--port", str(port), env=env, log=directory / "log"))
    url, until = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=2):
            break
        time.sleep(0.3)
    yield url, made.stdout.split(), env, pg, web


def ingest(seconds: float = 12, probes: int = 4, monitors: int = 1000) -> dict[str, object]:
    """Signed, zipped batches of 2,000 young results from several probes at once, as fast as they are taken."""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        url, tokens, env, pg, web = stack.enter_context(
            portal(stack, directory, "--probes", str(probes), "--monitors", str(monitors))
        )
        links = []
        for token in tokens:
            clock = Clock()
            link = Link(enroll(url, token, "bench", clock), clock, "b" * 32)
            link.ask("POST", "hello", {"version": "1"})
            ids = [order["id"] for order in link.ask("GET", "work").body["monitors"]]
            links.append((link, clock, ids))
        taken = [0] * probes
        until = time.monotonic() + seconds

        def post(n: int) -> None:
            link, clock, ids = links[n]
            seq = 0
            while time.monotonic() < until:
                now, rows = clock.now(), []
                for i in range(BATCH):
                    seq += 1
                    at = round((now - 1.5 + (i // len(ids)) * 0.5) * 1e6) + i
                    rows.append(
                        [seq, ids[i % len(ids)], at, 1, None, 1.5, None, 3.25, 12.5, None, 200, "", "", 1, None]
                    )
                body = json.dumps({"results": rows, "health": {"spool": 0}}, separators=(",", ":")).encode()
                link.ask("POST", "results", body, packed=True)
                taken[n] += BATCH

        parts = {"web": stage.family(web), "postgres": postgres_family(pg)}
        before, began = {k: stage.cpu_seconds(v) for k, v in parts.items()}, time.monotonic()
        threads = [threading.Thread(target=post, args=(n,)) for n in range(probes)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        lasted = time.monotonic() - began
        spent = {k: stage.cpu_seconds(v) - before[k] for k, v in parts.items()}
        with psycopg.connect(env["DATABASE_URL"]) as db:
            stored = db.execute("SELECT count(*) FROM monitors_result").fetchone()[0]
        return {
            "probes": probes, "taken_per_s": round(sum(taken) / lasted), "stored": stored, "sent": sum(taken), "cpu_ms": round(sum(spent.values()) / max(1, stored) * 1000, 3),
            "cpu_ms_by": {k: round(s / max(1, stored) * 1000, 3) for k, s in spent.items()},
        }  # fmt: skip


def probe(monitors: int, interval: int, seconds: float, warm: float = 12) -> dict[str, object]:
    """One probe process against a local nginx, its results delivered to a real portal on the same two cores."""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        http, _, _ = stack.enter_context(stage.nginx(directory))
        url, (token,), env, _, web = stack.enter_context(
            portal(stack, directory, "--monitors", str(monitors), "--interval", str(interval), "--url", f"http://127.0.0.1:{http}/")
        )  # fmt: skip
        words = [sys.executable, "-m", "monitors.probe.main", "--data-dir", str(directory / "probe")]
        subprocess.run([*words, "enroll", url, token], env=env, cwd=stage.ROOT, check=True, capture_output=True)
        with (directory / "probe.log").open("ab") as log:
            running = subprocess.Popen([*words, "run"], env=env, cwd=stage.ROOT, stdout=log, stderr=log)
        stack.callback(_end, running)
        one = psutil.Process(running.pid)
        time.sleep(warm)
        before, cpu, web_cpu, began = _requests(http), stage.cpu_seconds([one]), stage.cpu_seconds(stage.family(web)), time.monotonic()  # fmt: skip
        time.sleep(seconds)
        made, lasted = _requests(http) - before, time.monotonic() - began
        spent, web_spent = stage.cpu_seconds([one]) - cpu, stage.cpu_seconds(stage.family(web)) - web_cpu
        said = json.loads((directory / "probe" / "status.json").read_text())
        with psycopg.connect(env["DATABASE_URL"]) as db:
            bad = db.execute("SELECT count(*) FROM monitors_result WHERE status <> 1").fetchone()[0]
            p50 = db.execute("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total_ms) FROM monitors_result").fetchone()[0]  # fmt: skip
        return {
            "monitors": monitors, "due_per_s": round(monitors / interval), "checks_per_s": round(made / lasted), "probe_cpu_ms": round(spent / max(1, made) * 1000, 3),
            "per_core_per_s": round(made / max(0.01, spent)), "web_cpu_ms": round(web_spent / max(1, made) * 1000, 3), "rss_mb": round(one.memory_info().rss / 1e6),
            "late_ms": said["late_ms"], "spool": said["spool"], "lost": said["lost"], "not_up": bad, "p50_ms": round(p50 or 0, 2),
            "log": (directory / "probe.log").read_text()[-500:],
        }  # fmt: skip


def run() -> dict[str, object]:
    """The memory at 500 checks a minute, and the rate at 2,500 a second."""
    small = probe(500, 60, 10)
    large = probe(12_500, 5, 15)
    return {"rss_mb_at_500": small["rss_mb"], **large}


def _requests(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=10) as answer:
        return int(answer.read().decode().splitlines()[2].split()[2])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


if __name__ == "__main__":
    main()

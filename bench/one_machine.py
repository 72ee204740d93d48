"""The one-machine mode: how many checks a second on SQLite, and what it costs to stand by (SPD-5)."""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from bench import stage
from bench.pipeline import seed


def _seen(path: Path) -> int:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
        return int(db.execute("SELECT COALESCE(sum(last_seq), 0) FROM monitors_probestate").fetchone()[0])


def run(monitors: int, interval: float, seconds: float, warm: float = 15, ask_every: float = 0.5) -> dict[str, object]:
    """`up` in one process on SQLite: stored checks/s, CPU, memory, and how fast a page answers meanwhile."""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        http, _, _ = stack.enter_context(stage.nginx(directory))
        env = stage.ours("", "", directory)
        seed(
            env,
            "--count",
            str(monitors),
            "--interval",
            str(interval),
            "--config",
            json.dumps({"url": f"http://127.0.0.1:{http}/"}),
        )
        port = stage.free_port()
        portal = stack.enter_context(stage.process("up", "--port", str(port), env=env, log=directory / "log"))
        database = directory / "watchkeeper.sqlite3"
        time.sleep(warm)
        processes = stage.family(portal)
        before, cpu, began = _seen(database), stage.cpu_seconds(processes), time.monotonic()
        pages = []
        while time.monotonic() - began < seconds:
            asked = time.monotonic()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/login/", timeout=10) as answer:
                answer.read()
            pages.append((time.monotonic() - asked) * 1000)
            time.sleep(ask_every)
        lasted, stored, spent = time.monotonic() - began, _seen(database) - before, stage.cpu_seconds(processes) - cpu
        pages.sort()
        return {
            "monitors": monitors, "due_per_s": round(monitors / interval, 1), "stored_per_s": round(stored / lasted, 1), "cpu_percent_of_a_core": round(spent / lasted * 100, 1),
            "cpu_ms": round(spent / max(1, stored) * 1000, 3), "pss_mb": round(stage.pss_megabytes(processes)), "page_p95_ms": round(pages[int(len(pages) * 0.95)], 1),
            "log": (directory / "log").read_text()[-800:],
        }  # fmt: skip


def idle(monitors: int = 100, interval: float = 60, seconds: float = 60) -> dict[str, object]:
    """Standing by: 100 monitors a minute, a page every ten seconds."""
    return run(monitors, interval, seconds, warm=70, ask_every=10)

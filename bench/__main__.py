"""`make bench`: every measurement, one table. FULL=1 for the full counts; names as arguments choose some."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import drain, one_machine, outage, pages, peers, pipeline, readers, remote, stage, status_page, storm

FULL = bool(os.environ.get("FULL"))


def _peers(tls: bool) -> dict[str, Any]:
    with stage.directory() as directory, stage.nginx(directory) as (http, https, _):
        url = f"https://127.0.0.1:{https}/" if tls else f"http://127.0.0.1:{http}/"
        return {
            "blackbox": peers.blackbox(directory, url, 8),
            "check_http": peers.check_http(https if tls else http, tls),
            "icinga2": peers.icinga2(directory, http, https if tls else http, tls, 10),
        }


MEASUREMENTS: dict[str, Callable[[], Any]] = {
    "http": lambda: pipeline.run("http", 25000, 5, 20),
    "http saturated": lambda: pipeline.run("http", 35000, 5, 15),
    "http peers": lambda: _peers(False),
    "https": lambda: pipeline.run("https", 6000, 5, 20),
    "https peers": lambda: _peers(True),
    "one machine": lambda: one_machine.run(10000, 5, 20),
    "outage": lambda: outage.run(2000, 3000, 250, 5, 15),
    "latency": lambda: storm.run(5000, 200, 1.0, 0),
    "storm": lambda: storm.run(1000, 1000, 0.0, 0),
    "storm to a person": lambda: storm.run(500, 1000, 0.0, 60),
    "drain": lambda: drain.run(10_000, 50),
    "slow neighbour": lambda: drain.neighbour(),
    "routing": lambda: drain.routing(),
    "ingest": lambda: remote.ingest(),
    "remote probe": lambda: remote.run(),
    "readers": lambda: readers.run(10_000),
    "status page": lambda: status_page.run(),
    "pages": lambda: pages.run(200, 10_000, 20_000_000 if FULL else 2_000_000),
    "idle": lambda: one_machine.idle(seconds=60 if FULL else 30),
}


def main() -> int:
    """Run what was named (or all), print as it comes and a table at the end."""
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")] or list(MEASUREMENTS)
    unknown = [w for w in wanted if w not in MEASUREMENTS]
    if unknown:
        print(f"There is no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}.")
        return 2
    results: dict[str, Any] = {}
    for name in wanted:
        print(f"… {name} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
        try:
            results[name] = MEASUREMENTS[name]()
        except FileNotFoundError as missing:
            results[name] = {"note": str(missing)}
        print(json.dumps({name: results[name]}, default=str), flush=True)
        time.sleep(1)
    print("\n| measurement | figures |\n|---|---|")
    for name, result in results.items():
        print(f"| {name} | {_figures(result)} |")
    for scheme in ("http", "https"):
        ours, theirs = results.get(scheme), results.get(f"{scheme} peers")
        if ours and theirs and "cpu_ms" in theirs["blackbox"] and "cpu_ms" in theirs["check_http"]:
            print(
                f"\n{scheme}: CPU per stored check / blackbox_exporter's unstored probe = {ours['cpu_ms'] / theirs['blackbox']['cpu_ms']:.2f}; "
                f"/ check_http's run = {ours['cpu_ms'] / theirs['check_http']['cpu_ms']:.2f}; rate / check_http's = {ours['stored_per_s'] / theirs['check_http']['per_s']:.1f}"
                + (
                    f"; rate / icinga2's = {ours['stored_per_s'] / max(1, theirs['icinga2']['per_s']):.1f}"
                    if "per_s" in theirs["icinga2"]
                    else ""
                )
            )
    return 0


def _figures(result: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in result.items() if k not in ("log", "scheme") and v != "")


if __name__ == "__main__":
    sys.exit(main())

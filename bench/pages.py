"""SPD-4: how fast is every page and every list of the API for two hundred clients, 10,000 monitors and millions of results?"""

from __future__ import annotations

import http.cookiejar
import json
import math
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg

from bench import stage
from tests.rig.postgres import Postgres
from tests.rig.valkey import Valkey

PASSWORD = "correct horse battery 9"
CHROMIUM = Path("/usr/bin/chromium")
FILL = """
INSERT INTO monitors_result (monitor_id, ts, probe_id, status, dns_ms, connect_ms, tls_ms, first_byte_ms, total_ms, error_class, message)
SELECT m.id, %(day)s::timestamptz + s.n * make_interval(secs => 86400.0 / %(per_day)s), p.id, CASE WHEN (m.id + s.n) %% 500 = 0 THEN 3 ELSE 1 END, 1, 2, NULL, 20, 20 + (s.n * 7919 + m.id) %% 180, '', ''
FROM monitors_monitor m CROSS JOIN monitors_probe p CROSS JOIN generate_series(0, %(per_day)s - 1) AS s(n) WHERE p.slug = 'local'
"""
ROLL = """
INSERT INTO monitors_rollup (monitor_id, probe_id, period, start, up, degraded, failing, unknown, latency_sum_ms, latency)
SELECT m.id, p.id, %(period)s, %(start)s::timestamptz + s.n * make_interval(secs => %(step)s), 59, 0, 1, 0, 6000,
 '[0,0,0,0,0,0,0,5,5,5,5,10,5,5,5,5,4,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]'::jsonb
FROM monitors_monitor m CROSS JOIN monitors_probe p CROSS JOIN generate_series(0, %(n)s - 1) AS s(n) WHERE p.slug = 'local'
ON CONFLICT DO NOTHING
"""
DAYS = 4  # before today, of raw results
NO_LISTS = {
    "/api/v1/config/",
    "/api/v1/simulate/",
    "/api/v1/sla-reports/figures/",
}  # everything as one file; questions that need words
PAINTED = """() => new Promise(done => new PerformanceObserver(list => list.getEntriesByName("first-contentful-paint").forEach(e => done(e.startTime)))
 .observe({type: "paint", buffered: true}))"""
WEIGHT = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
 .reduce((sum, e) => [sum[0] + e.transferSize, sum[1] + e.decodedBodySize], [0, 0])"""


def run(clients: int = 200, monitors: int = 10_000, results: int = 2_000_000, asked: int = 40) -> dict[str, Any]:
    """p50 and p95 (ms, as somebody on the same machine sees them) of all pages and lists; those above 60 ms by name; what
    Chromium says of the first ones."""
    with _portal(clients, monitors, results) as (base, filled):
        sessions = {who: _sign_in(base, email) for who, email in filled["people"].items()}
        token = {"Authorization": f"Bearer {filled['token']}"}
        figures: dict[str, Any] = {"rows": filled["rows"], "filled_s": filled["filled_s"]}
        for who, addresses in filled["addresses"].items():
            of = {"Cookie": sessions["staff" if who == "desk" else who]}
            figures[f"pages of {who}"] = _summed({a: _asked(base + a, of, asked) for a in addresses})
        lists = [f"{path}?limit=50" for path in _lists(base, token)]
        figures["API lists"] = _summed({a: _asked(base + a, token, asked) for a in lists})
        figures |= _browsed(base, sessions["staff"], filled["monitor"])
        return figures


@contextmanager
def _portal(clients: int, monitors: int, results: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(address, what `bench.crowd` printed): a portal full of everything, served by one process."""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        pg, vk = stack.enter_context(Postgres(durable=False)), stack.enter_context(Valkey())
        env = stage.ours(pg.create_database("bench"), vk.url(), directory)
        began = time.monotonic()
        filled = json.loads(
            _said(
                env, "-m", "bench.crowd", "--clients", str(clients), "--monitors", str(monitors), "--password", PASSWORD
            )
        )
        per_day = max(1, results // monitors // DAYS)
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        with psycopg.connect(env["DATABASE_URL"], autocommit=True) as db:
            for back in range(DAYS):
                db.execute(FILL, {"day": today - timedelta(days=back + 1), "per_day": per_day})
            db.execute(ROLL, {"period": "h", "start": today - timedelta(days=3), "step": 3600, "n": 72})
            db.execute(ROLL, {"period": "d", "start": today - timedelta(days=90), "step": 86400, "n": 90})
            db.execute("VACUUM ANALYZE")
            counted = db.execute(
                "SELECT sum(reltuples)::bigint FROM pg_class WHERE relkind = 'r' AND relname LIKE 'monitors_result_2%'"
            ).fetchone()
        filled["rows"] = {"monitors.Result": int(counted[0]) if counted else 0, **filled["rows"]}
        filled["filled_s"] = round(time.monotonic() - began)
        filled["token"] = _said(
            env, "manage.py", "createtoken", "--email", filled["people"]["staff"], "--scopes", "read,admin"
        ).strip()
        port = stage.free_port()
        only_web = ("up", "--only", "web", "--port", str(port))
        stack.enter_context(stage.process(*only_web, env=env | {"WEB_PROCESSES": "1"}, log=directory / "log"))
        _wait(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}", filled


def _said(env: dict[str, str], *arguments: str) -> str:
    """The last line that it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], env=env, cwd=stage.ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip().splitlines()[-1]


def _wait(base: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(base + "/healthz", timeout=2).read()
            return
        except OSError:
            time.sleep(0.3)


def _sign_in(base: str, email: str) -> str:
    """A session's cookie, by the login form."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    page = opener.open(base + "/login/", timeout=30).read().decode()
    mark = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    data = {"login": email, "password": PASSWORD, "csrfmiddlewaretoken": mark.group(1) if mark else ""}
    asked = urllib.request.Request(base + "/login/", urlencode(data).encode(), {"Referer": base + "/login/"})
    opener.open(asked, timeout=30).read()
    return "; ".join(f"{c.name}={c.value}" for c in jar)


def _lists(base: str, token: dict[str, str]) -> list[str]:
    """Every list of the API, as its own description has them."""
    asked = urllib.request.Request(f"{base}/api/schema?format=json", headers=token)
    paths = json.loads(urllib.request.urlopen(asked, timeout=60).read())["paths"]
    return sorted(path for path, calls in paths.items() if "get" in calls and "{" not in path and path not in NO_LISTS)


def _asked(url: str, headers: dict[str, str], times: int) -> tuple[list[float], int]:
    """(ms of each answer, sorted; bytes of the last). An answer that is not a page is said at the end of all."""
    took, size = [], 0
    for _ in range(times + 1):
        began = time.monotonic()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
                size = len(answer.read())
                if answer.url != url:
                    raise RuntimeError(f"{url} answered {answer.url}")
        except (urllib.error.HTTPError, RuntimeError) as wrong:
            print(f"  not counted: {url.split('/', 3)[-1]}: {wrong}", file=sys.stderr, flush=True)
            return [], 0
        took.append((time.monotonic() - began) * 1000)
    return sorted(took[1:]), size  # the first one fills what the process remembers


def _summed(found: dict[str, tuple[list[float], int]]) -> dict[str, Any]:
    """Of all addresses: how many, the p95 (nearest rank) of the slowest ones, and the largest."""
    p95 = {a: round(took[math.ceil(len(took) * 0.95) - 1], 1) for a, (took, _) in found.items() if took}
    p50 = sorted(took[len(took) // 2] for took, _ in found.values() if took)
    slowest = dict(sorted(p95.items(), key=lambda pair: -pair[1])[:8])
    usual = {a: round(took[len(took) // 2], 1) for a, (took, _) in found.items() if took}
    slow = dict(sorted(usual.items(), key=lambda pair: -pair[1])[:8])
    heavy = max(found, key=lambda a: found[a][1])
    return {
        "addresses": len(p95), "p50_of_p50_ms": round(p50[len(p50) // 2], 1), "slowest_p95_ms": slowest, "slowest_p50_ms": slow, "above_100_ms": sum(v > 100 for v in p95.values()),
        "above_60_ms": sum(v > 60 for v in p95.values()), "p95_of_p95_ms": sorted(p95.values())[math.ceil(len(p95) * 0.95) - 1], "largest": f"{heavy} {found[heavy][1]} bytes",
    }  # fmt: skip


def _browsed(base: str, session: str, monitor: int) -> dict[str, Any]:
    """First contentful paint (ms) and weight (KB over the wire, and unpacked) with nothing remembered, by Chromium."""
    if not CHROMIUM.exists():
        return {"chromium": f"NOT RUN: there is no {CHROMIUM}"}
    from playwright.sync_api import sync_playwright

    figures: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        for name, path in (
            ("overview", "/"),
            ("monitors", "/monitors/"),
            ("monitor", f"/monitors/{monitor}/"),
            ("alerts", "/alerts/"),
        ):
            painted, weight = [], (0, 0)
            for _ in range(5):
                context = browser.new_context()
                cookies = [pair.split("=", 1) for pair in session.split("; ")]
                context.add_cookies([{"name": n, "value": v, "url": base} for n, v in cookies])
                page = context.new_page()
                page.goto(base + path, wait_until="load")
                painted.append(page.evaluate(PAINTED))
                weight = page.evaluate(WEIGHT)
                context.close()
            figures[f"first paint of {name}"] = (
                f"{sorted(painted)[2]:.0f} ms, {weight[0] / 1000:.0f} KB ({weight[1] / 1000:.0f} unpacked)"
            )
        browser.close()
    return figures

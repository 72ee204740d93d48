"""SPD-4: how fast are pages and API lists with 10,000 monitors and millions of results?"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import psycopg

from bench import stage
from bench.pipeline import seed
from tests.rig.postgres import Postgres
from tests.rig.valkey import Valkey

OWNER, PASSWORD = "owner@bench.example", "correct horse battery 9"

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
"""


def run(monitors: int, results: int, asked: int = 40) -> dict[str, object]:
    """p50 and p95 (ms, as a client on the same machine sees them) of pages and lists, one after the other."""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        pg, vk = stack.enter_context(Postgres(durable=False)), stack.enter_context(Valkey())
        env = stage.ours(pg.create_database("bench"), vk.url(), directory)
        seed(env, "--count", str(monitors), "--interval", "60", "--config", json.dumps({"url": "http://127.0.0.1:9/"}))
        per_day, days = max(1, results // monitors // 4), 4
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        began = time.monotonic()
        code = f"import django; django.setup()\nfrom monitors import partitions\nfrom datetime import date, timedelta\nt = date.fromisoformat('{today.date()}')\npartitions.ensure(t - timedelta(days=8), t + timedelta(days=3))"
        subprocess.run([sys.executable, "-c", code], env=env, cwd=stage.ROOT, check=True)
        with psycopg.connect(env["DATABASE_URL"], autocommit=True) as db:
            db.execute("UPDATE monitors_monitor SET state = 'up'")
            for back in range(days):
                db.execute(FILL, {"day": today - timedelta(days=back + 1), "per_day": per_day})
            db.execute(ROLL, {"period": "h", "start": today - timedelta(days=3), "step": 3600, "n": 72})
            db.execute(ROLL, {"period": "d", "start": today - timedelta(days=90), "step": 86400, "n": 90})
            db.execute("ANALYZE")
            first = db.execute("SELECT min(id) FROM monitors_monitor").fetchone()[0]
            rows = db.execute(
                "SELECT sum(reltuples)::bigint FROM pg_class WHERE relname LIKE 'monitors_result_2%'"
            ).fetchone()[0]
        filled = time.monotonic() - began
        subprocess.run(
            [sys.executable, "manage.py", "createowner", "--email", OWNER, "--password", PASSWORD],
            env=env,
            cwd=stage.ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        token = subprocess.run(
            [sys.executable, "manage.py", "createtoken", "--email", OWNER, "--scopes", "read"],
            env=env,
            cwd=stage.ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        port = stage.free_port()
        stack.enter_context(
            stage.process(
                "up", "--only", "web", "--port", str(port), env=env | {"WEB_PROCESSES": "1"}, log=directory / "log"
            )
        )
        base = f"http://127.0.0.1:{port}"
        _wait(base)
        session = _sign_in(base)
        figures: dict[str, object] = {}
        for name, path, headers in (
            ("overview", "/", {"Cookie": session}),
            ("monitors page", "/monitors/", {"Cookie": session}),
            ("monitor page", f"/monitors/{first + 5}/", {"Cookie": session}),
            ("alerts page", "/alerts/", {"Cookie": session}),
            ("API monitors", "/api/v1/monitors?limit=50", {"Authorization": f"Bearer {token}"}),
            ("API monitor", f"/api/v1/monitors/{first + 5}", {"Authorization": f"Bearer {token}"}),
            ("API results", f"/api/v1/monitors/{first + 5}/results?limit=50", {"Authorization": f"Bearer {token}"}),
            ("API alerts", "/api/v1/alerts?limit=50", {"Authorization": f"Bearer {token}"}),
        ):
            times = sorted(_time(base + path, headers) for _ in range(asked))
            figures[name] = {
                "p50_ms": round(times[len(times) // 2], 1),
                "p95_ms": round(times[int(len(times) * 0.95)], 1),
            }
        return {"monitors": monitors, "results": int(rows or 0), "filled_s": round(filled), **figures}


def _wait(base: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(base + "/healthz", timeout=2).read()
            return
        except OSError:
            time.sleep(0.3)


def _sign_in(base: str) -> str:
    """A session's cookie, by the login form."""
    import http.cookiejar
    import re
    from urllib.parse import urlencode

    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    page = opener.open(base + "/login/", timeout=10).read().decode()
    mark = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    data = urlencode(
        {"login": OWNER, "password": PASSWORD, "csrfmiddlewaretoken": mark.group(1) if mark else ""}
    ).encode()
    opener.open(
        urllib.request.Request(base + "/login/", data=data, headers={"Referer": base + "/login/"}), timeout=10
    ).read()
    return "; ".join(f"{c.name}={c.value}" for c in jar)


def _time(url: str, headers: dict[str, str]) -> float:
    began = time.monotonic()
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        answer.read()
        if answer.url != url:
            raise RuntimeError(f"{url} answered {answer.url}")
    return (time.monotonic() - began) * 1000

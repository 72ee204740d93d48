"""SPD-2 and SPD-3: how long from a failing result to the first delivery, and what a thousand failures in one second become."""

from __future__ import annotations

import json
import os
import socketserver
import statistics
import sys
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler

import psycopg

from bench import stage
from bench.pipeline import seed
from tests.rig.postgres import Postgres
from tests.rig.valkey import Valkey


class Sites:
    """A server whose paths fail when told to, and a webhook that remembers when each alert was told."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.told: list[tuple[float, dict]] = []
        sites = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = b"ok"
                self.send_response(500 if self.path in sites.failing else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                sites.told.append((time.time(), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, request_queue_size = True, True, 1024

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def run(background: int, failing: int, spread_seconds: float, window: int) -> dict[str, object]:
    """`background` healthy monitors on nginx (5 s); `failing` ones on a server of ours (interval 10 s) break within `spread_seconds`."""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        pg, vk = stack.enter_context(Postgres(durable=True)), stack.enter_context(Valkey())
        http, _, _ = stack.enter_context(stage.nginx(directory))
        sites = Sites()
        stack.callback(sites.server.shutdown)
        env = stage.ours(pg.create_database("bench"), vk.url(), directory)
        seed(
            env,
            "--count",
            str(background),
            "--interval",
            "10",
            "--config",
            json.dumps({"url": f"http://127.0.0.1:{http}/"}),
            "--webhook",
            f"http://127.0.0.1:{sites.port}/told",
            "--window",
            str(window),
        )
        seed(
            env,
            "--count",
            str(failing),
            "--interval",
            "10",
            "--name",
            "f",
            "--config",
            json.dumps({"url": f"http://127.0.0.1:{sites.port}/site"}),
        )
        log = directory / "log"
        workers = [
            stack.enter_context(stage.process("up", "--only", name, env=env, log=log)) for name in ("probe", "page")
        ]
        print("processes:", *(w.pid for w in workers), file=sys.stderr, flush=True)
        with psycopg.connect(env["DATABASE_URL"], autocommit=True) as db:
            _wait(
                lambda: db.execute("SELECT count(*) FROM monitors_monitor WHERE state <> 'up'").fetchone()[0] == 0, 180
            )
            time.sleep(3)
            if not spread_seconds:
                # all of them due in the same second
                db.execute(
                    "UPDATE monitors_probestate SET next_due_at = now() + interval '2 seconds' + random() * interval '1 second' WHERE lease_token IS NULL AND monitor_id IN (SELECT id FROM monitors_monitor WHERE name LIKE 'f %')"
                )
            sites.failing.add("/site")
            began = time.time()
            _wait(
                lambda: (
                    db.execute("SELECT count(*) FROM alerts_alert WHERE resolved_at IS NULL").fetchone()[0] >= failing
                ),
                120,
            )
            recorded = time.time() - began
            _wait(
                lambda: (
                    db.execute("SELECT count(*) FROM alerts_delivery WHERE state IN ('pending', 'sending')").fetchone()[
                        0
                    ]
                    == 0
                ),
                120,
            )
            out = time.time() - began
            lags = [
                float(r[0])
                for r in db.execute(
                    "SELECT extract(epoch FROM t.at - f.first) FROM alerts_alert a JOIN (SELECT monitor_id, min(ts) AS first FROM monitors_result WHERE status = 3 GROUP BY 1) f ON f.monitor_id = a.monitor_id "
                    "JOIN (SELECT d.alert_id, min(t.at - make_interval(secs => COALESCE(t.duration_ms, 0) / 1000)) AS at FROM alerts_attempt t JOIN alerts_delivery d ON d.id = t.delivery_id GROUP BY 1) t ON t.alert_id = a.id"
                )
            ]
            numbers = {
                name: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for name, table in (
                    ("alerts", "alerts_alert"),
                    ("incidents", "incidents_incident"),
                    ("deliveries", "alerts_delivery"),
                )
            }
        lags.sort()
        return {
            "background": background, "failing": failing, "window": window, **numbers, "messages": len(sites.told), "all_recorded_s": round(recorded, 2), "all_out_s": round(out, 2),
            "first_delivery_p50_s": round(statistics.median(lags), 2) if lags else None, "first_delivery_p99_s": round(lags[int(len(lags) * 0.99)], 2) if lags else None,
            "log": log.read_text()[-1500:],
        }  # fmt: skip


def _wait(done: object, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:  # type: ignore[operator]
        time.sleep(0.1)


if __name__ == "__main__":
    print(
        json.dumps(
            run(
                int(os.environ.get("MONITORS", "5000")),
                int(os.environ.get("FAILING", "1000")),
                float(os.environ.get("SPREAD", "0")),
                int(os.environ.get("WINDOW", "0")),
            ),
            indent=1,
        )
    )

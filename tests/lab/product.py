"""How does the real product run in the lab? One portal, its built-in probe, four remote probes, one private; over HTTPS."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tests.lab import internet
from tests.lab.internet import Internet
from tests.lab.servers import Servers

ROOT = Path(__file__).resolve().parents[2]
PORT = 8000
# Where each probe stands, and whom it asks for names: the two resolvers are two regions' each.
PROBES = {"r1": "h1", "r2": "h2", "r3": "h3", "r4": "h4", "inside": "inside"}
RESOLVER_OF = {
    "h1": internet.RESOLVER_ONE, "h2": internet.RESOLVER_ONE, "h3": internet.RESOLVER_TWO, "h4": internet.RESOLVER_TWO,
    "inside": internet.RESOLVER_TWO, "portal": internet.RESOLVER_ONE,
}  # fmt: skip
REGIONS = ["r1", "r2", "r3", "r4"]
KEYWORD = "All is well here"
MONITORS: dict[str, dict[str, Any]] = {
    "shop": {"kind": "http", "config": {"url": "https://www.acme.example/", "keyword": KEYWORD}, "degraded_latency_ms": 700},
    "api": {"kind": "http", "config": {"url": "https://api.acme.example:8443/", "json_path": "$.status", "json_equals": "ok"}, "degraded_latency_ms": 700},
    "plain": {"kind": "http", "config": {"url": "http://plain.acme.example/", "keyword": KEYWORD}, "degraded_latency_ms": 700, "probes": [*REGIONS, "local"]},
    "onprem": {"kind": "http", "config": {"url": "https://www.onprem.example/", "keyword": KEYWORD}, "degraded_latency_ms": 700},
    "db": {"kind": "tcp", "config": {"host": "db.acme.example", "port": 5432, "expect": "READY"}},
    "names": {"kind": "dns", "config": {"name": "www.acme.example", "expected": [internet.WEB]}},
    "second": {"kind": "http", "config": {"url": "http://second.acme.example/", "keyword": KEYWORD}},
    "colo": {"kind": "http", "config": {"url": "http://colo.hosted.example/", "keyword": KEYWORD}},
    "ping": {"kind": "icmp", "config": {"host": "www.acme.example"}, "degraded_loss_percent": 10},
    "intranet": {"kind": "http", "config": {"url": f"http://{internet.SECOND}/"}, "probes": ["inside"], "quorum": 1},
}  # fmt: skip
ELSEWHERE = ("colo", "names")  # what does not stand on the client's premises
COMMON = {
    "interval_seconds": 5, "timeout_seconds": 4, "confirmation_count": 2, "recovery_count": 1, "quorum": 2, "probes": REGIONS,
    "flapping_changes": 0,
}  # fmt: skip


class ApiError(Exception):
    """The portal said no."""


class Api:
    """The portal's API, spoken from within its own space."""

    def __init__(self, net: Internet, token: str) -> None:
        self.space, self.token = net["portal"], token

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """One request; the JSON answer. ApiError with what was said."""
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=20)
        with self.space.inside():
            connection.connect()
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            connection.request(method, f"/api/v1/{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 400:
            raise ApiError(f"{method} {path}: {answer.status} {text[:500]}")
        return json.loads(text) if text else None

    def rows(self, path: str) -> list[dict[str, Any]]:
        """A list's first page."""
        said = self("GET", path)
        return said if isinstance(said, list) else next(v for v in said.values() if isinstance(v, list))


class Product:
    """Everything of ours that runs."""

    def __init__(self, net: Internet, servers: Servers, home: Path) -> None:
        self.net, self.servers, self.home = net, servers, home
        self.monitors: dict[str, int] = {}
        self.heard: list[dict[str, Any]] = []  # what the webhook was sent, in order
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> Product:
        """The portal, then its probes, then what is watched. About half a minute."""
        self.names()
        self.trust = self.servers.root.trust(self.home / "root.pem")
        self._portal()
        self._front()
        client = self.api("POST", "clients", {"name": "Acme", "slug": "acme"})["id"]
        for slug, node in PROBES.items():
            body: dict[str, Any] = {"name": slug, "slug": slug, "network": internet.NETWORKS[internet.AS_OF_NODE[node]][1], "anchors": internet.ANCHORS}  # fmt: skip
            token = self.api("POST", "probes", body | ({"client": client} if slug == "inside" else {}))["enrol_token"]
            self._probe(slug, node, token)
        self._webhook(client)
        site = self.api("POST", "sites", {"name": "Head office", "client": client})["id"]
        for name, fields in MONITORS.items():
            place = {} if name in ELSEWHERE else {"site": site}
            self.monitors[name] = self.api("POST", "monitors", {"name": name, "client": client, **place, **COMMON, **fields})["id"]  # fmt: skip
        self.until(self.well, "all monitors to be up", 60)
        return self

    def names(self) -> None:
        """Tell each machine whom to ask for names."""
        for node, resolver in RESOLVER_OF.items():
            (self.net[node].etc / "resolv.conf").write_text(f"nameserver {resolver}\n")

    def stop(self) -> None:
        """End every program of ours at once: nothing of them is kept."""
        for child in self.running:
            child.kill()
            child.wait(10)

    def _env(self, **more: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(self.home), "SSL_CERT_FILE": str(self.trust), "PYTHONUNBUFFERED": "1", **more,
        }  # fmt: skip

    def _portal(self) -> None:
        table = self.net.as_table(self.home / "as.tsv")
        self.data = self.home / "data"
        self.env = self._env(
            BASE_URL="https://11.90.0.2", DATA_DIR=str(self.data), DIAGNOSIS="on", AS_TABLE=str(table), DIAGNOSIS_RESOLVERS=f"{internet.RESOLVER_ONE},{internet.RESOLVER_TWO}",
            ALLOWED_HOSTS="11.90.0.2,127.0.0.1", SMTP_HOST="", SMTP_FROM="", DATABASE_URL="", REDIS_URL="", SLACK_WEBHOOK_URL="", HEARTBEAT_URL="",
            OUTBOUND_ALLOW="", API_RATE="100000/min",
        )  # fmt: skip
        portal = self.net["portal"]

        def manage(*words: str) -> str:
            done = subprocess.run(["ip", "netns", "exec", portal.name, sys.executable, str(ROOT / "manage.py"), *words], env=self.env, capture_output=True, text=True, timeout=120)  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"manage.py {words[0]}: {done.stderr[-2000:]}")
            return done.stdout.strip()

        manage("createowner", "--email", "owner@lab.example", "--password", "a long word for the lab")
        token = manage("createtoken", "--email", "owner@lab.example", "--scopes", "read,write,admin").splitlines()[-1]
        self._run("portal", [sys.executable, str(ROOT / "manage.py"), "up", "--port", str(PORT), "--data-dir", str(self.data)], self.env, "portal.log")  # fmt: skip
        self.api = Api(self.net, token)
        self.until(self._answers, "the portal to answer", 60)

    def _answers(self) -> bool:
        with suppress(OSError, http.client.HTTPException, ApiError):
            self.api("GET", "probes")
            return True
        return False

    def _front(self) -> None:
        """What stands before a portal: TLS at its address."""
        portal = self.net["portal"]

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.CancelledError):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
            writer.close()

        async def front(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.CancelledError):
                with portal.inside():
                    way = socket.socket()
                way.setblocking(False)
                await asyncio.get_running_loop().sock_connect(way, ("127.0.0.1", PORT))
                far_reader, far_writer = await asyncio.open_connection(sock=way)
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
            writer.close()

        self.servers.serve("portal", "11.90.0.2", 443, front, self.servers.issuer.context("11.90.0.2"))

    def _probe(self, slug: str, node: str, token: str) -> None:
        words = [sys.executable, "-m", "monitors.probe.main", "--data-dir", str(self.home / f"probe-{slug}")]
        env = self._env()
        done = subprocess.run(["ip", "netns", "exec", self.net[node].name, *words, "enroll", "https://11.90.0.2", token], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{slug}: {done.stderr[-1000:]}")
        self._run(node, [*words, "run"], env, f"probe-{slug}.log")

    def _run(self, node: str, words: list[str], env: dict[str, str], log: str) -> None:
        self.running.append(self.net[node].start(words, env=env, log=self.home / log, cwd=ROOT))

    def _webhook(self, client: int) -> None:
        """As an MSP would hear of it: a webhook, and a trigger for everything."""

        async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, ValueError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length:")[2].split("\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                self.heard.append({"at": time.time(), **body})
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
            writer.close()

        self.servers.serve("portal", "11.90.0.2", 9099, receive)
        channel = self.api("POST", "channels", {"name": "desk", "type": "webhook", "url": "http://11.90.0.2:9099/", "client": client})  # fmt: skip
        self.api("POST", "alert-triggers", {"name": "everything", "client": client, "channel_ids": [channel["id"]]})

    # --- While it runs ---------------------------------------------------------------------------------------------
    def until(self, true: Any, what: str, within: float) -> None:
        """Wait for something to become true. TimeoutError with what it was."""
        end = time.monotonic() + within
        while not true():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {within:g} s for {what}")
            time.sleep(0.2)

    def states(self) -> dict[str, str]:
        """{monitor: state}."""
        return {row["name"]: row["state"] for row in self.api.rows("monitors?per_page=100")}

    def well(self) -> bool:
        """Are all monitors up?"""
        states = self.states()
        return len(states) >= len(MONITORS) and set(states.values()) == {"up"}

    def check(self, names: list[str]) -> None:
        """Have these looked at now."""
        self.api("POST", "monitors/actions", {"action": "check", "ids": [self.monitors[name] for name in names]})

    def diagnose(self, monitor: int, wanted: bool) -> None:
        """Shall failures of this monitor be diagnosed by themselves? A column that the API does not offer."""
        with closing(sqlite3.connect(self.data / "watchkeeper.sqlite3", timeout=20)) as database:
            database.execute("UPDATE monitors_monitor SET diagnose = ? WHERE id = ?", (wanted, monitor))
            database.commit()

    def learned(self, within: float = 120) -> str:
        """Wait until it is known how each monitor usually looks from each of its probes; says how far that came."""
        wanted = sum(len(fields.get("probes", REGIONS)) for fields in MONITORS.values())  # type: ignore[arg-type]
        with suppress(TimeoutError):
            self.until(lambda: self._baselines() >= wanted, "baselines", within)
        return f"{self._baselines()} of {wanted} baselines learned"

    def _baselines(self) -> int:
        with closing(
            sqlite3.connect(f"file:{self.data / 'watchkeeper.sqlite3'}?mode=ro", uri=True, timeout=10)
        ) as database:
            return int(database.execute("SELECT count(*) FROM monitors_baseline WHERE samples > 0").fetchone()[0])

"""What does one need to cut a region off? Namespaces for the portal, the site and each region, on one exchange; all real.

    with World(regions=6, monitors=1000) as world:
        world.until_up()
        world.regions[0].cut()

The portal is `manage.py up` on a database of its own; each region is `watchkeeper-probe`; TLS is between them. What
follows is read from the portal's database, and from the messages that reached the receiver.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.environment import PLAIN
from tests.regions.servers import Front, Names, Pages, Post, Silent
from tests.rig import ground
from tests.rig.certificates import Authority
from tests.rig.netns import Net, Space, Wire

ROOT = Path(__file__).resolve().parents[2]
PORTAL, SITE, HUB = (
    "10.77.0.2",
    "10.77.1.2",
    "10.77.1.1",
)  # the exchange's own address is where anchors and messages are
FRONT, WEB, INNER, ANCHORS, POST = 8443, 80, 8000, (7001, 7002, 7003), 7009


@dataclass
class Region:
    """One probe, the machine it is on, and its line."""

    number: int
    probe: int
    space: Space
    wire: Wire
    home: Path
    env: dict[str, str]
    log: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def words(self, *words: str, home: Path | None = None) -> list[str]:
        """The program's command line."""
        return [sys.executable, "-m", "monitors.probe.main", "--data-dir", str(home or self.home), *words]

    def start(self, home: Path | None = None) -> subprocess.Popen[bytes]:
        """Start its program (or one more, on a copy of its directory)."""
        child = self.space.start(self.words("run", "--allow", "10.0.0.0/8", home=home), env=self.env, log=self.log, cwd=ROOT)  # fmt: skip
        self.running.append(child)
        return child

    def cut(self) -> None:
        """Its line dies."""
        self.wire.cut()

    def mend(self) -> None:
        """Its line is back."""
        self.wire.mend()

    def lose(self, *addresses: str) -> None:
        """From here, and only from here, packets to these addresses vanish."""
        for address in addresses:
            self.space.rule("output", f"ip daddr {address} drop")

    def find(self) -> None:
        """And no more."""
        self.space.no_rules()


class World:
    """See the module's first lines."""

    def __init__(
        self, *, regions: int = 3, monitors: int = 60, interval: int = 10, timeout: float = 3, quorum: int = 2, anchored: bool = True,
        portal_anchored: bool = True, built_in: int = 0, quiet: float = 6,
    ) -> None:  # fmt: skip
        """`built_in`: so many monitors, each by a name of its own, are the portal's to check. `quiet`: seconds to wait for a burst."""
        self.quiet = quiet
        self.order: dict[str, Any] = {
            "regions": regions, "monitors": monitors, "interval": interval, "timeout": timeout, "quorum": quorum, "built_in": [f"http://shop{n}.example/m/0" for n in range(built_in)],
            "site": f"http://{SITE}", "post": f"http://{HUB}:{POST}/hook", "anchors": [f"{HUB}:{p}" for p in ANCHORS] if anchored else [],
            "portal_anchors": [f"{HUB}:{p}" for p in ANCHORS] if portal_anchored else [],
        }  # fmt: skip
        self.stack = ExitStack()
        self.regions: list[Region] = []

    def __enter__(self) -> World:
        try:
            self._build()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    # --- Building -------------------------------------------------------------------------------------------------------
    def _build(self) -> None:
        self.net = self.stack.enter_context(Net())
        self.home = Path(tempfile.mkdtemp(prefix="watchkeeper-regions-"))
        self.stack.callback(shutil.rmtree, self.home, ignore_errors=True)
        self.hub, self.portal_space, site = self.net.space("hub"), self.net.space("portal"), self.net.space("site")
        self.hub.router()
        self.uplink = self._line(self.portal_space, 0)
        self._line(site, 1)
        authority = Authority()
        certificate = authority.issue((PORTAL,))
        trusted = authority.trust(self.home)
        self.pages = self.stack.enter_context(Pages(site, WEB))
        self.post = self.stack.enter_context(Post(self.hub, POST))
        for port in ANCHORS:
            self.stack.enter_context(Silent(self.hub, port))
        self.names = self.stack.enter_context(Names(self.hub, HUB, SITE))
        (self.portal_space.etc / "resolv.conf").write_text(f"nameserver {HUB}\n")
        self.env = self._environment()
        if ground.GROUND in os.environ:  # among other tests: their migrated database is there to be copied
            ground.sqlite(self.home / "data" / "watchkeeper.sqlite3", self.env)
        made = subprocess.run(
            [sys.executable, "-m", "tests.regions.rows", json.dumps(self.order)], env=self.env, cwd=ROOT, capture_output=True, text=True, timeout=400
        )  # fmt: skip
        if made.returncode:
            raise RuntimeError(made.stderr[-2000:])
        self.made = json.loads(made.stdout.splitlines()[-1])
        self.start_portal()
        self.stack.enter_context(Front(self.portal_space, FRONT, INNER, certificate.server_context()))
        for number, (token, probe) in enumerate(zip(self.made["tokens"], self.made["regions"], strict=True), 1):
            self._region(number, probe, token, trusted)

    def _line(self, space: Space, number: int) -> Wire:
        # The exchange's end is the one that is pulled: the other keeps its routes, and its packets go nowhere.
        wire = self.net.wire(self.hub, f"10.77.{number}.1/24", space, f"10.77.{number}.2/24")
        self.net.route(space, "default", f"10.77.{number}.1")
        return wire

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
        keys = {"SECRET_KEY": "regions-" + "x" * 50, "ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
        # The outside address is named so that the links in messages are; TLS ends before the portal.
        own = {
            "BASE_URL": f"http://{PORTAL}:{FRONT}", "DATA_DIR": str(self.home / "data"), "OUTBOUND_ALLOW": "10.77.0.0/16,127.0.0.0/8", "LOG_LEVEL": "WARNING",
            "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "portal.settings",
        }  # fmt: skip
        (self.home / "data").mkdir()
        return {**PLAIN, **kept, **keys, **own}

    def start_portal(self) -> None:
        """Start it, and wait until it answers."""
        words = [sys.executable, str(ROOT / "manage.py"), "up", "--host", "127.0.0.1", "--port", str(INNER)]
        self.portal = self.portal_space.start(words, env=self.env, log=self.home / "portal.log", cwd=ROOT)
        until(self._answers, "the portal to answer", 240)

    def _answers(self) -> bool:
        with suppress(OSError), self.portal_space.inside(), urllib.request.urlopen(f"http://127.0.0.1:{INNER}/healthz", timeout=10):  # fmt: skip
            return True
        return False

    def _region(self, number: int, probe: int, token: str, trusted: Path) -> None:
        space = self.net.space(f"region {number}")
        wire = self._line(space, 10 + number)
        home = self.home / f"region-{number}"
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": str(ROOT), "SSL_CERT_FILE": str(trusted)}  # fmt: skip
        region = Region(number, probe, space, wire, home, env, self.home / f"region-{number}.log")
        subprocess.run(["ip", "netns", "exec", space.name, *region.words("enroll", f"https://{PORTAL}:{FRONT}", token)], env=env, cwd=ROOT, check=True, capture_output=True, timeout=240)  # fmt: skip
        region.start()
        self.regions.append(region)

    # --- Reading ----------------------------------------------------------------------------------------------------------
    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the portal's database."""
        with closing(sqlite3.connect(f"file:{self.home}/data/watchkeeper.sqlite3?mode=ro", uri=True, timeout=20)) as db:
            return db.execute(sql).fetchall()

    def states(self) -> Counter[str]:
        """How many monitors are in which state."""
        return Counter(dict(self.ask("SELECT state, count(*) FROM monitors_monitor GROUP BY state")))

    def calm(self) -> bool:
        """Is every monitor up, no view stale, and no alert open?"""
        stale = self.ask("SELECT count(*) FROM monitors_probestate WHERE stale AND active")[0][0]
        return set(self.states()) == {"up"} and not stale and not self.ask("SELECT 1 FROM alerts_alert WHERE resolved_at IS NULL LIMIT 1")  # fmt: skip

    def until_up(self, within: float = 300) -> None:
        """Wait until every probe has seen every monitor well."""
        until(lambda: set(self.states()) == {"up"} and not self.ask("SELECT 1 FROM monitors_probestate WHERE active AND (last_at IS NULL OR stale) LIMIT 1"), "everything to be up", within)  # fmt: skip

    def alerts(self, after: int = 0) -> list[Seen]:
        """Alerts since that one, oldest first."""
        rows = self.ask(f"SELECT id, source, event, entity_type, entity_id, title, created_at, resolved_at, message FROM alerts_alert WHERE id > {after} ORDER BY id")  # fmt: skip
        return [Seen(*row[:6], _time(row[6]), _time(row[7]), row[8]) for row in rows]

    def uplink_back(self) -> None:
        """The portal's line is back."""
        self.uplink.mend()

    @staticmethod
    def text_of(at: float) -> str:
        """A moment as SQLite keeps it."""
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    @staticmethod
    def seconds_between(first: str, second: str) -> float:
        """Between two moments as SQLite keeps them."""
        return _time(second) - _time(first)

    def mark(self) -> int:
        """The latest alert's number."""
        return int(self.ask("SELECT coalesce(max(id), 0) FROM alerts_alert")[0][0])


@dataclass
class Seen:
    """One alert."""

    id: int
    source: str
    event: str
    entity_type: str
    entity_id: str
    title: str
    started_at: float
    resolved_at: float
    message: str

    @property
    def observer(self) -> bool:
        """Is it about a probe, and not about what is watched?"""
        return self.source == "probe"


def _time(text: str | None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() if text else 0.0


def until(true: Callable[[], object], what: str, within: float) -> float:
    """Wait for it; the seconds it took. AssertionError afterwards."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > within:
            raise AssertionError(f"waited {within} s for {what}")
        time.sleep(0.2)
    return time.monotonic() - began

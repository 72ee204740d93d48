"""How does a test run the real product and hurt it? As processes of their own, by the commands an operator uses.

A plant is one installation: a database, perhaps a broker, and any number of `manage.py up` processes. Each of them is
killed, frozen or stopped by its own pid. `look_into` lets the test's own Django read and write the plant's database.
"""

from __future__ import annotations

import http.client
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.db import DatabaseError, InterfaceError, connection, connections

from portal import environment as portal_environment
from tests.environment import for_programs
from tests.rig import ground
from tests.rig.process import Child, NotAvailable, free_port

ROOT = Path(__file__).resolve().parents[2]
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime")
READY_WITHIN = 180.0
SLEEP = """import select, time
time.sleep = lambda seconds: select.select([], [], [], max(0.0, seconds)) and None
"""


def faketime() -> str:
    """libfaketime's path. NotAvailable when the package is not installed."""
    for name in ("libfaketimeMT.so.1", "libfaketime.so.1"):
        if (FAKETIME / name).exists():
            return str(FAKETIME / name)
    raise NotAvailable("no libfaketime; install the package libfaketime")


@contextmanager
def look_into(url: str, home: Path) -> Iterator[None]:
    """Point this process's Django at another database. Beginning and end drop this thread's connection."""
    before = connections.settings["default"]
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = connections.configure_settings({"default": _database(url, home)})["default"]
    try:
        yield
    finally:
        connections["default"].close()
        del connections["default"]
        connections.settings["default"] = before


def _database(url: str, home: Path) -> dict:
    kept, os.environ["DATABASE_URL"] = os.environ.get("DATABASE_URL", ""), url
    try:
        return portal_environment.database("DATABASE_URL", home)
    finally:
        os.environ["DATABASE_URL"] = kept


def migrate(url: str, home: Path) -> None:
    """Make the tables, by the product's own command. RuntimeError with its output when it fails."""
    ground.migrate(url, home, environment(url, "", home))


def environment(database_url: str, redis_url: str, home: Path, **more: str) -> dict[str, str]:
    """What a process of the plant sees: the tests' keys, its own database, loopback allowed, nothing else of ours."""
    own = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": str(home / "data"), "WEB_PROCESSES": "2"}
    return for_programs(**{**own, **more})


def until(enough: Callable[[], object], *, within: float, what: str, every: float = 0.05) -> float:
    """Wait until `enough()`; returns the seconds it took. While the database is away the answer is "not yet".

    AssertionError after `within` seconds.
    """
    began = time.monotonic()
    while True:
        try:
            if enough():
                return time.monotonic() - began
        except (DatabaseError, InterfaceError):
            connection.close()
        if time.monotonic() - began > within:
            raise AssertionError(f"waited {within:.0f} s for {what}")
        time.sleep(every)


@dataclass(frozen=True, slots=True)
class Page:
    """What the web answered, and after how many seconds."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class Plant:
    """One installation's processes. A context manager: leaving kills what is left of them."""

    def __init__(self, database_url: str, redis_url: str, home: Path) -> None:
        self.database_url, self.redis_url, self.home = database_url, redis_url, home
        self.children: list[tuple[str, Child]] = []
        self.port = 0
        self._numbers = itertools.count(1)

    # --- starting ------------------------------------------------------------------------------------------------
    def start(self, role: str, *, clock: str = "", wait: bool = True) -> Child:
        """Start `page`, `probe`, `beat`, `web` or `all` (one machine). `clock` as "+2h" gives it a wrong clock."""
        argv = [sys.executable, str(ROOT / "manage.py"), "up"]
        argv += [] if role == "all" else ["--only", role]
        if role in ("web", "all"):
            self.port = self.port or free_port()
            argv += ["--port", str(self.port)]
        wrong = self._wrong(clock) if clock else {}
        child = Child(
            argv,
            log=self.home / f"{role}-{next(self._numbers)}.log",
            env=environment(self.database_url, self.redis_url, self.home, **wrong),
            cwd=str(ROOT),
        )
        self.children.append((role, child))
        if wait:
            self.until_up(role, child)
        return child

    def _wrong(self, clock: str) -> dict[str, str]:
        """Only the wall clock is wrong, as in life. libfaketime 0.9.10 then refuses the call behind time.sleep (EINVAL)."""
        place = self.home / "wrong-clock"
        place.mkdir(exist_ok=True)
        (place / "sitecustomize.py").write_text(SLEEP)
        return {"LD_PRELOAD": faketime(), "FAKETIME": clock, "DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": str(place)}

    def until_up(self, role: str, child: Child) -> None:
        """Wait until the process does its work."""
        from portal.models import Worker

        def up() -> bool:
            if not child.alive():
                raise AssertionError(f"{role} ended: {child.tail()}")
            if role == "web" or (role == "all" and not self.answers()):
                return self.answers()
            return role == "beat" or Worker.objects.filter(pid=child.pid).exists()

        until(up, within=READY_WITHIN, what=f"{role} to be up; its log ends: {child.tail(400)}")

    def answers(self) -> bool:
        """Does the web answer?"""
        try:
            return self.get("/healthz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def get(self, path: str, *, token: str = "", timeout: float = 15) -> Page:
        """GET from the plant's web over a connection of its own. OSError when nothing listens or answers in time."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        began = time.monotonic()
        try:
            link.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = link.getresponse()
            body = answer.read()
            return Page(answer.status, dict(answer.getheaders()), body, time.monotonic() - began)
        finally:
            link.close()

    def of(self, role: str) -> list[Child]:
        """The living processes of a role."""
        return [child for name, child in self.children if name == role and child.alive()]

    def sending(self) -> list[Child]:
        """The living pagers that hold messages this moment; all of them when none does."""
        from alerts.models import Delivery

        held = set(Delivery.objects.filter(state="sending").values_list("claimed_by", flat=True))
        pids = {int(name.split(":")[1]) for name in held if name}
        return [child for child in self.of("page") if child.pid in pids] or self.of("page")

    def have(self, role: str, count: int) -> list[Child]:
        """Make it `count` processes of that role: start what is missing, stop what is too much."""
        for child in self.of(role)[count:]:
            self.term(child)
        fresh = [self.start(role, wait=False) for _ in range(count - len(self.of(role)))]
        for child in fresh:
            self.until_up(role, child)
        return self.of(role)

    # --- hurting -------------------------------------------------------------------------------------------------
    def kill9(self, child: Child) -> None:
        """kill -9 of the process with all its children (its own process group)."""
        if child.alive():
            os.killpg(child.pid, signal.SIGKILL)
        child.end(signal.SIGKILL)

    def term(self, child: Child) -> int:
        """SIGTERM, as a deploy does; returns the exit code."""
        return child.end(signal.SIGTERM, within=120)

    def freeze(self, child: Child) -> None:
        """SIGSTOP."""
        child.send(signal.SIGSTOP)

    def thaw(self, child: Child) -> None:
        """SIGCONT."""
        child.send(signal.SIGCONT)

    def logs(self) -> str:
        """Everything the processes said."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.home.glob("*.log")))

    def __enter__(self) -> Plant:
        return self

    def __exit__(self, *_: object) -> None:
        for _, child in self.children:
            self.kill9(child)

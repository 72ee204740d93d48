"""How does a test own another program? Started as a child, ended by its own pid, never left behind."""

from __future__ import annotations

import ctypes
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
_luck = random.SystemRandom()
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


class NotAvailable(Exception):
    """The tool is not on this machine; a test turns this into `pytest.skip("NOT RUN: …")`."""


class NeverReady(RuntimeError):
    """The program started but did not become usable; the message holds the end of its log."""


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port on 127.0.0.1 that nobody held a moment ago; callers retry when they lose the race for it.

    From below the range out of which the kernel serves everybody who does not care (32768 and up), so that no
    connection or listener of another test happens to take it before its owner does.
    """
    while True:
        port = _luck.randrange(10_240, 32_000)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def unprivileged_user() -> str | None:
    """Whom to become when we are root (PostgreSQL refuses root); None when we are an ordinary user already."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise NotAvailable("we are root and the machine has neither a user postgres nor nobody")


def _identity(user: str | None) -> dict[str, object]:
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _die_with_parent(signum: int) -> Callable[[], None] | None:
    """Have the kernel signal the child when a killed test run can no longer do so.

    The kernel ties this to the starting *thread*, so it is only asked for on the main thread, which lives as long
    as the run.
    """
    prctl = _prctl
    if prctl is None or threading.current_thread() is not threading.main_thread():
        return None
    return lambda: prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)


def run(argv: Sequence[str], *, user: str | None = None, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end, output captured; never raises for its exit code."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        list(argv),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        cwd="/",
        **_identity(user),
    )


class Child:
    """One running program, its output in `log`. All signals go to its pid alone."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        last_signal: int = signal.SIGKILL,
    ) -> None:
        """`last_signal` is what the kernel sends it if the test run itself is killed."""
        self.log = log
        with log.open("ab") as out:
            self._popen: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,  # a Ctrl-C in the terminal is for pytest, which then stops us in order
                preexec_fn=_die_with_parent(last_signal),
                **_identity(user),
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def alive(self) -> bool:
        return self._popen.poll() is None

    def send(self, signum: int) -> None:
        """Signal it; quiet when it is gone already."""
        self._popen.send_signal(signum)

    def end(self, signum: int, *, within: float = 60) -> int:
        """Signal it and wait; SIGKILL after `within` seconds. Returns its exit code (negative: the signal)."""
        self.send(signum)
        try:
            return self._popen.wait(within)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self._popen.wait(within)

    def until_ready(self, ready: Callable[[], bool], *, within: float = 90) -> None:
        """Wait until `ready()` says so. NeverReady when it exits first or takes longer than `within` seconds."""
        deadline = time.monotonic() + within
        while not ready():
            if not self.alive():
                raise NeverReady(f"exited with {self._popen.returncode}: {self.tail()}")
            if time.monotonic() > deadline:
                raise NeverReady(f"not ready after {within} s: {self.tail()}")
            time.sleep(0.02)

    def tail(self, characters: int = 1500) -> str:
        return self.log.read_text(errors="replace")[-characters:]

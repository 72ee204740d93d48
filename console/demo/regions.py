"""From where is the second act's client seen? By the real probe program, as often as there are places, each with name servers of its own.

A process sees another /etc/resolv.conf (and the one in the client's network another /etc/hosts: it knows the server by
its inner address) because it is started in a mount namespace; nothing of the machine itself is changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from django.conf import settings

# Do probes ask the name server at the port that is named there?
READS = "from monitors.diagnosis import questions; print(*(s.port for s in questions.local().servers[:1]))"
# $1: resolv.conf, $2: hosts or nothing, then the program.
INSIDE = (
    'mount --bind "$1" /etc/resolv.conf && { [ -z "$2" ] || mount --bind "$2" /etc/hosts; } && shift 2 && exec "$@"'
)


def apart() -> list[str]:
    """The command that begins a mount namespace: of our own user, where we are not root."""
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]


def impossible(directory: Path, port: int) -> str:
    """Why no process here can be given a name server of its own, which answers at this port; "" when it can."""
    if not shutil.which("unshare"):
        return "`unshare` is missing (apt-get install util-linux)"
    trial = directory / "trial"
    trial.write_text(server_line("127.0.0.1", port))
    if _inside(trial, ["true"]):
        return "only root may begin a mount namespace on this machine; run it as root"
    if port != 53 and _inside(trial, [sys.executable, "-c", READS]) != port:
        return "only root may answer at port 53 on this machine; run it as root"
    return ""


def _inside(resolv_conf: Path, words: list[str]) -> int:
    """Its exit code there; -1 when it could not be started."""
    done = subprocess.run(
        [*apart(), "sh", "-c", INSIDE, "sh", str(resolv_conf), "", *words], capture_output=True, text=True, check=False, timeout=60, cwd=settings.BASE_DIR
    )  # fmt: skip
    return int(done.stdout or 0) if done.returncode == 0 else -1


def server_line(address: str, port: int) -> str:
    """The line of a resolv.conf."""
    return f"nameserver {address}{f':{port}' if port != 53 else ''}\n"


class Region:
    """One probe, as a process. Enrolled with its token, which is good once."""

    def __init__(self, home: Path, url: str, token: str, resolver: str, hosts: dict[str, str] | None = None) -> None:
        """`resolver` is a line of resolv.conf; `hosts` are names that it knows by itself."""
        home.mkdir(parents=True)
        self.home, self.url, self.token = home, url, token
        (home / "resolv.conf").write_text(resolver)
        self._hosts = ""
        if hosts is not None:
            lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in hosts.items())]
            (home / "hosts").write_text("\n".join(lines) + "\n")
            self._hosts = str(home / "hosts")
        self._enrolling = self._run("enroll", url, token)
        self._child: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Wait until it is enrolled, and let it watch. RuntimeError with its words when it was refused."""
        if self._enrolling.wait(60):
            raise RuntimeError(f"a probe was not enrolled: {(self.home / 'log').read_text()[-300:].strip()}")
        self._child = self._run("run", "--allow", "127.0.0.0/8")

    def _run(self, *words: str) -> subprocess.Popen[bytes]:
        named = ("PATH", "HOME", "LANG", "TMPDIR")
        env = {n: os.environ[n] for n in named if n in os.environ} | {"PYTHONPATH": str(settings.BASE_DIR), "LOG_LEVEL": "WARNING"}  # fmt: skip
        words = (sys.executable, "-m", "monitors.probe.main", "--data-dir", str(self.home / "data"), *words)
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(
                [*apart(), "sh", "-c", INSIDE, "sh", str(self.home / "resolv.conf"), self._hosts, *words],
                env=env, stdout=log, stderr=log, cwd=settings.BASE_DIR, start_new_session=True,
            )  # fmt: skip

    def close(self) -> None:
        """End its process."""
        for child in (self._enrolling, self._child):
            if child is not None and child.poll() is None:
                child.terminate()
        for child in (self._enrolling, self._child):
            if child is not None:
                try:
                    child.wait(20)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait(10)

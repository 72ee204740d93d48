"""What takes part when a hung site is repaired? A portal in two processes, the machine with its file of actions, the site.

The portal runs as web and page apart: the web has only the public half of the key that orders are signed with, the page
worker alone can give one.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from monitors.probe import identity
from tests.faults import plant as plants
from tests.faults.plant import ROOT, Plant, until
from tests.monitors.acting_stage import Place
from tests.rig.process import Child, free_port

PATIENCE = 120.0  # seconds, for what takes two or three


class Machine(Place):
    """The machine on which the site runs: its file lets a probe have the supervisor start another process."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.calls, self.gate = home / "calls", home / "gate"
        text = f"""echo called >> {self.calls}
if [ -p {self.gate} ]; then read word < {self.gate}; fi
old=$(cat {home}/site); kill -HUP $(cat {home}/supervisor)
while [ "$(cat {home}/site)" = "$old" ]; do sleep 0.1; done
echo "process $old was replaced by $(cat {home}/site)" """
        restart = self.program("restart-shop", text)
        self.allow(f'[actions.restart-shop]\nkind = "service"\nargv = ["{restart}"]\ntimeout_seconds = 100\n')


class Portal(Plant):
    """An installation whose web processes cannot give orders."""

    place: Machine

    def start(self, role: str, *, clock: str = "", wait: bool = True) -> Child:
        """Start `web` or `page`, each with its half of the key."""
        signer = self.place.signer
        private, public = base64.b64encode(signer.private_bytes_raw()).decode(), identity.public_of(signer)
        half = {"page": {"ACTION_SIGNING_KEY": private}, "web": {"ACTION_PUBLIC_KEY": public}}[role]
        argv = [sys.executable, str(ROOT / "manage.py"), "up", "--only", role]
        if role == "web":
            self.port = free_port()
            argv += ["--port", str(self.port)]
        around = plants.environment(self.database_url, self.redis_url, self.home, **half, WEB_PROCESSES="1")
        log = self.home / f"{role}-{next(self._numbers)}.log"
        self.children.append((role, child := Child(argv, log=log, env=around, cwd=str(ROOT))))
        if wait:
            self.until_up(role, child)
        return child

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One of the administrator's commands."""
        around = plants.environment(self.database_url, self.redis_url, self.home)
        return subprocess.run([sys.executable, "manage.py", *words], env=around, cwd=ROOT, capture_output=True, text=True, timeout=180)  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Shop:
    """A site under its supervisor; see tests/playbooks/supervisor.py."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        words = [sys.executable, "-S", str(Path(__file__).with_name("supervisor.py")), str(home), str(self.port)]
        self.supervisor = Child(words, log=home / "supervisor.log")
        until((home / "site").exists, within=PATIENCE, what="the site")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """Of the process that serves it now."""
        return int((self.home / "site").read_text())

    def hangs(self) -> None:
        """From now on it takes every connection and answers nobody."""
        with pytest.raises(requests.Timeout):
            requests.get(f"{self.url}deadlock", timeout=1)

"""Which updates wait for this machine, and does it want to be started anew? Asked of its package manager, once an hour.

Asking takes seconds, so it is done beside the checks; a sample carries the last answer. Nothing is installed, locked or
downloaded: what the machine's own timers fetched last is what is counted. Where nobody can be asked, nothing is said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

APT = ("apt-get", "-s", "-q", "-o", "Debug::NoLocking=true", "dist-upgrade")
DNF = ("dnf", "-q", "-C", "updateinfo", "list", "--updates")
DNF_ALL = ("dnf", "-q", "-C", "check-update")
DNF_REBOOT = ("needs-restarting", "-r")
EVERY, PATIENCE = 3600.0, 120.0
MOST_TEXT = 1 << 20
REBOOT_FILE = Path("/var/run/reboot-required")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many packages wait. `reboot` None: this system does not say."""

    pending: int
    security: int
    reboot: bool | None = None


def of_apt(text: str) -> tuple[int, int]:
    """(pending, security) from a simulated apt-get: `Inst libssl3 [3.0.11] (3.0.15 Debian-Security:12/stable-security [amd64])`."""
    lines = [line for line in text.splitlines() if line.startswith("Inst ")]
    return len(lines), sum("-security" in line.lower() for line in lines)


def of_dnf(advisories: str, everything: str) -> tuple[int, int]:
    """(pending, security) from dnf 4 (`ALSA-2024:1 Important/Sec. openssl-3.0…`) or 5 (`ALSA-2024:1 security Important openssl…`)."""
    safe = {
        words[-1] if "/Sec." in line else words[3]
        for line in advisories.splitlines()
        if (words := line.split())
        and len(words) >= 3
        and ("/Sec." in line or (len(words) > 3 and words[1] == "security"))
    }
    pending = set()
    for line in everything.splitlines():
        if line.startswith("Obsoleting"):
            break
        if len(words := line.split()) == 3 and "." in words[0]:
            pending.add(words[0])
    return max(len(pending), len(safe)), len(safe)


def ask() -> Waiting | None:
    """What this machine's package manager says now; None where there is none that we know. Takes seconds."""
    if shutil.which("apt-get") and Path("/var/lib/dpkg/status").exists():
        said = _run(APT)
        return Waiting(*of_apt(said[1])) if said is not None and said[0] == 0 else None
    if shutil.which("dnf"):
        advisories, everything = _run(DNF), _run(DNF_ALL)
        if advisories is None or everything is None or advisories[0] != 0 or everything[0] not in (0, 100):
            return None
        reboot = _run(DNF_REBOOT) if shutil.which("needs-restarting") else None
        wants = reboot[0] == 1 if reboot is not None and reboot[0] in (0, 1) else None
        return Waiting(*of_dnf(advisories[1], everything[1]), wants)
    return None


def _run(command: Sequence[str]) -> tuple[int, str] | None:
    """(exit code, output) of a fixed command in plain English, or None when it could not be had in time."""
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
            env={
                "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
                "LC_ALL": "C",
                "HOME": "/nonexistent",
            },
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.returncode, done.stdout[:MOST_TEXT].decode("utf-8", "replace")


class Updates:
    """The last answer, asked for anew in the background when it is an hour old."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._answer: Waiting | None = None

    def now(self) -> dict[str, int | bool]:
        """{"pending", "security", "reboot"} as far as they are known. Does not wait."""
        with self._lock:
            old = self._asked_at is None or time.monotonic() - self._asked_at > EVERY
            if old:
                self._asked_at = time.monotonic()
        if old:
            threading.Thread(target=self._refresh, name="os-updates", daemon=True).start()
        answer, found = self._answer, {}
        if answer is not None:
            found = {"pending": answer.pending, "security": answer.security}
            if answer.reboot is not None:
                found["reboot"] = answer.reboot
        if Path("/var/lib/dpkg/status").exists():
            found["reboot"] = REBOOT_FILE.exists()
        return found

    def _refresh(self) -> None:
        self._answer = ask()

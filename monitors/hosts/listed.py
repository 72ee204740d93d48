"""Do the services and processes that a monitor names run, and how long do the certificates it names still hold?"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import psutil
from cryptography import x509

RUNNING = frozenset(("active", "activating", "reloading", "refreshing", "maintenance"))
PATIENCE = 5.0
MOST_FILE = 256 * 1024


class NobodyToAsk(Exception):
    """This machine has no systemd that answers."""


def services(names: Sequence[str]) -> dict[str, str]:
    """{service: systemd's word for it} as `active`, `failed`, `inactive`. Raises NobodyToAsk."""
    if not names:
        return {}
    try:
        done = subprocess.run(
            ["systemctl", "is-active", "--", *names],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError):
        raise NobodyToAsk from None
    words = done.stdout[:65536].decode("utf-8", "replace").split()
    if len(words) != len(names):  # one word for each, or systemd did not understand or does not run
        raise NobodyToAsk
    return {name: word[:20] for name, word in zip(names, words, strict=True)}


def processes(names: Sequence[str]) -> dict[str, int]:
    """{name: how many run}; a process is known by its own name or by the file it was started from."""
    found = dict.fromkeys(names, 0)
    if not names:
        return found
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        if process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        known_as = {process.info["name"] or ""}
        if process.info["cmdline"]:
            known_as.add(os.path.basename(process.info["cmdline"][0]))
        for name in known_as & found.keys():
            found[name] += 1
    return found


def certificates(paths: Sequence[str], at: datetime) -> dict[str, dict[str, float | str]]:
    """{path: {"days": left until the first certificate of the file runs out} or {"error": why it cannot be read}}."""
    found: dict[str, dict[str, float | str]] = {}
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                text = file.read(MOST_FILE)
            if b"-----BEGIN" in text:
                ends = [c.not_valid_after_utc for c in x509.load_pem_x509_certificates(text)]
            else:
                ends = [x509.load_der_x509_certificate(text).not_valid_after_utc]
            found[path] = {"days": round((min(ends) - at).total_seconds() / 86400, 2)}
        except OSError as error:
            found[path] = {"error": (error.strerror or "cannot be read")[:80]}
        except ValueError:
            found[path] = {"error": "holds no certificate"}
    return found

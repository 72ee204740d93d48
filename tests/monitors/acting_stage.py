"""A machine whose administrator allowed a few things: its file, its programs, a key that may give orders, and what ran."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitors.probe import allowed, envelope, identity
from monitors.probe.actions import Acts
from monitors.probe.clock import Clock
from monitors.probe.envelope import Envelope
from monitors.probe.identity import Identity
from monitors.probe.orders import Orders

PLAN = hashlib.sha256(b"restart the shop").hexdigest()


class Place:
    """The directory of such a machine, and what its programs left behind."""

    def __init__(self, home: Path) -> None:
        self.home, self.etc = home, home / "etc"
        self.etc.mkdir(mode=0o755)
        self.file, self.ran_at = self.etc / "actions.toml", home / "ran"
        self.signer = Ed25519PrivateKey.generate()
        self.clean = self.program("clean", f'printf "%s|" "$@" >> {self.ran_at}; echo >> {self.ran_at}; echo cleaned')
        self.allow()

    def program(self, name: str, text: str) -> Path:
        """A program of the administrator's, in shell."""
        path = self.home / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def script(self, name: str, text: str, seconds: int = 60) -> str:
        """Such a program as an action without parameters."""
        return (
            f'[actions.{name}]\nkind = "script"\nargv = ["{self.program(name, text)}"]\ntimeout_seconds = {seconds}\n'
        )

    def allow(self, *more: str, head: str = "") -> None:
        """The file: `clean` with a parameter of each type, and what is given."""
        self.file.write_text(
            f"""signer = "{identity.public_of(self.signer)}"
{head}
[actions.clean]
kind = "script"
argv = ["{self.clean}", "--kind", "{{kind}}", "{{days}}", "{{site}}"]
timeout_seconds = 60
describe = "Remove what is old."
[actions.clean.params.kind]
type = "choice"
choices = ["logs", "cache"]
[actions.clean.params.days]
type = "int"
min = 1
max = 30
[actions.clean.params.site]
type = "pattern"
pattern = "[a-z0-9./$();-]{{1,60}}"
"""
            + "\n".join(more)
        )
        self.file.chmod(0o644)

    @property
    def ran(self) -> list[str]:
        """What `clean` was run with, once per line."""
        return self.ran_at.read_text().splitlines() if self.ran_at.exists() else []

    def environment(self) -> dict[str, str]:
        """How a probe finds the file. Its owner is whoever runs these tests."""
        return {allowed.FILE: str(self.file), allowed.OWNER: "self"}


GOOD: dict[str, Any] = {"kind": "logs", "days": 7, "site": "shop.example"}


class Machine(Place):
    """With the part of the probe's program that follows orders, in this process."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.who = Identity.new("https://portal.example").enrolled(4, "berlin", identity.public_of(Ed25519PrivateKey.generate()))  # fmt: skip
        self.counter = 0
        self.begin(self.who)

    def begin(self, who: Identity, spool: str = "spool.sqlite3", clock: Clock | None = None, *, fresh: bool = False) -> Acts:  # fmt: skip
        """A process of its begins, on a disk that remembers the last hour unless it is fresh."""
        self.clock = clock or told_the_time(Clock())
        self.orders = Orders(self.home / spool)
        if not fresh:
            self.orders.begin_memory(self.clock.now() - 3600)
        self.acts = Acts(who, self.clock, self.orders)
        self.acts.remember()
        return self.acts

    def order(self, action: str = "clean", params: dict[str, Any] | None = None, **more: Any) -> Envelope:
        """An order that is followed, unless told otherwise."""
        self.counter += 1
        given = GOOD if params is None and action == "clean" else params or {}
        now = int(self.clock.now())
        e = Envelope(probe=self.acts.me, tenant=0, job=f"run-{self.counter}", action=action, params=given, plan_hash=PLAN, issued=now, expires=now + 60, counter=self.counter)  # fmt: skip
        return replace(e, **more)

    def sealed(self, *words: Any, **more: Any) -> dict[str, str]:
        """The same, signed by whoever may."""
        return envelope.seal(self.order(*words, **more), self.signer)

    def raw(self, **more: Any) -> dict[str, str]:
        """Signed by whoever may, however wrong it is."""
        said = {**json.loads(self.order().text()), **more}
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return {"envelope": text, "signature": b64encode(self.signer.sign(envelope.DOMAIN + text.encode())).decode()}

    def hand(self, body: Any, number: int = 1) -> tuple[str, dict[str, Any]]:
        """Hand it to the probe; what it answers."""
        return asyncio.run(self.acts.carry_out(body, number))


def told_the_time(clock: Clock) -> Clock:
    """A clock that heard the portal."""
    now = time.monotonic()
    clock.heard(int(time.time() * 1000), now, now)
    return clock


def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One machine with a probe's process that finds its file."""
    made = Machine(tmp_path)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made

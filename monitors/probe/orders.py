"""Which orders to act has this machine seen, and how far did each come? Beside the spool, each step forced to the disk.

An order is taken in at most once: its counter has to be above every one before, and its name new. "accepted" is on the disk
before anything starts, so whoever finds it there without an end knows that it was begun and must not be begun again.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from monitors.probe.envelope import Envelope

REMEMBER = 86400.0  # seconds after its end of life that an order's name is kept; the counter is kept for ever
SEEN, ACCEPTED, ENDED, TOLD = "seen", "accepted", "ended", "told"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
  job TEXT PRIMARY KEY, number INTEGER NOT NULL, action TEXT NOT NULL, plan_hash TEXT NOT NULL, expires INTEGER NOT NULL,
  step TEXT NOT NULL, state TEXT NOT NULL DEFAULT '', result TEXT NOT NULL DEFAULT '{}');
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
_RAISE = "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"


class Again(Exception):
    """This order was here before, or a later one was; the sentence says which."""


class Orders:
    """The memory of orders, in the spool's file. Each call is one transaction on the disk (fsync): not for an event loop."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        self.left = self._what_was_left()

    def _what_was_left(self) -> list[tuple[int, str, dict[str, Any]]]:
        """(job's number, state, result) of what an earlier process did not tell: those it had begun ended unseen."""
        begun = json.dumps({"why": "It was started, and its end was not seen: the probe's program ended meanwhile."})
        before = json.dumps({"why": "The probe's program ended before it was started."})
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for step, state, result in ((ACCEPTED, "unknown", begun), (SEEN, "refused", before)):
                self._db.execute(
                    "UPDATE orders SET state = ?, step = ?, result = json_set(?, '$.action', action, '$.plan_hash', plan_hash) WHERE step = ?",
                    (state, ENDED, result, step),
                )
            found = self._db.execute("SELECT number, state, result FROM orders WHERE step = ?", (ENDED,)).fetchall()
        return [(number, state, json.loads(result)) for number, state, result in found]

    def begin_memory(self, at: float) -> None:
        """Orders from before `at` (seconds since 1970) are not followed: this memory, if it is new, does not know them."""
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT OR IGNORE INTO facts VALUES ('orders_since', ?)", (int(at),))

    def distrust(self, at: float) -> None:
        """Nothing that was ordered up to `at` is followed any more: it came while nobody could say whose word counts."""
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(_RAISE, ("orders_since", int(at) + 1))

    def take(self, e: Envelope, number: int, now: float) -> None:
        """Take a genuine order in, once, whatever becomes of it. Again when it is no news."""
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            facts = dict(self._db.execute("SELECT name, value FROM facts WHERE name LIKE 'orders_%'"))
            if self._db.execute("SELECT 1 FROM orders WHERE job = ?", (e.job,)).fetchone():
                raise Again("This order was here before; each is followed once.")
            if e.counter <= facts.get("orders_counter", 0):
                raise Again("A later order was here before this one.")
            self._db.execute(_RAISE, ("orders_counter", e.counter))
            if e.issued < facts.get("orders_since", e.expires):
                raise Again("It was written before this probe could remember orders, or while its file was not to be believed.")  # fmt: skip
            self._db.execute("DELETE FROM orders WHERE step = ? AND expires < ?", (TOLD, now - REMEMBER))
            self._db.execute(
                "INSERT INTO orders (job, number, action, plan_hash, expires, step) VALUES (?, ?, ?, ?, ?, ?)",
                (e.job, number, e.action, e.plan_hash, e.expires, SEEN),
            )

    def accept(self, job: str) -> None:
        """It is begun now. RuntimeError unless it was just taken in."""
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if self._db.execute("UPDATE orders SET step = ? WHERE job = ? AND step = ?", (ACCEPTED, job, SEEN)).rowcount != 1:  # fmt: skip
                raise RuntimeError("an order was begun that was not taken in")

    def ended(self, job: str, state: str, result: dict[str, Any]) -> None:
        """It ended so."""
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("UPDATE orders SET step = ?, state = ?, result = ? WHERE job = ?", (ENDED, state, json.dumps(result), job))  # fmt: skip

    def told(self, number: int) -> None:
        """The portal knows how the job of this number ended."""
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("UPDATE orders SET step = ?, result = '{}' WHERE number = ? AND step = ?", (TOLD, number, ENDED))  # fmt: skip

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

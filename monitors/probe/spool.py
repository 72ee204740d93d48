"""Where are results until the portal has them? On this machine's disk, numbered once, oldest given up first.

SQLite in WAL mode: what was recorded survives the death of this process. A number is never used twice, also not after
its row was delivered and forgotten: the portal takes over every number at most once.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path

MOST_ROWS, MOST_BYTES, OLDEST = 500_000, 256 * 1024 * 1024, 24 * 3600.0
SPARE = 1000  # rows given up at once when it is full, so that it is not full again with the next

_SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, monitor INTEGER NOT NULL, at REAL NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


class Spool:
    """The results that are still to be delivered. Used by two threads; each call is one transaction."""

    def __init__(self, path: Path, *, rows: int = MOST_ROWS, size: int = MOST_BYTES, oldest: float = OLDEST) -> None:
        path.touch(mode=0o600)
        self.most_rows, self.most_bytes, self.oldest = rows, size, oldest
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA cache_size=-2000")
        self._db.executescript(_SCHEMA)
        rows, size = self._db.execute("SELECT count(*), coalesce(sum(length(body)), 0) FROM results").fetchone()
        self.rows, self.bytes = int(rows), int(size)
        found = self._db.execute("SELECT value FROM facts WHERE name = 'lost'").fetchone()
        self.lost = int(found[0]) if found else 0

    def add(self, results: Sequence[tuple[int, float, str]]) -> None:
        """Record (monitor, its time in seconds, the row's text without its number)."""
        if not results:
            return
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO results (monitor, at, body) VALUES (?, ?, ?)", results)
            self.rows += len(results)
            self.bytes += sum(len(body) for _, _, body in results)
        if self.rows > self.most_rows or self.bytes > self.most_bytes:
            self._give_up_surplus()

    def _give_up_surplus(self) -> None:
        while self.rows and (self.rows > self.most_rows or self.bytes > self.most_bytes):
            wanted = max(self.rows - self.most_rows, min(SPARE, self.rows, max(1, self.most_rows // 10)))
            self._give_up(f"seq IN (SELECT seq FROM results ORDER BY seq LIMIT {int(wanted)})", ())

    def give_up_old(self, now: float) -> None:
        """Forget what is older than a day (by the portal's clock); counted as lost."""
        self._give_up("at < ?", (now - self.oldest,))

    def give_up_first(self) -> None:
        """Forget the oldest: the portal does not take it. Counted as lost."""
        self._give_up("seq = (SELECT min(seq) FROM results)", ())

    def _give_up(self, where: str, values: tuple[float, ...]) -> None:
        gone = self._delete(where, values)
        if gone:
            self.lost += gone
            with self._lock, self._db:
                self._db.execute("INSERT OR REPLACE INTO facts VALUES ('lost', ?)", (self.lost,))

    def _delete(self, where: str, values: tuple[float, ...]) -> int:
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            gone = self._db.execute(f"DELETE FROM results WHERE {where} RETURNING length(body)", values).fetchall()
            self.rows -= len(gone)
            self.bytes -= sum(size for (size,) in gone)
        return len(gone)

    def first(self, most: int, size: int) -> list[tuple[int, str]]:
        """The oldest (number, text), up to `most` and about `size` characters."""
        with self._lock:
            found = self._db.execute("SELECT seq, body FROM results ORDER BY seq LIMIT ?", (most,)).fetchall()
        total = 0
        for number, (_, body) in enumerate(found):
            total += len(body)
            if total > size and number:
                return found[:number]
        return found

    def delivered(self, seq: int) -> int:
        """The portal has everything up to this number."""
        return self._delete("seq <= ?", (seq,))

    def begin_after(self, seq: int) -> None:
        """Numbers up to `seq` are taken (by this probe in an earlier life): forget those, and go on behind."""
        self.delivered(seq)
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'results'").fetchone()
            if last is None:
                self._db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('results', ?)", (seq,))
            elif last[0] < seq:
                self._db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'results'", (seq,))

    def forget(self, monitors: Collection[int]) -> int:
        """Results of monitors that are no longer ours: nobody wants them."""
        gone = 0
        for monitor in monitors:
            gone += self._delete("monitor = ?", (monitor,))
        return gone

    def oldest_at(self) -> float | None:
        """The time of the oldest one that waits."""
        with self._lock:
            found = self._db.execute("SELECT at FROM results ORDER BY seq LIMIT 1").fetchone()
        return found[0] if found else None

    def begin_job(self, job: int) -> bool:
        """Take a job, once in this spool's life. False when it was taken before."""
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM jobs WHERE at < ?", (time.time() - 30 * 86400,))
            return self._db.execute("INSERT OR IGNORE INTO jobs VALUES (?, ?)", (job, time.time())).rowcount == 1

    def last_number(self) -> int:
        """The highest number given out so far; 0 before the first."""
        with self._lock:
            found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'results'").fetchone()
        return int(found[0]) if found else 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

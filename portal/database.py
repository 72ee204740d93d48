"""Is the database ready for this code? An empty or older one is migrated, by one process at a time."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

LOCK = 0x77617463686B  # PostgreSQL's advisory lock, as a number: "watchk"
SETTLED_SECONDS = 30.0
_settled_until = 0.0


def pending() -> bool:
    """Are there migrations to apply? "No" is remembered for half a minute, as /readyz asks often."""
    global _settled_until
    if time.monotonic() < _settled_until:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return False
    executor = MigrationExecutor(connection)
    waiting = bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if not waiting:
        _settled_until = time.monotonic() + SETTLED_SECONDS
    return waiting


def forget() -> None:
    """The database was replaced: look again."""
    global _settled_until
    _settled_until = 0.0


def prepare() -> bool:
    """Migrate if needed, under a lock; True when something was done. Every command and `up` begin with it."""
    make_directory()
    if not pending():
        return False
    with _alone():
        forget()
        if not pending():  # another process was faster
            return False
        call_command("migrate", interactive=False, verbosity=0)
    forget()
    return True


def make_directory() -> None:
    """The data directory, readable by its owner only."""
    Path(settings.DATA_DIR).mkdir(parents=True, exist_ok=True, mode=0o700)
    if connection.vendor == "sqlite":
        name = str(settings.DATABASES["default"]["NAME"])
        if not name.startswith("file:") and name != ":memory:":
            Path(name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _born_in_wal(name)


def _born_in_wal(name: str) -> None:
    """A new SQLite file takes its journal mode from one process at a time: SQLite does not wait for that lock, it fails."""
    with _file_lock(), closing(sqlite3.connect(name, timeout=20)) as born:
        born.execute("PRAGMA journal_mode=WAL")


@contextmanager
def _file_lock() -> Iterator[None]:
    with (Path(settings.DATA_DIR) / "migrate.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _alone() -> Iterator[None]:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
        return
    with _file_lock():
        yield

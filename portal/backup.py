"""How is the database saved and brought back? SQLite by its backup API, PostgreSQL by pg_dump and pg_restore.

A backup is one consistent moment, taken while the portal runs; a restore happens as a whole or not at all. Raises
Refused with a sentence when it cannot be done.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection

from portal import audit, database, downgrade, signals
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Client, Token, User


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did to what opens the portal: how many sessions it ended, tokens that work, tokens it revoked."""

    sessions: int
    tokens: int
    revoked: int


def save(file: Path) -> None:
    """Write the whole database into `file` (mode 0600); an existing file is replaced only when the new one is complete."""
    if not file.parent.is_dir():
        raise Refused(f"There is no directory {file.parent}.")
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    os.close(descriptor)
    part = Path(name)
    try:
        _save_postgres(part) if connection.vendor == "postgresql" else _save_sqlite(part)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(file)
        note_of_last().touch()
    finally:
        part.unlink(missing_ok=True)


def note_of_last() -> Path:
    """A file whose time is that of the last backup that was made on this machine."""
    return Path(settings.DATA_DIR) / "last_backup"


def restore(file: Path, *, force: bool, by: Actor, revoke_tokens: bool = False) -> Restored:
    """Replace the database by what `save` wrote, migrate it, and tell the apps (`signals.restored`).

    Sessions end: one that was signed out, or whose person left, after the backup must not live again. `revoke_tokens` does
    the same to API tokens, which programs elsewhere may need.
    """
    if not file.is_file():
        raise Refused(f"There is no file {file}.")
    if not force and (User.objects.exists() or Client.objects.exists()):
        raise Refused("This database is in use. To replace everything in it, add --force.")
    _restore_postgres(file) if connection.vendor == "postgresql" else _restore_sqlite(file)
    connection.close()
    database.forget()
    downgrade.refuse_newer()
    database.prepare()
    at = database_now()
    done = _end_what_opens(at, revoke_tokens)
    after = {"file": file.name, "sessions_ended": done.sessions, "tokens_revoked": done.revoked}
    audit.record("database.restored", "database", by=by, after=after)
    audit.publish_heads(at, anew=True)
    signals.restored.send(sender=None, at=at, by=by)
    return done


def _end_what_opens(at: datetime, revoke_tokens: bool) -> Restored:
    UserSession.objects.all().delete()
    sessions = Session.objects.all().delete()[0]
    alive = Token.objects.filter(revoked_at=None)
    revoked = alive.update(revoked_at=at) if revoke_tokens else 0
    return Restored(sessions, alive.count(), revoked)


def _save_sqlite(part: Path) -> None:
    connection.ensure_connection()
    with closing(sqlite3.connect(part)) as target:
        connection.connection.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")


def _restore_sqlite(file: Path) -> None:
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as source:
        try:
            whole = source.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            applied = source.execute("SELECT app, name FROM django_migrations").fetchall()
        except sqlite3.DatabaseError:
            whole, applied = False, []
        if not whole or "portal" not in {app for app, _ in applied}:
            raise Refused(f"{file} is not a whole backup of a portal on SQLite; nothing was changed.")
        if downgrade.newer(applied):
            raise Refused(
                f"{file} was made by a newer version of the portal; restore it with that one. Nothing was changed."
            )
        connection.ensure_connection()
        try:
            source.backup(connection.connection)
        except sqlite3.OperationalError as error:
            raise Refused(f"The database is busy ({error}); stop the portal and try again.") from None


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise Refused(
            f"{name} is not on this machine; install PostgreSQL's client tools (Debian: apt install postgresql-client)."
        )
    return path


def _environment() -> dict[str, str]:
    """libpq's own variables, so that the password stands in no process list."""
    given = settings.DATABASES["default"]
    names = {
        "PGHOST": given.get("HOST"),
        "PGPORT": given.get("PORT"),
        "PGUSER": given.get("USER"),
        "PGPASSWORD": given.get("PASSWORD"),
    }
    options = {
        f"PG{name.upper()}": str(value) for name, value in given.get("OPTIONS", {}).items() if name.startswith("ssl")
    }
    wanted = {name: str(value) for name, value in names.items() if value}
    return {
        **os.environ,
        **wanted,
        **options,
        "PGDATABASE": str(connection.settings_dict["NAME"]),
        "PGAPPNAME": "watchkeeper",
    }


def _run(arguments: list[str], what: str, **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(arguments, env=_environment(), stderr=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise Refused(f"{what} failed: {' '.join(lines[:2]) or 'no reason given'}")
    return done


def _save_postgres(part: Path) -> None:
    _run([_tool("pg_dump"), "--format=custom", "--no-owner", "--no-privileges", f"--file={part}"], "pg_dump")


def _restore_postgres(file: Path) -> None:
    """The dump as one SQL transaction that begins with an empty schema: after an error everything is as before."""
    pg_restore, psql = _tool("pg_restore"), _tool("psql")
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "restore.sql"
        _run(
            [pg_restore, "--no-owner", "--no-privileges", f"--file={script}", str(file)],
            "Reading the backup with pg_restore",
        )
        empty = "SET lock_timeout = '10s'; DROP SCHEMA public CASCADE; CREATE SCHEMA public"
        connection.close()
        command = [
            psql,
            "--no-psqlrc",
            "--quiet",
            "--single-transaction",
            "--set=ON_ERROR_STOP=1",
            f"--command={empty}",
            f"--file={script}",
        ]
        _run(command, "Restoring with psql", stdout=subprocess.DEVNULL)

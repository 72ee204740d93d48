"""What runs where? One process for one machine, or web, worker and beat apart; the same residents in each.

On one machine: Celery's worker (threads, an in-memory broker) in the main thread; beat, the residents and waitress as
threads beside it. With REDIS_URL: `--only web`, `--only worker` (two processes: probing apart from paging, so that their
latencies never meet) and `--only beat`, any number of each.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from typing import Any

from celery import signals
from celery.platforms import SecurityWarning
from django.conf import settings

from portal.celery import PAGE, PROBE, app

log = logging.getLogger("watchkeeper.running")

QUEUES = {PROBE, PAGE}
TASK_THREADS = 4


def _queues_of(worker: Any) -> set[str]:
    return {queue.name for queue in worker.app.amqp.queues.consume_from.values()} & QUEUES


@signals.worker_ready.connect
def _ready(sender: Any, **_: Any) -> None:
    """The residents live where Celery's worker lives (`celery -A portal worker`): started when it is ready, after any fork."""
    from portal import residents

    residents.start(_queues_of(sender.controller if hasattr(sender, "controller") else sender))


@signals.worker_shutting_down.connect
def _shutting_down(**_: Any) -> None:
    from portal import residents

    threading.Thread(target=residents.stop, name="residents-stop").start()


def worker(queues: set[str], *, beat: bool = False) -> int:
    """Run Celery's worker for these queues in this (main) thread until a signal ends it; returns the exit code."""
    if beat:
        threading.Thread(target=run_beat, name="beat", daemon=True).start()
    warnings.filterwarnings(
        "ignore", message="You're running the worker with superuser privileges", category=SecurityWarning
    )
    logging.getLogger("kombu.connection").setLevel(logging.ERROR)  # its remark that memory:// has no host name
    consumer = app.Worker(
        pool="threads", concurrency=TASK_THREADS, queues=",".join(sorted(queues)), loglevel="WARNING", hostname=f"{'-'.join(sorted(queues))}-{os.getpid()}@%h",
        without_gossip=True, without_mingle=True, without_heartbeat=True, quiet=True,
    )  # fmt: skip
    from portal import residents

    residents.start(
        queues & QUEUES
    )  # before Celery: it is ready only once it has a broker, and the work does not wait for one
    consumer.start()
    return int(consumer.exitcode or 0)


def run_beat() -> None:
    """Beat in this thread; started again should it fall."""
    from celery.beat import Service

    while True:
        try:
            Service(app=app, max_interval=5, scheduler_cls=app.conf.beat_scheduler).start()
            return
        except Exception:
            log.exception("beat fell; it starts again in 2 s (the workers' own sweeps go on meanwhile)")
            time.sleep(2)


def web_in_thread(host: str, port: int) -> Any:
    """waitress beside the worker; returns its server (`close()` ends it). Raises OSError when the port is taken."""
    from waitress.server import create_server

    from portal.wsgi import application

    server = create_server(
        application,
        host=host,
        port=port,
        threads=6,
        asyncore_use_poll=True,
        ident=None,
        clear_untrusted_proxy_headers=False,
    )
    threading.Thread(target=server.run, name="web", daemon=True).start()
    return server


def one_process(host: str, port: int) -> int:
    """Everything, here."""
    server = web_in_thread(host, port)
    try:
        return worker(set(QUEUES), beat=True)
    finally:
        from portal import residents

        server.close()
        residents.stop(patience=30)


def web(host: str, port: int) -> None:
    """gunicorn in place of this process."""
    arguments = [
        "-b",
        f"{host}:{port}",
        "-k",
        "gthread",
        "-w",
        os.environ.get("WEB_PROCESSES", "2"),
        "--threads",
        "8",
        "--graceful-timeout",
        "25",
        "--no-control-socket",
    ]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *arguments, "portal.wsgi:application"])


class Supervisor:
    """Runs commands of our own as child processes: starts a fallen one again (with growing patience), ends all on a signal."""

    def __init__(self, commands: dict[str, list[str]]) -> None:
        self.commands = commands
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.falls: dict[str, int] = dict.fromkeys(commands, 0)
        self.stopping = threading.Event()

    def run(self) -> int:
        """Until SIGINT or SIGTERM; returns 0."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stopping.set())
        started = dict.fromkeys(self.commands, 0.0)
        wait_until = dict.fromkeys(self.commands, 0.0)
        while not self.stopping.is_set():
            for name, command in self.commands.items():
                child = self.children.get(name)
                if child is not None and child.poll() is None:
                    if self.falls[name] and time.monotonic() - started[name] > 60:
                        self.falls[name] = 0
                    continue
                if child is not None and not wait_until[name]:
                    patience = min(30, 2 ** self.falls[name] * 0.5)
                    self.falls[name] += 1
                    wait_until[name] = time.monotonic() + patience
                    log.error("%s ended with %s; it starts again in %.1f s", name, child.returncode, patience)
                if time.monotonic() >= wait_until[name]:
                    self.children[name] = subprocess.Popen(command, start_new_session=True)
                    started[name], wait_until[name] = time.monotonic(), 0.0
            self.stopping.wait(0.2)
        for child in self.children.values():
            if child.poll() is None:
                child.terminate()
        until = time.monotonic() + 35
        for child in self.children.values():
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
        return 0


def command(*arguments: str) -> list[str]:
    """One of our own commands as a child process."""
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]

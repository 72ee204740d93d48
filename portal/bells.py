"""How does a change reach the loop that waits for it? By a doorbell that may be lost: every loop also looks each second.

`ring_on_commit` is for those who write rows: within this process it wakes the loop at once; for other processes one
thread publishes a Celery message, with short time-outs and without retry, so that no request ever waits for a broker.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import defaultdict

from django.conf import settings
from django.db import transaction

log = logging.getLogger("watchkeeper.bells")

PROBE, EVALUATE, SEND = "probe", "evaluate", "send"
ACT = "act"  # a run of a playbook may begin
DIAGNOSE, CONCLUDE = "diagnose", "conclude"  # the portal's own probe has something to measure; something was measured
BY_PROBERS = (PROBE, DIAGNOSE)  # heard in the workers of that queue; all others in those of the pages
_bells: dict[str, list[threading.Event]] = defaultdict(list)
_outbox: queue.Queue[str] = queue.Queue(maxsize=200)
_started = threading.Lock()
_publisher: threading.Thread | None = None


def listen(name: str) -> threading.Event:
    """A bell of this process, set when somebody rings `name`."""
    bell = threading.Event()
    _bells[name].append(bell)
    return bell


def unlisten(name: str, bell: threading.Event) -> None:
    """The loop has ended."""
    if bell in _bells[name]:
        _bells[name].remove(bell)


def ring_here(name: str) -> bool:
    """Wake this process's loops of that name; False when it has none."""
    for bell in _bells[name]:
        bell.set()
    return bool(_bells[name])


def ring(name: str) -> None:
    """Wake the loop, here if it lives here, else by a message."""
    if ring_here(name) or settings.ONE_MACHINE:
        return
    global _publisher
    with _started:
        if _publisher is None or not _publisher.is_alive():
            _publisher = threading.Thread(target=_publish, name="bells", daemon=True)
            _publisher.start()
    try:
        _outbox.put_nowait(name)
    except queue.Full:  # a doorbell more or less: the loops look by themselves
        log.debug("bell %s dropped", name)


def ring_on_commit(*names: str) -> None:
    """Ring when the current transaction is committed."""
    for name in names:
        transaction.on_commit(lambda name=name: ring(name))


def _publish() -> None:
    from portal.celery import app

    while True:
        names = {_outbox.get()}
        while not _outbox.empty():  # a burst is one ring each
            names.add(_outbox.get())
        for name in names:
            task = "portal.tasks.ring_probe" if name in BY_PROBERS else "portal.tasks.ring_page"
            try:
                app.send_task(task, args=(name,), retry=False, expires=10)
            except Exception as error:  # noqa: BLE001 - whatever the broker does, a bell may be lost
                log.debug("bell %s not published: %s", name, type(error).__name__)

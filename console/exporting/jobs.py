"""How is an archive asked for, made, fetched and forgotten? The row is the queue; a loop in every worker of pages makes them.

Its megabytes lie in the database, so that every process can serve what another one made. Each is one person's to ask for
who may change the client's things, is kept for a week, and who asked and who fetched it is on record.
"""

from __future__ import annotations

import hashlib
import io
import logging
import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import DatabaseError, IntegrityError, InterfaceError, transaction

from console.exporting import archive, contents
from portal import audit, bells, slots
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Client, ClientExport, ExportPart
from portal.residents import Resident

log = logging.getLogger("watchkeeper.exports")

KEPT = timedelta(days=7)
LEASE = timedelta(minutes=5)  # above the longest file of an archive
PART = 1024 * 1024  # bytes of a row
BELL = "export"
State = ClientExport.State


class Lost(Exception):
    """Somebody else has it by now, or it is not wanted any more."""


# --- Asked for, fetched ---------------------------------------------------------------------------------------------------
def ask(client: Client, *, by: Actor, at: datetime) -> ClientExport:
    """Have an archive made. Refused while one is being made."""
    try:
        with transaction.atomic():
            row = ClientExport.objects.create(
                client=client, asked_by=by.name[:200], asked_at=at, total=contents.count(client)
            )
            audit.record("client.export_asked", client, by=by, client_id=client.pk)
    except IntegrityError:
        raise Refused("An archive of this client is being made already.") from None
    bells.ring_on_commit(BELL)
    return row


def latest(client: Client, at: datetime) -> ClientExport | None:
    """The one asked for last, unless it is over."""
    row = ClientExport.objects.filter(client=client).order_by("-pk").first()
    return None if row is not None and row.expires_at is not None and row.expires_at <= at else row


def fetched(row: ClientExport, *, by: Actor, at: datetime) -> Iterator[bytes]:
    """Its bytes, a megabyte at a time; on record before the first. Refused when it is not ready or over."""
    if row.state != State.READY or row.expires_at is None or row.expires_at <= at:
        raise Refused("There is no archive to fetch: it is not ready, or its week is over. Ask for a new one.")
    audit.record("client.export_fetched", row.client, by=by, client_id=row.client_id, after={"digest": row.digest, "bytes": row.size})  # fmt: skip
    numbers = list(row.parts.order_by("n").values_list("n", flat=True))
    return (bytes(row.parts.values_list("data", flat=True).get(n=n)) for n in numbers)


# --- Made -----------------------------------------------------------------------------------------------------------------
class Packer(Resident):
    """Makes one archive after the other."""

    bell_name = BELL
    longest_rest = 5.0

    def __init__(self) -> None:
        super().__init__("packer")

    def step(self) -> float:
        return 0.0 if make_next(database_now()) else self.longest_rest


def make_next(at: datetime) -> bool:
    """Make the archive that waits longest; False when none waits."""
    row = _claim(at)
    if row is None:
        return False
    try:
        _make(row)
    except Lost:
        log.info("export %s was taken away while it was made", row.pk)
    except (DatabaseError, InterfaceError):
        raise  # its lease runs out, and then it is said
    except Exception:
        log.exception("export %s could not be made", row.pk)
        _end(row, State.FAILED, error="It could not be made; the portal's log says why. Ask for it once more.")
    return True


def _claim(at: datetime) -> ClientExport | None:
    _bury(at)
    token = random.getrandbits(62)
    waiting = ClientExport.objects.filter(state=State.WAITING, client__deleted_at=None).order_by("pk")
    for pk in list(waiting.values_list("pk", flat=True)[:5]):
        taken = ClientExport.objects.filter(pk=pk, state=State.WAITING)
        if taken.update(state=State.RUNNING, lease_token=token, lease_until=at + LEASE):
            return ClientExport.objects.select_related("client").get(pk=pk)
    return None


def _bury(at: datetime) -> None:
    """What a process left when it died is said, and not begun again: what broke one may break the next."""
    dead = ClientExport.objects.filter(state=State.RUNNING, lease_until__lt=at)
    for row in list(dead):
        _end(row, State.FAILED, error="The process that made it ended. Ask for it once more.")


def _make(row: ClientExport) -> None:
    row.parts.all().delete()
    out = Parts(row)

    def told(name: str, done: int) -> None:
        mine = ClientExport.objects.filter(pk=row.pk, lease_token=row.lease_token, state=State.RUNNING)
        if not mine.update(step=name[:60], done=done, lease_until=database_now() + LEASE):
            raise Lost

    archive.write(row.client, out, row.asked_at, told)  # type: ignore[arg-type]
    out.finish()
    at = database_now()
    _end(row, State.READY, size=out.size, digest=out.digest.hexdigest(), done=row.total, expires_at=at + KEPT)


def _end(row: ClientExport, state: str, **values: object) -> None:
    mine = ClientExport.objects.filter(pk=row.pk, lease_token=row.lease_token, state=State.RUNNING)
    ended = {"state": state, "step": "", "finished_at": database_now(), "lease_token": None, "lease_until": None}
    if mine.update(**ended, **values) and state == State.FAILED:
        row.parts.all().delete()


class Parts(io.RawIOBase):
    """A stream whose megabytes become rows."""

    def __init__(self, row: ClientExport) -> None:
        self.row, self.n, self.size = row, 0, 0
        self.digest, self.waiting = hashlib.sha256(), bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.waiting += data
        while len(self.waiting) >= PART:
            self._keep(bytes(self.waiting[:PART]))
            del self.waiting[:PART]
        return len(data)

    def _keep(self, data: bytes) -> None:
        ExportPart.objects.create(export=self.row, n=self.n, data=data)
        self.digest.update(data)
        self.n, self.size = self.n + 1, self.size + len(data)

    def finish(self) -> None:
        """What is left over is the last row."""
        if self.waiting:
            self._keep(bytes(self.waiting))
            self.waiting.clear()


# --- Forgotten ------------------------------------------------------------------------------------------------------------
def forget(at: datetime) -> int:
    """Delete what is a week old, and what failed then; returns how many."""
    old = ClientExport.objects.filter(finished_at__lte=at - KEPT)
    return len([row.delete() for row in old])


slots.register("exports", 3600, forget)

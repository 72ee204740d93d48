"""Who did what? `record` appends to a hash chain that a change, a gap or a cut tail breaks; `verify` proves it.

One chain per client and one for the MSP, so that a busy client never makes another wait for a row. Entries are of
people and actions only: checks and deliveries have logs of their own.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models, transaction

from portal import audit_heads
from portal.clock import database_now
from portal.logs import request_id
from portal.models import AuditEntry, AuditHead

MSP_CHAIN = "msp"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person (perhaps by a token or a link) or the portal itself."""

    name: str
    ip: str = ""
    user_id: int | None = None

    @classmethod
    def of(cls, request: Any) -> Actor:
        """The person behind a request."""
        user = getattr(request, "user", None)
        token = getattr(request, "auth", None) if hasattr(request, "_request") else None
        name = str(getattr(user, "email", "") or "anonymous")
        if token is not None:
            name = f"{name} (token {token.name})"
        return cls(name=name[:200], ip=request.META.get("REMOTE_ADDR", "") or "", user_id=getattr(user, "pk", None))


PORTAL = Actor("Watchkeeper")


def chain_of(client_id: int | None) -> str:
    """The chain's name for a client, or the MSP's."""
    return f"client:{client_id}" if client_id else MSP_CHAIN


def canonical(entry: AuditEntry) -> bytes:
    """The bytes that are hashed: every field but the hash itself, in one spelling."""
    return json.dumps(
        [
            entry.previous, entry.chain, entry.seq, entry.client_id, entry.at.astimezone(UTC).isoformat(timespec="milliseconds"),
            entry.actor, entry.ip, entry.request_id, entry.action, entry.subject, entry.subject_name, entry.before, entry.after,
        ],
        ensure_ascii=False, sort_keys=True, separators=(",", ":"),
    ).encode()  # fmt: skip


def record(
    action: str,
    subject: models.Model | str,
    *,
    by: Actor,
    client_id: int | None = None,
    before: dict | None = None,
    after: dict | None = None,
) -> AuditEntry:
    """Append one act, in the caller's transaction. Values must be JSON and free of secrets."""
    with transaction.atomic():
        chain = chain_of(client_id)
        AuditHead.objects.get_or_create(chain=chain)
        head = AuditHead.objects.select_for_update().get(chain=chain)
        named = isinstance(subject, models.Model)
        at = database_now()
        entry = AuditEntry(
            chain=chain, seq=head.seq + 1, client_id=client_id, at=at.replace(microsecond=at.microsecond // 1000 * 1000), actor=by.name, ip=by.ip,
            request_id=request_id.get()[:36], action=action, subject=f"{subject._meta.model_name}:{subject.pk}" if named else str(subject)[:80],
            subject_name=str(subject)[:200] if named else "", before=plain(before or {}), after=plain(after or {}), previous=head.hash,
        )  # fmt: skip
        entry.hash = hashlib.sha256(canonical(entry)).hexdigest()
        entry.save(force_insert=True)
        AuditHead.objects.filter(chain=chain).update(seq=entry.seq, hash=entry.hash)
        return entry


def plain(values: dict) -> dict:
    """The values as JSON would give them back (dates as text), so that a hash made now fits what is read later."""
    return json.loads(json.dumps(values, default=str))


def verify(copy: Path | None = None) -> Iterator[str]:
    """Sentences about what is wrong, none when every chain holds: changed, missing, reordered entries and cut tails.

    `copy`: heads that were sent elsewhere (AUDIT_HEADS), compared besides those in the data directory. OSError without it.
    """
    heads = {h.chain: h for h in AuditHead.objects.all()}
    previous: dict[str, tuple[int, str]] = {}
    for entry in AuditEntry.objects.order_by("chain", "seq").iterator(chunk_size=2000):
        seq, digest = previous.get(entry.chain, (0, ""))
        if entry.seq != seq + 1:
            yield f"{entry.chain}: after entry {seq} comes {entry.seq}; what was between is missing."
        if entry.previous != digest and entry.seq == seq + 1:
            yield f"{entry.chain}: entry {entry.seq} does not follow entry {seq}."
        if hashlib.sha256(canonical(entry)).hexdigest() != entry.hash:
            yield f"{entry.chain}: entry {entry.seq} ({entry.action}) was changed after it was written."
        previous[entry.chain] = (entry.seq, entry.hash)
    for chain, head in heads.items():
        if previous.get(chain, (0, "")) != (head.seq, head.hash):
            yield f"{chain}: the head says {head.seq} entries, the log ends at {previous.get(chain, (0, ''))[0]}."
    for chain in previous.keys() - heads.keys():
        yield f"{chain}: its head is missing."
    yield from _against_outside(previous, _outside_heads(heads_file()))
    if copy is not None:
        yield from _against_outside(previous, _heads_in(copy.read_text()))


def heads_file() -> Path:
    """Where signed heads are written, outside the database."""
    return Path(settings.DATA_DIR) / "audit-heads.log"


def _sign(line: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), line.encode(), hashlib.sha256).hexdigest()


def publish_heads(at: datetime, *, anew: bool = False) -> int:
    """Write a signed line for every chain that moved since the last time, and send what is new (AUDIT_HEADS); returns how many.

    `anew`: a backup was restored, so every chain begins again where the backup ends; chains that it lacks end at 0.
    """
    path = heads_file()
    known = _outside_heads(path)
    heads = list(AuditHead.objects.order_by("chain"))
    moved = [h for h in heads if h.seq and (anew or known.get(h.chain, (0, ""))[0] < h.seq)]
    if anew:
        moved += [AuditHead(chain=chain, seq=0, hash="-") for chain in sorted(known.keys() - {h.chain for h in heads})]
    if moved:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            for head in moved:
                line = f"{at.astimezone(UTC).isoformat(timespec='seconds')} {head.chain} {head.seq} {head.hash}"
                file.write(f"{line} {_sign(line)}\n")
        path.chmod(0o600)
    audit_heads.carry(path)
    return len(moved)


def _outside_heads(path: Path) -> dict[str, tuple[int, str]]:
    try:
        return _heads_in(path.read_text())
    except FileNotFoundError:
        return {}


def _heads_in(text: str) -> dict[str, tuple[int, str]]:
    heads: dict[str, tuple[int, str]] = {}
    for signed in text.splitlines():
        line, _, signature = signed.strip().rpartition(" ")
        if hmac.compare_digest(_sign(line), signature):
            _, chain, seq, digest = line.split(" ")
            heads[chain] = (int(seq), digest)
    return heads


def _against_outside(previous: dict[str, tuple[int, str]], outside: dict[str, tuple[int, str]]) -> Iterator[str]:
    for chain, (seq, digest) in outside.items():
        if not seq:  # gone with a restore that is on record
            continue
        if previous.get(chain, (0, ""))[0] < seq:
            yield f"{chain}: the signed head outside names entry {seq}, the log ends before it; its tail was cut."
        elif not AuditEntry.objects.filter(chain=chain, seq=seq, hash=digest).exists():
            yield f"{chain}: entry {seq} differs from the signed head outside."

"""What does a remote probe's batch of results say? Read strictly: what does not fit refuses the whole, and nothing is guessed.

A probe may be anybody's machine, so numbers have bounds, words lose what would forge a line, and facts of an unknown
shape are left out.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitors import acting
from monitors.checks.base import ERROR_CLASSES, safe_sentence
from monitors.probe.clock import EPOCH
from monitors.remote import Denied
from monitors.watching import KEPT

MOST_WIRE, MOST_PLAIN, MOST_RESULTS = 1024 * 1024, 8 * 1024 * 1024, 2000
MOST_HEALTH = 40
AHEAD = timedelta(seconds=2)  # a probe's idea of our time may be ahead by so much; more is brought back to now
LARGEST = 2**62
FACTS = ("certificate", "domain", "host", "containers")  # what a result may bring beside its figures


@dataclass(slots=True)
class Row:
    """One result."""

    seq: int
    monitor: int
    at: datetime
    status: int
    phases: tuple[float | None, ...]  # dns, connect, tls, first byte, total: milliseconds
    loss: float | None
    http_status: int | None
    error_class: str
    message: str
    version: int
    more: dict[str, Any]


@dataclass(slots=True)
class Batch:
    """A request's body, checked."""

    rows: list[Row]
    health: dict[str, Any]
    blind: str
    anchors_ok_at: datetime | None


def unpack(body: bytes, encoding: str) -> bytes:
    """The plain body. Denied (413) for more than 8 MB of it, however small it was packed; (400) for what is no gzip."""
    if len(body) > MOST_WIRE:
        raise Denied(413, "too_large", "At most 1 MB on the wire; send fewer results at a time.")
    if encoding not in ("", "identity", "gzip"):
        raise Denied(415, "encoding", "Content-Encoding: gzip or none.")
    if encoding != "gzip":
        return body
    try:
        plain = zlib.decompressobj(wbits=31)
        found = plain.decompress(body, MOST_PLAIN + 1)
    except zlib.error:
        raise Denied(400, "invalid", "The body is not gzip.") from None
    if len(found) > MOST_PLAIN:
        raise Denied(413, "too_large", "At most 8 MB unpacked; send fewer results at a time.")
    if not plain.eof or plain.unused_data:
        raise Denied(400, "invalid", "The body is cut short, or more than one gzip.")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def read(plain: bytes, at: datetime) -> Batch:
    """The batch in a body. Denied (400) for whatever does not fit; nothing is guessed."""
    try:
        said = json.loads(plain, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Denied(400, "invalid", "The body is not JSON.") from None
    results = said.get("results") if isinstance(said, dict) else None
    if not isinstance(results, list):
        raise Denied(400, "invalid", "results: a list.")
    if len(results) > MOST_RESULTS:
        raise Denied(413, "too_large", f"At most {MOST_RESULTS} results at a time.")
    rows, last = [], 0
    for raw in results:
        row = _row(raw, at)
        if row is None or row.seq <= last:
            raise Denied(400, "invalid", f"results: number {len(rows)} does not fit.")
        last = row.seq
        rows.append(row)
    blind, anchors = said.get("blind", ""), said.get("anchors_ok_us")
    return Batch(
        rows,
        _health(said.get("health")),
        safe_sentence(blind[:300]) if isinstance(blind, str) else "",
        min(EPOCH + timedelta(microseconds=anchors), at) if type(anchors) is int and 0 < anchors < 2**53 else None,
    )


def _row(raw: Any, at: datetime) -> Row | None:
    """[number, monitor, microseconds, status, dns, connect, tls, first byte, total, loss, HTTP status, class, message, version, more]"""
    if type(raw) is not list or len(raw) != 15:
        return None
    seq, monitor, us, status, dns, connect, tls, first, total, loss, code, error_class, message, version, more = raw
    if not (
        type(seq) is int and 0 < seq < LARGEST and type(monitor) is int and 0 < monitor < LARGEST and type(us) is int and 0 < us < 2**53
        and type(status) is int and 0 <= status <= 3 and type(version) is int and 0 <= version < 2**31
        and type(error_class) is str and (not error_class or error_class in ERROR_CLASSES) and type(message) is str and len(message) <= 300
        and (code is None or (type(code) is int and 0 <= code <= 999)) and (loss is None or (type(loss) in _NUMBER and 0 <= loss <= 100))
        and (more is None or type(more) is dict)
    ):  # fmt: skip
        return None
    phases = (dns, connect, tls, first, total)
    for value in phases:
        if value is not None and not (type(value) in _NUMBER and 0 <= value <= 1e9):
            return None
    moment = EPOCH + timedelta(microseconds=us)
    if moment > at + AHEAD:
        moment = at
    return Row(seq, monitor, moment, status, phases, loss, code, error_class, _clean(message), version, more or {})


_NUMBER = (int, float)


def _clean(message: str) -> str:
    return message if message.isprintable() else safe_sentence(message)


def _health(said: Any) -> dict[str, Any]:
    """A probe's words about itself: some short numbers and sentences by name; anything else is left out."""
    found: dict[str, Any] = {}
    for name, value in list(said.items())[:MOST_HEALTH] if isinstance(said, dict) else ():
        if not (isinstance(name, str) and len(name) <= 40 and name.isprintable()) or name in (*KEPT, "blind"):
            continue
        if isinstance(value, bool) or (type(value) in _NUMBER and -1e15 < value < 1e15):
            found[name] = value
        elif isinstance(value, str):
            found[name] = safe_sentence(value[:200])
        elif name == "actions":
            found[name] = acting.offers(value)
    return found


def facts(more: dict[str, Any]) -> dict[str, Any]:
    """Facts as the check files write them. A probe may be anybody's: what does not fit is left out."""
    found = {name: _plain(more[name]) for name in FACTS if isinstance(more.get(name), dict)}
    if "certificate" in found and not (
        _is_time(found["certificate"].get("not_after")) and _is_fingerprint(found["certificate"].get("fingerprint"))
        and (found["certificate"].get("not_before") in (None, "") or _is_time(found["certificate"]["not_before"]))
        and isinstance(found["certificate"].get("names", []), list)
        and isinstance(found["certificate"].get("chain_error") or "", str)
    ):  # fmt: skip
        del found["certificate"]
    if "domain" in found and not _is_time(found["domain"].get("expires_at")):
        del found["domain"]
    return found


def _plain(value: Any, depth: int = 6) -> Any:
    """A JSON value without what no database takes (NUL, half characters) and without end."""
    if isinstance(value, str):
        return value if value.isprintable() else value.encode("utf-8", "replace").decode().replace("\x00", "")
    if isinstance(value, dict):
        return {_plain(k[:200]): _plain(v, depth - 1) for k, v in list(value.items())[:1000]} if depth else None
    if isinstance(value, list):
        return [_plain(v, depth - 1) for v in value[:1000]] if depth else None
    return (
        value if value is None or isinstance(value, bool) or (type(value) in _NUMBER and abs(value) < 2**63) else None
    )


def _is_time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _is_fingerprint(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64 and value.isalnum()

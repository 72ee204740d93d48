"""What does stored evidence say, in rows that a page can show? Pure; it trusts neither the shape nor the words of what probes sent.

Names of hops, subjects of certificates, DNS text and messages are written by strangers. Here they lose their control
characters and their length; what is not of the expected kind is left out as if it had not been measured.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from monitors.diagnosis import usual as usuals
from portal.secrets import MASK

SHORT, LONG = 120, 600
MOST_ROWS = 24
CHANGED_SHAPE = "�"
SECRET_KEYS = re.compile(r"authorization|cookie|passw|secret|token|api.?key|credential|community", re.IGNORECASE)
SHORTEST_SECRET = 4  # a shorter one stands by chance in too many places
PHASES = (
    ("dns_ms", "DNS"), ("connect_ms", "connect"), ("tls_ms", "TLS"), ("first_byte_ms", "first byte"), ("total_ms", "total"),
)  # fmt: skip


# --- Strangers' words and numbers ------------------------------------------------------------------------------------------
def plain(value: object, longest: int = SHORT) -> str:
    """Text on one line: control, direction and invisible characters shown as �, cut at `longest`. "" for anything but text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = str(value)[: longest * 4]
    text = "".join(" " if c in " \t\r\n" else CHANGED_SHAPE if unicodedata.category(c)[0] == "C" else c for c in text)
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def number(value: object) -> float | None:
    """A finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def whole(value: object) -> int | None:
    """A whole number that fits a database, else None."""
    found = number(value)
    return int(found) if found is not None and abs(found) < 2**62 else None


def numbers(value: object) -> list[float]:
    """The finite numbers of a list."""
    return [n for v in value[:200] if (n := number(v)) is not None] if isinstance(value, list) else []


def table(value: object) -> dict[str, Any]:
    """A JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: object, most: int = MOST_ROWS) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [v for v in value[:most] if isinstance(v, dict)] if isinstance(value, list) else []


def words(value: object, most: int = 12) -> list[str]:
    """The texts of a list, made plain."""
    return [w for v in value[:most] if (w := plain(v))] if isinstance(value, list) else []


def moment(value: object) -> datetime | None:
    """Seconds since 1970 as a moment; None for what is none."""
    seconds = number(value)
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OSError, OverflowError):
        return None


def percent(share: float | None) -> str:
    """A share as people read it; small losses are not rounded away."""
    if share is None:
        return "–"
    return f"{share * 100:.1f} %" if 0 < share < 0.01 else f"{share * 100:.0f} %"


# --- What must not leave ------------------------------------------------------------------------------------------------------
def secrets_in(value: object) -> set[str]:
    """Every text of a monitor's opened secrets that is long enough to be looked for."""
    if isinstance(value, Mapping):
        return set().union(*(secrets_in(v) for v in value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*(secrets_in(v) for v in value)) if value else set()
    return {value} if isinstance(value, str) and len(value) >= SHORTEST_SECRET else set()


def masked(value: Any, secrets: Iterable[str] = ()) -> Any:
    """The same JSON without secrets: values under telling keys, and the given texts wherever they stand."""
    hidden = sorted(secrets, key=len, reverse=True)
    if isinstance(value, dict):
        return {
            _without(str(k), hidden): MASK if SECRET_KEYS.search(str(k)) and isinstance(v, str) and v else masked(v, hidden)
            for k, v in value.items()
        }  # fmt: skip
    if isinstance(value, list):
        return [masked(v, hidden) for v in value]
    return _without(value, hidden) if isinstance(value, str) else value


def _without(text: str, hidden: Sequence[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, MASK)
    return text


def own_for_strangers(own: Mapping[str, Any]) -> dict[str, Any]:
    """A probe's own line without the names and addresses of our network: how many, how well."""
    found = {k: own[k] for k in ("neighbours", "target_on_lan", "arp") if k in own}
    anchors, gateway = table(own.get("anchors")), table(own.get("gateway"))
    if anchors:
        found["anchors"] = {"asked": len(anchors), "reached": sum(v is True for v in anchors.values())}
    if gateway:
        found["gateway"] = {k: v for k, v in gateway.items() if k in ("sent", "got", "ms")}
    return found


# --- Phases against what is usual ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Phase:
    """One part of a request from one probe, in ms; `usual` is (p5, p50, p95)."""

    label: str
    ms: float
    usual: tuple[float, float, float] | None = None

    @property
    def tone(self) -> str:
        """up, degraded or down against the usual band; "" when nothing is known."""
        if self.usual is None:
            return ""
        high = self.usual[2]
        return "up" if self.ms <= max(high, 1.0) else "degraded" if self.ms <= 2 * max(high, 1.0) else "down"

    @property
    def word(self) -> str:
        """The same in words."""
        return {"up": "as usual", "degraded": "slower than usual", "down": "much slower than usual"}.get(self.tone, "")


def phases(evidence: Mapping[str, Any], usual: Mapping[str, Any]) -> list[Phase]:
    """The phases of the battery's own request, else of its check; those of TCP and TLS where there was no request."""
    seen = table(table(evidence.get("http")).get("phases")) or table(table(evidence.get("check")).get("phases"))
    measured = {key: number(seen.get(key)) for key, _ in PHASES}
    connects = numbers(table(evidence.get("connect")).get("ms"))
    if measured["connect_ms"] is None and connects:
        measured["connect_ms"] = median(connects)
    if measured["tls_ms"] is None:
        measured["tls_ms"] = number(table(evidence.get("tls")).get("ms"))
    at = number(evidence.get("at")) or 0.0
    return [
        Phase(label, max(0.0, ms), _band(usuals.phase(dict(usual), key, at)))
        for key, label in PHASES
        if (ms := measured[key]) is not None
    ]


def _band(value: object) -> tuple[float, float, float] | None:
    found = numbers(value)
    return (found[0], found[1], found[2]) if len(found) == 3 else None

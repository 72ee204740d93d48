"""How is it said? Plain words for causes, places and regions; whatever a network wrote is reduced to harmless text."""

from __future__ import annotations

from collections.abc import Sequence

from monitors.checks.base import safe_sentence

SUMMARY_LIMIT = 140
TEXT_LIMIT = 240
LAYER_WORDS = {
    "dns": "DNS", "tls": "The certificate", "transit": "The way there", "client_network": "The client's network", "server": "The server", "service": "The service",
    "application": "The application", "probe": "The probe", "unknown": "Unknown",
}  # fmt: skip


def safe(text: object, limit: int = TEXT_LIMIT) -> str:
    """One harmless line of at most `limit` characters."""
    line = safe_sentence(str(text)[:1000])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def network(asn: int | None, name: str = "") -> str:
    """`AS26599 Telefonica`, or nothing."""
    return f"AS{asn} {safe(name, 40)}".strip() if asn else ""


def hop(ttl: int | None, address: str | None, asn: int | None, as_name: str = "") -> str:
    """`hop 7 (AS26599 Telefonica)`; the address where the AS is not known."""
    what = network(asn, as_name) or safe(address or "", 45)
    return (f"hop {ttl}" if ttl else "one router") + (f" ({what})" if what else "")


def regions(confirming: Sequence[str], asked: int) -> str:
    """`in 5 of 6 regions`, `in all 5 regions`, `from fra-1`."""
    if asked == 1 or not confirming:
        return f"from {safe(confirming[0], 40)}" if confirming else ""
    return f"in all {asked} regions" if len(confirming) == asked else f"in {len(confirming)} of {asked} regions"


def age(seconds: float) -> str:
    """`40 min`, `3 hours`, `2 days`."""
    minutes = max(0, round(seconds / 60))
    if minutes < 90:
        return f"{minutes} min"
    hours = round(minutes / 60)
    if hours < 48:
        return f"{hours} hours"
    return f"{round(hours / 24)} days"


def sentence(*pieces: str, limit: int = SUMMARY_LIMIT) -> str:
    """The pieces in one line; those that are empty are left out, and the last ones as well when it grows too long."""
    kept = [piece for piece in pieces if piece]
    while len(kept) > 1 and len(" ".join(kept)) > limit:
        kept.pop()
    return safe(" ".join(kept).replace(" ,", ",").replace(" :", ":"), limit)

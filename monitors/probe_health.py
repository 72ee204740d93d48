"""How is a probe? One word, since when and why, from its row alone. Pure: the same on its page, in lists, over the API.

`monitors.watching` takes a vote away; this file only says in words what is to be seen. Worst first: CODES is the order
of lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from monitors import watching
from monitors.models import Probe
from monitors.probe.runner import VERSION

OURS_SILENT = timedelta(seconds=60)  # our own workers write each few seconds; a restart of them is no outage
OLD_SECONDS = 30  # results that waited longer are history when they arrive (`monitors.ingest.YOUNG`)
LATE_MS = 10_000
# code: (word, which of the seven shapes). The codes are the API's.
WORDS = {
    "silent": ("Disconnected", "down"),
    "blind": ("Blind", "degraded"),
    "clock_off": ("Clock off", "degraded"),
    "stale": ("Stale", "degraded"),
    "never_seen": ("Not connected yet", "pending"),
    "revoked": ("Revoked", "unknown"),
    "disabled": ("Disabled", "paused"),
    "ok": ("Well", "up"),
}
CODES = tuple(WORDS)


@dataclass(frozen=True, slots=True)
class Health:
    """`why` is for those who may know of the machine: it may name its clock, its line, its program."""

    code: str
    since: datetime | None = None
    why: str = ""

    @property
    def word(self) -> str:
        """As people read it."""
        return WORDS[self.code][0]

    @property
    def shape(self) -> str:
        """Which of the seven shapes."""
        return WORDS[self.code][1]

    @property
    def order(self) -> int:
        """Worst first."""
        return CODES.index(self.code)

    @property
    def is_bad(self) -> bool:
        """Is it something to look at? What a person switched off is not, and what is still being set up."""
        return self.code in ("silent", "blind", "clock_off", "stale")


def health_of(probe: Probe, at: datetime) -> Health:
    """The health of a probe at a moment."""
    if not probe.enabled:
        return Health(
            "disabled", None, "A person switched it off: it watches nothing, and what it saw last does not vote."
        )
    if probe.revoked_at is not None:
        return Health("revoked", probe.revoked_at, "Its key opens nothing any more; a new token lets it enrol anew.")
    if probe.last_seen_at is None:
        return Health("never_seen", None, _waiting(probe))
    if at - probe.last_seen_at > (OURS_SILENT if probe.built_in else watching.SILENT):
        return Health("silent", probe.last_seen_at, OURS_GONE if probe.built_in else GONE)
    off = probe.clock_offset_ms or 0
    if abs(off) > watching.CLOCK_OFF_MS:
        return Health("clock_off", probe.blind_since, f"Its clock is {abs(off) / 1000:.0f} s {'ahead' if off > 0 else 'behind'}, so its results do not vote; set it there (NTP).")  # fmt: skip
    if probe.blind_since is not None:
        return Health("blind", probe.blind_since, f"{probe.blind_reason} Its results are kept and do not vote.".strip())
    return _stale(probe, at) or Health("ok", probe.last_seen_at)


GONE = "It is not heard: its machine, its line or its program has stopped. “watchkeeper-probe status” on that machine says which."
OURS_GONE = "No worker of the portal makes checks: start one with “manage.py up”, and look at its log."


def _waiting(probe: Probe) -> str:
    if probe.built_in:
        return OURS_GONE
    if probe.public_key:
        return "It is enrolled and has not spoken yet: start it with “watchkeeper-probe run”, or its service."
    return "No program has enrolled as this probe yet: give it a token."


def _stale(probe: Probe, at: datetime) -> Health | None:
    """Is it heard, while what it saw comes too late to count?"""
    oldest, late = _number(probe, "spool_oldest_s"), _number(probe, "late_ms")
    if oldest > OLD_SECONDS:
        return Health("stale", at - timedelta(seconds=oldest), f"Results wait there for {oldest:.0f} s: they are kept as history when they arrive, and do not vote.")  # fmt: skip
    if late > LATE_MS:
        return Health("stale", None, f"Its checks begin {late / 1000:.0f} s late: it has more to do than it can. Give it fewer monitors, or a larger machine.")  # fmt: skip
    return None


def _number(probe: Probe, name: str) -> float:
    value = probe.health.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def is_older(version: str) -> bool:
    """Is a probe's program older than the one that belongs to this portal? What cannot be compared is not."""
    try:
        return bool(version) and _parts(version) < _parts(VERSION)
    except ValueError:
        return False


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))

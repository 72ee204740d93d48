"""Does the name not exist, or can this machine look up no name at all? Asked when checks begin to fail without an address.

The proof is what the probe itself watches: five names that it reached a moment ago. When none of them can be looked up
now, it is our name server that is dead, not five clients at once: the probe is blind (FAULTS R24) until one can be again.
With fewer than three other names nothing is proved, and the failure counts.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from monitors import engine, watching
from monitors.models import Probe, ProbeState

SIGNS = ("dns", "timeout")  # a name server that never answers uses up the time of the whole check
ASKED, LEAST = 5, 3  # names to ask; with fewer than the least nothing is proved
SECONDS = 2.0
AGAIN = 5.0  # seconds between two questions while it is dead
LATELY = timedelta(hours=1)  # names that were reached within this time are good ones to ask
MOST = 2000

_proved_at: dict[int, datetime] = {}  # probe -> when its names were last found
_asked_at: dict[int, float] = {}  # probe -> time.monotonic() of the latest question while dead


def look(probe: Probe, at: datetime) -> str | None:
    """Why this probe is blind for want of names, "" when names were found; None when nothing was asked, or nothing is proved."""
    dead = is_dead(probe)
    if probe.blind_since is not None and not dead:
        return None
    if dead and time.monotonic() - _asked_at.get(probe.pk, -AGAIN) < AGAIN:
        return probe.blind_reason
    if not dead and not _doubtful(probe):
        return None
    names = candidates(_seen(probe, at), dead=dead)
    if len(names) < LEAST and not dead:
        return None
    _asked_at[probe.pk] = time.monotonic()
    if not names or any_found(names):
        _proved_at[probe.pk] = at
        return ""
    return f"{watching.SAYS[3]} on this machine: not one of {len(names)} that were reached lately. Look at its name server."


def is_dead(probe: Probe) -> bool:
    """Is it blind for want of names?"""
    return probe.blind_since is not None and probe.blind_reason.startswith(watching.SAYS[3])


def _doubtful(probe: Probe) -> bool:
    """Does anything fail for want of an address, unconfirmed, since names were last found?"""
    failing = ProbeState.objects.filter(probe=probe, active=True, status=engine.FAILING, error_class__in=SIGNS)
    failing = failing.exclude(vote=engine.FAILING)
    proved = _proved_at.get(probe.pk)
    return (failing.filter(since__gt=proved) if proved else failing).exists()


def _seen(probe: Probe, at: datetime) -> list[tuple[str, int, bool]]:
    """(host, status, reached lately) of what this probe watches."""
    since = probe.blind_since or at
    rows = ProbeState.objects.filter(probe=probe, active=True, monitor__enabled=True).order_by("-last_at")
    found = rows.values_list("monitor__config", "status", "last_at")[:MOST]
    return [(host, status, last_at is not None and since - last_at < LATELY) for config, status, last_at in found if (host := host_of(config))]  # fmt: skip


def host_of(config: dict[str, Any]) -> str:
    """The name in a monitor's settings, or "" when it has none that must be looked up."""
    url, host = config.get("url"), config.get("host")
    try:
        name = (urlsplit(url).hostname if isinstance(url, str) else host) or ""
    except ValueError:
        return ""
    if not isinstance(name, str) or "." not in name.strip("."):
        return ""  # none, or a name of this machine's own
    try:
        ip_address(name)
    except ValueError:
        return name.lower()
    return ""


def candidates(seen: Iterable[tuple[str, int, bool]], *, dead: bool) -> list[str]:
    """Which names to ask: those that were well lately and fail nowhere; while blind any that are watched. Pure but for the choice."""
    seen = list(seen)
    failing = {host for host, status, _ in seen if status == engine.FAILING}
    well = {host for host, status, lately in seen if status in (engine.UP, engine.DEGRADED) and lately} - failing
    if len(well) < LEAST and (dead or len(failing) >= ASKED):
        well |= failing  # everything failed at once: these are all there is to ask
    return random.sample(sorted(well), min(ASKED, len(well)))


def any_found(names: Collection[str]) -> bool:
    """Can one of these be looked up, as every program on this machine looks up names? Two seconds at most."""
    pool = ThreadPoolExecutor(len(names), thread_name_prefix="names")
    try:
        asked = [pool.submit(_found, name) for name in names]
        return any(one.result() for one in as_completed(asked, SECONDS))
    except TimeoutError:
        return False
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # whoever still waits for its name server is not waited for


def _found(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP))
    except (OSError, UnicodeError):
        return False

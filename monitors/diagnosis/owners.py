"""Whose networks do the paths cross? Numbers for the hops of gathered evidence, without ever waiting for long.

Asked after measuring, by the portal: from the table of AS_TABLE, else by DNS. Where DNS does not answer at once, nobody
is asked for half a minute: a verdict with unnamed networks in time is worth more than a named one too late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, cast

from django.conf import settings

from monitors.diagnosis import networks
from monitors.diagnosis.evidence import Path

SECONDS = 0.5
PAUSE = 30.0
MOST = 200  # addresses of better days

_asked_again_at = 0.0


def name_networks(batteries: Iterable[dict[str, Any]], also: Iterable[str] = ()) -> dict[str, list[Any]]:
    """Give each hop and each target `asn` and `as_name` (None and "" where nobody knows), in place.

    Returns the same for the addresses of `also` (routers of better days, that no packet came back from now).
    """
    global _asked_again_at
    known = [{"address": address} for address in sorted(set(also)) if networks.has_owner(address)][:MOST]
    paths: list[Path] = [cast(Path, {"proto": "", "status": "ok", "hops": known})]
    for evidence in batteries:
        paths += [path for path in evidence.get("paths") or () if isinstance(path, dict)]
        target = evidence.get("target")
        if isinstance(target, dict) and target.get("address"):
            paths.append(
                cast(Path, {"proto": "", "status": "ok", "hops": [target]})
            )  # a place on the way like any other
    if not any(networks.has_owner(hop.get("address")) for path in paths for hop in path.get("hops") or ()):
        return {}
    book = networks.book(settings.AS_TABLE)
    silent = book is None and time.monotonic() < _asked_again_at
    said = asyncio.run(networks.annotate(paths, book, servers=() if silent else None, seconds=SECONDS))
    if book is None and not silent and not said["complete"]:
        _asked_again_at = time.monotonic() + PAUSE
    return {hop["address"]: [hop["asn"], hop.get("as_name") or ""] for hop in known if hop.get("asn") is not None}

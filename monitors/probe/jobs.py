"""What may the portal ask a probe to do once? A table of kinds that this program knows; whatever else is asked is refused."""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from monitors.probe import anchors


class NotDone(Exception):
    """The job is refused; the sentence goes back to the portal."""


async def noop(body: dict[str, Any], surroundings: dict[str, Any]) -> dict[str, Any]:
    """Nothing: proves the way there and back."""
    return {}


async def look(body: dict[str, Any], surroundings: dict[str, Any]) -> dict[str, Any]:
    """What this probe is, and which of its anchors answer."""
    return {
        "host": socket.gethostname()[:120],
        "platform": platform.platform()[:200],
        "load": [round(n, 2) for n in os.getloadavg()],
        "anchors": await anchors.ask(surroundings.get("anchors", ())),
    }


KINDS: dict[str, Callable[[dict[str, Any], dict[str, Any]], Awaitable[dict[str, Any]]]] = {"noop": noop, "look": look}


async def carry_out(job: dict[str, Any], surroundings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(state, result) of one job: done, failed or refused."""
    known = KINDS.get(str(job.get("kind")))
    if known is None:
        return "refused", {"why": f"This probe does not know jobs of the kind {str(job.get('kind'))[:40]!r}."}
    body = job.get("body")
    try:
        return "done", await known(body if isinstance(body, dict) else {}, surroundings)
    except NotDone as refusal:
        return "refused", {"why": str(refusal)}
    except Exception as error:  # our own bug; the portal hears of it, and the other jobs go on
        return "failed", {"why": f"It broke: {type(error).__name__}."}

"""What may the portal ask a probe to do once? A table of kinds that this program knows; whatever else is asked is refused."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from monitors.diagnosis import battery
from monitors.probe import anchors, discovery
from monitors.probe.actions import Acts
from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine
from portal.outbound.resolver import Resolver


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


async def diagnose(body: dict[str, Any], surroundings: dict[str, Any]) -> dict[str, Any]:
    """Everything this probe can measure about one target: `monitors.diagnosis.battery.run`, or its `baseline`.

    What may be reached is decided here as it is for checks: by the monitor's word and this machine's own list.
    """
    if body.get("v") != 1 or not isinstance(body.get("target"), dict):
        raise NotDone("This probe does not understand this diagnosis; is it as new as the portal?")
    check = body.get("check") or {}
    private = bool(check.get("private", body.get("private")))
    reach = Reach(allow=tuple(surroundings.get("allow", ())), private=private)
    order = {"anchors": list(surroundings.get("anchors", ())), **body}
    measure = battery.baseline if body.get("light") else battery.run
    engine, clock = surroundings.get("engine"), surroundings.get("clock")
    now = clock.now if clock is not None else time.time  # the portal's time, as in results
    if engine is not None:
        return dict(await measure(order, battery.Surroundings(engine.resolver, engine.http, reach, now)))
    resolver = Resolver()
    http = HttpEngine(asyncio.get_running_loop(), resolver)
    try:
        return dict(await measure(order, battery.Surroundings(resolver, http, reach, now)))
    finally:
        http.close()
        resolver.close()


async def discover(body: dict[str, Any], surroundings: dict[str, Any]) -> dict[str, Any]:
    """What is on this machine's own network, if it allows the question."""
    try:
        return await discovery.discover(body, surroundings)
    except discovery.NotAllowed as why:
        raise NotDone(str(why)) from why


async def act(body: dict[str, Any], surroundings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """One action of those that this machine's own file allows, on a signed order: `monitors.probe.actions`."""
    acts: Acts | None = surroundings.get("acts")
    if acts is None:
        raise NotDone("This probe carries out no actions.")
    return await acts.carry_out(body, surroundings["number"])


Said = dict[str, Any] | tuple[str, dict[str, Any]]  # the result of what was done, or (state, result)
KINDS: dict[str, Callable[[dict[str, Any], dict[str, Any]], Awaitable[Said]]] = {
    "noop": noop,
    "look": look,
    "diagnose": diagnose,
    "discover": discover,
    "act": act,
}


async def carry_out(job: dict[str, Any], surroundings: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(state, result) of one job: done, failed, refused, or unknown for an action whose end nobody saw."""
    known = KINDS.get(str(job.get("kind")))
    if known is None:
        return "refused", {"why": f"This probe does not know jobs of the kind {str(job.get('kind'))[:40]!r}."}
    body = job.get("body")
    try:
        said = await known(body if isinstance(body, dict) else {}, {**surroundings, "number": job.get("id", 0)})
        return said if isinstance(said, tuple) else ("done", said)
    except NotDone as refusal:
        return "refused", {"why": str(refusal)}
    except Exception as error:  # our own bug; the portal hears of it, and the other jobs go on
        return "failed", {"why": f"It broke: {type(error).__name__}."}

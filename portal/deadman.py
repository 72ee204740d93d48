"""Who notices when this whole machine is gone? Somebody outside: HEARTBEAT_URL is asked each minute while the portal works.

Only what the machine itself can no longer do is left to them, so the call is made by the periodic jobs, which need the
database and a living worker. Apps add what else must work (`only_while`): while one of them objects, we are silent outside.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_network

from django.conf import settings

from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine, OutboundError, Request

log = logging.getLogger("watchkeeper.deadman")

ANYWHERE = Reach(allow=(ip_network("0.0.0.0/0"), ip_network("::/0")))  # the environment names the address


_objections: list[Callable[[datetime], str]] = []


def only_while(objection: Callable[[datetime], str]) -> None:
    """`objection(at)` says why the outside must not believe that all is well; "" when it may."""
    if objection not in _objections:
        _objections.append(objection)


def call(at: datetime) -> bool:
    """Tell the outside that we live; False when it did not take it, when none is set, or when something does not work."""
    if not settings.HEARTBEAT_URL:
        return False
    for objection in _objections:
        why = objection(at)
        if why:
            log.error("the outside heartbeat is withheld: %s", why)
            return False
    try:
        status = asyncio.run(_ask(settings.HEARTBEAT_URL))
    except OutboundError as error:
        log.warning("the outside heartbeat was not reached: %s", error)
        return False
    if status >= 400:
        log.warning("the outside heartbeat answered %d", status)
    return status < 400


async def _ask(url: str) -> int:
    engine = HttpEngine(max_inflight=1)
    try:
        return (await engine.fetch(Request(url, timeout=10), ANYWHERE)).status
    finally:
        engine.close()

"""How does a step ask over HTTP? Through the guard, like everything that leaves the portal; one question at a time."""

from __future__ import annotations

import asyncio

from django.conf import settings

from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine, Request, Response


def fetch(request: Request) -> Response:
    """The answer; raises portal.outbound.http.OutboundError. Private addresses need OUTBOUND_ALLOW."""
    return asyncio.run(_alone(request))


async def _alone(request: Request) -> Response:
    engine = HttpEngine()
    try:
        return await engine.fetch(request, Reach(allow=settings.OUTBOUND_ALLOW))
    finally:
        engine.close()

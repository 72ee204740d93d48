"""How much may one token ask? A fixed number a window, counted in the cache; without a cache everybody may."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

log = logging.getLogger("watchkeeper.api")
PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_rate(rate: str) -> tuple[int, int]:
    """Requests and seconds of "6000/min". ValueError when it is neither."""
    number, _, period = rate.partition("/")
    if period[:1] not in PERIODS:
        raise ValueError(f"{rate!r} is not a rate such as 6000/min")
    return int(number), PERIODS[period[:1]]


class PerToken(BaseThrottle):
    """One counter per token (or signed-in person) and window. A counter is 1 number, not a list of times."""

    scope = "token"
    seconds_left = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        rate = api_settings.DEFAULT_THROTTLE_RATES.get(self.scope)
        who = caller(request)
        if not rate or who is None:
            return True
        limit, period = parse_rate(rate)
        now = time.time()
        key = f"throttle:{who}:{int(now // period)}"
        self.seconds_left = period - now % period
        return self._count(key, period) <= limit

    @staticmethod
    def _count(key: str, period: int) -> int:
        try:
            cache.add(key, 0, period + 1)
            return int(cache.incr(key) or 0)
        except Exception as error:  # whatever the cache does, it must not refuse a caller
            log.debug("throttle not counted: %s", type(error).__name__)
            return 0

    def wait(self) -> float:
        return max(1.0, self.seconds_left)


def caller(request: Request) -> str | None:
    """Who is counted, and whose Idempotency-Keys these are."""
    if request.auth is not None and hasattr(request.auth, "prefix"):
        return f"token:{request.auth.pk}"
    return f"user:{request.user.pk}" if request.user and request.user.is_authenticated else None

"""What if Redis hangs? Then the cache is empty for a while, and nobody waits for it."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

log = logging.getLogger("watchkeeper.cache")


class PatientRedisCache(RedisCache):
    """Django's Redis cache with 0.3 s time-outs and a breaker: after a failure it answers "not cached" for 5 s.

    Correctness never rests on it: sessions, throttle-proof limits, caps and locks live in the database.
    """

    REST_SECONDS = 5.0
    open_until = 0.0

    def __init__(self, server: Any, params: dict) -> None:
        options = params.setdefault("OPTIONS", {})
        options.setdefault("socket_timeout", 0.3)
        options.setdefault("socket_connect_timeout", 0.3)
        options.setdefault("retry_on_timeout", False)
        super().__init__(server, params)

    def _guarded(self, verb: str, otherwise: Any, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() < PatientRedisCache.open_until:
            return otherwise
        try:
            return getattr(super(), verb)(*args, **kwargs)
        except (RedisError, OSError) as error:
            PatientRedisCache.open_until = time.monotonic() + self.REST_SECONDS
            log.warning(
                "the cache does not answer (%s); going on without it for %.0f s",
                type(error).__name__,
                self.REST_SECONDS,
            )
            return otherwise

    def add(self, key: str, value: Any, *args: Any, **kwargs: Any) -> bool:
        return self._guarded("add", True, key, value, *args, **kwargs)

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._guarded("get", default, key, default, version)

    def set(self, key: str, value: Any, *args: Any, **kwargs: Any) -> None:
        self._guarded("set", None, key, value, *args, **kwargs)

    def touch(self, key: str, *args: Any, **kwargs: Any) -> bool:
        return self._guarded("touch", False, key, *args, **kwargs)

    def delete(self, key: str, version: int | None = None) -> bool:
        return self._guarded("delete", False, key, version)

    def get_many(self, keys: Any, version: int | None = None) -> dict:
        return self._guarded("get_many", {}, keys, version)

    def set_many(self, data: dict, *args: Any, **kwargs: Any) -> list:
        return self._guarded("set_many", [], data, *args, **kwargs)

    def has_key(self, key: str, version: int | None = None) -> bool:
        return self._guarded("has_key", False, key, version)

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        return self._guarded("incr", delta, key, delta, version)

"""What time is it at the portal? Its own words plus this machine's monotonic clock; the wall clock decides nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

DRIFT = 0.0001  # seconds a monotonic clock may lose or gain per second, at worst
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """The portal's time. Each answer is a sample: its time, between the instants of asking and hearing."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic, self._wall, self._lock = monotonic, wall, threading.Lock()
        self._offset = wall() - monotonic()  # portal's time = monotonic + offset
        self._error = float("inf")
        self._heard_at = monotonic()
        self._last = 0.0

    @property
    def known(self) -> bool:
        """Has the portal said its time yet?"""
        return self._error < float("inf")

    def heard(self, at_ms: int, asked: float, answered: float) -> None:
        """The portal said `at_ms` somewhere between these two monotonic instants. The best sample of late counts."""
        offset, error = at_ms / 1000 - (asked + answered) / 2, (answered - asked) / 2
        with self._lock:
            grown = self._error + (answered - self._heard_at) * DRIFT
            contradicts = abs(offset - self._offset) > grown + error
            if error <= grown or contradicts:
                self._offset, self._error, self._heard_at = offset, error, answered

    def now(self) -> float:
        """The portal's time now, in seconds since 1970. Never goes back by less than a second: small corrections wait."""
        with self._lock:
            now = self._monotonic() + self._offset
            if self._last - 1.0 < now <= self._last:
                now = self._last + 0.000001
            self._last = now
            return now

    def at(self) -> datetime:
        """The same as a datetime."""
        return EPOCH + timedelta(seconds=self.now())

    def wall_offset_ms(self) -> int:
        """How far this machine's own clock is off: positive when it is ahead of the portal's. 0 before the first sample."""
        if not self.known:
            return 0
        return round((self._wall() - self._monotonic() - self._offset) * 1000)


def micros(at: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (at - EPOCH) // timedelta(microseconds=1)

"""How do servers go wrong that have nothing to do with any one protocol? Handlers for `Listener`, by name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from monitors.checks.base import Outcome, Status
from tests.checks.lab import Handler, Listener, check, hangs_up, patience, silent

CANARY = "hunter2-canary"


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One byte now and then, and never a whole answer."""
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes that mean nothing."""
    writer.write(bytes(range(255, -1, -1)) + b"\r\n")
    await reader.read()


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer without end."""
    while True:
        writer.write(b"x" * 4096)
        await writer.drain()


TROUBLES: dict[str, tuple[Handler, set[str]]] = {
    "silence": (silent, {"timeout"}),
    "drip": (drips, {"timeout", "protocol", "too_large", "tls"}),
    "closes early": (hangs_up, {"reset", "protocol", "tls"}),
    "garbage": (garbage, {"protocol", "too_large", "tls", "timeout"}),  # read as a length, some of it announces more
    "flood": (floods, {"protocol", "too_large", "tls"}),
}


def suffer(trouble: str, kind: str, config: Callable[[int], dict[str, Any]]) -> Outcome:
    """The outcome at a server with that trouble, which must be a failing one, told shortly and in time."""
    handler, classes = TROUBLES[trouble]
    limit = patience("timeout" if "timeout" in classes else "")
    with Listener(handler) as server:
        outcome = check(kind, config(server.port), timeout=limit)
    assert (outcome.status, outcome.error_class in classes) == (Status.FAILING, True), outcome
    assert outcome.message and len(outcome.message) <= 200 and CANARY not in repr(outcome)
    assert outcome.total_ms is not None and outcome.total_ms < 1000 * (limit + 8)
    return outcome


def until(true: Callable[[], bool], seconds: float = 15) -> None:
    """Wait for something that the server does after the check has ended; raises AssertionError when it never does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)

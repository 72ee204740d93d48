"""Is it the target, or is it this probe's own line? Independent addresses are asked when something has just failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from monitors import engine

SECONDS = 2.0


async def reaches(anchor: str) -> bool:
    """Does a TCP connection to `host:port` (or a URL's host) stand within 2 s?"""
    try:
        parts = urlsplit(anchor if "//" in anchor else f"//{anchor}")
        port = parts.port or (80 if parts.scheme == "http" else 443)
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname or "", port)
            writer.close()
        return True
    except (OSError, ValueError, TimeoutError):  # ValueError: it was mistyped
        return False


async def ask(anchors: Sequence[str]) -> dict[str, bool]:
    """Which of them answer?"""
    answered = await asyncio.gather(*(reaches(anchor) for anchor in anchors))
    return dict(zip(anchors, answered, strict=True))


def verdict(answered: dict[str, bool]) -> str:
    """Why this probe's word should not count, or ""."""
    return engine.blind(
        failing=0, watched=0, anchors=len(answered), anchors_ok=sum(answered.values()), others_disagree=False
    )

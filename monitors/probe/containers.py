"""How is a container restarted? One POST to the engine's socket; everything else about containers only reads.

`monitors.hosts.docker` has no way to write, on purpose; this file has exactly one, and the container's name comes from the
machine's own file.
"""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from monitors.hosts.docker import MOST_HEAD, EngineTrouble, _answer

MOST_BODY = 64 * 1024


class NotAsked(Exception):
    """The engine was not reached, so nothing was done; the sentence says why."""


async def restart(socket: str, container: str, seconds: float) -> None:
    """Restart it, as `docker restart` does (its own stop signal and grace).

    NotAsked, before anything was asked; EngineTrouble with the engine's refusal (status 0: no whole answer, so nobody
    knows); OSError or TimeoutError after `seconds` when the answer did not come: nobody knows either.
    """
    async with asyncio.timeout(seconds):
        try:
            reader, writer = await asyncio.open_unix_connection(socket, limit=MOST_HEAD)
        except OSError as error:
            raise NotAsked(f"The container engine's socket {socket} cannot be used: {error.strerror}.") from None
        try:
            where = f"/containers/{quote(container, safe='')}/restart"
            writer.write(f"POST {where} HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())  # fmt: skip
            await writer.drain()
            answer = await _answer(reader, MOST_BODY)
        finally:
            writer.transport.abort()
    if answer.status == 404:
        raise EngineTrouble(404, f"The engine has no container {container}.")
    if answer.status != 204:
        raise EngineTrouble(answer.status, f"The engine answered {answer.status}.")

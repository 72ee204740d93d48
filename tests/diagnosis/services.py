"""What runs on the target? Ports that answer, that drip, and that open and then say nothing."""

from __future__ import annotations

import asyncio

OPEN, DRIPPING, MUTE = 8080, 8081, 8082


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nServer: little\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
    writer.close()


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.2)


async def _mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def main() -> None:
    """Serve until ended."""
    for port, serve in ((OPEN, _plain), (DRIPPING, _drip), (MUTE, _mute)):
        await asyncio.start_server(_quiet(serve), ["0.0.0.0", "::"], port)
    print("ready", flush=True)
    await asyncio.Event().wait()


def _quiet(serve):  # type: ignore[no-untyped-def]
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone

    return served


if __name__ == "__main__":
    asyncio.run(main())

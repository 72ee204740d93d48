"""How does a check begin to speak a protocol, with TLS or without, before it says anything secret?

TLS that was asked for is never given up: a server that does not offer it, or shows a certificate that does not verify,
hears no password (unless the monitor says that the certificate need not verify).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from pydantic import Field

from . import certificate
from .base import AnswerConfig, CheckFailed, Context, Outcome
from .connection import Stream, dial, secure

Prelude = Callable[[Stream], Awaitable[None]]


class VerifiedConfig(AnswerConfig):
    """Settings shared by the kinds that may sign in over TLS."""

    verify_tls: bool = Field(
        True, title="Verify TLS", description="A certificate that does not verify is a failure, and nothing is sent."
    )


@contextlib.asynccontextmanager
async def conversation(
    host: str,
    port: int,
    ctx: Context,
    outcome: Outcome,
    *,
    tls: bool,
    verify: bool = True,
    before_tls: Prelude | None = None,
) -> AsyncIterator[Stream]:
    """An open connection, aborted at the end; facts["address"] and, with TLS, facts["certificate"] are noted.

    `before_tls` holds the plain dialogue after which TLS may start. Raises CheckFailed("tls") for a certificate that
    does not verify or does not name the host, unless `verify` is off.
    """
    if not tls:
        stream = await dial(host, port, ctx, outcome)
    else:

        async def ready() -> Stream:
            opened = await dial(host, port, ctx, outcome)
            try:
                if before_tls:
                    await before_tls(opened)
                    await _refuse_early_words(opened)
            except BaseException:
                opened.close()
                raise
            return opened

        stream, flaw = await secure(ready, host, outcome)
        outcome.facts.update(certificate.facts_of(stream.certificate(), host, flaw, ctx.now()))
        shown = outcome.facts.get("certificate")
        if verify and (flaw or not shown or not shown["hostname_ok"]):
            stream.close()
            reason = flaw.verify_message if flaw else "it does not name this host"
            raise CheckFailed("tls", f"The certificate does not verify: {reason}")
    outcome.facts["address"] = stream.address
    try:
        yield stream
    finally:
        stream.close()


async def _refuse_early_words(stream: Stream) -> None:
    """Plain bytes that wait already would be taken for the secured server's: somebody in between put them there."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            if await stream.reader.read(1):
                raise CheckFailed("protocol", "The server sent more than its answer before TLS began")
            raise CheckFailed("reset", "The server closed the connection before TLS began")


async def exactly(stream: Stream, count: int, most: int) -> bytes:
    """`count` bytes; raises CheckFailed("too_large") before reading when the server announces more than `most`."""
    if count > most:
        raise CheckFailed("too_large", f"The server announced an answer of more than {most} bytes")
    return await stream.reader.readexactly(count)


async def farewell(stream: Stream, words: bytes) -> None:
    """Say goodbye, so that the server's log shows no broken connection. Nobody waits for the answer."""
    with contextlib.suppress(OSError):
        await stream.send(words)

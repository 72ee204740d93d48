"""How does a check open a TCP or TLS connection without ever reaching a forbidden address?

Every address a name resolves to is checked before the first packet, and the checked address itself is dialled.
"""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from portal.outbound.guard import check_address
from portal.outbound.http import default_bundle

from .base import CheckFailed, Context, Outcome, Stopwatch, tls_reason

LINE_LIMIT = 4096
ANSWER_MARGIN = 0.02  # seconds kept back so that a slow connect is told as such and not as a slow answer


@dataclass(slots=True)
class Stream:
    """One open connection and the address it really went to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    address: str

    async def send(self, data: bytes) -> None:
        """Write all of `data`."""
        self.writer.write(data)
        await self.writer.drain()

    async def line(self) -> str:
        """One line without its end. Raises CheckFailed when it is too long or the peer closed first."""
        try:
            raw = await self.reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise CheckFailed("protocol", "The server sent a line that never ends") from None
        return raw.decode("utf-8", "replace").rstrip("\r\n")

    def certificate(self) -> bytes | None:
        """The peer's certificate (DER), once TLS is on."""
        tls = self.writer.get_extra_info("ssl_object")
        return tls.getpeercert(True) if tls else None

    def close(self) -> None:
        """Drop the connection at once; a check owes its target no long farewell."""
        self.writer.transport.abort()


@functools.lru_cache(maxsize=1)
def verifying_context() -> ssl.SSLContext:
    """Verifies the chain only: whether the name fits is a fact of its own (`hostname_ok`)."""
    context = ssl.create_default_context(cafile=default_bundle() or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    return context


@functools.lru_cache(maxsize=1)
def reading_context() -> ssl.SSLContext:
    """Accepts any certificate, to read one that does not verify. Nothing secret is ever sent over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def place(host: str, port: int) -> str:
    """host:port as people write it, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def allowed_addresses(host: str, ctx: Context, family: int = 0) -> list[str]:
    """Addresses of `host`, all of them checked. Raises Blocked when any is forbidden, ResolveError when there is none."""
    addresses = await ctx.resolver.resolve(host, family=family, timeout=ctx.timeout)
    for address in addresses:
        check_address(address, ctx.reach)
    return addresses


async def _connect(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def dial(host: str, port: int, ctx: Context, outcome: Outcome) -> Stream:
    """A plain connection to `host`; dns_ms and connect_ms are noted in `outcome`.

    Addresses are tried in turn and share what is left of the time, so one dead address cannot use it all up.
    """
    loop, watch = asyncio.get_running_loop(), Stopwatch.start()
    deadline = loop.time() + ctx.timeout - ANSWER_MARGIN
    addresses = await allowed_addresses(host, ctx)
    outcome.dns_ms = watch.lap()
    trouble: Exception = CheckFailed("connect", "No address to connect to")
    for tried, address in enumerate(addresses):
        share = (deadline - loop.time()) / (len(addresses) - tried)
        try:
            async with asyncio.timeout(share):
                sock = await _connect(address, port)
        except TimeoutError:
            trouble = CheckFailed("connect_timeout", f"No connection to port {port} in time")
        except OSError as error:
            trouble = error
        else:
            outcome.connect_ms = watch.lap()
            reader, writer = await asyncio.open_connection(sock=sock, limit=LINE_LIMIT)
            return Stream(reader, writer, address)
    raise _named(trouble, port)


def _named(trouble: Exception, port: int) -> Exception:
    if isinstance(trouble, ConnectionRefusedError):
        return CheckFailed("connect_refused", f"Port {port} refused the connection")
    return trouble


@contextlib.asynccontextmanager
async def connection(host: str, port: int, ctx: Context, outcome: Outcome) -> AsyncIterator[Stream]:
    """`dial`, closed at the end whatever happens."""
    stream = await dial(host, port, ctx, outcome)
    try:
        yield stream
    finally:
        stream.close()


async def start_tls(stream: Stream, context: ssl.SSLContext, server_name: str, outcome: Outcome) -> None:
    """Turn the open connection into a TLS one; tls_ms is noted. Raises CheckFailed("tls") or SSLCertVerificationError."""
    watch = Stopwatch.start()
    try:
        await stream.writer.start_tls(context, server_hostname=server_name)
    except ssl.SSLCertVerificationError:
        raise
    except ssl.SSLError as error:
        raise CheckFailed("tls", f"The TLS handshake failed: {tls_reason(error)}") from None
    except (ConnectionError, EOFError):
        raise CheckFailed("tls", "The server closed the connection during the TLS handshake") from None
    outcome.tls_ms = watch.lap()


async def secure(
    ready: Callable[[], Awaitable[Stream]], server_name: str, outcome: Outcome
) -> tuple[Stream, ssl.SSLCertVerificationError | None]:
    """A TLS connection and what is wrong with the chain, if anything.

    `ready` opens a connection up to the point where TLS may start; a chain that does not verify is opened a second
    time just to read its certificate, because Python 3.11 shows no certificate after a failed handshake.
    """
    stream = await ready()
    try:
        await start_tls(stream, verifying_context(), server_name, outcome)
        return stream, None
    except ssl.SSLCertVerificationError as error:
        stream.close()
        flaw = error
    except BaseException:
        stream.close()
        raise
    stream = await ready()
    try:
        await start_tls(stream, reading_context(), server_name, outcome)
    except BaseException:
        stream.close()
        raise
    return stream, flaw

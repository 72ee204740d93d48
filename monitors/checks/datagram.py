"""How does a check ask a question by UDP and wait for the one answer that belongs to it?

A packet may be lost without anybody's fault, so the question is sent three times over the time there is. The
socket is connected to the checked address: the kernel drops what others send, and tells of ICMP errors.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

from .base import CheckFailed, Context, Outcome, Stopwatch
from .connection import allowed_addresses

T = TypeVar("T")
LARGEST = 65535
TIMES_SENT = 3
MOST_TRIED = 3  # addresses of one name
MOST_STRANGERS = 100  # packets that are not the answer, before the target counts as talking nonsense
MARGIN = 0.05  # seconds kept back so that silence is told as such


async def ask(
    host: str,
    port: int,
    question: Callable[[], bytes],
    read: Callable[[bytes], T | None],
    ctx: Context,
    outcome: Outcome,
) -> T:
    """What `read` makes of the first packet it recognises; None from it means "not for me".

    `question` gives the packet for each time it is sent.

    dns_ms, first_byte_ms and facts["address"] are noted. Raises CheckFailed("timeout") for silence and
    CheckFailed("connect_refused") for an ICMP "port unreachable".
    """
    loop, watch = asyncio.get_running_loop(), Stopwatch.start()
    deadline = loop.time() + ctx.timeout - MARGIN
    addresses = (await allowed_addresses(host, ctx))[:MOST_TRIED]
    outcome.dns_ms = watch.lap()
    trouble: Exception = CheckFailed("timeout", "No answer came")
    for tried, address in enumerate(addresses):
        seconds = (deadline - loop.time()) / (len(addresses) - tried)
        try:
            with _connected(address, port) as sock:
                outcome.facts["address"] = address
                return await _exchange(sock, question, read, seconds, outcome)
        except ConnectionRefusedError:
            trouble = CheckFailed("connect_refused", f"Port {port} is closed (ICMP port unreachable)")
        except TimeoutError:
            trouble = CheckFailed("timeout", f"No answer came from port {port} in time")
        except OSError as error:
            trouble = error
    raise trouble


async def tell(host: str, port: int, words: bytes, ctx: Context, outcome: Outcome, *, listen: float) -> None:
    """Send once, to the first address, and listen `listen` seconds for an ICMP error; silence is fine."""
    watch = Stopwatch.start()
    address = (await allowed_addresses(host, ctx))[0]
    outcome.dns_ms, outcome.facts["address"] = watch.lap(), address
    loop = asyncio.get_running_loop()
    with _connected(address, port) as sock:
        try:
            await loop.sock_sendall(sock, words)
            async with asyncio.timeout(listen):
                await loop.sock_recv(sock, LARGEST)
        except ConnectionRefusedError:
            raise CheckFailed("connect_refused", f"Port {port} is closed (ICMP port unreachable)") from None
        except TimeoutError:
            pass  # nobody complained, and nothing else was asked for


def _connected(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect((address, port))  # of a datagram socket: only notes the address
    except BaseException:
        sock.close()
        raise
    return sock


async def _exchange(
    sock: socket.socket,
    question: Callable[[], bytes],
    read: Callable[[bytes], T | None],
    seconds: float,
    outcome: Outcome,
) -> T:
    loop, strangers = asyncio.get_running_loop(), 0
    watch = Stopwatch.start()
    end = loop.time() + seconds
    for left in range(TIMES_SENT, 0, -1):
        await loop.sock_sendall(sock, question())
        try:
            async with asyncio.timeout((end - loop.time()) / left):
                while True:
                    answer = await loop.sock_recv(sock, LARGEST)
                    found = read(answer)
                    if found is not None:
                        outcome.first_byte_ms = watch.lap()
                        return found
                    strangers += 1
                    if strangers >= MOST_STRANGERS:
                        raise CheckFailed("protocol", "Packets came, but none of them answers the question")
        except TimeoutError:
            continue
    if strangers:
        raise CheckFailed("protocol", "A packet came, but it does not answer the question")
    raise TimeoutError

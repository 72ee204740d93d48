"""What came of one program? Started without a shell, its output capped, ended with all it started when its time is over.

Runs in the engine's loop and never holds it up: a program that talks without end is read at a measured pace.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import signal
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

KEEP = 50 * 1024  # bytes of output, head and tail together
MOST_JSON = 56 * 1024  # of those as they travel: the portal takes 64 KB
CHUNK, PACE, FREELY = 64 * 1024, 0.005, 1 << 20  # read at most a chunk each 5 ms after the first megabyte
LAST_WORDS = 1.0  # seconds for what the pipe still holds, when what it left running keeps the pipe open
MERCY = 2.0  # seconds between asking it to end and ending it
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class Tail:
    """The first and the last bytes of an output."""

    def __init__(self, keep: int = KEEP) -> None:
        self.half, self.total = keep // 2, 0
        self._head, self._tail, self._size = bytearray(), deque[bytes](), 0

    def add(self, chunk: bytes) -> None:
        """So much more was said."""
        self.total += len(chunk)
        room = self.half - len(self._head)
        self._head += chunk[:room]
        if rest := chunk[room:]:
            self._tail.append(rest)
            self._size += len(rest)
            while self._size - len(self._tail[0]) >= self.half:
                self._size -= len(self._tail.popleft())

    def text(self) -> tuple[str, int]:
        """(what is kept, with a line where something is missing; how many bytes are missing)."""
        head, tail = bytes(self._head), b"".join(self._tail)
        most = self.half
        while True:
            first, last = head[:most], tail[-most:]
            cut = self.total - len(first) - len(last)
            gap = f"\n… {cut:,} bytes left out …\n" if cut else ""
            text = _clean(first) + gap + _clean(last) if cut else _clean(first + last)
            if len(json.dumps(text, ensure_ascii=False).encode()) <= MOST_JSON:
                return text, cut
            most = most * 3 // 4  # much that has to be escaped: less of it fits


def _clean(said: bytes) -> str:
    """As text that a page and a database take: control characters but tabs and line ends are gone."""
    text = said.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c in "\n\t" or (c >= " " and not "\x7f" <= c <= "\x9f"))


@dataclass(slots=True)
class Ran:
    """How it went."""

    exit_code: int | None = None  # negative: the signal that ended it
    late: bool = False  # its time was over, and it was ended
    seconds: float = 0.0
    output: Tail = field(default_factory=Tail)


async def run(argv: Sequence[str], seconds: float, *, user: str = "") -> Ran:
    """Run it to its end, or to ours after `seconds`. OSError when it cannot be started.

    Its place is /, its input empty, its environment only PATH and LANG, its process group its own. What it leaves running
    in the background when it ends by itself goes on (a service does), but has to redirect its output.
    """
    ran, began = Ran(), time.monotonic()
    near, far = os.pipe()
    with os.fdopen(near, "rb", buffering=0) as pipe:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=far, stderr=far, cwd="/", env=ENVIRONMENT, start_new_session=True, **become(user)
            )  # fmt: skip
        finally:
            os.close(far)
        reading = asyncio.create_task(_read(pipe, ran.output))
        try:
            async with asyncio.timeout(seconds):
                ran.exit_code = await process.wait()
        except TimeoutError:
            ran.late = True
            ran.exit_code = await _end(process)
        finally:
            await asyncio.wait({reading}, timeout=LAST_WORDS)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    ran.seconds = time.monotonic() - began
    return ran


def become(user: str) -> dict[str, Any]:
    """Options that start a program as this user. OSError when there is none, or when we may not."""
    if not user:
        return {}
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise OSError(0, f"there is no user {user}") from None
    if entry.pw_uid == os.geteuid():
        return {}
    if os.geteuid() != 0:
        raise OSError(0, f"only root can run it as {user}")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(user, entry.pw_gid)}


async def _read(pipe: Any, output: Tail) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=CHUNK)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        while chunk := await reader.read(CHUNK):
            output.add(chunk)
            if output.total > FREELY:
                await asyncio.sleep(PACE)
    finally:
        transport.close()


async def _end(process: asyncio.subprocess.Process) -> int:
    """Ask it and all it started to end, then end them."""
    began, family = time.monotonic(), _descendants(process.pid)
    _signal(process.pid, family, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(MERCY):
            await process.wait()
    await asyncio.to_thread(psutil.wait_procs, family, max(0.0, MERCY + began - time.monotonic()))
    _signal(process.pid, family + _descendants(process.pid), signal.SIGKILL)
    return await process.wait()


def _descendants(pid: int) -> list[psutil.Process]:
    """All it started, also those that left its process group."""
    with suppress(psutil.Error):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def _signal(group: int, others: list[psutil.Process], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    for each in others:
        with suppress(psutil.Error):  # psutil makes sure that it is still the same process
            each.send_signal(number)

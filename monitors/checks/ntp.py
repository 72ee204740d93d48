"""Does a time server answer, is it synchronised, and how far is its clock from this probe's?

SNTP (RFC 4330): one packet each way. The offset is measured against the probe's own clock, which must be right itself.
"""

import os
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import Field

from . import datagram
from .base import AnswerConfig, Check, CheckFailed, Context, Host, Outcome, Port, Status, Stopwatch
from .connection import place

SIZE = 48
CLIENT, SERVER = 3, 4
VERSION = 4
UNSYNCHRONISED = 3  # leap indicator: "clock not synchronised"
LEAPS = ("none", "insert", "delete", "unsynchronised")
ERA = datetime(1900, 1, 1, tzinfo=UTC)
ERA_SECONDS = 1 << 32
TOO_FAR = 16  # stratum 16 and more: not synchronised


class NtpConfig(AnswerConfig):
    """Which server, and what it must be like."""

    host: Host = Field(title="Host", description="Name or address of the time server.", examples=["time.example.com"])
    port: Port = Field(123, title="Port", examples=[123])
    offset_ms: float | None = Field(
        None,
        gt=0,
        le=86_400_000,
        title="Degraded when off by more than (ms)",
        description="Against this probe's clock, either way.",
        examples=[250],
    )
    max_stratum: int | None = Field(
        None,
        ge=1,
        le=15,
        title="Highest stratum",
        description="Farther from a reference clock is failing.",
        examples=[4],
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """The parts of a server's packet that matter; times are seconds since 1900, modulo 2**32."""

    leap: int
    stratum: int
    code: str
    received: float
    sent: float


class NtpCheck(Check):
    """One question of the time."""

    kind: ClassVar[str] = "ntp"
    label: ClassVar[str] = "Time server (NTP)"
    Config = NtpConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)
    default_interval: ClassVar[int] = 300

    @classmethod
    def target(cls, config: NtpConfig) -> str:
        """host:port"""
        return place(config.host, config.port)

    @classmethod
    async def probe(cls, config: NtpConfig, ctx: Context, outcome: Outcome) -> None:
        """Ask, judge, and note facts["ntp"]: offset_ms, stratum, leap, delay_ms."""
        asked: dict[bytes, tuple[datetime, Stopwatch]] = {}

        def question() -> bytes:
            cookie = os.urandom(8)  # RFC 8633: our own clock is nobody's business, and a guess cannot be an answer
            asked[cookie] = ctx.now(), Stopwatch.start()
            return bytes([VERSION << 3 | CLIENT]) + bytes(39) + cookie

        def measured(data: bytes) -> tuple[Reply, float, float] | None:
            times = asked.get(data[24:32])
            reply = read(data)
            return (reply, *clock_difference(times[0], times[1].lap(), reply)) if times and reply else None

        reply, offset, delay = await datagram.ask(config.host, config.port, question, measured, ctx, outcome)
        outcome.facts["ntp"] = {
            "offset_ms": round(offset, 3),
            "delay_ms": round(delay, 3),
            "stratum": reply.stratum,
            "leap": LEAPS[reply.leap],
        }
        outcome.settle(*judge(config, reply, offset))


def read(data: bytes) -> Reply | None:
    """A server's answer; None for a packet that is none."""
    if len(data) < SIZE or data[0] & 7 != SERVER:
        return None
    code = data[12:16].decode("ascii", "replace").rstrip("\0 ")
    return Reply(data[0] >> 6, data[1], code, _seconds(data[32:40]), _seconds(data[40:48]))


def _seconds(stamp: bytes) -> float:
    whole, part = struct.unpack("!II", stamp)
    return float(whole + part / ERA_SECONDS)


def clock_difference(began: datetime, waited_ms: float, reply: Reply) -> tuple[float, float]:
    """(offset, delay) in ms: positive when the server is ahead. Right across the turn of an era (2036)."""
    start = (began - ERA).total_seconds() % ERA_SECONDS
    end = start + waited_ms / 1000
    offset = (_apart(reply.received, start) + _apart(reply.sent, end)) / 2
    delay = (end - start) - _apart(reply.sent, reply.received)
    return offset * 1000, max(0.0, delay * 1000)


def _apart(later: float, earlier: float) -> float:
    """Seconds between two times of unknown era: the shorter way round."""
    return (later - earlier + ERA_SECONDS / 2) % ERA_SECONDS - ERA_SECONDS / 2


def judge(config: NtpConfig, reply: Reply, offset: float) -> tuple[Status, str, str]:
    """(status, message, error class). Pure."""
    if reply.stratum == 0:
        code = reply.code if reply.code.isalpha() and reply.code.isascii() else "no reason"
        raise CheckFailed("content", f"The server refuses to tell the time (kiss of death: {code})")
    if reply.leap == UNSYNCHRONISED or reply.stratum >= TOO_FAR or not reply.sent:
        raise CheckFailed("content", "The server says that its clock is not synchronised")
    if config.max_stratum is not None and reply.stratum > config.max_stratum:
        raise CheckFailed("content", f"The server is at stratum {reply.stratum}; the limit is {config.max_stratum}")
    words = f"{abs(offset):.1f} ms {'ahead of' if offset > 0 else 'behind'} this probe's clock, stratum {reply.stratum}"
    if config.offset_ms is not None and abs(offset) > config.offset_ms:
        return Status.DEGRADED, f"{words}; the limit is {config.offset_ms:g} ms", "content"
    return Status.UP, words, ""

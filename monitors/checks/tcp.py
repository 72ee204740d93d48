"""Does a TCP port accept a connection, and does it answer a line with what is expected?"""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from . import certificate
from .base import AnswerConfig, Check, CheckFailed, Context, Host, Outcome, Port, Status, Stopwatch
from .connection import Stream, connection, dial, place, secure
from .starttls import STARTS

MOST_READ = 65536
_ONE_LINE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*(?:\r?\n){0,2}")


def one_line(text: str) -> str:
    """At most one line with its end: whole dialogues (mail, Redis) cannot be typed into a monitor. Raises ValueError."""
    if not _ONE_LINE.fullmatch(text):
        raise ValueError("Only one line may be sent; line ends inside it and control characters are refused")
    return text


class TcpConfig(AnswerConfig):
    """Where to connect and, if wanted, what to say and hear."""

    host: Host = Field(title="Host", description="Name or address of the server.", examples=["db.example.com"])
    port: Port = Field(title="Port", examples=[5432])
    send: Annotated[str, AfterValidator(one_line)] = Field(
        "", title="Send", max_length=1000, description="One line to send once connected.", examples=["PING\r\n"]
    )
    expect: str = Field(
        "", title="Expect", max_length=500, description="Text that the answer must contain.", examples=["PONG"]
    )
    starttls: Literal["", "smtp", "imap", "pop3"] = Field(
        "",
        title="STARTTLS",
        description="Turn on TLS the way this protocol does, before anything is sent.",
        examples=["imap"],
    )


class TcpCheck(Check):
    """A connection, optionally STARTTLS, optionally a line and its answer."""

    kind: ClassVar[str] = "tcp"
    label: ClassVar[str] = "TCP port"
    Config = TcpConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)

    @classmethod
    def target(cls, config: TcpConfig) -> str:
        """host:port"""
        return place(config.host, config.port)

    @classmethod
    async def probe(cls, config: TcpConfig, ctx: Context, outcome: Outcome) -> None:
        """Connect, upgrade, send, read until the expected text or the end."""
        if not config.starttls:
            async with connection(config.host, config.port, ctx, outcome) as stream:
                await _converse(stream, config, outcome)
            return

        async def ready() -> Stream:
            opened = await dial(config.host, config.port, ctx, outcome)
            try:
                await STARTS[config.starttls](opened)
            except BaseException:
                opened.close()
                raise
            return opened

        stream, flaw = await secure(ready, config.host, outcome)
        try:
            outcome.facts.update(certificate.facts_of(stream.certificate(), config.host, flaw, ctx.now()))
            await _converse(stream, config, outcome)
        finally:
            stream.close()


async def _converse(stream: Stream, config: TcpConfig, outcome: Outcome) -> None:
    outcome.facts["address"] = stream.address
    watch = Stopwatch.start()
    if config.send:
        await stream.send(config.send.encode())
    if not config.expect:
        outcome.settle(Status.UP, f"Port {config.port} is open")
        return
    wanted, heard = config.expect.encode(), b""
    while wanted not in heard:
        chunk = await stream.reader.read(4096)
        if heard == b"" and chunk:
            outcome.first_byte_ms = watch.lap()
        heard += chunk
        if not chunk or len(heard) > MOST_READ:
            outcome.body = heard[:2048]
            raise CheckFailed("content", _missing(heard))
    outcome.settle(Status.UP, "The expected answer came")


def _missing(heard: bytes) -> str:
    if not heard:
        return "The server closed the connection without an answer"
    return f"The expected text is not in the answer ({len(heard)} bytes)"

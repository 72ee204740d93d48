"""Does a mail server greet, offer what it should, and turn on TLS?

The dialogue is fixed: greeting, EHLO, STARTTLS, EHLO, QUIT. No mail is ever offered.
"""

import asyncio
import contextlib
from typing import ClassVar, Literal

from pydantic import Field

from . import certificate
from .base import AnswerConfig, Check, CheckFailed, Context, Host, Outcome, Port, Status, Stopwatch
from .connection import Stream, connection, dial, place, secure
from .starttls import smtp_expect, smtp_hello, smtp_start

FAREWELL = 0.5  # seconds to wait for the answer to QUIT, which decides nothing


class SmtpConfig(AnswerConfig):
    """Which server, and how TLS begins."""

    host: Host = Field(title="Host", description="Name or address of the mail server.", examples=["mail.example.com"])
    port: Port = Field(25, title="Port", examples=[25, 587, 465])
    tls: Literal["starttls", "tls", "none"] = Field(
        "starttls", title="TLS", description="starttls on 25 and 587, tls from the first byte on 465."
    )


class SmtpCheck(Check):
    """One SMTP conversation without mail."""

    kind: ClassVar[str] = "smtp"
    label: ClassVar[str] = "Mail server (SMTP)"
    Config = SmtpConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)

    @classmethod
    def target(cls, config: SmtpConfig) -> str:
        """host:port"""
        return place(config.host, config.port)

    @classmethod
    async def probe(cls, config: SmtpConfig, ctx: Context, outcome: Outcome) -> None:
        """Greet, upgrade, note facts["certificate"] and facts["extensions"], say goodbye."""
        if config.tls == "none":
            async with connection(config.host, config.port, ctx, outcome) as stream:
                await _greeted(stream, outcome)
                await _finish(stream, outcome)
            return

        async def ready() -> Stream:
            opened = await dial(config.host, config.port, ctx, outcome)
            watch = Stopwatch.start()
            try:
                if config.tls == "starttls":
                    await smtp_start(opened)
                    outcome.first_byte_ms = watch.lap()
            except BaseException:
                opened.close()
                raise
            return opened

        stream, flaw = await secure(ready, config.host, outcome)
        try:
            outcome.facts.update(certificate.facts_of(stream.certificate(), config.host, flaw, ctx.now()))
            if config.tls == "tls":
                await _greeted(stream, outcome)
            await _finish(stream, outcome)
        finally:
            stream.close()


async def _greeted(stream: Stream, outcome: Outcome) -> None:
    watch = Stopwatch.start()
    await smtp_expect(stream, 220, "the connection")
    outcome.first_byte_ms = watch.lap()


async def _finish(stream: Stream, outcome: Outcome) -> None:
    extensions = await smtp_hello(stream)
    outcome.facts.update(extensions=[text[:100] for text in extensions], address=stream.address)
    with contextlib.suppress(OSError, EOFError, CheckFailed):  # many servers hang up without a farewell
        async with asyncio.timeout(FAREWELL):
            await stream.send(b"QUIT\r\n")
            await smtp_expect(stream, 221, "QUIT")
    outcome.settle(Status.UP, "The mail server answered")

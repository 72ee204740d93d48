"""Does an IMAP server greet, turn on TLS, offer what it should and, if wanted, let a user in?

The dialogue is fixed: greeting, STARTTLS, CAPABILITY, LOGIN, LOGOUT. No mailbox is opened. A password travels only over
TLS, and as a literal of counted bytes, so that nothing in it can become a command.
"""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from .base import Check, CheckFailed, Context, Host, Outcome, Port, Secret, Status, Stopwatch
from .connection import Stream, place
from .conversation import VerifiedConfig, conversation, farewell
from .starttls import MOST_LINES, STARTS

_ATOM = re.compile(r"[A-Za-z0-9][A-Za-z0-9+=._/-]{0,63}")


def capability_name(text: str) -> str:
    """One capability as servers write it, such as IDLE or AUTH=PLAIN; upper case. Raises ValueError."""
    if text and not _ATOM.fullmatch(text):
        raise ValueError("This is not a capability; write one word such as IDLE")
    return text.upper()


class ImapConfig(VerifiedConfig):
    """Which server, how TLS begins, and who signs in."""

    host: Host = Field(title="Host", description="Name or address of the mail server.", examples=["imap.example.com"])
    port: Port = Field(993, title="Port", examples=[993, 143])
    tls: Literal["tls", "starttls", "none"] = Field(
        "tls", title="TLS", description="tls from the first byte on 993, starttls on 143."
    )
    user: str = Field("", title="User", max_length=200, description="Empty: nobody signs in.")
    password: Secret = Field(Secret(""), title="Password", max_length=1000)
    capability: Annotated[str, AfterValidator(capability_name)] = Field(
        "", title="Capability", description="A capability that the server must offer.", examples=["IDLE"]
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "ImapConfig":
        if self.user and self.tls == "none":
            raise ValueError("user needs TLS: a password is not sent in the clear; choose tls or starttls")
        if bool(self.user) != bool(self.password.get_secret_value()):
            raise ValueError("user and password belong together; give both or none")
        if "\0" in self.user + self.password.get_secret_value():
            raise ValueError("user and password cannot hold a zero byte")
        return self


class ImapCheck(Check):
    """One IMAP conversation without mail."""

    kind: ClassVar[str] = "imap"
    label: ClassVar[str] = "Mail server (IMAP)"
    Config = ImapConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)

    @classmethod
    def target(cls, config: ImapConfig) -> str:
        """host:port"""
        return place(config.host, config.port)

    @classmethod
    async def probe(cls, config: ImapConfig, ctx: Context, outcome: Outcome) -> None:
        """Greet, upgrade, note facts["capabilities"], sign in, say goodbye."""
        before = STARTS["imap"] if config.tls == "starttls" else None
        secured = config.tls != "none"
        async with conversation(
            config.host, config.port, ctx, outcome, tls=secured, verify=config.verify_tls, before_tls=before
        ) as stream:
            watch = Stopwatch.start()
            if before is None:
                greeting = (await stream.line()).upper()
                outcome.first_byte_ms = watch.lap()
                if greeting.startswith("* BYE"):
                    raise CheckFailed("content", "The server greets with BYE: it takes no connection now")
                if not greeting.startswith(("* OK", "* PREAUTH")):
                    raise CheckFailed("protocol", "The server does not greet as IMAP does")
            offered = await _capabilities(stream)
            if outcome.first_byte_ms is None:
                outcome.first_byte_ms = watch.lap()
            outcome.facts["capabilities"] = sorted(offered)[:100]
            if config.user:
                await _login(stream, config, offered)
                if config.capability not in offered:
                    offered = await _capabilities(stream)  # some are offered only to those who are in
                    outcome.facts["capabilities"] = sorted(offered)[:100]
            if config.capability and config.capability not in offered:
                raise CheckFailed("content", f"The server does not offer {config.capability}")
            await farewell(stream, b"c9 LOGOUT\r\n")
        outcome.settle(Status.UP, "The mail server let the user in" if config.user else "The mail server answered")


async def _until(stream: Stream, tag: str) -> tuple[str, list[str]]:
    """(OK, NO or BAD, untagged lines) up to the line with this tag; "+" when the server asks for the next literal."""
    lines: list[str] = []
    while len(lines) < MOST_LINES:
        line = await stream.line()
        if line.startswith("+"):
            return "+", lines
        if line.startswith(f"{tag} "):
            word = line.split(" ")[1].upper()
            if word not in ("OK", "NO", "BAD"):
                break
            return word, lines
        if not line.startswith("*"):
            break
        lines.append(line)
    raise CheckFailed("protocol", "The server does not speak IMAP")


async def _capabilities(stream: Stream) -> set[str]:
    await stream.send(b"c1 CAPABILITY\r\n")
    word, lines = await _until(stream, "c1")
    found = [line.upper().split()[2:] for line in lines if line.upper().startswith("* CAPABILITY ")]
    if word != "OK" or not found:
        raise CheckFailed("protocol", "The server does not tell its capabilities")
    return {name[:64] for name in found[-1]}


async def _login(stream: Stream, config: ImapConfig, offered: set[str]) -> None:
    if "LOGINDISABLED" in offered:
        raise CheckFailed("permission", "The server has turned LOGIN off")
    command = b"c2 LOGIN"
    for part in (config.user, config.password.get_secret_value()):
        raw = part.encode()
        await stream.send(command + b" {%d}\r\n" % len(raw))
        word, _ = await _until(stream, "c2")
        if word != "+":
            raise CheckFailed("permission", "The server refused the sign-in")
        command = raw
    await stream.send(command + b"\r\n")
    word, _ = await _until(stream, "c2")
    if word != "OK":
        raise CheckFailed("permission", "The server refused the user or password")

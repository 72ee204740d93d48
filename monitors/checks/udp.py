"""Does a UDP service answer a packet, and with what is expected?

Without an expected answer only an ICMP "port unreachable" can tell that nobody listens: silence is no proof of life.
"""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, model_validator

from . import datagram
from .base import KEPT_BODY, AnswerConfig, Check, CheckFailed, Context, Host, Outcome, Port, Status
from .connection import place

MOST_SENT = 512  # bytes: what crosses every network in one piece
LISTEN = 1.0  # seconds to wait for an ICMP error when no answer is wanted


def hexadecimal(text: str) -> str:
    """Pairs of hex digits, blanks and colons allowed; returned as they were typed. Raises ValueError."""
    try:
        unhex(text)
    except ValueError:
        raise ValueError("Write bytes as pairs of hex digits, such as 0d 0a") from None
    return text


def unhex(text: str) -> bytes:
    """The bytes meant by `hexadecimal` text; raises ValueError."""
    return bytes.fromhex(text.replace(":", " "))


class UdpConfig(AnswerConfig):
    """Where to send what, and what must come back."""

    host: Host = Field(title="Host", description="Name or address of the server.", examples=["game.example.com"])
    port: Port = Field(title="Port", examples=[27015])
    send: str = Field("", title="Send", max_length=MOST_SENT, description="Text to send.", examples=["status"])
    send_hex: Annotated[str, AfterValidator(hexadecimal)] = Field(
        "",
        title="Send (hex)",
        max_length=3 * MOST_SENT,
        description="Bytes instead of text.",
        examples=["ff ff ff ff 54"],
    )
    answers: bool = Field(
        True, title="Must answer", description="Off: it is enough that the port is not reported closed."
    )
    expect: str = Field(
        "", title="Expect", max_length=500, description="Text that the answer must contain.", examples=["ok"]
    )
    expect_hex: Annotated[str, AfterValidator(hexadecimal)] = Field(
        "", title="Expect (hex)", max_length=1500, description="Bytes instead of text.", examples=["ff ff ff ff"]
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "UdpConfig":
        if self.send and self.send_hex:
            raise ValueError("send and send_hex exclude each other; leave one of them empty")
        if self.expect and self.expect_hex:
            raise ValueError("expect and expect_hex exclude each other; leave one of them empty")
        if (self.expect or self.expect_hex) and not self.answers:
            raise ValueError("expect needs an answer; turn on answers, or leave expect empty")
        if len(self.packet()) > MOST_SENT:
            raise ValueError(f"send holds more than {MOST_SENT} bytes, too many for one packet")
        return self

    def packet(self) -> bytes:
        """What is sent; one zero byte when nothing was typed, because many stacks drop empty packets."""
        return (unhex(self.send_hex) if self.send_hex else self.send.encode()) or b"\0"

    def wanted(self) -> bytes:
        """What the answer must contain; b"" for anything."""
        return unhex(self.expect_hex) if self.expect_hex else self.expect.encode()


class UdpCheck(Check):
    """One packet out, one packet back."""

    kind: ClassVar[str] = "udp"
    label: ClassVar[str] = "UDP port"
    Config = UdpConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)

    @classmethod
    def target(cls, config: UdpConfig) -> str:
        """host:port"""
        return place(config.host, config.port)

    @classmethod
    async def probe(cls, config: UdpConfig, ctx: Context, outcome: Outcome) -> None:
        """Send, wait, compare. Silence is failing where an answer is wanted."""
        if not config.answers:
            listen = min(LISTEN, ctx.timeout / 2)
            await datagram.tell(config.host, config.port, config.packet(), ctx, outcome, listen=listen)
            outcome.settle(Status.UP, f"Port {config.port} is not reported closed")
            return
        answer = await datagram.ask(config.host, config.port, config.packet, bytes, ctx, outcome)
        if config.wanted() not in answer:
            outcome.body = answer[:KEPT_BODY]
            raise CheckFailed("content", f"The expected bytes are not in the answer ({len(answer)} bytes)")
        outcome.settle(Status.UP, f"{len(answer)} bytes came back")

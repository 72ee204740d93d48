"""Does a device answer an SNMP question about one value, and is the value as it should be?

Version 2c: one GET. Only the few BER forms that such an answer can hold are read; everything else is nonsense.
"""

import os
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from . import datagram
from .base import AnswerConfig, Check, CheckFailed, Context, Host, Outcome, Port, Secret, Status
from .connection import place

V2C = 1
INTEGER, OCTETS, NULL, OID, SEQUENCE = 0x02, 0x04, 0x05, 0x06, 0x30
ADDRESS, COUNTER32, GAUGE32, TICKS, OPAQUE, COUNTER64 = 0x40, 0x41, 0x42, 0x43, 0x44, 0x46
NO_OBJECT, NO_INSTANCE, END_OF_VIEW = 0x80, 0x81, 0x82
GET, RESPONSE = 0xA0, 0xA2
NUMBERS = (INTEGER, COUNTER32, GAUGE32, TICKS, COUNTER64)
ERRORS = {
    1: "the answer would be too big",
    2: "no such name",
    5: "a general error",
    6: "no access",
    16: "no authorization",
}
SHOWN = 100
_OID = re.compile(r"\.?[0-2](?:\.(?:0|[1-9][0-9]{0,9})){1,127}")
Value = int | str


def dotted(text: str) -> str:
    """An object identifier in numbers, without the leading dot; raises ValueError."""
    text = text.strip()
    if not _OID.fullmatch(text):
        raise ValueError("Write the OID in numbers, such as 1.3.6.1.2.1.1.3.0")
    parts = [int(part) for part in text.lstrip(".").split(".")]
    if (parts[0] < 2 and parts[1] > 39) or any(part > 0xFFFFFFFF for part in parts):
        raise ValueError("This OID has a number that is too large")
    return text.lstrip(".")


class SnmpConfig(AnswerConfig):
    """Whom to ask, for what, and what to hear."""

    host: Host = Field(title="Host", description="Name or address of the device.", examples=["switch.example.com"])
    port: Port = Field(161, title="Port", examples=[161])
    community: Secret = Field(
        Secret("public"), title="Community", min_length=1, max_length=200, description="Version 2c; sent in the clear."
    )
    oid: Annotated[str, AfterValidator(dotted)] = Field(
        "1.3.6.1.2.1.1.3.0", title="OID", max_length=1000, examples=["1.3.6.1.2.1.1.3.0", "1.3.6.1.2.1.2.2.1.8.1"]
    )
    compare: Literal["", "equals", "differs", "at least", "at most", "contains"] = Field(
        "", title="The value must", description="none: it only has to exist."
    )
    value: str = Field("", title="Value", max_length=500, examples=["1"])

    @model_validator(mode="after")
    def _fits_together(self) -> "SnmpConfig":
        if bool(self.compare) != bool(self.value):
            raise ValueError("compare and value belong together; give both or none")
        if self.compare in ("at least", "at most") and number(self.value) is None:
            raise ValueError(f"value must be a number for '{self.compare}'")
        return self


class SnmpCheck(Check):
    """One GET of one object."""

    kind: ClassVar[str] = "snmp"
    label: ClassVar[str] = "SNMP value"
    Config = SnmpConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)

    @classmethod
    def target(cls, config: SnmpConfig) -> str:
        """host:port and OID"""
        return f"{place(config.host, config.port)} {config.oid}"

    @classmethod
    async def probe(cls, config: SnmpConfig, ctx: Context, outcome: Outcome) -> None:
        """Ask and compare; facts["snmp"] holds OID and value."""
        wanted = int.from_bytes(os.urandom(4)) >> 1
        question = get_request(config.community.get_secret_value(), wanted, config.oid)
        answer = await datagram.ask(
            config.host, config.port, lambda: question, lambda data: read(data, wanted), ctx, outcome
        )
        if answer.error:
            raise CheckFailed("content", f"The device answered {ERRORS.get(answer.error, f'error {answer.error}')}")
        if answer.oid != config.oid:
            raise CheckFailed("protocol", "The device answered for another OID")
        if answer.value is None:
            raise CheckFailed("content", "The device does not know this OID")
        outcome.facts["snmp"] = {"oid": answer.oid, "value": shown(answer.value)}
        if config.compare and not holds(config.compare, answer.value, config.value):
            raise CheckFailed("content", f"The value does not hold: {config.compare} {config.value[:SHOWN]}")
        outcome.settle(Status.UP, "The device answered")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `value` is None where the device knows no such object."""

    error: int
    oid: str
    value: Value | None


def number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if abs(found) < float("inf") else None


def holds(compare: str, value: Value, wanted: str) -> bool:
    """Whether the value is as wanted; numbers are compared as numbers."""
    text, limit = str(value), number(wanted)
    have = number(text)
    if compare in ("at least", "at most"):
        if have is None or limit is None:
            return False
        return have >= limit if compare == "at least" else have <= limit
    if compare == "contains":
        return wanted in text
    same = have == limit if isinstance(value, int) and limit is not None else text == wanted
    return same if compare == "equals" else not same


def shown(value: Value) -> Value:
    """The value for the facts: short and printable."""
    if isinstance(value, int):
        return value
    return "".join(char if char.isprintable() else "." for char in value[:SHOWN])


def get_request(community: str, request: int, oid: str) -> bytes:
    """One GetRequest (RFC 1905, 3416)."""
    bound = tlv(SEQUENCE, tlv(SEQUENCE, tlv(OID, oid_bytes(oid)) + tlv(NULL, b"")))
    asked = tlv(GET, integer(request) + integer(0) + integer(0) + bound)
    return tlv(SEQUENCE, integer(V2C) + tlv(OCTETS, community.encode()) + asked)


def tlv(tag: int, body: bytes) -> bytes:
    """Tag, length, value."""
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(size)]) + size + body


def integer(value: int) -> bytes:
    """A non-negative INTEGER."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def oid_bytes(oid: str) -> bytes:
    """The inside of an OBJECT IDENTIFIER."""
    first, second, *rest = (int(part) for part in oid.split("."))
    found = bytearray()
    for part in (first * 40 + second, *rest):
        groups = [part & 0x7F]
        while part := part >> 7:
            groups.append(part & 0x7F | 0x80)
        found += bytes(reversed(groups))
    return bytes(found)


def read(data: bytes, request: int) -> Answer | None:
    """The answer to this request; None for a packet that is none."""
    try:
        message, _ = _take(data, SEQUENCE)
        version, message = _take(message, INTEGER)
        _, message = _take(message, OCTETS)
        body, _ = _take(message, RESPONSE)
        number_, body = _take(body, INTEGER)
        error, body = _take(body, INTEGER)
        _, body = _take(body, INTEGER)
        if int.from_bytes(version) != V2C or int.from_bytes(number_, signed=True) != request:
            return None
        if code := int.from_bytes(error, signed=True):
            return Answer(code, "", None)
        bindings, _ = _take(body, SEQUENCE)
        binding, _ = _take(bindings, SEQUENCE)
        name, rest = _take(binding, OID)
        tag, content, _ = _next(rest)
        return Answer(0, oid_text(name), _value(tag, content))
    except ValueError:
        return None


def _next(data: bytes) -> tuple[int, bytes, bytes]:
    """(tag, content, rest) of the first element; raises ValueError when it is cut short."""
    if len(data) < 2:
        raise ValueError("cut short")
    tag, size, start = data[0], data[1], 2
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 3 or len(data) < 2 + count:
            raise ValueError("no length")
        size, start = int.from_bytes(data[2 : 2 + count]), 2 + count
    if len(data) < start + size:
        raise ValueError("cut short")
    return tag, data[start : start + size], data[start + size :]


def _take(data: bytes, wanted: int) -> tuple[bytes, bytes]:
    tag, content, rest = _next(data)
    if tag != wanted or (wanted == INTEGER and not 1 <= len(content) <= 8):
        raise ValueError("another element")
    return content, rest


def oid_text(body: bytes) -> str:
    """An OBJECT IDENTIFIER in numbers; raises ValueError."""
    parts, part = [], 0
    for byte in body:
        part = part << 7 | byte & 0x7F
        if part > 0xFFFFFFFF:
            raise ValueError("too large")
        if not byte & 0x80:
            parts.append(part)
            part = 0
    if not body or body[-1] & 0x80:
        raise ValueError("cut short")
    first = min(parts[0] // 40, 2)
    return ".".join(map(str, (first, parts[0] - 40 * first, *parts[1:])))


def _value(tag: int, content: bytes) -> Value | None:
    if tag in (NO_OBJECT, NO_INSTANCE, END_OF_VIEW, NULL):
        return None
    if tag in NUMBERS:
        if not 1 <= len(content) <= 9:
            raise ValueError("no number")
        return int.from_bytes(content, signed=tag == INTEGER)
    if tag == OID:
        return oid_text(content)
    if tag == ADDRESS and len(content) == 4:
        return ".".join(map(str, content))
    if tag in (OCTETS, OPAQUE):
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            return content.hex(":")
    raise ValueError("an unknown kind of value")

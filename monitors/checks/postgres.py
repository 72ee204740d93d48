"""Does a PostgreSQL server take connections, let a user in, and answer SELECT 1?

The start of the wire protocol (version 3.0) and nothing more. Without a user it is enough that the server asks who is
there. Signs in by SCRAM-SHA-256 (the server proves itself too), md5, or, over TLS only, in the clear.
"""

import base64
import hashlib
import hmac
import os
import re
import struct
import unicodedata
from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from .base import Check, CheckFailed, Context, Host, Outcome, Port, Secret, Status, Stopwatch
from .connection import Stream, place
from .conversation import VerifiedConfig, conversation, exactly, farewell

MOST_READ = 65536
MOST_MESSAGES = 200
MOST_ROUNDS = 100_000  # PBKDF2 iterations (40 ms): a hostile server could ask for hours
PROTOCOL, TLS_PLEASE = 196608, 80877103
NOBODY = "watchkeeper"  # who asks when nobody signs in
NONSENSE = "The server does not speak PostgreSQL"
STRANGERS = {"28P01", "28000", "3D000"}  # what it says to those it does not know
_CODE = re.compile(r"[0-9A-Z]{5}")
SENTENCES = {
    "28P01": ("permission", "The server refused the user or password"),
    "28000": ("permission", "The server does not let this user in from here"),
    "3D000": ("content", "The database does not exist"),
    "53300": ("content", "The server has too many connections"),
    "57P03": ("content", "The server is starting up or shutting down"),
    "57P01": ("content", "The server is shutting down"),
}


class PostgresConfig(VerifiedConfig):
    """Where it listens, and who signs in."""

    host: Host = Field(title="Host", description="Name or address of the server.", examples=["db.example.com"])
    port: Port = Field(5432, title="Port", examples=[5432])
    tls: Literal["tls", "none"] = Field(
        "tls", title="TLS", description="none: a password is sent only if the server takes it scrambled."
    )
    user: str = Field("", title="User", max_length=63, description="Empty: nobody signs in, nothing is asked.")
    password: Secret = Field(Secret(""), title="Password", max_length=1000)
    database: str = Field("", title="Database", max_length=63, description="Empty: as the user.", examples=["shop"])

    @model_validator(mode="after")
    def _fits_together(self) -> "PostgresConfig":
        if (self.password.get_secret_value() or self.database) and not self.user:
            raise ValueError("user is missing: password and database are of no use without it")
        if "\0" in self.user + self.database + self.password.get_secret_value():
            raise ValueError("user, password and database cannot hold a zero byte")
        return self


class PostgresCheck(Check):
    """Connect, sign in, SELECT 1."""

    kind: ClassVar[str] = "postgres"
    label: ClassVar[str] = "PostgreSQL"
    Config = PostgresConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)

    @classmethod
    def target(cls, config: PostgresConfig) -> str:
        """host:port"""
        return place(config.host, config.port)

    @classmethod
    async def probe(cls, config: PostgresConfig, ctx: Context, outcome: Outcome) -> None:
        """Connect, sign in, ask; facts["version"] when the server told it."""
        secured = config.tls == "tls"
        async with conversation(
            config.host, config.port, ctx, outcome, tls=secured, verify=config.verify_tls, before_tls=_start_tls
        ) as stream:
            watch = Stopwatch.start()
            parameters = {"user": config.user or NOBODY, "database": config.database, "application_name": "watchkeeper"}
            body = b"".join(f"{key}\0{value}\0".encode() for key, value in parameters.items() if value) + b"\0"
            await stream.send(struct.pack("!II", len(body) + 8, PROTOCOL) + body)
            if not config.user:
                await _heard(stream)
                outcome.first_byte_ms = watch.lap()
                outcome.settle(Status.UP, "The server asks who is there")
                return
            await _sign_in(stream, config, lambda: _note(outcome, watch))
            await _until_ready(stream, outcome)
            await stream.send(b"Q" + struct.pack("!I", 13) + b"SELECT 1\0")
            if await _until_ready(stream, outcome) != [b"1"]:
                raise CheckFailed("content", "The server did not answer SELECT 1 with 1")
            await farewell(stream, b"X" + struct.pack("!I", 4))
        outcome.settle(Status.UP, "The server answered SELECT 1")


def _note(outcome: Outcome, watch: Stopwatch) -> None:
    if outcome.first_byte_ms is None:
        outcome.first_byte_ms = watch.lap()


async def _start_tls(stream: Stream) -> None:
    await stream.send(struct.pack("!II", 8, TLS_PLEASE))
    answer = await stream.reader.readexactly(1)
    if answer == b"N":
        raise CheckFailed("tls", "The server does not offer TLS")
    if answer != b"S":
        raise CheckFailed("protocol", NONSENSE)


async def _message(stream: Stream) -> tuple[bytes, bytes]:
    """(type, body) of the next message that is no notice; an error is raised as CheckFailed."""
    for _ in range(MOST_MESSAGES):
        head = await stream.reader.readexactly(5)
        size = int.from_bytes(head[1:])
        if head[:1] not in b"RSKZTDCENvA" or size < 4:
            raise CheckFailed("protocol", NONSENSE)
        body = await exactly(stream, size - 4, MOST_READ)
        if head[:1] == b"E":
            raise _refusal(body)
        if head[:1] not in b"NA":
            return head[:1], body
    raise CheckFailed("protocol", "The server's notices never end")


class Refusal(CheckFailed):
    """An error message. Its code decides; its text may repeat what was sent and is not used."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(*SENTENCES.get(code, ("content", f"The server answered error {code}")))


def _refusal(body: bytes) -> CheckFailed:
    fields = {part[:1]: part[1:] for part in body.split(b"\0") if part}
    code = fields.get(b"C", b"").decode("ascii", "replace")
    return Refusal(code) if _CODE.fullmatch(code) else CheckFailed("protocol", NONSENSE)


async def _heard(stream: Stream) -> None:
    """Any word about who may come in is a sign of life."""
    try:
        kind, _ = await _message(stream)
    except Refusal as refusal:
        if refusal.code in STRANGERS:
            return
        raise
    if kind != b"R":
        raise CheckFailed("protocol", NONSENSE)


async def _sign_in(stream: Stream, config: PostgresConfig, note: Callable[[], None]) -> None:
    password = config.password.get_secret_value()
    exchange: Scram | None = None
    for _ in range(MOST_MESSAGES):
        kind, body = await _message(stream)
        note()
        if kind == b"v":
            continue
        if kind != b"R" or len(body) < 4:
            break
        method, rest = int.from_bytes(body[:4]), body[4:]
        if method == 0:
            if exchange is not None and not exchange.proven:
                raise CheckFailed("protocol", "The server let us in without proving that it knows the password")
            return
        if not password and method in (3, 5, 10):
            raise CheckFailed("permission", "The server wants a password")
        if method == 3:
            if config.tls != "tls":
                raise CheckFailed("tls", "The server wants the password in the clear; turn on TLS for that")
            await _answer(stream, password.encode() + b"\0")
        elif method == 5 and len(rest) == 4:
            await _answer(stream, md5_word(config.user, password, rest) + b"\0")
        elif method == 10 and b"SCRAM-SHA-256" in rest.split(b"\0"):
            exchange = Scram(password)
            first = exchange.first()
            await _answer(stream, b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
        elif method == 11 and exchange is not None:
            await _answer(stream, exchange.final(rest))
        elif method == 12 and exchange is not None:
            exchange.verify(rest)
        else:
            raise CheckFailed("permission", "The server wants a way to sign in that this check does not know")
    raise CheckFailed("protocol", NONSENSE)


async def _answer(stream: Stream, data: bytes) -> None:
    await stream.send(b"p" + struct.pack("!I", len(data) + 4) + data)


async def _until_ready(stream: Stream, outcome: Outcome) -> list[bytes]:
    """The first column of every row up to "ready for query"; the server's version is noted."""
    rows: list[bytes] = []
    for _ in range(MOST_MESSAGES):
        kind, body = await _message(stream)
        if kind == b"Z":
            return rows
        if kind == b"S":
            name, _, value = body.rstrip(b"\0").partition(b"\0")
            if name == b"server_version":
                outcome.facts["version"] = value.decode("utf-8", "replace")[:50]
        if kind == b"D":
            size = int.from_bytes(body[2:6])
            rows.append(body[6 : 6 + size] if size <= len(body) - 6 else b"")
    raise CheckFailed("protocol", "The server's answer never ends")


def md5_word(user: str, password: str, salt: bytes) -> bytes:
    """What PostgreSQL's md5 method sends."""
    inner = hashlib.md5(password.encode() + user.encode(), usedforsecurity=False).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode()


class Scram:
    """The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding."""

    def __init__(self, password: str, nonce: str = "") -> None:
        # PostgreSQL prepares passwords by SASLprep; for what people type, NFKC is that.
        self._password = unicodedata.normalize("NFKC", password).encode()
        self._nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        self._expected = b""
        self.proven = False

    def first(self) -> bytes:
        """The client's first message."""
        return f"n,,n=,r={self._nonce}".encode()

    def final(self, challenge: bytes) -> bytes:
        """The client's last message, with the proof; raises CheckFailed for a challenge that makes no sense."""
        values = dict(part.partition("=")[::2] for part in challenge.decode("ascii", "replace").split(","))
        try:
            nonce, salt, rounds = values["r"], base64.b64decode(values["s"], validate=True), int(values["i"])
        except (KeyError, ValueError):
            raise CheckFailed("protocol", "The server's SCRAM challenge cannot be read") from None
        if not nonce.startswith(self._nonce) or not 1 <= rounds <= MOST_ROUNDS:
            raise CheckFailed("protocol", "The server's SCRAM challenge makes no sense")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, rounds)
        key = _mac(salted, b"Client Key")
        bare = f"c=biws,r={nonce}".encode()
        spoken = self.first()[3:] + b"," + challenge + b"," + bare
        proof = bytes(a ^ b for a, b in zip(key, _mac(hashlib.sha256(key).digest(), spoken), strict=True))
        self._expected = _mac(_mac(salted, b"Server Key"), spoken)
        return bare + b",p=" + base64.b64encode(proof)

    def verify(self, message: bytes) -> None:
        """Does the server know the password too? Raises CheckFailed when it does not."""
        wanted = b"v=" + base64.b64encode(self._expected)
        if not self._expected or not hmac.compare_digest(message.split(b",")[0], wanted):
            raise CheckFailed("protocol", "The server could not prove that it knows the password")
        self.proven = True


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")

"""Does a MySQL or MariaDB server take connections, let a user in, and answer a ping?

The start of the wire protocol (handshake version 10) and nothing more. Without a user it is enough that the server says
who may not come in: breaking off earlier would count against this probe's address (max_connect_errors) until the server
blocks it. Signs in by mysql_native_password and caching_sha2_password; the latter's long way is taken over TLS only.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from .base import Check, CheckFailed, Context, Host, Outcome, Port, Secret, Status, Stopwatch
from .connection import Stream, place
from .conversation import VerifiedConfig, conversation, exactly, farewell

MOST_READ = 65536
MOST_ROUNDS = 6  # packets of a sign-in, more than any of the known ways has
NOBODY = "watchkeeper"  # who asks when nobody signs in
UTF8 = 45
LONG_PASSWORD, WITH_DATABASE, PROTOCOL_41, TLS, TRANSACTIONS = 0x1, 0x8, 0x200, 0x800, 0x2000
SECURE_CONNECTION, PLUGIN_AUTH = 0x8000, 0x80000
NATIVE, SHA2 = "mysql_native_password", "caching_sha2_password"
FAST_OK, LONG_WAY = 3, 4
PING, QUIT = b"\x0e", b"\x01"
ACCESS_DENIED = {1045, 1698}
SENTENCES = {
    1040: ("content", "The server has too many connections"),
    1044: ("permission", "The user may not use this database, or there is none of this name"),
    1049: ("content", "The database does not exist"),
    1129: ("permission", "The server blocks this probe's address after too many connection errors"),
    1130: ("permission", "The server takes no connections from this probe's address"),
    1053: ("content", "The server is shutting down"),
    1203: ("content", "The user has too many connections"),
    3159: ("tls", "The server takes connections with TLS only"),
}


class MysqlConfig(VerifiedConfig):
    """Where it listens, and who signs in."""

    host: Host = Field(title="Host", description="Name or address of the server.", examples=["db.example.com"])
    port: Port = Field(3306, title="Port", examples=[3306])
    tls: Literal["tls", "none"] = Field(
        "tls", title="TLS", description="none: a password is sent only if the server takes it scrambled."
    )
    user: str = Field("", title="User", max_length=80, description="Empty: nobody signs in, nothing is asked.")
    password: Secret = Field(Secret(""), title="Password", max_length=200)
    database: str = Field("", title="Database", max_length=64, description="Empty: none.", examples=["shop"])

    @model_validator(mode="after")
    def _fits_together(self) -> "MysqlConfig":
        if (self.password.get_secret_value() or self.database) and not self.user:
            raise ValueError("user is missing: password and database are of no use without it")
        if "\0" in self.user + self.database + self.password.get_secret_value():
            raise ValueError("user, password and database cannot hold a zero byte")
        return self


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the server says first."""

    version: str
    abilities: int
    nonce: bytes
    plugin: str


class _Wire:
    """Packets over one stream: three bytes of length, one of sequence. Raises CheckFailed for errors and nonsense."""

    def __init__(self, stream: Stream, number: int = 0) -> None:
        self.stream, self.number = stream, number

    async def read(self) -> bytes:
        head = await self.stream.reader.readexactly(4)
        if head[3] != self.number:
            raise CheckFailed("protocol", "The server does not speak MySQL")
        self.number = (self.number + 1) % 256
        body = await exactly(self.stream, int.from_bytes(head[:3], "little"), MOST_READ)
        if not body:
            raise CheckFailed("protocol", "The server does not speak MySQL")
        if body[0] == 0xFF and len(body) >= 3:
            raise Refusal(int.from_bytes(body[1:3], "little"))
        return body

    async def write(self, body: bytes) -> None:
        await self.stream.send(len(body).to_bytes(3, "little") + bytes([self.number]) + body)
        self.number = (self.number + 1) % 256


class Refusal(CheckFailed):
    """An error packet. Its number decides; its text may repeat what was sent and is not used."""

    def __init__(self, number: int) -> None:
        self.number = number
        if number in ACCESS_DENIED:
            super().__init__("permission", "The server refused the user or password")
        else:
            super().__init__(*SENTENCES.get(number, ("content", f"The server answered error {number}")))


class MysqlCheck(Check):
    """Connect, sign in, ping."""

    kind: ClassVar[str] = "mysql"
    label: ClassVar[str] = "MySQL or MariaDB"
    Config = MysqlConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)

    @classmethod
    def target(cls, config: MysqlConfig) -> str:
        """host:port"""
        return place(config.host, config.port)

    @classmethod
    async def probe(cls, config: MysqlConfig, ctx: Context, outcome: Outcome) -> None:
        """Connect, sign in, ping; facts["version"] is what the server calls itself."""
        secured = config.tls == "tls"
        heard: list[Greeting] = []

        async def greet(stream: Stream) -> None:
            watch = Stopwatch.start()
            heard[:] = [read_greeting(await _Wire(stream).read())]
            outcome.first_byte_ms = watch.lap()
            if not secured:
                return
            if not heard[0].abilities & TLS:
                raise CheckFailed("tls", "The server does not offer TLS")
            await _Wire(stream, 1).write(_opening(config, tls=True))

        async with conversation(
            config.host, config.port, ctx, outcome, tls=secured, verify=config.verify_tls, before_tls=greet
        ) as stream:
            if not secured:
                await greet(stream)
            greeting = heard[0]
            outcome.facts["version"] = greeting.version
            wire = _Wire(stream, 2 if secured else 1)
            try:
                await _sign_in(wire, config, greeting, secured)
            except Refusal as refusal:
                if config.user or refusal.number not in ACCESS_DENIED:
                    raise
                outcome.settle(Status.UP, "The server asks who is there")
                return
            wire.number = 0
            await wire.write(PING)
            if (await wire.read())[0] != 0:
                raise CheckFailed("content", "The server did not answer the ping")
            await farewell(stream, b"\x01\0\0\0" + QUIT)
        outcome.settle(Status.UP, "The server answered a ping")


def read_greeting(body: bytes) -> Greeting:
    """The parts of a version 10 handshake; raises CheckFailed for anything else."""
    version, zero, rest = body[1:].partition(b"\0")
    if body[0] != 10 or not zero or len(rest) < 31 or not version.isascii():
        raise CheckFailed("protocol", "The server does not speak MySQL")
    abilities = int.from_bytes(rest[13:15], "little") | int.from_bytes(rest[18:20], "little") << 16
    plugin = rest[31 + max(13, rest[20] - 8) :].split(b"\0")[0] if abilities & PLUGIN_AUTH else b""
    nonce = (rest[4:12] + rest[31:43])[:20]
    if len(nonce) != 20 or not abilities & PROTOCOL_41:
        raise CheckFailed("protocol", "The server is too old for this check")
    name = version.decode().removeprefix("5.5.5-")  # MariaDB's disguise for old replicas
    return Greeting(name[:100], abilities, nonce, plugin.decode("ascii", "replace") or NATIVE)


def _opening(config: MysqlConfig, *, tls: bool) -> bytes:
    abilities = LONG_PASSWORD | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH
    abilities |= (TLS if tls else 0) | (WITH_DATABASE if config.database else 0)
    return struct.pack("<IIB23x", abilities, MOST_READ, UTF8)


async def _sign_in(wire: _Wire, config: MysqlConfig, greeting: Greeting, secured: bool) -> None:
    password = config.password.get_secret_value().encode()
    plugin = greeting.plugin if greeting.plugin in (NATIVE, SHA2) else NATIVE
    scrambled = scramble(plugin, password, greeting.nonce)
    body = (
        _opening(config, tls=secured) + (config.user or NOBODY).encode() + b"\0" + bytes([len(scrambled)]) + scrambled
    )
    body += (config.database.encode() + b"\0" if config.database else b"") + plugin.encode() + b"\0"
    await wire.write(body)
    for _ in range(MOST_ROUNDS):
        answer = await wire.read()
        if answer[0] == 0:
            return
        if answer[0] == 0xFE:
            name, _, rest = answer[1:].partition(b"\0")
            plugin = name.decode("ascii", "replace")
            if plugin not in (NATIVE, SHA2) or len(rest) < 20:
                raise CheckFailed("permission", "The server wants a way to sign in that this check does not know")
            await wire.write(scramble(plugin, password, rest[:20]))
        elif answer[0] == 1 and plugin == SHA2 and answer[1:2] == bytes([FAST_OK]):
            continue
        elif answer[0] == 1 and plugin == SHA2 and answer[1:2] == bytes([LONG_WAY]):
            if not secured:
                raise CheckFailed("tls", "The server wants the password itself; turn on TLS for that")
            await wire.write(password + b"\0")
        else:
            break
    raise CheckFailed("protocol", "The server's sign-in makes no sense")


def scramble(plugin: str, password: bytes, nonce: bytes) -> bytes:
    """What is sent instead of the password; b"" for none."""
    if not password:
        return b""
    if plugin == SHA2:
        once = hashlib.sha256(password).digest()
        mask = hashlib.sha256(hashlib.sha256(once).digest() + nonce).digest()
    else:
        once = hashlib.sha1(password, usedforsecurity=False).digest()
        twice = hashlib.sha1(once, usedforsecurity=False).digest()
        mask = hashlib.sha1(nonce + twice, usedforsecurity=False).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))

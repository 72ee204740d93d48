"""What does a MySQL server do up to the first command? Handshake version 10 on the server's side, both password plug-ins."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import struct
from dataclasses import dataclass, field

NATIVE, SHA2 = "mysql_native_password", "caching_sha2_password"
TLS, WITH_DATABASE = 0x800, 0x8
ABILITIES = 0x1 | WITH_DATABASE | 0x200 | 0x2000 | 0x8000 | 0x80000
OK = b"\0\0\0\x02\0\0\0"


def error(number: int, words: str) -> bytes:
    """An error packet."""
    return b"\xff" + struct.pack("<H", number) + b"#HY000" + words.encode()


def xored(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


async def start_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
    """As `writer.start_tls`, for a client that begins its handshake without waiting for a word: what came early counts."""
    raw = writer.transport
    raw.pause_reading()  # type: ignore[attr-defined]
    early = bytes(reader._buffer)  # type: ignore[attr-defined]
    reader._buffer.clear()  # type: ignore[attr-defined]
    begun = asyncio.ensure_future(writer.start_tls(context))
    await asyncio.sleep(0)  # until it waits for the handshake …
    await asyncio.sleep(0)  # … and the handshake is ready to hear
    if early:
        heard = raw.get_protocol()  # type: ignore[attr-defined]
        heard.get_buffer(len(early))[: len(early)] = early
        heard.buffer_updated(len(early))
    await begun


@dataclass
class Mysql:
    """One server's manners; `converse` is a handler. `users` are (plug-in, password); `cached` know the short way in."""

    users: dict[str, tuple[str, str]] = field(default_factory=dict)
    cached: set[str] = field(default_factory=set)
    tls: ssl.SSLContext | None = None
    default: str = SHA2
    databases: tuple[str, ...] = ("shop",)
    pong: bytes = OK
    heard: list[bytes] = field(default_factory=list)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from the greeting to COM_QUIT."""
        self._number = 0
        nonce = bytes(1 + byte % 127 for byte in os.urandom(20))
        abilities = ABILITIES | (TLS if self.tls else 0)
        low, high = struct.pack("<I", abilities)[:2], struct.pack("<I", abilities)[2:]
        greeting = b"\x0a8.0.99-rig\0" + struct.pack("<I", 7) + nonce[:8] + b"\0" + low + b"\x2d\x02\0" + high
        greeting += bytes([21]) + bytes(10) + nonce[8:] + b"\0" + self.default.encode() + b"\0"
        await self._write(writer, greeting)
        answer = await self._read(reader)
        if self.tls and int.from_bytes(answer[:4], "little") & TLS and len(answer) == 32:
            await start_tls(reader, writer, self.tls)
            answer = await self._read(reader)
        verdict = await self._admit(reader, writer, answer, nonce)
        await self._write(writer, verdict)
        if verdict != OK:
            return
        while True:
            self._number = 0
            command = await self._read(reader)
            if command == b"\x0e":
                await self._write(writer, self.pong)
            else:
                return

    async def _admit(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes, nonce: bytes
    ) -> bytes:
        user, rest = answer[32:].split(b"\0", 1)
        size = rest[0]
        proof, rest = rest[1 : 1 + size], rest[1 + size :]
        database = b""
        if int.from_bytes(answer[:4], "little") & WITH_DATABASE:
            database, rest = rest.split(b"\0", 1)
        plugin = rest.split(b"\0")[0].decode()
        name = user.decode()
        denied = error(1045, f"Access denied for user '{name}'")
        if name not in self.users:
            return denied
        wanted, password = self.users[name]
        if plugin != wanted:
            await self._write(writer, b"\xfe" + wanted.encode() + b"\0" + nonce + b"\0")
            proof = await self._read(reader)
        if not await self._knows(reader, writer, name, proof, nonce):
            return denied
        if database and database.decode() not in self.databases:
            return error(1049, f"Unknown database '{database.decode()}'")
        return OK

    async def _knows(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, proof: bytes, nonce: bytes
    ) -> bool:
        plugin, password = self.users[name][0], self.users[name][1].encode()
        if not password or not proof:
            return not password and not proof
        if plugin == NATIVE:
            stored = hashlib.sha1(hashlib.sha1(password).digest()).digest()
            once = xored(proof, hashlib.sha1(nonce + stored).digest())
            return hashlib.sha1(once).digest() == stored
        if plugin != SHA2:
            return False
        if name in self.cached:
            stored = hashlib.sha256(hashlib.sha256(password).digest()).digest()
            once = xored(proof, hashlib.sha256(stored + nonce).digest())
            if hashlib.sha256(once).digest() != stored:
                return False
            await self._write(writer, b"\x01\x03")
            return True
        await self._write(writer, b"\x01\x04")
        return await self._read(reader) == password + b"\0"

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readexactly(4)
        assert head[3] == self._number, "packets are counted"
        self._number += 1
        body = await reader.readexactly(int.from_bytes(head[:3], "little"))
        self.heard.append(body)
        return body

    async def _write(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        writer.write(len(body).to_bytes(3, "little") + bytes([self._number]) + body)
        self._number += 1
        await writer.drain()

"""What does an IMAP server say before a mailbox is opened? RFC 3501 as far as LOGIN and LOGOUT, with literals and STARTTLS."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass, field

_LITERAL = re.compile(rb"\{(\d+)\}\r\n$")


@dataclass
class Imap:
    """One server's manners; `converse` is a handler for a listener. `heard` holds every line and literal, in order."""

    users: dict[str, str] = field(default_factory=dict)
    greeting: bytes = b"* OK ready\r\n"
    outside: bytes = b"IMAP4rev1 IDLE"
    inside: bytes = b"IMAP4rev1 IDLE QUOTA"
    starttls: ssl.SSLContext | None = None
    heard: list[bytes] = field(default_factory=list)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from the greeting to LOGOUT."""
        writer.write(self.greeting)
        known = self.outside
        while True:
            words = await self._command(reader, writer)
            tag, verb, rest = words[0], words[1].upper(), words[2:]
            if verb == b"CAPABILITY":
                writer.write(b"* CAPABILITY " + known + b"\r\n" + tag + b" OK done\r\n")
            elif verb == b"STARTTLS" and self.starttls:
                writer.write(tag + b" OK begin\r\n")
                await writer.start_tls(self.starttls)
            elif verb == b"LOGIN" and self.users.get(rest[0].decode()) == rest[1].decode():
                known = self.inside
                writer.write(tag + b" OK in\r\n")
            elif verb == b"LOGIN":
                writer.write(tag + b" NO [AUTHENTICATIONFAILED] not " + rest[1] + b"\r\n")
            elif verb == b"LOGOUT":
                writer.write(b"* BYE\r\n" + tag + b" OK bye\r\n")
                await writer.drain()
                return
            else:
                writer.write(tag + b" BAD what?\r\n")
            await writer.drain()

    async def _command(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[bytes]:
        """The words of one command, its literals among them."""
        words: list[bytes] = []
        while True:
            line = await reader.readuntil(b"\r\n")
            self.heard.append(line)
            found = _LITERAL.search(line)
            words += (line[: found.start()] if found else line[:-2]).split()
            if not found:
                return words
            writer.write(b"+ go on\r\n")
            words.append(await reader.readexactly(int(found[1])))
            self.heard.append(words[-1])

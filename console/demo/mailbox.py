"""Where do the demo's mails arrive? At a small SMTP server that keeps them, with a page to look into it."""

from __future__ import annotations

import asyncio
import html
import threading
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

from console.demo.serving import HOST, Street, answer, requested

LARGEST = 1 << 20  # bytes of one mail
MOST = 200  # mails kept
STYLE = "body{font:15px system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}td{padding:.3rem 1rem .3rem 0}pre{white-space:pre-wrap}"
STRICT = "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail that arrived."""

    at: datetime
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"] or "(no subject)")

    def part(self, kind: str) -> str:
        """Its `plain` or `html` part as text."""
        body = self.message.get_body((kind,))
        return str(body.get_content()) if body else ""


class Mailbox:
    """An SMTP server on `smtp_port` (0: any), and its page at `url`."""

    def __init__(self, street: Street, smtp_port: int = 0) -> None:
        self._lock, self._mails = threading.Lock(), list[Mail]()
        self.smtp_port = street.open(self._smtp, port=smtp_port)
        self.url = f"http://{HOST}:{street.open(self._web)}/"

    @property
    def mails(self) -> list[Mail]:
        """What arrived so far, in order."""
        with self._lock:
            return list(self._mails)

    # --- In: as much of RFC 5321 as a sender needs ---------------------------------------------------------------------
    async def _smtp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[str] = []

        async def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())
            await writer.drain()

        await say("220 mailbox.demo ready")
        while line := await reader.readline():
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            match verb.upper():
                case "EHLO":
                    await say(f"250-mailbox.demo\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE {LARGEST}")
                case "HELO" | "NOOP":
                    await say("250 mailbox.demo")
                case "MAIL" | "RSET":
                    recipients.clear()
                    await say("250 OK")
                case "RCPT":
                    recipients.append(rest.partition("<")[2].partition(">")[0])
                    await say("250 OK")
                case "DATA" if recipients:
                    await say("354 go on")
                    raw = await _read_data(reader)
                    self._keep(tuple(recipients), raw)
                    await say("250 kept")
                case "DATA":
                    await say("503 to whom?")
                case "QUIT":
                    await say("221 bye")
                    return
                case _:
                    await say("502 not here")

    def _keep(self, recipients: tuple[str, ...], raw: bytes) -> None:
        message = message_from_bytes(raw, policy=policy.default)
        with self._lock:
            self._mails.append(Mail(datetime.now().astimezone(), recipients, message))  # type: ignore[arg-type]
            del self._mails[:-MOST]

    # --- Out: the page -------------------------------------------------------------------------------------------------
    async def _web(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = (await requested(reader)).strip("/").split("/")
        mails = self.mails
        number = int(parts[0]) if parts[0].isdigit() else -1
        if parts == [""]:
            await answer(writer, "200 OK", _list(mails), "text/html; charset=utf-8", STRICT, "Refresh: 3")
        elif 0 <= number < len(mails) and parts[1:] == ["html"]:
            await answer(writer, "200 OK", mails[number].part("html"), "text/html; charset=utf-8", STRICT)
        elif 0 <= number < len(mails):
            await answer(writer, "200 OK", _one(number, mails[number]), "text/html; charset=utf-8", STRICT)
        else:
            await answer(writer, "404 Not Found", "There is no such mail.")


async def _read_data(reader: asyncio.StreamReader) -> bytes:
    """The mail up to its lone dot; doubled dots are single again. ValueError when it is too large."""
    lines: list[bytes] = []
    size = 0
    while (line := await reader.readline()) not in (b".\r\n", b""):
        size += len(line)
        if size > LARGEST:
            raise ValueError("too large")
        lines.append(line[1:] if line.startswith(b".") else line)
    return b"".join(lines)


def _page(title: str, body: str) -> str:
    return f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>{body}"


def _list(mails: list[Mail]) -> str:
    rows = "".join(
        f"<tr><td>{mail.at:%H:%M:%S}<td>{html.escape(', '.join(mail.recipients))}<td><a href='/{number}'>{html.escape(mail.subject)}</a>"
        for number, mail in reversed(list(enumerate(mails)))
    )
    return _page(
        "Mailbox", f"<h1>Mailbox</h1><p>{len(mails)} so far; this page looks again every 3 s.</p><table>{rows}</table>"
    )


def _one(number: int, mail: Mail) -> str:
    to = html.escape(", ".join(mail.recipients))
    look = f"<p><a href='/{number}/html'>as a mail program shows it</a> · <a href='/'>all mails</a></p>"
    text = html.escape(mail.part("plain"))
    return _page(
        mail.subject, f"<h1>{html.escape(mail.subject)}</h1><p>To {to}, {mail.at:%H:%M:%S}</p>{look}<pre>{text}</pre>"
    )

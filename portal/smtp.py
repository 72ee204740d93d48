"""How is one mail handed to a mail server, within a total deadline, and what became of it? No Django here.

smtplib speaks the protocol; every read and write underneath goes by one deadline, because its own time-out starts anew
with each byte. What a failure means is said exactly: try again, never, or "it may have arrived all the same".
"""

from __future__ import annotations

import contextlib
import io
import re
import smtplib
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from portal.names import Unresolved, addresses_of
from portal.outbound.guard import Blocked, Reach, check_address

Tls = Literal["starttls", "tls", "none"]

SECONDS: Final = 25.0
CONNECT_SECONDS: Final = 8.0  # for one address; a dead first one must leave time for the second
MOST_ANSWERS: Final = 256 * 1024  # bytes a server may say in one conversation
CHUNK: Final = 16 * 1024
# Loose on purpose: whoever stores an address checks it; here nothing may leave its place in the command.
_ADDRESS: Final = re.compile(r"[^\s<>\x00-\x1f\x7f]{1,320}")


@dataclass(frozen=True, slots=True)
class Server:
    """Which mail server, and how. `reach` None: the environment names it, so the outbound guard does not apply."""

    host: str
    port: int = 587
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Tls = "starttls"
    reach: Reach | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took the mail over. `refused`: recipients it did not take, with its words."""

    code: int
    answer: str
    refused: dict[str, str] = field(default_factory=dict)


class MailError(Exception):
    """The mail was not taken. `permanent`: again cannot help; `ambiguous`: it may have arrived all the same.

    `str()` is a sentence for people, with the server's own words and without the password.
    """

    def __init__(
        self, message: str, *, permanent: bool = False, ambiguous: bool = False, code: int | None = None
    ) -> None:
        super().__init__(message)
        self.permanent, self.ambiguous, self.code = permanent, ambiguous, code


def send(server: Server, sender: str, recipients: list[str], content: bytes, *, seconds: float = SECONDS) -> Accepted:
    """Hand over one mail (`content`: the whole message in bytes; addresses are bare). Raises MailError.

    Ends within `seconds`, whatever the other side does (two more for saying goodbye).
    """
    if not recipients:
        raise MailError("The mail has no recipient.", permanent=True)
    if not all(_ADDRESS.fullmatch(address) for address in (sender, *recipients)):
        raise MailError("An address holds characters that mail cannot carry.", permanent=True)
    session = _Session(server, seconds)
    try:
        session.open()
        return session.hand_over(sender, recipients, content)
    except (smtplib.SMTPException, OSError, ValueError, Blocked, Unresolved) as error:
        raise session.explain(error) from None
    finally:
        session.leave()


class _Session(smtplib.SMTP):
    """One conversation with one deadline."""

    def __init__(self, server: Server, seconds: float) -> None:
        name = socket.gethostname()
        super().__init__(local_hostname=name if "." in name else "[127.0.0.1]")
        self._server, self._seconds = server, seconds
        self._deadline = time.monotonic() + seconds
        self._heard = 0
        self._handed_over = False

    # --- the socket, by the deadline ---------------------------------------------------------------------------------
    def left(self) -> float:
        """Seconds left; TimeoutError when there are none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left

    def _get_socket(self, host: str, port: int, timeout: Any) -> socket.socket:
        addresses = addresses_of(host, min(self.left(), CONNECT_SECONDS))
        if self._server.reach is not None:
            for address in addresses:
                check_address(address, self._server.reach)
        trouble: OSError = ConnectionError("no address")
        for address in addresses[:4]:
            try:
                plain = socket.create_connection((address, port), timeout=min(self.left(), CONNECT_SECONDS))
            except OSError as error:
                trouble = error
                continue
            return self._secured(plain) if self._server.tls == "tls" else plain
        raise trouble

    def _secured(self, plain: socket.socket) -> ssl.SSLSocket:
        plain.settimeout(self.left())
        try:
            return ssl.create_default_context().wrap_socket(plain, server_hostname=self._server.host)
        except BaseException:
            plain.close()
            raise

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Ear(self))
        return super().getreply()

    def hear(self, buffer: memoryview) -> int:
        """Read what comes next into the buffer; the number of bytes."""
        if self.sock is None:
            return 0
        self.sock.settimeout(self.left())
        count = self.sock.recv_into(buffer)
        self._heard += count
        if self._heard > MOST_ANSWERS:
            raise ConnectionError("the server talks without end")
        return count

    def send(self, s: Any) -> None:
        """All of it or an error. Small pieces: each write has what is left of the deadline."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        data = memoryview(s.encode(self.command_encoding) if isinstance(s, str) else bytes(s))
        try:
            while data:
                self.sock.settimeout(self.left())
                data = data[self.sock.send(data[:CHUNK]) :]
        except OSError as error:
            self.close()
            raise smtplib.SMTPServerDisconnected(f"the connection broke: {error}") from error

    # --- the conversation --------------------------------------------------------------------------------------------
    def open(self) -> None:
        """Connect, secure, log in."""
        server = self._server
        self._host = server.host  # the name that the certificate must carry
        code, words = self.connect(server.host, server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, words)
        self.ehlo_or_helo_if_needed()
        if server.tls == "starttls":
            if not self.has_extn("starttls"):
                raise MailError(
                    "The mail server does not offer STARTTLS. Use port 465 with TLS, or set TLS to none if the network is trusted.",
                    permanent=True,
                )
            self.starttls(context=ssl.create_default_context())
            self.ehlo_or_helo_if_needed()
        if server.user:
            self.login(server.user, server.password)

    def hand_over(self, sender: str, recipients: list[str], content: bytes) -> Accepted:
        """MAIL, RCPT, DATA. From the final dot to the server's word nobody can know who has the mail."""
        eight = [] if content.isascii() or not self.has_extn("8bitmime") else ["body=8bitmime"]
        code, words = self.mail(sender, eight)
        if code != 250:
            raise MailError(f"The mail server refused the sender {sender}: {_said(code, words)}", **_meaning(code))
        refused, codes = self._name(recipients)
        if len(refused) == len(recipients):
            told = "; ".join(f"{address}: {reason}" for address, reason in list(refused.items())[:3])
            worst = next((c for c in codes if c < 500), codes[0])
            raise MailError(f"The mail server refused the recipient {told}", **_meaning(worst))
        code, words = self.docmd("data")
        if code != 354:
            raise MailError(f"The mail server refused the mail: {_said(code, words)}", **_meaning(code))
        self.send(_stuffed(content))
        self._handed_over = True
        self.send(b".\r\n")
        code, words = self.getreply()
        self._handed_over = False
        if code != 250:
            raise MailError(f"The mail server refused the mail: {_said(code, words)}", **_meaning(code))
        return Accepted(code, _said(code, words), refused)

    def _name(self, recipients: list[str]) -> tuple[dict[str, str], list[int]]:
        refused: dict[str, str] = {}
        codes = []
        for address in recipients:
            code, words = self.rcpt(address)
            if code == 421:
                raise MailError(f"The mail server is closing: {_said(code, words)}", code=code)
            if code not in (250, 251):
                refused[address] = _said(code, words)
                codes.append(code)
        return refused, codes

    def leave(self) -> None:
        """Say goodbye, briefly; the mail's fate is settled."""
        if self.sock is not None:
            self._deadline = time.monotonic() + 1.0
            with contextlib.suppress(smtplib.SMTPException, OSError, ValueError):
                self.docmd("quit")
        self.close()

    # --- what a failure means ----------------------------------------------------------------------------------------
    def explain(self, error: Exception) -> MailError:
        """The error as a MailError."""
        if isinstance(error, MailError):
            return error
        late = time.monotonic() >= self._deadline
        if self._handed_over:
            how = "did not confirm it in time" if late else "broke off before confirming it"
            return MailError(f"The mail was handed over, but the server {how}: it may have arrived.", ambiguous=True)
        cause = error.__context__ if isinstance(error, smtplib.SMTPServerDisconnected) else error
        match error:
            case Blocked():
                return MailError(f"Mail server: {error}", permanent=True)
            case Unresolved():
                return MailError(f"Mail server {self._server.host}: {error}")
            case smtplib.SMTPAuthenticationError(smtp_code=code, smtp_error=words):
                return MailError(
                    f"The mail server refused the user name or password: {self._hidden(_said(code, words))}. "
                    "Check the user and the password (many providers want an app password here).",
                    **_meaning(code),
                )
            case smtplib.SMTPNotSupportedError():
                return MailError(
                    "The mail server offers no login here. Leave the user name empty, or use TLS so that it offers one.",
                    permanent=True,
                )
            case smtplib.SMTPResponseException(smtp_code=code, smtp_error=words) if code > 0:
                return MailError(f"The mail server answered {self._hidden(_said(code, words))}", **_meaning(code))
            case ssl.SSLCertVerificationError():
                return MailError(f"The mail server's certificate is not trusted: {error.verify_message}.")
            case UnicodeError():
                return MailError(
                    "The user name or password has characters that mail servers cannot take.", permanent=True
                )
            case ValueError():
                return MailError("An address holds characters that mail cannot carry.", permanent=True)
        if late or isinstance(cause, TimeoutError):
            return MailError(f"The mail server {self._server.host}:{self._server.port} did not answer in time.")
        if isinstance(cause, ssl.SSLError):
            return MailError("TLS could not be started. Usual are starttls on port 587, tls on 465, none on 25.")
        if isinstance(cause, ConnectionRefusedError):
            return MailError(f"The mail server {self._server.host}:{self._server.port} refused the connection.")
        if isinstance(error, smtplib.SMTPException) or self.sock is not None:
            return MailError("The mail server broke off the connection before taking the mail.")
        return MailError(f"The mail server {self._server.host}:{self._server.port} cannot be reached from here.")

    def _hidden(self, text: str) -> str:
        password = self._server.password
        return text.replace(password, "••••••") if len(password) > 3 else text


class _Ear(io.RawIOBase):
    """The session's socket as a readable file that keeps the deadline."""

    def __init__(self, session: _Session) -> None:
        super().__init__()
        self._session = session

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._session.hear(buffer)


def _meaning(code: int) -> dict[str, Any]:
    """4xx: later perhaps; 5xx: no (RFC 5321, 4.2.1)."""
    return {"permanent": code >= 500, "code": code}


def _said(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f"{code} {clean[:200]}".strip()


def _stuffed(content: bytes) -> bytes:
    """CRLF line ends only and dots doubled at line starts: nothing inside a mail can end it early."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    dotted = re.sub(rb"(?m)^\.", b"..", lines)
    return dotted if dotted.endswith(b"\r\n") else dotted + b"\r\n"

"""Which mails arrived? A real SMTP server that keeps every message and can refuse, wait or break off."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import Enum

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.rig.certificates import Certificate
from tests.rig.serving import Serving


class Mode(Enum):
    """What the server does with the next mail."""

    ACCEPT = "accept"
    REJECT = "reject"  # 550 at RCPT
    REJECT_DATA = "reject after data"  # 554 once the mail is read
    TEMPFAIL = "tempfail"  # 451 at RCPT
    SLOW = "slow"  # accepted, the reply comes after `delay` seconds
    CUT = "cut"  # accepted, then the connection breaks before the reply: the sender cannot know


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail that the server took over. `at` is `time.time()`, `instant` `time.monotonic()`."""

    at: float
    instant: float
    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    tls: bool
    login: str | None

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=policy.default)

    @property
    def subject(self) -> str:
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        return str(part.get_content()) if part else ""

    @property
    def html(self) -> str:
        part = self.message.get_body(("html",))
        return str(part.get_content()) if part else ""


class Mailbox(Serving):
    """An SMTP server on `host`:`port`.

    `certificate` offers STARTTLS (`implicit_tls=True`: TLS from the first byte; `require_tls=True`: no mail without).
    `login=("user", "password")` demands AUTH.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        certificate: Certificate | None = None,
        implicit_tls: bool = False,
        require_tls: bool = False,
        login: tuple[str, str] | None = None,
    ) -> None:
        context = certificate.server_context() if certificate else None
        super().__init__(tls=context if implicit_tls else None)
        self._starttls = None if implicit_tls else context
        self._require_tls = require_tls
        self._login = login
        self._changed = threading.Condition()
        self._mails: list[Mail] = []
        self._attempts = 0
        self._mode = Mode.ACCEPT
        self._delay = 0.0

    @property
    def mails(self) -> list[Mail]:
        """Every mail taken over so far, in order (a copy)."""
        with self._changed:
            return list(self._mails)

    @property
    def attempts(self) -> int:
        """How many times a sender got as far as naming a recipient, accepted or not."""
        with self._changed:
            return self._attempts

    def to(self, address: str) -> list[Mail]:
        """The mails for one address."""
        return [mail for mail in self.mails if address in mail.recipients]

    def behave(self, mode: Mode, *, delay: float = 0.0) -> None:
        """What happens from the next mail on; `delay` in seconds, for SLOW."""
        with self._changed:
            self._mode, self._delay = mode, delay

    def wait_for(self, count: int, to: str | None = None, *, within: float = 60) -> list[Mail]:
        """Wait for at least `count` mails (to an address); returns them. AssertionError names what came instead."""
        return self.wait_until(lambda mails: len(mails) >= count, to, within=within, what=f"{count} mails")

    def wait_until(
        self,
        enough: Callable[[list[Mail]], bool],
        to: str | None = None,
        *,
        within: float = 60,
        what: str = "the expected mails",
    ) -> list[Mail]:
        """Wait until `enough(mails)`; returns them."""
        found: list[Mail] = []

        def look() -> bool:
            found[:] = [mail for mail in self._mails if to is None or to in mail.recipients]
            return enough(found)

        with self._changed:
            if not self._changed.wait_for(look, within):
                raise AssertionError(f"waited {within} s for {what}; got {[mail.subject for mail in found]}")
            return list(found)

    def forget(self) -> None:
        """Forget every mail and accept again."""
        with self._changed:
            self._mails.clear()
            self._attempts = 0
            self._mode, self._delay = Mode.ACCEPT, 0.0

    async def accept(self, server_socket: socket.socket) -> asyncio.Server:
        def conversation() -> SMTP:
            return _Conversation(
                self,
                hostname="mailbox.test",
                ident="test mailbox",
                enable_SMTPUTF8=True,
                tls_context=self._starttls,
                require_starttls=self._require_tls,
                authenticator=self._authenticate,
                auth_required=self._login is not None,
                auth_require_tls=False,
                loop=self._loop,
            )

        return await self._loop.create_server(conversation, sock=server_socket, ssl=self._tls, backlog=256)

    # --- aiosmtpd asks these; their names are its ------------------------------------------------------------------
    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        with self._changed:
            self._attempts += 1
            mode = self._mode
        if mode is Mode.REJECT:
            return "550 5.1.1 no such user here"
        if mode is Mode.TEMPFAIL:
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        with self._changed:
            mode, delay = self._mode, self._delay
            if mode is not Mode.REJECT_DATA:
                self._mails.append(_mail(session, envelope, implicit_tls=self._tls is not None))
                self._changed.notify_all()
        if mode is Mode.REJECT_DATA:
            return "554 5.6.0 message refused"
        if mode is Mode.SLOW:
            await asyncio.sleep(delay)
        if mode is Mode.CUT and isinstance(server.transport, asyncio.WriteTransport):
            server.transport.abort()
        return "250 OK, kept"

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        right = self._login is not None and given == self._login
        return AuthResult(success=right, handled=False, auth_data=given[0] if right and given else None)


class _Conversation(SMTP):
    """One connection, known to the mailbox so that `refuse()` can cut it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.event_handler.connections.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.connections.discard(self.transport)
        super().connection_lost(error)


def _mail(session: Session, envelope: Envelope, *, implicit_tls: bool) -> Mail:
    content = envelope.content or b""
    return Mail(
        at=time.time(),
        instant=time.monotonic(),
        sender=envelope.mail_from or "",
        recipients=tuple(envelope.rcpt_tos),
        raw=content if isinstance(content, bytes) else content.encode(),
        tls=implicit_tls or session.ssl is not None,
        login=str(session.auth_data) if session.auth_data else None,
    )

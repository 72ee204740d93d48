"""How does a message go out as mail? Multipart HTML and text over SMTP, threaded per incident, the same copy on a repeat.

`Message-ID` is the delivery's and stays over retries, so that most mail programs fold a second copy; `References` names
the thread, so that everything about one incident stands together.
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from dataclasses import replace
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, formataddr, parseaddr
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.validators import validate_email
from django.utils import timezone
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from alerts import unsubscribing
from alerts.channels.addresses import Host
from alerts.channels.base import ChannelConfig, DeliveryError, ProviderAccount, Receipt, Secret, ThreadedChannel
from alerts.channels.letter import write
from alerts.channels.wording import one_line
from alerts.message import Link, Message
from portal import smtp
from portal.mail import CURE, installation_server
from portal.outbound.guard import parse_host

MOST_RECIPIENTS: Final = 20
STOP: Final = "unsubscribe"
_THREAD: Final = re.compile(r"[A-Za-z0-9._-]{1,80}")
_OWN_ID: Final = re.compile(r"<[A-Za-z0-9._-]{1,120}@[A-Za-z0-9.\[\]:-]{1,255}>")


_VERBATIM: Final = frozenset({"list-unsubscribe", "in-reply-to", "references"})


class _Wire(EmailPolicy):
    """Addresses and ids stand in headers as they are: as encoded words no mail program takes them for a link or an id."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        text = str(value)
        if name.lower() in _VERBATIM and text.isascii() and len(text) < 900:
            return f"{name}: {text}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


def address(text: str) -> str:
    """A bare address in the form SMTP takes (an international domain in its ASCII form). ValueError with a sentence."""
    text = text.strip()
    local, _, domain = text.rpartition("@")
    try:
        plain = f"{local}@{parse_host(domain)}" if local and not domain.startswith("[") else text
        validate_email(plain)
    except (ValueError, DjangoValidationError):
        raise ValueError(
            f"{one_line(text)[:80]!r} is not an e-mail address; write for example ops@example.com."
        ) from None
    return plain


def _listed(value: Any) -> Any:
    """One text may name several, separated by commas, semicolons or lines."""
    return [part for part in re.split(r"[,;\s]+", value) if part] if isinstance(value, str) else value


def _recipients(value: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(address(text) for text in value))
    if not found:
        raise ValueError("Enter at least one address.")
    return found


def _sender(value: str) -> str:
    if not value.strip():
        return ""
    if not value.isprintable():
        raise ValueError("The sender is one line of plain characters.")
    name, bare = parseaddr(value)
    return formataddr((name, address(bare or value)))


class EmailConfig(ChannelConfig):
    """To whom; and, when it is not the installation's, by which mail server."""

    to: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_recipients)] = Field(
        max_length=MOST_RECIPIENTS, title="To", description="One address or several.", examples=["ops@example.com"]
    )
    sender: Annotated[str, AfterValidator(_sender)] = Field(
        "", max_length=200, title="From", description="Empty: the installation's sender."
    )
    smtp_host: Host = Field("", title="Mail server", description="Empty: the installation's mail server.")
    smtp_port: int = Field(587, ge=1, le=65535, title="Port", description="587 (starttls), 465 (tls) or 25.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field("starttls", title="TLS")
    smtp_user: str = Field("", max_length=200, title="User")
    smtp_password: Secret = Field(SecretStr(""), title="Password")

    @model_validator(mode="after")
    def _own_login(self) -> Self:
        if (self.smtp_user or self.smtp_password.get_secret_value()) and not self.smtp_host:
            raise ValueError("A user or password needs the mail server it belongs to.")
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return (self.smtp_host,) if self.smtp_host else ()


class MailServer(ProviderAccount):
    """The installation's own mail server; what is left out comes from the SMTP_… settings."""

    host: str = Field(
        "", max_length=255, title="Mail server", pattern=r"\A[A-Za-z0-9._:-]*\z", description="Empty: SMTP_HOST."
    )
    port: int = Field(587, ge=1, le=65535, title="Port", description="587 (starttls), 465 (tls) or 25.")
    tls: Literal["starttls", "tls", "none"] = Field("starttls", title="TLS")
    sender: str = Field("", max_length=200, title="From", pattern=r"\A[^\r\n\x00]*\z", description="Empty: SMTP_FROM.")
    user: str = Field("", max_length=200, title="User", pattern=r"\A[^\r\n\x00]*\z")
    password: SecretStr = Field(SecretStr(""), title="Password")


class Email(ThreadedChannel):
    """A mail to one or several people."""

    kind: ClassVar[str] = "email"
    label: ClassVar[str] = "E-mail"
    Config = EmailConfig
    main_field: ClassVar[str] = "to"
    provider: ClassVar[str] = "smtp"
    provider_label: ClassVar[str] = "Mail server"
    Account = MailServer

    def server(self) -> tuple[smtp.Server | None, str]:
        """(mail server, From); the channel's own server gets its own login only. ValueError when misconfigured."""
        config = self.config
        if not config.smtp_host:
            server, sender = installation_server(self.provider_settings)
            return server, config.sender or sender
        login = config.smtp_user, config.smtp_password.get_secret_value()
        own = smtp.Server(config.smtp_host, config.smtp_port, *login, tls=config.smtp_tls, reach=self.reach)
        return own, config.sender or installation_server(self.provider_settings)[1]

    def ready(self) -> str:
        """A mail server is needed."""
        try:
            server, _ = self.server()
        except ValueError as error:
            return str(error)
        return "" if server else f"No mail server is configured. {CURE}"

    def address(self) -> str:
        """The recipients."""
        return ", ".join(self.config.to)

    def send(self, message: Message) -> Receipt:
        """Hand it to the mail server; at most 27 s. `provider_id` is the Message-ID."""
        obstacle = self.ready()
        if obstacle:
            raise DeliveryError(obstacle, permanent=True)
        server, sender = self.server()
        assert server is not None
        try:
            mail = compose(stoppable(message, self.address()), sender=sender, to=self.config.to)
            envelope = address(parseaddr(sender)[1])
        except ValueError as error:
            raise DeliveryError(f"The mail cannot be written: {error}", permanent=True) from None
        try:
            taken = smtp.send(server, envelope, list(self.config.to), mail.as_bytes())
        except smtp.MailError as error:
            raise DeliveryError(
                str(error), permanent=error.permanent, ambiguous=error.ambiguous, code=error.code
            ) from None
        missed = "; ".join(f"not taken for {who}: {why}" for who, why in taken.refused.items())
        answer = f"{taken.answer} ({missed})" if missed else taken.answer
        return Receipt(code=taken.code, provider_id=str(mail["Message-ID"]), answer=answer[:300])


def compose(message: Message, *, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """The whole mail. ValueError when a header would hold what it must not."""
    letter = write(message)
    mail = EmailMessage(policy=_Wire(linesep="\r\n", cte_type="7bit"))
    mail["From"] = _literal(sender)
    mail["To"] = ", ".join(to)
    mail["Subject"] = _literal(letter.subject)
    mail["Date"] = format_datetime(timezone.now())
    mail["Message-ID"] = message_id(message)
    root = thread_id(message)
    heard = message.provider_id if _OWN_ID.fullmatch(message.provider_id) else ""
    if root:
        mail["In-Reply-To"] = heard or root
        mail["References"] = f"{root} {heard}".strip()
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    stop = message.link(STOP)
    if stop:
        if message.letter:
            mail["Precedence"] = "bulk"
        mail["List-Unsubscribe"] = f"<{stop}>"
        if stop.startswith("https://"):  # RFC 8058 allows the one click over TLS only
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if message.tone == "critical":
        mail["Importance"] = "high"
    mail.set_content(letter.text, cte="quoted-printable")
    mail.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    for file in message.letter.get("files", ()):
        kind, _, subtype = file["type"].partition("/")
        content = base64.b64decode(file["content"])
        mail.add_attachment(content, maintype=kind, subtype=subtype, filename=file["name"])
    return mail


def _literal(text: str) -> str:
    """Text for a header in which nothing is an encoded word: `=?utf-8?q?x=0D=0ABcc:_y?=` is decoded when it is set, and
    older Pythons write the line break that comes out of it (CVE-2024-6923). With a wide `＝` it is text like any other.
    """
    return text.replace("=?", "\uff1d?")


def stoppable(message: Message, address: str) -> Message:
    """A digest with the link that stops it; every other message as it is: nobody may stop being paged by one click.

    A letter to a reader brings its own link.
    """
    if message.letter:
        return message
    links = tuple(link for link in message.links if link.rel != STOP)
    if message.kind == "digest" and message.digest_of:
        url = f"{settings.BASE_URL}{unsubscribing.path(message.digest_of, address)}"
        links += (Link(STOP, "Send no more digests", url),)
    return replace(message, links=links)


def message_id(message: Message) -> str:
    """`<delivery-7.1a2b3c4d@portal.example>`: the same on every try; a message without a delivery gets a new one."""
    name = f"delivery-{message.delivery_id}" if message.delivery_id else f"once-{uuid.uuid4().hex}"
    return f"<{name}.{_installation()}@{_domain()}>"


def thread_id(message: Message) -> str:
    """The id that stands for what belongs together (`alert-9`, `incident-2`); "" for what stands alone."""
    if message.kind == "test" or not _THREAD.fullmatch(message.thread):
        return ""
    return f"<{message.thread}.{_installation()}@{_domain()}>"


def _domain() -> str:
    host = urlsplit(settings.BASE_URL).hostname or "localhost"
    return f"[{host}]" if ":" in host else host


def _installation() -> str:
    """Two portals of one name (localhost) must not share ids: mail programs would drop the second one's mails."""
    return hashlib.sha256(f"message-id:{settings.SECRET_KEY}".encode()).hexdigest()[:8]

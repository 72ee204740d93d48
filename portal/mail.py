"""Which mail server does this installation use, and how do account mails (password reset, invitations) reach it?

The environment's SMTP_… settings, overridden or completed by the provider settings named "smtp".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.message import sanitize_address

from portal import smtp
from portal.models import ProviderSettings
from portal.outbound.guard import Reach

log = logging.getLogger("watchkeeper.mail")

CURE = "Set SMTP_HOST and SMTP_FROM, or fill in the mail server in the provider settings."
SECONDS = 12.0  # a person waits for the page that sends it
FIELDS = ("host", "port", "user", "password", "sender", "tls")


def installation_server(provider: Mapping[str, Any] | None = None) -> tuple[smtp.Server | None, str]:
    """(server, From) of this installation; None when there is no mail server. `provider`: the stored "smtp" settings.

    A stored host that differs from the environment's gets none of the environment's login. Raises ValueError for a port
    that is no number.
    """
    stored = {name: value for name in FIELDS if (value := (provider or {}).get(name)) not in (None, "")}
    here = settings.SMTP
    other_host = bool(stored.get("host")) and stored["host"] != here["host"]
    values = {"port": 587, "tls": "starttls", **({} if other_host else here), **stored}
    sender = str(values.get("sender") or settings.DEFAULT_FROM_EMAIL)
    if not values.get("host"):
        return None, sender
    tls = str(values["tls"])
    if tls not in ("starttls", "tls", "none"):
        raise ValueError(f"The mail server's TLS is {tls!r}; it must be starttls, tls or none.")
    # Staff's own relay may stand in the LAN; loopback and the like still need OUTBOUND_ALLOW, unless the environment says so.
    reach = Reach(allow=settings.OUTBOUND_ALLOW, private=True) if other_host else None
    try:
        port = int(values["port"])
    except (TypeError, ValueError):
        raise ValueError("The mail server's port is not a number; usual are 587, 465 and 25.") from None
    login = str(values.get("user") or ""), str(values.get("password") or "")
    return smtp.Server(str(values["host"]), port, *login, tls=tls, reach=reach), sender  # type: ignore[arg-type]


def stored_settings() -> dict[str, Any]:
    """The provider settings named "smtp", opened; {} without."""
    row = ProviderSettings.objects.filter(provider="smtp").first()
    return row.values() if row else {}


class Backend(BaseEmailBackend):
    """Django's EMAIL_BACKEND over the installation's mail server."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send them; how many were taken. Raises portal.smtp.MailError unless `fail_silently`."""
        if not email_messages:
            return 0
        try:
            server, sender = installation_server(stored_settings())
            if server is None:
                raise smtp.MailError(f"No mail server is configured. {CURE}", permanent=True)
        except (ValueError, smtp.MailError) as error:
            log.error("%d mail(s) not sent: %s", len(email_messages), error)
            if self.fail_silently:
                return 0
            raise error if isinstance(error, smtp.MailError) else smtp.MailError(str(error), permanent=True) from None
        return sum(self._send(server, sender, message) for message in email_messages)

    def _send(self, server: smtp.Server, sender: str, message: EmailMessage) -> bool:
        if not message.recipients():
            return False
        encoding = message.encoding or settings.DEFAULT_CHARSET
        if message.from_email == settings.DEFAULT_FROM_EMAIL:
            message.from_email = sender  # the stored sender wins over the environment's
        try:
            envelope = parseaddr(sanitize_address(message.from_email, encoding))[1]
            recipients = [parseaddr(sanitize_address(address, encoding))[1] for address in message.recipients()]
            content = message.message().as_bytes(linesep="\r\n")  # type: ignore[call-arg]  # Django's own signature
            smtp.send(server, envelope, recipients, content, seconds=SECONDS)
        except (smtp.MailError, ValueError) as error:
            log.error("mail %r not sent: %s", message.subject, error)
            if self.fail_silently:
                return False
            raise
        return True

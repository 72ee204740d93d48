"""Where does the Approve button lead? To a page, by a token that says who was asked; it opens nothing by itself.

A token is worked out from the installation's key: `<run>.<person>.<signature>`, the person 0 in messages that many read (the
alert's, which keeps it among its links). A person's own is stored nowhere. What either may lead to is decided by the run's own
state and time, and by who signs in or has a code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from django.conf import settings

from alerts.facts import portal_url
from playbooks.models import Run


def _signature(subject: str) -> str:
    mac = hmac.new(settings.SECRET_KEY.encode(), f"playbooks.approve:{subject}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def token(run: Run, user: int = 0) -> str:
    """The token of one run for one person (0: for whoever reads the message). Bound to the plan: another plan, another token."""
    subject = f"{run.pk}.{user}"
    return f"{subject}.{_signature(f'{subject}.{run.plan_hash}')}"


def url(run: Run, user: int = 0) -> str:
    """The page behind the button. Its host is the configured one, never a request's."""
    return portal_url(f"/approve/{token(run, user)}/")


def find(text: str) -> tuple[Run, int] | None:
    """(run, person or 0) behind a token; None when it is not one of ours, or the plan is another by now."""
    number, _, rest = text.partition(".")
    user, _, _ = rest.partition(".")
    if not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in (number, user)):
        return None
    run = (
        Run.objects.select_related("playbook", "client", "monitor", "alert", "incident")
        .filter(pk=int(number))
        .exclude(client__deleted_at__isnull=False)
        .first()
    )
    if run is None or not hmac.compare_digest(token(run, int(user)).encode(), text.encode("utf-8", "replace")):
        return None
    return run, int(user)

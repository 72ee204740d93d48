"""How is an act told? Each line is read from the database, the mailbox or the network when it is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from django.conf import settings

from alerts.models import Alert, Delivery
from console.demo.mailbox import Mail, Mailbox
from portal.clock import database_now

Found = TypeVar("Found")
LOOK_EVERY = 0.1


class NeverHappened(Exception):
    """A step of the story did not come; the message says which."""


class Telling:
    """What all acts need. `say` prints a line; `patience` seconds are left to the reader before the demo acts itself."""

    def __init__(self, mailbox: Mailbox, say: Callable[[str], None], *, patience: float) -> None:
        self.mailbox, self.say, self.patience = mailbox, say, patience
        self.broke_at: datetime | None = None

    def delivered(self, alert: Alert, kind: str) -> list[Delivery]:
        """The deliveries of this occasion, once all of them have ended."""
        rows = list(Delivery.objects.filter(alert=alert, kind=kind).select_related("channel"))
        return rows if rows and all(row.state == Delivery.State.DELIVERED for row in rows) else []

    def mails_since(self, at: datetime, enough: int, *, skip: int = 0) -> list[Mail]:
        """The mails that came since, when there are enough."""
        return all_of([mail for mail in self.mailbox.mails[skip:] if mail.at >= at], enough)

    def wait(self, what: str, look: Callable[[], Found | None], *, within: float = 120) -> Found:
        """What `look` finds, as soon as it does."""
        until = time.monotonic() + within
        while not (found := look()):
            if time.monotonic() > until:
                raise NeverHappened(f"waited {within:.0f} s for {what}")
            time.sleep(LOOK_EVERY)
        return found

    def step(self, what: str, text: str, link: str = "", at: datetime | None = None) -> None:
        """One line: when (and how long after the break), what, and where to see it."""
        at = at or database_now()
        after = f"+{(at - self.broke_at).total_seconds():5.1f} s" if self.broke_at else ""
        where = link if "://" in link else f"{settings.BASE_URL}{link}" if link else ""
        self.say(f"{at.astimezone():%H:%M:%S} {after:>9}  {what:<17} {text}" + (f"\n{'':38}{where}" if where else ""))


def all_of(rows: list[Any], enough: int) -> list[Any]:
    """The rows when there are so many, else none."""
    return rows if len(rows) >= enough else []

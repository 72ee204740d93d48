"""How does an app above put a button on an alert? `attach_link`: in what is not told yet, and in all that is told later.

The link is the same for everybody who reads the message, so it must open nothing by itself (SPEC PLB-4).
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from alerts.models import Alert, Delivery, Notice
from alerts.models.alert import OPEN_ALERTS
from portal import sets

MORE = "more"  # the key of Alert.links that holds them


def attach_link(alert: Alert, rel: str, url: str, *, label: str) -> None:
    """Put (or replace) a link on an alert and on its messages that nobody tried to send. In the caller's transaction.

    While the alert is being opened its messages do not exist yet: they are made with the link.
    """
    _change(alert, rel, {"rel": rel, "label": label, "url": url})


def detach_link(alert: Alert, rel: str) -> None:
    """Take it away again: messages that follow go without it."""
    _change(alert, rel, None)


def _change(alert: Alert, rel: str, link: dict[str, str] | None) -> None:
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("a link is attached in the transaction of what it is for")
    rest = [known for known in alert.links.get(MORE, ()) if known["rel"] != rel]
    alert.links = {**alert.links, MORE: [link, *rest] if link else rest}
    if not Alert.objects.filter(OPEN_ALERTS, pk=alert.pk).update(links=alert.links):
        return
    untried = Delivery.objects.filter(alert=alert, attempt=0, state__in=(Delivery.State.PENDING, Delivery.State.HELD))
    notices = Notice.objects.filter(pk__in=untried.order_by().values("notice")).order_by("pk").select_for_update()
    rows = [n for n in notices if n.kind != Notice.Kind.RECOVERED]
    for row in rows:
        others = [known for known in row.snapshot.get("links", ()) if known["rel"] != rel]
        row.snapshot = {**row.snapshot, "links": [link, *others] if link else others}
    sets.write(rows, ["snapshot"])


def attached(alert: Alert) -> list[dict[str, Any]]:
    """The links that others have put on it."""
    return list(alert.links.get(MORE, ()))

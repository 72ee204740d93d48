"""Who hears of a request for maintenance? Our staff when it is asked, whoever asked when it is answered.

Staff hear through their own first healthy channel, as of channels that fail; the asker by a letter to the address that
they sign in with. All in the caller's transaction; the outbox carries it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.utils.html import format_html, format_html_join

from alerts import addressees, facts, limits
from alerts.addressees import Addressee, Ended
from alerts.channels.wording import cut, one_line
from alerts.models import Channel, Delivery, MaintenanceRequest, MaintenanceWindow, Notice
from alerts.snapshot import moment
from portal import bells, branding

PREFIX: Final = "request"
TYPE: Final = "maintenance.request"
READ_SOON: Final = 4  # priority: after whatever is broken
HEADLINES: Final = {
    "accepted": "Your maintenance is planned",
    "declined": "Your maintenance was not accepted",
    "cancelled": "Your maintenance does not take place",
}


def page_of(row: MaintenanceRequest) -> str:
    """Its page's absolute address."""
    return facts.portal_url(f"/maintenance/requests/{row.pk}/")


def span_of(row: MaintenanceRequest) -> str:
    """From when to when, by the asker's clock: `Tue 24 Nov 2026, 22:00 – 23:30 (Europe/Lisbon)`."""
    zone = ZoneInfo(row.timezone)
    start, end = row.starts_at.astimezone(zone), row.ends_at.astimezone(zone)
    until = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%a %-d %b %Y, %H:%M}"
    return f"{start:%a %-d %b %Y, %H:%M} – {until} ({row.timezone})"


# --- Our staff --------------------------------------------------------------------------------------------------------------
def tell_staff(row: MaintenanceRequest, *, at: datetime) -> Notice | None:
    """Somebody asks: told once. None where our staff has no channel; the page and its count say it all the same."""
    channel = Channel.objects.filter(enabled=True, unhealthy_since=None, client=None).order_by("id").first()
    if channel is None:
        return None
    about = [["Client", row.client.name], ["When", span_of(row)], ["Asked by", row.asked_name]]
    notice = Notice.objects.create(
        client_id=None, kind=addressees.NEWS, event="maintenance_requested", type=f"{TYPE}ed", severity="info", created_at=at,
        snapshot={
            "kind": addressees.NEWS, "event": "maintenance_requested", "type": f"{TYPE}ed", "severity": "info", "at": moment(at),
            "title": f"{row.client.name} asks for maintenance: {row.title}", "cause": f"{row.client.name} asks for maintenance: {cut(one_line(row.title), 120)}",
            "facts": about + ([["Note", cut(one_line(row.note), 500)]] if row.note else []), "thread": f"request-{row.pk}",
            "links": [{"rel": "open", "label": "Accept or decline", "url": page_of(row)}],
        },
    )  # fmt: skip
    Delivery.objects.create(
        notice=notice, kind=notice.kind, destination_key=channel.destination_key, channel=channel, via=f"maintenance asked for by {row.client}"[:200],
        priority=READ_SOON, gather=limits.window(channel) > 0, next_attempt_at=at, created_at=at,
    )  # fmt: skip
    bells.ring_on_commit(bells.SEND)
    return notice


# --- Whoever asked ------------------------------------------------------------------------------------------------------------
def tell_asker(row: MaintenanceRequest, what: str, *, by: str, at: datetime) -> Delivery | None:
    """The answer, as a letter. `what`: accepted, declined, cancelled. None when nobody can be told."""
    if row.asked_by_id is None:
        return None
    said = letter(row, what, by)
    notice = Notice.objects.create(
        client_id=row.client_id, kind=addressees.NEWS, event=f"maintenance_{what}", type=f"{TYPE}_{what}", created_at=at,
        snapshot={
            "kind": addressees.NEWS, "event": f"maintenance_{what}", "type": f"{TYPE}_{what}", "severity": "info", "title": said["subject"], "cause": "",
            "at": moment(at), "thread": f"request-{row.pk}", "letter": said, "links": [{"rel": "open", "label": "Open the request", "url": page_of(row)}],
        },
    )  # fmt: skip
    delivery = Delivery.objects.create(
        notice=notice, kind=notice.kind, destination_key=addressees.key(PREFIX, row.pk), client_id=row.client_id, via="their own request for maintenance",
        priority=addressees.ASKED, next_attempt_at=at, created_at=at,
    )  # fmt: skip
    bells.ring_on_commit(bells.SEND)
    return delivery


def letter(row: MaintenanceRequest, what: str, by: str) -> dict[str, Any]:
    """The mail that answers a request."""
    subject = f"{HEADLINES[what]}: {cut(one_line(row.title), 80)}"
    lines = [span_of(row)]
    if what == "accepted":
        lines.append("Checks go on while it lasts; messages wait for its end.")
    if row.reason and what != "cancelled":
        lines.append(f"{'Why' if what == 'declined' else 'Note'}: {one_line(row.reason)}")
    lines.append(f"{'Cancelled' if what == 'cancelled' else 'Answered'} by {one_line(by)}.")
    html = format_html(
        '<p style="margin:0;font-weight:600;">{}</p><h1 style="margin:4px 0 0;font-size:21px;line-height:28px;font-weight:600;">{}</h1><p>{}</p>',
        HEADLINES[what], one_line(row.title), format_html_join("", "{}<br>", ((line,) for line in lines)),
    )  # fmt: skip
    return {
        "subject": subject, "text": "\n".join([subject, "", *lines]), "html": html, "tone": "resolved" if what == "accepted" else "warning", "language": "en",
        "footer": f"You asked for this maintenance in {branding.called(row.client_id)}.", "body": {"type": f"{TYPE}_{what}", "text": subject, "request": row.pk},
    }  # fmt: skip


def window_cancelled(window: MaintenanceWindow, *, by: str, at: datetime) -> None:
    """What was asked for and planned is not done after all: whoever asked hears of it."""
    rows = MaintenanceRequest.objects.filter(window=window, state=MaintenanceRequest.State.ACCEPTED)
    for row in rows.select_related("client"):
        tell_asker(row, "cancelled", by=by, at=at)


def last_letter(row: MaintenanceRequest) -> Delivery | None:
    """The latest letter to whoever asked, with what became of it."""
    return Delivery.objects.filter(destination_key=addressees.key(PREFIX, row.pk)).order_by("-pk").first()


def resolve(ids: Collection[int]) -> Mapping[int, Addressee]:
    """How the askers are reached: by the address that they sign in with, while they may."""
    rows = MaintenanceRequest.objects.filter(pk__in=ids, asked_by__is_active=True).select_related("asked_by")
    return {row.pk: Addressee("email", {"to": [row.asked_by.email]}) for row in rows}


def ended(results: Sequence[Ended]) -> None:
    """The delivery's own row says what became of it; the request's page shows that."""


# The outbox finds us wherever windows are known: in the sender's process as in the pages'.
addressees.register(PREFIX, resolve, ended)

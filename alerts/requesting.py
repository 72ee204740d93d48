"""How does a client ask for maintenance, and who answers? The doors of requests: asked, accepted, declined, withdrawn.

Whoever may acknowledge for a client may ask for it (its admins and approvers); our staff answers. A request hides
nothing: accepting it plans the window, by the door that windows have.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction

from alerts import planning, quiet, requested
from alerts.models import MaintenanceRequest
from alerts.snapshot import moment
from portal import audit
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Client, User

State = MaintenanceRequest.State
MOST_WAITING: Final = 50  # of one client
LONGEST_NOTE, LONGEST_REASON = 2000, 500
WORDS: Final = {
    State.ACCEPTED: "was accepted already",
    State.DECLINED: "was declined already",
    State.WITHDRAWN: "was withdrawn",
}


def ask(
    client: Client, *, user: User, by: Actor, at: datetime, title: str, starts_at: datetime, ends_at: datetime, note: str = "",
    timezone: str = "UTC", scopes: Sequence[str] = (),
) -> MaintenanceRequest:  # fmt: skip
    """Ask for a window, once, without recurrence; our staff is told. ValidationError at the field; Refused when too many wait."""
    plan = planning.window(
        None,
        at=at,
        client=client,
        title=title,
        starts_at=starts_at,
        ends_at=ends_at,
        timezone=timezone,
        scopes=list(scopes),
    )
    complaints: dict[str, str] = {}
    if plan.ends_at <= at:
        complaints["ends_at"] = "That time is over; ask for one that is still to come."
    if len(note) > LONGEST_NOTE:
        complaints["note"] = f"At most {LONGEST_NOTE:,} characters."
    if complaints:
        raise ValidationError(complaints)
    with transaction.atomic():
        held = Client.objects.select_for_update(no_key=True).get(pk=client.pk)
        if held.maintenance_requests.filter(state=State.REQUESTED).count() >= MOST_WAITING:
            raise Refused(f"{MOST_WAITING} requests wait for an answer already; withdraw one, or wait.")
        row = MaintenanceRequest.objects.create(
            client=held, title=plan.title, note=note.strip(), starts_at=plan.starts_at, ends_at=plan.ends_at, timezone=plan.timezone,
            scopes=plan.scopes, asked_by=user, asked_name=str(user)[:200], created_at=at,
        )  # fmt: skip
        about = {
            "title": row.title,
            "starts_at": moment(row.starts_at),
            "ends_at": moment(row.ends_at),
            "scopes": row.scopes,
        }
        audit.record("maintenance_request.create", row, by=by, client_id=client.pk, after=about)
        requested.tell_staff(row, at=at)
        return row


def accept(row: MaintenanceRequest, *, by: Actor, at: datetime, words: str = "") -> MaintenanceRequest:
    """Plan the window it asks for, and tell the asker. Refused when it was answered, or its time is over."""
    with transaction.atomic():
        row = _waiting(row)
        if row.ends_at <= at:
            raise Refused("Its time is over: decline it, and say which time would do.")
        window = quiet.save_window(
            by=by, at=at, client=row.client, title=row.title, owner=row.asked_name, starts_at=row.starts_at, ends_at=row.ends_at,
            timezone=row.timezone, scopes=row.scopes,
        )  # fmt: skip
        row.window = window
        _decide(row, State.ACCEPTED, by, at, words)
        audit.record("maintenance_request.accept", row, by=by, client_id=row.client_id, after={"window": window.pk})
        requested.tell_asker(row, "accepted", by=by.name, at=at)
        return row


def decline(row: MaintenanceRequest, *, by: Actor, at: datetime, reason: str) -> MaintenanceRequest:
    """Say no, and why: the asker reads it. ValidationError without a reason; Refused when it was answered."""
    if not reason.strip():
        raise ValidationError({"reason": "Say why, and perhaps which time would do: whoever asked reads it."})
    with transaction.atomic():
        row = _waiting(row)
        _decide(row, State.DECLINED, by, at, reason)
        audit.record("maintenance_request.decline", row, by=by, client_id=row.client_id, after={"reason": row.reason})
        requested.tell_asker(row, "declined", by=by.name, at=at)
        return row


def withdraw(row: MaintenanceRequest, *, by: Actor, at: datetime) -> MaintenanceRequest:
    """It is not wanted any more. Refused when it was answered: an accepted window is cancelled as a window."""
    with transaction.atomic():
        row = _waiting(row)
        _decide(row, State.WITHDRAWN, by, at, "")
        audit.record("maintenance_request.withdraw", row, by=by, client_id=row.client_id)
        return row


def _waiting(row: MaintenanceRequest) -> MaintenanceRequest:
    """The row, held, if nobody has answered it yet."""
    held: Any = MaintenanceRequest.objects.select_for_update(of=("self",)).select_related("client", "asked_by")
    row = held.get(pk=row.pk)
    if row.state != State.REQUESTED:
        raise Refused(f"This request {WORDS[State(row.state)]}{f' by {row.decided_by}' if row.decided_by else ''}.")
    return row


def _decide(row: MaintenanceRequest, state: State, by: Actor, at: datetime, reason: str) -> None:
    reason = reason.strip()
    if len(reason) > LONGEST_REASON:
        raise ValidationError({"reason": f"At most {LONGEST_REASON} characters."})
    row.state, row.decided_at, row.decided_by, row.reason = state, at, by.name[:200], reason
    row.save(update_fields=["state", "decided_at", "decided_by", "reason", "window"])

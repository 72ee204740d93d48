"""What if an update said something wrong? Its words are corrected or taken back; the step that it took stays taken.

Readers' pages and feeds follow at once, and nobody is written to again: letters that went out cannot be taken back. The
timeline shows the words as they stand now and who changed them when; the audit log keeps what they were.
"""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from incidents.models import Incident, Update
from incidents.services import locked, note
from incidents.signals import incident_changed
from portal import audit
from portal.audit import Actor
from portal.errors import Refused

LIMIT = 20_000  # characters of a message
TAKEN_BACK = "(taken back)"


def correct(row: Update, *, message: str, by: Actor, at: datetime) -> Update:
    """Other words for the same update. Raises ValidationError at `message`; Refused when it was taken back meanwhile."""
    message = message.replace("\r\n", "\n").strip()
    if not message:
        raise ValidationError({"message": "Say something, or take the update back."})
    if len(message) > LIMIT:
        raise ValidationError({"message": f"At most {LIMIT:,} characters; this has {len(message):,}."})
    with transaction.atomic():
        incident, row = _held(row)
        before = row.message
        if message == before:
            return row
        row.message, row.edited_at, row.edited_by = message, at, by.name[:200]
        row.save(update_fields=["message", "edited_at", "edited_by"])
        _told(incident, row, message)
        _noted(incident, row, "update_edited", "corrected", by, at)
        audit.record(
            "incident.update_edit", incident, by=by, client_id=incident.client_id, before={"update": row.pk, "message": before},
            after={"update": row.pk, "message": message},
        )  # fmt: skip
        return row


def take_back(row: Update, *, by: Actor, at: datetime) -> None:
    """Nobody reads it any more. Refused when it is gone already."""
    with transaction.atomic():
        incident, row = _held(row)
        _told(incident, row, TAKEN_BACK)
        _noted(incident, row, "update_removed", "taken back", by, at)
        audit.record(
            "incident.update_remove", incident, by=by, client_id=incident.client_id,
            before={"update": row.pk, "status": row.status, "message": row.message},
        )  # fmt: skip
        row.delete()
        incident_changed.send(Incident, incidents=[incident], at=at, change="edited")


def _held(row: Update) -> tuple[Incident, Update]:
    incident = locked(row.incident)
    found = Update.objects.select_for_update().filter(pk=row.pk).first()
    if found is None:
        raise Refused("This update was taken back meanwhile.")
    return incident, found


def _told(incident: Incident, row: Update, words: str) -> None:
    """The timeline's own line of this update reads as it does now."""
    incident.timeline.filter(data__update=row.pk, kind__in=("opened", "update", "resolved", "reopened")).update(
        text=words
    )


def _noted(incident: Incident, row: Update, kind: str, what: str, by: Actor, at: datetime) -> None:
    text = f"The update of {row.created_at:%Y-%m-%d %H:%M:%S} UTC ({row.get_status_display().lower()}) was {what}."
    note(incident, kind, at, by=by.name, text=text, data={"changed": row.pk})
    incident.save(update_fields=["next_seq"])
    if kind == "update_edited":
        incident_changed.send(Incident, incidents=[incident], at=at, change="edited")

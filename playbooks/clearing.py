"""What becomes of playbooks when a client is deleted, or comes back? Nothing begins any more; what acts ends its work."""

from __future__ import annotations

from datetime import datetime

from alerts.models import Alert
from playbooks import proposing, records
from playbooks.models import Run, RunState
from portal import leaving
from portal.audit import Actor
from portal.models import Client
from portal.trash import Taken

WAITING = (RunState.BLOCKED, RunState.AWAITING_APPROVAL, RunState.APPROVED)


def leave(client: Client, by: Actor, at: datetime) -> Taken:
    """Whatever has not begun is void. Half a repair would be worse than a whole one: what acts already is not cut off."""
    # Alerts first, as everybody does who closes them: what follows records, and then nobody may be waited for.
    list(Alert.objects.filter(client=client, resolved_at=None).order_by("pk").select_for_update().values_list("pk", flat=True))  # fmt: skip
    pks = list(Run.objects.filter(client=client, state__in=WAITING).order_by("pk").values_list("pk", flat=True))
    if pks:
        records.hold(pks)
    for pk in pks:
        proposing.void(pk, at, "The client was deleted.", by=by)
    return {}


def back(client: Client, own: Taken, by: Actor, at: datetime) -> list[str]:
    """Playbooks propose again upon new alerts; what was void stays void."""
    return []


leaving.register("playbooks", leaving.Part(leave, back))

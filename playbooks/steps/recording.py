"""How is something of our own done once, though a worker may die at any moment? The act and the mark of it are one transaction.

A step that only writes our own rows may be begun anew: it finds the mark on its row and says what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db import transaction

from playbooks.models import Run, RunStep
from playbooks.steps.base import Context, Done, NotDone


def once(context: Context, mark: str, act: Callable[[], tuple[str, Mapping[str, Any]]]) -> Done:
    """Do `act` (what it said, values with `mark` among them) unless this step's row carries the mark already."""
    with transaction.atomic():
        row = RunStep.objects.select_for_update().filter(run_id=context.run_id, order=context.order).first()
        if row is None:
            raise NotDone("This step of the run is gone.")
        if mark in row.after:
            return Done("It was done already.", after=row.after)
        said, values = act()
        row.after = dict(values)
        row.save(update_fields=["after"])
        return Done(said, after=row.after)


def owner_of(context: Context) -> int | None:
    """Whose playbook it is: the client's id, None for the MSP's own. A deleted one counts as the run's client's."""
    run = Run.objects.select_related("playbook").get(pk=context.run_id)
    return run.playbook.client_id if run.playbook is not None else run.client_id

"""What do people read in the incident? An update of the playbook's, once, with its status moved forward where that is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from incidents import services
from incidents.models import Incident
from playbooks.models import Run
from playbooks.steps.base import Context, Done, NotDone, Step, StepConfig
from playbooks.steps.recording import once
from portal.audit import Actor
from portal.errors import Refused


class IncidentUpdateConfig(StepConfig):
    """What to say."""

    message: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)] = Field(
        title="Message", examples=["Traffic is being moved to the second line."]
    )
    status: Literal["", "investigating", "identified", "monitoring"] = Field(
        "", title="Status", description="Empty: stays as it is. An incident is resolved by its monitors, or by a person."
    )  # fmt: skip


class IncidentUpdate(Step):
    """Post an update on the run's incident."""

    kind: ClassVar[str] = "incident_update"
    label: ClassVar[str] = "Update the incident"
    Config = IncidentUpdateConfig
    acts: ClassVar[bool] = False

    def sentence(self) -> str:
        """The words."""
        status = f" and set its status to {self.config.status}" if self.config.status else ""
        return f"Post on the incident “{self.config.message}”{status}."

    def do(self, context: Context) -> Done:
        """Once."""
        return once(context, "update", lambda: self._post(context))

    def _post(self, context: Context) -> tuple[str, Mapping[str, Any]]:
        incident = Incident.objects.filter(pk=context.incident_id).first() if context.incident_id else None
        if incident is None:
            raise NotDone("This run has no incident to post on.")
        by = Actor(f"Playbook {Run.objects.values_list('playbook_name', flat=True).get(pk=context.run_id)}"[:200])
        status = self.config.status or incident.status
        try:
            row = services.update(
                incident, status=status, message=self.config.message, by=by, at=context.now(), known_by="playbook"
            )
        except Refused as error:
            raise NotDone(f"The incident takes no such update. {error}") from None
        return f"Posted on incident #{incident.pk} ({status}).", {"update": row.pk, "status": status}

"""Who else is told? One message to chosen channels through the outbox: written once, delivered as every message is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, StringConstraints, field_validator

from alerts import limits
from alerts.facts import obstacle, portal_url
from alerts.models import Channel, Delivery, Notice
from alerts.snapshot import moment
from playbooks.models import Run
from playbooks.steps.base import Context, Done, NotDone, Step, StepConfig
from playbooks.steps.recording import once, owner_of
from portal import bells

KIND: Final = "playbook"
PRIORITY: Final = 3  # after calls, before what people read at leisure


class NotifyConfig(StepConfig):
    """Whom, and with which words."""

    channel_ids: tuple[int, ...] = Field(
        title="Channels", description="Ids of channels of the same client, or of the MSP's own for its own playbooks.", min_length=1, max_length=10,
        examples=[[3]],
    )  # fmt: skip
    message: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)] = Field(
        title="Message", examples=["The shop was moved to the second line."]
    )

    @field_validator("channel_ids", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """A form sends one text: ids between commas."""
        return tuple(part for part in re.split(r"[\s,]+", value) if part) if isinstance(value, str) else value

    @field_validator("channel_ids")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(value))


class Notify(Step):
    """Tell some channels."""

    kind: ClassVar[str] = "notify"
    label: ClassVar[str] = "Tell people"
    Config = NotifyConfig
    acts: ClassVar[bool] = False

    def sentence(self) -> str:
        """To which channels, and the words."""
        ids = ", ".join(f"#{pk}" for pk in self.config.channel_ids)
        return f"Send “{self.config.message}” to channel {ids}."

    def problem(self, client_id: int | None) -> str:
        """A channel that is gone, off, or not this playbook's to use."""
        rows = Channel.objects.in_bulk(self.config.channel_ids)
        for pk in self.config.channel_ids:
            row = rows.get(pk)
            if row is None or (client_id is not None and row.client_id != client_id):
                return f"There is no channel #{pk} of this client."
            if why := obstacle(row):
                return f"Channel #{pk} cannot be used: {why}."
        return ""

    def do(self, context: Context) -> Done:
        """Once."""
        return once(context, "notice", lambda: self._write(context))

    def _write(self, context: Context) -> tuple[str, Mapping[str, Any]]:
        run = Run.objects.select_related("client", "monitor", "incident").get(pk=context.run_id)
        allowed = {context.client_id} if owner_of(context) is not None else {context.client_id, None}
        rows = Channel.objects.in_bulk(self.config.channel_ids)
        strangers = [pk for pk in self.config.channel_ids if pk not in rows or rows[pk].client_id not in allowed]
        if strangers:
            raise NotDone(f"There is no channel #{strangers[0]} of this client: nobody was told.")
        usable = [row for row in rows.values() if not obstacle(row)]
        if not usable:
            raise NotDone("None of its channels can be used now: nobody was told.")
        notice = _notice(run, self.config.message, context)
        at = context.now()
        Delivery.objects.bulk_create(
            Delivery(
                notice=notice, kind=KIND, destination_key=row.destination_key, channel=row, contact_id=row.contact_id, client_id=run.client_id,
                via=f"playbook {run.playbook_name}"[:200], priority=PRIORITY, gather=limits.window(row) > 0, next_attempt_at=at, created_at=at,
            )
            for row in usable
        )  # fmt: skip
        bells.ring_on_commit(bells.SEND)
        names = ", ".join(sorted(row.name for row in usable))
        return f"On its way to {names}.", {"notice": notice.pk, "channels": sorted(row.pk for row in usable)}


def _notice(run: Run, message: str, context: Context) -> Notice:
    at, client, monitor = context.now(), run.client, run.monitor
    links = [{"rel": "open", "label": "Open run", "url": portal_url(f"/runs/{run.pk}/")}]
    about: dict[str, Any] = {
        "kind": KIND, "event": KIND, "type": "playbook.message", "severity": "info", "title": run.playbook_name, "cause": message, "at": moment(at),
        "client": {"id": client.pk, "name": client.name, "slug": client.slug} if client else {},
        "monitor": {"id": monitor.pk, "name": monitor.name, "kind": monitor.kind, "target": ""} if monitor else {},
        "links": links, "facts": [["Playbook", run.playbook_name]], "timezone": client.timezone if client else "UTC",
        "thread": f"incident-{run.incident_id}" if run.incident_id else f"run-{run.pk}",
    }  # fmt: skip
    if run.incident:
        url = portal_url(f"/incidents/{run.incident.pk}/")
        about["incident"] = {"id": run.incident.pk, "url": url, "title": run.incident.title}
        links.append({"rel": "incident", "label": "Open incident", "url": url})
    return Notice.objects.create(
        client_id=run.client_id, kind=KIND, event=KIND, type="playbook.message", severity="info", created_at=at, snapshot=about
    )  # fmt: skip

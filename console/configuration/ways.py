"""How does a file say in which ways a person is reached? By a channel that is there, or by one of their own with its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from console.configuration.fields import Field, Items
from console.configuration.forms import Path, Ref, Showing, Taking
from console.configuration.settings import OwnSettings, own_channel, whole


class Ways(Items):
    """A contact's ways. One of their own is found again by its type and name."""

    def __init__(self) -> None:
        super().__init__(
            "way",
            Field("channel", None, Ref("channels")),
            Field("type", None),
            Field("name", None),
            Field("config", {}, OwnSettings(), of=lambda way: whole(way.channel)),
            Field("urgency", "all"),
            Field("delay_minutes", 0),
            Field("quiet_from", None),
            Field("quiet_until", None),
            Field("quiet_urgency", "low"),
        )

    def show(self, value: Any, at: Showing) -> Any:
        found = []
        for item, way in zip(value or (), at.row.ways.all(), strict=True):
            shown = self.fields.show(item, replace(at, row=way))
            for name in ("channel",) if item["own"] else ("type", "name", "config"):
                shown.pop(name, None)
            found.append(shown)
        return found

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        found = []
        for number, item in enumerate(value):
            body = self.fields.take(item, at, (*path, number))
            own = own_channel(at, item) if "channel" not in item else None
            if own is not None:
                body = {**{n: v for n, v in body.items() if n not in ("type", "name")}, "channel": own.pk}
            found.append(body)
        return found

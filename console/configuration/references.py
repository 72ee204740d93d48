"""Which row is meant? By client and name, never by id; the second of the same name says `nth: 2` (oldest first).

In a file a plain name is the item's own client's row, else ours. `{client: acme, name: Shop}` names another client's,
`{client: null, name: Shop}` ours, `{contact: Ana, name: …}` a channel that is a person's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from alerts.api.windows import not_over
from alerts.models import Channel, EscalationPolicy, MaintenanceWindow, MessageTemplate, OnCallSchedule, Trigger
from monitors.models import Monitor, MonitorTemplate
from playbooks.models import Playbook
from portal.models import Client, Contact, ContactGroup, Service, Site
from statuspages.models import Page

PARTS = {"name", "client", "nth", "contact"}
BETWEEN = "\x1f"


class Key(NamedTuple):
    """A row by name. `client` is its slug; None: ours."""

    client: str | None
    name: str
    nth: int = 1

    def __str__(self) -> str:
        name = self.name.split(BETWEEN)[-1] + (f" ({self.nth})" if self.nth > 1 else "")
        return f"{name} of {self.client}" if self.client else name


def person_of(key: Key) -> Key | None:
    """Whose own channel this is the key of; None for other keys."""
    parts = key.name.split(BETWEEN)
    return Key(key.client, parts[0], int(parts[1])) if len(parts) == 3 and parts[1].isdigit() else None


Found = Iterable[tuple[int, int | None, str]]


def _rows(model: type, name: str = "name", **filters: Any) -> Callable[[], Found]:
    return lambda: model.objects.filter(**filters).order_by("pk").values_list("pk", "client_id", name)


def _windows() -> Found:
    rows = not_over(MaintenanceWindow.objects.exclude(recurrence="")).order_by("pk")
    return rows.values_list("pk", "client_id", "title")


def _own_channels() -> Found:
    people = dict(numbered(_rows(Contact)()))
    rows = Channel.objects.exclude(contact=None).order_by("pk").values_list("pk", "client_id", "contact_id", "name")
    for pk, client, contact, name in rows:
        yield pk, client, BETWEEN.join((people[contact][1], str(people[contact][2]), name))


SOURCES: dict[str, Callable[[], Found]] = {
    "sites": _rows(Site), "services": _rows(Service), "monitor_templates": _rows(MonitorTemplate), "monitors": _rows(Monitor),
    "channels": _rows(Channel, contact=None), "own_channels": _own_channels, "contacts": _rows(Contact), "contact_groups": _rows(ContactGroup),
    "on_call_schedules": _rows(OnCallSchedule), "escalation_policies": _rows(EscalationPolicy), "triggers": _rows(Trigger),
    "message_templates": _rows(MessageTemplate), "status_pages": _rows(Page, "slug"), "playbooks": _rows(Playbook), "maintenance_windows": _windows,
}  # fmt: skip
NOUNS = {
    "clients": "client", "sites": "site", "services": "service", "monitor_templates": "monitor template", "monitors": "monitor", "channels": "channel",
    "own_channels": "channel", "contacts": "contact", "contact_groups": "contact group", "on_call_schedules": "on-call schedule",
    "escalation_policies": "escalation policy", "triggers": "trigger", "message_templates": "message template", "status_pages": "status page",
    "playbooks": "playbook", "maintenance_windows": "maintenance window",
}  # fmt: skip


def numbered(rows: Found) -> Iterable[tuple[int, tuple[int | None, str, int]]]:
    """(id, (client id, name, which of that name))."""
    seen: dict[tuple[int | None, str], int] = {}
    for pk, client, name in rows:
        seen[client, name] = seen.get((client, name), 0) + 1
        yield pk, (client, name, seen[client, name])


@dataclass
class Table:
    """The rows of one kind, both ways."""

    ids: dict[Key, int] = field(default_factory=dict)
    keys: dict[int, Key] = field(default_factory=dict)


class Index:
    """Every name, loaded when it is first asked for and forgotten when rows of that kind come or go."""

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}

    def table(self, section: str) -> Table:
        """The rows of a kind."""
        if section not in self._tables:
            table = self._tables[section] = Table()
            if section == "clients":
                pairs = [(pk, Key(slug, slug)) for pk, slug in Client.objects.order_by("pk").values_list("pk", "slug")]
            else:
                slugs = {pk: key.name for pk, key in self.table("clients").keys.items()}
                pairs = [
                    (pk, Key(slugs[client] if client is not None else None, name, nth))
                    for pk, (client, name, nth) in numbered(SOURCES[section]())
                    if client is None or client in slugs  # what is a client's in the trash is nobody's business
                ]
            table.keys.update(pairs)
            table.ids.update((key, pk) for pk, key in pairs)
        return self._tables[section]

    def forget(self, *sections: str) -> None:
        """Look again; without a name: at everything."""
        for section in sections or list(self._tables):
            self._tables.pop(section, None)

    def came(self, section: str, key: Key, pk: int) -> None:
        """A row was made under this key."""
        table = self.table(section)
        table.ids[key], table.keys[pk] = pk, key
        if section == "contacts":
            self.forget("own_channels")

    def client(self, slug: str) -> int | None:
        """The id of the client with this slug."""
        return self.table("clients").ids.get(Key(slug, slug))

    def slug(self, pk: int | None) -> str | None:
        """The slug of a client; None for ours."""
        return self.table("clients").keys[pk].name if pk is not None else None

    # --- Both ways --------------------------------------------------------------------------------------------------
    def find(self, section: str, written: Any, owner: str | None) -> tuple[str, Key, int | None]:
        """(kind, key, id or None) of what is written. Raises ValueError when it is not a reference at all."""
        if isinstance(written, str):
            own, ours = Key(owner, written), Key(None, written)
            ids = self.table(section).ids
            key = own if own in ids or ours not in ids else ours
            return section, key, ids.get(key)
        if not isinstance(written, dict) or not isinstance(written.get("name"), str):
            raise ValueError("Write a name, or {client: …, name: …} for another client's.")
        strange = sorted(written.keys() - PARTS)
        nth, client, contact = written.get("nth", 1), written.get("client", owner), written.get("contact")
        if strange or not isinstance(nth, int) or isinstance(nth, bool) or not isinstance(client, str | None):
            raise ValueError(f"A reference is made of {', '.join(sorted(PARTS))}.")
        if contact is not None:
            person = contact if isinstance(contact, dict) else {"name": contact}
            section = "own_channels"
            name = BETWEEN.join((str(person.get("name")), str(person.get("nth", 1)), written["name"]))
        else:
            name = written["name"]
        key = Key(client, name, nth)
        return section, key, self.table(section).ids.get(key)

    def write(self, section: str, pk: int | None, owner: str | None) -> Any:
        """How a file of this owner names the row: as short as it can. None for no row, or one that is gone."""
        key = self.table(section).keys.get(pk or 0)
        if key is None and section == "channels":
            key = self.table("own_channels").keys.get(pk or 0)
        if key is None:
            return None
        person, _, name = key.name.rpartition(BETWEEN)
        if not person and key.nth == 1 and self.find(section, key.name, owner)[2] == pk:
            return key.name
        found: dict[str, Any] = {}
        if person:
            who, _, number = person.rpartition(BETWEEN)
            found["contact"] = who if number == "1" else {"name": who, "nth": int(number)}
        if key.client != owner:
            found["client"] = key.client
        found["name"] = name
        if key.nth > 1:
            found["nth"] = key.nth
        return found

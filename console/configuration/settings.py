"""How do the settings of a monitor, a channel or a step stand in a file? Plain ones as they are, secrets by name, ids by name."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.hashers import check_password

from alerts import channel_settings, channels
from console.configuration.forms import Form, Path, Showing, Taking
from console.configuration.secret import Secret, sealed
from playbooks import step_settings
from portal.secrets import CannotOpen

IDS = {"monitor_ids": ("monitors", "monitors"), "channel_ids": ("channels", "channels")}  # id list → (its name, kind)


def whole(row: Any) -> dict[str, Any]:
    """A row's settings with its secrets as leaves; those that no key opens are of unknown value."""
    try:
        hidden = row.secrets.open() or {}
    except CannotOpen:
        hidden = {}
    return {**row.config, **{name: sealed(value) for name, value in hidden.items()}}


class Settings(Form):
    """`config` of a row with `config` and `secrets`. `parts`: names of id lists among them."""

    def show(self, value: Any, at: Showing) -> Any:
        found: dict[str, Any] = {}
        for name, item in (value or {}).items():
            if name in IDS:
                name, section = IDS[name]
                item = [at.index.write(section, pk, at.owner) for pk in item]
                item = [written for written in item if written is not None]
            found[name] = item
        return dict(sorted(found.items()))

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        if not isinstance(value, dict):
            at.wrong(path, "Write settings, as name: value.")
            return {}
        stored = self.stored(at)
        return {**dict.fromkeys(stored.keys() - self.named(value), None), **self.given(value, stored, at, path)}

    @staticmethod
    def named(value: Mapping[str, Any]) -> set[str]:
        """The names in the row that these are about."""
        ids = {written: name for name, (written, _) in IDS.items()}
        return set(value) | {ids[name] for name in value if name in ids and isinstance(value[name], list)}

    @staticmethod
    def given(value: Mapping[str, Any], stored: Mapping[str, Any], at: Taking, path: Path) -> dict[str, Any]:
        """The settings as the API takes them."""
        ids = {written: (name, section) for name, (written, section) in IDS.items()}
        found: dict[str, Any] = {}
        for name, item in value.items():
            if name in ids and isinstance(item, list):
                key, section = ids[name]
                rows = [at.find(section, written, (*path, name, n)) for n, written in enumerate(item)]
                found[key] = [pk for pk in rows if pk is not None]
            else:
                found[name] = opened(item, stored.get(name), at, (*path, name))
        return found

    def stored(self, at: Taking) -> dict[str, Any]:
        """What the row has now."""
        return whole(at.row) if at.row is not None else {}

    def back(self, rest: list[str]) -> Path:
        if rest and rest[0] in IDS:
            return (IDS[rest[0]][0], *(int(part) for part in rest[1:] if part.isdigit()))
        return super().back(rest)


def opened(value: Any, stored: Any, at: Taking, path: Path) -> Any:
    """A setting with its secrets as they are sent."""
    if isinstance(value, Secret):
        return at.secret(value, stored, path)
    if isinstance(value, dict):
        before = stored if isinstance(stored, dict) else {}
        return {name: opened(item, before.get(name), at, (*path, name)) for name, item in value.items()}
    if isinstance(value, list):
        before_list = stored if isinstance(stored, list) else []
        padded = [*before_list, *[None] * len(value)]
        return [opened(item, padded[n], at, (*path, n)) for n, item in enumerate(value)]
    return value


class SecretForm(Form):
    """One secret by itself: `stored` reads it from the row."""

    def show(self, value: Any, at: Showing) -> Any:
        return value

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        if value is None or value == "":
            return ""
        if not isinstance(value, Secret):
            at.wrong(path, PLAIN)
            return ""
        return at.secret(value, self.stored(at.row) if at.row is not None else None, path)

    def stored(self, row: Any) -> Secret | None:
        """What the row keeps."""
        raise NotImplementedError


PLAIN = "This is a secret: write !secret NAME here, and set the environment variable NAME to it."


class Webhook(SecretForm):
    """A client's Slack webhook."""

    def stored(self, row: Any) -> Secret | None:
        try:
            return Secret(value=row.slack_webhook.open()) if row.slack_webhook else None
        except CannotOpen:
            return Secret()


class PagePassword(SecretForm):
    """A page's password, of which only a hash is kept: it can be compared and set, never read."""

    def stored(self, row: Any) -> Secret | None:
        if not row.password_hash:
            return None
        return Secret(value=row.password_hash, fits=lambda text: check_password(text, row.password_hash))

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        if isinstance(value, Secret) and value.value is None and at.row is not None and at.row.password_hash:
            at.kept.append(value.name)
            return ""  # keeps the one that is
        return super().take(value, at, path)


class Logo(Form):
    """A picture in base64."""

    def show(self, value: Any, at: Showing) -> Any:
        return base64.b64encode(bytes(value)).decode() if value else None


def of_webhook(row: Any) -> Secret | None:
    """A client's webhook as a leaf."""
    return Webhook().stored(row)


def of_password(row: Any) -> Secret | None:
    """A page's password as a leaf."""
    return PagePassword().stored(row)


class StepSettings(Settings):
    """Of the step that stands in the same place, when it is of the same kind."""

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        if not isinstance(value, dict):
            at.wrong(path, "Write settings, as name: value.")
            return {}
        number = int(path[1])
        before = list(at.row.steps.all()) if at.row is not None else []
        kind = at.values["steps"][number].get("kind")
        same = before[number] if number < len(before) and before[number].kind == kind else None
        stored = {**same.config, **{n: sealed(v) for n, v in step_settings.opened(same).items()}} if same else {}
        return self.given(value, stored, at, path)


class ChannelSettings(Settings):
    """Of a channel: what it cannot do without is named even when nobody wrote it, so that a complaint says its name."""

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        return {**main_of(at.values.get("type")), **super().take(value, at, path)}


def main_of(kind: Any) -> dict[str, None]:
    """The main setting of a channel's type, without a value."""
    known = channels.KINDS.get(kind) if isinstance(kind, str) else None
    return {known.main_field: None} if known is not None else {}


class OwnSettings(Settings):
    """Of a contact's own channel: found by its type and name among theirs."""

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        if not isinstance(value, dict):
            at.wrong(path, "Write settings, as name: value.")
            return {}
        way = at.values["ways"][path[1]]
        row = own_channel(at, way)
        stored = (
            {**row.config, **{n: sealed(v) for n, v in channel_settings.opened(row).items()}} if row is not None else {}
        )
        gone = dict.fromkeys(stored.keys() - self.named(value), None)
        return {**main_of(way.get("type")), **gone, **self.given(value, stored, at, path)}


def own_channel(at: Taking, way: Mapping[str, Any]) -> Any:
    """The contact's own channel that a way is about; None for a new one."""
    if at.row is None:
        return None
    for one in at.row.ways.all():
        if one.channel.contact_id == at.row.pk and (one.channel.type, one.channel.name) == (
            way.get("type"),
            way.get("name"),
        ):
            return one.channel
    return None

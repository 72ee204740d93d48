"""How do the settings of plug-ins come and go? A table of kinds, each a class with a `label` and a typed `Config` (pydantic).

Channels are such kinds, and steps of playbooks. Whoever has a table says the noun by which people know its kinds.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

Plugin = TypeVar("Plugin")
NOTHING: tuple[Any, ...] = ("", None, [], {})  # values that are as good as left out


class InvalidSettings(ValueError):
    """Settings that do not fit their kind. `fields`: sentences by dotted key ("" for the whole), without what was typed."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{key}: {said}" if key else said for key, all_ in fields.items() for said in all_))
        self.fields = fields


@functools.cache  # a millisecond or two each, and always the same
def _schema(config: type[BaseModel]) -> dict[str, Any]:
    return config.model_json_schema()


class Kinds(Generic[Plugin]):
    """The kinds of one table; a kind that is put into the table later is known as well."""

    def __init__(self, noun: str, table: dict[str, type[Plugin]]) -> None:
        self.noun, self.table = noun, table

    def get(self, kind: str) -> type[Plugin]:
        """The class of that kind; ValueError with a sentence for an unknown one."""
        try:
            return self.table[kind]
        except KeyError:
            raise ValueError(
                f"There is no {self.noun} '{str(kind)[:40]}'; known are {', '.join(self.table)}."
            ) from None

    def choices(self) -> list[tuple[str, str]]:
        """(kind, label) for forms, in the table's order."""
        return [(kind, plugin.label) for kind, plugin in self.table.items()]

    def schemas(self) -> dict[str, dict[str, Any]]:
        """JSON schema of the settings by kind, with titles, descriptions and examples. Not to be changed by who asks."""
        return {kind: _schema(plugin.Config) for kind, plugin in self.table.items()}

    def parse(self, kind: str, data: Mapping[str, Any]) -> Any:
        """Settings (of the kind's `Config`) from plain data. ValueError for an unknown kind, InvalidSettings (a ValueError) for what does not fit."""
        config_class: type[BaseModel] = self.get(kind).Config
        try:
            return config_class.model_validate(dict(data))
        except ValidationError as error:
            raise InvalidSettings(_complaints(error, config_class)) from None

    def split(self, kind: str, data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """(config, secrets) as they are stored: what was given, validated and in normal form; secrets go under seal."""
        config = self.parse(kind, data)
        sealed = {*config.secret_names(), *getattr(config, "also_secret", tuple)()}
        given = {name: _plain(getattr(config, name)) for name in sorted(config.model_fields_set)}
        kept = {name: value for name, value in given.items() if value not in NOTHING}
        secrets = {name: value for name, value in kept.items() if name in sealed}
        return {name: value for name, value in kept.items() if name not in sealed}, secrets


def _complaints(error: ValidationError, config_class: type[BaseModel]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in error.errors(include_input=False, include_url=False, include_context=False):
        key = ".".join(str(part) for part in entry["loc"])
        said = entry["msg"].removeprefix("Value error, ")
        field, colon, rest = said.partition(": ")
        if not key and colon and field in config_class.model_fields:  # said of several fields together, at one of them
            key, said = field, rest
        found.setdefault(key, []).append(said)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

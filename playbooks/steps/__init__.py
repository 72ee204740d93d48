"""Which kinds of step exist, and how do their settings come and go? One explicit dict: a kind is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr, ValidationError

from playbooks.steps.base import Step, StepConfig
from playbooks.steps.check import Check
from playbooks.steps.dns_swap import DnsSwap
from playbooks.steps.incident_update import IncidentUpdate
from playbooks.steps.notify import Notify
from playbooks.steps.restart import Restart
from playbooks.steps.script import Script
from playbooks.steps.wait import Wait
from playbooks.steps.webhook import Webhook

_ALL = (DnsSwap, Restart, Script, Webhook, Wait, Check, IncidentUpdate, Notify)
KINDS: dict[str, type[Step]] = {step.kind: step for step in _ALL}
if len(KINDS) != len(_ALL):
    raise RuntimeError("Two steps have the same kind.")


class InvalidSettings(ValueError):
    """Settings that do not fit their kind. `fields`: sentences by dotted key ("" for the whole), without what was typed."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{key}: {said}" if key else said for key, all_ in fields.items() for said in all_))
        self.fields = fields


def get(kind: str) -> type[Step]:
    """The class of that kind; ValueError with a sentence for an unknown one."""
    try:
        return KINDS[kind]
    except KeyError:
        raise ValueError(f"There is no step '{kind[:40]}'; known are {', '.join(KINDS)}.") from None


def choices() -> list[tuple[str, str]]:
    """(kind, label) for forms, in the registry's order."""
    return [(kind, step.label) for kind, step in KINDS.items()]


def schemas() -> dict[str, dict[str, Any]]:
    """JSON schema of the settings by kind."""
    return {kind: step.Config.model_json_schema() for kind, step in KINDS.items()}


def parse(kind: str, data: Mapping[str, Any]) -> StepConfig:
    """Settings from plain data. ValueError for an unknown kind, InvalidSettings (a ValueError) for what does not fit."""
    config_class = get(kind).Config
    try:
        return config_class.model_validate(dict(data))
    except ValidationError as error:
        found: dict[str, list[str]] = {}
        for entry in error.errors(include_input=False, include_url=False, include_context=False):
            key = ".".join(str(part) for part in entry["loc"])
            said = entry["msg"].removeprefix("Value error, ")
            field, colon, rest = said.partition(": ")
            if (
                not key and colon and field in config_class.model_fields
            ):  # said of several fields together, at one of them
                key, said = field, rest
            found.setdefault(key, []).append(said)
        raise InvalidSettings(found) from None


def split(kind: str, data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config, secrets) as they are stored: what was given, validated and in normal form; secrets go under seal."""
    config = parse(kind, data)
    sealed = {*config.secret_names(), *getattr(config, "also_secret", tuple)()}
    plain = {name: _plain(getattr(config, name)) for name in sorted(config.model_fields_set)}
    kept = {name: value for name, value in plain.items() if value not in ("", None, [], {})}
    secrets = {name: value for name, value in kept.items() if name in sealed}
    return {name: value for name, value in kept.items() if name not in sealed}, secrets


def build(kind: str, config: Mapping[str, Any], secrets: Mapping[str, Any] | None = None) -> Step:
    """A step that can be described and done, of stored settings and opened secrets. Raises as `parse` does."""
    return get(kind)(parse(kind, {**config, **(secrets or {})}))


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


__all__ = ["KINDS", "InvalidSettings", "build", "choices", "get", "parse", "schemas", "split"]

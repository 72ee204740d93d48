"""How do a step's settings come in and go out? Given ones change, masked ones stay, secrets are never shown.

A secret that is kept goes where it went before and nowhere else: whoever enters another server has to enter the key too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from pydantic import SecretStr

from alerts.channel_settings import kept, opened, place, reaches, refuse_newly_private, shown
from playbooks import steps
from playbooks.models import Step
from playbooks.steps.base import StepConfig
from portal.outbound.guard import check_url
from portal.providers import is_masked

ELSEWHERE = "It would be sent to another place now: enter it again."


def settle(
    kind: str, row: Step | None, given: Mapping[str, Any], said_at: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config, secrets) after `given` was sent for a new step or `row`, where settings that are not given stay.

    ValidationError at the body's keys: `said_at` names where a setting stood, otherwise `config.<name>`. Names that were
    newly typed are looked up, up to 2 s each.
    """
    try:
        steps.get(kind)
    except ValueError as error:
        raise ValidationError({said_at.get("kind", "kind"): str(error)}) from None
    old = {**row.config, **opened(row)} if row is not None and row.kind == kind else {}
    merged, untouched = dict(old), set(old)
    for name, value in given.items():
        wanted = kept(value, old.get(name), place(name, said_at))
        if not _has_mask(value):
            untouched.discard(name)
        if wanted in (None, ""):
            merged.pop(name, None)
        else:
            merged[name] = wanted
    try:
        config, secrets = steps.split(kind, merged)
        typed = steps.parse(kind, merged)
    except steps.InvalidSettings as error:
        raise ValidationError({place(name, said_at): said for name, said in error.fields.items()}) from None
    _refuse_carried_elsewhere(typed, old, {**config, **secrets}, untouched, said_at)
    refuse_newly_private(typed, reaches(steps.parse, kind, old), lambda target: place(_named(typed, target), said_at))
    return config, secrets


def _has_mask(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_mask, value.values() if isinstance(value, dict) else value))
    return is_masked(value)


def _refuse_carried_elsewhere(
    typed: StepConfig, old: Mapping[str, Any], new: Mapping[str, Any], untouched: set[str], said_at: Mapping[str, str]
) -> None:
    """A secret that nobody typed now must not go where a person newly points: that is how one is read out."""
    for secret, aim in getattr(typed, "sends_to", {}).items():
        if secret in untouched and secret in new and _origin(old.get(aim)) != _origin(new.get(aim)):
            raise ValidationError({place(secret, said_at): ELSEWHERE})


def _origin(aim: Any) -> Any:
    """Of an URL whom one talks to; of anything else the whole."""
    return check_url(aim).origin if isinstance(aim, str) and "://" in aim else aim or ""


def _named(typed: StepConfig, target: str) -> str:
    """Which setting leads there."""
    for name, value in dict(typed).items():
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and text and (text == target or (name == "server" and target in text)):
            return name
    return ""


__all__ = ["ELSEWHERE", "opened", "settle", "shown"]

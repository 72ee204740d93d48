"""How do a step's settings come in and go out? Given ones change, masked ones stay, secrets are never shown.

A secret that is kept goes where it went before and nowhere else: whoever enters another server has to enter the key too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings as installation
from django.core.exceptions import ValidationError
from pydantic import SecretStr

from alerts.channel_settings import MASKED, masked
from alerts.channels.addresses import refuse_private
from playbooks import steps
from playbooks.models import Step
from playbooks.steps.base import StepConfig
from portal.outbound.guard import check_url
from portal.providers import is_masked
from portal.secrets import MASK, CannotOpen

ELSEWHERE = "It would be sent to another place now: enter it again."


def opened(row: Step) -> dict[str, Any]:
    """A step's secrets; none when no key opens them any more (they are to be entered again)."""
    try:
        return dict(row.secrets.open() or {})
    except CannotOpen:
        return {}


def shown(row: Step) -> dict[str, Any]:
    """The settings as they may be read: plain ones as they are, secrets masked."""
    return {**row.config, **{name: masked(value) for name, value in opened(row).items()}}


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
    merged, kept = dict(old), set(old)
    for name, value in given.items():
        wanted = _kept(value, old.get(name), _key(name, said_at))
        if not _has_mask(value):
            kept.discard(name)
        if wanted in (None, ""):
            merged.pop(name, None)
        else:
            merged[name] = wanted
    try:
        config, secrets = steps.split(kind, merged)
        typed = steps.parse(kind, merged)
    except steps.InvalidSettings as error:
        raise ValidationError({_key(name, said_at): said for name, said in error.fields.items()}) from None
    _refuse_carried_elsewhere(typed, old, {**config, **secrets}, kept, said_at)
    _refuse_private(typed, _reaches(kind, old), said_at)
    return config, secrets


def _key(name: str, said_at: Mapping[str, str]) -> str:
    """Where a setting stood in the body."""
    first, dot, rest = name.partition(".")
    return said_at.get(first, f"config.{first}") + dot + rest if first else said_at.get("", "config")


def _kept(value: Any, old: Any, key: str) -> Any:
    """The value to store: the old one where a mask was sent back."""
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        return {name: _kept(item, before.get(name), f"{key}.{name}") for name, item in value.items()}
    if not is_masked(value):
        return value
    if old in (None, "") or value not in (MASK, masked(old)):
        raise ValidationError({key: MASKED})
    return old


def _has_mask(value: Any) -> bool:
    return any(map(_has_mask, value.values())) if isinstance(value, dict) else is_masked(value)


def _refuse_carried_elsewhere(
    typed: StepConfig, old: Mapping[str, Any], new: Mapping[str, Any], kept: set[str], said_at: Mapping[str, str]
) -> None:
    """A secret that nobody typed now must not go where a person newly points: that is how one is read out."""
    for secret, place in getattr(typed, "sends_to", {}).items():
        if secret in kept and secret in new and _origin(old.get(place)) != _origin(new.get(place)):
            raise ValidationError({_key(secret, said_at): ELSEWHERE})


def _origin(place: Any) -> Any:
    """Of an URL whom one talks to; of anything else the whole."""
    return check_url(place).origin if isinstance(place, str) and "://" in place else place or ""


def _reaches(kind: str, stored: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return getattr(steps.parse(kind, stored), "reaches", tuple)() if stored else ()
    except ValueError:
        return ()


def _refuse_private(typed: StepConfig, known: tuple[str, ...], said_at: Mapping[str, str]) -> None:
    """Refuse what a person newly typed when the guard would refuse it every time."""
    for target in getattr(typed, "reaches", tuple)():
        if target in known:
            continue
        try:
            refuse_private(target, installation.OUTBOUND_ALLOW)
        except ValueError as error:
            raise ValidationError({_key(_named(typed, target), said_at): str(error)}) from None


def _named(typed: StepConfig, target: str) -> str:
    """Which setting leads there."""
    for name, value in dict(typed).items():
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and text and (text == target or (name == "server" and target in text)):
            return name
    return ""

"""How do a channel's settings come in and go out? Given ones change, masked ones stay, secrets are never shown.

What is stored is split into plain settings and sealed secrets by the channel's type; a secret is read as a mask, and a
URL whose path is the secret as its host and a mask. Steps of playbooks are stored in the same way and use the same parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from django.conf import settings as installation
from django.core.exceptions import ValidationError
from pydantic import BaseModel, SecretStr

from alerts import channels
from alerts.channels.addresses import readable, refuse_private
from alerts.models import Channel
from portal.providers import is_masked
from portal.secrets import MASK, CannotOpen, Sealed

MASKED = "This is masked: send the whole value, or what was shown to keep the old one."


class Stored(Protocol):
    """A row with settings: a channel, a step of a playbook."""

    config: dict[str, Any]
    secrets: Sealed


def opened(row: Stored) -> dict[str, Any]:
    """A row's secrets; none when no key opens them any more (they are to be entered again)."""
    try:
        return dict(row.secrets.open() or {})
    except CannotOpen:
        return {}


# --- Out ----------------------------------------------------------------------------------------------------------------
def shown(row: Stored) -> dict[str, Any]:
    """The settings as they may be read: plain ones as they are, secrets masked."""
    return {**row.config, **{name: masked(value) for name, value in opened(row).items()}}


def main(row: Channel) -> str:
    """The `url` shorthand: the type's main field as text, masked when it is a secret."""
    kind = channels.KINDS.get(row.type)
    value = shown(row).get(kind.main_field, "") if kind else ""
    return ", ".join(str(v) for v in value) if isinstance(value, list) else str(value)


def masked(value: Any) -> Any:
    """What stands for a secret: names of a map stay, of a URL its host."""
    if isinstance(value, dict):
        return dict.fromkeys(value, MASK)
    if isinstance(value, list):
        return [MASK for _ in value]
    host = readable(str(value)) if "://" in str(value) else ""
    return f"{host.removesuffix('/…')}/{MASK}" if host else MASK


# --- In -----------------------------------------------------------------------------------------------------------------
def settle(
    type_: str, row: Channel | None, given: Mapping[str, Any], said_at: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """(config, secrets, whether it goes elsewhere now) after `given` was sent. ValidationError at the body's keys."""
    try:
        kind = channels.get(type_)
    except ValueError as error:
        raise ValidationError({"type": str(error)}) from None
    old = {**row.config, **opened(row)} if row else {}
    merged = dict(old)
    for name, value in given.items():
        wanted = kept(value, old.get(name), place(name, said_at))
        if wanted in (None, ""):
            merged.pop(name, None)
        else:
            merged[name] = wanted
    try:
        config, secrets = channels.split(type_, merged)
        typed = channels.parse(type_, merged)
    except channels.InvalidSettings as error:
        main_at = said_at if kind.main_field in {*said_at, *given} else {**said_at, kind.main_field: "url"}
        raise ValidationError({place(name, main_at): said for name, said in error.fields.items()}) from None
    fields = {
        _text(value): name for name, value in reversed(list(dict(typed).items())) if isinstance(_text(value), str)
    }
    refuse_newly_private(
        typed, reaches(channels.parse, type_, old), lambda target: place(fields.get(target, kind.main_field), said_at)
    )
    return config, secrets, {**config, **secrets} != old


def place(name: str, said_at: Mapping[str, str]) -> str:
    """Where a setting stood in the body: `config.url`, unless `said_at` knows better (a shorthand; under "" the whole)."""
    first, dot, rest = name.partition(".")
    if not first:
        return said_at.get("", "config")
    return said_at.get(first, f"config.{first}") + dot + rest


def kept(value: Any, old: Any, key: str) -> Any:
    """The value to store: the old one where a mask was sent back. ValidationError at `key` for a mask of something else."""
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        return {name: kept(item, before.get(name), f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list) and any(is_masked(item) for item in value):
        if isinstance(old, list) and value == masked(old):
            return old
        raise ValidationError({key: MASKED})
    if not is_masked(value):
        return value
    if old in (None, "") or value not in (MASK, masked(old)):
        raise ValidationError({key: MASKED})
    return old


def reaches(parse: Callable[[str, Mapping[str, Any]], Any], kind: str, stored: Mapping[str, Any]) -> tuple[str, ...]:
    """The addresses that stored settings lead to; none when they do not fit (any more)."""
    try:
        return getattr(parse(kind, stored), "reaches", tuple)() if stored else ()
    except ValueError:
        return ()


def refuse_newly_private(typed: BaseModel, known: tuple[str, ...], where: Callable[[str], str]) -> None:
    """Refuse what a person newly typed when the guard would refuse it every time. Looks names up: up to 2 s each.

    ValidationError at `where(address)`.
    """
    for target in getattr(typed, "reaches", tuple)():
        if target in known:
            continue
        try:
            refuse_private(target, installation.OUTBOUND_ALLOW)
        except ValueError as error:
            raise ValidationError({where(target): str(error)}) from None


def _text(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value

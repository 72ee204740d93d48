"""How do a channel's settings come in and go out? Given ones change, masked ones stay, secrets are never shown.

What is stored is split into plain settings and sealed secrets by the channel's type; a secret is read as a mask, and a
URL whose path is the secret as its host and a mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings as installation
from django.core.exceptions import ValidationError
from pydantic import SecretStr

from alerts import channels
from alerts.channels.addresses import readable, refuse_private
from alerts.channels.base import ChannelConfig
from alerts.models import Channel
from portal.providers import is_masked
from portal.secrets import MASK, CannotOpen

MASKED = "This is masked: send the whole value, or what was shown to keep the old one."


def opened(row: Channel) -> dict[str, Any]:
    """A channel's secrets; none when no key opens them any more (they are to be entered again)."""
    try:
        return dict(row.secrets.open() or {})
    except CannotOpen:
        return {}


# --- Out ----------------------------------------------------------------------------------------------------------------
def shown(row: Channel) -> dict[str, Any]:
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
        kept = _kept(value, old.get(name), _key(name, said_at))
        if kept in (None, ""):
            merged.pop(name, None)
        else:
            merged[name] = kept
    try:
        config, secrets = channels.split(type_, merged)
        typed = channels.parse(type_, merged)
    except channels.InvalidSettings as error:
        main_at = said_at if kind.main_field in {*said_at, *given} else {**said_at, kind.main_field: "url"}
        raise ValidationError({_key(name, main_at): said for name, said in error.fields.items()}) from None
    _refuse_private(typed, _reaches(type_, old), said_at, kind.main_field)
    return config, secrets, {**config, **secrets} != old


def _key(name: str, said_at: Mapping[str, str]) -> str:
    """Where a setting stood in the body: `config.url`, or `url` when it was given as the shorthand."""
    first, dot, rest = name.partition(".")
    if not first:
        return "config"
    return said_at.get(first, f"config.{first}") + dot + rest


def _kept(value: Any, old: Any, key: str) -> Any:
    """The value to store: the old one where a mask was sent back."""
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        return {name: _kept(item, before.get(name), f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list) and any(is_masked(item) for item in value):
        if isinstance(old, list) and value == masked(old):
            return old
        raise ValidationError({key: MASKED})
    if not is_masked(value):
        return value
    if old in (None, "") or value not in (MASK, masked(old)):
        raise ValidationError({key: MASKED})
    return old


def _reaches(type_: str, stored: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return getattr(channels.parse(type_, stored), "reaches", tuple)() if stored else ()
    except ValueError:
        return ()


def _refuse_private(typed: ChannelConfig, known: tuple[str, ...], said_at: Mapping[str, str], main_field: str) -> None:
    """Refuse what a person newly typed when the guard would refuse it at every message. Looks names up: up to 2 s each."""
    for target in getattr(typed, "reaches", tuple)():
        if target in known:
            continue
        try:
            refuse_private(target, installation.OUTBOUND_ALLOW)
        except ValueError as error:
            name = next((n for n, value in dict(typed).items() if _text(value) == target), main_field)
            raise ValidationError({_key(name, said_at): str(error)}) from None


def _text(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value

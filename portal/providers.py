"""How are provider accounts (Twilio, Telegram, SMTP …) stored? Plain settings beside sealed secrets, changed by owners."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from pydantic import BaseModel

from portal import audit
from portal.audit import Actor
from portal.models import ProviderSettings
from portal.secrets import MASK, Sealed

# What each provider's account is made of: (label, pydantic model); the apps above register theirs when Django starts.
ACCOUNTS: dict[str, tuple[str, type[BaseModel]]] = {}


def register(provider: str, label: str, account: type[BaseModel]) -> None:
    """Describe a provider's account; fields typed SecretStr are sealed. Refuses a second description."""
    if ACCOUNTS.get(provider, (label, account)) != (label, account):
        raise ValueError(f"The provider {provider} is described twice.")
    ACCOUNTS[provider] = (label, account)


def create(*, by: Actor, provider: str, config: dict | None = None, secrets: dict | None = None) -> ProviderSettings:
    """A new provider's account. ValidationError when there is one already."""
    if ProviderSettings.objects.filter(provider=provider).exists():
        raise ValidationError({"provider": ["There are settings for this provider already; change those."]})
    with transaction.atomic():
        row = ProviderSettings.objects.create(
            provider=provider, config=config or {}, secrets=merged(Sealed(), secrets or {})
        )
        audit.record("provider.created", row, by=by, after=_picture(row))
    return row


def change(
    row: ProviderSettings, *, by: Actor, config: dict | None = None, secrets: dict | None = None
) -> ProviderSettings:
    """Replace the plain settings; change the given secrets (a mask keeps the old one, "" or None removes it)."""
    with transaction.atomic():
        before = _picture(row)
        if config is not None:
            row.config = config
        if secrets is not None:
            row.secrets = merged(row.secrets, secrets)
        row.save()
        audit.record(
            "provider.changed", row, by=by, before=before, after={**_picture(row), "new_secrets": sorted(_new(secrets))}
        )
    return row


def remove(row: ProviderSettings, *, by: Actor) -> None:
    """Forget this account."""
    with transaction.atomic():
        audit.record("provider.removed", row, by=by, before=_picture(row))
        row.delete()


def is_masked(value: Any) -> bool:
    """Is this text what we showed in place of a secret?"""
    return isinstance(value, str) and "•" in value


def merged(old: Sealed, new: dict[str, Any]) -> dict[str, Any]:
    """Named secrets after `new` was sent: masks and missing names keep the old value, "" and None remove it."""
    values = dict(old.open()) if old else {}
    for name, value in new.items():
        if is_masked(value):
            continue
        if value in (None, ""):
            values.pop(name, None)
        else:
            values[name] = value
    return values


def _new(secrets: dict | None) -> set[str]:
    return {name for name, value in (secrets or {}).items() if not is_masked(value)}


def _picture(row: ProviderSettings) -> dict[str, Any]:
    return {"config": row.config, "secrets": dict.fromkeys(row.secrets.open(), MASK) if row.secrets else {}}

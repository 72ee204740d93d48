"""What is wrong with this installation's settings? `manage.py check` names each mistake with its cure."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import Error, Tags, Warning, register

from portal import backup, environment


@register()
def environment_is_understood(app_configs: Any = None, **_: Any) -> list[Error]:
    """Every variable that could not be read."""
    return [Error(text, id=f"portal.E{number:03}") for number, text in enumerate(environment.mistakes, 1)]


@register(Tags.security)
def keys_can_be_used(app_configs: Any = None, **_: Any) -> list[Error]:
    """ENCRYPTION_KEYS are Fernet keys."""
    cure = 'Make one with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
    if not settings.ENCRYPTION_KEYS:
        return [Error("ENCRYPTION_KEYS is empty, so secrets cannot be stored.", hint=cure, id="portal.E101")]
    found = []
    for number, key in enumerate(settings.ENCRYPTION_KEYS, 1):
        try:
            Fernet(key)
        except ValueError:
            found.append(Error(f"Key {number} of ENCRYPTION_KEYS is not a Fernet key.", hint=cure, id="portal.E102"))
    return found


KEY_LENGTH, KEY_VARIETY = 50, 10  # characters, and different ones among them
BACKUP_DAYS = 8  # a weekly one that is a day late


def _backups() -> list[Warning]:
    hint = "Run manage.py backup FILE each night (docs/backup.md), and copy the file to another machine."
    try:
        days = (time.time() - backup.note_of_last().stat().st_mtime) / 86400
    except OSError:
        return [Warning("No backup was ever made here.", hint=hint, id="portal.W209")]
    if days <= BACKUP_DAYS:
        return []
    return [Warning(f"The last backup made here is {days:.0f} days old.", hint=hint, id="portal.W209")]


@register(Tags.security, deploy=True)
def fit_to_be_public(app_configs: Any = None, **_: Any) -> list[Warning]:
    """What a public installation should not look like."""
    found = []
    host = urlsplit(settings.BASE_URL).hostname or ""
    if not settings.HTTPS:
        hint = "Put a proxy with a certificate in front and set BASE_URL=https://…; cookies and HSTS follow from it."
        found.append(
            Warning("BASE_URL is not https, so cookies and passwords travel in the open.", hint=hint, id="portal.W201")
        )
    if len(settings.SECRET_KEY) < KEY_LENGTH or len(set(settings.SECRET_KEY)) < KEY_VARIETY:
        hint = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"; everybody signs in anew.'
        found.append(
            Warning(
                "SECRET_KEY is short or repeats itself: sessions and links could be forged.",
                hint=hint,
                id="portal.W208",
            )
        )
    if "*" in settings.ALLOWED_HOSTS:
        hint = "Name the hosts, as ALLOWED_HOSTS=portal.example; clients' own domains need no entry."
        found.append(Warning("ALLOWED_HOSTS holds *, so the portal answers to any name.", hint=hint, id="portal.W210"))
    found += _backups()
    if settings.HTTPS and not settings.TRUSTED_PROXIES:
        hint = "Set TRUSTED_PROXIES to the proxy's network, as 127.0.0.1/32; limits and audit log then see who calls."
        found.append(
            Warning(
                "TRUSTED_PROXIES is empty: all who come by the proxy look like one caller.", hint=hint, id="portal.W207"
            )
        )
    if host in ("localhost", "127.0.0.1", "::1"):
        found.append(
            Warning(
                "BASE_URL is this machine's own name: links in mails lead nowhere.",
                hint="Set BASE_URL=https://portal.example.",
                id="portal.W202",
            )
        )
    if not settings.ONE_MACHINE and settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        hint = "Set DATABASE_URL=postgresql://user:password@host:5432/name, or leave REDIS_URL out."
        found.append(
            Warning(
                "REDIS_URL is set but the database is SQLite, which one machine's processes share.",
                hint=hint,
                id="portal.W203",
            )
        )
    if not settings.SMTP["host"]:
        hint = "Set SMTP_HOST and SMTP_FROM, or fill in the mail server in the provider settings."
        found.append(
            Warning(
                "SMTP_HOST is empty: alerts, invitations and password resets cannot be mailed.",
                hint=hint,
                id="portal.W204",
            )
        )
    if any(network.prefixlen == 0 for network in settings.OUTBOUND_ALLOW):
        hint = "Name the few networks that are meant, as OUTBOUND_ALLOW=10.1.2.0/24."
        found.append(
            Warning("OUTBOUND_ALLOW holds the whole internet, so nothing is guarded.", hint=hint, id="portal.W205")
        )
    if not settings.HEARTBEAT_URL:
        hint = "Set HEARTBEAT_URL to a check elsewhere that tells you when this portal is silent."
        found.append(Warning("Nobody watches the watcher: HEARTBEAT_URL is empty.", hint=hint, id="portal.W206"))
    return found

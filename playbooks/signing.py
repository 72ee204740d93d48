"""Who may give orders to probes? Whoever has the actions' signing key: Ed25519, apart from the key of the portal's answers.

On one machine it is made once into the data directory. Elsewhere only those processes get it that carry out playbooks
(`--only page`); the web processes need no more than ACTION_PUBLIC_KEY, which the pages show for a probe's own file.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.core.checks import Error, Tags, register

from monitors.probe import identity

CURE = "Make one with: openssl rand -base64 32"
NONE = "There is no key to sign orders to probes with: set ACTION_SIGNING_KEY (or ACTION_SIGNING_KEY_FILE) where playbooks are carried out."  # fmt: skip


class NoKey(Exception):
    """No key, or none that can be used; the sentence names the cure."""


@lru_cache(maxsize=2)
def _key(text: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
    except ValueError:
        raise NoKey(f"ACTION_SIGNING_KEY is not base64 of 32 bytes. {CURE}") from None


def signer() -> Ed25519PrivateKey:
    """The key of orders. NoKey in a process that has none."""
    if not settings.ACTION_SIGNING_KEY:
        raise NoKey(NONE)
    return _key(settings.ACTION_SIGNING_KEY)


def public_key() -> str:
    """Its public half in base64, as a probe's file names it (`signer`); "" where neither is known."""
    if settings.ACTION_SIGNING_KEY:
        return identity.public_of(signer())
    return str(settings.ACTION_PUBLIC_KEY)


@register(Tags.security)
def keys_can_be_used(app_configs: Any = None, **_: Any) -> list[Error]:
    """ACTION_SIGNING_KEY is an Ed25519 key, and ACTION_PUBLIC_KEY its public half."""
    try:
        own = identity.public_of(signer()) if settings.ACTION_SIGNING_KEY else ""
        told = settings.ACTION_PUBLIC_KEY
        if told:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(told, validate=True))
    except NoKey as error:
        return [Error(str(error), id="playbooks.E001")]
    except ValueError:
        return [Error("ACTION_PUBLIC_KEY is not an Ed25519 public key in base64.", id="playbooks.E002")]
    if own and told and own != told:
        return [Error("ACTION_PUBLIC_KEY is not the public half of ACTION_SIGNING_KEY.", id="playbooks.E003")]
    return []

"""Who may give orders to probes? Whoever has the actions' signing key: Ed25519, apart from the key of the portal's answers.

On one machine it is made once into the data directory. Elsewhere only those processes get it that carry out playbooks
(`--only page`); the web processes need no more than ACTION_PUBLIC_KEY, which the pages show for a probe's own file.

    python -m playbooks.signing FILE

makes the pair: the key goes into FILE and nowhere else, its public half is printed. It reads no settings and no database.
"""

from __future__ import annotations

import base64
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.core.checks import Error, Tags, Warning, register

from monitors.probe import identity
from portal import environment

NAME = "ACTION_SIGNING_KEY"
CURE = "Make one with: python -m playbooks.signing FILE"
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


# --- Checks -------------------------------------------------------------------------------------------------------------
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


@register(Tags.security, deploy=True)
def apart_from_the_web(app_configs: Any = None, **_: Any) -> list[Warning]:
    """With several processes, those that serve pages can neither read the key nor find it where they live.

    What stands in the environment itself (or in .env) stands in that of every process; a file can be for some alone.
    """
    if settings.ONE_MACHINE:
        return []
    found = []
    hint = "Keep it in a file that only the page workers can read, and name that file there: ACTION_SIGNING_KEY_FILE. All others get "
    hint += f"ACTION_PUBLIC_KEY={_public_or('…')}"
    if os.environ.get(NAME):
        text = "ACTION_SIGNING_KEY stands where every process reads it, also those that serve pages: whoever takes over one of them could order whatever probes' machines allow."  # fmt: skip
        found.append(Warning(text, hint=hint, id="playbooks.W001"))
    if (left := settings.DATA_DIR / NAME.lower()).exists():
        text = f"{left} is the key of orders from the time when one process did everything; the processes that serve pages can read it there."
        found.append(Warning(text, hint=f"Move it away. {hint}", id="playbooks.W002"))
    return found


def _public_or(nothing: str) -> str:
    try:
        return public_key() or nothing
    except NoKey:
        return nothing


# --- Making the pair ------------------------------------------------------------------------------------------------------
def made(path: Path) -> str:
    """The public half of the key in this file, which is made (mode 0600) unless it is there. OSError, or NoKey for what is none."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return identity.public_of(_key(path.read_text().strip()))
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{environment.ed25519_key()}\n")
    return identity.public_of(_key(path.read_text().strip()))


def main(arguments: list[str]) -> int:
    """`python -m playbooks.signing FILE`; the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("Usage: python -m playbooks.signing FILE (gets the key, unless it is there; its public half is printed)", file=sys.stderr)  # fmt: skip
        return 2
    try:
        print(f"ACTION_PUBLIC_KEY={made(Path(arguments[0]))}")
    except NoKey:
        print(f"{arguments[0]} is there and holds no key (base64 of 32 bytes); name another file.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{arguments[0]}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Who speaks, and is it really they? One Ed25519 key per side; every request and every answer is signed.

The portal imports this file too: what is signed, and how it is spelt, stands here once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PREFIX: Final = "/probe/v1/"
# Headers of a request, and of an answer.
PROBE, TIME, COUNTER = "X-Watchkeeper-Probe", "X-Watchkeeper-Time", "X-Watchkeeper-Counter"
INSTANCE, SIGNATURE = "X-Watchkeeper-Instance", "X-Watchkeeper-Signature"
TOKEN: Final = "wkp_"
FILE: Final = "identity.json"


class NotEnrolled(Exception):
    """There is no usable identity; the sentence says what to do."""


def digest(body: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def request_text(probe: int, method: str, path: str, at_ms: int, counter: int, instance: str, body: bytes) -> bytes:
    """What the probe signs. `path` begins at /probe/v1/, whatever a proxy puts before it."""
    return "\n".join(
        ("watchkeeper probe 1", str(probe), method, path, str(at_ms), str(counter), instance, digest(body))
    ).encode()


def answer_text(probe: int, counter: int, asked: bytes, status: int, at_ms: int, body: bytes) -> bytes:
    """What the portal signs: its words and the request they answer, so that no answer fits another question."""
    return "\n".join(
        ("watchkeeper portal 1", str(probe), str(counter), digest(asked), str(status), str(at_ms), digest(body))
    ).encode()


def sign(key: Ed25519PrivateKey, text: bytes) -> str:
    """The signature, base64."""
    return base64.b64encode(key.sign(text)).decode()


def verify(public: str, signature: str, text: bytes) -> bool:
    """Is `signature` that of the key `public` (both base64) under `text`?"""
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True)).verify(
            base64.b64decode(signature, validate=True), text
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def is_public_key(text: object) -> bool:
    """Is this an Ed25519 public key, base64?"""
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(str(text), validate=True))
    except ValueError:
        return False
    return isinstance(text, str)


def public_of(key: Ed25519PrivateKey) -> str:
    """The public half, base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def fingerprint(public: str) -> str:
    """Sixteen hexadecimal digits that two people can compare."""
    return digest(public.encode())[:16]


def token_of(secret: str, portal_key: str) -> str:
    """An enrolment token: the secret and the fingerprint of the portal that gave it, so that no other can take its place."""
    return f"{TOKEN}{secret}_{fingerprint(portal_key)}"


def token_parts(token: str) -> tuple[str, str]:
    """(secret, the portal's fingerprint). ValueError when it is no token."""
    secret, _, portal = token.strip().removeprefix(TOKEN).rpartition("_")
    if not token.strip().startswith(TOKEN) or len(secret) < 32 or len(portal) != 16:
        raise ValueError("This is no enrolment token; copy the whole of it, from wkp_ on.")
    return secret, portal


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this probe is, and whom it believes."""

    url: str  # of the portal, without a slash at the end
    probe: int
    slug: str
    seed: str  # of its private key, base64
    portal_key: str

    @property
    def key(self) -> Ed25519PrivateKey:
        """The private key."""
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(self.seed))

    @classmethod
    def new(cls, url: str) -> Identity:
        """A fresh key, not enrolled yet."""
        seed = base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()
        return cls(url=url.rstrip("/"), probe=0, slug="", seed=seed, portal_key="")

    def enrolled(self, probe: int, slug: str, portal_key: str) -> Identity:
        """The same key with what the portal said."""
        return replace(self, probe=probe, slug=slug, portal_key=portal_key)

    def save(self, directory: Path) -> Path:
        """Write it, readable by its owner only; never half."""
        path, fresh = directory / FILE, directory / f".{FILE}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        return path

    @classmethod
    def load(cls, directory: Path) -> Identity:
        """The stored one. NotEnrolled when there is none, or when others may read it."""
        path = directory / FILE
        cure = "Ask the portal for a token and run: watchkeeper-probe enroll URL TOKEN"
        try:
            if path.stat().st_mode & 0o077:
                raise NotEnrolled(f"{path} may be read by others; chmod 600 it, or enrol anew.")
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            raise NotEnrolled(f"This probe is not enrolled ({path} is missing). {cure}") from None
        except (ValueError, TypeError) as error:
            raise NotEnrolled(f"{path} cannot be read ({type(error).__name__}). {cure}") from None

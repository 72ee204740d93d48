"""How does a secret stand in a file? By the name of an environment variable; its value is never written nor shown.

A variable that is not set leaves what is stored as it is; where nothing is stored, that is an error with its cure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

# The portal's own secrets stand in the same environment. A file that names one would have it sent to wherever it likes.
RESERVED = frozenset(
    ("SECRET_KEY", "ENCRYPTION_KEYS", "ACTION_SIGNING_KEY", "ACTION_PUBLIC_KEY", "DATABASE_URL", "REDIS_URL", "HEARTBEAT_URL", "SLACK_WEBHOOK_URL")
    + ("SMTP_USER", "SMTP_PASSWORD", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "PUBLISH_S3_KEY_ID", "PUBLISH_S3_SECRET", "POSTGRES_PASSWORD")
)  # fmt: skip
NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,199}")
SHOWN = "(secret)"


class Secret:
    """A secret as a leaf of a document: its variable's name, its value where that is known, or what judges a value (`fits`)."""

    __slots__ = ("fits", "name", "value")

    def __init__(self, name: str = "", value: Any = None, fits: Callable[[str], bool] | None = None) -> None:
        self.name, self.value, self.fits = name, value, fits

    def __eq__(self, other: object) -> bool:
        """Is it the same secret? One whose value is not known stands for whatever is stored."""
        if not isinstance(other, Secret):
            return False
        if self.value is None or other.value is None:
            return True
        if (self.fits is None) != (other.fits is None):
            judge, text = (self.fits, other.value) if self.fits is not None else (other.fits, self.value)
            return bool(judge and judge(str(text)))
        return bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return SHOWN

    __str__ = __repr__


def sealed(value: Any) -> Any:
    """A stored secret as leaves: a map of secrets keeps its names, a list its length."""
    if isinstance(value, dict):
        return {str(name): sealed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [sealed(item) for item in value]
    return Secret(value=value)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Secret]]:
    """Every secret in a value, with its path."""
    if isinstance(value, Secret):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, (*path, number))


def free(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what is the portal's own."""
    return {name: value for name, value in environ.items() if name not in RESERVED}


def filled(value: Any, environ: Mapping[str, str]) -> Any:
    """The value with its secrets taken from the environment, as far as it holds them."""
    if isinstance(value, Secret):
        return Secret(value.name, environ.get(value.name) or None) if value.name else value
    if isinstance(value, dict):
        return {key: filled(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, environ) for item in value]
    return value


class Names:
    """Names for an export's variables: from where the secret stands, each once."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def give(self, *words: str | int) -> str:
        """`("acme", "monitor", "Shop", "password")` → ACME_MONITOR_SHOP_PASSWORD."""
        text = re.sub(r"[^A-Z0-9]+", "_", "_".join(str(w) for w in words).upper()).strip("_")[:180] or "SECRET"
        text = f"_{text}" if text[0].isdigit() else text
        name, number = text, 2
        while name in self.taken:
            name, number = f"{text}_{number}", number + 1
        self.taken.add(name)
        return name


def scrubbed(text: str, secrets: list[str]) -> str:
    """A sentence without any of these values: a validator may have quoted what it refused."""
    for value in sorted(secrets, key=len, reverse=True):
        if len(value) >= 4:
            text = text.replace(value, SHOWN)
    return text

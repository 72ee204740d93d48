"""How do secrets rest in the database? Sealed with rotating Fernet keys, opened only where they are used.

A model attribute of these fields is always a `Sealed`: it prints as a mask, so a secret cannot slip into a
log, a template or a diff by accident; one row that no key opens fails on `.open()`, not for the whole queryset.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

MASK = "••••••"


class CannotOpen(Exception):
    """No key in ENCRYPTION_KEYS opens this value; put the key it was sealed with back (any position)."""


@lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def box() -> MultiFernet:
    """The current key ring: the first key seals, every key opens."""
    return _box(tuple(settings.ENCRYPTION_KEYS))


class Sealed:
    """A JSON value under seal. `bool()` says whether there is one, without opening it."""

    __slots__ = ("token",)

    def __init__(self, token: str = "") -> None:
        self.token = token

    @classmethod
    def of(cls, value: Any) -> Sealed:
        """Seal a JSON value; None, "" and {} become the empty seal."""
        if isinstance(value, Sealed):
            return value
        if value in (None, "", {}, []):
            return cls("")
        return cls(box().encrypt(json.dumps(value, ensure_ascii=False).encode()).decode())

    def open(self) -> Any:
        """The value; {} when empty. Raises CannotOpen when no key fits."""
        if not self.token:
            return {}
        try:
            return json.loads(box().decrypt(self.token.encode()))
        except InvalidToken as error:
            raise CannotOpen(
                "A stored secret cannot be opened: ENCRYPTION_KEYS lacks the key it was sealed with."
            ) from error

    def rotated(self) -> Sealed:
        """The same value under the first key."""
        return Sealed(box().rotate(self.token.encode()).decode()) if self.token else self

    def __bool__(self) -> bool:
        return bool(self.token)

    def __repr__(self) -> str:
        return MASK if self.token else "(none)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sealed) and self.token == other.token

    def __hash__(self) -> int:
        return hash(self.token)


class _Door:
    """Turns whatever is assigned into a Sealed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        if self.name not in instance.__dict__:
            instance.refresh_from_db(fields=[self.name])
        return instance.__dict__[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = Sealed.of(value)


class SealedField(models.TextField):
    """A JSON value that is encrypted at rest."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("blank", True)
        kwargs.setdefault("default", "")
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def contribute_to_class(self, cls: type, name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, self.attname, _Door(self.attname))

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Sealed:
        return Sealed(value or "")

    def get_prep_value(self, value: Any) -> str:
        return Sealed.of(value).token

    def to_python(self, value: Any) -> Sealed:
        return Sealed.of(value)

    def value_to_string(self, obj: Any) -> str:
        return MASK if self.value_from_object(obj) else ""

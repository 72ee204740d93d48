"""What does a name hold, and who can change it? The record set, and what every DNS provider has to offer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from monitors.checks.dns import normal


class CannotRead(Exception):
    """What the name holds could not be learned; the sentence says why. Nothing was asked to change."""


@dataclass(frozen=True, slots=True)
class RecordSet:
    """All records of one type at one name. Values in normal form and in order; ttl in seconds, None where there is none."""

    values: tuple[str, ...] = ()
    ttl: int | None = None
    proxied: bool = False  # Cloudflare's own: visitors see Cloudflare's addresses

    @classmethod
    def of(cls, values: Iterable[str], ttl: int | None, record_type: str, *, proxied: bool = False) -> RecordSet:
        """In normal form. ValueError for a value that does not fit the type."""
        found = tuple(sorted({normal(value, record_type) for value in values}))
        return cls(found, ttl if found else None, proxied and bool(found))

    @classmethod
    def read(cls, kept: Mapping[str, Any], record_type: str) -> RecordSet:
        """As `as_json` kept it. ValueError when that is no record set."""
        if not isinstance(kept.get("values"), list):
            raise ValueError("What it held was not recorded.")
        return cls.of(kept["values"], kept.get("ttl"), record_type, proxied=bool(kept.get("proxied")))

    def as_json(self) -> dict[str, Any]:
        """For the record, and to put it back."""
        kept: dict[str, Any] = {"values": list(self.values), "ttl": self.ttl}
        return {**kept, "proxied": True} if self.proxied else kept

    def __str__(self) -> str:
        if not self.values:
            return "no record"
        return f"{', '.join(self.values)} ({'proxied' if self.proxied else f'TTL {self.ttl} s'})"


class Provider(Protocol):
    """Where the zone is kept, for one name and type."""

    def read(self) -> RecordSet:
        """What the name holds now, as the zone's own server says. CannotRead when that cannot be learned."""
        ...

    def fitted(self, wanted: RecordSet, old: RecordSet) -> RecordSet:
        """`wanted` as this provider would keep it in place of `old`."""
        ...

    def replace(self, old: RecordSet, new: RecordSet) -> str:
        """Put `new` (perhaps no record) in place of `old`, all or nothing; what there is to say of it, or "".

        NotDone when it surely was not done, Unsure when nobody knows.
        """
        ...

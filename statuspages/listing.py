"""What in a copy's folder or bucket is ours? A listing beside the copy says it, so that nothing else is ever taken away.

It is read by readers too, so it holds names, validators of public files, and a mark that tells this portal's copies from
another's without saying whose they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.utils.crypto import salted_hmac

NAME = ".watchkeeper-files.json"
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Listing:
    """`files`: name -> validator of what was written there; "" when that is not known for sure. `by`: whose copy it is."""

    by: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Did this portal write it?"""
        return self.by == mark()


def mark() -> str:
    """This portal's own, the same for all its processes."""
    return salted_hmac("statuspages.copies", "ours").hexdigest()[:16]


def encode(files: Mapping[str, str]) -> bytes:
    """As it is kept."""
    return json.dumps({"by": mark(), "files": dict(sorted(files.items()))}, separators=(",", ":")).encode()


def decode(data: bytes | None) -> Listing:
    """What was kept; an empty one when there is none, or nothing of ours. Names that lead elsewhere are left out."""
    try:
        kept = json.loads(data or b"{}")
    except ValueError:
        return Listing()
    if isinstance(kept, list):  # as it was written at first: names alone
        return Listing(files=dict.fromkeys(_plain(kept), ""))
    if not isinstance(kept, dict) or not isinstance(kept.get("files"), dict):
        return Listing()
    files = kept["files"]
    return Listing(by=str(kept.get("by", "")), files={name: str(files[name]) for name in _plain(files)})


def plain(path: str) -> bool:
    """Is this a path of plain words, that leads nowhere but down?"""
    return all(PART.fullmatch(part) for part in path.split("/"))


def _plain(names: Iterable[object]) -> list[str]:
    return [name for name in names if isinstance(name, str) and plain(name)]

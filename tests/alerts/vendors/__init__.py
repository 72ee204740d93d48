"""How do the vendors behave that channels send to? One file each: the vendor's own rules, as a server on loopback.

A vendor checks what it is sent as the real one does and refuses what that would refuse; so a test that passes here says
something about the request, not about our own reading of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.rig.calls import Call


@dataclass(frozen=True, slots=True)
class Setup:
    """A channel's settings that lead to the fake vendor."""

    type: str
    config: dict[str, Any]
    secrets: dict[str, Any] = field(default_factory=dict)
    provider: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor. `answer(call)` judges a request by the vendor's rules: (status, headers, body); a refused one is a 4xx.

    `setup(base_url)` makes the channel's settings for a server at `base_url` (http://127.0.0.1:port, no final slash); when a
    kind cannot be pointed elsewhere by its settings, `patch` names (class attribute path, suffix) that the test replaces.
    `seen(call)` are the texts that a person (or the vendor's record) shows of a request that was taken.
    """

    kind: str
    rule: str
    setup: Callable[[str], Setup]
    answer: Callable[[Call], tuple[int, dict[str, str], bytes]]
    seen: Callable[[Call], list[str]]
    limit_of: dict[str, int] = field(default_factory=dict)  # what is counted -> the vendor's number
    too_many: tuple[int, dict[str, str], bytes] = (429, {"Retry-After": "7"}, b"")  # how it says "slow down, 7 s"
    refused: tuple[int, dict[str, str], bytes] = (403, {}, b"")  # how it says "never"
    patch: tuple[tuple[str, str], ...] = ()  # ("alerts.channels.pushover.Pushover.API", "/1") -> base_url + "/1"
    link_in_text: bool = True  # is the link in what people read (or in a field of its own)?

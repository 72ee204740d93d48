"""What did the vendor say, without our secrets in it? Vendors echo what they were sent; a log must not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from alerts.channels.base import HttpChannel, Receipt
from portal.outbound.http import Response

HIDDEN = "••••••"
SHORTEST = 6  # shorter ones would blank out ordinary words


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret replaced, the longest first."""
    for secret in sorted({s for s in secrets if len(s) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def words_of(response: Response, secrets: Iterable[str], limit: int = 200) -> str:
    """The answer's text on one line, cut, without the secrets."""
    text = hide(response.body[:20_000].decode("utf-8", "replace"), secrets)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit]


class DiscreetChannel(HttpChannel):
    """An HTTP channel whose answers are read without its own secrets."""

    def secrets(self) -> list[str]:
        """Every text that must not come back in an answer."""
        return [text for value in dict(self.config).values() for text in _secret_texts(value)]

    def read(self, response: Response) -> Receipt:
        """As the base does, after hiding the secrets."""
        return super().read(replace(response, body=words_of(response, self.secrets()).encode()))


def _secret_texts(value: Any) -> list[str]:
    if hasattr(value, "get_secret_value"):
        return [value.get_secret_value()]
    if isinstance(value, dict):
        return [text for item in value.values() for text in _secret_texts(item)]
    return []

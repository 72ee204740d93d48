"""How do vendors answer that speak JSON? Read once: taken, refused in their own words with a cure, or not theirs at all.

A kind says three things: when it was taken, what a refusal's words are, and which cure belongs to them.
"""

from __future__ import annotations

import json
from typing import Any

from alerts.channels.answers import DiscreetChannel, hide, words_of
from alerts.channels.base import DeliveryError, Receipt
from portal.outbound.http import Response

WORDS = 240


class JsonChannel(DiscreetChannel):
    """An HTTP channel whose vendor answers in JSON."""

    def taken(self, response: Response, said: dict[str, Any]) -> Receipt | None:
        """The receipt of a 2xx; None when the answer is not the vendor's. Raises DeliveryError for a 2xx that means no."""
        raise NotImplementedError

    def words(self, said: dict[str, Any]) -> str:
        """What a refusal says, on one line; "" when it says nothing."""
        raise NotImplementedError

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """What to do about a refusal; "" when there is nothing to add."""
        return ""

    def wait(self, response: Response) -> float | None:
        """Seconds to leave the vendor alone, where it says so in a way of its own."""
        return None

    def hidden(self, text: str) -> str:
        """The text without our secrets, cut to what a log keeps."""
        return hide(text, self.secrets())[:WORDS]

    def read(self, response: Response) -> Receipt:
        """The answer as a receipt, or as an error with the vendor's words and the cure."""
        said = object_of(response)
        if 200 <= response.status < 300:
            receipt = self.taken(response, said)
            if receipt is None:
                text = words_of(response, self.secrets(), 120)
                raise DeliveryError(f"That is not {self.label}'s answer: {text}", ambiguous=True, code=response.status)
            return receipt
        try:
            return super().read(response)
        except DeliveryError as error:
            words = self.words(said)
            text = self.hidden(f"HTTP {response.status}: {words}") if words else str(error)
            cure = self.cure(response, said, words or str(error))
            raise DeliveryError(
                f"{text.rstrip('.')}. {cure}" if cure else text,
                permanent=error.permanent,
                ambiguous=error.ambiguous,
                code=error.code,
                retry_after=error.retry_after if error.retry_after is not None else self.wait(response),
            ) from None


def object_of(response: Response) -> dict[str, Any]:
    """The answer's JSON object; empty when it is anything else."""
    said = value_of(response)
    return said if isinstance(said, dict) else {}


def value_of(response: Response) -> Any:
    """The answer's JSON, whatever it is; None when it is none."""
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        return None

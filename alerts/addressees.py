"""Who is told without a channel of their own? Readers whom an upper app knows, named `<prefix>:<id>` as a destination.

Whoever keeps such readers registers here: how they are found when a message goes out (one query for a batch), and who
hears what became of it. Their messages are letters (`Notice.snapshot["letter"]`), go out after everything else, and are
never gathered. Addresses stand in no delivery, and in no attempt: what a server says of them is masked.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

from alerts import channels
from alerts.channels.answers import HIDDEN
from alerts.channels.base import Channel as Kind
from alerts.channels.base import DeliveryError, Receipt
from alerts.message import Link
from alerts.models import Delivery
from portal.outbound.guard import Reach, check_url

NEWS: Final = "news"  # the kind of their notices and deliveries
ASKED: Final = 7  # priority: what a reader waits for now (a link to confirm)
BY_MAIL, BY_HOOK = 8, 9  # mails first: a slow receiver of hooks makes no reader wait


@dataclass(frozen=True, slots=True)
class Addressee:
    """How one reader is reached: a channel's type with all its settings (opened), and the links that are theirs alone."""

    type: str
    config: Mapping[str, Any]
    links: tuple[Link, ...] = ()
    allow: tuple[IPv4Network | IPv6Network, ...] = ()  # networks that may be reached besides public ones


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of one message. `permanent`: the other side said that again cannot help."""

    id: int
    delivered: bool
    permanent: bool
    reason: str
    at: datetime


Resolve = Callable[[Collection[int]], Mapping[int, Addressee]]
Hear = Callable[[Sequence[Ended]], object]
_sources: dict[str, tuple[Resolve, Hear]] = {}


def register(prefix: str, resolve: Resolve, ended: Hear) -> None:
    """`resolve(ids)` gives those that are still to be reached; `ended` is called in the transaction that stores results."""
    if prefix in ("", "channel") or ":" in prefix or _sources.get(prefix, (resolve, ended)) != (resolve, ended):
        raise ValueError(f"{prefix!r} cannot be registered: it is taken, or not a plain word.")
    _sources[prefix] = (resolve, ended)


def key(prefix: str, number: int) -> str:
    """The destination's key."""
    return f"{prefix}:{number}"


def _parts(row: Delivery) -> tuple[str, int]:
    prefix, _, number = row.destination_key.partition(":")
    return prefix, int(number) if number.isascii() and number.isdigit() else 0


def of_rows(rows: Iterable[Delivery]) -> dict[int, Addressee]:
    """delivery → addressee, for those of these deliveries that have no channel: one question to each source."""
    asked: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.channel_id is None:
            prefix, number = _parts(row)
            asked[prefix][number].append(row.pk)
    found: dict[int, Addressee] = {}
    for prefix, numbers in asked.items():
        if prefix in _sources:
            for number, addressee in _sources[prefix][0](list(numbers)).items():
                found |= dict.fromkeys(numbers[number], addressee)
    return found


def opened(to: Addressee, providers: Mapping[str, dict[str, Any]]) -> Kind:
    """Ready to send. Of the providers' settings it gets the mail server's only: readers never use an account of ours."""
    cls = channels.get(to.type)
    kind = cls(channels.join(to.type, {}, dict(to.config)), providers.get("smtp", {}) if to.type == "email" else {})
    kind.reach = Reach(allow=to.allow)
    return kind


def ended(results: Iterable[tuple[Delivery, bool, str]]) -> None:
    """(delivery, was the answer permanent, what was said) of deliveries that have ended: their sources hear of it."""
    heard: dict[str, list[Ended]] = defaultdict(list)
    for row, permanent, said in results:
        prefix, number = _parts(row)
        if row.channel_id is None and row.finished_at is not None:
            delivered = row.state == Delivery.State.DELIVERED
            heard[prefix].append(Ended(number, delivered, permanent and not delivered, said, row.finished_at))
    for prefix, found in heard.items():
        if prefix in _sources:
            _sources[prefix][1](found)


# --- What is written down of them ----------------------------------------------------------------------------------------
def discreet(answer: Receipt | DeliveryError, kind: Kind | DeliveryError) -> Receipt | DeliveryError:
    """The answer without the reader's address in it."""
    if isinstance(kind, DeliveryError):
        return answer
    private = _addresses(kind)
    if isinstance(answer, Receipt):
        return replace(answer, answer=_masked(answer.answer, private))
    return DeliveryError(
        _masked(str(answer), private), permanent=answer.permanent, ambiguous=answer.ambiguous, code=answer.code,
        retry_after=answer.retry_after,
    )  # fmt: skip


def _addresses(kind: Kind) -> list[str]:
    """Every way in which an answer may name them, the longest first."""
    config, found = kind.config, set(getattr(kind.config, "to", ()))
    url = config.url.get_secret_value() if hasattr(config, "url") else ""
    if url:
        parts = check_url(url)
        found |= {url, parts.url, parts.target, parts.host} - {"/"}
    return sorted(found, key=len, reverse=True)


def _masked(text: str, private: list[str]) -> str:
    for part in private:
        text = re.sub(re.escape(part), HIDDEN, text, flags=re.IGNORECASE)
    return text

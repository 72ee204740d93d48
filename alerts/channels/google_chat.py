"""How does a message look in Google Chat? A card in a space, by the space's webhook, everything about an alert in one thread.

What anybody typed stands only in texts whose HTML is ours, with the three characters escaped. Every try carries the same
`requestId`; Google documents that a known one gives back the first message, yet not for webhooks in so many words, so a
repeat is marked as one all the same.
(https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces.messages/create)
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from typing import Any, ClassVar, Final, Self
from urllib.parse import parse_qs, urlencode

from django.conf import settings
from pydantic import Field, model_validator

from alerts.channels.addresses import RequiredHookUrl, readable
from alerts.channels.answers import DiscreetChannel, hide
from alerts.channels.base import ChannelConfig, DeliveryError, Receipt, is_permanent, retry_after
from alerts.channels.plain import as_json, headline
from alerts.channels.wording import (
    buttons,
    cut,
    first_line,
    line_shape,
    line_where,
    line_word,
    one_line,
    reference,
    rows,
    shape,
    word,
)
from alerts.message import COLOURS, Line, Link, Message
from portal.outbound.guard import check_url
from portal.outbound.http import Request, Response

MOST_BYTES: Final = 31_000  # Google takes 32,000 with everything
MOST_FACTS, MOST_LINES, MOST_BUTTONS = 12, 60, 6  # a card shows a hundred widgets
URL: Final = 2000
GOOGLE: Final = "chat.googleapis.com"
OURS: Final = ("requestId", "messageReplyOption", "threadKey")
_SPACE: Final = re.compile(r"/v1/spaces/[\w-]+/messages/?\Z", re.ASCII)
_THREAD: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
# Longest text, and how many lines or facts, from try to try until the whole is small enough.
SIZES: Final = ((1500, 60), (500, 40), (200, 25), (80, 12), (40, 6))
CURES: Final = {
    "INVALID_ARGUMENT": "If the address was typed, copy it again from the space's webhooks.",
    "UNAUTHENTICATED": "The address is not complete; copy it again from the space's webhooks (it ends with key= and token=).",
    "PERMISSION_DENIED": "The webhook may not post: its space or an administrator has switched webhooks off, or the key is wrong.",
    "NOT_FOUND": "The webhook or its space was deleted; make a new webhook and enter its address.",
    "RESOURCE_EXHAUSTED": "A space takes 60 messages a minute from all apps together.",
}


class GoogleChatConfig(ChannelConfig):
    """The webhook of a space."""

    url: RequiredHookUrl = Field(
        title="Webhook URL",
        description="Google Chat: space → Apps & integrations → Webhooks → Add.",
        examples=[
            "https://chat.googleapis.com/v1/spaces/AAAAabcdefg/messages?key=AIzaSyExampleExample&token=abcdefghijklmnop"
        ],
        json_schema_extra={"secret": True, "format": "uri"},
    )
    threads: bool = Field(
        True, title="One thread for each alert", description="Off: every message stands alone and notifies as one."
    )

    @model_validator(mode="after")
    def _is_a_webhook(self) -> Self:
        parts = check_url(self.url.get_secret_value())
        path, _, query = parts.target.partition("?")
        if parts.host == GOOGLE and parts.scheme != "https":
            raise ValueError("The address is the secret: Google's begin with https://.")
        if not _SPACE.search(path) or not {"key", "token"} <= parse_qs(query).keys():
            raise ValueError(
                "A webhook's address has /v1/spaces/…/messages, key= and token= in it; copy all of it from the space."
            )
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return (self.url.get_secret_value(),)


class GoogleChat(DiscreetChannel):
    """One card in a Google Chat space."""

    kind: ClassVar[str] = "google_chat"
    label: ClassVar[str] = "Google Chat"
    Config = GoogleChatConfig
    per_minute: ClassVar[int | None] = 50  # the space takes 60 from all apps together

    def address(self) -> str:
        """The host; the rest of the address is the secret."""
        return readable(self.config.url.get_secret_value())

    def secrets(self) -> list[str]:
        """The URL, what follows its host, and both keys, as they are written and as they are meant."""
        url = self.config.url.get_secret_value()
        target = check_url(url).target
        query = target.partition("?")[2]
        values = [value for values in parse_qs(query).values() for value in values]
        return [url, target, query, *values, *(part.partition("=")[2] for part in query.split("&"))]

    def request(self, message: Message) -> Request:
        """One message; a reply in the alert's thread when there is one already."""
        query = {"requestId": identity(message)}
        threaded = self.config.threads and bool(_THREAD.fullmatch(message.key))
        if threaded:
            query["messageReplyOption"] = "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"
        content = content_of(message)
        if threaded:
            content["thread"] = {"threadKey": message.key}
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        url = f"{_bare(self.config.url.get_secret_value())}&{urlencode(query)}"
        return Request(url, "POST", headers, as_json(content), timeout=10.0, max_body=256 * 1024)

    def read(self, response: Response) -> Receipt:
        """Google's answer: the message's name, or a status and a sentence."""
        answer = _object(response.body)
        if response.status == 200:
            if not answer.get("name"):
                raise DeliveryError(
                    "Google's answer could not be read: it may have been posted.", ambiguous=True, code=200
                )
            return Receipt(200, one_line(answer["name"])[:300], "posted")
        error = answer.get("error")
        if not isinstance(error, dict):
            return super().read(response)
        status = one_line(error.get("status") or "")[:60]
        said = " · ".join(filter(None, (status, one_line(error.get("message") or ""))))
        cure = CURES.get(status, "")
        hints = [retry_after(response), _delay(error)]
        raise DeliveryError(
            f"HTTP {response.status}: {hide(said, self.secrets())[:200]}" + (f". {cure}" if cure else ""),
            permanent=is_permanent(response.status),
            ambiguous=response.status >= 500,
            code=response.status,
            retry_after=max((hint for hint in hints if hint is not None), default=None),
        )


def _bare(url: str) -> str:
    """The address with its keys only, as they are written: what we say ourselves must not be said twice."""
    start, _, query = url.partition("?")
    kept = (part for part in query.split("&") if part and part.partition("=")[0] not in OURS)
    return f"{start}?{'&'.join(kept)}"


def identity(message: Message) -> str:
    """Names the request: the same on every try, another one in every installation; without a delivery a new one."""
    if not message.delivery_id:
        return str(uuid.uuid4())
    named = hashlib.sha256(f"google_chat:{settings.SECRET_KEY}:{message.delivery_id}".encode()).digest()
    return str(uuid.UUID(bytes=named[:16], version=4))


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _delay(error: dict[str, Any]) -> float | None:
    """Seconds of a RetryInfo: {"details": [{"retryDelay": "7s"}]}"""
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        found = (
            re.fullmatch(r"(\d{1,6}(?:\.\d{1,9})?)s", str(detail.get("retryDelay") or ""))
            if isinstance(detail, dict)
            else None
        )
        if found:
            return float(found[1])
    return None


# --- the message -----------------------------------------------------------------------------------------------------
def escape(text: str) -> str:
    """The characters that begin HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fit(text: str, limit: int) -> str:
    """Cut, then escaped."""
    return escape(cut(text, limit))


def content_of(message: Message) -> dict[str, Any]:
    """The whole message, small enough: texts are shortened step by step, links never."""
    content: dict[str, Any] = {}
    for longest, most in SIZES:
        content = _content(message, longest, most)
        if len(as_json(content)) <= MOST_BYTES:
            break
    return content


def _content(message: Message, longest: int, most: int) -> dict[str, Any]:
    """`fallbackText` is what a notification shows, the card the rest. The header holds nothing that anybody typed."""
    widgets = _gathered(message, longest, most) if message.lines else _single(message, longest, most)
    pressed = [link for link in buttons(message.links) if len(link.url) <= URL][:MOST_BUTTONS]
    if pressed:
        widgets.append({"buttonList": {"buttons": [_button(link) for link in pressed]}})
    header = {"title": f"{shape(message)} {word(message)}", "subtitle": reference(message)}
    card = {"header": {name: text for name, text in header.items() if text}, "sections": [{"widgets": widgets}]}
    return {"fallbackText": headline(message, 300), "cardsV2": [{"cardId": "message", "card": card}]}


def _single(message: Message, longest: int, most: int) -> list[dict[str, Any]]:
    title = one_line(message.title) or headline(message, longest)
    first = first_line(message)
    told = f'<b><font color="{COLOURS[message.tone]}">{shape(message)}</font> {fit(title, min(longest, 300))}</b>'
    if first and first != title:
        told += f"<br>{fit(first, longest)}"
    facts = rows(message)[: min(most, MOST_FACTS)]
    return [{"textParagraph": {"text": told}}, *(_fact(label, value, longest) for label, value in facts)]


def _fact(label: str, value: str, longest: int) -> dict[str, Any]:
    """A label above its value; one that could be read as markup stands in the text, where escaping counts."""
    if any(char in label for char in "&<>"):
        return {"decoratedText": {"text": f"{fit(label, 80)}: {fit(value, longest)}", "wrapText": True}}
    return {"decoratedText": {"topLabel": cut(label, 80), "text": fit(value, longest) or "–", "wrapText": True}}


def _gathered(message: Message, longest: int, most: int) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = [{"textParagraph": {"text": f"<b>{fit(headline(message, 300), 300)}</b>"}}]
    shown = message.lines[: min(most, MOST_LINES)]
    told += [_line(line, min(longest, 400)) for line in shown]
    more = message.more + len(message.lines) - len(shown)
    return told + ([{"textParagraph": {"text": f"and {more} more"}}] if more else [])


def _line(line: Line, longest: int) -> dict[str, Any]:
    cause = "" if line.resolved else one_line(line.cause)
    said = f"{line_word(line)}  {cut(line_where(line), 150)}" + (f" — {cause}" if cause else "")
    colour = COLOURS["resolved" if line.resolved else line.severity if line.severity in COLOURS else "info"]
    text = f'<font color="{colour}">{line_shape(line)}</font> {fit(said, longest)}'
    link = [link for link in buttons([Link("open", "Open", line.url)]) if len(link.url) <= URL]
    return {"decoratedText": {"text": text, "wrapText": True, **({"button": _button(link[0])} if link else {})}}


def _button(link: Link) -> dict[str, Any]:
    return {"text": cut(one_line(link.label), 60) or "Open", "onClick": {"openLink": {"url": link.url}}}

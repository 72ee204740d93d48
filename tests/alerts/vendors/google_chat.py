"""How does Google Chat judge what a space's webhook posts? (developers.google.com/workspace/chat, spaces.messages.create, Card)"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

SPACE, KEY, TOKEN = "AAAAabcdefg", "AIzaSyExampleExampleExample", "abcdefghijklmnopqrstuvwxyz%3D"  # scan: allowed
PATH = f"/v1/spaces/{SPACE}/messages"
BYTES, WIDGETS = 32_000, 100
REPLIES = ("MESSAGE_REPLY_OPTION_UNSPECIFIED", "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD", "REPLY_MESSAGE_OR_FAIL")
FIELDS = {"text", "cardsV2", "fallbackText", "thread", "accessoryWidgets"}
QUERY = {"key", "token", "requestId", "messageReplyOption", "messageId", "threadKey"}
_TAG = re.compile(r"</?(?:b|i|u|strike|s|time|font|a)(?:\s[^<>]*)?>|<br\s*/?>")


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """200 and the message's name, or an error with a status."""
    if call.path != PATH:
        return refused(404, "NOT_FOUND", "Requested entity was not found.")
    if call.query.get("key") != [KEY] or call.query.get("token") != [TOKEN.replace("%3D", "=")]:
        return refused(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
    unknown = set(call.query) - QUERY
    if unknown:
        return invalid(f'Invalid JSON payload received. Unknown name "{min(unknown)}": Cannot bind query parameter.')
    if call.method != "POST" or "application/json" not in call.headers.get("content-type", ""):
        return invalid("Invalid JSON payload received.")
    given = object_in(call)
    if given is None or set(given) - FIELDS:
        return invalid(f"Invalid JSON payload received. Unknown name {set(given or ()) - FIELDS}")
    if len(call.body) > BYTES:
        return invalid("Message cannot be larger than 32000 bytes.")
    if call.query.get("messageReplyOption", [REPLIES[0]])[0] not in REPLIES:
        return invalid("Invalid value at 'message_reply_option'")
    try:
        cards(given.get("cardsV2", []))
    except (KeyError, TypeError, ValueError) as error:
        return invalid(f"Invalid card: {error}")
    if not given.get("text") and not given.get("cardsV2"):
        return invalid("Message cannot be empty.")
    thread = given.get("thread", {}).get("threadKey") or "new"
    name = f"spaces/{SPACE}/messages/{call.query.get('requestId', ['x'])[0]}"
    return said(200, {"name": name, "thread": {"name": f"spaces/{SPACE}/threads/{thread}"}})


def cards(given: list[dict[str, Any]]) -> None:
    """Refuse what a card cannot have."""
    if len(given) > 1 and not all(card.get("cardId") for card in given):
        raise ValueError("cardId is missing")
    for entry in given:
        card = entry["card"]
        if "header" in card and not card["header"]["title"]:
            raise ValueError("header without title")
        widgets = [widget for section in card["sections"] for widget in section["widgets"]]
        if not 1 <= len(widgets) <= WIDGETS:
            raise ValueError(f"{len(widgets)} widgets")
        for widget in widgets:
            ((kind, content),) = widget.items()
            if kind not in ("textParagraph", "decoratedText", "buttonList", "divider", "image"):
                raise ValueError(kind)
            if kind in ("textParagraph", "decoratedText") and not content["text"].strip():
                raise ValueError("empty text")
            for button in content.get("buttons", []) + ([content["button"]] if "button" in content else []):
                if not button["text"] or not button["onClick"]["openLink"]["url"].startswith(("http://", "https://")):
                    raise ValueError("button")


def refused(status: int, name: str, message: str) -> tuple[int, dict[str, str], bytes]:
    """One of its errors."""
    return said(status, {"error": {"code": status, "message": message, "status": name}})


def invalid(message: str) -> tuple[int, dict[str, str], bytes]:
    """Its 400."""
    return refused(400, "INVALID_ARGUMENT", message)


def rendered(html: str) -> str:
    """What people read of a card's text: its few tags are markup, entities are turned back, any other tag vanishes."""
    bare = _TAG.sub(lambda tag: "\n" if tag[0].startswith("<br") else "", html)
    return unescape(re.sub(r"<[^>]*>", "", bare))


def seen(call: Call) -> list[str]:
    """Header, labels and buttons as they are, texts as rendered, and what a notification shows."""
    given = call.json()
    texts = [given.get("fallbackText", "")]
    for entry in given.get("cardsV2", []):
        texts += [str(text) for text in entry["card"].get("header", {}).values()]
        for section in entry["card"]["sections"]:
            for widget in section["widgets"]:
                ((_, content),) = widget.items()
                texts += [content.get("topLabel", ""), rendered(content.get("text", ""))]
                texts += [button["text"] for button in content.get("buttons", [])]
    return [text for text in texts if text]


VENDOR = Vendor(
    kind="google_chat",
    rule="32,000 bytes with everything, at most 100 widgets in a card, texts in a little HTML; a space takes 60 messages a minute.",
    setup=lambda base: Setup("google_chat", {}, {"url": f"{base}{PATH}?key={KEY}&token={TOKEN}"}),
    answer=answer,
    seen=seen,
    limit_of={"bytes": BYTES, "widgets": WIDGETS},
    too_many=(
        429,
        {"Content-Type": "application/json", "Retry-After": "7"},
        json.dumps(
            {
                "error": {
                    "code": 429,
                    "message": "Resource has been exhausted (e.g. check quota).",
                    "status": "RESOURCE_EXHAUSTED",
                }
            }
        ).encode(),
    ),
    refused=refused(403, "PERMISSION_DENIED", "The caller does not have permission"),
)

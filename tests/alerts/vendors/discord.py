"""How does Discord judge what a webhook posts, and what do people read of it? (docs.discord.com/developers/resources/webhook)"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

NUMBER, TOKEN = "123456789012345678", "abcdefghijklmnop-QRSTUVWXYZ_0123456789"  # scan: allowed
PATH = f"/api/webhooks/{NUMBER}/{TOKEN}"
CHANNEL, MESSAGE, POST = "200000000000000001", "300000000000000001", "400000000000000001"
LIMITS = {"content": 2000, "title": 256, "description": 4096, "name": 256, "value": 1024, "text": 2048}
ALL, MOST_FIELDS, MOST_EMBEDS, THREAD_NAME = 6000, 25, 10, 100


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """200 and the message (204 without `wait`), or a numbered error."""
    hook, _, message = call.path.partition("/messages/")
    if not hook.startswith(f"/api/webhooks/{NUMBER}/"):
        return refused(404, 10015, "Unknown Webhook")
    if hook != PATH:
        return refused(401, 50027, "Invalid Webhook Token")
    if call.method not in ("POST", "PATCH") or bool(message) != (call.method == "PATCH"):
        return refused(405, 0, "405: Method Not Allowed")
    if message and message not in (MESSAGE, POST):  # a forum's post has its first message's number
        return refused(404, 10008, "Unknown Message")
    given = object_in(call)
    if given is None or "application/json" not in call.headers.get("content-type", ""):
        return refused(400, 50109, "The request body contains invalid JSON.")
    if not given.get("content") and not given.get("embeds"):
        return refused(400, 50006, "Cannot send an empty message")
    wrong = fault(given)
    if wrong:
        path, sentence = wrong
        errors: dict[str, Any] = {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": sentence}]}
        for name in reversed(path.split(".")):
            errors = {name: errors}
        return said(400, {"message": "Invalid Form Body", "code": 50035, "errors": errors})
    if call.method == "POST" and "wait" not in call.query:
        return 204, {}, b""
    place = call.query.get("thread_id", [POST if given.get("thread_name") else CHANNEL])[0]
    number = POST if given.get("thread_name") else MESSAGE
    return said(
        200, {"id": number, "channel_id": place, "type": 0, "content": given.get("content", ""), "webhook_id": NUMBER}
    )


def fault(given: dict[str, Any]) -> tuple[str, str] | None:
    """(where, sentence) of the first thing that breaks a limit."""
    if length(given.get("content", "")) > LIMITS["content"]:
        return "content", "Must be 2000 or fewer in length."
    if length(given.get("thread_name", "x")) > THREAD_NAME:
        return "thread_name", "Must be between 1 and 100 in length."
    embeds = given.get("embeds", [])
    if len(embeds) > MOST_EMBEDS:
        return "embeds", "Must be 10 or fewer in length."
    spent = 0
    for number, embed in enumerate(embeds):
        parts = {"title": embed.get("title", ""), "description": embed.get("description", "")}
        parts["footer.text"] = embed.get("footer", {}).get("text", "")
        fields = embed.get("fields", [])
        if len(fields) > MOST_FIELDS:
            return f"embeds.{number}.fields", "Must be 25 or fewer in length."
        for place, field in enumerate(fields):
            parts |= {f"fields.{place}.{name}": field.get(name, "") for name in ("name", "value")}
            if not field.get("name", "").strip() or not field.get("value", "").strip():
                return f"embeds.{number}.fields.{place}", "This field is required"
        for where, text in parts.items():
            limit = LIMITS[where.rpartition(".")[2]]
            if length(text) > limit:
                return f"embeds.{number}.{where}", f"Must be {limit} or fewer in length."
        spent += sum(map(length, parts.values()))
        if not 0 <= embed.get("color", 0) <= 0xFFFFFF:
            return f"embeds.{number}.color", "int value should be between 0 and 16777215."
    return ("embeds", "Embed size exceeds maximum size of 6000") if spent > ALL else None


def length(text: str) -> int:
    """The stricter of the two ways to count: UTF-16 units."""
    return len(text.encode("utf-16-le", "replace")) // 2


def refused(status: int, code: int, message: str) -> tuple[int, dict[str, str], bytes]:
    """One of its errors."""
    return said(status, {"message": message, "code": code})


_PIECE = re.compile(
    r"\\(?P<plain>[^0-9A-Za-z\s])"
    r"|\[(?P<label>(?:\\.|[^\]\\])*)\]\(<?(?P<url>https?://[^\s)>]+)>?\)"
    r"|(?P<mention><(?:@[!&]?|#|:\w+:|a:\w+:)\d+>|@everyone|@here)"
    r"|(?P<markup>[*_~`|])"
)


def rendered(text: str) -> str:
    """What people read of Discord's markdown: escapes gone, markup gone, a mention as somebody being called."""

    def piece(found: re.Match[str]) -> str:
        if found["plain"]:
            return found["plain"]
        if found["url"]:
            return f"{rendered(found['label'])} {found['url']}"
        return " !CALLED! " if found["mention"] else ""

    return _PIECE.sub(piece, text)


def seen(call: Call) -> list[str]:
    """Content, titles, descriptions and fields as rendered; a footer is plain."""
    given = call.json()
    texts = [given.get("content", "")]
    for embed in given.get("embeds", []):
        texts += [embed.get("title", ""), embed.get("description", "")]
        texts += [field[name] for field in embed.get("fields", []) for name in ("name", "value")]
    footers = [embed["footer"]["text"] for embed in given.get("embeds", []) if "footer" in embed]
    return [*(rendered(text) for text in texts if text), *footers]


VENDOR = Vendor(
    kind="discord",
    rule="Content 2,000, title 256, description 4,096, 25 fields of 256 and 1,024, footer 2,048, 6,000 over all; markdown everywhere but in footers.",
    setup=lambda base: Setup("discord", {}, {"url": f"{base}{PATH}"}),
    answer=answer,
    seen=seen,
    limit_of={**LIMITS, "embed": ALL, "fields": MOST_FIELDS},
    too_many=(
        429,
        {"Content-Type": "application/json", "Retry-After": "7", "X-RateLimit-Scope": "user"},
        json.dumps({"message": "You are being rate limited.", "retry_after": 6.42, "global": False}).encode(),
    ),
    refused=refused(404, 10015, "Unknown Webhook"),
)

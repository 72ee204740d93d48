"""Slack's incoming webhook, with Block Kit's rules: counts and lengths of blocks, plain text and mrkdwn, its plain-text errors."""

from __future__ import annotations

import json
from html import unescape
from typing import Any

from tests.alerts.vendors import Setup, Vendor
from tests.rig.calls import Call

PATH = "/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"  # scan: allowed
LIMITS = {"section": 3000, "header": 150, "field": 2000, "button": 75, "url": 3000, "context": 2000}


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    if call.path != PATH:
        return 404, {}, b"no_service"
    if call.method != "POST" or "application/json" not in call.headers.get("content-type", ""):
        return 400, {}, b"invalid_payload"
    try:
        message = json.loads(call.body)
        _judge(message)
    except (ValueError, KeyError, TypeError):
        return 400, {}, b"invalid_blocks"
    return 200, {"Content-Type": "text/html"}, b"ok"


def _judge(message: dict[str, Any]) -> None:
    if not message.get("text") or len(message["text"]) > 40_000:
        raise ValueError("no_text")
    for attachment in message.get("attachments", []):
        if not attachment["color"].startswith("#"):
            raise ValueError("color")
        blocks(attachment["blocks"])
    blocks(message.get("blocks", []))


def blocks(rows: list[dict[str, Any]]) -> None:
    """Refuse what Block Kit refuses."""
    if len(rows) > 50:
        raise ValueError("too many blocks")
    for block in rows:
        if block["type"] == "header":
            text(block["text"], LIMITS["header"], ("plain_text",))
        elif block["type"] == "section":
            if "text" not in block and "fields" not in block:
                raise ValueError("an empty section")
            if "text" in block:
                text(block["text"], LIMITS["section"])
            if len(block.get("fields", [])) > 10:
                raise ValueError("too many fields")
            for field in block.get("fields", []):
                text(field, LIMITS["field"])
        elif block["type"] == "context":
            if not 1 <= len(block["elements"]) <= 10:
                raise ValueError("context elements")
            for element in block["elements"]:
                text(element, LIMITS["context"])
        elif block["type"] == "actions":
            if not 1 <= len(block["elements"]) <= 25:
                raise ValueError("action elements")
            ids = [e["action_id"] for e in block["elements"] if "action_id" in e]
            if len(ids) != len(set(ids)):
                raise ValueError("an action_id twice")
            for element in block["elements"]:
                text(element["text"], LIMITS["button"], ("plain_text",))
                if len(element.get("url", "")) > LIMITS["url"] or len(element.get("value", "")) > 2000:
                    raise ValueError("button")
                if element.get("style", "primary") not in ("primary", "danger"):
                    raise ValueError("style")
        elif block["type"] != "divider":
            raise ValueError(block["type"])


def text(value: dict[str, Any], limit: int, types: tuple[str, ...] = ("plain_text", "mrkdwn")) -> None:
    """A text object: its type, never empty, within its limit."""
    if value["type"] not in types or not 1 <= len(value["text"]) <= limit:
        raise ValueError(f"text of {len(value['text'])} in {value['type']}")


def seen(call: Call) -> list[str]:
    message = json.loads(call.body)
    found: list[str] = [shown("mrkdwn", message["text"])]
    rows = [b for a in message.get("attachments", []) for b in a["blocks"]] + message.get("blocks", [])
    for block in rows:
        parts = [block["text"]] if "text" in block else []
        parts += block.get("fields", []) + [
            e.get("text", e) if block["type"] == "actions" else e for e in block.get("elements", [])
        ]
        found += [shown(p["type"], p["text"]) for p in parts]
    return found


def shown(kind: str, text: str) -> str:
    """What Slack shows: in both kinds of text it turns &amp; &lt; &gt; back."""
    return unescape(text)


VENDOR = Vendor(
    kind="slack",
    rule="POST JSON to the hook's own path; Block Kit: at most 50 blocks, section 3,000, header 150, field 2,000, button 75; answers `ok` or a plain-text error.",
    setup=lambda base: Setup("slack", {}, {"url": f"{base}{PATH}"}),
    answer=answer,
    seen=seen,
    limit_of=LIMITS,
    refused=(404, {}, b"no_service"),
)

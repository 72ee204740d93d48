"""How does Telegram's Bot API judge sendMessage and editMessageText? (core.telegram.org/bots/api)"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawQ"  # scan: allowed
CHAT, MESSAGE = -1001234567890, 365
TEXT, CALLBACK = 4096, 64
TAGS = ("b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre", "tg-spoiler", "blockquote")
ENTITIES = ("lt", "gt", "amp", "quot")


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """200 with `ok` and the message, or `ok: false` with a sentence."""
    bot, _, method = call.path.removeprefix("/bot").partition("/")
    if not re.fullmatch(r"\d+:[\w-]{10,}", bot):
        return refused(404, "Not Found")
    if bot != TOKEN:
        return refused(401, "Unauthorized")
    if call.method != "POST" or method not in ("sendMessage", "editMessageText"):
        return refused(404, "Not Found: method not found")
    given = object_in(call)
    if given is None:
        return refused(400, "Bad Request: can't parse JSON object")
    if str(given.get("chat_id")) != str(CHAT):
        return refused(400, "Bad Request: chat not found")
    wrong = fault(given)
    if wrong:
        return refused(400, f"Bad Request: {wrong}")
    if method == "editMessageText" and given.get("message_id") != MESSAGE:
        return refused(400, "Bad Request: message to edit not found")
    reply = given.get("reply_parameters", {})
    if reply and reply.get("message_id") != MESSAGE and not reply.get("allow_sending_without_reply"):
        return refused(400, "Bad Request: message to be replied not found")
    number = MESSAGE if method == "editMessageText" else MESSAGE
    result = {
        "message_id": number,
        "chat": {"id": CHAT, "type": "supergroup"},
        "date": 1795271888,
        "text": shown(given["text"]),
    }
    return said(200, {"ok": True, "result": result})


def fault(given: dict[str, Any]) -> str:
    """What Telegram finds wrong with a message; "" when nothing."""
    if given.get("parse_mode") not in (None, "HTML", "MarkdownV2"):
        return "unsupported parse_mode"
    reader = _Reader()
    try:
        reader.feed(given.get("text", ""))
        reader.close()
    except ValueError as error:
        return f"can't parse entities: {error}"
    if reader.open:
        return f"can't parse entities: Can't find end tag corresponding to start tag \"{reader.open[-1]}\""
    if not reader.text.strip():
        return "message text is empty"
    if len(reader.text.encode("utf-16-le", "replace")) // 2 > TEXT:
        return "message is too long"
    for row in given.get("reply_markup", {}).get("inline_keyboard", []):
        for button in row:
            actions = [name for name in ("url", "callback_data") if button.get(name)]
            if not button.get("text") or len(actions) != 1:
                return "Text buttons are unallowed in the inline keyboard"
            if len(button.get("callback_data", "").encode()) > CALLBACK:
                return "BUTTON_DATA_INVALID"
            host = urlsplit(button.get("url", "https://a.b")).hostname or ""
            if "." not in host:
                return f"inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL"
    return ""


class _Reader(HTMLParser):
    """Telegram's HTML: few tags, all closed, four named entities."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.open: list[str] = []
        self.text = ""
        self.leads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            raise ValueError(f'Unsupported start tag "{tag}"')
        self.open.append(tag)
        if tag == "a":
            self.leads.append(f"{dict(attrs).get('href')}")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise ValueError(f'Unmatched end tag "{tag}"')

    def handle_data(self, data: str) -> None:
        if "<" in data:
            raise ValueError('Unsupported start tag ""')
        self.text += data

    def handle_entityref(self, name: str) -> None:
        self.text += {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}.get(name, f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.text += chr(int(name.removeprefix("x"), 16 if name.startswith("x") else 10))

    def handle_comment(self, data: str) -> None:
        raise ValueError('Unsupported start tag "!--"')

    def handle_decl(self, decl: str) -> None:
        raise ValueError('Unsupported start tag "!"')

    def unknown_decl(self, data: str) -> None:
        raise ValueError('Unsupported start tag "!"')


def refused(status: int, description: str, **parameters: Any) -> tuple[int, dict[str, str], bytes]:
    """One of its errors."""
    body: dict[str, Any] = {"ok": False, "error_code": status, "description": description}
    return said(status, {**body, "parameters": parameters} if parameters else body)


def shown(html: str) -> str:
    """What people read, then where its links lead; a name right after an @ is called. The word joiner cannot be seen."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    text = re.sub(r"@[A-Za-z0-9_]{5,32}", " !CALLED! ", reader.text).replace("\u2060", "")
    return "\n".join([text, *reader.leads])


def seen(call: Call) -> list[str]:
    """The text and the buttons."""
    given = call.json()
    keyboard = given.get("reply_markup", {}).get("inline_keyboard", [])
    return [shown(given["text"]), *(button["text"] for row in keyboard for button in row)]


VENDOR = Vendor(
    kind="telegram",
    rule="Text 1 to 4,096 after its HTML is read, few tags and all closed; callback_data at most 64 bytes; no button to localhost.",
    setup=lambda base: Setup("telegram", {"chat_id": str(CHAT)}, {"bot_token": TOKEN}),
    answer=answer,
    seen=seen,
    limit_of={"text": TEXT, "callback_data": CALLBACK},
    too_many=(
        429,
        {"Content-Type": "application/json"},
        json.dumps(
            {
                "ok": False,
                "error_code": 429,
                "description": "Too Many Requests: retry after 7",
                "parameters": {"retry_after": 7},
            }
        ).encode(),
    ),
    refused=refused(403, "Forbidden: bot was blocked by the user"),
    patch=(("alerts.channels.telegram.Telegram.API", ""),),
)

"""How does Twilio judge a message that is posted, and what do people read of it? (twilio.com/docs/messaging, /docs/api/errors)"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import said
from tests.rig.calls import Call

ACCOUNT, TOKEN = "AC" + "0a1b2c3d" * 4, "8f7e6d5c4b3a29180716253443526170"
NUMBER, FROM = "+351912345678", "+351300500700"
SID = "SM" + "9a8b7c6d" * 4
API = (("alerts.channels.twilio_sms.TwilioChannel.API", ""),)
TOO_MANY = said(429, {"code": 20429, "message": "Too Many Requests", "more_info": "https://www.twilio.com/docs/errors/20429", "status": 429}, retry_after="7")  # fmt: skip
MOST = 1600
E164 = re.compile(r"\+[1-9]\d{6,14}\Z")
GSM7 = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = "^{}\\[~]|€\f"

Answer = tuple[int, dict[str, str], bytes]


def refused(status: int, code: int, message: str) -> Answer:
    """Twilio's error body."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    return said(status, {"code": code, "message": message, "more_info": more, "status": status})


def fault_at_the_door(call: Call, resource: str) -> Answer | None:
    """What is wrong before the fields are looked at."""
    if not call.path.startswith("/2010-04-01/Accounts/") or not call.path.endswith(f"/{resource}.json"):
        return refused(404, 20404, f"The requested resource {call.path} was not found")
    login = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    if call.headers.get("authorization") != f"Basic {login}":
        return refused(401, 20003, "Authenticate")
    if call.path.split("/")[3] != ACCOUNT:
        return refused(404, 20404, f"The requested resource {call.path} was not found")
    if call.method == "POST" and call.headers.get("content-type") != "application/x-www-form-urlencoded":
        return refused(415, 20001, "Unsupported Media Type")
    return None


def one(call: Call) -> dict[str, str]:
    """The form, each field once."""
    return {name: values[-1] for name, values in call.form().items()}


def callback_fault(form: dict[str, str]) -> Answer | None:
    """A callback that Twilio could never reach is refused at once."""
    for name in ("StatusCallback", "AsyncAmdStatusCallback"):
        given = form.get(name, "")
        if given and (not given.startswith(("https://", "http://")) or "://localhost" in given or "://127." in given):
            return refused(400, 21609, f"The {name} URL {given} is not a valid URL.")
    return None


def segments(text: str) -> int:
    """Twilio's own count: 160 or 153 septets, 70 or 67 UTF-16 units."""
    if all(c in GSM7 or c in EXTENDED for c in text):
        length = sum(2 if c in EXTENDED else 1 for c in text)
        return 1 if length <= 160 else -(-length // 153)
    length = len(text.encode("utf-16-le")) // 2
    return 1 if length <= 70 else -(-length // 67)


def taken(form: dict[str, str], sid: str = SID) -> Answer:
    """201: queued, not delivered."""
    body: dict[str, Any] = {
        "sid": sid,
        "account_sid": ACCOUNT,
        "status": "accepted" if "MessagingServiceSid" in form else "queued",
        "to": form["To"],
        "body": form.get("Body", ""),
        "num_segments": str(segments(form.get("Body", ""))),
        "error_code": None,
        "error_message": None,
        "direction": "outbound-api",
    }
    return said(201, body)


def answer(call: Call) -> Answer:
    """201 and the message, or a numbered error."""
    wrong = fault_at_the_door(call, "Messages")
    if wrong:
        return wrong
    if call.method == "GET":
        return said(200, {"messages": [], "page_size": 20})
    form = one(call)
    if not form.get("To"):
        return refused(400, 21604, "A 'To' phone number is required.")
    if not E164.match(form["To"]):
        return refused(400, 21211, f"The 'To' number {form['To']} is not a valid phone number.")
    if not form.get("From") and not form.get("MessagingServiceSid"):
        return refused(400, 21603, "A 'From' phone number is required.")
    if not form.get("Body"):
        return refused(400, 21602, "Message body is required.")
    if len(form["Body"].encode("utf-16-le")) // 2 > MOST:
        return refused(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
    return callback_fault(form) or taken(form)


def seen(call: Call) -> list[str]:
    """The text message."""
    return [one(call)["Body"]]


def provider(**more: str) -> dict[str, Any]:
    """The installation's account."""
    return {"account_sid": ACCOUNT, "auth_token": TOKEN, "sender": FROM, **more}


def listing(*rows: dict[str, Any]) -> bytes:
    """What GET Messages.json answers."""
    return json.dumps({"messages": list(rows)}).encode()


VENDOR = Vendor(
    kind="twilio_sms",
    rule="A form with To (E.164), From or MessagingServiceSid and a Body of at most 1,600 UTF-16 units; Basic with the account's SID.",
    setup=lambda base: Setup("twilio_sms", {"to": NUMBER}, {}, provider()),
    answer=answer,
    seen=seen,
    limit_of={"Body": MOST},
    too_many=TOO_MANY,
    refused=refused(400, 21610, "Attempt to send to unsubscribed recipient"),
    patch=API,
)

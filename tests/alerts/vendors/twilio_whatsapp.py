"""How does Twilio judge a WhatsApp message, and what does the template show? (twilio.com/docs/whatsapp, /docs/content)"""

from __future__ import annotations

import json
import re

from alerts.channels.twilio_whatsapp import SHOWN
from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.twilio_sms import (
    API,
    NUMBER,
    TOO_MANY,
    Answer,
    callback_fault,
    fault_at_the_door,
    one,
    provider,
    refused,
    said,
    taken,
)
from tests.rig.calls import Call

TEMPLATE = "HX" + "5a4b3c2d" * 4
FROM = "+14155238886"
MOST_SHOWN, MOST_BODY = 1024, 1600
PARTY = re.compile(r"whatsapp:\+[1-9]\d{6,14}\Z")


def shown(variables: dict[str, str]) -> str:
    """The approved template with its variables."""
    return re.sub(r"{{(\d)}}", lambda found: variables[found[1]], SHOWN)


def answer(call: Call) -> Answer:
    """201 and the message, or a numbered error. What happens outside of the session window comes later, by callback."""
    wrong = fault_at_the_door(call, "Messages")
    if wrong:
        return wrong
    if call.method == "GET":
        return said(200, {"messages": [], "page_size": 20})
    form = one(call)
    if not PARTY.match(form.get("To", "")):
        return refused(400, 21211, f"The 'To' number {form.get('To')} is not a valid phone number.")
    if form.get("From") != f"whatsapp:{FROM}":
        return refused(400, 63007, "Twilio could not find a Channel with the specified From address")
    if bool(form.get("Body")) == bool(form.get("ContentSid")):
        return refused(400, 21619, "A text message body, media urls or a content sid must be specified.")
    if form.get("Body"):
        long = len(form["Body"].encode("utf-16-le")) // 2 > MOST_BODY
        return (
            refused(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
            if long
            else (callback_fault(form) or taken(form))
        )
    if form["ContentSid"] != TEMPLATE:
        return refused(404, 20404, "The requested resource was not found")
    try:
        variables = json.loads(form.get("ContentVariables", ""))
    except ValueError:
        variables = None
    if not isinstance(variables, dict) or set(variables) != set("12345"):
        return refused(400, 21656, "The ContentVariables Parameter is invalid.")
    if any(not isinstance(v, str) or not v.strip() or re.search(r"[\n\t]| {5}", v) for v in variables.values()):
        return refused(400, 21656, "The ContentVariables Parameter is invalid.")
    if len(shown(variables)) > MOST_SHOWN:
        return refused(400, 63021, "Channel invalid content error")
    return callback_fault(form) or taken(form)


def seen(call: Call) -> list[str]:
    """The message in WhatsApp."""
    form = one(call)
    return [form["Body"]] if form.get("Body") else [shown(json.loads(form["ContentVariables"]))]


VENDOR = Vendor(
    kind="twilio_whatsapp",
    rule="To and From as whatsapp:+…; either Body (<= 1,600) or ContentSid with five variables, none empty, <= 1,024 when shown.",
    setup=lambda base: Setup(
        "twilio_whatsapp", {"to": NUMBER, "content_sid": TEMPLATE}, {}, provider(whatsapp_from=FROM)
    ),
    answer=answer,
    seen=seen,
    limit_of={"shown": MOST_SHOWN, "Body": MOST_BODY},
    too_many=TOO_MANY,
    refused=refused(400, 63016, "Failed to send freeform message because you are outside the allowed window."),
    patch=API,
)

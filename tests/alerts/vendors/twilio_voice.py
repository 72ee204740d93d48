"""How does Twilio judge a call that is asked for, and what is said in it? (twilio.com/docs/voice/api/call-resource)"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.twilio_sms import (
    API,
    E164,
    NUMBER,
    TOO_MANY,
    Answer,
    callback_fault,
    fault_at_the_door,
    one,
    provider,
    refused,
    taken,
)
from tests.rig.calls import Call

SID = "CA" + "9a8b7c6d" * 4
MOST = 4000
VERBS = {"Response", "Say", "Gather", "Pause", "Hangup"}
INSIDE_GATHER = {"Say", "Pause", "Play"}


def twiml_fault(text: str) -> str:
    """What Twilio's XML validation says; "" when it speaks."""
    try:
        root = ET.fromstring(text)  # our own request in a test
    except ET.ParseError:
        return "Document parse failure"
    if root.tag != "Response" or {element.tag for element in root.iter()} - VERBS:
        return "Schema validation warning"
    for gather in root.iter("Gather"):
        if {child.tag for child in gather} - INSIDE_GATHER:
            return "Gather: invalid nesting"
        if not gather.get("action", "").startswith("http") or gather.get("numDigits") != "1":
            return "Gather: no action"
    return ""


def answer(call: Call) -> Answer:
    """201 and the call, or a numbered error."""
    wrong = fault_at_the_door(call, "Calls")
    if wrong:
        return wrong
    form = one(call)
    if not E164.match(form.get("To", "")):
        return refused(400, 21211, f"Invalid 'To' Phone Number: {form.get('To')}")
    if not E164.match(form.get("From", "")):
        return refused(400, 21212, f"Invalid 'From' Phone Number: {form.get('From')}")
    if not form.get("Url") and not form.get("Twiml"):
        return refused(400, 21205, "Url parameter is required.")
    if len(form.get("Twiml", "")) > MOST:
        return refused(400, 32018, "Twiml must not exceed 4000 characters.")
    if form.get("MachineDetection") not in (None, "Enable", "DetectMessageEnd"):
        return refused(400, 20001, "Invalid MachineDetection")
    if form.get("AsyncAmd") == "true" and "MachineDetection" not in form:
        return refused(400, 20001, "AsyncAmd needs MachineDetection")
    fault = twiml_fault(form.get("Twiml", "")) if form.get("Twiml") else ""
    if fault:
        return refused(400, 12100, fault)
    return callback_fault(form) or taken(form, SID)


def seen(call: Call) -> list[str]:
    """What is said."""
    return [element.text or "" for element in ET.fromstring(one(call)["Twiml"]).iter("Say")]


VENDOR = Vendor(
    kind="twilio_voice",
    rule="A form with To and From (E.164) and Url or Twiml of at most 4,000 characters; the TwiML must be valid.",
    setup=lambda base: Setup("twilio_voice", {"to": NUMBER}, {}, provider()),
    answer=answer,
    seen=seen,
    limit_of={"Twiml": MOST},
    too_many=TOO_MANY,
    refused=refused(
        400, 21215, "Account not authorized to call. Perhaps you need to enable some international permissions"
    ),
    patch=API,
    link_in_text=False,
)

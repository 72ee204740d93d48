"""How does a Teams workflow judge a card, and what do people read of it? (learn.microsoft.com: Adaptive Cards, Power Automate)"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

FLOW, SIGNATURE = "0123456789abcdef0123456789abcdef", "c-3iiBjByin64STF8bVGeRrjAu6qhGR7QAs"  # scan: allowed
PATH = f"/powerautomate/automations/direct/workflows/{FLOW}/triggers/manual/paths/invoke"
BYTES = 28 * 1024
STYLES = ("default", "emphasis", "good", "attention", "warning", "accent")
ELEMENTS = ("TextBlock", "RichTextBlock", "Container", "ColumnSet", "FactSet", "ActionSet", "Image")


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """202 as soon as the trigger has it, or an error of Power Automate's. What would fail later is refused here."""
    if call.path != PATH:
        return refused(404, "WorkflowNotFound", "The workflow 'x' could not be found.")
    if call.query.get("sig") != [SIGNATURE]:
        return refused(
            401, "DirectApiAuthorizationRequired", "The request must be authenticated only by Shared Access scheme."
        )
    given = object_in(call)
    if (
        call.method != "POST"
        or given is None
        or not call.headers.get("content-type", "").startswith("application/json")
    ):
        return refused(
            400, "TriggerInputSchemaMismatch", "The input body for trigger 'manual' did not match its schema."
        )
    if len(call.body) > BYTES:
        return refused(413, "RequestEntityTooLarge", "Message size too large")
    try:
        if given["type"] != "message":
            raise ValueError("type")
        for attachment in given["attachments"]:
            if attachment["contentType"] != "application/vnd.microsoft.card.adaptive":
                raise ValueError("contentType")
            card(attachment["content"])
    except (KeyError, TypeError, ValueError) as error:
        return refused(400, "TriggerInputSchemaMismatch", f"The card is not valid: {error}")
    return 202, {}, b""


def card(given: dict[str, Any]) -> None:
    """Refuse what is no Adaptive Card that Teams shows."""
    if given["type"] != "AdaptiveCard" or tuple(map(int, given["version"].split("."))) > (1, 5):
        raise ValueError("version")
    if not given["body"]:
        raise ValueError("empty")
    for element in given["body"]:
        _element(element)
    for action in given.get("actions", []):
        if action["type"] != "Action.OpenUrl" or not action["title"] or not re.match(r"https?://", action["url"]):
            raise ValueError("action")
        if action.get("style", "default") not in ("default", "positive", "destructive"):
            raise ValueError("style of an action")


def _element(given: dict[str, Any]) -> None:
    if given["type"] not in ELEMENTS:
        raise ValueError(given["type"])
    if given.get("style", "default") not in STYLES:
        raise ValueError("style")
    for inner in given.get("items", []) + [item for column in given.get("columns", []) for item in column["items"]]:
        _element(inner)
    if given["type"] == "TextBlock" and not given["text"]:
        raise ValueError("TextBlock without text")
    if given["type"] == "RichTextBlock" and not all(
        run["type"] == "TextRun" and run["text"] for run in given["inlines"]
    ):
        raise ValueError("TextRun without text")


def rendered(text: str) -> str:
    """What people read of a TextBlock, which is markdown; a TextRun is read as it is."""
    text = re.sub(r"\[([^\]]*)\]\(([^)]*)\)", r"\1 \2", text)
    return re.sub(r"[*_~`]|<[^>]*>", "", text)


def _texts(given: dict[str, Any]) -> list[str]:
    if given["type"] == "TextBlock":
        return [rendered(given["text"])]
    if given["type"] == "RichTextBlock":
        return ["".join(run["text"] for run in given["inlines"])]
    inner = given.get("items", []) + [item for column in given.get("columns", []) for item in column["items"]]
    facts = [rendered(f"{fact['title']} {fact['value']}") for fact in given.get("facts", [])]
    return facts + [text for item in inner for text in _texts(item)]


def seen(call: Call) -> list[str]:
    """Every text of the card and its buttons."""
    given = call.json()["attachments"][0]["content"]
    return [text for element in given["body"] for text in _texts(element)] + [a["title"] for a in given["actions"]]


def refused(status: int, code: str, message: str) -> tuple[int, dict[str, str], bytes]:
    """One of Power Automate's errors."""
    return said(status, {"error": {"code": code, "message": message}})


VENDOR = Vendor(
    kind="msteams",
    rule="A message with Adaptive Cards of version 1.5 at most, 28 KB with everything; 202 before anything is posted; markdown in TextBlocks.",
    setup=lambda base: Setup(
        "msteams", {}, {"url": f"{base}{PATH}?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={SIGNATURE}"}
    ),
    answer=answer,
    seen=seen,
    limit_of={"bytes": BYTES},
    too_many=(
        429,
        {"Content-Type": "application/json", "Retry-After": "7"},
        json.dumps(
            {"error": {"code": "TooManyRequests", "message": "Rate limit is exceeded. Try again in 7 seconds."}}
        ).encode(),
    ),
    refused=refused(404, "WorkflowNotFound", "The workflow could not be found."),
)

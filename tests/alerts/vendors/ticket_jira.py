"""How does Jira Cloud judge REST v3? One project OPS, one issue 10000 (OPS-24). (developer.atlassian.com/cloud/jira/platform/rest/v3)"""

from __future__ import annotations

import base64
from typing import Any

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

EMAIL, TOKEN = "robot@example.com", "ATATT3xFfGF0exampleexample"
LOGIN = base64.b64encode(f"{EMAIL}:{TOKEN}".encode()).decode()
KNOWN = "watchkeeper-known-1"  # the label of an issue that is there already
MOVES = [
    {"id": "11", "name": "Start work", "to": {"name": "In Progress", "statusCategory": {"key": "indeterminate"}}},
    {"id": "31", "name": "Close", "to": {"name": "Done", "statusCategory": {"key": "done"}}},
]


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """201 for what is made, 204 for a move, its error object for the rest."""
    if call.headers.get("authorization") != f"Basic {LOGIN}":
        return said(401, {"errorMessages": ["Client must be authenticated to access this resource."], "errors": {}})
    route = (call.method, call.path.removeprefix("/rest/api/3"))
    if route[0] == "POST" and "json" not in call.headers.get("content-type", ""):
        return said(415, {"errorMessages": ["Unsupported Media Type"], "errors": {}})
    given = object_in(call) if call.method == "POST" else {}
    if given is None:
        return refused(errorMessages=["There was an error parsing JSON. Check that your request body is valid."])
    if route == ("POST", "/issue"):
        return _create(given.get("fields", {}))
    if route == ("POST", "/search/jql"):
        if not given.get("fields"):
            return refused(errorMessages=["fields are required"])
        found = [{"id": "10000", "key": "OPS-24", "fields": {}}] if f'labels = "{KNOWN}"' in given["jql"] else []
        return said(200, {"issues": found, "isLast": True})
    if not route[1].startswith("/issue/10000"):
        return said(
            404, {"errorMessages": ["Issue does not exist or you do not have permission to see it."], "errors": {}}
        )
    action = route[1].removeprefix("/issue/10000")
    if route[0] == "POST" and action == "/comment":
        wrong = _document(given.get("body"))
        return refused(errors={"comment": wrong}) if wrong else said(201, {"id": "10001", "body": given["body"]})
    if action == "/transitions":
        if route[0] == "GET":
            return said(200, {"expand": "transitions", "transitions": MOVES})
        known = given.get("transition", {}).get("id") in [move["id"] for move in MOVES]
        return (
            (204, {}, b"")
            if known
            else refused(errorMessages=["It seems that you have tried to perform an illegal operation."])
        )
    if route[0] == "GET" and not action:
        return said(
            200,
            {"id": "10000", "key": "OPS-24", "fields": {"status": {"name": "To Do", "statusCategory": {"key": "new"}}}},
        )
    return said(405, {})


def _create(fields: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    errors = {}
    if fields.get("project", {}).get("key") != "OPS":
        errors["project"] = "valid project is required"
    if fields.get("issuetype", {}).get("name") not in ("Task", "Bug", "Incident"):
        errors["issuetype"] = "Specify a valid issue type"
    summary = fields.get("summary", "")
    if not summary.strip():
        errors["summary"] = "You must specify a summary of the issue."
    elif "\n" in summary or len(summary) > 255:
        errors["summary"] = (
            "Summary must be less than 255 characters." if len(summary) > 255 else "newline characters are not allowed."
        )
    if any(" " in label or len(label) > 255 for label in fields.get("labels", [])):
        errors["labels"] = "The label contains spaces which is invalid."
    wrong = _document(fields.get("description"))
    if wrong:
        errors["description"] = wrong
    return (
        refused(errors=errors)
        if errors
        else said(201, {"id": "10000", "key": "OPS-24", "self": "https://x/rest/api/3/issue/10000"})
    )


def _document(value: Any) -> str:
    """What is wrong with a document; "" when nothing is."""
    if (
        not isinstance(value, dict)
        or (value.get("type"), value.get("version")) != ("doc", 1)
        or not value.get("content")
    ):
        return "Operation value must be an Atlassian Document (see the Atlassian Document Format)"
    texts = _texts(value)
    if not texts or any(not text for text in texts) or sum(map(len, texts)) > 32_767:
        return "INVALID_INPUT"
    return ""


def _texts(node: Any) -> list[str]:
    if node.get("type") == "text":
        assert all(mark["type"] == "link" and mark["attrs"]["href"] for mark in node.get("marks", []))
        return [node["text"]]
    return [text for child in node.get("content", []) for text in _texts(child)]


def refused(**body: Any) -> tuple[int, dict[str, str], bytes]:
    """Its 400."""
    return said(400, {"errorMessages": [], "errors": {}, **body})


def seen(call: Call) -> list[str]:
    """The issue's summary and description, or the comment."""
    given = object_in(call) or {}
    fields = given.get("fields", {})
    shown = [fields["summary"], *_texts(fields["description"])] if isinstance(fields, dict) and fields else []
    return shown + (_texts(given["body"]) if "body" in given else [])


VENDOR = Vendor(
    kind="ticket_jira",
    rule="A summary is one line of at most 255; descriptions and comments are Atlassian documents with no empty text.",
    setup=lambda base: Setup("ticket_jira", {"project": "OPS", "url": base, "email": EMAIL}, {"token": TOKEN}),
    answer=answer,
    seen=seen,
    limit_of={"summary": 255, "description": 32_767},
    refused=said(
        403, {"errorMessages": ["You do not have permission to create issues in this project."], "errors": {}}
    ),
)

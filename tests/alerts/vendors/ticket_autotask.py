"""How does Autotask judge REST V1.0? One company, one ticket 4711 (T20261121.0001). It says 500 to a wrong field."""

from __future__ import annotations

import re
from typing import Any

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

USER, SECRET, CODE = "robot@example.com", "Zx9exampleSecret0", "ABCDEFGHIJKLMNOPQRSTUVWXYZ1"
KNOWN = "watchkeeper-known-1"


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """200 and an itemId; 401; 500 with `errors` for a field."""
    own = {"apiintegrationcode": CODE, "username": USER, "secret": SECRET}
    if any(call.headers.get(name) != value for name, value in own.items()):
        return said(401, {"errors": ["Unauthorized"]})
    route, given = (call.method, call.path.removeprefix("/ATServicesRest/V1.0")), object_in(call) or {}
    if route == ("POST", "/Tickets"):
        return _create(given)
    if route == ("POST", "/Tickets/query"):
        (rule,) = given["filter"]
        hit = rule == {"op": "eq", "field": "externalID", "value": KNOWN}
        return said(200, {"items": [{"id": 4711, "ticketNumber": "T20261121.0001"}] if hit else [], "pageDetails": {}})
    if route == ("PATCH", "/Tickets"):
        if given.get("id") != 4711:
            return said(404, {"errors": ["No matching records found"]})
        return (
            said(200, {"itemId": 4711})
            if given.get("status") in (1, 5)
            else invalid("Value for field 'status' is not valid")
        )
    if route == ("GET", "/Tickets/4711"):
        return said(200, {"item": {"id": 4711, "ticketNumber": "T20261121.0001"}})
    if route == ("POST", "/Tickets/4711/Notes"):
        missing = [name for name in ("title", "description", "noteType", "publish") if not given.get(name)]
        if missing or len(given["title"]) > 250 or len(given["description"]) > 32_000:
            return invalid(f"Required field missing or too long: {missing}")
        return said(200, {"itemId": 1})
    return said(404, {"errors": ["No matching records found"]})


def _create(ticket: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    if any(not ticket.get(name) for name in ("companyID", "title", "status", "priority", "dueDateTime", "queueID")):
        return invalid("Required field missing")
    if ticket["companyID"] != 29762838:
        return invalid("Value for field 'companyID' does not exist")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", ticket["dueDateTime"]):
        return invalid("Value for field 'dueDateTime' is not valid")
    for name, most in (("title", 255), ("description", 8000), ("externalID", 50)):
        if len(ticket.get(name, "")) > most:
            return invalid(f"Value for field '{name}' exceeds {most} characters")
    return said(200, {"itemId": 4711})


def invalid(why: str) -> tuple[int, dict[str, str], bytes]:
    """What it says to a field that it does not like."""
    return said(500, {"errors": [why]})


def seen(call: Call) -> list[str]:
    """Title and description."""
    given = object_in(call) or {}
    return [str(given[name]) for name in ("title", "description") if name in given]


VENDOR = Vendor(
    kind="ticket_autotask",
    rule="A ticket has company, title (<= 255), status, priority, due date and queue; a wrong field is a 500 with its name.",
    setup=lambda base: Setup(
        "ticket_autotask",
        {"company_id": "29762838", "queue_id": "29682833", "url": f"{base}/ATServicesRest", "user": USER},
        {"secret": SECRET, "integration_code": CODE},
    ),
    answer=answer,
    seen=seen,
    limit_of={"title": 255, "description": 8000, "externalID": 50},
    refused=said(401, {"errors": ["Unauthorized"]}),
)

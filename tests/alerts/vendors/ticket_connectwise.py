"""How does ConnectWise PSA judge a service ticket? One company, one board, one ticket 4711. (developer.connectwise.com)"""

from __future__ import annotations

import base64
from typing import Any

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

CLIENT = "01234567-89ab-4cde-8f01-23456789abcd"
OWN = {"login_company": "acme_msp", "public_key": "qZexamplePublic0", "client_id": CLIENT}
PRIVATE = "Ab3examplePrivate9"
LOGIN = base64.b64encode(f"acme_msp+qZexamplePublic0:{PRIVATE}".encode()).decode()
KNOWN = "watchkeeper-known-1"
ROOT = "/v4_6_release/apis/3.0/service/tickets"


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """201 for what is made, 200 for a patch, its error object for the rest."""
    if call.headers.get("authorization") != f"Basic {LOGIN}" or call.headers.get("clientid") != CLIENT:
        return said(401, {"code": "Unauthorized", "message": "Unauthorized"})
    if (call.method, call.path) == ("GET", ROOT):
        found = [{"id": 4711}] if call.query.get("conditions") == [f'externalXRef="{KNOWN}"'] else []
        return said(200, found)
    if (call.method, call.path) == ("POST", ROOT):
        return _create(object_in(call) or {})
    if not call.path.startswith(f"{ROOT}/4711"):
        return said(404, {"code": "NotFound", "message": "Ticket not found"})
    if call.method == "POST" and call.path.endswith("/notes"):
        note = object_in(call) or {}
        flags = [note.get(name) for name in ("detailDescriptionFlag", "internalAnalysisFlag", "resolutionFlag")]
        if not note.get("text") or not any(flags):
            return invalid("note", [("text", "Text and one of the note flags are required.")])
        return said(201, {"id": 1, "ticketId": 4711, **note})
    if call.method == "PATCH" and call.path == f"{ROOT}/4711":
        operations = call.json()
        if not isinstance(operations, list) or any(
            o.get("op") != "replace" or o.get("path") != "status" for o in operations
        ):
            return said(400, {"code": "InvalidObject", "message": "Patch operations are a list"})
        name = operations[0]["value"]["name"]
        return (
            said(200, {"id": 4711})
            if name in ("Closed", ">Closed")
            else invalid("ticket", [("status", "Status is not valid for this board.")])
        )
    return said(405, {})


def _create(ticket: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    wrong = []
    if not ticket.get("summary") or len(ticket["summary"]) > 100:
        wrong.append(("summary", "The summary field must have 1 to 100 characters."))
    if ticket.get("company", {}).get("identifier") != "AcmeCorp":
        wrong.append(("company", "The company field is required."))
    if ticket.get("board", {"name": "Monitoring"}).get("name") != "Monitoring":
        wrong.append(("board", "Could not find board."))
    if len(ticket.get("externalXRef", "")) > 100:
        wrong.append(("externalXRef", "The field externalXRef must have at most 100 characters."))
    return invalid("ticket", wrong) if wrong else said(201, {"id": 4711, **ticket})


def invalid(resource: str, wrong: list[tuple[str, str]]) -> tuple[int, dict[str, str], bytes]:
    """Its 400."""
    errors = [{"code": "InvalidField", "message": why, "resource": resource, "field": name} for name, why in wrong]
    return said(400, {"code": "InvalidObject", "message": f"{resource} object is invalid", "errors": errors})


def seen(call: Call) -> list[str]:
    """Summary, description, note."""
    given = object_in(call) or {}
    return [str(given[name]) for name in ("summary", "initialDescription", "text") if name in given]


VENDOR = Vendor(
    kind="ticket_connectwise",
    rule="A summary has at most 100 characters; a note has one of three flags; a status is patched by its name.",
    setup=lambda base: Setup(
        "ticket_connectwise",
        {"company": "AcmeCorp", "board": "Monitoring", "url": base, **OWN},
        {"private_key": PRIVATE},
    ),
    answer=answer,
    seen=seen,
    limit_of={"summary": 100, "externalXRef": 100},
    refused=said(403, {"code": "Forbidden", "message": "Insufficient permissions"}),
)

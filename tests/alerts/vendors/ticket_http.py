"""How might any ticket system with a JSON API judge? One with tickets by our key: open, comment, close."""

from __future__ import annotations

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

TOKEN = "Bearer tickets-secret-0001"  # scan: allowed


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """201 and the ticket, 200 for the rest; an error has `message`."""
    if call.headers.get("authorization") != TOKEN:
        return said(401, {"message": "Who are you?"})
    given = object_in(call)
    if given is None or "json" not in call.headers.get("content-type", ""):
        return said(400, {"message": "JSON please"})
    parts = call.path.strip("/").split("/")
    if (call.method, call.path) == ("POST", "/api/tickets"):
        if not given.get("title") or len(given["title"]) > 250 or not given.get("external_id"):
            return said(422, {"message": "title (<= 250) and external_id are required"})
        return said(201, {"data": {"ticket": {"id": 4711, "number": "T-4711"}}})
    if parts[:2] != ["api", "tickets"] or len(parts) not in (3, 4):
        return said(404, {"message": "No such address"})
    if call.method == "POST" and parts[3:] == ["comments"]:
        return said(200, {"ok": True}) if given.get("comment") else said(422, {"message": "comment is required"})
    if call.method == "PATCH" and not parts[3:]:
        return (
            said(200, {"ok": True}) if given.get("status") == "closed" else said(422, {"message": "status is unknown"})
        )
    return said(405, {"message": "Not so"})


def seen(call: Call) -> list[str]:
    """The texts."""
    given = object_in(call) or {}
    return [str(given[name]) for name in ("title", "description", "comment") if name in given]


VENDOR = Vendor(
    kind="ticket_http",
    rule="POST opens with title and external_id, POST …/comments comments, PATCH closes.",
    setup=lambda base: Setup(
        "ticket_http",
        {
            "url": f"{base}/api/tickets",
            "comment_url": f"{base}/api/tickets/{{{{key}}}}/comments",
            "close_url": f"{base}/api/tickets/{{{{key}}}}",
            "id_path": "data.ticket.id",
            "number_path": "data.ticket.number",
        },
        {"authorization": TOKEN},
    ),
    answer=answer,
    seen=seen,
    limit_of={"title": 250},
    refused=said(403, {"message": "Not yours"}),
)

"""How does HaloPSA judge tickets and actions? A token first; one client 12, one ticket 4711; texts are HTML."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import said
from tests.rig.calls import Call

CLIENT, SECRET, TOKEN = (
    "0a1b2c3d-0000-4000-8000-000000000000",
    "halo-example-secret-0001",
    "eyJhbGciOiJ.token.of-the-day",
)
KNOWN = "watchkeeper-known-1"


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """A token for client credentials; 201 for what is made or changed."""
    if (call.method, call.path) == ("POST", "/auth/token"):
        form = {name: values[0] for name, values in call.form().items()}
        if (form.get("client_id"), form.get("client_secret"), form.get("grant_type")) != (
            CLIENT,
            SECRET,
            "client_credentials",
        ):
            return said(
                400, {"error": "invalid_client", "error_description": "The specified client credentials are invalid."}
            )
        return said(200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})
    if call.headers.get("authorization") != f"Bearer {TOKEN}":
        return said(401, {"message": "Unauthorized"})
    if (call.method, call.path) == ("GET", "/api/Tickets"):
        wanted = call.query.get("search", [""])[0]
        near = {"id": 4700, "details_html": f"<p>{KNOWN}1</p>"}  # a search finds what only looks alike, too
        hits = [near, {"id": 4711, "details_html": f"<p>x<br>{KNOWN}</p>"}] if wanted == KNOWN else [near]
        return said(200, {"record_count": len(hits), "tickets": hits})
    given = call.json() if call.method == "POST" else None
    if not isinstance(given, list) or len(given) != 1:
        return said(400, {"message": "A list of one is expected"})
    one = given[0]
    if call.path == "/api/Tickets" and "id" in one:
        if one["id"] != 4711:
            return said(404, {"message": "Ticket not found"})
        return said(201, one) if isinstance(one.get("status_id"), int) else said(400, {"message": "status_id"})
    if call.path == "/api/Tickets":
        if (
            not one.get("summary")
            or len(one["summary"]) > 255
            or one.get("client_id") != 12
            or not one.get("details_html")
        ):
            return said(400, {"message": "Please choose a client and enter a summary"})
        return said(201, {"id": 4711, **one})
    if call.path == "/api/Actions":
        if one.get("ticket_id") != 4711:
            return said(404, {"message": "Ticket not found"})
        return (
            said(201, {"id": 2, **one})
            if one.get("outcome") and one.get("note_html")
            else said(400, {"message": "outcome"})
        )
    return said(404, {"message": "Not found"})


class _Shown(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags = "", set[str]()

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self.text += " "


def shown(html: str) -> str:
    """What a person sees of it; only paragraphs and line breaks may be markup."""
    parser = _Shown()
    parser.feed(html)
    parser.close()
    assert parser.tags <= {"p", "br"}, f"a name became markup: {parser.tags}"
    assert not re.search(r"<(?!/?(p|br)>)", html)
    return unescape(parser.text)


def seen(call: Call) -> list[str]:
    """Summary, description, note, as shown."""
    if call.path == "/auth/token" or call.method != "POST":
        return []
    one = call.json()[0]
    return [one[name] for name in ("summary",) if name in one] + [
        shown(one[n]) for n in ("details_html", "note_html") if n in one
    ]


VENDOR = Vendor(
    kind="ticket_halopsa",
    rule="A token by client credentials, then lists of one: tickets with a client and a summary, actions with an outcome.",
    setup=lambda base: Setup(
        "ticket_halopsa", {"customer_id": "12", "url": base, "client_id": CLIENT}, {"client_secret": SECRET}
    ),
    answer=answer,
    seen=seen,
    limit_of={"summary": 255},
    refused=said(403, {"message": "Forbidden"}),
)

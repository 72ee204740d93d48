"""Assistants: every tool × role × scope, on Acme's own and by another client's people.

A tool is one call of the API, so what it asks for is read from the API's own view; listed is what a token can use at all,
and what is not listed is refused when it is called nevertheless.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from console.mcp.catalogue import TOOLS, Tool
from console.mcp.schemas import inputs
from portal.models.people import SCOPES
from portal.tenancy import MAY, READ
from tests import cast
from tests.matrix.asking import Caller, Said, Tally, with_token
from tests.matrix.locks import LET_IN, REFUSED, UNKNOWN
from tests.matrix.roles import EVERYBODY, PEOPLE, Who
from tests.matrix.stage import Stage
from tests.test_roles import carried_by, needs

pytestmark = [pytest.mark.once, pytest.mark.django_db]
SAMPLES: dict[str, Any] = {"string": "x", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
CODES = {"forbidden": REFUSED, "not_found": UNKNOWN}


def address(tool: Tool) -> str:
    """The API's address of the tool, as tests/test_tenancy.py's ROUTES write it."""
    return "api/v1/" + tool.path.replace("{id}", "{pk}").rstrip("/")


def arguments(tool: Tool, stage: Stage) -> dict[str, Any]:
    """The least that the tool takes, about Acme: its row, or Acme named in what is made."""
    schema = inputs()[tool.name].schema
    given = {name: SAMPLES.get(schema["properties"][name].get("type", "string"), "x") for name in schema.get("required", ())}  # fmt: skip
    if "{id}" in tool.path:
        given["id"] = stage.values[address(tool)]["pk"]
    if "client" in schema["properties"] and not tool.reads:
        given["client"] = cast.acme().pk
    if "monitor" in given:
        given["monitor"] = stage.monitor
    return given


def message(method: str, params: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def call(caller: Caller, tool: Tool, given: dict[str, Any]) -> Said:
    """The answer to tools/call, with the status that the API gave inside."""
    said = caller.ask(
        "post", "/mcp", message("tools/call", {"name": tool.name, "arguments": given}), "application/json"
    )
    if said.status != 200:
        return said
    result = json.loads(said.text)["result"]
    error = result["structuredContent"].get("error", {}) if result["isError"] else {}
    status = {REFUSED: 403, UNKNOWN: 404}.get(CODES.get(error.get("code", ""), ""), 400 if error else 200)
    return Said(status, "", said.text, said.wrote)


def expected(tool: Tool, who: Who, scopes: frozenset[str]) -> str:
    verb = needs("/" + address(tool).replace("{pk}", "1"), tool.method.lower())[0]
    if verb not in scopes:
        return REFUSED
    if ("{id}" in tool.path or "monitor" in inputs()[tool.name].schema.get("required", ())) and who.elsewhere:
        return UNKNOWN
    if verb == READ and "{id}" not in tool.path:
        return LET_IN
    return LET_IN if verb in MAY.get(who.role, frozenset()) else REFUSED


def usable(tool: Tool, who: Who, scopes: frozenset[str]) -> bool:
    """Has the token any use for the tool?"""
    verb = needs("/" + address(tool).replace("{pk}", "1"), tool.method.lower())[0]
    return verb in scopes and verb in MAY.get(who.role, frozenset())


def callers() -> list[tuple[str, Who, Caller, frozenset[str]]]:
    """Each role with a token for everything, and staff with each scope alone."""
    every = [(who.name, who, with_token(who.make(), *SCOPES), frozenset(SCOPES)) for who in PEOPLE if who.make]
    staff = next(who for who in PEOPLE if who.name == "staff")
    return every + [(f"staff with {s}", staff, with_token(cast.make_staff(), s), carried_by(s)) for s in SCOPES]


def test_every_tool_is_listed_for_whom_it_is_and_refused_to_everybody_else():
    stage, tally = Stage(), Tally("MCP tools")
    for name, who, caller, scopes in callers():
        listing = caller.ask("post", "/mcp", message("tools/list", {}), "application/json")
        listed = {t["name"] for t in json.loads(listing.text)["result"]["tools"]} if listing.status == 200 else set()
        wanted = {t.name for t in TOOLS if usable(t, who, scopes)} if READ in scopes else set()
        if listed != wanted:
            tally.wrong.append(f"{name}: listed {sorted(listed - wanted)} too many, {sorted(wanted - listed)} too few")
        for tool in TOOLS:
            said = call(caller, tool, arguments(tool, stage))
            answer = expected(tool, who, scopes) if READ in scopes else REFUSED
            may_write = answer == LET_IN and not tool.reads and not who.elsewhere
            tally.note(tool.name, f"{tool.name} by {name}", answer, said, may_write=may_write)
            if who.elsewhere and re.search(r"acme", said.text, re.I):
                tally.wrong.append(f"{tool.name} by {name} speaks of Acme: {said.text[:300]}")
    for who in EVERYBODY:  # a browser's session is no token
        tally.note("mcp", f"session of {who.name}", "sign in", stage.callers[who].ask("post", "/mcp", message("ping", {}), "application/json"))  # fmt: skip
    tally.judge()

"""An assistant works through the night: it finds what is wrong and why, takes an alert, and is refused whatever its token may not."""

from __future__ import annotations

import asyncio
import json

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from rest_framework.settings import api_settings

from alerts.models import Alert, Silence
from console.mcp import calling, protocol
from console.mcp.catalogue import TOOLS
from console.mcp.schemas import inputs
from portal.models.people import SCOPES
from tests import cast

pytestmark = pytest.mark.once
MODERN = "2026-07-28"


def send(api, method, params=None, *, modern=False, number=1, **headers):
    """One message as a client would post it."""
    params = dict(params or {})
    if modern:
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        headers = {"HTTP_MCP_PROTOCOL_VERSION": MODERN, "HTTP_MCP_METHOD": method, **headers}
        if "name" in params:
            headers.setdefault("HTTP_MCP_NAME", params["name"])
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return api.post("/mcp", body, format="json", **{k: v for k, v in headers.items() if v is not None})


def tool(api, name, **arguments):
    """(is it an error, what it said)"""
    answer = send(api, "tools/call", {"name": name, "arguments": arguments}).json()
    assert "result" in answer, answer
    result = answer["result"]
    assert json.loads(result["content"][0]["text"]) == (
        result["structuredContent"].get("items")
        if set(result["structuredContent"]) == {"items"}
        else result["structuredContent"]
    )
    return result["isError"], result["structuredContent"]


# --- With the official client ----------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_finds_an_alert_and_takes_it(live_server, mode):
    alert = cast.alert()
    key = cast.token(cast.make_staff(), "read", "ack")

    async def night():
        async with (
            httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, trust_env=False) as line,
            Client(streamable_http_client(f"{live_server.url}/mcp", http_client=line), mode=mode) as client,
        ):
            names = {t.name for t in (await client.list_tools()).tools}
            wrong = await client.call_tool("list_active_alerts", {})
            taken = await client.call_tool("acknowledge_alert", {"id": wrong.structured_content["results"][0]["id"]})
            return names, taken

    names, taken = asyncio.run(night())
    assert {"list_active_alerts", "acknowledge_alert", "get_diagnosis", "get_run"} <= names
    assert not taken.is_error, taken
    alert.refresh_from_db()
    assert alert.status == Alert.Status.ACKNOWLEDGED


# --- Same tokens, same tenancy ---------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_without_a_usable_token_nobody_answers(client):
    assert send(cast.api(cast.make_staff()), "ping").json()["result"] == {}
    answer = client.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping"}, content_type="application/json")
    assert answer.status_code == 401 and answer["WWW-Authenticate"].startswith("Bearer")
    client.force_login(cast.make_owner())
    answer = client.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "ping"}, content_type="application/json")
    assert answer.status_code == 401, "a browser's session is no token"
    assert client.get("/mcp").status_code in (401, 405) and client.delete("/mcp").status_code in (401, 405)


@pytest.mark.django_db
def test_another_clients_alert_does_not_exist():
    alert = cast.alert()
    wrong, said = tool(cast.api(cast.mallory(), "read", "ack"), "get_alert", id=alert.pk)
    assert wrong and said["error"]["code"] == "not_found"
    wrong, said = tool(cast.api(cast.mallory(), "read", "ack"), "acknowledge_alert", id=alert.pk)
    assert wrong and said["error"]["code"] == "not_found"
    assert tool(cast.api(cast.mallory(), "read"), "list_alerts")[1]["results"] == []
    assert [a["id"] for a in tool(cast.api(cast.make_staff(), "read"), "list_alerts")[1]["results"]] == [alert.pk]


@pytest.mark.django_db
def test_a_tokens_scopes_say_which_tools_there_are_and_are_asked_again_at_the_call():
    reader = cast.api(cast.make_staff(), "read")
    tools = send(reader, "tools/list").json()["result"]["tools"]
    assert tools and all(t["annotations"]["readOnlyHint"] for t in tools)
    wrong, said = tool(reader, "pause_monitor", id=cast.monitor().pk)
    assert wrong and "lacks the scope" in said["error"]["message"]
    every = send(cast.api(cast.make_owner(), *SCOPES), "tools/list").json()["result"]["tools"]
    assert {t["name"] for t in every} == {t.name for t in TOOLS}


@pytest.mark.django_db
def test_no_tool_lets_a_playbook_act():
    every = {t["name"] for t in send(cast.api(cast.make_owner(), *SCOPES), "tools/list").json()["result"]["tools"]}
    assert {"list_runs", "get_run", "list_playbooks"} <= every
    for t in TOOLS:
        assert t.reads or not t.path.startswith(("playbook", "tokens", "users", "memberships", "provider")), t.name


# --- What it does ------------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_silence_is_made_shown_and_ended():
    api = cast.api(cast.make_staff(), "read", "write")
    wrong, made = tool(
        api, "create_silence", reason="Deploy", matchers={"entity_id": "7"}, duration_seconds=600, client=cast.acme().pk
    )
    assert not wrong and Silence.objects.get().reason == "Deploy", made
    assert tool(api, "get_silence", id=made["id"])[1]["state"] == "active"
    assert not tool(api, "delete_silence", id=made["id"])[0]
    assert tool(api, "get_silence", id=made["id"])[1]["state"] in ("cancelled", "ended")


@pytest.mark.django_db
def test_what_the_api_refuses_is_said_with_field_and_cure():
    api = cast.api(cast.make_staff(), "read", "write")
    wrong, said = tool(api, "create_silence", matchers={})
    assert wrong and said["error"]["message"] == "create_silence needs reason."
    wrong, said = tool(api, "create_silence", matchers={}, reason="x", until="tomorrow")
    assert wrong and "does not take until; it takes client, reason" in said["error"]["message"]
    wrong, said = tool(api, "create_silence", matchers={}, reason="x", duration_seconds=-1)
    assert wrong and "duration_seconds" in said["error"]["fields"]
    for nonsense in ("7/../../tokens", {"$gt": 0}, -1, True, "٣", "7" * 40):
        wrong, said = tool(api, "get_alert", id=nonsense)
        assert wrong and "number of the object" in said["error"]["message"], nonsense


@pytest.mark.django_db
def test_lists_are_filtered_and_cut_into_pages():
    first, second = cast.monitor(name="one"), cast.monitor(name="two")
    api = cast.api(cast.make_staff(), "read")
    page = tool(api, "list_monitors", limit=1)[1]
    assert len(page["results"]) == 1 and page["next"]
    both = {m["id"] for m in tool(api, "list_monitors", client=cast.acme().pk)[1]["results"]}
    assert {first.pk, second.pk} <= both


@pytest.mark.django_db
def test_an_answer_too_long_to_read_is_not_sent(monkeypatch):
    cast.monitor()
    monkeypatch.setattr("console.mcp.view.LONGEST_ANSWER", 100)
    wrong, said = tool(cast.api(cast.make_staff(), "read"), "list_monitors")
    assert wrong and "ask for less" in said["error"]["message"]


# --- The protocol ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def api(db):
    return cast.api(cast.make_staff(), "read")


def test_both_eras_are_spoken(api):
    old = send(
        api,
        "initialize",
        {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    )
    assert old.json()["result"]["protocolVersion"] == "2025-06-18" and "Mcp-Session-Id" not in old.headers
    unknown = send(api, "initialize", {"protocolVersion": "1999-01-01"})
    assert unknown.json()["result"]["protocolVersion"] == protocol.LEGACY[0]
    new = send(api, "server/discover", modern=True).json()["result"]
    assert new["supportedVersions"][0] == MODERN and new["resultType"] == "complete"
    assert new["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "watchkeeper"
    assert send(api, "tools/list", modern=True).json()["result"]["cacheScope"] == "private"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"HTTP_MCP_METHOD": "ping"}, -32020),
        ({"HTTP_MCP_METHOD": None}, -32020),
        ({"HTTP_MCP_PROTOCOL_VERSION": "2025-11-25"}, -32020),
        ({"HTTP_MCP_PROTOCOL_VERSION": None}, -32020),
        ({"HTTP_MCP_PROTOCOL_VERSION": "2031-01-01"}, -32022),
    ],
)
def test_headers_that_differ_from_the_body_are_refused(api, headers, code):
    answer = send(api, "tools/list", modern=True, **headers)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == code


def test_a_tools_name_in_the_header_has_to_be_the_bodys(api):
    named = {"name": "list_alerts", "arguments": {}}
    assert send(api, "tools/call", named, modern=True, HTTP_MCP_NAME="list_sites").json()["error"]["code"] == -32020
    assert send(api, "tools/call", named, modern=True, HTTP_MCP_NAME="=?base64?!?=").json()["error"]["code"] == -32020
    assert "result" in send(api, "tools/call", named, modern=True, HTTP_MCP_NAME="=?base64?bGlzdF9hbGVydHM=?=").json()


def test_unknown_methods_tools_and_notifications(api):
    assert send(api, "resources/list").json()["error"]["code"] == -32601
    assert send(api, "resources/list", modern=True).status_code == 404
    assert send(api, "tools/call", {"name": "rm"}).json()["error"]["code"] == -32602
    heard = api.post("/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"}, format="json")
    assert heard.status_code == 202 and heard.content == b""


@pytest.mark.parametrize(
    "body",
    [[], [{"jsonrpc": "2.0", "id": 1, "method": "ping"}], {}, {"id": 1, "method": "ping"}, "x", None, 7,
     {"jsonrpc": "2.0", "id": {}, "method": "ping"}, {"jsonrpc": "2.0", "id": 1, "method": 5}, {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}],
)  # fmt: skip
def test_what_is_no_message_is_refused(api, body):
    answer = api.post("/mcp", json.dumps(body), content_type="application/json")
    assert answer.status_code == 400 and "error" in answer.json(), answer.content


def test_other_sites_pages_may_not_call(api, settings):
    assert send(api, "ping", HTTP_ORIGIN="https://evil.example").status_code == 403
    assert send(api, "ping", HTTP_ORIGIN=settings.BASE_URL).status_code == 200


def test_calls_are_counted_as_the_api_calls_that_they_are(api, monkeypatch):
    monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, "token", "3/d")
    said = [tool(api, "list_sites") for _ in range(4)]
    assert [wrong for wrong, _ in said] == [False, False, False, True] and said[-1][1]["error"]["code"] == "throttled"
    assert send(api, "tools/list").status_code == 429


def test_every_tool_is_described_by_the_apis_own_documentation():
    for t in TOOLS:
        schema = inputs()[t.name].schema
        assert t.description and schema["type"] == "object" and calling.verb_of(t), t.name
        assert "$ref" not in json.dumps(schema), t.name
        places = set(calling.PLACE.findall(t.path))
        assert places == inputs()[t.name].path and places <= set(schema.get("required", ())), t.name

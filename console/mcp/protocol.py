"""What does the protocol ask of a server? JSON-RPC messages in, answers out; both eras: with a handshake and, since 2026-07-28,
without one. Source: the Model Context Protocol's specification, revisions 2025-03-26 to 2026-07-28 (transport: streamable HTTP).

Nothing is kept between requests: no sessions, no streams.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MODERN = ("2026-07-28",)
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26")
VERSION_KEY, SERVER_KEY = "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/serverInfo"
PARSE, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022
LIST_LIFE_MS = 300_000


@dataclass(frozen=True, slots=True)
class Server:
    """Who answers: its name and version, what it says of itself, its tools (as MCP lists them), and how one is called."""

    info: dict[str, str]
    instructions: str
    tools: Callable[[], list[dict[str, Any]]]
    call: Callable[[str, dict[str, Any]], dict[str, Any]]


class RpcError(Exception):
    """An error answer."""

    def __init__(self, code: int, message: str, *, status: int = 200, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.data = code, message, status, data


def handle(message: Any, headers: Mapping[str, str], server: Server) -> tuple[int, dict[str, Any] | None]:
    """(HTTP status, JSON body or None) for one message."""
    number = message.get("id") if isinstance(message, dict) else None
    try:
        _is_message(message)
        modern = _era(message, headers)
        if "method" not in message or "id" not in message:
            return 202, None  # a notification, or an answer to what was never asked: nothing to say
        result = _result(message["method"], message.get("params") or {}, server, modern)
        return 200, {"jsonrpc": "2.0", "id": number, "result": _finished(result, server) if modern else result}
    except RpcError as error:
        said: dict[str, Any] = {"code": error.code, "message": error.message}
        if error.data is not None:
            said["data"] = error.data
        return error.status, {"jsonrpc": "2.0", "id": number if isinstance(number, int | str) else None, "error": said}


def _is_message(message: Any) -> None:
    if isinstance(message, list):
        raise RpcError(INVALID_REQUEST, "Send one message a request; batches are not part of the protocol.", status=400)
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'Send a JSON-RPC message: an object with "jsonrpc": "2.0".', status=400)
    number = message.get("id", 0)
    if isinstance(number, bool) or not isinstance(number, int | str):
        raise RpcError(INVALID_REQUEST, "The id has to be a number or a string.", status=400)
    if not isinstance(message.get("method", ""), str):
        raise RpcError(INVALID_REQUEST, "The method has to be a string.", status=400)
    if not isinstance(message.get("params") or {}, dict):
        raise RpcError(INVALID_PARAMS, "The params have to be an object.", status=400)


def _era(message: dict[str, Any], headers: Mapping[str, str]) -> bool:
    """Is this a message of the era without a handshake? RpcError when header and body differ or the version is unknown."""
    meta = (message.get("params") or {}).get("_meta")
    named = meta.get(VERSION_KEY) if isinstance(meta, dict) else None
    header = headers.get("MCP-Protocol-Version")
    for version in (named, header):
        if version is not None and version not in (*MODERN, *LEGACY):
            known = {"supported": [*MODERN, *LEGACY], "requested": version}
            raise RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", status=400, data=known)
    if named not in MODERN and header not in MODERN:
        return False
    if "id" not in message:
        return True  # the headers of notifications are not defined
    _same("MCP-Protocol-Version", header, named)
    _same("Mcp-Method", headers.get("Mcp-Method"), message.get("method"))
    if message.get("method") == "tools/call":
        _same("Mcp-Name", _decoded(headers.get("Mcp-Name")), (message.get("params") or {}).get("name"))
    return True


def _same(name: str, header: str | None, body: Any) -> None:
    if header is None:
        raise RpcError(HEADER_MISMATCH, f"Header mismatch: {name} is missing.", status=400)
    if header != body:
        raise RpcError(HEADER_MISMATCH, f"Header mismatch: {name} is not what the body says.", status=400)


def _decoded(header: str | None) -> str | None:
    if header is None or not (header.startswith("=?base64?") and header.endswith("?=")):
        return header
    try:
        return base64.b64decode(header[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise RpcError(HEADER_MISMATCH, "Header mismatch: Mcp-Name cannot be decoded.", status=400) from None


def _result(method: str, params: dict[str, Any], server: Server, modern: bool) -> dict[str, Any]:
    if method == "initialize" and not modern:
        wanted = params.get("protocolVersion")
        version = wanted if wanted in LEGACY else LEGACY[0]
        return {
            "protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server.info, "instructions": server.instructions,
        }  # fmt: skip
    if method == "server/discover" and modern:
        return {
            "supportedVersions": [*MODERN, *LEGACY], "capabilities": {"tools": {}}, "instructions": server.instructions,
            "ttlMs": LIST_LIFE_MS, "cacheScope": "private",
        }  # fmt: skip
    if method == "ping":
        return {}
    if method == "tools/list":
        listed: dict[str, Any] = {"tools": server.tools()}
        return listed | ({"ttlMs": LIST_LIFE_MS, "cacheScope": "private"} if modern else {})
    if method == "tools/call":
        name, arguments = params.get("name"), params.get("arguments")
        if not isinstance(name, str) or not isinstance(arguments if arguments is not None else {}, dict):
            raise RpcError(INVALID_PARAMS, "tools/call takes a name and an object of arguments.")
        return server.call(name, arguments or {})
    raise RpcError(NO_METHOD, f"There is no method {method[:80]}.", status=404 if modern else 200)


def _finished(result: dict[str, Any], server: Server) -> dict[str, Any]:
    return {"resultType": "complete", **result, "_meta": {SERVER_KEY: server.info}}

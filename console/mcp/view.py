"""Where do assistants knock? POST /mcp with a token. A browser's session is not taken, and no other site's page may call."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from console.mcp import calling, protocol
from console.mcp.catalogue import BY_NAME
from console.mcp.protocol import INVALID_PARAMS, RpcError, Server
from console.mcp.schemas import inputs
from portal.api.authentication import BearerToken
from portal.api.parsing import Json
from portal.tenancy import viewer_of

INFO = {"name": "watchkeeper", "title": "Watchkeeper", "version": "1"}
INSTRUCTIONS = (
    "Watches clients' sites and tells people when something is wrong. Start with list_active_alerts. A verdict with low confidence or "
    "`unknown` is a guess: say so. Acknowledging stops the escalation to other people, so do it only when a person has said that they "
    "have it. Playbook runs are approved or denied by people alone, on the portal's own pages."
)
LONGEST_ANSWER = 200_000  # characters; more than an assistant can read


class Mcp(APIView):
    """The endpoint. Documented by its own protocol, so it is not in the API's schema."""

    authentication_classes = [BearerToken]
    parser_classes = [Json]
    schema = None
    required_scope = "read"  # each tool asks for its own

    def get_throttles(self) -> list[BaseThrottle]:
        """A call counts once, as the API call that it is."""
        data = self.request.data if self.request.method == "POST" else None
        return [] if isinstance(data, dict) and data.get("method") == "tools/call" else super().get_throttles()

    def post(self, request: Request) -> HttpResponse:
        """One message."""
        if not same_origin(request.headers.get("Origin", "")):
            return Response({"jsonrpc": "2.0", "id": None, "error": {"code": protocol.INVALID_REQUEST, "message": "Pages of other sites may not call this."}}, status=403)  # fmt: skip
        server = Server(INFO, INSTRUCTIONS, lambda: listed(request), lambda name, given: called(name, given, request))
        status, body = protocol.handle(request.data, request.headers, server)
        return HttpResponse(status=202) if body is None else Response(body, status=status)


def same_origin(origin: str) -> bool:
    """Programs send no Origin; of pages, only our own may call (DNS rebinding)."""
    return not origin or urlsplit(origin)[:2] == urlsplit(settings.BASE_URL)[:2]


def listed(request: Request) -> list[dict[str, Any]]:
    """What this token can use, as tools/list shows it."""
    return [
        {
            "name": tool.name, "title": tool.title, "description": tool.description,
            "inputSchema": inputs()[tool.name].schema, "annotations": tool.annotations(),
        }
        for tool in calling.allowed(viewer_of(request))
    ]  # fmt: skip


def called(name: str, arguments: dict[str, Any], request: Request) -> dict[str, Any]:
    """The result of tools/call. What the API refuses is a result with `isError`, so that the assistant can mend its call."""
    tool = BY_NAME.get(name)
    if tool is None:
        raise RpcError(INVALID_PARAMS, f"There is no tool {name[:80]!r}; tools/list names them.")
    try:
        status, body = calling.call(tool, arguments, request)
    except calling.BadArguments as error:
        status, body = 400, {"error": {"code": "invalid", "message": str(error), "fields": {}}}
    text = json.dumps(body, ensure_ascii=False)
    if len(text) > LONGEST_ANSWER:
        said = f"The answer is {len(text):,} characters long; ask for less, with `limit` or a filter."
        status, body = 413, {"error": {"code": "too_large", "message": said, "fields": {}}}
        text = json.dumps(body)
    structured = body if isinstance(body, dict) else {"items": body}  # before 2026-07-28 it had to be an object
    return {"content": [{"type": "text", "text": text}], "structuredContent": structured, "isError": status >= 400}

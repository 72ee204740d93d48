"""How is a tool called? As the API call that it is: the same view, token, scopes, throttle and answer, without a second connection."""

from __future__ import annotations

import functools
import io
import json
import re
from typing import Any
from urllib.parse import urlencode

from django.core.handlers.wsgi import WSGIRequest
from django.urls import resolve
from rest_framework.request import Request
from rest_framework.response import Response

from console.mcp.catalogue import TOOLS, Tool
from console.mcp.schemas import inputs
from portal.api.permissions import has_scope, may_anywhere
from portal.tenancy import READ, WRITE, Viewer

PLACE = re.compile(r"\{(\w+)\}")
NUMBER = re.compile(r"[0-9]{1,18}")


class BadArguments(Exception):
    """The arguments do not fit the tool; the message says which, and what would."""


def call(tool: Tool, arguments: dict[str, Any], request: Request) -> tuple[int, Any]:
    """(status, body) of the API for this token. Raises BadArguments."""
    path, query, body = parts(tool, arguments)
    inner = _request(request, tool.method, path, query, body)
    view = resolve(path)
    answer = view.func(inner, *view.args, **view.kwargs)
    if isinstance(answer, Response):
        answer.render()
        text = answer.content.decode()
        return answer.status_code, json.loads(text) if text else {}
    return answer.status_code, {"text": answer.content.decode("utf-8", "replace")}


def parts(tool: Tool, arguments: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """(path, query string, body) of the call. Raises BadArguments."""
    known = inputs()[tool.name]
    properties = known.schema["properties"]
    if strange := sorted(set(arguments) - set(properties)):
        takes = ", ".join(properties) or "nothing"
        raise BadArguments(f"{tool.name} does not take {', '.join(strange)}; it takes {takes}.")
    if missing := [name for name in known.schema.get("required", ()) if name not in arguments]:
        raise BadArguments(f"{tool.name} needs {', '.join(missing)}.")

    def part(match: re.Match[str]) -> str:
        value = arguments[match[1]]
        if isinstance(value, bool) or not NUMBER.fullmatch(str(value)):
            raise BadArguments(f"{match[1]} has to be the number of the object, as lists show it.")
        return str(value)

    path = "/api/v1/" + PLACE.sub(part, tool.path)
    asked = {k: _asked(v) for k, v in arguments.items() if k in known.query and v is not None}
    rest = {k: v for k, v in arguments.items() if k not in known.query and k not in known.path}
    return path, urlencode(asked, doseq=True), rest


def allowed(viewer: Viewer) -> list[Tool]:
    """The tools that this token's scopes and this person's roles can use at all."""
    return [tool for tool in TOOLS if has_scope(viewer, verb_of(tool)) and may_anywhere(viewer, verb_of(tool))]


@functools.cache
def verb_of(tool: Tool) -> str:
    """The scope that the API asks for this call."""
    view = resolve("/api/v1/" + PLACE.sub("1", tool.path)).func
    named = view.initkwargs if hasattr(view, "initkwargs") else {}
    key, otherwise = ("read_scope", READ) if tool.reads else ("required_scope", WRITE)
    return str(named.get(key) or getattr(view.cls, key, None) or otherwise)


def _asked(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _request(outer: Request, method: str, path: str, query: str, body: dict[str, Any]) -> WSGIRequest:
    raw = json.dumps(body).encode() if body else b""
    base = outer._request
    environ = {k: v for k, v in base.META.items() if not k.startswith("HTTP_COOKIE")}
    environ |= {
        "REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": query, "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(raw)), "HTTP_ACCEPT": "application/json", "wsgi.input": io.BytesIO(raw),
    }  # fmt: skip
    inner = WSGIRequest(environ)
    inner.request_id = getattr(base, "request_id", "")  # type: ignore[attr-defined]
    inner.user = base.user
    return inner

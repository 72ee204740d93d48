"""What does a refusal look like? {"error": {"code", "message", "fields": {"config.url": ["…"]}}}, always."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pydantic
from django.core import exceptions as django_errors
from django.db import IntegrityError
from django.db.transaction import get_connection
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.response import Response

from portal.errors import Refused

log = logging.getLogger("watchkeeper.api")

BODY = "body"  # the key of what concerns the body as a whole
CODES = {
    400: "invalid", 401: "not_authenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    406: "not_acceptable", 409: "refused", 413: "too_large", 415: "unsupported_media_type", 429: "throttled",
}  # fmt: skip
WHOLE = frozenset({"non_field_errors", "__all__", "", "__root__"})


def answer(status: int, message: str, *, code: str = "", fields: dict[str, list[str]] | None = None) -> Response:
    """An error answer."""
    body = {"code": code or CODES.get(status, "error"), "message": message, "fields": fields or {}}
    return Response({"error": body}, status=status)


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None (a bug: 500) for what is not an error of the caller or the domain."""
    response = _answer(error)
    if response is not None:
        _roll_back()
    return response


def _answer(error: Exception) -> Response | None:
    match error:
        case Refused():
            return answer(409, str(error))
        case Http404() | drf.NotFound():
            return answer(404, "There is nothing with this address.")
        case drf.ValidationError():
            return invalid(dotted(error.detail))
        case django_errors.ValidationError():
            return invalid(of_django(error))
        case pydantic.ValidationError():
            return invalid(of_pydantic(error))
        case django_errors.RequestDataTooBig():
            return answer(413, "The body is larger than 2 MB; send less at a time.")
        case django_errors.PermissionDenied():
            return answer(403, str(error) or "This is not allowed.")
        case IntegrityError():
            log.warning("a write met a constraint: %s", str(error).splitlines()[0][:200])
            return answer(409, "Somebody else changed this at the same moment; look again and repeat.", code="conflict")
        case drf.APIException():
            return _of_drf(error)
    return None


def _of_drf(error: drf.APIException) -> Response:
    code = "parse_error" if isinstance(error, drf.ParseError) else ""
    response = answer(error.status_code, str(error.detail), code=code)
    if getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = error.auth_header
    if getattr(error, "wait", None):
        response["Retry-After"] = str(int(error.wait))
    return response


def invalid(fields: dict[str, list[str]]) -> Response:
    """400 with the first complaint as its message."""
    first = next(iter(fields.items()), None)
    if first is None:
        return answer(400, "The body is not valid.")
    name, sentences = first
    message = sentences[0] if name == BODY else f"{name}: {sentences[0]}"
    return answer(400, message, fields=fields)


def dotted(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """DRF's nested detail as flat dotted keys: {"config": {"url": […]}} becomes {"config.url": […]}."""
    fields: dict[str, list[str]] = {}
    if isinstance(detail, dict):
        for key, value in detail.items():
            _merge(fields, dotted(value, _join(prefix, str(key))))
    elif isinstance(detail, list | tuple):
        for number, item in enumerate(detail):
            nested = isinstance(item, dict | list | tuple)
            _merge(fields, dotted(item, _join(prefix, str(number)) if nested else prefix))
    else:
        fields[prefix or BODY] = [str(detail)]
    return fields


def of_django(error: django_errors.ValidationError) -> dict[str, list[str]]:
    """The fields of a model's or form's ValidationError."""
    return dotted(error.message_dict if hasattr(error, "error_dict") else error.messages)


def of_pydantic(error: pydantic.ValidationError, prefix: str = "") -> dict[str, list[str]]:
    """The fields of a plug-in's Config; `prefix` says where it stands in the body ("config"). Inputs are never repeated."""
    fields: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        sentence = item["msg"].removeprefix("Value error, ")
        _merge(fields, {_join(prefix, ".".join(str(part) for part in item["loc"])) or BODY: [sentence]})
    return fields


def bad(fields: dict[str, list[str] | str]) -> drf.ValidationError:
    """To be raised: 400 at these (dotted) fields."""
    return drf.ValidationError({name: [text] if isinstance(text, str) else text for name, text in fields.items()})


def _join(prefix: str, key: str) -> str:
    if key in WHOLE:
        return prefix
    return f"{prefix}.{key}" if prefix else key


def _merge(into: dict[str, list[str]], more: dict[str, Iterable[str]]) -> None:
    for key, sentences in more.items():
        into.setdefault(key, []).extend(sentences)


def _roll_back() -> None:
    connection = get_connection()
    if connection.settings_dict.get("ATOMIC_REQUESTS") and connection.in_atomic_block:
        connection.set_rollback(True)

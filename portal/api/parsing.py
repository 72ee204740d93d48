"""How is a body read? At most DATA_UPLOAD_MAX_MEMORY_SIZE bytes of strict UTF-8 JSON that every database can store."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class Json(JSONParser):
    """DRF's own reads a body of any size, and lets through text that PostgreSQL refuses (NUL, lone surrogates)."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: dict | None = None) -> Any:
        raw = _all_of(stream, (parser_context or {}).get("request"))
        if not raw.strip():
            return {}  # POST /alerts/9/resolve without a body
        try:
            data = json.loads(raw.decode("utf-8"), parse_constant=_refuse)
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}") from None
        if b"\\u" in raw:
            _storable(data)
        return data


def _all_of(stream: Any, request: Any) -> bytes:
    base = getattr(request, "_request", None)
    if base is not None and stream is base:
        return base.body  # checked against the limit, and kept for whoever asks again
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise RequestDataTooBig("too large")
    return raw


def _storable(data: Any) -> None:
    try:
        text = json.dumps(data, ensure_ascii=False)
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ParseError("The body holds half of a surrogate pair; send whole characters.") from None
    # A NUL character stands in JSON as \u0000; an escaped backslash before it would make it six plain characters.
    if "\\u0000" in text.replace("\\\\", ""):
        raise ParseError("The body holds a NUL character; remove it.")


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")

"""What does a tool take? The API's own documentation of the same call, as JSON Schema (2020-12)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from drf_spectacular.generators import SchemaGenerator

from console.mcp.catalogue import TOOLS, Tool

DEEPEST = 12  # references within references
PLAIN = ("type", "enum", "format", "minimum", "maximum", "maxLength", "minLength", "pattern", "description", "default")


@dataclass(frozen=True, slots=True)
class Inputs:
    """The input schema, and which of its properties belong into the path and the query; the others are the body."""

    schema: dict[str, Any]
    path: frozenset[str]
    query: frozenset[str]


@functools.cache
def inputs() -> dict[str, Inputs]:
    """Per tool's name. About a second of work, once a process."""
    document = SchemaGenerator().get_schema(request=None, public=True)
    return {tool.name: inputs_of(tool, document) for tool in TOOLS}


def inputs_of(tool: Tool, document: dict[str, Any]) -> Inputs:
    """One tool's, from an OpenAPI 3.0 document. KeyError when the API has no such call."""
    operation = document["paths"][f"/api/v1/{tool.path}"][tool.method.lower()]
    properties: dict[str, Any] = {}
    required: list[str] = []
    places: dict[str, set[str]] = {"path": set(), "query": set()}
    for parameter in operation.get("parameters", ()):
        name, where = parameter["name"], parameter["in"]
        if where not in places or (where == "query" and not tool.reads):
            continue
        places[where].add(name)
        properties[name] = plain(parameter.get("schema", {}), document) | _said(parameter)
        if parameter.get("required") or where == "path":
            required.append(name)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is not None:
        given = plain(body, document)
        properties |= {k: v for k, v in given.get("properties", {}).items() if k not in properties}
        if tool.method != "PATCH":
            required += [name for name in given.get("required", ()) if name not in required]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    return Inputs(schema, frozenset(places["path"]), frozenset(places["query"]))


def plain(schema: dict[str, Any], document: dict[str, Any], deep: int = 0) -> dict[str, Any]:
    """A schema of OpenAPI 3.0 as JSON Schema: references written out, `nullable` as a type, nothing read-only."""
    if deep > DEEPEST:
        return {}
    if "$ref" in schema:
        return plain(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, deep + 1)
    found = {key: schema[key] for key in PLAIN if key in schema}
    for part in schema.get("allOf", ()):
        found = plain(part, document, deep + 1) | found
    for several in ("oneOf", "anyOf"):
        if several in schema:
            found["anyOf"] = [plain(part, document, deep + 1) for part in schema[several]]
    if "properties" in schema:
        writable = {k: v for k, v in schema["properties"].items() if not v.get("readOnly")}
        found["properties"] = {k: plain(v, document, deep + 1) for k, v in writable.items()}
        wanted = [name for name in schema.get("required", ()) if name in writable]
        found |= {"required": wanted} if wanted else {}
    if "items" in schema:
        found["items"] = plain(schema["items"], document, deep + 1)
    if isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = plain(schema["additionalProperties"], document, deep + 1)
    if schema.get("nullable"):
        _or_null(found)
    return found


def _or_null(found: dict[str, Any]) -> None:
    if isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    if "enum" in found and None not in found["enum"]:
        found["enum"] = [*found["enum"], None]


def _said(parameter: dict[str, Any]) -> dict[str, str]:
    return {"description": parameter["description"]} if parameter.get("description") else {}

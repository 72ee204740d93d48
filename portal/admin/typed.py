"""How does a plug-in's typed `Config` become fields of a form? From its JSON schema; secrets are write-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from portal.admin.fields import ObjectField, SecretField

PREFIX = "config_"
FORGET = "forget_"
SECRET_HINT = "Never shown; empty keeps what is stored."


def fields_of(
    schema: Mapping[str, Any], stored: Mapping[str, Any], kept: frozenset[str] = frozenset()
) -> dict[str, forms.Field]:
    """Fields `config_<name>` of a JSON schema, filled with what is `stored`; for secrets that are `kept` also `forget_<name>`."""
    required = set(schema.get("required", ()))
    found: dict[str, forms.Field] = {}
    for name, raw in schema.get("properties", {}).items():
        spec = _plain(raw)
        said = {
            "label": spec.get("title", name),
            "help_text": spec.get("description", ""),
            "required": name in required and name not in kept,
        }
        if is_secret(spec):
            hint = f"{said['help_text']} {SECRET_HINT if name in kept else ''}".strip()
            if spec.get("type") == "object":
                found[PREFIX + name] = ObjectField(**{**said, "help_text": f"{hint} A JSON object.".strip()})
            else:
                found[PREFIX + name] = SecretField(**{**said, "help_text": hint})
            if name in kept and name not in required:
                found[FORGET + name] = forms.BooleanField(required=False, label=f"Forget {said['label'].lower()}")
        else:
            found[PREFIX + name] = _field(spec, said, stored.get(name, spec.get("default")))
    return found


def values_of(cleaned: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed, by setting: secrets only when given (or "" when they are to be forgotten)."""
    values: dict[str, Any] = {}
    for name, raw in schema.get("properties", {}).items():
        if PREFIX + name not in cleaned:
            continue
        value = cleaned[PREFIX + name]
        if is_secret(_plain(raw)):
            if cleaned.get(FORGET + name):
                values[name] = ""
            elif value:
                values[name] = value
        else:
            values[name] = "" if value is None else value
    return values


def is_secret(spec: Mapping[str, Any]) -> bool:
    """Is this setting a secret, or does it hold some?"""
    inner = spec.get("additionalProperties")
    return (
        spec.get("format") == "password" or bool(spec.get("secret")) or (isinstance(inner, dict) and is_secret(inner))
    )


def _plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    """`X or null` as an X that may be empty."""
    for option in spec.get("anyOf", ()):
        if option.get("type") != "null":
            return {**{k: v for k, v in spec.items() if k != "anyOf"}, **option}
    return dict(spec)


def _field(spec: Mapping[str, Any], said: dict[str, Any], value: Any) -> forms.Field:
    kind = spec.get("type")
    if kind == "boolean":
        return forms.BooleanField(**{**said, "required": False}, initial=bool(value))
    if "enum" in spec:
        return forms.TypedChoiceField(
            **said, choices=[(v, str(v) or "none") for v in spec["enum"]], coerce=type(spec["enum"][0]), initial=value
        )
    if kind == "integer":
        return forms.IntegerField(**said, min_value=spec.get("minimum"), max_value=spec.get("maximum"), initial=value)
    if kind == "number":
        return forms.FloatField(**said, min_value=spec.get("minimum"), max_value=spec.get("maximum"), initial=value)
    if kind == "array":
        return Lines(
            **said,
            initial="\n".join(str(item) for item in value or ()),
            widget=forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
        )
    if kind == "object":
        return ObjectField(**said, initial=value or {})
    return forms.CharField(
        **said,
        max_length=spec.get("maxLength"),
        initial=value or "",
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )


class Lines(forms.CharField):
    """Several values, one a line."""

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

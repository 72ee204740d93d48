"""How does a plug-in's typed settings become a form, and what was typed become settings again?

Everything comes from the kind's JSON schema, so that a new kind of check or channel has its form without a template.
A stored secret is never shown: its field is empty (or masked, line by line), and leaving it so keeps the secret.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from typing import Any

from django import forms

from portal.secrets import MASK

PREFIX = "config_"
FEW = 6  # so many settings are shown at once; of more, only those that matter first


def fields_of(
    schema: Mapping[str, Any], stored: Mapping[str, Any], kept: frozenset[str], *, rows: Mapping[str, Sequence[tuple[int, str]]] | None = None,
    readable: str = "",
) -> dict[str, forms.Field]:  # fmt: skip
    """The form's fields by name. `stored`: the settings now, secrets left out or masked; `kept`: names of secrets that
    exist already; `rows`: choices for settings that name rows, by setting; `readable`: a secret that is typed in the
    open because it is what one pastes (a webhook's address)."""
    required = schema.get("required", ())
    fields = {}
    for name, raw in schema.get("properties", {}).items():
        spec = _resolved(raw)
        if name == readable and _is_secret(spec):
            spec = {k: v for k, v in spec.items() if k not in ("format", "secret", "maxLength")}
        fields[PREFIX + name] = _field(
            spec, stored.get(name), name in required, name in kept, (rows or {}).get(name), str(raw.get("title", name))
        )
    return fields


def leading(schema: Mapping[str, Any], main_field: str) -> list[str]:
    """The settings to show first: all of few; of many, the required ones and the kind's main one."""
    names = list(schema.get("properties", {}))
    if len(names) <= FEW:
        return [PREFIX + n for n in names if n != "upside_down"]
    return [PREFIX + n for n in names if n == main_field or n in schema.get("required", ())]


def settings_from(
    schema: Mapping[str, Any], cleaned: Mapping[str, Any], stored: Mapping[str, Any], secrets: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings that a valid form means. What equals its default is left out, an untouched secret keeps its value.

    `stored` and `secrets` are what was saved before (opened).
    """
    values: dict[str, Any] = {}
    for name, raw in schema.get("properties", {}).items():
        if PREFIX + name not in cleaned:
            continue
        spec, value = _resolved(raw), cleaned[PREFIX + name]
        if _is_secret(spec) and spec.get("type") != "object":
            value = value or secrets.get(name) or stored.get(name)
        elif spec.get("type") == "object":
            value = _unmasked(value, {**(stored.get(name) or {}), **(secrets.get(name) or {})})
        elif _is_free(raw):
            value = _json(value)
        if value in (None, "", [], {}) or (value == raw.get("default") and name not in stored):
            continue
        values[name] = value
    return values


def typed(
    schema: Mapping[str, Any], cleaned: Mapping[str, Any], stored: Container[str] | None = None
) -> dict[str, Any]:
    """What was typed, for a door that knows masks itself: an empty secret field is left out, so that it stays as it is.

    With the names that are `stored`, a usual value of another name is left out too: a form sent back untouched changes
    nothing.
    """
    values: dict[str, Any] = {}
    for name, raw in schema.get("properties", {}).items():
        if PREFIX + name in cleaned:
            value = _json(cleaned[PREFIX + name]) if _is_free(raw) else cleaned[PREFIX + name]
            usual = stored is not None and name not in stored and value == raw.get("default", "")
            if not usual and (value != "" or not _is_secret(_resolved(raw))):
                values[name] = value
    return values


def _resolved(spec: Mapping[str, Any]) -> dict[str, Any]:
    """`X or null` as an X that may be empty."""
    found = dict(spec)
    for option in spec.get("anyOf", ()):
        if option.get("type") != "null":
            found = {**{k: v for k, v in spec.items() if k != "anyOf"}, **option}
            break
    if isinstance(found.get("default"), str) and found["default"] and not found["default"].strip("*"):
        del found["default"]  # a secret's usual value, as pydantic masks it: nothing that could be sent back
    return found


def _is_secret(spec: Mapping[str, Any]) -> bool:
    return spec.get("format") == "password" or bool(spec.get("secret"))


def _is_free(spec: Mapping[str, Any]) -> bool:
    """Any JSON value."""
    return "$ref" in spec


def _field(
    spec: dict[str, Any],
    value: Any,
    required: bool,
    has_secret: bool,
    rows: Sequence[tuple[int, str]] | None,
    title: str,
) -> forms.Field:
    common: dict[str, Any] = {"label": title, "help_text": spec.get("description", ""), "required": required}
    kind = spec.get("type")
    if kind == "boolean":
        return forms.BooleanField(
            **{**common, "required": False}, initial=spec.get("default", False) if value is None else value
        )
    if "enum" in spec:
        number = all(isinstance(v, int) for v in spec["enum"])
        return forms.TypedChoiceField(
            **{**common, "required": False}, choices=[(v, _word(v)) for v in spec["enum"]], coerce=int if number else str,
            empty_value=spec.get("default"), initial=spec.get("default") if value is None else value,
        )  # fmt: skip
    if _is_secret(spec) and kind != "object":
        hint = {"autocomplete": "new-password"} | (
            {"placeholder": f"{MASK} kept; type to replace"} if has_secret else {}
        )
        return forms.CharField(
            **{**common, "required": required and not has_secret}, strip=False, widget=forms.PasswordInput(attrs=hint)
        )
    example = _example(spec)
    if kind in ("integer", "number"):
        cls = forms.IntegerField if kind == "integer" else forms.FloatField
        shown = spec.get("default") if value is None else value
        return cls(
            **{**common, "required": required},
            min_value=spec.get("minimum"),
            max_value=spec.get("maximum"),
            initial=shown,
            widget=forms.NumberInput(attrs={"placeholder": example}),
        )
    if kind == "array":
        if rows is not None:
            return forms.TypedMultipleChoiceField(
                **common, choices=rows, coerce=int, initial=list(value or ()), widget=forms.CheckboxSelectMultiple
            )
        return Lines(
            **common,
            initial="\n".join(map(str, value or ())),
            widget=forms.Textarea(attrs={"rows": 2, "placeholder": example}),
        )
    if kind == "object":
        inner = spec.get("additionalProperties")
        hidden = _is_secret(spec) or (isinstance(inner, dict) and _is_secret(inner))
        lines = "\n".join(f"{k}: {MASK if hidden else v}" for k, v in (value or {}).items())
        return Pairs(**common, initial=lines, widget=forms.Textarea(attrs={"rows": 2, "placeholder": example}))
    if spec.get("format") == "date":
        return forms.DateField(**common, initial=value, widget=forms.DateInput(attrs={"type": "date"}))
    shown = spec.get("default") if value is None else value
    if _is_free(spec) and value is not None and not isinstance(value, str):
        shown = json.dumps(value, ensure_ascii=False)
    long = spec.get("maxLength", 0) > 2000
    widget = (
        forms.Textarea(attrs={"rows": 3, "placeholder": example})
        if long
        else forms.TextInput(attrs={"placeholder": example})
    )
    return forms.CharField(
        **common, strip=not long, max_length=spec.get("maxLength"), initial=shown or "", widget=widget
    )


def _word(value: Any) -> str:
    return str(value) if value != "" else "none"


def _example(spec: Mapping[str, Any]) -> str:
    for example in spec.get("examples", ()):
        if isinstance(example, dict):
            return ", ".join(f"{k}: {v}" for k, v in example.items())
        return ", ".join(map(str, example)) if isinstance(example, list) else str(example).strip()
    return ""


class Lines(forms.CharField):
    """Several values, one a line."""

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in super().to_python(value).splitlines() if line.strip()]


class Pairs(forms.CharField):
    """Named values, `Name: value`, one a line."""

    def to_python(self, value: Any) -> Any:
        pairs: dict[str, str] = {}
        for line in super().to_python(value).splitlines():
            if not line.strip():
                continue
            name, mark, text = line.partition(":")
            if not mark or not name.strip():
                raise forms.ValidationError("Write each as Name: value, one a line.")
            pairs[name.strip()] = text.strip()
        return pairs


def _unmasked(pairs: Mapping[str, str], old: Mapping[str, Any]) -> dict[str, Any]:
    """A masked value keeps the old one; a mask for a name that had none is nothing."""
    return {
        name: old[name] if value == MASK else value for name, value in pairs.items() if value != MASK or name in old
    }


def _json(text: Any) -> Any:
    """`200`, `true`, `{"a": 1}` as JSON; anything else as the text it is."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text

"""What does the API's documentation say? Every operation with its errors, from the code that answers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers


class ErrorDetailSerializer(serializers.Serializer):
    """What went wrong, for a program (code), a person (message) and a form (fields, dotted keys)."""

    code = serializers.CharField()
    message = serializers.CharField()
    fields_ = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))

    def get_fields(self) -> dict:
        found = super().get_fields()
        found["fields"] = found.pop("fields_")  # a declared attribute `fields` would hide the serializer's own
        return found


class ErrorSerializer(serializers.Serializer):
    """The body of every error."""

    error = ErrorDetailSerializer()


READ_ERRORS = {"401": "No usable token", "403": "The role or scope is missing", "429": "Too many requests"}
ROW_ERRORS = {"404": "Unknown, or somebody else's"}
WRITE_ERRORS = {"400": "The body is not valid; `fields` says where", "409": "Refused in this state"}


class Schema(AutoSchema):
    """drf-spectacular's, with the error answers."""

    def _get_response_bodies(self, direction: Any = "response") -> dict:
        bodies = super()._get_response_bodies(direction)
        wanted = dict(READ_ERRORS)
        if "{" in self.path:
            wanted |= ROW_ERRORS
        wanted |= WRITE_ERRORS if self.method not in ("GET", "DELETE") else {}
        wanted |= {"400": "A filter is not valid"} if self.method == "GET" else {"409": WRITE_ERRORS["409"]}
        for code, description in sorted(wanted.items()):
            if code not in bodies:
                body = self._get_response_for_code(ErrorSerializer, code, direction=direction)
                bodies[code] = {**body, "description": description}
        return bodies


class BearerScheme(OpenApiAuthenticationExtension):
    """How the documentation names tokens."""

    target_class = "portal.api.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "wk_<prefix>_<secret>"}


class SessionScheme(OpenApiAuthenticationExtension):
    """How the documentation names the browser's session."""

    target_class = "portal.api.authentication.Session"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "Writes need X-CSRFToken as well.",
        }

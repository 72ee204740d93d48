"""How is configuration kept in git without a shell on the portal's machine? Written down, planned and applied over the API.

Secrets are named in the text, never written: their values come beside it, in `secrets`. The portal's own environment is
not looked at: what stands there is not the caller's.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from console.configuration import document, exporting, running, showing
from console.configuration.running import Outcome
from portal import audit
from portal.api.base import PortalViewSet
from portal.api.errors import bad
from portal.api.parsing import Json
from portal.models import Client
from portal.tenancy import ADMINISTER

FILE = "(yaml)"


class Yaml(BaseParser):
    """The text as the body itself, for `curl --data-binary @all.yaml`."""

    media_type = "application/yaml"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        raw = (parser_context or {})["request"]._request.body
        try:
            return {"yaml": raw.decode("utf-8")}
        except UnicodeDecodeError:
            raise bad({"yaml": "The text is not UTF-8."}) from None


class TextSerializer(serializers.Serializer):
    """A configuration, and what its secrets are."""

    yaml = serializers.CharField(trim_whitespace=False, help_text="As GET /config gives it.")
    secrets = serializers.DictField(
        child=serializers.CharField(allow_blank=True, max_length=20_000), required=False, write_only=True,
        help_text="Values of `!secret NAME`; what is not given stays as it is stored.",
    )  # fmt: skip
    prune = serializers.BooleanField(default=False, help_text="Delete what the text covers and does not name.")


class PlanSerializer(serializers.Serializer):
    """What changes: each row, and each of its fields before and after."""

    changes = serializers.ListField(child=serializers.DictField())
    taken_secrets = serializers.ListField(child=serializers.CharField())
    kept_secrets = serializers.ListField(child=serializers.CharField())
    not_in_files = serializers.IntegerField(help_text="Rows that the text covers and does not name.")
    also_made = serializers.ListField(child=serializers.CharField())


class Configuration(PortalViewSet):
    """Configuration as code, as `export_config`, `plan` and `apply` do it: our own people's."""

    serializer_class = TextSerializer
    parser_classes = [Json, Yaml]

    def _require_ours(self, verb: str) -> None:
        if not self.viewer.sees_all or not self.viewer.may(verb, None):
            raise PermissionDenied("Configuration as a file is for our own people, with a token that is bound to no client.")  # fmt: skip

    @extend_schema(
        parameters=[OpenApiParameter("client", OpenApiTypes.STR, many=True, description="A slug; several times for several. None: everything, and ours.")],
        responses={(200, "application/yaml"): OpenApiTypes.STR},
    )  # fmt: skip
    def list(self, request: Request) -> HttpResponse:
        """What is configured now, as text that is the same for the same rows. Secrets are named."""
        wanted = request.query_params.getlist("client")
        if not self.viewer.msp_role:
            raise PermissionDenied("Configuration as a file is for our own people.")
        seen = set(Client.objects.for_user(request).values_list("slug", flat=True))
        if not wanted and not self.viewer.sees_all:
            wanted = sorted(seen)
        unknown = [slug for slug in wanted if slug not in seen]
        if unknown:
            raise bad({"client": f"There is no client with the slug {unknown[0][:60]}."})
        text = exporting.export(wanted or None)
        answer = HttpResponse(text, content_type="application/yaml; charset=utf-8")
        answer["Cache-Control"] = "private, no-store"
        return answer

    @extend_schema(request=TextSerializer, responses=PlanSerializer)
    @action(detail=False, methods=["post"])
    def plan(self, request: Request) -> Response:
        """What applying this text would change. Nothing is changed."""
        self._require_ours("write")
        return Response(self._carried_out(request, commit=False))

    @extend_schema(request=TextSerializer, responses=PlanSerializer)
    @action(detail=False, methods=["post"], required_scope=ADMINISTER)
    def apply(self, request: Request) -> Response:
        """Bring it about, all of it or nothing: owners. A second time there is nothing to do."""
        self._require_ours(ADMINISTER)
        done = self._carried_out(request, commit=True)
        if done["changes"]:
            audit.record("configuration.sent", "configuration", by=self.actor, after={"changes": len(done["changes"])})
        return Response(done)

    def _carried_out(self, request: Request, *, commit: bool) -> dict[str, Any]:
        body = TextSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        found = document.read([(FILE, values["yaml"])], values.get("secrets", {}))
        outcome: Outcome = running.carry_out(found, prune=values["prune"], commit=commit)
        if outcome.problems:
            raise bad({"yaml": [str(problem) for problem in outcome.problems]})
        shown = showing.as_json(outcome)
        shown.pop("errors")
        return shown

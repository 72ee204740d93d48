"""How does a script take a probe's program in, and cut it off? POST probes/{id}/token and probes/{id}/revoke; staff only."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from monitors import remote
from portal.clock import database_now
from portal.tenancy import WRITE


class EnrolTokenSerializer(serializers.Serializer):
    """Shown once."""

    enrol_token = serializers.CharField(help_text="For `watchkeeper-probe enroll URL TOKEN`, once, within ten minutes.")


class ProbePrograms:
    """Two acts on a probe, for its viewset."""

    def only_staff(self) -> None:
        """A probe runs what the portal says inside a network."""
        if not self.viewer.may(WRITE, None):
            raise PermissionDenied("Only our own staff may make, change, enrol or revoke probes.")

    @extend_schema(
        request=None,
        responses={201: EnrolTokenSerializer},
        examples=[OpenApiExample("Once", value={"enrol_token": "wkp_…"}, response_only=True, status_codes=["201"])],
    )
    @action(detail=True, methods=["post"])
    def token(self, request: Request, **_: Any) -> Response:
        """A new enrolment token; earlier ones end."""
        probe = self.get_object()
        self.only_staff()
        return Response({"enrol_token": remote.new_token(probe, by=self.actor, at=database_now())}, status=201)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, **_: Any) -> Response:
        """Its key opens nothing from now on; 409 when it was revoked before."""
        probe = self.get_object()
        self.only_staff()
        probe = remote.revoke(probe, by=self.actor, at=database_now())
        return Response(self.get_serializer(probe).data)

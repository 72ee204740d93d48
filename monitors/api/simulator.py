"""Who would be told? GET /api/v1/simulate?monitor=7&event=consecutive_failure"""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from monitors import subjects
from monitors.models import Monitor
from monitors.simulate import events_of, simulate
from portal.api.base import PortalViewSet
from portal.api.errors import bad
from portal.clock import database_now


class WouldTell(serializers.Serializer):
    """Somebody who would hear of it, by a trigger or by escalation while nobody answers; the soonest first."""

    at_seconds = serializers.IntegerField(help_text="After it is confirmed.")
    channel = serializers.IntegerField()
    channel_name = serializers.CharField()
    contact = serializers.IntegerField(allow_null=True)
    contact_name = serializers.CharField(allow_null=True)
    later_seconds = serializers.IntegerField(help_text="So much later at most, when the cause is looked for.")
    via = serializers.CharField(help_text="`trigger …`, or `policy …, level 2` of its first pass.")


class HeldBack(serializers.Serializer):
    """A rule that keeps it from somebody."""

    rule = serializers.CharField()
    reason = serializers.CharField()


class SimulationSerializer(serializers.Serializer):
    """The answer."""

    would_tell = WouldTell(many=True)
    held_back = HeldBack(many=True)


class Simulator(PortalViewSet):
    """Who would be told now, and when, if this happened? Nothing is stored."""

    serializer_class = SimulationSerializer
    pagination_class = None
    filter_backends: list = []

    @extend_schema(
        parameters=[
            OpenApiParameter("monitor", int, required=True),
            OpenApiParameter("event", str, description="As consecutive_failure; the kind's main one when left out."),
        ],
        responses=SimulationSerializer,
    )
    def list(self, request: Request) -> Response:
        text = request.query_params.get("monitor", "")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise bad({"monitor": "Give the id of a monitor, as ?monitor=7."})
        m = get_object_or_404(
            subjects.with_tags(Monitor.objects.for_user(request)).select_related("client", "site", "parent"),
            pk=int(text),
        )
        try:
            found = simulate(m, request.query_params.get("event") or events_of(m)[0], database_now(), self.viewer)
        except ValueError as error:
            raise bad({"event": str(error)}) from None
        return Response({"would_tell": found.would_tell, "held_back": found.held_back})

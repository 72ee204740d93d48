"""How does a script ask "what is on this network?" and take up the answer? POST, GET probes/{id}/discovery and …/accept."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from monitors import discovery
from monitors.models import ProbeJob
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Site
from portal.tenancy import WRITE


class ProposalSerializer(serializers.Serializer):
    """A monitor that could be made."""

    key = serializers.CharField(help_text="Names it in `chosen`.")
    address = serializers.CharField()
    host_name = serializers.CharField(help_text="What the network's own resolver calls it; may be empty.")
    label = serializers.CharField()
    said = serializers.CharField(help_text="What it said of itself: a page's title, a greeting.")
    kind = serializers.CharField()
    config = serializers.JSONField()
    name = serializers.CharField()
    watched = serializers.BooleanField(help_text="The client watches this already.")


class DiscoverySerializer(serializers.Serializer):
    """The newest look around."""

    state = serializers.ChoiceField(choices=ProbeJob.State.choices)
    asked_by = serializers.CharField(source="requested_by")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    why = serializers.SerializerMethodField(help_text="Why nothing was found out.")
    networks = serializers.SerializerMethodField()
    proposals = serializers.SerializerMethodField()

    def get_why(self, job: ProbeJob) -> str:
        return discovery.why_not(job)

    def get_networks(self, job: ProbeJob) -> list[str]:
        return discovery.networks_of(job)

    def get_proposals(self, job: ProbeJob) -> list[dict[str, Any]]:
        found = discovery.found_by(job) if job.state == ProbeJob.State.DONE else []
        return list(ProposalSerializer(found, many=True).data)


class AcceptSerializer(serializers.Serializer):
    """Which of them to watch."""

    chosen = serializers.ListField(
        child=serializers.CharField(max_length=80), min_length=1, max_length=discovery.MOST_AT_ONCE
    )
    site = serializers.IntegerField(required=False, allow_null=True, help_text="Where they stand.")


class MadeSerializer(serializers.Serializer):
    """The new monitors."""

    monitors = serializers.ListField(child=serializers.IntegerField())


class Discovery:
    """Looking around, for the viewset of probes."""

    def _may(self, probe: Any) -> None:
        if not self.viewer.may(WRITE, probe.client_id):  # type: ignore[attr-defined]
            raise PermissionDenied("Your role does not allow this for this client.")

    @extend_schema(request=None, responses=DiscoverySerializer)
    @action(detail=True, methods=["get", "post"], url_path="discovery")
    def discovery(self, request: Request, **_: Any) -> Response:
        """The newest look; POST sends a private probe to look at its own subnets (202; 409 while it does)."""
        probe = self.get_object()  # type: ignore[attr-defined]
        if request.method == "POST":
            self._may(probe)
            job = discovery.ask(probe, by=self.actor, at=database_now())  # type: ignore[attr-defined]
            return Response(DiscoverySerializer(job).data, status=202)
        job = discovery.latest(probe)
        if job is None:
            raise Refused("This probe has not looked around yet; POST sends it.")
        return Response(DiscoverySerializer(job).data)

    @extend_schema(
        request=AcceptSerializer,
        responses={201: MadeSerializer},
        examples=[
            OpenApiExample("Two", value={"chosen": ["192.168.7.4:443", "192.168.7.1:ping"], "site": 1}, request_only=True)
        ],
    )  # fmt: skip
    @action(detail=True, methods=["post"], url_path="discovery/accept")
    def accept(self, request: Request, **_: Any) -> Response:
        """Make the chosen monitors, watched from this probe; all of them or none."""
        probe = self.get_object()  # type: ignore[attr-defined]
        self._may(probe)
        body = AcceptSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        job = discovery.latest(probe)
        if job is None or probe.client is None:
            raise Refused("This probe has not looked around yet.")
        site, wanted = None, body.validated_data.get("site")
        if wanted is not None:
            site = Site.objects.for_user(self.viewer).filter(pk=wanted, client=probe.client).first()  # type: ignore[attr-defined]
            if site is None:
                raise serializers.ValidationError({"site": ["This client has no such site."]})
        made = discovery.accept(job, body.validated_data["chosen"], client=probe.client, site=site, by=self.actor, at=database_now())  # type: ignore[attr-defined]  # fmt: skip
        return Response({"monitors": [m.pk for m in made]}, status=201)

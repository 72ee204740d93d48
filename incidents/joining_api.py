"""What can scripts do with several incidents? Merge, join, split, group; and write the post-mortem of one."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.models import Alert
from incidents import joining, parents, postmortems
from incidents.bodies import IncidentSerializer
from incidents.models import Incident, Postmortem
from portal.api.base import ReadOnlyTenantViewSet
from portal.api.serializers import OwnRow
from portal.clock import database_now
from portal.tenancy import WRITE

MOST_AT_ONCE = 200


class IntoSerializer(serializers.Serializer):
    """The incident that carries on."""

    into = OwnRow(queryset=Incident.objects.all())


class AlertToJoinSerializer(serializers.Serializer):
    """The alert that belongs to this incident."""

    alert = OwnRow(queryset=Alert.objects.all())


class SplitSerializer(serializers.Serializer):
    """The alerts to take out, and what the new incident is called (empty: as the first alert)."""

    alerts = serializers.ListField(child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), min_length=1, max_length=MOST_AT_ONCE)  # fmt: skip
    title = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)


class IncidentsGroupSerializer(serializers.Serializer):
    """The clients' incidents; `parent`: one that there is already."""

    incidents = OwnRow(queryset=Incident.objects.all(), many=True)
    title = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)
    severity = serializers.ChoiceField(choices=Incident.Severity.choices, required=False, allow_blank=True, default="")
    parent = OwnRow(queryset=Incident.objects.all(), required=False, allow_null=True, default=None)


class ProposalSerializer(serializers.Serializer):
    """What several clients' open incidents have in common."""

    what = serializers.CharField(help_text="as, host, issuer or probe.")
    name = serializers.CharField()
    words = serializers.CharField()
    incidents = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField()))
    def get_incidents(self, proposal: parents.Proposal) -> list[int]:
        return [i.pk for i in proposal.incidents]


class PostmortemSerializer(serializers.ModelSerializer):
    """Markdown with its version: send back the version that you changed."""

    incident = serializers.IntegerField(source="incident_id", read_only=True)
    body = serializers.CharField(required=False, allow_blank=True, max_length=postmortems.LIMIT, trim_whitespace=False)
    version = serializers.IntegerField(required=False, min_value=1)
    finished = serializers.BooleanField(required=False, write_only=True, help_text="true ends the writing, false reopens it.")  # fmt: skip

    class Meta:
        model = Postmortem
        fields = ["incident", "body", "version", "edited", "finished", "finished_at", "updated_at", "updated_by"]
        read_only_fields = ["edited", "finished_at", "updated_at", "updated_by"]

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if "body" in values and "version" not in values:
            raise serializers.ValidationError({"version": ["Send the version that you changed."]})
        return values


class Joining(ReadOnlyTenantViewSet):
    """The part of /api/v1/incidents that is about several of them, and about what is written afterwards."""

    def _asked(self, kind: type[serializers.Serializer]) -> dict[str, Any]:
        body = kind(data=self.request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        return body.validated_data

    def _may(self, row: Incident | Alert) -> None:
        if not self.viewer.may(WRITE, row.client_id):
            raise PermissionDenied("Your role or your token does not allow changing the other one.")

    def _told(self, incident: Incident, status: int = 200) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=incident.pk)).data, status=status)

    @extend_schema(request=IntoSerializer, responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def merge(self, request: Request, pk: str) -> Response:
        """This one is part of another: everything moves there, this one is resolved. Answers with the one that carries on."""
        incident, into = self.get_object(), self._asked(IntoSerializer)["into"]
        self._may(into)
        return self._told(joining.merge(incident, into, by=self.actor, at=database_now()))

    @extend_schema(request=AlertToJoinSerializer, responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def join(self, request: Request, pk: str) -> Response:
        """An alert belongs to this incident, wherever it was."""
        incident, alert = self.get_object(), self._asked(AlertToJoinSerializer)["alert"]
        self._may(alert)
        return self._told(joining.move(alert, incident, by=self.actor, at=database_now()))

    @extend_schema(request=SplitSerializer, responses={201: IncidentSerializer})
    @action(detail=True, methods=["post"])
    def split(self, request: Request, pk: str) -> Response:
        """Take alerts out into a new incident, which is the answer. Undoes a merge, too."""
        incident = self.get_object()
        return self._told(
            joining.split(incident, **self._asked(SplitSerializer), by=self.actor, at=database_now()), 201
        )

    def _staff(self) -> None:
        if not self.viewer.msp_role:
            raise NotFound
        if not self.viewer.may(WRITE, None):
            raise PermissionDenied("Your role or your token does not allow changing what is our own.")

    @extend_schema(request=IncidentsGroupSerializer, responses={201: IncidentSerializer})
    @action(detail=False, methods=["post"], filterset_class=None)
    def group(self, request: Request) -> Response:
        """Put several clients' incidents under a parent of our own. For staff; no client sees the parent."""
        self._staff()
        asked = self._asked(IncidentsGroupSerializer)
        parent = parents.group(
            asked["incidents"], title=asked["title"], severity=asked["severity"], into=asked["parent"], by=self.actor, at=database_now()
        )  # fmt: skip
        return self._told(parent, 201)

    @extend_schema(responses=ProposalSerializer(many=True))
    @action(detail=False, methods=["get"], filterset_class=None, pagination_class=None)
    def proposals(self, request: Request) -> Response:
        """Which open incidents of several clients might be one fault? For staff."""
        if not self.viewer.msp_role:
            raise NotFound
        found = ProposalSerializer(parents.proposals(), many=True).data
        return Response({"results": found, "next": None, "previous": None})

    @extend_schema(request=None, responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def ungroup(self, request: Request, pk: str) -> Response:
        """A child on its own again. For staff."""
        incident = self.get_object()
        self._staff()
        parents.ungroup(incident, by=self.actor, at=database_now())
        return self._told(incident)

    @extend_schema(request=PostmortemSerializer, responses=PostmortemSerializer)
    @action(detail=True, methods=["get", "patch"])
    def postmortem(self, request: Request, pk: str) -> Response:
        """What was learned. The first PATCH begins it with a draft from the timeline; 409 when somebody saved meanwhile."""
        incident = self.get_object()
        row = Postmortem.objects.filter(incident=incident).first()
        if request.method == "PATCH":
            asked, at = self._asked(PostmortemSerializer), database_now()
            row = row or postmortems.open_for(
                incident, postmortems.draft(postmortems.story_of(incident)), by=self.actor, at=at
            )
            if asked.get("finished") is False:
                row = postmortems.reopen(row, by=self.actor, at=at)
            if "body" in asked:
                row = postmortems.save(row, body=asked["body"], version=asked["version"], by=self.actor, at=at)
            if asked.get("finished"):
                row = postmortems.finish(row, by=self.actor, at=at)
        if row is None:
            raise NotFound("Nobody has begun it.")
        return Response(PostmortemSerializer(row).data)

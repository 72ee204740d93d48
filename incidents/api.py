"""What can scripts do with incidents? Open, edit, update, acknowledge, resolve and reopen them; read their timeline.

`affected_http_job_ids` is taken and returned beside `affected_monitor_ids`, for scripts that were written for that name.
"""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import get_object_or_404
from rest_framework.mixins import UpdateModelMixin
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from incidents import services, sla_api
from incidents.bodies import (
    AcknowledgeSerializer,
    EntrySerializer,
    IncidentSerializer,
    MessageSerializer,
    UpdateSerializer,
)
from incidents.joining_api import Joining
from incidents.models import Incident, Update
from incidents.timeline import timeline
from incidents.updates import correct, take_back
from monitors.api.filters import by_id, words
from monitors.models import Monitor
from portal.api.errors import bad
from portal.api.filters import IdFilter
from portal.clock import database_now
from portal.tenancy import ACK, WRITE


class IncidentFilter(django_filters.FilterSet):
    """?status=&responder_status=&severity= (commas: any of these) &client=&service=&parent=&lead=&auto_created=&resolved="""

    client = by_id("client_id")
    service = by_id("service_id")
    parent = IdFilter(method="by_parent")
    lead = by_id("lead_id")
    auto_created = django_filters.BooleanFilter()
    resolved = django_filters.BooleanFilter(field_name="resolved_at", lookup_expr="isnull", exclude=True)
    status = django_filters.CharFilter(method="by_word")
    responder_status = django_filters.CharFilter(method="by_word")
    severity = django_filters.CharFilter(method="by_word")

    class Meta:
        model = Incident
        fields: list[str] = []

    def by_parent(self, rows: QuerySet, name: str, value: int) -> QuerySet:
        """Only of a parent that the caller sees: clients do not learn that there is one."""
        return rows.filter(parent_id=value, parent__in=Incident.objects.for_user(self.request).order_by().values("pk"))

    def by_word(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        known = [word for word, _ in Incident._meta.get_field(name).choices]
        unknown = [w for w in words(value) if w not in known]
        if unknown:
            raise bad({name: f"{unknown[0][:40]!r} is not one of {', '.join(known)}."})
        return rows.filter(**{f"{name}__in": words(value)})


class Incidents(UpdateModelMixin, Joining):
    """The durable record people work on."""

    queryset = Incident.objects.select_related("client").prefetch_related("updates", "alert_links__alert")
    serializer_class = IncidentSerializer
    filterset_class = IncidentFilter

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Open one by hand; with `notify` (default) it is routed and escalated as an alert is."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        client_id = self._owner(values)
        if not self.viewer.may(WRITE, client_id):
            raise PermissionDenied(
                "Your role or your token does not allow opening one "
                + ("of this client." if client_id else "without a client.")
            )
        incident = services.create(
            title=values["title"], severity=values.get("severity", Incident.Severity.MAJOR), status=values.get("status", Incident.Status.INVESTIGATING), message=values["message"],
            client_id=client_id, service=values.get("service"), affected_monitor_ids=values.get("affected_monitor_ids", ()), notify=values["notify"], by=self.actor,
            at=database_now(),
        )  # fmt: skip
        return self._shown(incident, 201)

    @staticmethod
    def _owner(values: dict[str, Any]) -> int | None:
        """The one client that it is about; that several do not fit together is the service's to say."""
        if values.get("client") is not None:
            return values["client"].pk
        if values.get("service") is not None:
            return values["service"].client_id
        return (
            Monitor.objects.filter(pk__in=values.get("affected_monitor_ids", ()))
            .order_by()
            .values_list("client_id", flat=True)
            .first()
        )

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Edit title, severity, auto_resolve, lead, times or the affected monitors. Its status has doors of its own."""
        row = self.get_object()
        serializer = self.get_serializer(row, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        changes = {name: value for name, value in serializer.validated_data.items() if name in services.EDITABLE}
        return self._shown(services.edit(row, changes, by=self.actor, at=database_now()))

    def _shown(self, incident: Incident, status: int = 200) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=incident.pk)).data, status=status)

    def _body(self, kind: type[serializers.Serializer]) -> dict[str, Any]:
        body = kind(data=self.request.data)
        body.is_valid(raise_exception=True)
        return body.validated_data

    @extend_schema(request=UpdateSerializer, responses={200: UpdateSerializer(many=True), 201: UpdateSerializer})
    @action(detail=True, methods=["get", "post"], filterset_class=None)
    def updates(self, request: Request, pk: str) -> Response:
        """What was told to those outside; POST tells more. The public status goes forward only; `resolved` resolves it."""
        incident = self.get_object()
        if request.method != "POST":
            return self.get_paginated_response(
                UpdateSerializer(self.paginate_queryset(incident.updates.order_by()), many=True).data
            )
        values = self._body(UpdateSerializer)
        services.update(
            incident,
            status=values.get("status", incident.status),
            message=values["message"],
            by=self.actor,
            at=database_now(),
        )
        return Response(UpdateSerializer(Update.objects.filter(incident=incident).latest("id")).data, status=201)

    @extend_schema(request=UpdateSerializer, responses=UpdateSerializer)
    @action(
        detail=True, methods=["get", "patch", "put", "delete"], url_path="updates/(?P<update>[0-9]{1,18})", filterset_class=None
    )  # fmt: skip
    def one_update(self, request: Request, pk: str, update: str) -> Response:
        """One of them. PATCH corrects its words, DELETE takes it back; the step that it took stays taken."""
        row = get_object_or_404(Update.objects.filter(incident=self.get_object()), pk=int(update))
        if request.method == "DELETE":
            take_back(row, by=self.actor, at=database_now())
            return Response(status=204)
        if request.method not in SAFE_METHODS:  # a HEAD is a look as well
            said = self._body(UpdateSerializer)
            if said.get("status", row.status) != row.status:
                raise bad({"status": "The step that an update took stays taken; post another update."})
            if "message" in request.data:
                row = correct(row, message=said["message"], by=self.actor, at=database_now())
        return Response(UpdateSerializer(row).data)

    @extend_schema(request=AcknowledgeSerializer, responses=IncidentSerializer)
    @action(detail=True, methods=["post"], required_scope=ACK)
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Somebody has it: its open alerts are acknowledged, nothing is published."""
        incident = self.get_object()
        name = self._body(AcknowledgeSerializer).get("acknowledged_by") or ""
        return self._shown(services.acknowledge(incident, by=self.actor, at=database_now(), name=name))

    @extend_schema(request=MessageSerializer, responses=IncidentSerializer)
    @action(detail=True, methods=["post", "patch"])
    def resolve(self, request: Request, pk: str) -> Response:
        """It is over: both statuses."""
        incident = self.get_object()
        return self._shown(
            services.resolve(incident, by=self.actor, at=database_now(), **self._body(MessageSerializer))
        )

    @extend_schema(request=MessageSerializer, responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, pk: str) -> Response:
        """Back to investigating and triggered; a person's from now on."""
        incident = self.get_object()
        return self._shown(services.reopen(incident, by=self.actor, at=database_now(), **self._body(MessageSerializer)))

    @extend_schema(responses=EntrySerializer(many=True))
    @action(detail=True, filterset_class=None, pagination_class=None)
    def timeline(self, request: Request, pk: str) -> Response:
        """Everything that happened, oldest first: its own entries, and the pages sent for its alerts."""
        entries = timeline(self.get_object(), request)
        return Response({"results": EntrySerializer(entries, many=True).data, "next": None, "previous": None})


def register(router: SimpleRouter) -> None:
    """Add them to the router of /api/v1/."""
    router.register("incidents", Incidents)
    router.register("sla-contracts", sla_api.Contracts)
    router.register("sla-reports", sla_api.Reports)

"""What is an incident over the API when pages can show it? The ground's body with its page, and the door that publishes.

Stands in the place of `incidents.api.Incidents`, which knows no pages (imports go down only).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from incidents import api
from incidents import services as incidents
from incidents.bodies import IncidentSerializer
from incidents.models import Incident
from portal.api.errors import bad
from portal.clock import database_now
from portal.ownership import client_id_of
from portal.tenancy import WRITE
from statuspages import publishing
from statuspages.bodies import PageId, PublishSerializer
from statuspages.models import Component, Page

TO = OpenApiExample("Onto a page", value={"status_page_id": 1}, request_only=True)


class NewIncidentSerializer(IncidentSerializer):
    """An incident with its alerts and what was said of it; `status_page_id` publishes it there at once."""

    status_page_id = PageId()

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        now = self.instance.status_page_id if self.instance is not None else None
        if self.instance is not None and values.get("status_page_id", now) != now:
            raise serializers.ValidationError(
                {"status_page_id": [f"Use POST /api/v1/incidents/{self.instance.pk}/publish."]}
            )
        return super().validate(values)


class Incidents(api.Incidents):
    """The durable record people work on."""

    serializer_class = NewIncidentSerializer

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Open one by hand; with `notify` (default) it is routed as an alert is, with `status_page_id` published there."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return self._shown(self.opened(self, serializer.validated_data), 201)

    @staticmethod
    def opened(view: Any, values: dict[str, Any], *, components: Sequence[Component] = ()) -> Incident:
        """Open it, and show it on its page when it names one, or neither. 403 where the caller may not."""
        client_id = Incidents._owner(values)
        page = Page.objects.for_user(view.request).filter(pk=values.get("status_page_id") or 0).first()
        for owner in {client_id} | ({page.client_id} if page else set()):
            if not view.viewer.may(WRITE, owner):
                where = "of this client" if owner else "without a client"
                raise PermissionDenied(f"Your role or your token does not allow opening one {where}.")
        if page is not None and client_id is not None and page.client_id not in (None, client_id):
            raise bad(
                {"status_page_id": "This page speaks of another client; choose one of this client's, or the MSP's."}
            )
        with transaction.atomic():
            at = database_now()
            incident = incidents.create(
                title=values["title"], severity=values.get("severity", Incident.Severity.MAJOR), status=values.get("status", Incident.Status.INVESTIGATING),
                message=values["message"], client_id=client_id, service=values.get("service"), affected_monitor_ids=values.get("affected_monitor_ids", ()),
                notify=values["notify"], by=view.actor, at=at,
            )  # fmt: skip
            if page is not None:
                publishing.publish(incident, page, components=components, by=view.actor, at=at)
        return incident

    @extend_schema(request=PublishSerializer, responses=NewIncidentSerializer, examples=[TO])
    @action(detail=True, methods=["post"], filterset_class=None)
    def publish(self, request: Request, pk: str) -> Response:
        """Show it on a page, with these of its components (none: those of its monitors). Again: what is given is changed."""
        incident, values = self.get_object(), self._body(PublishSerializer)
        page = Page.objects.for_user(request).get(pk=values["status_page_id"])
        if not self.viewer.may(WRITE, client_id_of(page)):
            raise PermissionDenied("Your role or your token does not allow publishing on this page.")
        wanted = values["component_ids"]
        chosen = list(page.components.filter(pk__in=[pk for pk in wanted if pk < 2**63]))
        if len(chosen) != len(set(wanted)):
            raise bad({"component_ids": "There is no such component on this page."})
        publishing.publish(incident, page, components=chosen, title=values["title"], by=self.actor, at=database_now())
        return self._shown(incident)

    def _body(self, kind: type[serializers.Serializer]) -> dict[str, Any]:
        body = kind(data=self.request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        return body.validated_data

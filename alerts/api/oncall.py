"""Whose turn is it, over the API? Schedules with their layers, who takes over, who has it now and on any day, the feed.

`layers` that are sent replace all layers. The feed's address needs no session: it carries a key of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import django_filters
from django.db.models import Q
from django.http import Http404, HttpResponse
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from alerts import feed, oncall, schedules
from alerts.engine.oncall import Shift
from alerts.models import Layer, LayerMember, OnCallSchedule, Override
from portal.api.base import TenantViewSet
from portal.api.errors import bad
from portal.api.filters import LARGEST, IdFilter
from portal.api.serializers import TenantSerializer
from portal.clock import database_now
from portal.models import Contact

LONGEST = timedelta(days=100)
USUAL = timedelta(days=28)


# --- Bodies -----------------------------------------------------------------------------------------------------------
class People(serializers.ListField):
    """Contacts by id, in the order of their turns; the same person may come twice. Read: who is still there."""

    child = serializers.IntegerField(min_value=1, max_value=LARGEST)

    def to_representation(self, data: Any) -> list[int]:
        return [member.contact_id for member in data.all()]


class LayerSerializer(serializers.ModelSerializer):
    """Who takes turns, handing over at which wall-clock time of the schedule's zone."""

    order = serializers.IntegerField(required=False, help_text="A higher one covers a lower one. Default: its place.")
    rotation_days = serializers.IntegerField(required=False, allow_null=True, help_text="Of a custom rotation.")
    handoff_time = serializers.TimeField(required=False, format="%H:%M", help_text="Default: 09:00.")
    handoff_day = serializers.IntegerField(
        required=False, allow_null=True, help_text="Of a weekly rotation: 1 (Monday) … 7. Default: 1."
    )
    starts_at = serializers.DateTimeField(required=False, help_text="The first one's turn begins. Default: now.")
    weekdays = serializers.CharField(required=False, allow_blank=True, max_length=40)
    from_time = serializers.TimeField(required=False, allow_null=True, format="%H:%M")
    until_time = serializers.TimeField(required=False, allow_null=True, format="%H:%M")
    contact_ids = People(source="members")

    class Meta:
        model = Layer
        fields = [
            "order", "rotation", "rotation_days", "handoff_time", "handoff_day", "starts_at", "ends_at", "weekdays", "from_time", "until_time", "contact_ids",
        ]  # fmt: skip
        validators: list = []


class ScheduleSerializer(TenantSerializer):
    """A schedule. `feed_url` is a key in itself; DELETE …/feed revokes it."""

    name = serializers.CharField(max_length=120)  # unique: the service says it, without regard to case
    layers = LayerSerializer(many=True, required=False)
    feed_url = serializers.SerializerMethodField(help_text="For calendar programs; add &contact=<id> for one person.")

    class Meta:
        model = OnCallSchedule
        fields = ["id", "client", "name", "timezone", "tell_shift_start", "layers", "feed_url", "created_at"]
        validators: list = []

    def get_feed_url(self, row: OnCallSchedule) -> str:
        return feed.address(row)

    def validate_layers(self, layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Ids become rows: those that the caller sees, and those who are in this schedule already."""
        asked = {pk for layer in layers for pk in layer["members"]}
        rows = Contact.objects.for_user(self.context["request"]).in_bulk(asked)
        if self.instance is not None:
            known = LayerMember.objects.filter(layer__schedule=self.instance, contact__in=asked)
            rows |= {member.contact_id: member.contact for member in known.select_related("contact")}
        complaints: dict[str, list[str]] = {}
        for number, layer in enumerate(layers):
            missing = [pk for pk in layer["members"] if pk not in rows]
            if missing:
                complaints[f"layers.{number}.contact_ids"] = [f"There is no contact {missing[0]}."]
            layer["contacts"] = [rows[pk] for pk in layer.pop("members") if pk in rows]
        if complaints:
            raise bad(dict(complaints))
        return layers

    def run_validation(self, data: Any = serializers.empty) -> Any:
        try:
            return super().run_validation(data)
        except serializers.ValidationError as error:
            detail = error.detail
            inner = detail.get("layers") if isinstance(detail, dict) else None
            if isinstance(inner, dict) and all(str(key).startswith("layers.") for key in inner):
                detail = {**{k: v for k, v in detail.items() if k != "layers"}, **inner}
            raise serializers.ValidationError(detail) from None


class OverrideSerializer(serializers.ModelSerializer):
    """Somebody takes over for a while."""

    contact_id = serializers.IntegerField(min_value=1, max_value=LARGEST)
    contact_name = serializers.CharField(source="contact.name", read_only=True)
    starts_at = serializers.DateTimeField(required=False, help_text="Default: now.")
    reason = serializers.CharField(required=False, allow_blank=True, max_length=300)

    class Meta:
        model = Override
        fields = ["id", "contact_id", "contact_name", "starts_at", "ends_at", "reason", "created_by", "created_at"]
        read_only_fields = ["created_by", "created_at"]
        validators: list = []

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and "contact" in data and "contact_id" not in data:
            data = {**data, "contact_id": data["contact"]}
        return super().to_internal_value(data)


class PersonSerializer(serializers.ModelSerializer):
    """Who it is."""

    class Meta:
        model = Contact
        fields = ["id", "name", "email", "phone"]


class ShiftSerializer(serializers.Serializer):
    """Who has it from when until when; `contact` null is a gap: nobody is on call."""

    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    contact = PersonSerializer(allow_null=True)
    source = serializers.CharField(help_text="layer:<order>, override:<id> or gap.")


class NowSerializer(serializers.Serializer):
    """Who has it, since when, until when, and who is next. `contact` null: nobody is on call."""

    at = serializers.DateTimeField()
    contact = PersonSerializer(allow_null=True)
    starts_at = serializers.DateTimeField(allow_null=True)
    ends_at = serializers.DateTimeField(
        allow_null=True, help_text="When somebody else has it, or nobody; null when that is not in sight."
    )
    source = serializers.CharField()
    next = ShiftSerializer(allow_null=True)


def shown(shifts: Iterable[Shift], request: Request) -> list[dict[str, Any]]:
    """Shifts as the API says them, with their people. Of somebody whom the caller does not see otherwise: the name."""
    shifts = list(shifts)
    people = Contact.objects.in_bulk({s.contact for s in shifts if s.contact is not None})
    seen = set(Contact.objects.for_user(request).filter(pk__in=people).values_list("pk", flat=True))
    for pk in people.keys() - seen:
        people[pk].email = people[pk].phone = ""
    return [
        {"starts_at": s.start, "ends_at": s.end, "contact": people.get(s.contact or 0), "source": s.source}
        for s in shifts
    ]


# --- Resources --------------------------------------------------------------------------------------------------------
class AnyFormat(BaseContentNegotiation):
    """A calendar program gets its calendar whatever it says that it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class ScheduleFilter(django_filters.FilterSet):
    """`client`, `name`."""

    client = IdFilter(field_name="client_id")

    class Meta:
        model = OnCallSchedule
        fields = ["name"]


AT = OpenApiParameter("at", OpenApiTypes.DATETIME, description="Default: now.")
SINCE = OpenApiParameter("since", OpenApiTypes.DATETIME, description="Default: now.")
UNTIL = OpenApiParameter("until", OpenApiTypes.DATETIME, description="Default: 28 days later; at most 100.")


class Schedules(TenantViewSet):
    """On-call schedules."""

    queryset = OnCallSchedule.objects.prefetch_related("layers__members").order_by("-id")
    serializer_class = ScheduleSerializer
    filterset_class = ScheduleFilter

    def perform_create(self, serializer: BaseSerializer) -> None:
        values = {"layers": [], **serializer.validated_data}
        row = schedules.save_schedule(None, by=self.actor, **values)
        serializer.instance = self.get_queryset().get(pk=row.pk)

    def perform_update(self, serializer: BaseSerializer) -> None:
        values = {name: value for name, value in serializer.validated_data.items() if name != "client"}
        row = schedules.save_schedule(serializer.instance, by=self.actor, **values)
        serializer.instance = self.get_queryset().get(pk=row.pk)

    def perform_destroy(self, instance: OnCallSchedule) -> None:
        schedules.delete_schedule(instance, by=self.actor)

    @extend_schema(parameters=[AT], responses=NowSerializer)
    @action(detail=True, filterset_class=None, pagination_class=None)
    def now(self, request: Request, pk: str) -> Response:
        """Who is on call, and who is next."""
        row, at = self.get_object(), self._time("at") or database_now()
        plan = oncall.plans([row], at, at)[row.pk]
        current, outlook = plan.current(at), plan.outlook(at)
        said = shown([current, outlook.next] if outlook.next else [current], request)
        ends = outlook.change.start if outlook.change else None
        body = {"at": at, **said[0], "ends_at": ends, "next": said[1] if outlook.next else None}
        if current.contact is None:
            body["starts_at"] = None
        return Response(NowSerializer(body).data)

    @extend_schema(parameters=[SINCE, UNTIL], responses=ShiftSerializer(many=True))
    @action(detail=True, filterset_class=None, pagination_class=None)
    def shifts(self, request: Request, pk: str) -> Response:
        """Who has it on which days; gaps are shifts without a contact. They cover the time asked for exactly."""
        row = self.get_object()
        since = self._time("since") or database_now()
        until = self._time("until") or since + USUAL
        if not since < until <= since + LONGEST:
            raise bad({"until": f"It must be later than since, by at most {LONGEST.days} days."})
        results = ShiftSerializer(shown(oncall.timeline(row, since, until), request), many=True).data
        return Response({"results": results, "next": None, "previous": None})

    @extend_schema(request=OverrideSerializer, responses={200: OverrideSerializer(many=True), 201: OverrideSerializer})
    @action(detail=True, methods=["get", "post"], filterset_class=None)
    def overrides(self, request: Request, pk: str) -> Response:
        """Who takes over and when, newest first; POST: somebody does. Of several, the one made last counts."""
        row = self.get_object()
        if request.method != "POST":
            page = self.paginate_queryset(row.overrides.select_related("contact").order_by("-id")) or []
            return self.get_paginated_response(OverrideSerializer(page, many=True).data)
        body = OverrideSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        values = dict(body.validated_data)
        contact_id = values.pop("contact_id")
        contact = Contact.objects.for_user(request).filter(pk=contact_id).first()
        if contact is None:
            member = LayerMember.objects.filter(layer__schedule=row, contact=contact_id).select_related("contact")
            contact = getattr(member.first(), "contact", None)
        if contact is None:
            raise bad({"contact_id": f"There is no contact {contact_id}."})
        made = schedules.add_override(row, by=self.actor, at=database_now(), contact=contact, **values)
        return Response(OverrideSerializer(made).data, status=201)

    @extend_schema(request=None, responses={204: None})
    @action(
        detail=True, methods=["delete"], filterset_class=None, url_path=r"overrides/(?P<override>[0-9]{1,18})", url_name="override"
    )  # fmt: skip
    def override(self, request: Request, pk: str, override: str) -> Response:
        """Nobody takes over any more: the layers count."""
        row = self.get_object()
        found = row.overrides.filter(pk=int(override)).select_related("contact", "schedule").first()
        if found is None:
            raise Http404
        schedules.remove_override(found, by=self.actor)
        return Response(status=204)

    @extend_schema(request=None, responses=ScheduleSerializer)
    @action(detail=True, methods=["delete"], filterset_class=None, url_path="feed", url_name="feed")
    def revoke(self, request: Request, pk: str) -> Response:
        """The feed's address stops working; the answer has the new one."""
        row = schedules.revoke_feed(self.get_object(), by=self.actor)
        return Response(self.get_serializer(self.get_queryset().get(pk=row.pk)).data)

    @extend_schema(
        parameters=[OpenApiParameter("token", OpenApiTypes.STR, required=True), OpenApiParameter("contact", OpenApiTypes.INT)],
        responses={(200, "text/calendar"): OpenApiTypes.STR},
        auth=[],
    )  # fmt: skip
    @action(
        detail=True, methods=["get"], filterset_class=None, pagination_class=None, url_path=r"feed\.ics", url_name="ics", authentication_classes=[],
        permission_classes=[AllowAny], content_negotiation_class=AnyFormat,
    )  # fmt: skip
    def ics(self, request: Request, pk: str) -> HttpResponse:
        """The schedule as a calendar, 8 weeks back and 26 ahead; `contact` limits it to one person's turns."""
        rows = OnCallSchedule.objects.filter(Q(client=None) | Q(client__active=True))
        row = rows.filter(pk=int(pk)).first() if pk.isascii() and pk.isdigit() and int(pk) <= LARGEST else None
        contact = request.query_params.get("contact", "")
        if row is None or not feed.opens(row, request.query_params.get("token", "")):
            raise Http404
        if contact and not (contact.isascii() and contact.isdigit() and len(contact) < 19):
            raise Http404
        body = feed.calendar(row, database_now(), int(contact) if contact else None)
        answer = HttpResponse(body, content_type="text/calendar; charset=utf-8")
        answer["Content-Disposition"] = 'inline; filename="on-call.ics"'
        answer["Cache-Control"] = "private, max-age=300"
        answer["ETag"] = feed.etag(body)
        return get_conditional_response(request._request, etag=answer["ETag"], response=answer) or answer

    def _time(self, name: str) -> datetime | None:
        text = self.request.query_params.get(name, "")
        if not text:
            return None
        field = serializers.DateTimeField()
        try:
            at = field.run_validation(text)
        except serializers.ValidationError as error:
            raise bad({name: [str(e) for e in error.detail]}) from None
        if not schedules.EARLIEST <= at <= schedules.LATEST:
            raise bad({name: "Give a time between the years 2000 and 2100."})
        return at

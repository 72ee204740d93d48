"""What can scripts do with status pages? Make and change them whole, publish incidents, plan work, look who reads them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from incidents.models import Incident
from portal.api.base import TenantViewSet
from portal.api.errors import bad
from portal.clock import database_now
from statuspages import domains, services, subscribers
from statuspages.bodies import (
    ComponentSerializer,
    MoveSerializer,
    OverrideSerializer,
    PageSerializer,
    PublicationSerializer,
    SubscriberSerializer,
    WorkSerializer,
)
from statuspages.incident_api import Incidents, NewIncidentSerializer
from statuspages.models import Component, Page, ScheduledWork, Subscriber

NUMBER = "[0-9]{1,18}"
NEW = OpenApiExample(
    "A client's page",
    value={
        "name": "Acme status", "slug": "acme", "client": 1, "visibility": "public",
        "components": [{"name": "Shop", "group": None, "monitor_ids": [7], "service_id": None}, {"name": "Checkout", "group": "Payments", "service_id": 5}],
    },
    request_only=True,
)  # fmt: skip
TOLD = OpenApiExample(
    "An incident, at once on the page",
    value={"title": "Elevated errors at checkout", "severity": "major", "message": "We are looking into it.", "affected_monitor_ids": [7]},
    request_only=True,
)  # fmt: skip
PLANNED = OpenApiExample(
    "Work at night",
    value={"title": "Database upgrade", "message": "Orders wait for some minutes.", "starts_at": "2026-12-01T01:00:00Z", "ends_at": "2026-12-01T03:00:00Z", "component_ids": [3], "rest": True},
    request_only=True,
)  # fmt: skip
SAID = OpenApiExample(
    "By hand, for an hour", value={"status": "degraded", "until": "2026-12-01T02:00:00Z"}, request_only=True
)


@extend_schema_view(
    create=extend_schema(examples=[NEW]),
    partial_update=extend_schema(examples=[NEW]),
    update=extend_schema(exclude=True),
)
class StatusPages(TenantViewSet):
    """What the public sees. `components` and `groups`, when given, become the whole list; what is not in it goes."""

    queryset = Page.objects.select_related("client").prefetch_related(
        "groups", Prefetch("components", Component.objects.select_related("group").prefetch_related("monitors"))
    )
    serializer_class = PageSerializer
    filterset_fields = ["client", "enabled", "visibility", "slug"]

    def perform_create(self, serializer: Any) -> None:
        self._save(serializer, None)

    def perform_update(self, serializer: Any) -> None:
        self._save(serializer, serializer.instance)

    def perform_destroy(self, instance: Page) -> None:
        services.delete_page(instance, by=self.actor, at=database_now())

    def _save(self, serializer: Any, row: Page | None) -> None:
        values, at = dict(serializer.validated_data), database_now()
        components, groups = values.pop("components", None), values.pop("groups", None)
        values.pop("client", None) if row is not None else None
        if "logo" in values:
            values["logo_file"] = values.pop("logo")
        with transaction.atomic():
            page = services.save_page(row, by=self.actor, at=at, **values)
            if groups is not None:
                self._groups(page, groups, at)
            if components is not None:
                self._components(page, components, at)
        serializer.instance = self.get_queryset().get(pk=page.pk)

    def _groups(self, page: Page, wanted: list[dict[str, Any]], at: Any) -> None:
        kept = self._matched(list(page.groups.all()), wanted, "groups")
        ids = []
        for given, row in zip(wanted, kept, strict=True):
            values = {name: value for name, value in given.items() if name != "id"}
            ids.append(services.save_group(page, row, by=self.actor, at=at, **values).pk)
        for row in page.groups.exclude(pk__in=ids):
            services.delete_group(row, by=self.actor, at=at)
        services.order(page, "groups", ids, by=self.actor, at=at)

    def _components(self, page: Page, wanted: list[dict[str, Any]], at: Any) -> None:
        kept = self._matched(list(page.components.all()), wanted, "components")
        ids = []
        for number, (given, row) in enumerate(zip(wanted, kept, strict=True)):
            with_number(
                f"components.{number}",
                lambda given=given, row=row: ids.append(self._component(page, row, given, at).pk),
            )
        for row in page.components.exclude(pk__in=ids):
            services.delete_component(row, by=self.actor, at=at)
        services.order(page, "components", ids, by=self.actor, at=at)

    def _component(self, page: Page, row: Component | None, given: dict[str, Any], at: Any) -> Component:
        values = {name: value for name, value in given.items() if name != "id"}
        if "group" in values:
            values["group"] = self._heading(page, values["group"] or "", at)
        return services.save_component(page, row, by=self.actor, at=at, **values)

    def _heading(self, page: Page, name: str, at: Any) -> Any:
        if not name.strip():
            return None
        found = page.groups.filter(name=name.strip()).first()
        return found or services.save_group(page, None, by=self.actor, at=at, name=name.strip())

    @staticmethod
    def _matched(rows: list[Any], wanted: list[dict[str, Any]], noun: str) -> list[Any]:
        """For each wanted part the row it is: by its id, else by its name; None for a new one."""
        by_id = {r.pk: r for r in rows}
        free = [r for r in rows if r.pk not in {g.get("id") for g in wanted}]
        found: list[Any] = []
        for number, given in enumerate(wanted):
            if given.get("id") is not None:
                if given["id"] not in by_id or by_id[given["id"]] in found:
                    raise bad({f"{noun}.{number}.id": "There is no such part of this page, or it is named twice."})
                found.append(by_id[given["id"]])
            else:
                row = next((r for r in free if r.name == given["name"]), None)
                free = [r for r in free if r is not row]
                found.append(row)
        return found

    # --- Components -------------------------------------------------------------------------------------------------------
    @extend_schema(
        request=ComponentSerializer, responses={200: ComponentSerializer(many=True), 201: ComponentSerializer}
    )
    @action(detail=True, methods=["get", "post"], filterset_fields=None, pagination_class=None)
    def components(self, request: Request, pk: str) -> Response:
        """Its components in their order; POST adds one at the end."""
        page = self.get_object()
        if request.method != "POST":
            return Response(
                {
                    "results": self._shown(ComponentSerializer, page.components.all(), many=True),
                    "next": None,
                    "previous": None,
                }
            )
        values = self._body(ComponentSerializer)
        with transaction.atomic():
            row = self._component(page, None, values, database_now())
        return Response(self._shown(ComponentSerializer, row), status=201)

    @extend_schema(request=ComponentSerializer, responses=ComponentSerializer)
    @action(
        detail=True,
        methods=["get", "patch", "put", "delete"],
        url_path=f"components/(?P<component>{NUMBER})",
        filterset_fields=None,
    )
    def component(self, request: Request, pk: str, component: str) -> Response:
        """One component."""
        page = self.get_object()
        row = self._part(page.components.select_related("group").prefetch_related("monitors"), component)
        if request.method == "DELETE":
            services.delete_component(row, by=self.actor, at=database_now())
            return Response(status=204)
        if request.method not in SAFE_METHODS:  # a HEAD is a look as well
            with transaction.atomic():
                self._component(page, row, self._body(ComponentSerializer, row, partial=True), database_now())
            row = self._part(page.components.select_related("group").prefetch_related("monitors"), component)
        return Response(self._shown(ComponentSerializer, row))

    @extend_schema(request=OverrideSerializer, responses=ComponentSerializer, examples=[SAID])
    @action(
        detail=True,
        methods=["post", "delete"],
        url_path=f"components/(?P<component>{NUMBER})/override",
        filterset_fields=None,
    )
    def override(self, request: Request, pk: str, component: str) -> Response:
        """Say by hand how it is, perhaps only for a time; DELETE (or null) goes back to what is measured."""
        row = self._part(self.get_object().components, component)
        values = {"status": None} if request.method == "DELETE" else self._body(OverrideSerializer)
        services.set_override(row, values["status"] or "", until=values.get("until"), by=self.actor, at=database_now())
        row = self._part(Component.objects.select_related("group").prefetch_related("monitors"), component)
        return Response(self._shown(ComponentSerializer, row))

    # --- Incidents ----------------------------------------------------------------------------------------------------------
    @extend_schema(
        request=NewIncidentSerializer, responses={200: PublicationSerializer(many=True), 201: NewIncidentSerializer}, examples=[TOLD]
    )  # fmt: skip
    @action(detail=True, methods=["get", "post"], filterset_fields=None)
    def incidents(self, request: Request, pk: str) -> Response:
        """What was published here, newest first; POST opens an incident and publishes it here at once."""
        page = self.get_object()
        if request.method != "POST":
            rows = page.publications.select_related("incident").prefetch_related("components").order_by()
            return self.get_paginated_response(PublicationSerializer(self.paginate_queryset(rows), many=True).data)
        return open_and_publish(self, request, page)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["delete"], url_path=f"incidents/(?P<incident>{NUMBER})", filterset_fields=None)
    def incident(self, request: Request, pk: str, incident: str) -> Response:
        """Take it off the page; the incident goes on."""
        shown = self.get_object().publications.filter(withdrawn_at=None)
        found = get_object_or_404(shown, incident=int(incident) if int(incident) < 2**63 else 0)
        services.withdraw(found, by=self.actor, at=database_now())
        return Response(status=204)

    # --- Planned work -------------------------------------------------------------------------------------------------------
    @extend_schema(
        request=WorkSerializer, responses={200: WorkSerializer(many=True), 201: WorkSerializer}, examples=[PLANNED]
    )
    @action(detail=True, methods=["get", "post"], filterset_fields=None)
    def works(self, request: Request, pk: str) -> Response:
        """Work that its readers are told of, newest first; POST plans some."""
        page = self.get_object()
        rows = page.works.prefetch_related("components", "updates").order_by()
        if request.method != "POST":
            return self.get_paginated_response(WorkSerializer(self.paginate_queryset(rows), many=True).data)
        work = self._work(page, None, self._body(WorkSerializer))
        return Response(WorkSerializer(rows.get(pk=work.pk)).data, status=201)

    @extend_schema(request=WorkSerializer, responses=WorkSerializer)
    @action(detail=True, methods=["get", "patch", "put"], url_path=f"works/(?P<work>{NUMBER})", filterset_fields=None)
    def work(self, request: Request, pk: str, work: str) -> Response:
        """One piece of planned work; its status has a door of its own."""
        page = self.get_object()
        rows = page.works.prefetch_related("components", "updates")
        row = self._part(rows, work)
        if request.method not in SAFE_METHODS:  # a HEAD is a look as well
            self._work(page, row, self._body(WorkSerializer, row, partial=True))
        return Response(WorkSerializer(self._part(rows, work)).data)

    @extend_schema(request=MoveSerializer, responses=WorkSerializer)
    @action(detail=True, methods=["post"], url_path=f"works/(?P<work>{NUMBER})/move", filterset_fields=None)
    def move(self, request: Request, pk: str, work: str) -> Response:
        """Say how far it is: scheduled → in_progress → verifying → completed, or cancelled."""
        page = self.get_object()
        row, values = self._part(page.works, work), self._body(MoveSerializer)
        services.move_work(
            row, values.get("status", row.status), message=values["message"], by=self.actor, at=database_now()
        )
        return Response(WorkSerializer(self._part(page.works.prefetch_related("components", "updates"), work)).data)

    def _work(self, page: Page, row: ScheduledWork | None, values: dict[str, Any]) -> ScheduledWork:
        ids = values.pop("component_ids", None)
        components = None if ids is None else parts(page, ids, "component_ids")
        return services.save_work(page, row, by=self.actor, at=database_now(), components=components, **values)

    # --- Readers and domain -------------------------------------------------------------------------------------------------
    @extend_schema(responses=SubscriberSerializer(many=True))
    @action(detail=True, filterset_fields=None)
    def subscribers(self, request: Request, pk: str) -> Response:
        """Who hears of it. Addresses are shown to those who may change the page, and masked for everybody else."""
        rows = self.get_object().subscribers.select_related("page").prefetch_related("components").order_by()
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self._shown(SubscriberSerializer, page, many=True))

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["delete"], url_path=f"subscribers/(?P<subscriber>{NUMBER})", filterset_fields=None)
    def subscriber(self, request: Request, pk: str, subscriber: str) -> Response:
        """End a reader's subscription."""
        row: Subscriber = self._part(self.get_object().subscribers, subscriber)
        subscribers.remove(row, by=self.actor, at=database_now())
        return Response(status=204)

    @extend_schema(request=None, responses=PageSerializer)
    @action(detail=True, methods=["post"], url_path="verify-domain", filterset_fields=None)
    def verify_domain(self, request: Request, pk: str) -> Response:
        """Look for the TXT record now; 409 says what was seen instead."""
        page = domains.verify(self.get_object(), by=self.actor, at=database_now())
        return Response(self.get_serializer(self.get_queryset().get(pk=page.pk)).data)

    # --- Small parts ----------------------------------------------------------------------------------------------------------
    def _body(
        self, kind: type[serializers.BaseSerializer], row: Any = None, *, partial: bool = False
    ) -> dict[str, Any]:
        body = kind(row, data=self.request.data, partial=partial, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        return {name: value for name, value in body.validated_data.items() if name != "id"}

    def _shown(self, kind: type[serializers.BaseSerializer], rows: Any, *, many: bool = False) -> Any:
        return kind(rows, many=many, context=self.get_serializer_context()).data

    @staticmethod
    def _part(rows: Any, pk: str) -> Any:
        number = int(pk)
        return get_object_or_404(rows, pk=number if number < 2**63 else 0)


def parts(page: Page, ids: list[int], field: str) -> QuerySet[Component]:
    """The page's components of these ids; 400 at the field for others."""
    rows = page.components.filter(pk__in=[pk for pk in ids if pk < 2**63])
    missing = sorted(set(ids) - set(rows.values_list("pk", flat=True)))
    if missing:
        raise bad({field: f"No such component of this page: {', '.join(map(str, missing[:10]))}."})
    return rows


def with_number(prefix: str, do: Any) -> None:
    """Do it; what is complained about stands in the list at this place."""
    try:
        do()
    except ValidationError as error:
        found = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
        raise bad({f"{prefix}.{name}".rstrip("."): sentences for name, sentences in found.items()}) from None


def open_and_publish(view: Any, request: Request, page: Page) -> Response:
    """Open an incident and show it on the page, or neither."""
    data = request.data if isinstance(request.data, dict) else {}
    ids = data.get("component_ids") or []
    if not isinstance(ids, list) or not all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
        raise bad({"component_ids": "A list of numbers."})
    given = {n: v for n, v in data.items() if n != "component_ids"} | {"status_page_id": page.pk}
    if page.client_id is not None:
        given.setdefault("client", page.client_id)
    body = NewIncidentSerializer(data=given, context=view.get_serializer_context())
    body.is_valid(raise_exception=True)
    incident = Incidents.opened(view, body.validated_data, components=list(parts(page, ids, "component_ids")))
    fresh = Incident.objects.prefetch_related("updates", "alert_links__alert").get(pk=incident.pk)
    return Response(NewIncidentSerializer(fresh, context=view.get_serializer_context()).data, status=201)


class CompatiblePage(StatusPages):
    """`POST /status_page/{id}/incident`, for scripts that were written for that path."""

    schema = None

    def publish_incident(self, request: Request, pk: str) -> Response:
        """As POST /api/v1/status-pages/{id}/incidents."""
        return open_and_publish(self, request, self.get_object())


def register(router: SimpleRouter) -> None:
    """Add them to the router of /api/v1/."""
    router.register("status-pages", StatusPages)

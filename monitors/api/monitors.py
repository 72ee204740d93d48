"""What can scripts do with monitors? Make, change, pause, ask and read them: the doors of `services`, nothing else."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as Invalid
from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from monitors import bulk, history, services, templates
from monitors.api.actions import ActionSerializer, OutcomeSerializer, chosen, outcome_body
from monitors.api.bodies import MonitorSerializer, ResultSerializer, Seen, slugs
from monitors.api.filters import MonitorFilter
from monitors.api.seen import (
    CertificateSerializer,
    ChangeSerializer,
    PushSerializer,
    ResultPages,
    UptimeSerializer,
    results_of,
)
from monitors.models import Certificate, Monitor, StateChange
from portal.api.base import TenantViewSet
from portal.api.errors import bad, dotted, of_django
from portal.clock import database_now

MOST_AT_ONCE = bulk.MOST


class Monitors(TenantViewSet):
    """What is watched."""

    queryset = Monitor.objects.select_related("client").prefetch_related("tags", "views__probe")
    serializer_class = MonitorSerializer
    filterset_class = MonitorFilter

    # --- Reading a page costs as much as reading one ----------------------------------------------------------------
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        context = {**self.get_serializer_context(), "seen": Seen.of(page)}
        return self.get_paginated_response(self.get_serializer_class()(page, many=True, context=context).data)

    # --- Writing ----------------------------------------------------------------------------------------------------
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One monitor, or a list of up to 200: all of them or none. Errors of a list start with its number (`0.config.url`)."""
        if not isinstance(request.data, list):
            return super().create(request, *args, **kwargs)
        if not 1 <= len(request.data) <= MOST_AT_ONCE:
            raise bad({"body": f"From 1 to {MOST_AT_ONCE} monitors at a time."})
        made = []
        with transaction.atomic():
            for number, body in enumerate(request.data):
                try:
                    serializer = self.get_serializer(data=body)
                    serializer.is_valid(raise_exception=True)
                    self.check_owner(serializer)
                    self.perform_create(serializer)
                except (ValidationError, Invalid) as error:
                    fields = dotted(error.detail) if isinstance(error, ValidationError) else of_django(error)
                    raise bad({f"{number}.{name}": said for name, said in fields.items()}) from None
                made.append(serializer.instance)
        context = {**self.get_serializer_context(), "seen": Seen.of(made)}
        return Response(self.get_serializer_class()(made, many=True, context=context).data, status=201)

    def perform_create(self, serializer: BaseSerializer) -> None:
        values = dict(serializer.validated_data)
        tags, probes, template = values.pop("tags", ()), values.pop("probes", None), values.pop("template", None)
        rule = values.pop("probe_rule", None)
        wanted = services.probes_for(self.viewer, probes, values["client"].pk) if probes is not None else None
        m = services.save(
            templates.follow(Monitor(**values), template, tags),
            by=self.actor,
            at=database_now(),
            tags=tags,
            probes=wanted,
            rule=rule,
            trusted=bool(self.viewer.msp_role),
        )
        serializer.instance = self._again(m)

    def perform_update(self, serializer: BaseSerializer) -> None:
        values, m = dict(serializer.validated_data), serializer.instance
        tags, probes, config = values.pop("tags", None), values.pop("probes", None), values.pop("config", None)
        follows, template = "template" in values, values.pop("template", None)
        rule = values.pop("probe_rule", None)
        wanted = services.probes_for(self.viewer, probes, m.client_id) if probes is not None else None
        trusted = bool(self.viewer.msp_role) or (m.trusted and not services.moves(m, wanted, rule))
        if config is not None:
            before = {**m.config, **m.secrets.open()}
            # What staff let into the private network stays there only as long as a client's person leaves its aim alone.
            trusted = trusted if self.viewer.msp_role or config == before else False
            m.config, m.secrets = config, {}
        for name, value in values.items():
            setattr(m, name, value)
        if follows:
            templates.follow(m, template, tags if tags is not None else [tag.name for tag in m.tags.all()])
        services.save(m, by=self.actor, at=database_now(), tags=tags, probes=wanted, rule=rule, trusted=trusted)
        serializer.instance = self._again(m)
        serializer.context.pop("seen", None)

    def perform_destroy(self, instance: Monitor) -> None:
        services.delete(instance, by=self.actor, at=database_now())

    def _again(self, m: Monitor) -> Monitor:
        return self.get_queryset().get(pk=m.pk)

    def _shown(self, m: Monitor, status: int = 200) -> Response:
        return Response(self.get_serializer(self._again(m)).data, status=status)

    # --- Asking and telling -----------------------------------------------------------------------------------------
    @extend_schema(request=None, responses={202: MonitorSerializer})
    @action(detail=True, methods=["post"])
    def check(self, request: Request, pk: str) -> Response:
        """Every probe looks now; counts as a result."""
        m = self.get_object()
        services.check_now(m, by=self.actor, at=database_now())
        return self._shown(m, 202)

    @extend_schema(request=None, responses=MonitorSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """No checks, no alerts; open alerts close quietly."""
        return self._shown(services.pause(self.get_object(), by=self.actor, at=database_now()))

    @extend_schema(request=None, responses=MonitorSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Check again, from now."""
        return self._shown(services.resume(self.get_object(), by=self.actor, at=database_now()))

    @extend_schema(request=PushSerializer, responses={202: MonitorSerializer})
    @action(detail=True, methods=["post"])
    def push(self, request: Request, pk: str) -> Response:
        """A result that a script found, for monitors of kind push."""
        m = self.get_object()
        body = PushSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        services.push(m, at=database_now(), **body.validated_data)
        return self._shown(m, 202)

    @extend_schema(request=ActionSerializer, responses=OutcomeSerializer)
    @action(detail=False, methods=["post"], filterset_class=None, pagination_class=None)
    def actions(self, request: Request) -> Response:
        """One action on up to 200 monitors: pause, resume, check, tag, untag, move, delete. Each by itself; the answer says which were not, and why."""
        body = ActionSerializer(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        values = body.validated_data
        place = {name: values[name] for name in ("site", "service") if name in values}
        wish = bulk.Wish(values["tags"], place, values.get("probe_rule") or {})
        outcome = bulk.act(
            values["action"],
            chosen(self.get_queryset(), values["ids"], "ids"),
            wish,
            viewer=self.viewer,
            by=self.actor,
            at=database_now(),
        )
        return Response(outcome_body(outcome))

    # --- What was seen ----------------------------------------------------------------------------------------------
    @extend_schema(
        parameters=[
            OpenApiParameter("since", str),
            OpenApiParameter("until", str),
            OpenApiParameter("probe", str, description="Slug."),
        ],
        responses=ResultSerializer(many=True),
    )
    @action(detail=True, filterset_class=None)
    def results(self, request: Request, pk: str) -> Response:
        """What each check saw, newest first; `since` (inclusive) and `until` (exclusive) in RFC 3339."""
        pages, names = ResultPages(), slugs()
        rows = pages.paginate_queryset(results_of(self.get_object(), request, names), request, self)
        return pages.get_paginated_response(ResultSerializer(rows, many=True, context={"slugs": names}).data)

    @extend_schema(responses=UptimeSerializer)
    @action(detail=True, filterset_class=None)
    def uptime(self, request: Request, pk: str) -> Response:
        """{"1h", "24h", "7d", "30d", "90d"}: percent of the known checks that were up or degraded; null without data."""
        return Response(history.uptime(self.get_object().pk, database_now()))

    @extend_schema(responses=ChangeSerializer(many=True))
    @action(detail=True, filterset_class=None)
    def changes(self, request: Request, pk: str) -> Response:
        """Each change of its state, newest first."""
        rows = self.paginate_queryset(StateChange.objects.filter(monitor=self.get_object()).order_by())
        return self.get_paginated_response(ChangeSerializer(rows, many=True).data)

    @extend_schema(responses=CertificateSerializer(many=True))
    @action(detail=True, filterset_class=None)
    def certificates(self, request: Request, pk: str) -> Response:
        """The certificates it was shown, newest first."""
        rows = self.paginate_queryset(Certificate.objects.filter(monitor=self.get_object()).order_by())
        return self.get_paginated_response(CertificateSerializer(rows, many=True).data)

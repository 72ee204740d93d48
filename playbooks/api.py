"""What can scripts do with playbooks? Make and try them, read runs, stop everything; approving takes a person's code each time."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.serializers import BaseSerializer

from monitors.api.filters import by_id, words
from playbooks import backtest, deciding, services
from playbooks.bodies import (
    ApproveSerializer,
    BacktestSerializer,
    BrakeSerializer,
    DenySerializer,
    DryRunSerializer,
    PlaybookSerializer,
    RunSerializer,
)
from playbooks.models import Brake, Playbook, Run, RunState
from portal import mfa
from portal.api.base import ReadOnlyTenantViewSet, TenantViewSet
from portal.api.errors import bad
from portal.api.filters import IdFilter
from portal.clock import database_now
from portal.tenancy import APPROVE

HOW = "api+totp"


class PlaybookFilter(django_filters.FilterSet):
    """`client`, `mode`, `name`."""

    client = IdFilter(field_name="client_id")

    class Meta:
        model = Playbook
        fields = ["mode", "name"]


class Playbooks(TenantViewSet):
    """What may be done about a failure, behind which gates."""

    queryset = Playbook.objects.select_related("brake").prefetch_related("steps", "approvers").order_by("-id")
    serializer_class = PlaybookSerializer
    filterset_class = PlaybookFilter

    def perform_create(self, serializer: BaseSerializer) -> None:
        values, mode, code = self._split(serializer)
        serializer.instance = services.save_playbook(None, by=self.actor, at=database_now(), **values)
        self._trust(serializer, mode, code)

    def perform_update(self, serializer: BaseSerializer) -> None:
        values, mode, code = self._split(serializer)
        services.save_playbook(serializer.instance, by=self.actor, at=database_now(), **values)
        self._trust(serializer, mode, code)

    def perform_destroy(self, instance: Playbook) -> None:
        services.delete_playbook(instance, by=self.actor, at=database_now())

    def _split(self, serializer: BaseSerializer) -> tuple[dict[str, Any], str, str]:
        values = dict(serializer.validated_data)
        return values, values.pop("mode", ""), values.pop("totp", "")

    def _trust(self, serializer: BaseSerializer, mode: str, code: str) -> None:
        row, at = serializer.instance, database_now()
        if mode and mode != row.mode:
            proved = "totp" if code and mfa.verify_totp(self.request.user, code, at) else ""
            services.set_mode(row, mode, by=self.actor, at=at, user=self.request.user, proved=proved)
        serializer.instance = self.get_queryset().get(pk=row.pk)

    @extend_schema(request=DryRunSerializer, responses={201: RunSerializer})
    @action(detail=True, methods=["post"], url_path="dry-run")
    def dry_run(self, request: Request, pk: str) -> Response:
        """What would it do about this monitor now? Stored as a run that did nothing."""
        playbook = self.get_object()
        run = services.dry_run(playbook, self._body(DryRunSerializer)["monitor"], by=self.actor, at=database_now())
        return Response(RunSerializer(run).data, status=201)

    @extend_schema(request=BacktestSerializer, responses=serializers.DictField)
    @action(detail=True, methods=["post"], required_scope="read")
    def backtest(self, request: Request, pk: str) -> Response:
        """How often would it have acted in the last days, and which gate would have held it?"""
        playbook = self.get_object()
        days = self._body(BacktestSerializer)["days"]
        return Response(backtest.replay(playbook, self.viewer, database_now(), days=days))

    def _body(self, kind: type[serializers.Serializer]) -> dict[str, Any]:
        body = kind(data=self.request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        return body.validated_data


class RunFilter(django_filters.FilterSet):
    """?state= (commas: any of these) &playbook=&monitor=&alert=&incident=&client="""

    state = django_filters.CharFilter(method="by_state")
    playbook = by_id("playbook_id")
    monitor = by_id("monitor_id")
    alert = by_id("alert_id")
    incident = by_id("incident_id")
    client = by_id("client_id")

    class Meta:
        model = Run
        fields: list[str] = []

    def by_state(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        unknown = [w for w in words(value) if w not in RunState.values]
        if unknown:
            raise bad({name: f"{unknown[0][:40]!r} is not one of {', '.join(RunState.values)}."})
        return rows.filter(state__in=words(value))


class Runs(ReadOnlyTenantViewSet):
    """What was proposed, allowed and done."""

    queryset = Run.objects.prefetch_related("steps", "approvals__user").order_by("-id")
    serializer_class = RunSerializer
    filterset_class = RunFilter

    @extend_schema(request=ApproveSerializer, responses=RunSerializer)
    @action(detail=True, methods=["post"], required_scope=APPROVE)
    def approve(self, request: Request, pk: str) -> Response:
        """A named approver's yes, with the code that their authenticator shows now."""
        run, body, at = self.get_object(), self._body(ApproveSerializer), database_now()
        if not body["totp"] or not mfa.verify_totp(request.user, body["totp"], at):
            raise PermissionDenied(
                "Approving needs a fresh code of your authenticator in `totp`; each code works once."
            )
        values = {"plan_hash": body["plan_hash"] or run.plan_hash, "how": HOW, "by": self.actor, "at": at}
        return self._shown(deciding.approve(run, request.user, **values))

    @extend_schema(request=DenySerializer, responses=RunSerializer)
    @action(detail=True, methods=["post"], required_scope=APPROVE)
    def deny(self, request: Request, pk: str) -> Response:
        """A named approver's no: final for this incident."""
        run, body = self.get_object(), self._body(DenySerializer)
        values = {
            "plan_hash": run.plan_hash,
            "how": "api",
            "by": self.actor,
            "at": database_now(),
            "reason": body["reason"],
        }
        return self._shown(deciding.deny(run, request.user, **values))

    @extend_schema(request=None, responses=RunSerializer)
    @action(detail=True, methods=["post"], url_path="put-back")
    def put_back(self, request: Request, pk: str) -> Response:
        """Propose to undo what it did; the same people are asked as for the run."""
        return self._shown(services.put_back(self.get_object(), by=self.actor, at=database_now()), 201)

    @extend_schema(request=None, responses=RunSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Withdraw a proposal before it has begun."""
        return self._shown(services.cancel(self.get_object(), by=self.actor, at=database_now()))

    def _body(self, kind: type[serializers.Serializer]) -> dict[str, Any]:
        body = kind(data=self.request.data)
        body.is_valid(raise_exception=True)
        return body.validated_data

    def _shown(self, run: Run, status: int = 200) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=run.pk)).data, status=status)


class Brakes(mixins.CreateModelMixin, mixins.DestroyModelMixin, ReadOnlyTenantViewSet):
    """Kill switches that are on."""

    queryset = Brake.objects.order_by("-id")
    serializer_class = BrakeSerializer

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Pull one; again is harmless."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        playbook, client = values.get("playbook"), values.get("client")
        owner = playbook.client_id if playbook else getattr(client, "pk", None)
        if not self.viewer.may("write", owner):
            raise PermissionDenied("Your role or your token does not allow stopping this.")
        row = services.stop(client=client, playbook=playbook, reason=values["reason"], by=self.actor, at=database_now())
        return Response(self.get_serializer(row).data, status=201)

    def perform_destroy(self, instance: Brake) -> None:
        services.release(instance, by=self.actor)


def register(router: SimpleRouter) -> None:
    """Add them to the router of /api/v1/."""
    router.register("playbooks", Playbooks)
    router.register("playbook-runs", Runs, basename="playbook-run")
    router.register("playbook-brakes", Brakes, basename="playbook-brake")

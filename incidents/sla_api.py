"""What was promised, and what came of it? Contracts of services and monthly reports, for scripts."""

from __future__ import annotations

from datetime import date
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from incidents import exports, reports
from incidents.models import SlaContract, SlaReport
from monitors.api.filters import by_id
from portal.api.base import ReadOnlyTenantViewSet, TenantViewSet
from portal.api.errors import bad
from portal.api.serializers import OwnRow, TenantSerializer
from portal.clock import database_now
from portal.models import Client, Service
from portal.tenancy import WRITE


def month(text: str) -> date:
    """`2026-11` as its first day. Raises ValueError."""
    year, dash, number = text.partition("-")
    if not (dash and len(year) == 4 and len(number) == 2 and text.replace("-", "").isascii()):
        raise ValueError("Write a month as 2026-11.")
    return date(int(year), int(number), 1)


@extend_schema_field(OpenApiTypes.STR)
class MonthField(serializers.Field):
    """A month as 2026-11."""

    def to_internal_value(self, data: Any) -> date:
        try:
            return month(str(data))
        except ValueError:
            raise serializers.ValidationError("Write a month as 2026-11.") from None

    def to_representation(self, value: date) -> str:
        return f"{value:%Y-%m}"


class ContractSerializer(TenantSerializer):
    """What was promised about a service. `timezone` empty: the client's."""

    service = OwnRow(queryset=Service.objects.all())
    client = serializers.IntegerField(source="service.client_id", read_only=True)

    class Meta:
        model = SlaContract
        fields = ["id", "client", "service", *reports.FIELDS]
        fixed = ("service",)

    def validate_service(self, service: Service) -> Service:
        if self.instance is None and SlaContract.objects.filter(service=service).exists():
            raise serializers.ValidationError("This service has a contract already; change that one.")
        return service


class ContractFilter(django_filters.FilterSet):
    """?client=&service="""

    client = by_id("service__client_id")
    service = by_id("service_id")

    class Meta:
        model = SlaContract
        fields: list[str] = []


class Contracts(TenantViewSet):
    """Contracts about services. Clients read their own; our staff makes and changes them."""

    queryset = SlaContract.objects.select_related("service").order_by("pk")
    serializer_class = ContractSerializer
    filterset_class = ContractFilter

    def _ours(self) -> None:
        if not self.viewer.may(WRITE, None):
            raise PermissionDenied("A contract is changed by our staff.")

    def perform_create(self, serializer: BaseSerializer) -> None:
        self._ours()
        values = dict(serializer.validated_data)
        serializer.instance = reports.save_contract(values.pop("service"), by=self.actor, **values)

    def perform_update(self, serializer: BaseSerializer) -> None:
        self._ours()
        values = {name: value for name, value in serializer.validated_data.items() if name in reports.FIELDS}
        serializer.instance = reports.save_contract(serializer.instance.service, by=self.actor, **values)

    def perform_destroy(self, instance: SlaContract) -> None:
        self._ours()
        reports.delete_contract(instance, by=self.actor)


class ReportSerializer(TenantSerializer):
    """One month of one client as it was told."""

    client = OwnRow(queryset=Client.objects.all())
    month = MonthField()

    class Meta:
        model = SlaReport
        fields = ["id", "client", "month", "body", "digest", "made_at", "made_by"]
        read_only_fields = ["body", "digest", "made_at", "made_by"]


class ReportFilter(django_filters.FilterSet):
    """?client=&month=2026-11"""

    client = by_id("client_id")
    month = django_filters.CharFilter(method="by_month")

    class Meta:
        model = SlaReport
        fields: list[str] = []

    def by_month(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        try:
            return rows.filter(month=month(value))
        except ValueError:
            raise bad({"month": "Write a month as 2026-11."}) from None


class Reports(ReadOnlyTenantViewSet):
    """Monthly reports. Those that were told are kept; `figures` counts any month anew, also the one that runs."""

    queryset = SlaReport.objects.select_related("client")
    serializer_class = ReportSerializer
    filterset_class = ReportFilter

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Count a month that is over and keep it. The same figures again are the same report."""
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        if not self.viewer.may(WRITE, None):
            raise PermissionDenied("Reports are made by our staff.")
        client, first = asked.validated_data["client"], asked.validated_data["month"]
        row = reports.make(client, first, by=self.actor, at=database_now())
        return Response(self.get_serializer(row).data, status=201)

    @extend_schema(
        parameters=[OpenApiParameter("client", int, required=True), OpenApiParameter("month", str, required=True)],
        responses=OpenApiTypes.OBJECT,
    )
    @action(detail=False, filterset_class=None, pagination_class=None)
    def figures(self, request: Request) -> Response:
        """`?client=3&month=2026-11`: the month as far as it has gone, counted now."""
        try:
            first = month(request.query_params.get("month", ""))
        except ValueError:
            raise bad({"month": "Write a month as 2026-11."}) from None
        wanted = request.query_params.get("client", "")
        pk = int(wanted) if wanted.isascii() and wanted.isdigit() and int(wanted) < 2**63 else 0
        client = Client.objects.for_user(request).filter(pk=pk).first()
        if client is None:
            raise bad({"client": "There is no such client."})
        return Response(reports.figures(client, first, at=database_now()))

    @extend_schema(responses=OpenApiTypes.OBJECT)
    @action(detail=True)
    def recompute(self, request: Request, pk: str) -> Response:
        """Is it the same when it is counted again? {"equal", "differences", "from_rows"}."""
        row, at = self.get_object(), database_now()
        found = reports.recompute(row, at=at)
        return Response({"equal": not found, "differences": found, "from_rows": reports.can_ask_rows(row, at=at)})

    @extend_schema(responses={(200, "text/csv"): str})
    @action(detail=True)
    def csv(self, request: Request, pk: str) -> HttpResponse:
        """One line for each figure, outage and excluded stretch."""
        row = self.get_object()
        return attached(
            exports.as_csv(row.body).encode(), "text/csv; charset=utf-8", f"availability-{row.month:%Y-%m}.csv"
        )

    @extend_schema(responses={(200, "application/pdf"): bytes})
    @action(detail=True)
    def pdf(self, request: Request, pk: str) -> HttpResponse:
        """The report on paper."""
        row = self.get_object()
        return attached(exports.as_pdf(row.body, row.digest), "application/pdf", f"availability-{row.month:%Y-%m}.pdf")


def attached(content: bytes, kind: str, name: str) -> HttpResponse:
    """A file to be saved under that name, never shown in the page's place."""
    answer = HttpResponse(content, content_type=kind)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer

"""What is a client over the API, beyond the ground's body? Its archive, how the portal looks to its people, who gets its reports."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, StreamingHttpResponse
from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from console.exporting import jobs
from console.pages.client_export import served
from incidents import sla_mail
from incidents.models import ReportRecipient
from portal import branding
from portal.api import resources
from portal.api.filters import LARGEST
from portal.clock import database_now
from portal.models import Branding, Client, ClientExport
from portal.tenancy import ADMINISTER, WRITE
from statuspages.bodies import LogoField


class ExportSerializer(serializers.ModelSerializer):
    """An archive of everything of a client: how far it is, and until when it can be fetched."""

    class Meta:
        model = ClientExport
        fields = ["id", "client", "state", "step", "done", "total", "size", "digest", "error", "asked_by", "asked_at", "finished_at", "expires_at"]  # fmt: skip
        read_only_fields = fields


class BrandingSerializer(serializers.Serializer):
    """How the portal looks. What is empty is as the provider's, or as delivered."""

    name = serializers.CharField(required=False, allow_blank=True, max_length=60, help_text="The portal's name.")
    accent = serializers.CharField(required=False, allow_blank=True, max_length=7, help_text="As #2563eb.")
    logo = LogoField(write_only=True, required=False, allow_null=True)
    logo_url = serializers.CharField(read_only=True, help_text="Where the picture is; empty without one of its own.")
    domain = serializers.CharField(required=False, allow_blank=True, max_length=300, help_text="A client's own name for the portal, as portal.acme.example.")  # fmt: skip
    domain_record = serializers.ListField(child=serializers.CharField(), read_only=True, help_text="Name and text of the TXT record that proves it; empty without a domain.")  # fmt: skip
    domain_proved_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="Until then the portal does not answer there.")  # fmt: skip


class RecipientsSerializer(serializers.Serializer):
    """Who is mailed each month's report."""

    contacts = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST), max_length=sla_mail.MOST_RECIPIENTS, help_text="Contacts by id: the client's, or ours."
    )  # fmt: skip


class AnyFormat(BaseContentNegotiation):
    """A file is what it is, whatever was asked for."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


def brand_of(client: Client | None) -> dict[str, Any]:
    """What is its own of how the portal looks."""
    row = Branding.objects.filter(client=client).first() or Branding(client=client)
    return {
        "name": row.name, "accent": row.accent, "logo_url": branding.address(row.logo_digest, row.logo_type), "domain": row.domain,
        "domain_record": list(branding.record_of(row)) if row.domain else [], "domain_proved_at": row.domain_proved_at,
    }  # fmt: skip


def rebrand(client: Client | None, request: Request, actor: Any) -> dict[str, Any]:
    """Change the given fields; what is not sent stays."""
    body = BrandingSerializer(data=request.data)
    body.is_valid(raise_exception=True)
    values, now = body.validated_data, brand_of(client)
    picture = values.get("logo", branding.KEEP)
    branding.save(
        client, by=actor, name=values.get("name", now["name"]), accent=values.get("accent", now["accent"]), picture=picture,
        domain=values.get("domain", branding.KEEP),
    )  # fmt: skip
    return brand_of(client)


class Clients(resources.Clients):
    """Clients (tenants)."""

    # --- Everything of it -------------------------------------------------------------------------------------------------
    @extend_schema(methods=["GET"], responses=ExportSerializer)
    @extend_schema(methods=["POST"], request=None, responses={202: ExportSerializer})
    @action(detail=True, methods=["get", "post"], filterset_fields=None, pagination_class=None, read_scope=WRITE)
    def export(self, request: Request, pk: str) -> Response:
        """The archive asked for last: how far it is. POST: have one made; 409 while one is being made."""
        client = self.get_object()
        if request.method == "POST":
            row = jobs.ask(client, by=self.actor, at=database_now())
            return Response(ExportSerializer(row).data, status=202)
        found = jobs.latest(client, database_now())
        if found is None:
            raise Http404
        return Response(ExportSerializer(found).data)

    @extend_schema(responses={(200, "application/zip"): OpenApiTypes.BINARY})
    @action(
        detail=True, methods=["get"], filterset_fields=None, pagination_class=None, url_path="export/file", url_name="export-file", read_scope=WRITE,
        content_negotiation_class=AnyFormat,
    )  # fmt: skip
    def export_file(self, request: Request, pk: str) -> StreamingHttpResponse:
        """The archive as a ZIP file; 409 when none is ready."""
        row = jobs.latest(self.get_object(), database_now())
        if row is None:
            raise Http404
        return served(row, self.actor)

    # --- How the portal looks to its people -------------------------------------------------------------------------------
    @extend_schema(methods=["GET"], responses=BrandingSerializer)
    @extend_schema(methods=["PATCH"], request=BrandingSerializer, responses=BrandingSerializer)
    @action(detail=True, methods=["get", "patch"], filterset_fields=None, pagination_class=None)
    def branding(self, request: Request, pk: str) -> Response:
        """What is the client's own of how the portal looks to its people. PATCH: our own staff say so."""
        client = self.get_object()
        if request.method == "PATCH":
            if not self.viewer.may(WRITE, None):
                raise PermissionDenied("Only our own staff say how the portal looks to a client.")
            return Response(rebrand(client, request, self.actor))
        return Response(brand_of(client))

    @extend_schema(request=None, responses=BrandingSerializer)
    @action(detail=True, methods=["post"], filterset_fields=None, pagination_class=None, url_path="branding/prove", url_name="branding-prove")  # fmt: skip
    def branding_prove(self, request: Request, pk: str) -> Response:
        """Look for the domain's TXT record now; 409 says what was seen instead. Our own staff press it."""
        client = self.get_object()
        if not self.viewer.may(WRITE, None):
            raise PermissionDenied("Only our own staff say how the portal looks to a client.")
        row = Branding.objects.filter(client=client).first()
        if row is None:
            raise Http404
        branding.prove(row, by=self.actor, at=database_now())
        return Response(brand_of(client))

    @extend_schema(methods=["GET"], responses=BrandingSerializer)
    @extend_schema(methods=["PATCH"], request=BrandingSerializer, responses=BrandingSerializer)
    @action(detail=False, methods=["get", "patch"], url_path="our-branding", filterset_fields=None, pagination_class=None, required_scope=ADMINISTER)  # fmt: skip
    def our_branding(self, request: Request) -> Response:
        """How the portal looks to everybody else, also before signing in. PATCH: owners."""
        if request.method == "PATCH":
            if not self.viewer.may(ADMINISTER, None):
                raise PermissionDenied("Only an owner says how the portal looks to everybody.")
            return Response(rebrand(None, request, self.actor))
        return Response(brand_of(None))

    # --- Who gets its reports ---------------------------------------------------------------------------------------------
    @extend_schema(methods=["GET"], responses=RecipientsSerializer)
    @extend_schema(methods=["POST"], request=RecipientsSerializer, responses=RecipientsSerializer)
    @action(detail=True, methods=["get", "post"], url_path="report-recipients", url_name="report-recipients", filterset_fields=None, pagination_class=None)  # fmt: skip
    def report_recipients(self, request: Request, pk: str) -> Response:
        """Who is mailed each month's report. POST: from now on these; a client's people leave ours among them as they are."""
        client, ours = self.get_object(), bool(self.viewer.msp_role)
        if request.method == "POST":
            body = RecipientsSerializer(data=request.data)
            body.is_valid(raise_exception=True)
            wanted = set(body.validated_data["contacts"])
            chosen = list(sla_mail.candidates(client, ours=ours).filter(pk__in=wanted))
            unknown = wanted - {c.pk for c in chosen}
            if unknown:
                raise serializers.ValidationError({"contacts": [f"There is no contact {min(unknown)} of this client who can be mailed."]})  # fmt: skip
            sla_mail.name_recipients(client, chosen, by=self.actor, ours=ours)
        rows = ReportRecipient.objects.filter(client=client).order_by("contact_id")
        named = rows if ours else rows.exclude(contact__client=None)
        return Response({"contacts": list(named.values_list("contact_id", flat=True))})

"""How are status pages, their parts, planned work and readers shown and read over the API? Rules live in the services."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from monitors.models import Monitor
from portal.api.serializers import OwnRow, TenantSerializer
from portal.markup import css
from portal.models import Client, Service
from portal.secrets import MASK
from portal.tenancy import WRITE, viewer_of
from statuspages import domains, logo
from statuspages.models import Component, ComponentGroup, Page, Publication, ScheduledWork, Subscriber, WorkUpdate

MOST_PARTS = 300
LOGO_CHARACTERS = logo.MOST_BYTES * 4 // 3 + 100


class PageId(serializers.Field):
    """The id of a status page that the caller sees, or null; a foreign id has the words of one that does not exist."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, "allow_null": True, **kwargs})

    def to_internal_value(self, data: Any) -> int:
        whole = isinstance(data, int) and not isinstance(data, bool) and 0 < data < 2**63
        seen = whole and Page.objects.for_user(self.context["request"]).filter(pk=data).exists()
        if not seen and (not whole or data != self._now()):
            raise serializers.ValidationError(f"There is no such row: {str(data)[:40]!r}.")
        return data

    def _now(self) -> Any:
        """What is stored: whoever sends it back changes nothing, whether they see that page or not."""
        row = getattr(self.root, "instance", None)
        try:
            return self.get_attribute(row) if isinstance(row, Model) else None
        except (AttributeError, KeyError, ObjectDoesNotExist, serializers.SkipField):
            return None

    def to_representation(self, value: Any) -> Any:
        return value


extend_schema_field({"type": "integer", "nullable": True})(PageId)


class LogoField(serializers.Field):
    """The picture's bytes in base64, null to take it away; read as whether there is one."""

    def to_internal_value(self, data: Any) -> bytes:
        text = data.partition(",")[2] if isinstance(data, str) and data.startswith("data:") else data
        if not isinstance(text, str) or len(text) > LOGO_CHARACTERS:
            raise serializers.ValidationError(f"A picture of at most {logo.MOST_BYTES // 1024} KB, in base64.")
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise serializers.ValidationError("This is not base64.") from None

    def to_representation(self, value: Any) -> Any:
        return None


extend_schema_field({"type": "string", "format": "byte", "nullable": True, "writeOnly": True})(LogoField)


class GroupSerializer(serializers.ModelSerializer):
    """A heading with components below it."""

    id = serializers.IntegerField(required=False, min_value=1)
    name = serializers.CharField(max_length=120)

    class Meta:
        model = ComponentGroup
        fields = ["id", "name", "collapsed"]


class ComponentSerializer(serializers.ModelSerializer):
    """What readers know a part of the service by."""

    id = serializers.IntegerField(
        required=False, min_value=1, help_text="Of one that is there; left out: found by its name, else made."
    )
    name = serializers.CharField(max_length=120)
    group = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=120,
        help_text="The name of its heading; made when it is new.",
    )
    monitor_ids = OwnRow(queryset=Monitor.objects.all(), many=True, required=False, source="monitors")
    service_id = OwnRow(queryset=Service.objects.all(), required=False, allow_null=True, source="service")

    class Meta:
        model = Component
        fields = [
            "id",
            "name",
            "description",
            "group",
            "monitor_ids",
            "service_id",
            "show_uptime",
            "override",
            "override_until",
            "override_by",
        ]
        read_only_fields = ["override", "override_until", "override_by"]

    def to_representation(self, row: Component) -> dict[str, Any]:
        body = super().to_representation(row)
        return body | {
            "group": row.group.name if row.group else None,
            "override": row.override or None,
            "override_by": row.override_by or None,
        }


class OverrideSerializer(serializers.Serializer):
    """How it is said to be by hand; null: as measured."""

    status = serializers.ChoiceField(choices=[c for c in Component.Override.choices if c[0]], allow_null=True)
    until = serializers.DateTimeField(required=False, allow_null=True, help_text="Left out: until somebody changes it.")


class PageSerializer(TenantSerializer):
    """A status page with its components. `components` and `groups`, when given, become the whole list, in this order."""

    client = OwnRow(
        queryset=Client.objects.all(),
        required=False,
        allow_null=True,
        help_text="null: the MSP's own, for any client's components.",
    )
    name = serializers.CharField(max_length=120)
    slug = serializers.CharField(required=False, max_length=60, allow_blank=True, help_text="Left out: from the name.")
    password = serializers.CharField(
        write_only=True,
        required=False,
        allow_blank=True,
        max_length=200,
        help_text="For `visibility: password`; never shown.",
    )
    logo = LogoField(write_only=True, required=False, allow_null=True)
    has_password = serializers.SerializerMethodField()
    has_logo = serializers.SerializerMethodField()
    css_complaints = serializers.SerializerMethodField(
        help_text="What of `custom_css` is not kept, with its line and the cure."
    )
    url = serializers.SerializerMethodField(help_text="Where readers find it.")
    domain_record = serializers.SerializerMethodField(help_text="The TXT record that proves the domain.")
    components = ComponentSerializer(many=True, required=False)
    groups = GroupSerializer(many=True, required=False)

    class Meta:
        model = Page
        fields = [
            "id", "client", "name", "slug", "url", "enabled", "visibility", "password", "has_password", "headline", "about", "announcement", "announcement_until",
            "support_url", "language", "timezone", "theme", "accent", "logo", "has_logo", "custom_css", "css_complaints", "show_latency", "show_targets",
            "show_verdicts", "show_uptime", "custom_domain", "domain_record", "domain_verified_at", "publish_folder", "published_at", "publish_error",
            "subscriptions", "created_at", "groups", "components",
        ]  # fmt: skip
        read_only_fields = ["domain_verified_at", "published_at", "publish_error", "created_at"]
        extra_kwargs = {"custom_css": {"trim_whitespace": False}}

    def get_has_password(self, page: Page) -> bool:
        return bool(page.password_hash)

    def get_has_logo(self, page: Page) -> bool:
        return bool(page.logo_type)

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_css_complaints(self, page: Page) -> list[str]:
        return css(page.custom_css)[1] if page.custom_css else []

    def get_url(self, page: Page) -> str:
        return address_of(page)

    @extend_schema_field(
        {"type": "object", "nullable": True, "properties": {"name": {"type": "string"}, "text": {"type": "string"}}}
    )
    def get_domain_record(self, page: Page) -> dict[str, str] | None:
        name, text = domains.record_of(page)
        return {"name": name, "text": text} if name else None

    def validate_components(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return _few(rows, "components")

    def validate_groups(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return _few(rows, "groups")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("publish_folder") and not self.viewer.msp_role:
            now = self.instance.publish_folder if self.instance is not None else ""
            if values["publish_folder"] != now:
                raise serializers.ValidationError(
                    {"publish_folder": ["Our staff chooses where copies are written; ask them."]}
                )
        return values


def _few(rows: list[dict[str, Any]], noun: str) -> list[dict[str, Any]]:
    if len(rows) > MOST_PARTS:
        raise serializers.ValidationError(f"At most {MOST_PARTS} {noun}.")
    return rows


def address_of(page: Page) -> str:
    """Where readers find a page: at its own domain once that is proved, else below the portal's."""
    if page.custom_domain and page.domain_verified_at:
        return f"https://{page.custom_domain}/"
    return f"{settings.BASE_URL.rstrip('/')}/status/{page.slug}/"


class PublicationSerializer(serializers.ModelSerializer):
    """An incident on a page, as its readers see it."""

    incident = serializers.PrimaryKeyRelatedField(read_only=True)
    title = serializers.SerializerMethodField()
    severity = serializers.CharField(source="incident.severity")
    status = serializers.CharField(source="incident.status")
    components = serializers.PrimaryKeyRelatedField(many=True, read_only=True, help_text="None: those of its monitors.")
    resolved_at = serializers.DateTimeField(source="incident.resolved_at")

    class Meta:
        model = Publication
        fields = [
            "id",
            "incident",
            "title",
            "severity",
            "status",
            "components",
            "published_at",
            "published_by",
            "withdrawn_at",
            "resolved_at",
        ]

    def get_title(self, row: Publication) -> str:
        return row.title or row.incident.title


class PublishSerializer(serializers.Serializer):
    """Onto which page, and which of its components it affects."""

    status_page_id = PageId(required=True, allow_null=False)
    component_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        required=False,
        default=list,
        max_length=MOST_PARTS,
        help_text="None: those of its monitors.",
    )
    title = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=200, help_text="Empty: the incident's own."
    )


class WorkUpdateSerializer(serializers.ModelSerializer):
    """What was said about planned work."""

    class Meta:
        model = WorkUpdate
        fields = ["id", "status", "message", "by", "created_at"]


class WorkSerializer(serializers.ModelSerializer):
    """Work that readers are told of."""

    title = serializers.CharField(max_length=200)
    message = serializers.CharField(required=False, allow_blank=True, max_length=5000)
    component_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1), required=False, max_length=MOST_PARTS, write_only=True
    )
    rest = serializers.BooleanField(
        required=False, write_only=True, help_text="Its components' monitors rest meanwhile, in a maintenance window."
    )
    window_id = serializers.IntegerField(read_only=True, allow_null=True)
    updates = WorkUpdateSerializer(many=True, read_only=True)

    class Meta:
        model = ScheduledWork
        fields = [
            "id", "title", "message", "component_ids", "starts_at", "ends_at", "status", "auto_start", "auto_end", "remind_minutes", "reminded_at", "rest",
            "window_id", "created_at", "created_by", "updates",
        ]  # fmt: skip
        read_only_fields = ["status", "reminded_at", "created_at", "created_by"]

    def to_representation(self, row: ScheduledWork) -> dict[str, Any]:
        return super().to_representation(row) | {"component_ids": [c.pk for c in row.components.all()]}


class MoveSerializer(serializers.Serializer):
    """How far it is; the same status with a message says more."""

    status = serializers.ChoiceField(
        choices=ScheduledWork.Status.choices, required=False, help_text="Left out: as it is."
    )
    message = serializers.CharField(required=False, allow_blank=True, default="", max_length=5000)


class SubscriberSerializer(serializers.ModelSerializer):
    """A reader. The address is shown to those who may change the page, and masked for everybody else."""

    address = serializers.SerializerMethodField()
    components = serializers.PrimaryKeyRelatedField(many=True, read_only=True, help_text="None: all of the page.")

    class Meta:
        model = Subscriber
        fields = [
            "id",
            "kind",
            "state",
            "address",
            "components",
            "created_at",
            "confirmed_at",
            "ended_at",
            "failures",
            "bounces",
            "ended_reason",
        ]

    def get_address(self, row: Subscriber) -> str:
        if not row.address:
            return ""
        if row.kind != Subscriber.Kind.EMAIL or not viewer_of(self.context["request"]).may(WRITE, row.page.client_id):
            return MASK  # an address of a webhook is a secret for everybody
        return str(row.address.open())

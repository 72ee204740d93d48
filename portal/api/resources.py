"""Clients, sites, services, contacts and groups: what is read and written of them over the API (SPEC 19)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.serializers import BaseSerializer

from portal import services
from portal.api.base import TenantViewSet
from portal.api.serializers import OwnRow, SecretText, TagNames, TenantSerializer
from portal.models import Client, Contact, ContactGroup, Service, Site, User
from portal.outbound.guard import Blocked, Reach, check_url, check_written
from portal.tenancy import viewer_of


class ClientSerializer(TenantSerializer):
    """A client. Its own people may change where they are told and their zone; the rest is the MSP's."""

    STAFF_FIELDS = frozenset({"name", "slug", "tags", "notes", "active"})

    slug = serializers.SlugField(required=False, allow_blank=True, max_length=60)
    slack_webhook = SecretText(max_length=500)
    has_secret = serializers.SerializerMethodField(help_text="Is a Slack webhook stored?")
    tags = TagNames()

    class Meta:
        model = Client
        fields = [
            "id",
            "name",
            "slug",
            "timezone",
            "email",
            "slack_webhook",
            "has_secret",
            "tags",
            "notes",
            "active",
            "created_at",
        ]
        fixed = ()

    def get_has_secret(self, client: Client) -> bool:
        return bool(client.slack_webhook)

    def validate_slack_webhook(self, url: str) -> str:
        return check_hook(url) if url else url

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if self.instance is not None and not self.viewer.msp_role:
            for name in sorted(self.STAFF_FIELDS & values.keys()):
                given = values[name]
                now = (
                    sorted(t.name for t in self.instance.tags.all()) if name == "tags" else getattr(self.instance, name)
                )
                if (sorted(given) if name == "tags" else given) != now and not (name == "notes" and not given):
                    raise PermissionDenied(f"Only our own staff may change `{name}` of a client.")
            values = {name: value for name, value in values.items() if name not in self.STAFF_FIELDS}
        if self.instance is not None and not values.get("slug", "x"):
            values.pop("slug")  # an emptied slug is not a change
        return values

    def to_representation(self, client: Client) -> dict[str, Any]:
        body = super().to_representation(client)
        if not self.viewer.msp_role:
            body.pop("notes")  # what staff write about a client is not for its people
        return body


def check_hook(url: str) -> str:
    """A web address that we may post to; the guard looks again whenever it is used. ValidationError otherwise."""
    try:
        host = check_url(url).host
    except ValueError as error:
        raise serializers.ValidationError(str(error)) from None
    try:  # of another name, the addresses are judged at each use
        check_written(host, Reach(allow=settings.OUTBOUND_ALLOW))
    except Blocked as error:
        raise serializers.ValidationError(str(error)) from None
    return url


class Clients(TenantViewSet):
    """Clients (tenants)."""

    queryset = Client.objects.prefetch_related("tags")
    serializer_class = ClientSerializer
    filterset_fields = ["slug", "name", "active"]

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.instance = services.create_client(by=self.actor, **serializer.validated_data)

    def perform_update(self, serializer: BaseSerializer) -> None:
        services.change_client(serializer.instance, by=self.actor, **serializer.validated_data)

    def perform_destroy(self, instance: Client) -> None:
        if not self.viewer.may("write", None):
            raise PermissionDenied("Only our own staff may delete a client.")
        services.delete_client(instance, by=self.actor)


class PlainRows(TenantViewSet):
    """Resources whose fields are all there is to them."""

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.instance = services.create(serializer.Meta.model, by=self.actor, **serializer.validated_data)

    def perform_update(self, serializer: BaseSerializer) -> None:
        services.change(serializer.instance, by=self.actor, **serializer.validated_data)

    def perform_destroy(self, instance: Any) -> None:
        services.delete(instance, by=self.actor)


class SiteSerializer(TenantSerializer):
    """A client's place or property."""

    tags = TagNames()

    class Meta:
        model = Site
        fields = ["id", "client", "name", "url", "address", "timezone", "tags", "created_at"]


class Sites(PlainRows):
    """Sites of clients."""

    queryset = Site.objects.prefetch_related("tags")
    serializer_class = SiteSerializer
    filterset_fields = ["client", "name"]


class ServiceSerializer(TenantSerializer):
    """A service's base; routing and incident rules are added by the apps that own them."""

    class Meta:
        model = Service
        fields = ["id", "client", "name", "description", "created_at"]


class Services(PlainRows):
    """Logical groups of monitors."""

    queryset = Service.objects.all()
    serializer_class = ServiceSerializer
    filterset_fields = ["client", "name"]


class UserRow(serializers.PrimaryKeyRelatedField):
    """A user the caller may name: staff any, others themselves and members of the clients they see."""

    def get_queryset(self) -> QuerySet:
        viewer = viewer_of(self.context["request"]) if "request" in self.context else None
        if viewer is None or viewer.user is None:
            return User.objects.none()
        return (
            User.objects.all()
            if viewer.sees_all
            else User.objects.filter(memberships__client__in=viewer.client_ids).distinct()
        )


class ContactSerializer(TenantSerializer):
    """A contact's base; its channels are added by the app that owns them."""

    user = UserRow(queryset=User.objects.none(), required=False, allow_null=True)

    class Meta:
        model = Contact
        fields = ["id", "client", "name", "email", "phone", "timezone", "user", "created_at"]


class Contacts(PlainRows):
    """People who can be told."""

    queryset = Contact.objects.all()
    serializer_class = ContactSerializer
    filterset_fields = ["client", "name", "email"]


class ContactGroupSerializer(TenantSerializer):
    """Several contacts under one name."""

    contact_ids = OwnRow(many=True, required=False, source="contacts", queryset=Contact.objects.all())

    class Meta:
        model = ContactGroup
        fields = ["id", "client", "name", "contact_ids"]


class ContactGroups(PlainRows):
    """Groups of contacts."""

    queryset = ContactGroup.objects.prefetch_related("contacts")
    serializer_class = ContactGroupSerializer
    filterset_fields = ["client", "name"]

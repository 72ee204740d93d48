"""Tokens, people, provider accounts and the audit log: what is read and written of them over the API."""

from __future__ import annotations

import re
from typing import Any

import django_filters
from django.db.models import QuerySet
from rest_framework import mixins, serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from portal import people, providers
from portal.api.base import PortalViewSet, ReadOnlyTenantViewSet
from portal.api.permissions import OwnersOnly, Scoped
from portal.api.serializers import SecretMap, TenantSerializer
from portal.models import AuditEntry, Client, Membership, ProviderSettings, Token, User
from portal.models.people import SCOPES
from portal.tenancy import ADMINISTER, CLIENT_ROLES, MSP_ROLES, viewer_of

ROLES = [*MSP_ROLES, *CLIENT_ROLES]


class TokenSerializer(TenantSerializer):
    """A token. Its plain text stands only in the answer that made it."""

    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES), allow_empty=False)

    class Meta:
        model = Token
        fields = [
            "id",
            "user",
            "name",
            "prefix",
            "scopes",
            "client",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        ]
        read_only_fields = ["user", "revoked_at"]

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values = serializers.ModelSerializer.to_internal_value(self, data)
        bound = self.viewer.only_client
        if bound is not None and "client" not in values:
            values["client"] = Client.objects.get(pk=bound)
        return values


class ByPersonOrAdmin(Scoped):
    """Tokens are made by a signed-in person, or by a token of theirs with the scope admin."""

    def has_permission(self, request: Request, view: Any) -> bool:
        viewer = viewer_of(request)
        if viewer.user is None:
            return False
        if viewer.token is not None and ADMINISTER not in viewer.token.scope_set:
            self.message = f"This token lacks the scope “{ADMINISTER}”."
            return False
        return True

    def has_object_permission(self, request: Request, view: Any, obj: Token) -> bool:
        return True  # the queryset holds one's own, or everybody's for an owner


class Tokens(
    mixins.CreateModelMixin, mixins.DestroyModelMixin, mixins.RetrieveModelMixin, mixins.ListModelMixin, PortalViewSet
):
    """One's own tokens; an owner sees everybody's. DELETE revokes and keeps the row."""

    queryset = Token.objects.all()
    serializer_class = TokenSerializer
    permission_classes = [ByPersonOrAdmin]
    filterset_fields = ["user", "client"]

    def get_queryset(self) -> QuerySet:
        if getattr(self, "swagger_fake_view", False):
            return Token.objects.none()
        rows = Token.objects.all()
        if self.viewer.only_client is not None:
            rows = rows.filter(client=self.viewer.only_client)
        return rows if self.viewer.may(ADMINISTER, None) else rows.filter(user=self.viewer.user)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        parent = self.viewer.token
        if parent is not None:
            self._within(parent, values)
        token, plain = people.issue_token(self.viewer.user, by=self.actor, **values)
        return Response({**self.get_serializer(token).data, "token": plain}, status=201)

    @staticmethod
    def _within(parent: Token, values: dict[str, Any]) -> None:
        """A token never makes one that may do more, see more or live longer than itself."""
        if not set(values["scopes"]) <= parent.scope_set:
            raise PermissionDenied("A token cannot give scopes that it does not have.")
        if parent.client_id is not None and (values.get("client") is None or values["client"].pk != parent.client_id):
            raise PermissionDenied("A token that is bound to a client cannot make one for more.")
        if parent.expires_at is not None and (
            values.get("expires_at") is None or values["expires_at"] > parent.expires_at
        ):
            values["expires_at"] = parent.expires_at

    def perform_destroy(self, instance: Token) -> None:
        people.revoke_token(instance, by=self.actor)


class OwnersViewSet(PortalViewSet):
    """Resources that only owners see: for everybody else their rows do not exist."""

    permission_classes = [OwnersOnly]

    def get_queryset(self) -> QuerySet:
        rows = super().get_queryset()
        fake = getattr(self, "swagger_fake_view", False)
        return rows.none() if fake or not self.viewer.may(ADMINISTER, None) else rows


class MembershipSerializer(serializers.ModelSerializer):
    """A person's role at a client, or with the MSP (client null)."""

    email = serializers.EmailField(source="user.email", read_only=True)
    role = serializers.ChoiceField(choices=ROLES)

    class Meta:
        model = Membership
        fields = ["id", "user", "email", "client", "role", "created_at"]
        validators: list = []  # the service says it in our words


class Memberships(
    mixins.CreateModelMixin, mixins.DestroyModelMixin, mixins.RetrieveModelMixin, mixins.ListModelMixin, OwnersViewSet
):
    """Who has which role where. PATCH changes the role."""

    queryset = Membership.objects.select_related("user")
    serializer_class = MembershipSerializer
    filterset_fields = ["user", "client", "role"]

    def perform_create(self, serializer: BaseSerializer) -> None:
        values = serializer.validated_data
        email = values["user"].email
        serializer.instance, _ = people.invite(email, role=values["role"], client=values.get("client"), by=self.actor)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        membership = self.get_object()
        serializer = self.get_serializer(membership, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        for name in ("user", "client"):
            if name in serializer.validated_data and serializer.validated_data[name] != getattr(membership, name):
                raise serializers.ValidationError({name: ["This cannot be changed; make a new one instead."]})
        people.change_role(membership, serializer.validated_data.get("role", membership.role), by=self.actor)
        return Response(self.get_serializer(membership).data)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.update(request, *args, **kwargs)

    def perform_destroy(self, instance: Membership) -> None:
        people.remove(instance, by=self.actor)


class UserSerializer(serializers.ModelSerializer):
    """A person. `role` and `client` are given when inviting."""

    role = serializers.ChoiceField(choices=ROLES, write_only=True, required=False)
    client = serializers.PrimaryKeyRelatedField(
        queryset=Client.objects.all(), write_only=True, required=False, allow_null=True
    )
    memberships = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = [
            "id",
            "email",
            "name",
            "timezone",
            "is_active",
            "role",
            "client",
            "memberships",
            "created_at",
            "last_login",
        ]
        read_only_fields = ["last_login"]

    def get_memberships(self, user: User) -> list[dict[str, Any]]:
        return [{"id": m.pk, "client": m.client_id, "role": m.role} for m in user.memberships.all()]


class Users(mixins.CreateModelMixin, mixins.RetrieveModelMixin, mixins.ListModelMixin, OwnersViewSet):
    """People. POST invites, PATCH changes; people are switched off (`is_active`), never deleted."""

    queryset = User.objects.prefetch_related("memberships")
    serializer_class = UserSerializer
    filterset_fields = ["email", "is_active"]

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        if "role" not in values:
            raise serializers.ValidationError({"role": ["This field is required."]})
        membership, link = people.invite(
            values["email"],
            role=values["role"],
            client=values.get("client"),
            name=values.get("name", ""),
            by=self.actor,
        )
        trouble = people.mail_invitation(membership.user, link) if link else ""
        body = {**self.get_serializer(membership.user).data, "invitation_url": link, "mail_error": trouble or None}
        return Response(body, status=201)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        user = self.get_object()
        serializer = self.get_serializer(user, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        values = {n: v for n, v in serializer.validated_data.items() if n not in ("role", "client")}
        people.change_user(user, by=self.actor, **values)
        return Response(self.get_serializer(user).data)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.update(request, *args, **kwargs)


class ProviderSerializer(serializers.ModelSerializer):
    """A provider's account for all channels of its kind."""

    provider = serializers.CharField(max_length=32)
    config = serializers.DictField(required=False)
    secrets = SecretMap()
    has_secret = serializers.SerializerMethodField()

    class Meta:
        model = ProviderSettings
        fields = ["provider", "config", "secrets", "has_secret", "updated_at"]

    def get_has_secret(self, row: ProviderSettings) -> bool:
        return bool(row.secrets)

    def validate_provider(self, name: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9_]{1,31}", name):
            raise serializers.ValidationError("Write it in small letters, as telegram or twilio.")
        if self.instance is not None and name != self.instance.provider:
            raise serializers.ValidationError("This cannot be changed; make a new one instead.")
        return name


class Providers(
    mixins.CreateModelMixin, mixins.DestroyModelMixin, mixins.RetrieveModelMixin, mixins.ListModelMixin, OwnersViewSet
):
    """Accounts with message providers, by the provider's name."""

    queryset = ProviderSettings.objects.all()
    serializer_class = ProviderSerializer
    lookup_field = "provider"

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.instance = providers.create(by=self.actor, **serializer.validated_data)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        row = self.get_object()
        serializer = self.get_serializer(row, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        values = {n: v for n, v in serializer.validated_data.items() if n != "provider"}
        providers.change(row, by=self.actor, **values)
        return Response(self.get_serializer(row).data)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.update(request, *args, **kwargs)

    def perform_destroy(self, instance: ProviderSettings) -> None:
        providers.remove(instance, by=self.actor)


class AuditEntrySerializer(serializers.ModelSerializer):
    """One act. `client` null is the MSP's own chain."""

    client = serializers.IntegerField(source="client_id", allow_null=True)

    class Meta:
        model = AuditEntry
        fields = [
            "id",
            "client",
            "at",
            "actor",
            "ip",
            "request_id",
            "action",
            "subject",
            "subject_name",
            "before",
            "after",
            "seq",
            "hash",
        ]


class AuditFilter(django_filters.FilterSet):
    """`client`, `action`, `subject` (as site:3), `actor`, `since` and `until` (RFC 3339)."""

    client = django_filters.NumberFilter(field_name="client_id")
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = AuditEntry
        fields = ["action", "subject", "actor"]


class AuditLog(ReadOnlyTenantViewSet):
    """Who did what, newest first. Read only."""

    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilter

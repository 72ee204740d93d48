"""Tokens over the API: one's own, shown once, never more powerful than what made them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import mixins, serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from portal import people
from portal.api.base import PortalViewSet
from portal.api.permissions import Scoped
from portal.api.serializers import TenantSerializer
from portal.models import Client, Token
from portal.models.people import SCOPES
from portal.tenancy import ADMINISTER, viewer_of


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

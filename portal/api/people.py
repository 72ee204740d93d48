"""People and their roles over the API, for owners: invite, change, switch off."""

from __future__ import annotations

from typing import Any

from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from portal import people
from portal.api.base import OwnersViewSet
from portal.models import Client, Membership, User
from portal.tenancy import CLIENT_ROLES, MSP_ROLES

ROLES = [*MSP_ROLES, *CLIENT_ROLES]


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

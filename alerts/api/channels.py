"""Where can messages go, over the API? `url` is the shorthand of each type's main field; secrets go in and never out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters
from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import OpenApiTypes, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from alerts import acts, channel_settings, channels, digest, limits, sender, services, unsubscribing
from alerts.api.deliveries import DeliverySerializer, with_attempts
from alerts.models import Channel, Delivery, Usage
from alerts.opening import open_channel
from portal.api.base import TenantViewSet
from portal.api.errors import bad
from portal.api.filters import IdFilter
from portal.api.serializers import TenantSerializer
from portal.clock import database_now
from portal.models import ProviderSettings

SHORTHANDS = ("headers", "secret")  # settings that SPEC 19 shows beside `url`


@extend_schema_field(OpenApiTypes.STR)
class MainField(serializers.Field):
    """The type's main field as text (an address list for e-mail may be a list, too)."""

    def to_internal_value(self, data: Any) -> Any:
        simple = data if isinstance(data, list) else [data]
        if any(isinstance(item, (dict, list)) for item in simple) or data is True or data is False:
            raise serializers.ValidationError("Write it as text.")
        return str(data) if isinstance(data, int) else data

    def get_attribute(self, instance: Channel) -> Channel:
        return instance

    def to_representation(self, value: Channel) -> str:
        return channel_settings.main(value)


class SettingsMixin(serializers.Serializer):
    """`type`, `url`, `config` and the shorthands of a channel's settings, gathered into `settings` and `said_at`."""

    def gather(self, values: dict[str, Any], type_: str, row: Channel | None = None) -> dict[str, Any]:
        """Take the settings out of the validated values; nothing to take, nothing added.

        A whole body that was read, changed in one place and sent back says some things twice: what differs from the
        row is meant.
        """
        settings: dict[str, Any] = dict(values.pop("config", None) or {})
        said_at: dict[str, str] = {}
        kind = channels.KINDS.get(type_)
        shown = channel_settings.shown(row) if row is not None else {}
        for key in ("url", *SHORTHANDS) if kind is not None else ():
            if key not in values:
                continue
            value, name = values.pop(key), kind.main_field if key == "url" else key
            if name not in kind.Config.model_fields:
                if value not in (None, "", {}):
                    raise bad({key: f"A {kind.label} channel has no setting “{key}”."})
                continue
            if name in settings and settings[name] != value:
                if row is not None and value == (channel_settings.main(row) if key == "url" else shown.get(name, "")):
                    continue
                if settings[name] != shown.get(name):
                    raise bad({key: f"This is said twice, here and in config.{name}; leave one out."})
            settings[name], said_at[name] = value, key
        if settings:
            values |= {"settings": settings, "said_at": said_at}
        return values


class UsageSerializer(serializers.Serializer):
    """What it has sent this month, of what it may. Only channels with a quota are counted."""

    month = serializers.DateField(help_text="The month's first day, in UTC.")
    sent = serializers.IntegerField()
    quota = serializers.IntegerField(allow_null=True, help_text="Its own, else its type's; null: none.")
    percent = serializers.IntegerField(allow_null=True)


class ChannelSerializer(SettingsMixin, TenantSerializer):
    """A channel. It stays silent until a trigger or an escalation level names it."""

    type = serializers.CharField(max_length=24, help_text=f"One of {', '.join(channels.KINDS)}.")
    url = MainField(
        required=False, allow_null=True, help_text="The main setting of its type: URL, address, chat id, number, key."
    )
    headers = serializers.DictField(
        child=serializers.CharField(allow_blank=True),
        required=False,
        help_text="Webhook: extra headers, kept as secrets.",
    )
    secret = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=4000, help_text="Webhook: whsec_… to sign with."
    )
    config = serializers.DictField(
        required=False, help_text="All settings of its type by name. Given ones change, secrets are shown masked."
    )
    group_window_seconds = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=3600)
    canary = serializers.BooleanField(required=False, help_text="A test message every week proves that it works.")
    caveat = serializers.SerializerMethodField(help_text="What whoever uses this type must know; mostly empty.")
    usage = serializers.SerializerMethodField()
    has_secret = serializers.SerializerMethodField()
    healthy = serializers.SerializerMethodField(
        help_text="False from a permanent failure until a message arrives again."
    )
    problem = serializers.SerializerMethodField(help_text="Why it cannot send now, with the cure; empty when it can.")

    class Meta:
        model = Channel
        fields = [
            "id", "client", "contact", "name", "type", "url", "headers", "secret", "config", "has_secret", "enabled", "group_window_seconds",
            "rate_per_minute", "monthly_quota", "canary", "canary_at", "usage", "caveat", "healthy", "unhealthy_since", "unhealthy_reason", "last_success_at", "last_answer", "problem", "digests_stopped_at", "created_at",
        ]  # fmt: skip
        read_only_fields = [
            "contact",
            "canary_at",
            "unhealthy_since",
            "unhealthy_reason",
            "last_success_at",
            "last_answer",
            "digests_stopped_at",
        ]
        fixed = ("client", "type")

    def get_caveat(self, row: Channel) -> str:
        kind = channels.KINDS.get(row.type)
        return kind.caveat if kind else ""

    @extend_schema_field(UsageSerializer)
    def get_usage(self, row: Channel) -> dict[str, Any]:
        month = limits.month_of(self.context.get("month") or database_now())
        used = getattr(row, "this_month", None)
        if used is None:
            used = list(row.usage.filter(month=month))
        sent, most = sum(u.sent for u in used), limits.quota(row)
        return {
            "month": month.isoformat(),
            "sent": sent,
            "quota": most,
            "percent": sent * 100 // most if most else None,
        }

    def get_has_secret(self, row: Channel) -> bool:
        return bool(row.secrets)

    def get_healthy(self, row: Channel) -> bool:
        return row.unhealthy_since is None

    def get_problem(self, row: Channel) -> str:
        if "providers" not in self.context:
            self.context["providers"] = {p.provider: p.values() for p in ProviderSettings.objects.all()}
        try:
            return open_channel(row, self.context["providers"]).ready()
        except (
            Exception
        ) as error:  # settings of another time, or a secret that no key opens: the list must still show it
            return f"Its settings do not open ({type(error).__name__}): enter them again."

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        return self.gather(values, self.instance.type if self.instance else values.get("type", ""), self.instance)

    def to_representation(self, row: Channel) -> dict[str, Any]:
        row_shown = channel_settings.shown(row)
        kind = channels.KINDS.get(row.type)
        body = super().to_representation(_Readable(row, row_shown))
        for name in SHORTHANDS:
            if kind is None or name not in kind.Config.model_fields:
                body.pop(name)
        return body


class _Readable:
    """A channel's row with its settings as they may be read."""

    def __init__(self, row: Channel, settings: dict[str, Any]) -> None:
        self._row, self.config = row, settings
        self.headers, self.secret = settings.get("headers", {}), settings.get("secret", "")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)


class TestAnswerSerializer(serializers.Serializer):
    """What became of a test message."""

    status = serializers.ChoiceField(choices=["delivered", "failed"])
    response_code = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(allow_null=True)


class ChannelFilter(django_filters.FilterSet):
    """`client`, `contact` (whose own), `type`, `enabled`, `name`."""

    client = IdFilter(field_name="client_id")
    contact = IdFilter(field_name="contact_id")

    class Meta:
        model = Channel
        fields = ["type", "enabled", "name"]


class Channels(TenantViewSet):
    """Where messages can go."""

    queryset = Channel.objects.all()
    serializer_class = ChannelSerializer
    filterset_class = ChannelFilter

    def get_queryset(self) -> QuerySet:
        now = Usage.objects.filter(month=limits.month_of(self.now()))
        return super().get_queryset().order_by("-id").prefetch_related(Prefetch("usage", now, to_attr="this_month"))

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "month": self.now()}

    def now(self) -> datetime:
        """One moment for the whole request."""
        if not hasattr(self, "_now"):
            self._now = database_now()
        return self._now

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.instance = services.save_channel(None, by=self.actor, **serializer.validated_data)

    def perform_update(self, serializer: BaseSerializer) -> None:
        services.save_channel(serializer.instance, by=self.actor, **serializer.validated_data)

    def perform_destroy(self, instance: Channel) -> None:
        services.delete_channel(instance, by=self.actor)

    @extend_schema(request=None, responses=TestAnswerSerializer)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, **kwargs: Any) -> Response:
        """Send one marked test message now, without retry, and say what the vendor answered."""
        row = sender.send_now(acts.test_delivery(self.get_object(), by=self.actor, at=database_now()))
        last = row.attempts.order_by("n").last()
        delivered = row.state == row.State.DELIVERED
        return Response(
            {
                "status": "delivered" if delivered else "failed",
                "response_code": last.response_code if last else None,
                "error": None
                if delivered
                else (last.error if last and last.error else row.reason) or "It was not delivered.",
            }
        )

    @extend_schema(request=None, responses=ChannelSerializer)
    @action(detail=True, methods=["post"], url_path="resume-digests")
    def resume_digests(self, request: Request, **kwargs: Any) -> Response:
        """Send digests there again. 409 when nobody had stopped them."""
        row = self.get_object()
        unsubscribing.resume(row, by=self.actor)
        return Response(self.get_serializer(row).data)

    @extend_schema(request=None, responses={202: DeliverySerializer})
    @action(detail=True, methods=["post"])
    def digest(self, request: Request, **kwargs: Any) -> Response:
        """Send one message with everything that is open and that its owner may know. 409 when it is switched off."""
        row = digest.send(self.get_object(), by=self.actor, at=self.now())
        return Response(DeliverySerializer(with_attempts(Delivery.objects.filter(pk=row.pk)).get()).data, status=202)

"""How are a monitor and its body each other? Settings with their secrets masked, probes by slug, tags as words.

A body is judged here field by field, its settings by their kind; the rules over several columns are the service's. What
is wrong is said at its field, with dotted keys for settings (`config.url`), and nothing is stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError as Invalid
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from monitors import checks, history, places, rules, services
from monitors.models import Monitor, MonitorTemplate, Probe, Result
from portal.api.serializers import OwnRow, TagNames, TenantSerializer, is_masked
from portal.clock import database_now
from portal.secrets import MASK, CannotOpen

LARGEST_CONFIG = 128  # keys; every kind has fewer


class Finite(serializers.FloatField):
    """A number that can be compared: neither infinite nor "nan"."""

    def to_internal_value(self, data: Any) -> float:
        value = super().to_internal_value(data)
        if not math.isfinite(value):
            self.fail("invalid")
        return value


class ResultSerializer(serializers.Serializer):
    """What one check saw. Times in milliseconds, each phase by itself."""

    at = serializers.DateTimeField(source="ts")
    probe = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()
    dns_ms = serializers.FloatField(allow_null=True)
    connect_ms = serializers.FloatField(allow_null=True)
    tls_ms = serializers.FloatField(allow_null=True)
    first_byte_ms = serializers.FloatField(allow_null=True)
    total_ms = serializers.FloatField(allow_null=True)
    loss_percent = serializers.FloatField(allow_null=True)
    http_status = serializers.IntegerField(allow_null=True)
    error_class = serializers.SerializerMethodField()
    message = serializers.CharField()

    def get_probe(self, result: Result) -> str:
        return self.context["slugs"].get(result.probe_id, "")

    def get_status(self, result: Result) -> str:
        return result.get_status_display()

    def get_error_class(self, result: Result) -> str | None:
        return result.error_class or None


@dataclass(slots=True)
class Seen:
    """What was seen of a page of monitors: loaded at once, however many they are."""

    uptimes: dict[int, dict[str, float | None]] = field(default_factory=dict)
    latest: dict[int, Result] = field(default_factory=dict)
    slugs: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, monitors: Iterable[Monitor]) -> Seen:
        """Of these."""
        ids = [m.pk for m in monitors]
        return cls(history.uptimes(ids, database_now()), history.latest(ids), slugs())


def slugs() -> dict[int, str]:
    """{probe id: slug}."""
    return dict(Probe.objects.order_by().values_list("pk", "slug"))


def shown_config(m: Monitor) -> dict[str, Any]:
    """The settings as a reader sees them: every secret is a mask."""
    try:
        hidden = m.secrets.open()
    except CannotOpen:  # one unreadable row must not take the list away; `has_secret` says there is one
        hidden = {}
    return m.config | {k: dict.fromkeys(v, MASK) if isinstance(v, dict) else MASK for k, v in hidden.items()}


def merged_config(kind: str, old: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings after `given` was sent: the given keys change, null takes one back to its default, a mask keeps the old one.

    `old` has its secrets readable, and so has the answer.
    """
    given = _flat_auth(given) if kind == "http" else given
    values = dict(old)
    for name in rules.ousted(kind, given):
        values.pop(name, None)
    for key, value in given.items():
        if is_masked(value):
            continue
        if isinstance(value, dict) and any(is_masked(v) for v in value.values()):
            before = old.get(key)
            before = before if isinstance(before, dict) else {}
            value = {
                k: before.get(k) if is_masked(v) else v for k, v in value.items() if not is_masked(v) or k in before
            }
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value
    return values


def _flat_auth(given: dict[str, Any]) -> dict[str, Any]:
    """{"auth": {"type": "basic", "username": …}} is taken as well as the flat keys."""
    auth = given.get("auth")
    if not isinstance(auth, dict):
        return given
    flat = {("user" if k == "username" else str(k)): v for k, v in auth.items() if k != "type"}
    return {**given, **flat, "auth": auth.get("type", "basic")}


class ConfigField(serializers.DictField):
    """Written as the given keys, read with its secrets masked."""

    def get_attribute(self, m: Monitor) -> dict[str, Any]:
        return shown_config(m)


class ProbeSlugs(serializers.ListField):
    """Probes by slug."""

    child = serializers.CharField(max_length=60)

    def get_attribute(self, m: Monitor) -> list[str]:
        return sorted(view.probe.slug for view in m.views.all())


class TemplateId(OwnRow):
    """A template that the caller sees. The one it follows already may be sent back also by somebody who does not see it."""

    def to_internal_value(self, data: Any) -> Any:
        m = getattr(self.parent, "instance", None)
        if isinstance(m, Monitor) and m.template_id is not None and data == m.template_id:
            return m.template
        return super().to_internal_value(data)


class MonitorSerializer(TenantSerializer):
    """A monitor: what is watched, how, and (read only) what is seen."""

    slug = serializers.SlugField(required=False, allow_blank=True, max_length=60)
    config = ConfigField(
        required=False,
        default=dict,
        help_text="The kind's settings; secrets are masked, and a mask sent back keeps the old one.",
    )
    timeout_seconds = Finite(required=False)
    degraded_loss_percent = Finite(required=False, allow_null=True, min_value=0, max_value=100)
    template = TemplateId(
        queryset=MonitorTemplate.objects.all(),
        required=False,
        allow_null=True,
        help_text="Whose values it follows; they come by POST monitor-templates/{id}/roll-out.",
    )
    probes = ProbeSlugs(
        required=False, max_length=100, help_text="From where it is watched now, by slug. Written, its rule ends."
    )
    probe_rule = serializers.JSONField(
        required=False,
        help_text='Instead of probes, followed as probes come and go: {"tags": ["eu"], "any": 3}, or {"probes": ["local"]}; {} ends it.',
    )
    tags = TagNames()
    has_secret = serializers.SerializerMethodField()
    ping_url = serializers.SerializerMethodField()
    last_result = serializers.SerializerMethodField()
    uptime = serializers.SerializerMethodField()

    class Meta:
        model = Monitor
        fields = [
            "id", "client", "site", "service", "name", "kind", "slug", "config", "has_secret", "interval_seconds", "timeout_seconds", "confirmation_seconds",
            "confirmation_count", "recovery_seconds", "recovery_count", "degraded_latency_ms", "degraded_loss_percent", "quorum", "distinct_networks", "probes", "probe_rule",
            "severity", "parent", "template", "template_version", "runbook_url", "notes", "tags", "diagnose", "enabled", "flapping_changes", "flapping_window_seconds", "state", "state_since", "state_reason",
            "last_result", "uptime", "uuid", "ping_url", "created_at",
        ]  # fmt: skip
        read_only_fields = ["state", "state_since", "state_reason", "uuid", "created_at"]
        fixed = ("client", "kind")
        validators: list[Any] = []  # uniqueness is the service's, in its words

    def validate_kind(self, kind: str) -> str:
        if kind not in checks.KINDS:
            raise serializers.ValidationError(
                f"{kind[:40]!r} is not a kind of monitor; choose from {', '.join(checks.KINDS)}."
            )
        return kind

    def validate_config(self, given: dict[str, Any]) -> dict[str, Any]:
        """The whole settings, secrets readable, as the service takes them."""
        kind = self.instance.kind if self.instance is not None else self.initial_data.get("kind")
        if not isinstance(kind, str) or kind not in checks.KINDS:
            return {}  # said at `kind`
        if len(given) > LARGEST_CONFIG:
            raise serializers.ValidationError(f"At most {LARGEST_CONFIG} settings.")
        old = {**self.instance.config, **self.instance.secrets.open()} if self.instance is not None else {}
        merged = merged_config(kind, old, given)
        try:
            services.split_config(kind, merged)
        except Invalid as error:
            raise serializers.ValidationError(
                {key.removeprefix("config").removeprefix("."): said for key, said in error.message_dict.items()}
            ) from None
        return merged

    def validate_probe_rule(self, rule: Any) -> dict[str, Any]:
        try:
            return places.check_rule(rule)
        except Invalid as error:
            raise serializers.ValidationError(error.message_dict["probe_rule"]) from None

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if "probes" in values and values.get("probe_rule"):
            self._one_choice(values)
        if self.instance is None and "timeout_seconds" not in values:
            values["timeout_seconds"] = min(10.0, float(values.get("interval_seconds", 60)))
        return values

    def _one_choice(self, values: dict[str, Any]) -> None:
        """A body that was read and is sent back names both: the one that was changed counts."""
        m = self.instance
        if m is not None and set(values["probes"]) == {view.probe.slug for view in m.views.all()}:
            del values["probes"]
        elif m is not None and values["probe_rule"] == m.probe_rule:
            del values["probe_rule"]
        else:
            raise serializers.ValidationError({"probe_rule": ["Name probes or a rule, not both."]})

    @extend_schema_field(serializers.BooleanField)
    def get_has_secret(self, m: Monitor) -> bool:
        return bool(m.secrets)

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_ping_url(self, m: Monitor) -> str:
        return f"{settings.BASE_URL}/ping/{m.uuid}"

    @extend_schema_field(ResultSerializer(allow_null=True))
    def get_last_result(self, m: Monitor) -> dict[str, Any] | None:
        seen = self.seen(m)
        result = seen.latest.get(m.pk)
        if "teller" not in self.context:  # one for the whole page: making one costs more than using it
            self.context["teller"] = ResultSerializer(context={"slugs": seen.slugs})
        return self.context["teller"].to_representation(result) if result is not None else None

    @extend_schema_field(serializers.DictField(child=serializers.FloatField(allow_null=True)))
    def get_uptime(self, m: Monitor) -> dict[str, float | None]:
        return self.seen(m).uptimes[m.pk]

    def seen(self, m: Monitor) -> Seen:
        """What was seen of it; a list loads its whole page beforehand."""
        known = self.context.get("seen")
        if known is None or m.pk not in known.uptimes:
            known = self.context["seen"] = Seen.of([m])
        return known

    def to_representation(self, m: Monitor) -> dict[str, Any]:
        body = super().to_representation(m)
        if m.kind != "heartbeat":
            body.pop("uuid"), body.pop("ping_url")
        return body

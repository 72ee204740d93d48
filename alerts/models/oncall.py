"""Whose turn is it? Schedules of layers that rotate, with overrides on top. Who is on call is worked out, never stored."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from portal.models.clients import known_zone
from portal.tenancy import TenantManager


class OnCallSchedule(models.Model):
    """Layers in one time zone; a later layer covers the earlier ones where it has somebody, an override covers all."""

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey(
        "portal.Client", models.CASCADE, null=True, blank=True, related_name="on_call_schedules",
        help_text="Empty: our own staff's.",
    )  # fmt: skip
    name = models.CharField(max_length=120)
    timezone = models.CharField(max_length=64, default="UTC", validators=[known_zone])
    tell_shift_start = models.BooleanField(default=False, help_text="Tell people when their turn begins.")
    told_contact = models.ForeignKey(
        "portal.Contact", models.SET_NULL, null=True, editable=False, related_name="+",
        help_text="Who was last told that their turn began.",
    )  # fmt: skip
    feed_version = models.PositiveIntegerField(
        default=1, editable=False, help_text="Raised to revoke its iCal feed's address."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="one_schedule_per_name",
                violation_error_message="A schedule of this name exists; choose another name.",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Layer(models.Model):
    """People who take turns, handing over at a wall-clock time."""

    tenant_path = "schedule__client"
    objects = TenantManager()

    class Rotation(models.TextChoices):
        DAILY = "daily", "Daily"
        WEEKLY = "weekly", "Weekly"
        CUSTOM = "custom", "Every so many days"

    schedule = models.ForeignKey(OnCallSchedule, models.CASCADE, related_name="layers")
    order = models.PositiveSmallIntegerField(default=1)
    rotation = models.CharField(max_length=6, choices=Rotation.choices, default=Rotation.WEEKLY)
    rotation_days = models.PositiveSmallIntegerField(
        default=7, validators=[MinValueValidator(1), MaxValueValidator(365)]
    )
    handoff_time = models.TimeField(default="09:00")
    handoff_day = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(7)],
        help_text="Of a weekly rotation: 1 (Monday) … 7.",
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    weekdays = models.CharField(
        max_length=20, blank=True, help_text="Only on these days: 0 (Monday) … 6, comma-separated; empty: every day."
    )
    places = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="How many take turns, also when one of them is deleted."
    )
    from_time = models.TimeField(null=True, blank=True, help_text="Only in these hours; both or neither.")
    until_time = models.TimeField(null=True, blank=True)

    class Meta:
        ordering = ["schedule", "order", "id"]
        constraints = [
            models.UniqueConstraint(fields=["schedule", "order"], name="one_layer_per_order"),
            models.CheckConstraint(
                condition=Q(rotation_days__gte=1, rotation_days__lte=365), name="rotation_is_bounded"
            ),
            models.CheckConstraint(
                condition=Q(handoff_day__gte=1, handoff_day__lte=7), name="handoff_day_is_a_weekday"
            ),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gt=F("starts_at")), name="layer_ends_after_it_starts"
            ),
            models.CheckConstraint(
                condition=Q(from_time=None, until_time=None) | Q(from_time__isnull=False, until_time__isnull=False),
                name="layer_hours_come_in_pairs",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.schedule}, layer {self.order}"


class LayerMember(models.Model):
    """A contact's place in a layer's rotation."""

    tenant_path = "layer__schedule__client"
    objects = TenantManager()

    layer = models.ForeignKey(Layer, models.CASCADE, related_name="members")
    contact = models.ForeignKey("portal.Contact", models.CASCADE, related_name="+")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["layer", "position"]
        constraints = [models.UniqueConstraint(fields=["layer", "position"], name="one_member_per_position")]

    def __str__(self) -> str:
        return f"{self.position}: {self.contact}"


class Override(models.Model):
    """Somebody takes over for a while. Of several, the one made last counts."""

    tenant_path = "schedule__client"
    objects = TenantManager()

    schedule = models.ForeignKey(OnCallSchedule, models.CASCADE, related_name="overrides")
    contact = models.ForeignKey("portal.Contact", models.CASCADE, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=300, blank=True)
    created_by = models.CharField(max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["starts_at"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="override_ends_after_it_starts")
        ]

    def __str__(self) -> str:
        return f"{self.contact} {self.starts_at:%Y-%m-%d %H:%M}"

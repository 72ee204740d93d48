"""Where can messages go, and which alerts go there?"""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from portal.models.clients import known_zone
from portal.models.trash import KeptManager, Trashable
from portal.secrets import SealedField
from portal.tenancy import TenantManager


class Channel(Trashable):
    """Where a message goes. It stays silent until a trigger or an escalation level names it."""

    tenant_path = "client"
    objects = KeptManager()

    client = models.ForeignKey(
        "portal.Client",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="channels",
        help_text="Empty: our own staff's.",
    )
    contact = models.ForeignKey(
        "portal.Contact",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="own_channels",
        help_text="Set: a person's own channel.",
    )
    name = models.CharField(max_length=120)
    type = models.CharField(max_length=24)
    config = models.JSONField(default=dict, blank=True)
    secrets = SealedField()
    enabled = models.BooleanField(default=True)
    group_window_seconds = models.IntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(3600)],
        help_text="Empty: 60 s for messages people read, off for machines. 0: off.",
    )
    rate_per_minute = models.IntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(600)],
        help_text="Most messages a minute; more are gathered. Empty: as the kind has it.",
    )
    monthly_quota = models.IntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(10_000_000)],
        help_text="Messages a month; warned of at 80 %, gathered by the hour above. Empty: as the kind has it.",
    )
    canary = models.BooleanField(default=False, help_text="A test message every week proves that it still works.")
    canary_at = models.DateTimeField(null=True, blank=True, editable=False)
    unhealthy_since = models.DateTimeField(null=True, blank=True, editable=False)
    unhealthy_reason = models.CharField(max_length=300, blank=True, editable=False)
    last_success_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_answer = models.CharField(max_length=300, blank=True, editable=False)
    digests_stopped_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="The reader asked for no more digests; alerts go on."
    )
    made_for = models.CharField(
        max_length=40,
        blank=True,
        editable=False,
        help_text="What made it, when the portal did: owner, client_email, client_slack, global_slack.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(group_window_seconds=None) | Q(group_window_seconds__gte=0, group_window_seconds__lte=3600),
                name="channel_window_is_bounded",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def destination_key(self) -> str:
        """What order, limits and gathering are kept by."""
        return f"channel:{self.pk}"


class ContactChannel(models.Model):
    """A way to reach a contact: which channel, for which urgency, after how long."""

    tenant_path = "contact__client"
    objects = TenantManager()

    class Urgency(models.TextChoices):
        ALL = "all", "All alerts"
        HIGH = "high", "Critical only"

    class Quiet(models.TextChoices):
        LOW = "low", "All but critical wait"
        ALL = "all", "Everything waits"

    contact = models.ForeignKey("portal.Contact", models.CASCADE, related_name="ways")
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="reaches")
    urgency = models.CharField(max_length=4, choices=Urgency.choices, default=Urgency.ALL)
    delay_minutes = models.PositiveIntegerField(default=0, validators=[MaxValueValidator(1440)])
    quiet_from = models.TimeField(null=True, blank=True, help_text="Quiet hours, in the contact's time zone.")
    quiet_until = models.TimeField(null=True, blank=True)
    quiet_urgency = models.CharField(max_length=4, choices=Quiet.choices, default=Quiet.LOW)

    class Meta:
        ordering = ["delay_minutes", "id"]
        constraints = [
            models.UniqueConstraint(fields=["contact", "channel"], name="one_way_per_contact_and_channel"),
            models.CheckConstraint(condition=Q(delay_minutes__lte=1440), name="delay_is_at_most_a_day"),
            models.CheckConstraint(
                condition=Q(quiet_from=None, quiet_until=None) | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="quiet_hours_come_in_pairs",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.contact} by {self.channel}"


def csv_field(help_text: str) -> models.CharField:
    return models.CharField(max_length=1000, blank=True, help_text=f"{help_text} Comma-separated; empty: all.")


class Trigger(Trashable):
    """Which alerts go where. OR within a field, AND between fields, empty = all."""

    tenant_path = "client"
    objects = KeptManager()

    client = models.ForeignKey(
        "portal.Client",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="triggers",
        help_text="Set: only alerts of this client.",
    )
    name = models.CharField(max_length=120)
    filter_severities = csv_field("info, warning, critical.")
    filter_sources = csv_field("endpoint, heartbeat, certificate, domain …")
    filter_scopes = csv_field("endpoint:7, client:3, site:2, service:5 …")
    filter_tags = csv_field("Tags of the monitor, its site or its client.")
    weekdays = models.CharField(
        max_length=20, blank=True, help_text="0 (Monday) … 6, comma-separated; empty: every day."
    )
    from_time = models.TimeField(null=True, blank=True)
    until_time = models.TimeField(null=True, blank=True)
    timezone = models.CharField(max_length=64, default="UTC", validators=[known_zone])
    channels = models.ManyToManyField(Channel, blank=True, related_name="triggers")
    contacts = models.ManyToManyField("portal.Contact", blank=True, related_name="triggers")
    groups = models.ManyToManyField("portal.ContactGroup", blank=True, related_name="triggers")
    enabled = models.BooleanField(default=True)
    notify_on_resolve = models.BooleanField(default=True)
    verdict_wait_seconds = models.PositiveSmallIntegerField(
        default=8,
        validators=[MaxValueValidator(30)],
        help_text="How long the first message may wait for the probable cause, from the first failing check. 0: not at all.",
    )
    reminder_minutes = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(5), MaxValueValidator(1440)],
        help_text="Say it again every so many minutes while nobody has acknowledged. Empty: once.",
    )
    made_for = models.CharField(max_length=40, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                condition=Q(deleted_at=None),
                name="one_trigger_per_name",
                violation_error_message="A trigger of this name exists; choose another name.",
            ),
            models.CheckConstraint(
                condition=Q(from_time=None, until_time=None) | Q(from_time__isnull=False, until_time__isnull=False),
                name="trigger_hours_come_in_pairs",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if (self.from_time is None) != (self.until_time is None):
            raise ValidationError({"until_time": "Give both ends of the time window, or neither."})

"""What became of each message? The delivery row is queue, ledger and log in one."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from alerts.models.alert import Alert, Notice
from alerts.models.quiet import MaintenanceWindow, Silence
from alerts.models.routing import Channel
from portal.tenancy import TenantManager


class Delivery(models.Model):
    """One message to one destination; written in the transaction of the change that caused it."""

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        SENDING = "sending", "Being sent"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Failed"
        HELD = "held", "Held back"
        EXPIRED = "expired", "Dropped"
        UNKNOWN = "unknown", "Perhaps delivered"
        GATHERED = "gathered", "In a gathered message"

    tenant_path = "channel__client"  # a message to our own staff is not the client's to read
    objects = TenantManager()

    notice = models.ForeignKey(Notice, models.CASCADE, related_name="deliveries")
    alert = models.ForeignKey(Alert, models.CASCADE, null=True, related_name="deliveries")
    seq = models.IntegerField(default=0, help_text="The notice's, copied: order per alert and destination.")
    kind = models.CharField(max_length=16, help_text="The notice's, copied.")
    destination_key = models.CharField(max_length=60)
    channel = models.ForeignKey(Channel, models.CASCADE, null=True, related_name="deliveries")
    contact = models.ForeignKey("portal.Contact", models.SET_NULL, null=True, related_name="+")
    client = models.ForeignKey("portal.Client", models.CASCADE, null=True, related_name="+")
    via = models.CharField(max_length=200, blank=True, help_text="What asked for it: the trigger, the contact's rule.")
    priority = models.SmallIntegerField(default=5, help_text="0 test … 2 critical … 9 bulk; lower goes first.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    reason = models.CharField(max_length=300, blank=True)
    hold_reason = models.CharField(max_length=40, blank=True)
    silence = models.ForeignKey(Silence, models.SET_NULL, null=True, related_name="hid")
    window = models.ForeignKey(MaintenanceWindow, models.SET_NULL, null=True, related_name="hid")
    remind_minutes = models.PositiveIntegerField(
        null=True, help_text="The trigger's: say it again while nobody has it."
    )
    wants_recovery = models.BooleanField(default=True, help_text="Some trigger that asked for it tells recoveries too.")
    only_while_open = models.BooleanField(
        default=False, help_text="A delayed one: dropped when somebody acknowledges first."
    )
    gather = models.BooleanField(default=False, help_text="Waits for the gathering step before it may be claimed.")
    next_attempt_at = models.DateTimeField()
    claimed_by = models.CharField(max_length=64, blank=True)
    lease_token = models.BigIntegerField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempt = models.SmallIntegerField(default=0)
    ladder_from = models.SmallIntegerField(default=0, help_text="Attempts before a person asked for a fresh ladder.")
    ambiguous = models.SmallIntegerField(default=0, help_text="Attempts whose outcome nobody knows.")
    carried_by = models.ForeignKey("self", models.SET_NULL, null=True, related_name="carries")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["notice", "destination_key"], name="told_once_per_occasion"),
            models.CheckConstraint(
                condition=~Q(state="sending") | Q(lease_token__isnull=False, lease_until__isnull=False),
                name="sending_has_a_lease",
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(state="pending"), name="delivery_due"),
            models.Index(
                fields=["destination_key"],
                condition=Q(state__in=["pending", "sending"]),
                name="delivery_open_destination",
            ),
            models.Index(fields=["alert", "destination_key", "seq"], name="delivery_order"),
            models.Index(fields=["lease_until"], condition=Q(state="sending"), name="delivery_in_flight"),
            models.Index(fields=["alert"], condition=Q(state="held"), name="delivery_held"),
            models.Index(fields=["client", "-id"], name="delivery_client"),
            models.Index(fields=["channel", "-id"], name="delivery_channel"),
        ]

    def __str__(self) -> str:
        return f"{self.notice_id} → {self.channel or self.destination_key}"


TOLD = ("delivered", "unknown", "gathered")
ENDED = ("delivered", "failed", "expired", "unknown", "gathered")


class Attempt(models.Model):
    """One try, as the vendor answered it."""

    tenant_path = "delivery__channel__client"
    objects = TenantManager()

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="attempts")
    n = models.SmallIntegerField()
    at = models.DateTimeField()
    outcome = models.CharField(max_length=12, help_text="delivered, retry, permanent, ambiguous, lost")
    response_code = models.IntegerField(null=True)
    duration_ms = models.FloatField(null=True)
    error = models.CharField(max_length=500, blank=True)
    answer = models.CharField(max_length=300, blank=True, help_text="What the vendor said when it took it.")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["delivery", "n"], name="one_row_per_attempt")]

    def __str__(self) -> str:
        return f"attempt {self.n}: {self.outcome}"


class Conversation(models.Model):
    """What a destination has heard of an alert: the vendor's id to thread, update or close by."""

    tenant_path = "alert__client"
    objects = TenantManager()

    alert = models.ForeignKey(Alert, models.CASCADE, related_name="conversations")
    destination_key = models.CharField(max_length=60)
    provider_id = models.CharField(max_length=300, blank=True)
    told_seq = models.IntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["alert", "destination_key"], name="one_conversation_per_destination")
        ]

    def __str__(self) -> str:
        return f"{self.alert_id} with {self.destination_key}"


class Destination(models.Model):
    """When did a destination last hear something? Gathering is decided under this row's lock."""

    key = models.CharField(max_length=60, primary_key=True)
    first_at = models.DateTimeField(null=True)
    gathered_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.key

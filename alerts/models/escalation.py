"""Who is called when nobody answers, and how far has that gone? Policies with levels; runs with what they have done."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from alerts.models.alert import Alert
from alerts.models.delivery import Delivery
from alerts.models.oncall import OnCallSchedule
from alerts.models.routing import Channel, csv_field
from portal.tenancy import TenantManager

LONGEST_DELAY = 7 * 86400
MOST_LEVELS, MOST_REPEATS = 20, 20


class EscalationPolicy(models.Model):
    """Which alerts climb, through which levels. Editing it never touches a run that has begun."""

    tenant_path = "client"
    objects = TenantManager()

    class OnEmpty(models.TextChoices):
        NEXT = "next", "Go on to the next level at once"
        WAIT = "wait", "Wait for the next level's time"

    client = models.ForeignKey(
        "portal.Client", models.CASCADE, null=True, blank=True, related_name="escalation_policies",
        help_text="Set: only alerts of this client.",
    )  # fmt: skip
    name = models.CharField(max_length=120)
    active = models.BooleanField(default=True)
    attached_only = models.BooleanField(
        default=False, help_text="Only for services that name it, whatever its filters say."
    )
    filter_severities = csv_field("info, warning, critical.")
    filter_sources = csv_field("endpoint, heartbeat, certificate, domain …")
    filter_scopes = csv_field("endpoint:7, client:3, site:2, service:5 …")
    filter_tags = csv_field("Tags of the monitor, its site or its client.")
    repeat_count = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(MOST_REPEATS)])
    repeat_after_seconds = models.PositiveIntegerField(
        default=300, validators=[MinValueValidator(30), MaxValueValidator(LONGEST_DELAY)]
    )
    on_empty = models.CharField(max_length=4, choices=OnEmpty.choices, default=OnEmpty.NEXT)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "escalation policies"
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="one_policy_per_name",
                violation_error_message="A policy of this name exists; choose another name.",
            ),
            models.CheckConstraint(
                condition=Q(repeat_count__lte=MOST_REPEATS, repeat_after_seconds__gte=30),
                name="policy_repeats_are_bounded",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Level(models.Model):
    """One rung: who is told, how many seconds after the start of the run."""

    tenant_path = "policy__client"
    objects = TenantManager()

    policy = models.ForeignKey(EscalationPolicy, models.CASCADE, related_name="levels")
    order = models.PositiveSmallIntegerField()
    delay_seconds = models.PositiveIntegerField(validators=[MaxValueValidator(LONGEST_DELAY)])
    channels = models.ManyToManyField(Channel, blank=True, related_name="levels")
    contacts = models.ManyToManyField("portal.Contact", blank=True, related_name="levels")
    groups = models.ManyToManyField("portal.ContactGroup", blank=True, related_name="levels")
    schedules = models.ManyToManyField(OnCallSchedule, blank=True, related_name="levels")

    class Meta:
        ordering = ["policy", "order"]
        constraints = [models.UniqueConstraint(fields=["policy", "order"], name="one_level_per_order")]

    def __str__(self) -> str:
        return f"{self.policy}, level {self.order}"


class ServiceRouting(models.Model):
    """What a service has to do with alerting: the policy that its alerts climb."""

    tenant_path = "service__client"
    objects = TenantManager()

    service = models.OneToOneField("portal.Service", models.CASCADE, related_name="routing")
    policy = models.ForeignKey(EscalationPolicy, models.SET_NULL, null=True, blank=True, related_name="services")

    def __str__(self) -> str:
        return f"{self.service} → {self.policy}"


class Run(models.Model):
    """One alert climbing one policy, as the policy was when it began."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Climbing"
        PAUSED_BY_MAINTENANCE = "paused_by_maintenance", "Paused by maintenance"
        PAUSED_BY_SILENCE = "paused_by_silence", "Paused by a silence"
        STOPPED_BY_ACK = "stopped_by_ack", "Acknowledged"
        STOPPED_BY_RESOLUTION = "stopped_by_resolution", "Resolved"
        STOPPED_BY_POLICY = "stopped_by_policy", "Policy switched off"
        EXHAUSTED = "exhausted", "Nobody answered"

    tenant_path = "policy__client"  # our own policy's run is ours to read, not the client's
    objects = TenantManager()

    policy = models.ForeignKey(EscalationPolicy, models.SET_NULL, null=True, related_name="runs")
    policy_name = models.CharField(max_length=120)
    alert = models.ForeignKey(Alert, models.CASCADE, related_name="runs")
    client = models.ForeignKey("portal.Client", models.CASCADE, null=True, related_name="+", help_text="The alert's.")
    snapshot = models.JSONField(help_text="Levels, repeats and what to do when nobody is there, as they were.")
    status = models.CharField(max_length=24, choices=Status.choices, default=Status.ACTIVE)
    step = models.PositiveIntegerField(default=0, help_text="The next step: pass × levels + level, from 0.")
    started_at = models.DateTimeField()
    shifted_seconds = models.FloatField(default=0, help_text="How long pauses and skipped levels have moved it.")
    paused_at = models.DateTimeField(null=True)
    next_action_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["alert", "policy"],
                condition=Q(ended_at=None),
                name="one_open_run_per_alert_and_policy",
            ),
            models.CheckConstraint(
                condition=Q(status="active", next_action_at__isnull=False, ended_at=None)
                | Q(status__startswith="paused", paused_at__isnull=False, ended_at=None)
                | (Q(ended_at__isnull=False) & ~Q(status="active") & ~Q(status__startswith="paused")),
                name="run_climbs_waits_or_has_ended",
            ),
        ]
        indexes = [
            models.Index(fields=["next_action_at"], condition=Q(status="active"), name="run_due"),
            models.Index(fields=["alert"], name="run_alert"),
        ]

    def __str__(self) -> str:
        return f"{self.policy_name} for alert {self.alert_id}: {self.get_status_display()}"


OPEN_RUN = ("active", "paused_by_maintenance", "paused_by_silence")


class Step(models.Model):
    """What a run did at one level: a destination told, or the reason why nobody was."""

    tenant_path = "run__policy__client"
    objects = TenantManager()

    run = models.ForeignKey(Run, models.CASCADE, related_name="steps")
    pass_number = models.PositiveSmallIntegerField(help_text="From 0.")
    level = models.PositiveSmallIntegerField(help_text="The level's order.")
    destination_key = models.CharField(max_length=60, blank=True, help_text="Empty: nobody was told.")
    delivery = models.ForeignKey(Delivery, models.SET_NULL, null=True, related_name="steps")
    contact_name = models.CharField(max_length=120, blank=True)
    via = models.CharField(
        max_length=200, blank=True, help_text="The channel, the contact, the schedule that named it."
    )
    reason = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "pass_number", "level", "destination_key"], name="called_once_per_pass_and_level"
            )
        ]

    def __str__(self) -> str:
        return f"pass {self.pass_number}, level {self.level}: {self.destination_key or self.reason}"

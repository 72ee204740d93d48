"""What is wrong? An alert, its occasions (notices), and why each was or was not told."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portal.tenancy import TenantManager


class Severity(models.TextChoices):
    """How bad; the order is that of `RANK`."""

    INFO = "info", "Info"
    WARNING = "warning", "Warning"
    CRITICAL = "critical", "Critical"


class Alert(models.Model):
    """Something is wrong with one entity. The database allows one open alert per identity."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        RESOLVED = "resolved", "Resolved"

    tenant_path = "client"
    objects = TenantManager()

    source = models.CharField(max_length=20)
    condition = models.CharField(max_length=80, help_text="What one alert is about: health, expiring:14, flapping …")
    event = models.CharField(max_length=40)
    entity_type = models.CharField(max_length=20)
    entity_id = models.CharField(max_length=120)
    entity_name = models.CharField(max_length=200)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.OPEN)
    client = models.ForeignKey("portal.Client", models.CASCADE, null=True, related_name="alerts")
    site = models.ForeignKey("portal.Site", models.SET_NULL, null=True, related_name="alerts")
    service = models.ForeignKey("portal.Service", models.SET_NULL, null=True, related_name="alerts")
    monitor_id = models.BigIntegerField(
        null=True, help_text="The monitor it is about, as data: this app knows no monitors."
    )
    kind = models.CharField(max_length=20, blank=True)
    target = models.CharField(max_length=300, blank=True)
    tags = models.JSONField(default=list)
    parent = models.CharField(
        max_length=140, blank=True, help_text="entity_type:entity_id of what explains this one when it is down too."
    )
    correlation = models.JSONField(
        default=dict, help_text="Keys shared with other alerts: address, AS, certificate authority …"
    )
    title = models.CharField(max_length=300)
    message = models.TextField(blank=True)
    verdict = models.JSONField(null=True)
    evidence = models.JSONField(default=dict)
    links = models.JSONField(default=dict)
    incident_id = models.BigIntegerField(null=True, help_text="The incident that gathers it, as data.")
    next_seq = models.IntegerField(default=1)
    hold_reason = models.CharField(max_length=40, blank=True)
    held_by = models.BigIntegerField(null=True, help_text="The silence or maintenance window that holds it.")
    remind_at = models.DateTimeField(null=True, help_text="When it is said again, while nobody has it.")
    snoozed_until = models.DateTimeField(null=True)
    snoozed_until_recovered = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    notified_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=200, blank=True)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "condition", "entity_type", "entity_id"],
                condition=Q(resolved_at=None),
                name="one_open_alert_per_identity",
            ),
            models.CheckConstraint(
                condition=Q(status="resolved", resolved_at__isnull=False)
                | (~Q(status="resolved") & Q(resolved_at=None)),
                name="alert_resolved_iff_resolved_at",
            ),
            models.CheckConstraint(
                condition=Q(severity__in=["info", "warning", "critical"]), name="alert_severity_is_known"
            ),
        ]
        indexes = [
            models.Index(fields=["client", "-id"], name="alert_client"),
            models.Index(fields=["monitor_id", "-id"], name="alert_monitor"),
            models.Index(fields=["parent"], condition=Q(resolved_at=None), name="alert_open_parent"),
            models.Index(fields=["hold_reason"], condition=Q(resolved_at=None), name="alert_open_held"),
            models.Index(fields=["incident_id"], name="alert_incident"),
            models.Index(fields=["remind_at"], condition=Q(remind_at__isnull=False), name="alert_remind"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_resolved(self) -> bool:
        return self.resolved_at is not None

    @property
    def entity(self) -> str:
        """`entity_type:entity_id`, as `parent` names it."""
        return f"{self.entity_type}:{self.entity_id}"


class Notice(models.Model):
    """One occasion to tell people about: opened, raised, recovered, a test, a gathered message.

    The snapshot is everything a message says, frozen when it happened; a channel formats it and asks nothing else.
    """

    class Kind(models.TextChoices):
        OPENED = "opened", "Opened"
        RAISED = "raised", "Raised"
        RECOVERED = "recovered", "Recovered"
        UPDATED = "updated", "Updated"
        DIGEST = "digest", "Gathered"
        ESCALATED = "escalated", "Escalated"
        REMINDER = "reminder", "Reminder"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        EXHAUSTED = "exhausted", "Nobody answered"
        SHIFT = "shift", "On-call turn"
        CANARY = "canary", "Weekly test"
        QUOTA = "quota", "Quota"
        TEST = "test", "Test"
        CHANNEL_DEAD = "channel_dead", "Channel failed"
        NEWS = "news", "To readers of a status page"
        PLAYBOOK = "playbook", "From a playbook"

    tenant_path = "client"
    objects = TenantManager()

    alert = models.ForeignKey(Alert, models.CASCADE, null=True, related_name="notices")
    client = models.ForeignKey("portal.Client", models.CASCADE, null=True, related_name="+")
    seq = models.IntegerField(default=0)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    event = models.CharField(max_length=40)
    type = models.CharField(max_length=60)
    severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.INFO)
    snapshot = models.JSONField(default=dict)
    not_before = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["alert", "seq"], condition=Q(alert__isnull=False), name="one_notice_per_occasion"
            )
        ]

    def __str__(self) -> str:
        return f"{self.type} #{self.seq}"


class Decision(models.Model):
    """Why did (or didn't) it go out? One rule's answer about one notice."""

    tenant_path = "notice__client"
    objects = TenantManager()

    notice = models.ForeignKey(Notice, models.CASCADE, related_name="decisions")
    rule = models.CharField(max_length=120)
    outcome = models.CharField(max_length=12)
    reason = models.CharField(max_length=300)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.rule}: {self.outcome}"


RANK = {"info": 0, "warning": 1, "critical": 2}
OPEN_ALERTS = Q(resolved_at=None)

"""What happened, who has it, and what was said about it? Two state machines and one timeline."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from portal.tenancy import TenantManager


class Incident(models.Model):
    """Something is broken and people work on it. `status` is what the public sees, `responder_status` who has it."""

    class Severity(models.TextChoices):
        MINOR = "minor", "Minor"
        MAJOR = "major", "Major"
        CRITICAL = "critical", "Critical"

    class Status(models.TextChoices):
        INVESTIGATING = "investigating", "Investigating"
        IDENTIFIED = "identified", "Identified"
        MONITORING = "monitoring", "Monitoring"
        RESOLVED = "resolved", "Resolved"

    class Responder(models.TextChoices):
        TRIGGERED = "triggered", "Triggered"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        RESOLVED = "resolved", "Resolved"

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey("portal.Client", models.CASCADE, null=True, blank=True, related_name="incidents")
    service = models.ForeignKey("portal.Service", models.SET_NULL, null=True, blank=True, related_name="incidents")
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="children")
    cause_key = models.CharField(
        max_length=160, blank=True, help_text="What groups alerts into it: service:3, parent:7, monitor:9."
    )
    title = models.CharField(max_length=200)
    severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.MAJOR)
    status = models.CharField(max_length=14, choices=Status.choices, default=Status.INVESTIGATING)
    responder_status = models.CharField(max_length=12, choices=Responder.choices, default=Responder.TRIGGERED)
    auto_created = models.BooleanField(default=False)
    auto_resolve = models.BooleanField(default=True)
    taken_over = models.BooleanField(
        default=False, help_text="A person resolved or reopened it: the machine keeps its hands off."
    )
    affected_monitor_ids = models.JSONField(default=list)
    status_page_id = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200, blank=True)
    last_alert_at = models.DateTimeField(null=True)
    lead = models.ForeignKey(
        "portal.Contact",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="led_incidents",
        help_text="Who leads the response.",
    )
    merged_into = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="merged",
        help_text="Resolved because another incident carries on with it.",
    )
    began_at = models.DateTimeField(
        null=True, blank=True, help_text="The first failing check; a person may correct it."
    )
    mitigated_at = models.DateTimeField(null=True, blank=True, help_text="When readers no longer felt it.")
    times_known_by = models.JSONField(
        default=dict, blank=True, help_text="How each of the times is known: check, alert, person …"
    )
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=200, blank=True)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=200, blank=True)
    next_seq = models.IntegerField(default=1)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["client", "cause_key"],
                condition=Q(auto_created=True, resolved_at=None),
                name="one_open_incident_per_cause",
            ),
            models.CheckConstraint(
                condition=Q(responder_status="resolved", status="resolved", resolved_at__isnull=False)
                | (~Q(responder_status="resolved") & ~Q(status="resolved") & Q(resolved_at=None)),
                name="incident_resolved_iff_resolved_at",
            ),
            models.CheckConstraint(
                condition=~Q(responder_status="acknowledged") | Q(acknowledged_at__isnull=False),
                name="acknowledged_has_a_time",
            ),
            models.CheckConstraint(
                condition=Q(client__isnull=False) | Q(auto_created=False), name="the_machine_opens_for_a_client"
            ),
            models.CheckConstraint(
                condition=~Q(responder_status="triggered") | Q(acknowledged_at=None),
                name="nobody_has_what_is_triggered",
            ),
            models.CheckConstraint(
                condition=Q(merged_into=None) | (Q(status="resolved") & ~Q(merged_into=F("id"))),
                name="merged_is_over_and_into_another",
            ),
            models.CheckConstraint(
                condition=Q(parent=None) | (Q(client__isnull=False) & ~Q(parent=F("id"))),
                name="only_a_clients_incident_has_a_parent",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["investigating", "identified", "monitoring", "resolved"]),
                name="incident_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(responder_status__in=["triggered", "acknowledged", "resolved"]),
                name="responder_status_is_known",
            ),
            models.CheckConstraint(
                condition=Q(severity__in=["minor", "major", "critical"]), name="incident_severity_is_known"
            ),
        ]
        indexes = [
            models.Index(fields=["client", "-id"], name="incident_client"),
            models.Index(fields=["-id"], condition=Q(resolved_at=None), name="incident_open"),
        ]

    def __str__(self) -> str:
        return self.title


class IncidentAlert(models.Model):
    """An alert gathered by an incident; an alert belongs to one."""

    tenant_path = "incident__client"
    objects = TenantManager()

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="alert_links")
    alert = models.OneToOneField("alerts.Alert", models.CASCADE, related_name="incident_link")
    joined_at = models.DateTimeField()


class Update(models.Model):
    """What was told to those outside: a public status and a message."""

    tenant_path = "incident__client"
    objects = TenantManager()

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="updates")
    status = models.CharField(max_length=14, choices=Incident.Status.choices)
    message = models.TextField(blank=True)
    by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    edited_at = models.DateTimeField(null=True, blank=True, help_text="The words were corrected; the status never is.")
    edited_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["investigating", "identified", "monitoring", "resolved"]),
                name="update_status_is_known",
            ),
        ]


class TimelineEntry(models.Model):
    """One thing that happened to the incident. Pages sent are read from deliveries, not copied here."""

    tenant_path = "incident__client"
    objects = TenantManager()

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="timeline")
    seq = models.IntegerField()
    at = models.DateTimeField()
    kind = models.CharField(
        max_length=24,
        help_text="opened, joined, acknowledged, update, update_edited, alert_resolved, resolved, edited …",
    )
    by = models.CharField(max_length=200, blank=True)
    text = models.TextField(blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["seq"]
        constraints = [models.UniqueConstraint(fields=["incident", "seq"], name="one_timeline_entry_per_seq")]


class ServiceRules(models.Model):
    """How incidents of a service are opened."""

    class Creation(models.TextChoices):
        AUTO = "auto", "Open by itself"
        AUTO_WITH_CONFIRMATION = "auto_with_confirmation", "Open by itself, published only when a person confirms"
        MANUAL = "manual", "Only by a person"

    tenant_path = "service__client"
    objects = TenantManager()

    service = models.OneToOneField("portal.Service", models.CASCADE, related_name="incident_rules")
    creation = models.CharField(max_length=24, choices=Creation.choices, default=Creation.AUTO)
    merge_window_minutes = models.PositiveIntegerField(default=5)
    default_severity = models.CharField(max_length=8, choices=Incident.Severity.choices, blank=True)
    auto_publish_page = models.BigIntegerField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "service rules"
        constraints = [
            models.CheckConstraint(
                condition=Q(creation__in=["auto", "auto_with_confirmation", "manual"]), name="creation_mode_is_known"
            ),
            models.CheckConstraint(
                condition=Q(merge_window_minutes__lte=7 * 24 * 60), name="merge_window_is_at_most_a_week"
            ),
        ]

    def __str__(self) -> str:
        return f"Rules of {self.service}"

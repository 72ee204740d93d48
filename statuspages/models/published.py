"""What was said on which page? Incidents and planned work."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from portal.tenancy import TenantManager


class Publication(models.Model):
    """An incident on a page, with the components it affects there (none: those of its monitors)."""

    tenant_path = "page__client"
    objects = TenantManager()

    page = models.ForeignKey("statuspages.Page", models.CASCADE, related_name="publications")
    incident = models.ForeignKey("incidents.Incident", models.CASCADE, related_name="publications")
    components = models.ManyToManyField("statuspages.Component", blank=True, related_name="publications")
    title = models.CharField(max_length=200, blank=True, help_text="Empty: the incident's own.")
    published_at = models.DateTimeField()
    published_by = models.CharField(max_length=200, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-published_at"]
        constraints = [models.UniqueConstraint(fields=["page", "incident"], name="an_incident_is_once_on_a_page")]

    def __str__(self) -> str:
        return f"{self.incident} on {self.page}"


class ScheduledWork(models.Model):
    """Maintenance that readers are told of: scheduled → in progress → verifying → completed."""

    class Status(models.TextChoices):
        SCHEDULED = "scheduled", "Scheduled"
        IN_PROGRESS = "in_progress", "In progress"
        VERIFYING = "verifying", "Verifying"
        COMPLETED = "completed", "Completed"
        CANCELLED = "cancelled", "Cancelled"

    tenant_path = "page__client"
    objects = TenantManager()

    page = models.ForeignKey("statuspages.Page", models.CASCADE, related_name="works")
    window = models.ForeignKey(
        "alerts.MaintenanceWindow",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="works",
        help_text="Whose monitors rest meanwhile.",
    )
    title = models.CharField(max_length=200)
    message = models.TextField(blank=True)
    components = models.ManyToManyField("statuspages.Component", blank=True, related_name="works")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.SCHEDULED)
    auto_start = models.BooleanField(default=True)
    auto_end = models.BooleanField(default=True)
    remind_minutes = models.PositiveIntegerField(
        default=60, help_text="So long before it begins, subscribers are reminded; 0: not."
    )
    reminded_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["starts_at", "pk"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="work_ends_after_it_starts")
        ]
        indexes = [
            models.Index(fields=["starts_at"], condition=~Q(status__in=["completed", "cancelled"]), name="work_open")
        ]

    def __str__(self) -> str:
        return self.title


class WorkUpdate(models.Model):
    """What was said about planned work, and when."""

    tenant_path = "work__page__client"
    objects = TenantManager()

    work = models.ForeignKey(ScheduledWork, models.CASCADE, related_name="updates")
    status = models.CharField(max_length=12, choices=ScheduledWork.Status.choices)
    message = models.TextField(blank=True)
    by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]

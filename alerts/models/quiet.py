"""What is quiet for now? Silences hold messages; maintenance windows also change what monitors show and pause escalation."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from portal.models.clients import known_zone
from portal.tenancy import TenantManager


class Silence(models.Model):
    """Events are kept, deliveries held, until it ends."""

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey(
        "portal.Client",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="silences",
        help_text="Set: only this client's alerts.",
    )
    reason = models.CharField(max_length=300)
    owner = models.CharField(max_length=200, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    until_recovered = models.BooleanField(default=False)
    recurrence = models.CharField(
        max_length=300, blank=True, help_text="RRULE; each occurrence lasts as long as the first."
    )
    timezone = models.CharField(max_length=64, default="UTC", validators=[known_zone])
    matchers = models.JSONField(
        default=dict, help_text="source, entity_id, entity_type, client, site, tag, severity; all must match."
    )
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancelled_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gt=models.F("starts_at")), name="silence_ends_after_it_starts"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=False) | Q(until_recovered=True), name="silence_has_an_end"
            ),
        ]

    def __str__(self) -> str:
        return self.reason


class MaintenanceWindow(models.Model):
    """Work is planned: checks go on, monitors show it, alerts wait and are judged anew when it ends."""

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey(
        "portal.Client", models.CASCADE, null=True, blank=True, related_name="maintenance_windows",
        help_text="Set: only this client's. Empty: whatever its scopes and tags name, of any client.",
    )  # fmt: skip
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True, help_text="Shown on status pages.")
    owner = models.CharField(max_length=200, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="Of the first occurrence; every other lasts as long.")
    recurrence = models.CharField(
        max_length=300, blank=True, help_text="RRULE; each occurrence lasts as long as the first."
    )
    timezone = models.CharField(max_length=64, default="UTC", validators=[known_zone])
    scopes = models.JSONField(
        default=list, blank=True, help_text="endpoint:7, monitor:7, service:5, site:1, client:3: any of them."
    )
    tags = models.JSONField(
        default=list, blank=True, help_text="Any of these tags of the monitor, its site or its client."
    )
    cancelled_at = models.DateTimeField(null=True, blank=True)
    cancelled_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="maintenance_ends_after_it_starts"),
            models.CheckConstraint(
                condition=Q(client__isnull=False) | ~Q(scopes=[]) | ~Q(tags=[]), name="maintenance_names_something"
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Occurrence(models.Model):
    """One time that a window was open. The row's coming and going is the moment when things change hands."""

    tenant_path = "window__client"
    objects = TenantManager()

    window = models.ForeignKey(MaintenanceWindow, models.CASCADE, related_name="occurrences")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    closed_at = models.DateTimeField(
        null=True, help_text="When its end was carried out; sooner than ends_at when cancelled."
    )

    class Meta:
        ordering = ["-starts_at"]
        constraints = [models.UniqueConstraint(fields=["window", "starts_at"], name="one_occurrence_per_start")]
        indexes = [models.Index(fields=["ends_at"], condition=Q(closed_at=None), name="occurrence_open")]

    def __str__(self) -> str:
        return f"{self.window}: {self.starts_at:%Y-%m-%d %H:%M}"

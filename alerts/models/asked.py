"""What did a client ask to be worked on in peace? A request for a maintenance window, until our staff answers it."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from portal.models.clients import known_zone
from portal.tenancy import TenantManager


class MaintenanceRequest(models.Model):
    """A client's wish for a maintenance window. It hides nothing: only the window that accepting it makes does."""

    class State(models.TextChoices):
        REQUESTED = "requested", "Requested"
        ACCEPTED = "accepted", "Accepted"
        DECLINED = "declined", "Declined"
        WITHDRAWN = "withdrawn", "Withdrawn"

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey("portal.Client", models.CASCADE, related_name="maintenance_requests")
    title = models.CharField(max_length=200)
    note = models.TextField(blank=True, help_text="For our staff.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    timezone = models.CharField(max_length=64, default="UTC", validators=[known_zone])
    scopes = models.JSONField(
        default=list, blank=True, help_text="monitor:7, site:1, service:5. Empty: all of the client's."
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.REQUESTED)
    asked_by = models.ForeignKey("portal.User", models.SET_NULL, null=True, related_name="+")
    asked_name = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=200, blank=True)
    reason = models.CharField(
        max_length=500, blank=True, help_text="Why it was declined, or words with the acceptance."
    )
    window = models.OneToOneField(
        "alerts.MaintenanceWindow",
        models.SET_NULL,
        null=True,
        related_name="request",
        help_text="What accepting it made.",
    )

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="request_ends_after_it_starts"),
            models.CheckConstraint(
                condition=Q(state__in=["requested", "accepted", "declined", "withdrawn"]), name="request_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(state="requested", decided_at=None) | (~Q(state="requested") & Q(decided_at__isnull=False)),
                name="decided_iff_decided_at",
            ),
            models.CheckConstraint(condition=~Q(state="declined") | ~Q(reason=""), name="declined_says_why"),
        ]
        indexes = [models.Index(fields=["client"], condition=Q(state="requested"), name="request_waiting")]

    def __str__(self) -> str:
        return self.title

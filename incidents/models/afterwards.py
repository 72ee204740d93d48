"""What was learned, and what was promised? The post-mortem of an incident, and contracts about a service's availability."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from portal.tenancy import TenantManager


class Postmortem(models.Model):
    """What happened, why, and what follows: a draft made from the timeline, then a person's text."""

    tenant_path = "incident__client"
    objects = TenantManager()

    incident = models.OneToOneField("incidents.Incident", models.CASCADE, related_name="postmortem")
    body = models.TextField(blank=True, help_text="Markdown.")
    edited = models.BooleanField(default=False, help_text="A person changed the draft: it is not made anew by itself.")
    finished_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1, help_text="Two people editing at once: the second is told.")
    updated_at = models.DateTimeField()
    updated_by = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"Post-mortem of {self.incident}"


class SlaContract(models.Model):
    """What a client was promised about a service."""

    class CountedFrom(models.TextChoices):
        FIRST_FAILURE = "first_failure", "The first failing check"
        CONFIRMATION = "confirmation", "Its confirmation"

    tenant_path = "service__client"
    objects = TenantManager()

    service = models.OneToOneField("portal.Service", models.CASCADE, related_name="sla_contract")
    target_percent = models.FloatField(default=99.9, validators=[MinValueValidator(0), MaxValueValidator(100)])
    exclude_maintenance = models.BooleanField(default=True)
    exclude_transit = models.BooleanField(
        default=False, help_text="Outages whose verdict says that the way there was at fault."
    )
    exclude_probe = models.BooleanField(
        default=True, help_text="Outages whose verdict says that our own probe was at fault."
    )
    exclude_unknown = models.BooleanField(
        default=True, help_text="Time in which nothing was measured does not count at all."
    )
    counted_from = models.CharField(max_length=14, choices=CountedFrom.choices, default=CountedFrom.CONFIRMATION)
    timezone = models.CharField(
        max_length=60, blank=True, help_text="Where a month begins and ends; empty: the client's."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(target_percent__gte=0, target_percent__lte=100), name="a_target_is_a_percentage"
            ),
            models.CheckConstraint(
                condition=models.Q(counted_from__in=["first_failure", "confirmation"]), name="counted_from_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target_percent} % for {self.service}"


class SlaReport(models.Model):
    """One month of one client as it was told, with everything it was counted from; it can be counted again."""

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey("portal.Client", models.CASCADE, related_name="sla_reports")
    month = models.DateField(help_text="Its first day.")
    body = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)
    made_at = models.DateTimeField()
    made_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-month", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["client", "month", "digest"], name="a_months_figures_are_kept_once")
        ]

    def __str__(self) -> str:
        return f"{self.client}, {self.month:%Y-%m}"

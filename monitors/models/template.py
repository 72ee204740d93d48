"""What is said once for many monitors, across clients?"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower

from portal.tenancy import TenantManager


class MonitorTemplate(models.Model):
    """Settings that many monitors of one kind share. Edited once, seen as a diff, rolled out to those that follow it."""

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey(
        "portal.Client", models.CASCADE, null=True, blank=True, related_name="monitor_templates",
        help_text="Empty: for monitors of every client.",
    )  # fmt: skip
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=300, blank=True)
    kind = models.CharField(max_length=16)
    values = models.JSONField(
        default=dict,
        help_text="Common fields by name (interval_seconds …), `config` with some of the kind's settings, `tags` to add.",
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="one_template_per_name",
                violation_error_message="A template of this name exists; choose another name.",
            )
        ]

    def __str__(self) -> str:
        return self.name

"""Which outside systems may raise alerts here, and how are their words read?"""

from __future__ import annotations

from django.db import models

from portal.tenancy import TenantManager


class Integration(models.Model):
    """One outside system's key. The key is shown once and kept as a hash; whoever has it may raise alerts of this client."""

    tenant_path = "client"
    objects = TenantManager()

    class Kind(models.TextChoices):
        EVENTS = "events", "PagerDuty Events v2"
        ALERTMANAGER = "alertmanager", "Prometheus Alertmanager"
        GENERIC = "generic", "Any JSON, by a mapping"

    client = models.ForeignKey(
        "portal.Client", models.CASCADE, null=True, blank=True, related_name="integrations",
        help_text="Whose alerts these are. Empty: our own.",
    )  # fmt: skip
    site = models.ForeignKey("portal.Site", models.SET_NULL, null=True, blank=True, related_name="+")
    service = models.ForeignKey("portal.Service", models.SET_NULL, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.EVENTS)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    key_hint = models.CharField(max_length=8, editable=False, help_text="How the key begins.")
    mapping = models.JSONField(
        default=dict, blank=True, help_text="For any JSON: where title, severity, key … are found."
    )
    tags = models.JSONField(default=list, blank=True)
    enabled = models.BooleanField(default=True)
    last_event_at = models.DateTimeField(null=True, editable=False)
    last_problem = models.CharField(max_length=300, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

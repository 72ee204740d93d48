"""What does a client take along? One archive of everything of theirs, made in the background and kept for a week."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portal.models.clients import Client
from portal.tenancy import TenantManager


class ClientExport(models.Model):
    """One archive: asked for by whom, how far it is, until when it can be fetched."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Being made"
        READY = "ready", "Ready"
        FAILED = "failed", "Failed"

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey(Client, models.CASCADE, related_name="exports")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    asked_by = models.CharField(max_length=200)
    asked_at = models.DateTimeField()
    step = models.CharField(max_length=60, blank=True, help_text="What is written now.")
    done = models.PositiveIntegerField(default=0, help_text="Parts that are written.")
    total = models.PositiveIntegerField(default=0, help_text="Parts in all.")
    size = models.BigIntegerField(default=0, help_text="Bytes of the archive.")
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the archive.")
    error = models.CharField(max_length=300, blank=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True, help_text="It is deleted then.")
    lease_token = models.BigIntegerField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["client"], condition=Q(state__in=["waiting", "running"]), name="one_export_at_a_time_per_client"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.client} as of {self.asked_at:%Y-%m-%d}"


class ExportPart(models.Model):
    """A megabyte of the archive: every process can serve it, wherever it was made."""

    tenant_path = "export__client"
    objects = TenantManager()

    export = models.ForeignKey(ClientExport, models.CASCADE, related_name="parts")
    n = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ["n"]
        constraints = [models.UniqueConstraint(fields=["export", "n"], name="one_part_per_place")]

    def __str__(self) -> str:
        return f"part {self.n} of export {self.export_id}"

"""How is it said? Words of our own for a client's or a channel's messages, and what a channel has sent this month."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from alerts.models.routing import Channel
from portal.tenancy import TenantManager


class MessageTemplate(models.Model):
    """Logic-less `{{name}}` wording. The most particular one counts: channel before client before everybody."""

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey(
        "portal.Client", models.CASCADE, null=True, blank=True, related_name="message_templates",
        help_text="Set: messages about this client, on its own channels or on the one that is named.",
    )  # fmt: skip
    channel = models.ForeignKey(
        Channel,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="templates",
        help_text="Set: messages to this channel.",
    )
    name = models.CharField(max_length=120)
    types = models.CharField(
        max_length=300, blank=True, help_text="monitor.down, monitor.recovery, ssl … Comma-separated; empty: all."
    )
    title = models.CharField(max_length=300, blank=True, help_text="Empty: as it is.")
    text = models.TextField(blank=True, max_length=4000, help_text="The first line under the title. Empty: as it is.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Usage(models.Model):
    """How much a channel has sent in a month."""

    tenant_path = "channel__client"
    objects = TenantManager()

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="usage")
    month = models.DateField(help_text="Its first day, in UTC.")
    sent = models.PositiveIntegerField(default=0)
    warned_percent = models.PositiveSmallIntegerField(default=0, help_text="80 or 100, once it was said.")

    class Meta:
        ordering = ["-month"]
        constraints = [
            models.UniqueConstraint(fields=["channel", "month"], name="one_usage_per_channel_and_month"),
            models.CheckConstraint(condition=Q(sent__gte=0), name="usage_is_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.channel}, {self.month:%Y-%m}: {self.sent}"

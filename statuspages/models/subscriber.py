"""Who wants to hear of a page's news, and of which components?"""

from __future__ import annotations

from django.db import models

from portal.secrets import SealedField
from portal.tenancy import TenantManager
from statuspages.models.page import new_mark


class Subscriber(models.Model):
    """A reader's wish. Mail counts only once its owner confirmed it; addresses are sealed, and found by a keyed hash."""

    class Kind(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook"
        SLACK = "slack", "Slack"

    class State(models.TextChoices):
        PENDING = "pending", "Waits for confirmation"
        ACTIVE = "active", "Subscribed"
        LEFT = "left", "Unsubscribed"
        FAILED = "failed", "Suspended: its address refuses messages"

    tenant_path = "page__client"
    objects = TenantManager()

    page = models.ForeignKey("statuspages.Page", models.CASCADE, related_name="subscribers")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    address = SealedField()
    address_hash = models.CharField(
        max_length=64, help_text="Keyed: the same address once per page, without showing it."
    )
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    components = models.ManyToManyField(
        "statuspages.Component", blank=True, related_name="subscribers", help_text="None: all of the page."
    )
    mark = models.CharField(
        max_length=32, default=new_mark, editable=False, help_text="Its links hang on this; a new one ends them."
    )
    created_at = models.DateTimeField()
    asked_at = models.DateTimeField(help_text="When the confirmation was last sent.")
    confirmed_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(
        default=0, help_text="Messages in a row that the other side refused for good."
    )
    bounces = models.PositiveIntegerField(default=0, help_text="Letters in a row that came back after they were taken.")
    bounced_letter = models.BigIntegerField(null=True, help_text="The delivery whose letter came back last.")
    ended_reason = models.CharField(max_length=300, blank=True, help_text="Why it was suspended, without the address.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["page", "kind", "address_hash"], name="an_address_subscribes_once")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.page}"

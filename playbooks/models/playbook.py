"""What may be done, when, behind which gates, and who has to agree?"""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from portal.secrets import SealedField
from portal.tenancy import TenantManager


class Mode(models.TextChoices):
    """How far a playbook is trusted."""

    DRY_RUN = "dry_run", "Dry run: only says what it would do"
    APPROVAL = "approval", "With approval: acts when people agree"
    AUTOMATIC = "automatic", "Automatic: acts by itself"


def between(least: float, most: float) -> list:
    """Validators of a bounded number."""
    return [MinValueValidator(least), MaxValueValidator(most)]


class Playbook(models.Model):
    """Steps against one kind of failure, and the gates they stand behind.

    `version` rises with every change of what it does or when: a plan that was approved names the version it was made of.
    """

    tenant_path = "client"
    tenant_null = "msp"
    objects = TenantManager()

    client = models.ForeignKey("portal.Client", models.CASCADE, null=True, blank=True, related_name="playbooks")
    name = models.CharField(max_length=120)
    notes = models.TextField(blank=True, max_length=4000, help_text="What it is for; Markdown.")
    mode = models.CharField(max_length=9, choices=Mode.choices, default=Mode.DRY_RUN)
    version = models.PositiveIntegerField(default=1, editable=False)
    # When: which alerts it is about. Empty lists name everything; its client always limits it.
    events = models.JSONField(default=list, blank=True, help_text='Names on the wire, as ["monitor.down"].')
    scopes = models.JSONField(
        default=list, blank=True, help_text='As in triggers: ["endpoint:7", "service:3", "site:1"].'
    )
    tags = models.JSONField(default=list, blank=True)
    verdict_layers = models.JSONField(
        default=list, blank=True, help_text="Layers it may act on; empty: all but transit, probe and unknown."
    )
    # Behind which gates.
    min_confidence = models.FloatField(default=0.8, validators=between(0, 1))
    quorum = models.PositiveIntegerField(default=2, validators=between(1, 100))
    cooldown_seconds = models.PositiveIntegerField(default=900, validators=between(0, 7 * 86400))
    hourly_cap = models.PositiveIntegerField(default=3, validators=between(1, 60))
    target_hourly_cap = models.PositiveIntegerField(default=3, validators=between(1, 60))
    blast_radius = models.PositiveIntegerField(
        default=10, validators=between(1, 10_000), help_text="With more of the client's monitors down than this, it keeps its hands off."
    )  # fmt: skip
    # Who has to agree.
    approvals_required = models.PositiveIntegerField(default=1, validators=between(1, 10))
    approvers = models.ManyToManyField(
        "portal.User", blank=True, related_name="+", help_text="Empty: every owner and staff member."
    )
    approval_minutes = models.PositiveIntegerField(default=30, validators=between(1, 1440))
    # Afterwards.
    verify_within_seconds = models.PositiveIntegerField(default=120, validators=between(5, 3600))
    undo_on_failure = models.BooleanField(default=True, help_text="When it did not help, undo the steps that can be.")
    # Trust.
    verified_in_a_row = models.PositiveIntegerField(default=0, editable=False)
    trusted_after = models.PositiveIntegerField(
        default=3, validators=between(1, 100), help_text="After so many verified runs the next mode is offered."
    )
    automatic_since = models.DateTimeField(null=True, editable=False)
    automatic_by = models.CharField(max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["client", "name"], name="one_playbook_per_client_and_name"),
            models.UniqueConstraint(fields=["name"], condition=Q(client=None), name="one_playbook_of_ours_per_name"),
            models.CheckConstraint(
                condition=~Q(mode="automatic") | Q(automatic_since__isnull=False) & ~Q(automatic_by=""),
                name="automatic_is_somebodys_decision",
            ),
            models.CheckConstraint(condition=Q(min_confidence__gte=0, min_confidence__lte=1), name="confidence_from_0_to_1"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.name


class Step(models.Model):
    """One thing a playbook does; `kind` names the plug-in in `playbooks/steps/`."""

    tenant_path = "playbook__client"
    objects = TenantManager()

    playbook = models.ForeignKey(Playbook, models.CASCADE, related_name="steps")
    order = models.PositiveIntegerField()
    kind = models.CharField(max_length=24)
    config = models.JSONField(default=dict)
    secrets = SealedField()

    class Meta:
        ordering = ["order"]
        constraints = [models.UniqueConstraint(fields=["playbook", "order"], name="one_step_per_place")]

    def __str__(self) -> str:
        return f"{self.order}. {self.kind}"


class Brake(models.Model):
    """A kill switch that is on: for everything, for one client, or for one playbook. Lifted by deleting the row."""

    tenant_path = "client"
    tenant_null = "msp"
    objects = TenantManager()

    client = models.ForeignKey("portal.Client", models.CASCADE, null=True, blank=True, related_name="+")
    playbook = models.OneToOneField(Playbook, models.CASCADE, null=True, blank=True, related_name="brake")
    scope = models.CharField(
        max_length=40, unique=True, editable=False, help_text="all, client:3 or playbook:7: one brake each."
    )
    reason = models.CharField(max_length=300)
    by = models.CharField(max_length=200)
    at = models.DateTimeField()

    def __str__(self) -> str:
        if self.playbook_id:
            return f"Stopped: {self.playbook}"
        return f"Stopped: {self.client}" if self.client_id else "Everything is stopped"

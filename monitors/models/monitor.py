"""What is watched? A wide row, rarely written; what changes with each check is in ProbeState."""

from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from portal.models.trash import KeptManager, Trashable
from portal.secrets import SealedField

SHORTEST_INTERVAL, LONGEST_INTERVAL = 5, 86400


class State(models.TextChoices):
    """A monitor's state; the same seven words everywhere."""

    PENDING = "pending", "Pending"
    UP = "up", "Up"
    DEGRADED = "degraded", "Degraded"
    DOWN = "down", "Down"
    PAUSED = "paused", "Paused"
    MAINTENANCE = "maintenance", "Maintenance"
    UNKNOWN = "unknown", "Unknown"


class Monitor(Trashable):
    """One thing that is watched."""

    tenant_path = "client"
    objects = KeptManager()

    client = models.ForeignKey("portal.Client", models.CASCADE, related_name="monitors")
    site = models.ForeignKey("portal.Site", models.SET_NULL, null=True, blank=True, related_name="monitors")
    service = models.ForeignKey("portal.Service", models.SET_NULL, null=True, blank=True, related_name="monitors")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16)
    config = models.JSONField(default=dict)
    secrets = SealedField()
    uuid = models.UUIDField(
        default=uuid.uuid4, unique=True, editable=False, help_text="The unguessable part of its ping address."
    )
    slug = models.SlugField(max_length=60, blank=True)
    interval_seconds = models.IntegerField(default=60)
    timeout_seconds = models.FloatField(default=10)
    confirmation_seconds = models.IntegerField(default=0, validators=[MinValueValidator(0), MaxValueValidator(86400)])
    confirmation_count = models.IntegerField(default=2, validators=[MinValueValidator(1), MaxValueValidator(100)])
    recovery_seconds = models.IntegerField(default=0, validators=[MinValueValidator(0), MaxValueValidator(86400)])
    recovery_count = models.IntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(100)])
    degraded_latency_ms = models.IntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    degraded_loss_percent = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(100)]
    )
    quorum = models.IntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(100)])
    distinct_networks = models.BooleanField(default=False, help_text="Count at most one failing vote per network.")
    severity = models.CharField(
        max_length=8, default="critical", choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")]
    )
    parent = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="children",
        help_text="When the parent is down, this one's alerts wait.",
    )
    template = models.ForeignKey(
        "monitors.MonitorTemplate", models.SET_NULL, null=True, blank=True, related_name="monitors",
        help_text="Whose values it follows when they are rolled out.",
    )  # fmt: skip
    template_version = models.PositiveIntegerField(null=True, editable=False)
    probe_rule = models.JSONField(
        default=dict,
        blank=True,
        help_text='Where it is watched from: {"probes": ["local"]} or {"tags": ["eu"], "any": 3}.',
    )
    diagnose = models.BooleanField(
        default=True, help_text="Find out why as soon as a check fails: paths, names, certificates, from every probe."
    )
    in_maintenance = models.BooleanField(default=False, editable=False)
    runbook_url = models.URLField(max_length=500, blank=True)
    notes = models.TextField(blank=True)
    tags = models.ManyToManyField("portal.Tag", blank=True)
    enabled = models.BooleanField(default=True)
    trusted = models.BooleanField(
        default=False, editable=False, help_text="Made by staff: it may watch private addresses."
    )
    flapping_changes = models.IntegerField(
        default=6,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="More changes than this in the window is flapping. 0: never.",
    )
    flapping_window_seconds = models.IntegerField(
        default=1800, validators=[MinValueValidator(60), MaxValueValidator(86400)]
    )
    # What the engine decided. Written by `monitors.evaluate` alone.
    state = models.CharField(max_length=12, choices=State.choices, default=State.PENDING, editable=False)
    state_since = models.DateTimeField(null=True, editable=False)
    state_reason = models.CharField(max_length=300, blank=True, editable=False)
    state_version = models.IntegerField(default=0, editable=False)
    flapping_since = models.DateTimeField(null=True, editable=False)
    config_version = models.IntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(interval_seconds__gte=SHORTEST_INTERVAL, interval_seconds__lte=LONGEST_INTERVAL),
                name="interval_is_5_seconds_to_a_day",
                violation_error_message="interval_seconds: from 5 (seconds) to 86400 (a day).",
            ),
            models.CheckConstraint(
                condition=Q(timeout_seconds__gt=0, timeout_seconds__lte=F("interval_seconds")),
                name="timeout_fits_the_interval",
                violation_error_message="timeout_seconds: above 0 and not longer than the interval.",
            ),
            models.CheckConstraint(condition=Q(quorum__gte=1), name="quorum_is_positive"),
            models.CheckConstraint(
                condition=Q(confirmation_count__gte=1, recovery_count__gte=1), name="counts_are_positive"
            ),
            models.CheckConstraint(
                condition=Q(confirmation_seconds__gte=0, recovery_seconds__gte=0),
                name="confirmation_times_are_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(degraded_latency_ms=None) | Q(degraded_latency_ms__gt=0),
                name="degraded_latency_is_positive",
            ),
            models.CheckConstraint(
                condition=Q(degraded_loss_percent=None)
                | Q(degraded_loss_percent__gte=0, degraded_loss_percent__lte=100),
                name="loss_is_a_percentage",
            ),
            models.CheckConstraint(
                condition=Q(parent=None) | ~Q(parent=F("id")), name="a_monitor_is_not_its_own_parent"
            ),
            models.UniqueConstraint(
                fields=["client", "slug"],
                condition=~Q(slug="") & Q(deleted_at=None),
                name="one_ping_slug_per_client",
            ),
        ]
        indexes = [
            models.Index(fields=["client", "name"], name="monitor_client_name"),
            models.Index(fields=["state", "id"], name="monitor_state"),
        ]

    def __str__(self) -> str:
        return self.name

"""Why is it failing? One row per diagnosis, one per probe that looked, what was learned while all was well, and routes that moved."""

from __future__ import annotations

import secrets

from django.db import models
from django.db.models import Q

from portal.tenancy import TenantManager


def new_mark() -> str:
    """The part of a report's address that changes when the link is renewed."""
    return secrets.token_hex(8)


class Diagnosis(models.Model):
    """One attempt to say where a problem lives: begun at the first failure (or by a person), judged from stored evidence."""

    class State(models.TextChoices):
        GATHERING = "gathering", "Gathering evidence"
        DONE = "done", "Done"
        DROPPED = "dropped", "Dropped"  # it was well again before anything was seen

    class Cause(models.TextChoices):
        FAILURE = "failure", "The first failing check"
        DEGRADATION = "degradation", "Slower or lossier than usual"
        PERSON = "person", "Asked for by a person"

    tenant_path = "monitor__client"
    objects = TenantManager()

    monitor = models.ForeignKey("monitors.Monitor", models.CASCADE, related_name="diagnoses")
    alert = models.ForeignKey("alerts.Alert", models.SET_NULL, null=True, blank=True, related_name="diagnoses")
    cause = models.CharField(max_length=12, choices=Cause.choices)
    requested_by = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=9, choices=State.choices, default=State.GATHERING)
    first_failure_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField()
    deadline_at = models.DateTimeField(help_text="Then the verdict is given from what has come by then.")
    finished_at = models.DateTimeField(null=True)
    # What monitors.diagnosis.verdict reads (monitors/diagnosis/evidence.py says in which shape) and what it said.
    evidence = models.JSONField(default=dict)
    verdict = models.JSONField(default=dict)
    layer = models.CharField(max_length=16, blank=True)
    confidence = models.FloatField(null=True)
    verdict_version = models.IntegerField(null=True)
    revision = models.IntegerField(default=0, help_text="How often evidence that came later changed the verdict.")
    # The report's link: derived from SECRET_KEY, this row and the mark; a new mark ends the old link.
    link_mark = models.CharField(max_length=16, default=new_mark, editable=False)
    link_expires_at = models.DateTimeField(null=True)
    link_revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "diagnoses"
        constraints = [
            models.UniqueConstraint(
                fields=["monitor"], condition=Q(state="gathering"), name="one_diagnosis_at_a_time_per_monitor"
            )
        ]
        indexes = [
            models.Index(fields=["monitor", "-id"], name="diagnosis_monitor"),
            models.Index(fields=["deadline_at"], condition=Q(state="gathering"), name="diagnosis_open"),
        ]

    def __str__(self) -> str:
        return self.verdict.get("summary") or f"Diagnosis {self.pk}"


class Battery(models.Model):
    """What one probe is asked to measure for one diagnosis, and what it found."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Under way"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        LATE = "late", "Came too late"

    tenant_path = "diagnosis__monitor__client"
    objects = TenantManager()

    diagnosis = models.ForeignKey(Diagnosis, models.CASCADE, related_name="batteries")
    probe = models.ForeignKey("monitors.Probe", models.CASCADE, related_name="batteries")
    job = models.ForeignKey("monitors.ProbeJob", models.SET_NULL, null=True, blank=True, related_name="+")
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    target_key = models.CharField(max_length=200, help_text="Host and port: batteries of one target share evidence.")
    reused = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="+")
    claimed_by = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    evidence = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "batteries"
        constraints = [
            models.UniqueConstraint(fields=["diagnosis", "probe"], name="one_battery_per_diagnosis_and_probe")
        ]
        indexes = [
            models.Index(fields=["probe"], condition=Q(state="waiting"), name="battery_waiting"),
            models.Index(fields=["probe", "target_key", "-id"], name="battery_target"),
        ]

    def __str__(self) -> str:
        return f"{self.target_key} from {self.probe_id}"


class Baseline(models.Model):
    """How one monitor looks from one probe while all is well. Learned only then; refreshed, and old when not refreshed."""

    tenant_path = "monitor__client"
    objects = TenantManager()

    monitor = models.ForeignKey("monitors.Monitor", models.CASCADE, related_name="baselines")
    probe = models.ForeignKey("monitors.Probe", models.CASCADE, related_name="baselines")
    learned_at = models.DateTimeField(null=True, help_text="When the path was last seen while all was well.")
    next_at = models.DateTimeField(help_text="When to look again.")
    samples = models.IntegerField(default=0)
    data = models.JSONField(default=dict)
    # Where it lives, for "who else is there?" across monitors.
    address = models.CharField(max_length=45, blank=True)
    asn = models.BigIntegerField(null=True)
    issuer = models.CharField(max_length=200, blank=True)
    dns_provider = models.CharField(max_length=120, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["monitor", "probe"], name="one_baseline_per_monitor_and_probe")]
        indexes = [
            models.Index(fields=["next_at"], name="baseline_next"),
            models.Index(fields=["asn"], name="baseline_asn"),
            models.Index(fields=["address"], name="baseline_address"),
        ]

    def __str__(self) -> str:
        return f"{self.monitor_id} from {self.probe_id} when well"


class RouteChange(models.Model):
    """The path from a probe to a monitor's target moved."""

    tenant_path = "monitor__client"
    objects = TenantManager()

    monitor = models.ForeignKey("monitors.Monitor", models.CASCADE, related_name="route_changes")
    probe = models.ForeignKey("monitors.Probe", models.CASCADE, related_name="+")
    at = models.DateTimeField()
    before = models.JSONField(default=list, help_text="Addresses, hop by hop; null where nobody answered.")
    after = models.JSONField(default=list)
    as_before = models.JSONField(default=list, help_text="AS numbers in order, without repeats.")
    as_after = models.JSONField(default=list)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["monitor", "-at"], name="route_change_monitor")]

    def __str__(self) -> str:
        return f"route of {self.monitor_id} from {self.probe_id} at {self.at:%Y-%m-%d %H:%M}"

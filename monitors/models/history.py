"""What was seen, and what followed? Results, rollups, changes, pings and certificates."""

from __future__ import annotations

from django.db import models

from monitors.models.monitor import State
from monitors.models.probe import Status
from portal.tenancy import TenantManager


class Result(models.Model):
    """One check, as it was. Append-only; on PostgreSQL partitioned by day (see the first migration), hence no foreign keys."""

    tenant_path = None  # reached through a monitor that the viewer may see, never by itself
    pk = models.CompositePrimaryKey("monitor_id", "ts", "probe_id")
    monitor_id = models.BigIntegerField()
    ts = models.DateTimeField()
    probe_id = models.BigIntegerField()
    status = models.SmallIntegerField(choices=Status.choices)
    dns_ms = models.FloatField(null=True)
    connect_ms = models.FloatField(null=True)
    tls_ms = models.FloatField(null=True)
    first_byte_ms = models.FloatField(null=True)
    total_ms = models.FloatField(null=True)
    loss_percent = models.FloatField(null=True)
    http_status = models.SmallIntegerField(null=True)
    error_class = models.CharField(max_length=20, blank=True)
    message = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-ts"]


class FailureBody(models.Model):
    """The first 2 KB that a failing target answered, once per failure streak."""

    tenant_path = "monitor__client"
    objects = TenantManager()

    monitor = models.ForeignKey("monitors.Monitor", models.CASCADE, related_name="failure_bodies")
    probe = models.ForeignKey("monitors.Probe", models.CASCADE, related_name="+")
    at = models.DateTimeField()
    body = models.TextField()

    class Meta:
        verbose_name_plural = "failure bodies"
        indexes = [
            models.Index(fields=["monitor", "-at"], name="failure_body_monitor"),
            models.Index(fields=["at"], name="failure_body_at"),
        ]


class StateChange(models.Model):
    """One step of a monitor's state."""

    tenant_path = "monitor__client"
    objects = TenantManager()

    monitor = models.ForeignKey("monitors.Monitor", models.CASCADE, related_name="changes")
    version = models.IntegerField()
    at = models.DateTimeField()
    from_state = models.CharField(max_length=12, choices=State.choices)
    to_state = models.CharField(max_length=12, choices=State.choices)
    first_failure_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300, blank=True)
    layer = models.CharField(max_length=20, blank=True)

    class Meta:
        ordering = ["-at", "-version"]
        constraints = [models.UniqueConstraint(fields=["monitor", "version"], name="one_change_per_version")]
        indexes = [
            models.Index(fields=["monitor", "-at"], name="change_monitor"),
            models.Index(fields=["at"], name="change_at"),
        ]

    def __str__(self) -> str:
        return f"{self.from_state} → {self.to_state}"


class Rollup(models.Model):
    """An hour or a day of one monitor from one probe: counts and a 32-bucket latency histogram."""

    tenant_path = "monitor__client"
    objects = TenantManager()

    class Period(models.TextChoices):
        HOUR = "h", "Hour"
        DAY = "d", "Day"

    monitor = models.ForeignKey("monitors.Monitor", models.CASCADE, related_name="rollups")
    probe = models.ForeignKey("monitors.Probe", models.CASCADE, related_name="+")
    period = models.CharField(max_length=1, choices=Period.choices)
    start = models.DateTimeField()
    up = models.IntegerField(default=0)
    degraded = models.IntegerField(default=0)
    failing = models.IntegerField(default=0)
    unknown = models.IntegerField(default=0)
    latency_sum_ms = models.FloatField(default=0)
    latency = models.JSONField(default=list, help_text="32 counts; bucket edges in monitors/rollups.py.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["monitor", "period", "start", "probe"], name="one_rollup_per_period")
        ]
        indexes = [models.Index(fields=["period", "start"], name="rollup_start")]


class Ping(models.Model):
    """One heartbeat signal."""

    tenant_path = "monitor__client"
    objects = TenantManager()

    class Kind(models.TextChoices):
        SUCCESS = "success", "Success"
        START = "start", "Start"
        FAIL = "fail", "Failure"
        LOG = "log", "Log"
        EXIT = "exit", "Exit status"

    monitor = models.ForeignKey("monitors.Monitor", models.CASCADE, related_name="pings")
    at = models.DateTimeField()
    kind = models.CharField(max_length=8, choices=Kind.choices)
    exit_code = models.SmallIntegerField(null=True)
    rid = models.CharField(max_length=36, blank=True)
    duration_ms = models.FloatField(null=True)
    method = models.CharField(max_length=8)
    remote = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    body = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["monitor", "-id"], name="ping_monitor"),
            models.Index(fields=["at"], name="ping_at"),
        ]


class Certificate(models.Model):
    """A certificate a monitor was shown, and which of its thresholds were told."""

    tenant_path = "monitor__client"
    objects = TenantManager()

    monitor = models.ForeignKey("monitors.Monitor", models.CASCADE, related_name="certificates")
    fingerprint = models.CharField(max_length=64)
    subject = models.CharField(max_length=300)
    issuer = models.CharField(max_length=300)
    names = models.JSONField(default=list)
    not_before = models.DateTimeField(null=True)
    not_after = models.DateTimeField()
    chain_error = models.CharField(max_length=300, blank=True)
    hostname_ok = models.BooleanField(default=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    told = models.JSONField(default=list, help_text="The thresholds told, in days, or the fault's name.")

    class Meta:
        ordering = ["-last_seen_at"]
        constraints = [models.UniqueConstraint(fields=["monitor", "fingerprint"], name="one_row_per_certificate")]

    def __str__(self) -> str:
        return self.subject

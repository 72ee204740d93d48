"""How is a server doing? Its minutes, what it is made of, and its containers, as its probe reports them."""

from __future__ import annotations

from django.db import models

from portal.tenancy import TenantManager


class HostSample(models.Model):
    """One minute of one server, as numbers by name (cpu_percent, memory_percent, disk:/ …)."""

    tenant_path = "monitor__client"
    objects = TenantManager()

    monitor = models.ForeignKey("monitors.Monitor", models.CASCADE, related_name="samples")
    at = models.DateTimeField()
    values = models.JSONField()

    class Meta:
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["monitor", "at"], name="one_sample_per_minute")]

    def __str__(self) -> str:
        return f"{self.monitor_id} at {self.at:%H:%M}"


class Host(models.Model):
    """What a server is, and since when which of its thresholds is crossed."""

    tenant_path = "monitor__client"
    objects = TenantManager()

    monitor = models.OneToOneField("monitors.Monitor", models.CASCADE, related_name="host")
    facts = models.JSONField(default=dict, help_text="Name, system, kernel, processors, memory, pending updates …")
    crossed = models.JSONField(default=dict, help_text="Threshold -> since when it has been crossed without a break.")
    seen_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["monitor"]

    def __str__(self) -> str:
        return str(self.monitor)


class Container(models.Model):
    """One container on one server."""

    tenant_path = "monitor__client"
    objects = TenantManager()

    monitor = models.ForeignKey(
        "monitors.Monitor", models.CASCADE, related_name="containers", help_text="The server's monitor."
    )
    name = models.CharField(max_length=200)
    runtime_id = models.CharField(max_length=64)
    image = models.CharField(max_length=300)
    digest = models.CharField(max_length=100, blank=True)
    state = models.CharField(max_length=16, help_text="running, exited, restarting, paused, dead, gone")
    health = models.CharField(
        max_length=16, blank=True, help_text="healthy, unhealthy, starting; empty: it has no check."
    )
    restarts = models.JSONField(default=list, help_text="When it restarted of late, as RFC 3339 times.")
    values = models.JSONField(default=dict, help_text="cpu_percent, memory_bytes, memory_limit_bytes …")
    labels = models.JSONField(default=dict, help_text="Those that begin with watchkeeper.")
    update = models.JSONField(default=dict, help_text="The newer image that is available: tag, digest, major.")
    exit_code = models.IntegerField(null=True)
    oom_killed = models.BooleanField(default=False)
    last_log = models.TextField(blank=True, help_text="The last lines before it died.")
    started_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["monitor", "name"]
        constraints = [models.UniqueConstraint(fields=["monitor", "name"], name="one_container_per_name_and_host")]

    def __str__(self) -> str:
        return self.name

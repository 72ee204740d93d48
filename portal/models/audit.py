"""Who did what? An append-only log, one hash chain per client and one for the MSP."""

from __future__ import annotations

from django.db import models

from portal.tenancy import TenantManager


class AuditHead(models.Model):
    """The end of one chain; locking this row is what orders its entries."""

    chain = models.CharField(max_length=40, primary_key=True)
    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="")


class AuditEntry(models.Model):
    """One act. Not a foreign key in sight: the chain outlives whom and what it names."""

    tenant_path = "client_id"
    objects = TenantManager()

    chain = models.CharField(max_length=40)
    seq = models.BigIntegerField()
    client_id = models.BigIntegerField(null=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=200)
    ip = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=36, blank=True)
    action = models.CharField(max_length=60)
    subject = models.CharField(max_length=80)
    subject_name = models.CharField(max_length=200, blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        constraints = [models.UniqueConstraint(fields=["chain", "seq"], name="one_entry_per_chain_and_seq")]
        indexes = [models.Index(fields=["subject", "-id"], name="audit_subject")]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.subject_name or self.subject}"

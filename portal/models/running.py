"""How do many processes keep in step? By rows: who is alive, which slot was taken, which request was answered."""

from __future__ import annotations

from django.db import models


class Worker(models.Model):
    """A living process. It ticks each second; one unseen for some seconds is deleted and its claims are freed."""

    id = models.CharField(max_length=64, primary_key=True)
    role = models.CharField(max_length=40)
    host = models.CharField(max_length=120)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField(db_index=True)
    stats = models.JSONField(default=dict, blank=True)

    def __str__(self) -> str:
        return self.id


class Slot(models.Model):
    """A periodic job's turn. Whoever inserts the row does the job, be there none, one or three beats."""

    name = models.CharField(max_length=60)
    slot = models.BigIntegerField()
    taken_by = models.CharField(max_length=64)
    taken_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["name", "slot"], name="one_run_per_slot")]


class IdempotencyKey(models.Model):
    """A write request that may be repeated without effect; its answer is kept for a day."""

    token = models.CharField(max_length=40)
    key = models.CharField(max_length=100)
    request_hash = models.CharField(max_length=64)
    status = models.IntegerField(null=True)
    response = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token", "key"], name="one_answer_per_key")]

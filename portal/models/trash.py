"""What was deleted and can still be put back? Rows that keep a mark, and what each of them lost when it went."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.sql import Query

from portal.tenancy import TenantManager, TenantQuerySet


@cache
def _kept(model: type[models.Model]) -> Query:
    return models.QuerySet(model).filter(deleted_at=None).query


class KeptManager(TenantManager):
    """Leaves out what is in the trash. Only `portal.trash` looks past it, by the model's `_base_manager`."""

    def get_queryset(self) -> TenantQuerySet[Any]:
        rows = super().get_queryset()
        # Prefetching asks for this once a row and list: the filter is not built anew each time.
        rows.query = _kept(self.model).clone()
        return rows


class Trashable(models.Model):
    """A model whose deleted rows wait in the trash for 30 days. What is in the trash is nobody's business but the trash's."""

    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = KeptManager()

    class Meta:
        abstract = True


class TrashEntry(models.Model):
    """One thing in the trash: what, whose, who deleted it, and what it takes to put it back as it was."""

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey("portal.Client", models.CASCADE, null=True, related_name="+")
    kind = models.CharField(max_length=60, help_text="The model, as monitors.monitor.")
    object_id = models.BigIntegerField()
    name = models.CharField(max_length=200)
    deleted_at = models.DateTimeField(db_index=True)
    deleted_by = models.CharField(max_length=200)
    taken = models.JSONField(default=dict, encoder=DjangoJSONEncoder, help_text="What pointed at it and what it held.")

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "trash entries"
        constraints = [models.UniqueConstraint(fields=["kind", "object_id"], name="once_in_the_trash")]

    def __str__(self) -> str:
        return self.name

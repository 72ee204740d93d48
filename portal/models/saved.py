"""Which views of a list does somebody come back to? Filters under a name, each person's own."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower


class SavedFilter(models.Model):
    """A list's filter under a name. Only ever read through its person; it names no rows, so it shows nothing by itself."""

    tenant_path = None

    user = models.ForeignKey("portal.User", models.CASCADE, related_name="saved_filters")
    list = models.CharField(max_length=20, help_text="monitors, alerts, incidents or deliveries.")
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1000, help_text="The address's query string, as state=down&client=3.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint("user", "list", Lower("name"), name="one_saved_filter_per_name_and_list")
        ]

    def __str__(self) -> str:
        return self.name

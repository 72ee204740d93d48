"""Which accounts with message providers does this installation have?"""

from __future__ import annotations

from django.db import models

from portal.secrets import SealedField


class ProviderSettings(models.Model):
    """One provider's account, for all channels of its kind; a channel's own settings override it."""

    provider = models.CharField(max_length=32, unique=True)
    config = models.JSONField(default=dict, blank=True)
    secrets = SealedField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "provider settings"
        ordering = ["provider"]

    def __str__(self) -> str:
        return self.provider

    def values(self) -> dict:
        """Plain settings and opened secrets together."""
        return {**self.config, **self.secrets.open()}

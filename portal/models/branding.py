"""Under whose name does the portal speak? The MSP's own, and perhaps another for a client's people."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce

from portal.models.clients import Client
from portal.tenancy import TenantManager


class Branding(models.Model):
    """Name, logo and accent colour. What a client's own leaves empty is as the MSP's; what that leaves empty, as delivered."""

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey(
        Client,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: for everybody else, and for signing in.",
    )
    name = models.CharField(max_length=60, blank=True)
    accent = models.CharField(
        max_length=7,
        blank=True,
        validators=[RegexValidator(r"^#[0-9a-f]{6}\Z", "Six hexadecimal digits after #, as #2563eb.")],
    )
    logo = models.BinaryField(null=True, blank=True)
    logo_type = models.CharField(max_length=20, blank=True)
    logo_digest = models.CharField(
        max_length=64, blank=True, db_index=True, help_text="SHA-256 of the picture: its address."
    )

    domain = models.CharField(
        max_length=240, blank=True, help_text="The client's own name for the portal, as portal.acme.example."
    )
    domain_mark = models.CharField(
        max_length=60, blank=True, help_text="What the TXT record below the domain says, as the proof."
    )
    domain_proved_at = models.DateTimeField(
        null=True, blank=True, help_text="Until then the portal does not answer there."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(Coalesce("client", 0), name="one_branding_for_each"),
            models.UniqueConstraint(fields=["domain"], condition=~Q(domain=""), name="one_portal_at_each_domain"),
            models.CheckConstraint(
                condition=Q(domain="") | Q(client__isnull=False), name="only_clients_have_domains_of_their_own"
            ),
            models.CheckConstraint(condition=Q(domain_proved_at=None) | ~Q(domain=""), name="only_a_domain_is_proved"),
        ]

    def __str__(self) -> str:
        return f"How the portal looks to {self.client or 'everybody else'}"

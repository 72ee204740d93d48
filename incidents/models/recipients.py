"""To whom does a month's report go by itself, and did it arrive? Recipients of a client's reports, and each mail."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from portal.tenancy import TenantManager


class ReportRecipient(models.Model):
    """Somebody who is mailed each month's report of a client: a contact of the client's, or one of our own."""

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey("portal.Client", models.CASCADE, related_name="report_recipients")
    contact = models.ForeignKey("portal.Contact", models.CASCADE, related_name="+")

    class Meta:
        ordering = ["contact__name", "pk"]
        constraints = [models.UniqueConstraint(fields=["client", "contact"], name="a_recipient_is_named_once")]

    def __str__(self) -> str:
        return f"{self.contact} hears of {self.client}'s months"


class ReportMail(models.Model):
    """One report to one person. Carried by the outbox; what came of it stays here when the log is long gone."""

    tenant_path = "report__client"
    objects = TenantManager()

    report = models.ForeignKey("incidents.SlaReport", models.CASCADE, related_name="mails")
    contact = models.ForeignKey("portal.Contact", models.SET_NULL, null=True, related_name="+")
    user = models.ForeignKey(
        "portal.User", models.SET_NULL, null=True, related_name="+", help_text="Set: they asked for it themselves."
    )
    name = models.CharField(max_length=254, help_text="Who it was for, as they were called then.")
    ours = models.BooleanField(
        default=False, help_text="For one of our own staff: a client's people do not read the name."
    )
    delivery = models.ForeignKey("alerts.Delivery", models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["report", "contact"],
                condition=Q(contact__isnull=False),
                name="mailed_once_per_report_and_contact",
            )
        ]

    def __str__(self) -> str:
        return f"{self.report} to {self.name}"

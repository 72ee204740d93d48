"""What does a public page show, and how does it look? Pages, groups, components, and the finished projection."""

from __future__ import annotations

import secrets

from django.core.validators import MaxLengthValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from portal.tenancy import TenantManager

COLOUR = RegexValidator(r"^#[0-9a-f]{6}\Z", "Six hexadecimal digits after #, as #2563eb.")


def new_mark() -> str:
    """The unguessable part of a proof of ownership, or of a link that can be renewed."""
    return secrets.token_hex(16)


class Page(models.Model):
    """One status page, of a client or of the MSP."""

    class Visibility(models.TextChoices):
        PUBLIC = "public", "Everybody"
        PASSWORD = "password", "Whoever knows the password"
        SIGNED_IN = "signed_in", "The client's own people"

    class Theme(models.TextChoices):
        AUTO = "auto", "As the reader's device"
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    class Language(models.TextChoices):
        EN = "en", "English"
        FR = "fr", "Français"
        PT = "pt", "Português"

    tenant_path = "client"
    tenant_null = "msp"
    objects = TenantManager()

    client = models.ForeignKey("portal.Client", models.CASCADE, null=True, blank=True, related_name="status_pages")
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True, help_text="Its address: /status/<slug>/.")
    enabled = models.BooleanField(default=True, help_text="Off: its address answers as if it did not exist.")
    visibility = models.CharField(max_length=10, choices=Visibility.choices, default=Visibility.PUBLIC)
    password_hash = models.CharField(max_length=200, blank=True, editable=False)
    # What it says.
    headline = models.CharField(max_length=200, blank=True, help_text="Above everything; empty: the page's name.")
    about = models.TextField(
        blank=True, validators=[MaxLengthValidator(4000)], help_text="Markdown, below the components."
    )
    announcement = models.TextField(
        blank=True, validators=[MaxLengthValidator(2000)], help_text="Markdown, in a box on top."
    )
    announcement_until = models.DateTimeField(null=True, blank=True)
    support_url = models.URLField(max_length=500, blank=True)
    language = models.CharField(max_length=2, choices=Language.choices, default=Language.EN)
    timezone = models.CharField(max_length=60, default="UTC")
    # How it looks.
    theme = models.CharField(max_length=5, choices=Theme.choices, default=Theme.AUTO)
    accent = models.CharField(max_length=7, default="#2563eb", validators=[COLOUR])
    logo = models.BinaryField(null=True, blank=True, editable=True)
    logo_type = models.CharField(max_length=20, blank=True)
    custom_css = models.TextField(
        blank=True, validators=[MaxLengthValidator(20_000)], help_text="Kept only as far as it is harmless."
    )
    # What may be seen.
    show_latency = models.BooleanField(default=False, help_text="Charts of response times.")
    show_targets = models.BooleanField(default=False, help_text="Host names and addresses of what is watched.")
    show_verdicts = models.BooleanField(default=False, help_text="The probable cause, without hops and addresses.")
    show_uptime = models.BooleanField(default=True, help_text="Percentages beside the 90 days.")
    # Where else it lives.
    custom_domain = models.CharField(max_length=253, blank=True)
    domain_mark = models.CharField(max_length=32, default=new_mark, editable=False)
    domain_verified_at = models.DateTimeField(null=True, blank=True, editable=False)
    publish_folder = models.CharField(
        max_length=200, blank=True, help_text="A static copy is written below the folder that the operator allows."
    )
    published_at = models.DateTimeField(null=True, editable=False)
    published_digest = models.CharField(max_length=64, blank=True, editable=False)
    publish_error = models.CharField(max_length=300, blank=True, editable=False)
    subscriptions = models.BooleanField(default=True, help_text="Readers may subscribe by mail, webhook or Slack.")
    feed_mark = models.CharField(
        max_length=32,
        default=new_mark,
        editable=False,
        help_text="The private addresses of its feed hang on this; a new one ends them.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                Lower("custom_domain"), condition=~Q(custom_domain="") & Q(domain_verified_at__isnull=False), name="one_page_per_domain"
            ),
            models.CheckConstraint(condition=~Q(visibility="password") | ~Q(password_hash=""), name="a_password_page_has_one"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.name


class ComponentGroup(models.Model):
    """A heading with components below it."""

    tenant_path = "page__client"
    objects = TenantManager()

    page = models.ForeignKey(Page, models.CASCADE, related_name="groups")
    name = models.CharField(max_length=120)
    order = models.IntegerField(default=0)
    collapsed = models.BooleanField(default=False, help_text="Opened by the reader, unless something is wrong in it.")

    class Meta:
        ordering = ["order", "pk"]

    def __str__(self) -> str:
        return self.name


class Component(models.Model):
    """What readers know a part of the service by; behind it monitors, or all those of a service."""

    class Override(models.TextChoices):
        NONE = "", "As measured"
        OPERATIONAL = "operational", "Operational"
        DEGRADED = "degraded", "Degraded"
        PARTIAL = "partial_outage", "Partial outage"
        MAJOR = "major_outage", "Major outage"
        MAINTENANCE = "under_maintenance", "Under maintenance"

    tenant_path = "page__client"
    objects = TenantManager()

    page = models.ForeignKey(Page, models.CASCADE, related_name="components")
    group = models.ForeignKey(ComponentGroup, models.SET_NULL, null=True, blank=True, related_name="components")
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=300, blank=True)
    order = models.IntegerField(default=0)
    monitors = models.ManyToManyField("monitors.Monitor", blank=True, related_name="components")
    service = models.ForeignKey("portal.Service", models.SET_NULL, null=True, blank=True, related_name="components")
    override = models.CharField(max_length=20, choices=Override.choices, default=Override.NONE, blank=True)
    override_until = models.DateTimeField(null=True, blank=True)
    override_by = models.CharField(max_length=200, blank=True, editable=False)
    show_uptime = models.BooleanField(default=True)

    class Meta:
        ordering = ["order", "pk"]

    def __str__(self) -> str:
        return self.name


class Projection(models.Model):
    """The page as it is served: plain data and finished bytes, so that no reader ever touches a monitor's row."""

    tenant_path = "page__client"
    objects = TenantManager()

    page = models.OneToOneField(Page, models.CASCADE, related_name="projection")
    wanted = models.BooleanField(default=True, help_text="Something changed: build it anew.")
    built_at = models.DateTimeField(null=True)
    body = models.JSONField(default=dict, help_text="What index.json says.")
    digest = models.CharField(max_length=64, blank=True, help_text="Its validator (ETag).")
    days = models.JSONField(
        default=dict, help_text="component -> the last 90 days; finished days are not counted again."
    )

    class Meta:
        indexes = [models.Index(fields=["page"], condition=Q(wanted=True), name="projection_wanted")]

    def __str__(self) -> str:
        return f"{self.page} as served"

"""Whose is it? Clients with their sites, services and people to tell."""

from __future__ import annotations

import zoneinfo

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.text import slugify

from portal.models.trash import KeptManager, Trashable
from portal.secrets import SealedField
from portal.tenancy import TenantManager


def known_zone(name: str) -> None:
    """Refuse a time zone that this machine's zone database lacks."""
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ValidationError(f"{name!r} is not a time zone; write it as in Europe/Lisbon or UTC.") from None


def free_slug(name: str, taken: models.QuerySet) -> str:
    """A slug for `name` that no row of `taken` has yet."""
    base = slugify(name)[:50] or "client"
    slug, number = base, 2
    while taken.filter(slug=slug).exists():
        slug, number = f"{base}-{number}", number + 1
    return slug


class Tag(models.Model):
    """A word that triggers and lists filter by; the words are shared, what carries them is not."""

    name = models.CharField(max_length=50)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(Lower("name"), name="one_tag_per_word")]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def named(cls, names: list[str]) -> list[Tag]:
        """The tags of these names, made when missing; names are trimmed, case does not matter."""
        wanted = {n.strip().lower(): n.strip() for n in names if n.strip()}
        found = {t.name.lower(): t for t in cls.objects.annotate(low=Lower("name")).filter(low__in=wanted)}
        for low, name in wanted.items():
            if low not in found:
                found[low] = cls.objects.get_or_create(name__iexact=name, defaults={"name": name})[0]
        return [found[low] for low in wanted]


class Client(Trashable):
    """A tenant: a company whose sites are watched. With a mark it is leaving, and nobody's business (`portal.leaving`)."""

    tenant_path = "pk"
    objects = KeptManager()

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, blank=True, help_text="Made from the name when left empty.")
    timezone = models.CharField(max_length=64, default="UTC", validators=[known_zone])
    email = models.EmailField(
        blank=True, help_text="Every alert of this client is mailed here, by a trigger you can see and change."
    )
    slack_webhook = SealedField(help_text="Incoming webhook that hears this client's alerts.")
    tags = models.ManyToManyField(Tag, blank=True)
    notes = models.TextField(blank=True)
    active = models.BooleanField(default=True, help_text="People of an inactive client see nothing.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(deleted_at=None), name="one_client_per_name"),
            models.UniqueConstraint(fields=["slug"], condition=Q(deleted_at=None), name="one_client_per_slug"),
        ]
        indexes = [models.Index(fields=["deleted_at"], condition=~Q(deleted_at=None), name="clients_that_leave")]

    def __str__(self) -> str:
        return self.name

    def save(self, *args, **kwargs) -> None:
        if not self.slug:
            self.slug = free_slug(self.name, Client.objects.exclude(pk=self.pk))
        super().save(*args, **kwargs)


class Site(Trashable):
    """A client's place or property."""

    tenant_path = "client"
    objects = KeptManager()

    client = models.ForeignKey(Client, models.CASCADE, related_name="sites")
    name = models.CharField(max_length=120)
    url = models.URLField(max_length=500, blank=True)
    address = models.CharField(max_length=300, blank=True)
    timezone = models.CharField(max_length=64, blank=True, validators=[known_zone], help_text="Empty: the client's.")
    tags = models.ManyToManyField(Tag, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                "client", Lower("name"), condition=Q(deleted_at=None), name="one_site_per_name_and_client"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Service(models.Model):
    """A logical group of a client's monitors, such as its checkout."""

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey(Client, models.CASCADE, related_name="services")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("client", Lower("name"), name="one_service_per_name_and_client")]

    def __str__(self) -> str:
        return self.name


class Contact(Trashable):
    """A person who can be told. Their channels are in the alerts app."""

    tenant_path = "client"
    objects = KeptManager()

    client = models.ForeignKey(
        Client, models.CASCADE, null=True, blank=True, related_name="contacts", help_text="Empty: one of our own staff."
    )
    name = models.CharField(max_length=120)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=32, blank=True)
    timezone = models.CharField(max_length=64, default="UTC", validators=[known_zone])
    user = models.ForeignKey("portal.User", models.SET_NULL, null=True, blank=True, related_name="contacts")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ContactGroup(models.Model):
    """Several contacts under one name."""

    tenant_path = "client"
    objects = TenantManager()

    client = models.ForeignKey(Client, models.CASCADE, null=True, blank=True, related_name="contact_groups")
    name = models.CharField(max_length=120)
    contacts = models.ManyToManyField(Contact, blank=True, related_name="groups")

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint("client", Lower("name"), name="one_group_per_name_and_client")]

    def __str__(self) -> str:
        return self.name

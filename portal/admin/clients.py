"""Clients with their sites, services, contacts and tags: how are they found and changed at the desk?"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from portal import services
from portal.admin.desk import Desk, DoorForm, tags_of
from portal.admin.fields import SecretField, TagsField
from portal.audit import Actor
from portal.models import Client, Contact, ContactGroup, Service, Site, Tag


class ClientForm(DoorForm):
    tags = TagsField()
    new_slack_webhook = SecretField(
        label="Slack webhook",
        help_text="Incoming webhook that hears this client's alerts. Never shown; empty keeps what is stored.",
    )
    forget_slack = forms.BooleanField(required=False, label="Forget the Slack webhook")


@admin.register(Client)
class ClientDesk(Desk):
    form = ClientForm
    list_display = ("name", "slug", "email", "has_slack", "tag_words", "active", "created_at")
    list_filter = ("active", "tags")
    search_fields = ("name", "slug", "email", "notes")
    date_hierarchy = "created_at"
    fields = ("name", "slug", "timezone", "email", "new_slack_webhook", "forget_slack", "tags", "notes", "active")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("tags")

    @admin.display(description="Slack", boolean=True)
    def has_slack(self, row: Client) -> bool:
        return bool(row.slack_webhook)

    @admin.display(description="Tags")
    def tag_words(self, row: Client) -> str:
        return tags_of(row.tags.all())

    def _values(self, values: dict[str, Any]) -> dict[str, Any]:
        given = values.pop("new_slack_webhook", "")
        if given:
            values["slack_webhook"] = given
        if values.pop("forget_slack", False):
            values["slack_webhook"] = ""
        return values

    def create(self, by: Actor, values: dict[str, Any]) -> Client:
        return services.create_client(by=by, **self._values(values))

    def change(self, row: Client, by: Actor, values: dict[str, Any]) -> Client:
        return services.change_client(row, by=by, **self._values(values))

    def remove(self, row: Client, by: Actor) -> None:
        services.delete_client(row, by=by)


class TaggedForm(DoorForm):
    tags = TagsField()


@admin.register(Site)
class SiteDesk(Desk):
    form = TaggedForm
    list_display = ("name", "client", "url", "address", "tag_words")
    list_filter = ("client", "tags")
    list_select_related = ("client",)
    search_fields = ("name", "url", "address", "client__name")
    autocomplete_fields = ("client",)
    fields = ("client", "name", "url", "address", "timezone", "tags")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("tags")

    @admin.display(description="Tags")
    def tag_words(self, row: Site) -> str:
        return tags_of(row.tags.all())


@admin.register(Service)
class ServiceDesk(Desk):
    list_display = ("name", "client", "description")
    list_filter = ("client",)
    list_select_related = ("client",)
    search_fields = ("name", "client__name")
    autocomplete_fields = ("client",)


@admin.register(Contact)
class ContactDesk(Desk):
    list_display = ("name", "client", "email", "phone", "timezone", "user")
    list_filter = ("client",)
    list_select_related = ("client", "user")
    search_fields = ("name", "email", "phone", "client__name")
    autocomplete_fields = ("client", "user")


@admin.register(ContactGroup)
class ContactGroupDesk(Desk):
    list_display = ("name", "client", "people")
    list_filter = ("client",)
    list_select_related = ("client",)
    search_fields = ("name", "client__name", "contacts__name")
    autocomplete_fields = ("client", "contacts")
    renamed = {"contact_ids": "contacts"}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("contacts")

    @admin.display(description="Contacts")
    def people(self, row: ContactGroup) -> str:
        return ", ".join(contact.name for contact in row.contacts.all())


@admin.register(Tag)
class TagDesk(Desk):
    list_display = ("name",)
    search_fields = ("name",)

"""What became of each message: how are deliveries searched, and tried again?"""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from alerts import acts
from alerts.models import (
    Attempt,
    Conversation,
    Delivery,
    Destination,
)
from portal.admin.desk import Truth, TruthInline
from portal.admin.lists import Capped, When, WhenAt, each, state_column
from portal.audit import Actor
from portal.clock import database_now


class AttemptInline(TruthInline):
    model = Attempt
    fields = readonly_fields = ("n", "at", "outcome", "response_code", "duration_ms", "error", "answer")


@admin.register(Delivery)
class DeliveryDesk(Truth):
    list_display = (
        "created_at",
        state_column("state", "State"),
        "channel",
        "alert",
        "kind",
        "client",
        "attempt",
        "reason",
        "via",
    )
    list_filter = (When, "state", "kind", "channel__type", "client")
    list_select_related = ("channel", "alert", "client", "notice")
    search_fields = ("channel__name", "reason", "alert__title", "via")
    inlines = (AttemptInline,)
    hidden = ("claimed_by", "lease_token")
    actions = ("retry",)
    paginator = Capped

    @admin.action(description="Try again", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        each(
            request,
            queryset,
            lambda row: acts.retry(row, by=Actor.of(request), at=database_now()),
            "will be tried again",
        )


@admin.register(Attempt)
class AttemptDesk(Truth):
    list_display = ("at", "delivery", "n", "outcome", "response_code", "duration_ms", "error")
    list_filter = (WhenAt, "outcome", "response_code")
    list_select_related = ("delivery__channel",)
    search_fields = ("error", "delivery__channel__name")
    ordering = ("-id",)
    paginator = Capped


@admin.register(Conversation)
class ConversationDesk(Truth):
    list_display = ("alert", "destination_key", "provider_id", "told_seq")
    list_select_related = ("alert",)
    search_fields = ("alert__title", "=destination_key")
    ordering = ("-id",)
    paginator = Capped


@admin.register(Destination)
class DestinationDesk(Truth):
    list_display = ("key", "first_at", "gathered_at")
    search_fields = ("key",)
    ordering = ("key",)

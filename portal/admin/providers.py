"""Provider accounts: one form each, secrets write-only. A channel's file names its provider; its account is described here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from pydantic import ValidationError as BadSettings

from portal import providers
from portal.admin import typed
from portal.admin.desk import Desk, DoorForm
from portal.admin.lists import time_column
from portal.audit import Actor
from portal.models import ProviderSettings


def schema_of(provider: str) -> dict[str, Any]:
    """The JSON schema of a provider's account; of one that is not known, an empty one."""
    return providers.ACCOUNTS[provider][1].model_json_schema() if provider in providers.ACCOUNTS else {}


@admin.register(ProviderSettings)
class ProviderDesk(Desk):
    list_display = ("label", "summary", "has_secret", time_column("updated_at", "Changed"))
    search_fields = ("provider",)
    actions = ()

    @admin.display(description="Provider", ordering="provider")
    def label(self, row: ProviderSettings) -> str:
        return providers.ACCOUNTS[row.provider][0] if row.provider in providers.ACCOUNTS else row.provider

    @admin.display(description="Settings")
    def summary(self, row: ProviderSettings) -> str:
        return ", ".join(f"{name}: {value}" for name, value in sorted(row.config.items()) if value not in ("", None))[
            :200
        ]

    @admin.display(description="Secret stored", boolean=True)
    def has_secret(self, row: ProviderSettings) -> bool:
        return bool(row.secrets)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.GET.get("provider") in providers.ACCOUNTS or not self.has_add_permission(request):
            return super().add_view(request, form_url, extra_context)
        known = set(ProviderSettings.objects.values_list("provider", flat=True))
        choices = [
            (f"?provider={name}", label, "") for name, (label, _) in providers.ACCOUNTS.items() if name not in known
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "Which provider?",
            "choices": choices,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/choose.html", context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **{**kwargs, "fields": ()})
        provider = obj.provider if obj else request.GET.get("provider", "")
        fields = typed.fields_of(schema_of(provider), obj.config if obj else {}, kept_of(obj))
        return type("AccountForm", (form,), {**fields, "provider": provider})

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if not self.has_change_permission(request, obj):
            return ("summary", "has_secret", "updated_at")
        provider = obj.provider if obj else request.GET.get("provider", "")
        return tuple(typed.fields_of(schema_of(provider), {}, kept_of(obj))) or ("summary", "has_secret")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        known = obj is None or obj.provider in providers.ACCOUNTS
        return () if known and self.has_change_permission(request, obj) else ("summary", "has_secret", "updated_at")

    def through_the_door(self, form: DoorForm, by: Actor) -> ProviderSettings:
        values = judged(form.provider, typed.values_of(form.cleaned_data, schema_of(form.provider)))
        hidden = {
            name for name, spec in schema_of(form.provider).get("properties", {}).items() if typed.is_secret(spec)
        }
        config = {name: value for name, value in values.items() if name not in hidden and value not in ("", None)}
        secrets = {name: value for name, value in values.items() if name in hidden}
        if form.instance.pk is None:
            return providers.create(by=by, provider=form.provider, config=config, secrets=secrets)
        return providers.change(form.instance, by=by, config=config, secrets=secrets)

    def remove(self, row: ProviderSettings, by: Actor) -> None:
        providers.remove(row, by=by)


def kept_of(row: ProviderSettings | None) -> frozenset[str]:
    """The names of the secrets that are stored."""
    return frozenset(row.secrets.open()) if row is not None and row.secrets else frozenset()


def judged(provider: str, values: dict[str, Any]) -> dict[str, Any]:
    """The values when they fit the account's description; ValidationError at `config.<name>` otherwise."""
    try:
        providers.ACCOUNTS[provider][1].model_validate(
            {name: value for name, value in values.items() if value not in ("", None)}
        )
    except BadSettings as error:
        raise ValidationError(
            {f"config.{e['loc'][0]}": e["msg"] for e in error.errors(include_input=False, include_url=False)}
        ) from None
    return values

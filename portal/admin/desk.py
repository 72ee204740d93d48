"""How do rows come into the admin and go out of it? Seen by `for_user`, saved and deleted by the services' doors.

A form of the desk is valid when the door took the row: what the domain refuses stands at the field, as on the pages
and in the API, and nothing is stored half.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import CASCADE, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from portal import services, trash
from portal.admin.fields import SecretField
from portal.admin.lists import Capped
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Tag
from portal.models.trash import Trashable
from portal.tenancy import ACK, WRITE, TenantQuerySet, viewer_of


# --- The form that ends at the door ---------------------------------------------------------------------------------------
class DoorForm(forms.ModelForm):
    """A form that is valid when the door took the row. `Desk.get_form` gives it its desk and its request."""

    desk: Desk
    request: HttpRequest
    row: Any = None
    tried = False

    def _post_clean(self) -> None:
        """The door judges the row as a whole, and compares it with what is stored: the instance is left alone."""

    def is_valid(self) -> bool:
        if self.is_bound and not self.tried and not self.errors:
            self.tried = True
            try:
                with transaction.atomic():
                    self.row = self.desk.through_the_door(self, Actor.of(self.request))
            except ValidationError as error:
                self.complain(error)
            except Refused as refusal:
                self.add_error(None, str(refusal))
        return super().is_valid()

    def complain(self, error: ValidationError) -> None:
        """Each sentence at its field; `config.url` at `config_url` or at `config`, the rest above the form."""
        found = error.message_dict if hasattr(error, "error_dict") else {"__all__": error.messages}
        for key, sentences in found.items():
            first, _, rest = key.partition(".")
            name = self.desk.renamed.get(key, self.desk.renamed.get(first, first))
            whole = key.replace(".", "_")
            for sentence in sentences:
                if whole in self.fields:
                    self.add_error(whole, sentence)
                elif name in self.fields:
                    self.add_error(name, f"{rest}: {sentence}" if rest else sentence)
                else:
                    self.add_error(None, sentence if key == "__all__" else f"{key}: {sentence}")


# --- The desk -------------------------------------------------------------------------------------------------------------
class Desk(admin.ModelAdmin):
    """A model whose rows people make and change here. Override `create`, `change` and `remove` where it has doors of its own."""

    form = DoorForm
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 200
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}
    renamed: dict[str, str] = {}  # the door's word for a field, where it is not the form's

    # Who sees and does what.
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.for_user(request) if isinstance(rows, TenantQuerySet) else rows

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Owners and staff: what actions that name `permissions=["operate"]` ask."""
        return viewer_of(request).may(ACK, None) and viewer_of(request).may(WRITE, None)

    # In: the form ends at the door, so what Django would do afterwards is done.
    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"desk": self, "request": request})

    def through_the_door(self, form: DoorForm, by: Actor) -> Model:
        """Save what the form says; ValidationError or Refused when the domain says no."""
        values = {
            name: value
            for name, value in form.cleaned_data.items()
            if not isinstance(form.fields[name], SecretField) or value
        }
        if form.instance.pk is None:
            return self.create(by, values)
        return self.change(
            form.instance, by, {name: value for name, value in values.items() if name in form.changed_data}
        )

    def create(self, by: Actor, values: dict[str, Any]) -> Model:
        return services.create(self.model, by=by, **values)

    def change(self, row: Any, by: Actor, values: dict[str, Any]) -> Model:
        services.change(row, by=by, **values)
        return row

    def remove(self, row: Any, by: Actor) -> None:
        services.delete(row, by=by)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        return form.row

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The door did."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The door did; inlines are for reading."""

    # Out.
    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.remove(obj, Actor.of(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            for row in queryset:
                self.remove(row, Actor.of(request))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except (Refused, ValidationError) as refusal:
            messages.error(request, _sentence(refusal))
            return redirect(request.path.removesuffix("delete/") + "change/")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            return super().changelist_view(request, extra_context)
        except (Refused, ValidationError) as refusal:  # of a deletion of several: none was deleted
            messages.error(request, _sentence(refusal))
            return redirect(request.get_full_path())

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """What goes with these rows, by number: Django would load each of perhaps a million."""
        rows = list(objs)
        lines, counts = [], {str(self.opts.verbose_name_plural): len(rows)}
        if issubclass(self.model, Trashable):
            days = f"with its history, to be put back for {trash.KEPT.days} days"
            kind = str(self.opts.verbose_name).capitalize()
            lines = [f"{kind}: {row}, into the trash {days}" for row in rows]
            if not trash.kind_of(self.opts.label_lower).ours:
                return lines, counts, set(), []
        for relation in self.opts.related_objects:
            if relation.on_delete is not CASCADE:
                continue
            number = (
                relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": rows})
                .order_by()[: Capped.MOST]
                .count()
            )
            if number:
                counts[str(relation.related_model._meta.verbose_name_plural)] = number
        lines = lines or [f"{str(self.opts.verbose_name).capitalize()}: {row}" for row in rows]
        if len(counts) > 1:
            lines.append(
                [f"{name}: {_number(n)}, with all that belongs to them" for name, n in list(counts.items())[1:]]
            )
        return lines, counts, set(), []

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        return []

    # The audit log is the record; Django's own would be a second, weaker one.
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Recorded by the door."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Recorded by the door."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Recorded by the door."""

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return redirect(
            f"/admin/portal/auditentry/?subject={self.opts.model_name}:{int(object_id) if object_id.isdigit() else 0}"
        )


class Truth(Desk):
    """What the machine wrote: to be read, searched and filtered, not to be changed."""

    hidden: Sequence[str] = ()  # fields that nobody needs to see
    form = forms.ModelForm

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        named = [*self.readonly_fields, *(f.name for f in self.opts.concrete_fields if f.name != "id")]
        return [name for name in dict.fromkeys(named) if name not in self.hidden]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        return self.get_readonly_fields(request, obj)


class TruthInline(admin.TabularInline):
    """Rows of the machine's shown on another's page."""

    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def tags_of(rows: Iterable[Tag]) -> str:
    """Tags in one line."""
    return ", ".join(tag.name for tag in rows)


def _sentence(refusal: Refused | ValidationError) -> str:
    """What the domain says, as one line."""
    return " ".join(refusal.messages) if isinstance(refusal, ValidationError) else str(refusal)


def _number(count: int) -> str:
    return f"{count:,}" if count < Capped.MOST else f"{count:,} or more"

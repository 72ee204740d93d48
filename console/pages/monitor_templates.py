"""What do many monitors share, and who differs from it? Templates: listed, edited, compared with monitors, rolled out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.db.models import Count, F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console import settings_form
from console.monitor_fields import MonitorForm
from console.pages import visit
from console.pages.monitor_list import label_of
from monitors import bulk, checks, rules, templates
from monitors.models import Monitor, MonitorTemplate
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client
from portal.tenancy import WRITE, viewer_of

OWN = "Each monitor's own"
YES_NO = (("", OWN), ("true", "Yes"), ("false", "No"))
LONGEST_SHOWN = 120
# Fields that only a template's form asks for.
LABELS = {
    "flapping_changes": "Flapping after more changes than",
    "flapping_window_seconds": "Flapping counted over (s)",
}


@visit.page
def template_list(request: HttpRequest) -> HttpResponse:
    """`/monitor-templates/`"""
    viewer = viewer_of(request)
    rows = MonitorTemplate.objects.for_user(viewer).select_related("client").annotate(n=Count("monitors"))
    shown = [
        {"template": t, "kind": label_of(t.kind), "may": viewer.may(WRITE, t.client_id), "says": said(t)}
        for t in rows.order_by("name")[:500]
    ]
    context = {"rows": shown, "may_add": visit.may_any(request, WRITE)}
    return visit.show(request, "console/monitor_templates.html", context)


def said(template: MonitorTemplate) -> list[str]:
    """What it names, in words."""
    names = [name for name in templates.COMMON if name in template.values]
    words = [word_of(template.kind, name) for name in names]
    words += [word_of(template.kind, f"config.{name}") for name in template.values.get("config", ())]
    return words + (["Tags"] if template.values.get("tags") else [])


def word_of(kind: str, name: str) -> str:
    """A field as the monitor's form calls it."""
    if name.startswith("config."):
        spec = (
            checks.schemas()[kind]["properties"].get(name.removeprefix("config."), {}) if kind in checks.KINDS else {}
        )
        return str(spec.get("title", name))
    if name == "tags":
        return "Tags"
    labels: dict[str, str] = {**(MonitorForm._meta.labels or {}), **LABELS}
    return labels.get(name) or str(Monitor._meta.get_field(name).verbose_name).capitalize()


# --- The form -------------------------------------------------------------------------------------------------------------
class TemplateForm(forms.Form):
    """Whose it is, its name, and every field that it may name; an empty one is each monitor's own."""

    client = forms.ModelChoiceField(
        Client.objects.none(), required=False, empty_label="Every client", help_text="Whose monitors may follow it."
    )
    name = forms.CharField(max_length=120)
    description = forms.CharField(max_length=300, required=False)
    tags = forms.CharField(max_length=500, required=False, help_text="Added to those it has; separated by commas.")

    def __init__(self, request: HttpRequest, row: MonitorTemplate, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row = row
        fields: Any = self.fields
        clients = visit.clients_for(request, WRITE)
        if row.pk:
            del fields["client"]
        else:
            fields["client"].queryset = clients
            if not viewer_of(request).may(WRITE, None):
                fields["client"].required, fields["client"].empty_label = True, None
        for name in templates.COMMON:
            fields[name] = _common(name, row.values.get(name))
        self.schema = _without_defaults(checks.schemas()[row.kind], rules.secret_names(row.kind))
        for name, given in settings_form.fields_of(self.schema, row.values.get("config", {}), frozenset()).items():
            fields[name] = _optional(given, row.values.get("config", {}).get(name.removeprefix(settings_form.PREFIX)))
        fields["tags"].initial = ", ".join(row.values.get("tags", ()))
        fields["name"].initial, fields["description"].initial = row.name, row.description

    def sections(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """What it is, then what it names: schedule and thresholds, settings of the kind; open where something is named or wrong."""
        groups = [
            ("", ["client", "name", "description", "tags"]),
            ("Schedule and thresholds", list(templates.COMMON)),
            (checks.KINDS[self.row.kind].label, [n for n in self.fields if n.startswith(settings_form.PREFIX)]),
        ]
        found = []
        for title, names in groups:
            rows = [self[n] for n in names if n in self.fields]
            if rows:
                found.append((title, rows, bool(title) and not any(f.errors or f.value() for f in rows)))
        return found

    def values(self) -> dict[str, Any]:
        """What was named, as the door takes it."""
        given = {name: self.cleaned_data.get(name) for name in templates.COMMON}
        found: dict[str, Any] = {name: _named(value) for name, value in given.items() if value not in (None, "")}
        typed = settings_form.typed(self.schema, self.cleaned_data)
        found["config"] = {name: _named(value) for name, value in typed.items() if value not in (None, "", [], {})}
        found["tags"] = [word.strip() for word in self.cleaned_data["tags"].split(",") if word.strip()]
        return found


def _named(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else _plain(value)


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _without_defaults(schema: dict[str, Any], secret: Iterable[str]) -> dict[str, Any]:
    """The kind's schema with nothing required, nothing preset and no secrets."""
    properties = {
        name: {key: value for key, value in spec.items() if key != "default"}
        for name, spec in schema["properties"].items()
        if name not in secret
    }
    return {"properties": properties, "required": []}


def _common(name: str, value: Any) -> forms.Field:
    """A column of the monitor, not required and without its default."""
    column: Any = Monitor._meta.get_field(name)
    field: Any = column.formfield(**({"assume_scheme": "https"} if isinstance(column, models.URLField) else {}))
    if isinstance(field, forms.BooleanField):
        field = forms.ChoiceField(choices=YES_NO, help_text=field.help_text)
    elif isinstance(field, forms.TypedChoiceField):
        field.choices = [("", OWN), *[(v, word) for v, word in field.choices if v != ""]]
    elif name == "notes":
        field.widget.attrs["rows"] = 2
    field.required, field.label = False, word_of("", name)
    field.initial = str(value).lower() if isinstance(value, bool) else value
    field.validators = []  # judged by the door, in the same words for pages and API
    return field


def _optional(field: forms.Field, value: Any) -> forms.Field:
    """A setting's field that may stay empty: yes, no or neither; one of a list or none."""
    if isinstance(field, forms.BooleanField):
        chosen = str(value).lower() if isinstance(value, bool) else ""
        return forms.ChoiceField(
            choices=YES_NO, required=False, label=field.label, help_text=field.help_text, initial=chosen
        )
    if isinstance(field, forms.TypedChoiceField):
        choices: Any = field.choices
        field.choices = [("", OWN), *[(v, word) for v, word in choices if v != ""]]
        field.initial, field.empty_value = value, None
    return field


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/monitor-templates/add/?kind=tcp`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    kind = (request.POST or request.GET).get("kind", "http")
    return worked(request, MonitorTemplate(kind=kind if kind in checks.KINDS else "http"))


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/monitor-templates/3/`"""
    row = visit.found(MonitorTemplate.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, row)
    return worked(request, row)


def worked(request: HttpRequest, row: MonitorTemplate) -> HttpResponse:
    """Show the form, or save it and show who differs now."""
    new, title = row.pk is None, row.name
    form = TemplateForm(request, row, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        if new:
            row.client = form.cleaned_data["client"]
            visit.require(request, WRITE, row.client_id)
        row.name, row.description = form.cleaned_data["name"], form.cleaned_data["description"]
        row.values = form.values()
        try:
            templates.save(row, by=Actor.of(request))
        except ValidationError as error:
            visit.spread_errors(form, error, field_named)
        else:
            messages.success(request, f"{row.name} was saved. No monitor has changed yet: choose who gets it.")
            return redirect("monitor_template_diff", pk=row.pk)
    context = {
        "form": form,
        "row": row,
        "new": new,
        "title": "Add a template" if new else title,
        "kind": row.kind,
        "kind_word": label_of(row.kind),
        "kinds": [(kind, check.label) for kind, check in checks.KINDS.items()],
        "cancel_url": reverse("monitor_templates"),
    }
    return render(request, "console/monitor_template.html", context, status=400 if form.errors else 200)


def field_named(name: str) -> str:
    """`values.config.url` stands at `config_url`, `values.severity` at `severity`."""
    inner = name.removeprefix("values.")
    return settings_form.PREFIX + inner.split(".")[1] if inner.startswith("config.") else inner.split(".")[0]


# --- Who differs ----------------------------------------------------------------------------------------------------------
@visit.page
def diff(request: HttpRequest, pk: int) -> HttpResponse:
    """`/monitor-templates/3/diff/?client=&q=`: who follows it and differs, and who could follow it. A POST rolls it out to `ids`."""
    viewer = viewer_of(request)
    row = visit.found(MonitorTemplate.objects.for_user(viewer).select_related("client"), pk)
    rows = candidates(request, row)
    here = reverse("monitor_template_diff", args=[pk])
    if request.method == "POST":
        return rolled_out(request, row, rows, here)
    wish = request.GET
    text = wish.get("q", "").strip()[:120]
    others = rows.filter(~Q(template=row) | Q(template=None))
    if text:
        others = others.filter(name__icontains=text)
    if wish.get("client"):
        others = others.filter(client=visit.whole(wish["client"]) or 0)
    # Those it reached longest ago come first: rolled out, they make room for the next.
    followers = rows.filter(template=row).order_by(
        F("template_version").asc(nulls_first=True), "client__name", "name", "pk"
    )
    following = [compared(row, m, viewer.may(WRITE, m.client_id)) for m in followers[: bulk.MOST]]
    differ = [entry for entry in following if entry["changes"]]
    context = {
        "row": row,
        "kind_word": label_of(row.kind),
        "says": said(row),
        "differ": differ,
        "same": len(following) - len(differ),
        "more": max(0, followers.count() - len(following)),
        "others": [compared(row, m, viewer.may(WRITE, m.client_id)) for m in others[: visit.PAGE]],
        "others_count": others.count(),
        "may_edit": viewer.may(WRITE, row.client_id),
        "clients": list(Client.objects.for_user(viewer).only("pk", "name")[:500]) if not row.client_id else [],
        "get": wish,
        "filters": any(wish.get(key) for key in ("q", "client")),
    }
    return visit.show(request, "console/monitor_template_diff.html", context)


def candidates(request: HttpRequest, row: MonitorTemplate) -> QuerySet[Monitor]:
    """The monitors that one sees and that it may hold for."""
    rows = Monitor.objects.for_user(request).filter(kind=row.kind)
    rows = rows.filter(client=row.client_id) if row.client_id else rows
    return rows.select_related("client").prefetch_related("tags").order_by("client__name", "name", "pk")


def compared(row: MonitorTemplate, m: Monitor, may: bool) -> dict[str, Any]:
    """A monitor with what rolling out would change, in words."""
    changes = templates.diff(row, m, [tag.name for tag in m.tags.all()])
    words = [(word_of(row.kind, c.field), spoken(c.before), spoken(c.after)) for c in changes]
    return {"monitor": m, "changes": words, "may": may}


def spoken(value: Any) -> str:
    """A value in a table."""
    if value is None or value == "" or value == [] or value == {}:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:g}" if isinstance(value, float) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)  # fmt: skip
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def rolled_out(request: HttpRequest, row: MonitorTemplate, rows: QuerySet[Monitor], here: str) -> HttpResponse:
    """Roll it out to the ticked monitors, and say what became of it."""
    ids = list(dict.fromkeys(pk for text in request.POST.getlist("ids") if (pk := visit.whole(text))))
    if not 1 <= len(ids) <= bulk.MOST:
        messages.error(request, f"At most {bulk.MOST} at a time." if ids else "Choose at least one monitor first.")
        return redirect(here)
    if request.POST.get("version") != str(row.version):
        messages.error(request, "The template was changed after you looked; look at the differences again.")
        return redirect(here)
    chosen = list(rows.filter(pk__in=ids))
    viewer = viewer_of(request)
    if not any(viewer.may(WRITE, m.client_id) for m in chosen):
        raise PermissionDenied
    outcome = templates.roll_out(row, chosen, viewer=viewer, by=Actor.of(request), at=database_now())
    level = messages.SUCCESS if not outcome.refused else messages.WARNING if outcome.done else messages.ERROR
    messages.add_message(request, level, outcome.said(f"brought to “{row.name}”"))
    return redirect(here)


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/monitor-templates/3/delete/`"""
    row = visit.found(MonitorTemplate.objects.for_user(request), pk)
    visit.require(request, WRITE, row)
    if request.method == "POST":
        templates.delete(row, by=Actor.of(request))
        messages.success(request, f"{row.name} was deleted.")
        return redirect("monitor_templates")
    n = row.monitors.count()
    follow = (
        f"{n} {'monitor follows' if n == 1 else 'monitors follow'} it and keep"
        if n != 1
        else "1 monitor follows it and keeps"
    )
    body = (
        f"{row.name} is forgotten. {follow} the values they have."
        if n
        else f"{row.name} is forgotten. No monitor follows it."
    )
    return render(
        request,
        "components/confirm_page.html",
        {
            "title": "Delete this template?",
            "body": body,
            "confirm_label": "Delete the template",
            "cancel_url": reverse("monitor_templates"),
        },
    )

"""Which outside systems may raise alerts here, and do they? Integrations, their keys, and a mapping that is tried before it is used."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts import integrations
from alerts.inbound import generic, taking
from alerts.inbound.event import Invalid
from alerts.inbound.mappings import SAMPLES
from alerts.models import Integration
from console.integration_form import IntegrationForm, as_initial, field_named, snippets
from console.pages import visit
from console.pages.channels import asked
from portal.audit import Actor
from portal.tenancy import WRITE, viewer_of

KINDS = {
    "events": "Whatever can page PagerDuty: same body, another address.",
    "alertmanager": "Prometheus, VictoriaMetrics and Grafana post their groups here.",
    "generic": "RMMs, Uptime Kuma, Zabbix …: a mapping says what is where.",
}
PLACEHOLDER = "YOUR_KEY"
TRY = {
    "events": '{"event_action": "trigger", "dedup_key": "srv01/disk",\n "payload": {"summary": "Disk is full", "source": "srv01", "severity": "critical"}}',
    "alertmanager": '{"version": "4", "status": "firing", "alerts": [\n  {"status": "firing", "labels": {"alertname": "HighLoad", "instance": "db1", "severity": "critical"},\n'
    '   "annotations": {"summary": "Load of db1 is high"}, "startsAt": "2026-11-21T10:00:00Z", "fingerprint": "57c6d9296de2ad39"}]}',
}  # fmt: skip


@visit.page
def integration_list(request: HttpRequest) -> HttpResponse:
    """`/integrations/`"""
    viewer = viewer_of(request)
    rows = Integration.objects.for_user(viewer).select_related("client").order_by("client__name", "name", "pk")
    listed = visit.paged(request, rows, "name", "client__name")
    shown = [{"row": r, "may": viewer.may(WRITE, r.client_id)} for r in listed["page"].object_list]
    kinds = [(value, label, KINDS[value]) for value, label in Integration.Kind.choices]
    context = {"rows": shown, "kinds": kinds, "may_add": visit.may_any(request, WRITE)}
    return visit.show(request, "console/integrations.html", context | listed)


# --- The pages -------------------------------------------------------------------------------------------------------------
@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/integrations/add/?kind=generic&sample=ninjaone`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    wish = (request.POST if request.method == "POST" else request.GET).get("type", "") or request.GET.get("kind", "")
    return worked(request, wish if wish in KINDS else "events", None)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/integrations/3/`"""
    row = visit.found(Integration.objects.for_user(request).select_related("client", "site", "service"), pk)
    visit.require(request, WRITE, row)
    return worked(request, row.kind, row)


def worked(request: HttpRequest, kind: str, row: Integration | None) -> HttpResponse:
    """Show the form, try a body without storing anything, or save."""
    sample = SAMPLES.get(request.GET.get("sample", "")) if kind == Integration.Kind.GENERIC else None
    posted = request.method == "POST"
    form = IntegrationForm(request, kind, row, request.POST if posted else None, started(kind, row, sample))
    wish = posted and "preview" in request.POST
    for name in ("name", "client") if wish else ():  # not needed to try a body
        if name in form.fields:
            form.fields[name].required = False
    preview: dict[str, Any] | None = None
    if form.is_bound and form.is_valid():
        try:
            if wish:
                preview = tried(form, kind, row)
            else:
                return saved(request, form, kind, row)
        except ValidationError as error:
            visit.spread_errors(form, error, field_named)
    if wish and preview is None:
        preview = {
            "errors": [
                f"{form[name].label if name in form.fields else ''}: {' '.join(said)}".lstrip(": ")
                for name, said in form.errors.items()
            ]
        }
    context = {
        "form": form, "row": row, "kind": kind, "label": Integration.Kind(kind).label, "kinds": Integration.Kind.choices, "about": KINDS[kind], "preview": preview,
        "samples": SAMPLES.values() if kind == Integration.Kind.GENERIC else (), "sample": sample, "snippets": snippets(kind, PLACEHOLDER) if row else (), "placeholder": PLACEHOLDER,
    }  # fmt: skip
    fragment = "preview" if wish and getattr(request, "htmx", None) else ""
    failed = bool(form.errors) and not fragment
    return visit.show(request, "console/integration.html", context, fragment, status=400 if failed else 200)


def started(kind: str, row: Integration | None, sample: Any) -> dict[str, Any]:
    """What the form shows at first."""
    initial: dict[str, Any] = {"body": TRY.get(kind, "")}
    if row:
        initial |= {
            "name": row.name,
            "site": row.site_id,
            "service": row.service_id,
            "tags": ", ".join(row.tags),
            "enabled": row.enabled,
        }
        initial |= as_initial(row.mapping)
    if sample:
        initial |= {**as_initial(sample.mapping), "body": json.dumps(sample.body, indent=2, ensure_ascii=False)}
        initial.setdefault("name", sample.label)
    return initial


def tried(form: IntegrationForm, kind: str, row: Integration | None) -> dict[str, Any]:
    """What would follow from the body that was pasted, by the mapping as it stands in the form. Nothing is stored."""
    values = form.values()
    raw = form.cleaned_data["body"]
    if kind == Integration.Kind.GENERIC:
        try:
            values["mapping"] = generic.settle(values["mapping"])
        except generic.Mistakes as error:
            raise ValidationError(error.fields) from None
    if not raw:
        return {"errors": ["Paste a body as the tool sends it."]}
    try:
        body = json.loads(raw, parse_constant=str)
    except RecursionError:
        return {"errors": ["The body is nested too deeply."]}
    except ValueError as error:
        return {"errors": [f"The body is not JSON: {error}."]}
    trial = Integration(
        pk=row.pk if row else None, kind=kind, name=values["name"], tags=[t.strip() for t in values["tags"]], mapping=values.get("mapping", {}),
        client=row.client if row else values.get("client"),
    )  # fmt: skip
    try:
        return {"events": taking.would(trial, taking.read(trial, body)[:20])}
    except Invalid as error:
        return {"errors": error.errors}


def saved(request: HttpRequest, form: IntegrationForm, kind: str, row: Integration | None) -> HttpResponse:
    """Save it; a new one's key is on the page that answers, and nowhere else."""
    values, by = form.values(), Actor.of(request)
    if row is not None:
        integrations.change(row, by=by, **values)
        messages.success(request, f"{row.name} was saved.")
        return redirect("integration", pk=row.pk)
    client = values.get("client")
    visit.require(request, WRITE, client.pk if client else None)
    made, plain = integrations.create(by=by, kind=kind, **values)
    return shown_once(request, made, plain, f"{made.name} is ready")


def shown_once(request: HttpRequest, row: Integration, plain: str, title: str) -> HttpResponse:
    """The key with ready lines to paste. The page is never cached."""
    context = {
        "row": row,
        "key": plain,
        "title": title,
        "snippets": snippets(row.kind, plain),
        "label": row.get_kind_display(),
    }
    answer = render(request, "console/integration_key.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


@visit.page
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    """`/integrations/3/rotate/`"""
    row = visit.found(Integration.objects.for_user(request), pk)
    visit.require(request, WRITE, row)
    if request.method == "POST":
        return shown_once(request, row, integrations.rotate(row, by=Actor.of(request)), f"The new key of {row.name}")
    return render(
        request,
        "components/confirm_page.html",
        {
            "title": "Make a new key?",
            "body": f"The old key of {row.name} opens nothing from that moment on: what still posts with it is refused.",
            "confirm_label": "Make a new key",
            "cancel_url": reverse("integration", args=[row.pk]),
        },
    )


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/integrations/3/delete/`"""
    row = visit.found(Integration.objects.for_user(request), pk)
    visit.require(request, WRITE, row)
    body = (
        f"Whatever posts with the key of {row.name} is refused from then on, and its open alerts are closed without a message. "
        "To keep it for later, switch it off instead."
    )
    return asked(
        request, "Delete this integration?", body, reverse("integrations"), f"{row.name} was deleted.",
        lambda: integrations.delete(row, by=Actor.of(request)),
    )  # fmt: skip

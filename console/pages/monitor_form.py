"""How does a person add or change a monitor? A URL is enough; everything else has a default, and can be tried first."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse

from console import settings_form
from console.monitor_fields import MonitorForm, field_named
from console.pages import visit
from console.where_fields import FIELDS
from monitors import checks, plans, rules, services, subjects, templates, trial
from monitors.checks.base import Outcome, limit
from monitors.models import Monitor, MonitorTemplate
from portal import services as ground
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Client
from portal.secrets import CannotOpen
from portal.tenancy import WRITE, viewer_of

FIRST_CLIENT = "My sites"
# What a copy takes over; its settings without secrets, tags and probes besides.
COPIED = (
    "site", "service", "interval_seconds", "timeout_seconds", "confirmation_seconds", "confirmation_count", "recovery_seconds", "recovery_count",
    "degraded_latency_ms", "degraded_loss_percent", "quorum", "distinct_networks", "severity", "parent", "template", "template_version", "runbook_url", "notes",
    "flapping_changes", "flapping_window_seconds", "probe_rule",
)  # fmt: skip
OUTCOMES = {0: "unknown", 1: "up", 2: "degraded", 3: "failing"}


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/monitors/add/?kind=tcp&client=3`; a POST with `quick` holds only a URL, and perhaps a client."""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    data = quick(request) if request.POST.get("quick") else request.POST if request.method == "POST" else None
    kind = (data or request.GET).get("kind", "http")
    kind = kind if kind in checks.KINDS else "http"
    monitor = Monitor(kind=kind, **defaults_of(kind))
    initial: dict[str, Any] = {}
    if data is None:
        initial = {
            "client": visit.whole(request.GET.get("client")),
            settings_form.PREFIX + "url": request.GET.get("url"),
        } | start_from(request, monitor)
    form = MonitorForm(request, monitor, data, initial=initial or None)
    return worked(request, form, new=True)


def start_from(request: HttpRequest, monitor: Monitor) -> dict[str, Any]:
    """`?template=3` fills a new monitor with that template's values; what else the form starts with."""
    rows = MonitorTemplate.objects.for_user(request).filter(kind=monitor.kind)
    template = rows.filter(pk=visit.whole(request.GET.get("template")) or 0).first()
    if template is None:
        return {}
    templates.fill(monitor, template)
    found: dict[str, Any] = {"template": template.pk, "tags": ", ".join(template.values.get("tags", ()))}
    # A template of one client makes monitors of that client.
    return found | ({"client": template.client_id} if template.client_id else {})


@visit.page
def clone(request: HttpRequest, pk: int) -> HttpResponse:
    """`/monitors/7/clone/`: the form of a new monitor, filled with this one; its secrets are asked for, not copied."""
    source = visit.found(Monitor.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, source)
    try:
        asked = frozenset(source.secrets.open())
    except CannotOpen:
        asked = services.secret_names(source.kind)
    copied = {name: getattr(source, name) for name in COPIED}
    form = MonitorForm(
        request,
        Monitor(kind=source.kind, config=dict(source.config), **copied),
        request.POST if request.method == "POST" else None,
        initial={
            "client": source.client_id,
            "name": f"{source.name[:110]} (copy)",
            "tags": ", ".join(source.tags.values_list("name", flat=True)),
            "probes": list(source.views.values_list("probe_id", flat=True)),
        },
        asked=asked,
    )
    return worked(request, form, new=True, of=source)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/monitors/7/edit/`"""
    m = visit.found(Monitor.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, m)
    form = MonitorForm(
        request,
        m,
        request.POST if request.method == "POST" else None,
        initial={"tags": ", ".join(m.tags.values_list("name", flat=True))},
    )
    return worked(request, form, new=False)


def defaults_of(kind: str) -> dict[str, Any]:
    """What a new monitor of this kind starts with: passive kinds know after one missed report, and rare checks may wait."""
    check = checks.KINDS[kind]
    return {"interval_seconds": check.default_interval, "confirmation_count": 1 if check.passive else 2}


def quick(request: HttpRequest) -> QueryDict:
    """The whole form out of a URL: https unless said otherwise, the only client or the chosen one, every default."""
    url = request.POST.get("url", "").strip()
    if url and "://" not in url:
        url = f"https://{url}"
    data = QueryDict(mutable=True)
    blank = MonitorForm(request, Monitor(kind="http", **defaults_of("http")))
    for name, field in blank.fields.items():
        value = blank.get_initial_for_field(field, name)
        if isinstance(value, list):
            data.setlist(name, [str(v) for v in value])
        elif value is not None and value is not False and value != "":
            data[name] = "on" if value is True else str(getattr(value, "pk", value))
    wish = visit.clients_for(request, WRITE).filter(pk=visit.whole(request.POST.get("client")) or 0).first()
    client = wish or visit.clients_for(request, WRITE).first()
    data.update({"kind": "http", "client": str(client.pk) if client else ""})
    data[settings_form.PREFIX + "url"] = url
    return data


def first_client(request: HttpRequest) -> Client:
    """Whose is it, when there is no client yet? Only staff may make one."""
    visit.require(request, WRITE, None)
    return Client.objects.filter(name=FIRST_CLIENT).first() or ground.create_client(
        by=Actor.of(request), name=FIRST_CLIENT
    )


def worked(request: HttpRequest, form: MonitorForm, *, new: bool, of: Monitor | None = None) -> HttpResponse:
    """Show the form, try what it says, or save it. `of`: the monitor that a new one is a copy of."""
    outcome: Outcome | None = None
    if request.method == "POST" and "preview" in request.POST:
        return previewed(request, form)
    testing = request.method == "POST" and "test" in request.POST
    if form.is_bound and form.is_valid():
        if new:
            visit.require(request, WRITE, form.instance.client_id)
        try:
            if testing:
                outcome = tried(request, form)
            else:
                m = saved(request, form)
                messages.success(
                    request,
                    f"{m.name} is watched from now on." if new else f"{m.name} was saved; it is checked at once.",
                )
                return redirect("monitor", pk=m.pk)
        except ValidationError as error:
            visit.spread_errors(form, error, field_named)
        except Refused as refusal:
            form.add_error(None, str(refusal))
    context = {
        "form": form,
        "new": new,
        "kind": form.instance.kind,
        "kinds": [(kind, check.label) for kind, check in checks.KINDS.items()],
        "can_try": not form.kind.passive,
        "outcome": outcome,
        "seen": form.seen(),
        "alone": testing and bool(request.htmx),
        "outcome_state": OUTCOMES[outcome.status] if outcome else "",
        "phases": [
            (word, getattr(outcome, f"{key}_ms"))
            for key, word in (
                ("dns", "DNS"),
                ("connect", "connect"),
                ("tls", "TLS"),
                ("first_byte", "first byte"),
                ("total", "in all"),
            )
        ]
        if outcome
        else (),
        "cancel_url": reverse("monitor", args=[of.pk if of else form.instance.pk])
        if of or not new
        else reverse("monitors"),
        "of": of,
        "chosen_template": visit.whole(request.GET.get("template")),
        "crumb_name": "" if new else Monitor.objects.filter(pk=form.instance.pk).values_list("name", flat=True).first(),
    }
    fragment = "trial" if testing and request.htmx else ""
    return visit.show(
        request, "console/monitor_form.html", context, fragment, status=400 if form.errors and not fragment else 200
    )


def previewed(request: HttpRequest, form: MonitorForm) -> HttpResponse:
    """From where it would be watched, by what is chosen so far; another client has other places. Nothing is stored."""
    form.is_valid()
    fragment = "where" if getattr(request, "htmx", None) and request.htmx.target == "where" else "seen"
    where = [form[name] for name in FIELDS if name in form.fields]
    if fragment == "where":  # only the client was changed: what is missing is not wrong yet
        for name in FIELDS:
            form.errors.pop(name, None)
    return visit.show(
        request, "console/monitor_form.html", {"form": form, "seen": form.seen(), "fields": where, "piece": True}, fragment
    )  # fmt: skip


def tried(request: HttpRequest, form: MonitorForm) -> Outcome:
    """One check with what was typed, with the reach that this person's monitor would have."""
    m = form.wanted()
    m.trusted = bool(viewer_of(request).msp_role)
    services.split_config(m.kind, {**m.config, **m.secrets.open()})
    reach = plans.reach_of(m)
    try:
        services.refuse_unreachable(m, reach)
    except ValidationError:
        services.refuse_unreachable(m, rules.reach_from(m, form.seen().places))
        raise Refused("Only the portal itself can test before saving, and this address is in your own network. Save it: your probe looks at once.") from None  # fmt: skip
    config = checks.parse(m.kind, {**m.config, **m.secrets.open()})
    found = trial.try_once(m.kind, config, reach, m.timeout_seconds)
    return limit(
        found,
        degraded_latency_ms=m.degraded_latency_ms,
        degraded_loss_percent=m.degraded_loss_percent,
        upside_down=bool(getattr(config, "upside_down", False)),
    )


def saved(request: HttpRequest, form: MonitorForm) -> Monitor:
    """Through the one door. A client's people keep a staff-made monitor's private reach only while they leave its target alone."""
    before = Monitor.objects.filter(pk=form.instance.pk).first() if form.instance.pk else None
    m = form.wanted()
    staff = bool(viewer_of(request).msp_role)
    same_target = (
        before is not None
        and before.trusted
        and not form.moved()
        and subjects.target_of(before) == subjects.target_of(m)
        and before.config == m.config
    )
    m.config = {**m.config, **m.secrets.open()}
    m.secrets = {}
    tags = [t.strip() for t in form.cleaned_data["tags"].split(",") if t.strip()]
    if "template" in form.cleaned_data:
        templates.follow(m, form.cleaned_data["template"], tags)
    probes, rule = form.choice()
    with transaction.atomic():
        if m.client_id is None:
            m.client = first_client(request)
        return services.save(
            m,
            by=Actor.of(request),
            at=database_now(),
            tags=tags,
            probes=probes,
            rule=rule,
            trusted=staff or same_target,
        )

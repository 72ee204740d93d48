"""What may be done about failures? The list of playbooks with the kill switches, and one playbook with its record."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django import forms
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console.pages import visit
from monitors.models import Monitor
from playbooks import backtest, engine, plans, services, signing
from playbooks.models import Brake, Mode, Playbook, Run
from portal import mfa
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client
from portal.tenancy import WRITE, viewer_of

MOST = 300
TONES = {Mode.DRY_RUN: "unknown", Mode.APPROVAL: "info", Mode.AUTOMATIC: "up"}
ENDINGS = ("succeeded", "failed", "rolled_back", "outcome_unknown")


@visit.page
def playbook_list(request: HttpRequest) -> HttpResponse:
    """`/playbooks/?client=3`"""
    viewer = viewer_of(request)
    rows = Playbook.objects.for_user(viewer).select_related("client", "brake")
    if request.GET.get("client"):
        rows = rows.filter(client=visit.whole(request.GET["client"]) or 0)
    counted = {
        f"n_{word}": Count("runs", filter=Q(runs__state=word), distinct=True)
        for word in (*ENDINGS, "blocked", "dry_run")
    }
    rows = rows.annotate(**counted).order_by("client__name", "name", "pk")
    brakes = Brake.objects.for_user(viewer).filter(playbook=None).select_related("client").order_by("pk")
    listed = visit.paged(request, rows, "name", "client__name")
    context = {
        "rows": [{"row": p, "tone": TONES[p.mode], "offered": offer(p)} for p in listed["page"].object_list], **listed, "brakes": list(brakes), "may_add": visit.may_any(request, WRITE),
        "stoppable": list(visit.clients_for(request, WRITE).only("pk", "name")[:MOST]), "may_all": viewer.may(WRITE, None),
        "all_stopped": any(b.scope == "all" for b in brakes), "filters": bool(request.GET.get("client")),
    }  # fmt: skip
    return visit.show(request, "console/playbooks.html", context)


def offer(p: Playbook) -> str:
    """The next mode in words, when it is offered."""
    mode = engine.offered(p.mode, p.verified_in_a_row, p.trusted_after)
    return Mode(mode).label.partition(":")[0] if mode else ""


class TryForm(forms.Form):
    """Which monitor to try it on."""

    monitor = forms.ModelChoiceField(Monitor.objects.none(), empty_label="Choose a monitor", label="Monitor")

    def __init__(self, request: HttpRequest, row: Playbook, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Monitor.objects.for_user(request).order_by("name")
        field: Any = self.fields["monitor"]
        field.queryset = rows.filter(client=row.client_id) if row.client_id else rows


class ModeForm(forms.Form):
    """How far it is trusted."""

    mode = forms.ChoiceField(choices=Mode.choices, widget=forms.RadioSelect, label="Mode")
    code = forms.CharField(required=False, max_length=20, label="Code of your authenticator", help_text="Needed to let it act by itself.", widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "one-time-code"}))  # fmt: skip


@visit.page
def playbook(request: HttpRequest, pk: int) -> HttpResponse:
    """`/playbooks/1/`: what it does, behind which gates, its record, the trust in it; to try it and to look back."""
    row = visit.found(Playbook.objects.for_user(request).select_related("client", "brake"), pk)
    return _shown(request, row, TryForm(request, row), ModeForm(initial={"mode": row.mode}))


def _shown(
    request: HttpRequest, row: Playbook, trial: TryForm, mode: ModeForm, *, past: Any = None, status: int = 200
) -> HttpResponse:
    viewer = viewer_of(request)
    runs = Run.objects.for_user(viewer).filter(playbook=row).select_related("monitor")
    record = Counter(runs.order_by().values_list("state", flat=True))
    held = Counter(
        g["gate"]
        for gates in runs.filter(state="blocked").values_list("gates", flat=True)[:1000]
        for g in gates
        if not g["passed"]
    )
    plan = plans.of(row)
    context = {
        "row": row, "tone": TONES[row.mode], "plan": plan, "may": viewer.may(WRITE, row.client_id), "offered": offer(row),
        "record": [(word.replace("_", " "), n) for word, n in record.most_common()], "held": held.most_common(), "runs": list(runs.order_by("-pk")[:20]),
        "approvers": list(row.approvers.all()), "trial": trial, "mode": mode, "past": past, "brake": getattr(row, "brake", None),
        "signer": signing.public_key() if any(e["kind"] in ("restart", "script") for e in plan.entries) and viewer.msp_role else "",
    }  # fmt: skip
    return visit.show(request, "console/playbook.html", context, status=status)


@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`mode`, `try`, `backtest`, `stop`, `release`, `delete`."""
    row = visit.found(Playbook.objects.for_user(request).select_related("client"), pk)
    if verb not in ("mode", "try", "backtest", "stop", "release", "delete"):
        raise Http404
    back, by, at = reverse("playbook", args=[pk]), Actor.of(request), database_now()
    if verb == "backtest" and viewer_of(request).sees(row.client_id):
        return _shown(
            request,
            row,
            TryForm(request, row),
            ModeForm(initial={"mode": row.mode}),
            past=backtest.replay(row, request, at),
        )
    visit.require(request, WRITE, row)
    if verb == "delete":
        if visit.pressed(request):
            return visit.act(
                request,
                reverse("playbooks"),
                f"{row.name} was deleted. Its runs are kept.",
                lambda: services.delete_playbook(row, by=by, at=at),
            )
        body = "What waits for approval is void. Runs that have ended keep their record."
        return render(
            request, "components/confirm_page.html", {"title": f"Delete {row.name}?", "body": body, "cancel_url": back}
        )
    if not visit.pressed(request):
        return redirect(back)
    if verb == "try":
        form = TryForm(request, row, request.POST)
        if not form.is_valid():
            return _shown(request, row, form, ModeForm(initial={"mode": row.mode}), status=400)
        return redirect("run", services.dry_run(row, form.cleaned_data["monitor"], by=by, at=at).pk)
    if verb == "mode":
        return visit.act(request, back, "", lambda: _trusted(request, row, by, at))
    if verb == "stop":
        reason = request.POST.get("reason", "")
        return visit.act(
            request,
            back,
            f"{row.name} is stopped.",
            lambda: services.stop(playbook=row, reason=reason, by=by, at=at) and "",
        )
    brake = Brake.objects.filter(playbook=row).first()
    return visit.act(
        request, back, f"{row.name} may act again.", lambda: services.release(brake, by=by) if brake else None
    )


def _trusted(request: HttpRequest, row: Playbook, by: Actor, at: Any) -> str:
    mode, code, proved = request.POST.get("mode", ""), request.POST.get("code", "").strip(), ""
    if mode == Mode.AUTOMATIC:
        proved = mfa.fresh(request) or (str(mfa.use_code(request.user, code, at).type) if code else "")
    services.set_mode(row, mode, by=by, at=at, user=request.user, proved=proved)
    return f"{row.name}: {Mode(mode).label}."


@visit.page
def brakes(request: HttpRequest) -> HttpResponse:
    """POST `/playbooks/stop/`: pull a kill switch for everything (no client named) or for one client."""
    back, by, at = reverse("playbooks"), Actor.of(request), database_now()
    if not visit.pressed(request):
        return redirect(back)
    wanted = request.POST.get("client", "")
    client = visit.found(Client.objects.for_user(request), visit.whole(wanted) or 0) if wanted else None
    visit.require(request, WRITE, client.pk if client else None)
    whom = client.name if client else "every playbook"
    return visit.act(
        request,
        back,
        f"Stopped: {whom}.",
        lambda: services.stop(client=client, reason=request.POST.get("reason", ""), by=by, at=at) and "",
    )


@visit.page
def release(request: HttpRequest, pk: int) -> HttpResponse:
    """POST `/playbooks/stop/3/release/`: lift a kill switch."""
    row = visit.found(Brake.objects.for_user(request), pk)
    visit.require(request, WRITE, row.client_id)
    if not visit.pressed(request):
        return redirect("playbooks")
    return visit.act(
        request,
        reverse("playbooks"),
        "Lifted: playbooks may act again, each behind its gates.",
        lambda: services.release(row, by=Actor.of(request)),
    )

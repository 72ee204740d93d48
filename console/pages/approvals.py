"""What waits for my word? The inbox of approvals, and the page behind every Approve button.

Looking never acts. A decision is a POST by a named approver who proves who they are there and then: by a code of their
authenticator (also without being signed in, by their own link), by a second step shown within the last ten minutes, or,
for those without one, by having typed the password within the last minutes. (SPEC PLB-4)
"""

from __future__ import annotations

import time
from typing import Any

from allauth.account.authentication import get_authentication_records
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache

from console.pages import visit
from playbooks import deciding, links
from playbooks.models import Run, RunState
from portal import mfa
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import User
from portal.tenancy import viewer_of

MOST = 100
LATELY = 600  # seconds


@visit.page
def inbox(request: HttpRequest) -> HttpResponse:
    """`/approvals/`: what waits, those first that wait for me; below, what was decided lately."""
    rows = Run.objects.for_user(request).select_related("client", "monitor", "incident")
    waiting = list(rows.filter(state=RunState.AWAITING_APPROVAL).order_by("expires_at")[:MOST])
    mine = [r for r in waiting if not deciding.may_decide(r, request.user)]
    decided = rows.filter(approvals__isnull=False).exclude(state=RunState.AWAITING_APPROVAL).distinct()
    context = {
        "mine": mine,
        "others": [r for r in waiting if r not in mine],
        "decided": list(decided.order_by("-pk")[:20]),
    }
    return visit.show(request, "console/approvals.html", context, visit.wanted(request, "live"))


@never_cache
def approve(request: HttpRequest, token: str) -> HttpResponse:
    """`/approve/<token>/`: the plan, why, behind which gates; and the question. Only a POST of somebody who proves it is they decides."""
    found = links.find(token)
    if found is None:
        return _discreet(render(request, "console/approve_gone.html", status=404))
    run, named = found
    person = request.user if request.user.is_authenticated else User.objects.filter(pk=named, is_active=True).first()
    said, status = "", 200
    if request.method == "POST":
        said, status = decided(request, run, person)
        run.refresh_from_db()
    return _discreet(
        render(
            request,
            "console/approve.html",
            {**question(request, run, person), "said": said, "by_link": True},
            status=status,
        )
    )


def _discreet(answer: HttpResponse) -> HttpResponse:
    """The address is a key: it goes nowhere else."""
    answer["Referrer-Policy"] = "no-referrer"
    answer["Cache-Control"] = "no-store, private"
    return answer


def question(request: HttpRequest, run: Run, person: Any) -> dict[str, Any]:
    """What the page needs to tell the run and to ask for a word."""
    waits = run.state == RunState.AWAITING_APPROVAL
    refusal = deciding.may_decide(run, person) if waits else ""
    signed_in = bool(request.user.is_authenticated)
    factor = bool(person and mfa.has_factor(person))
    proved = bool(signed_in and (mfa.fresh(request) if factor else lately(request)))
    words = list(run.approvals.select_related("user"))
    return {
        "run": run, "waits": waits, "refusal": refusal, "signed_in": signed_in, "proved": proved, "wants_code": factor and not proved,
        "may_ask": waits and not refusal and (signed_in or factor), "words": words, "given": sum(w.word == "approve" for w in words),
        "gates": run.gates, "already": any(person and w.user_id == person.pk for w in words),
        "sign_in_url": f"{reverse('account_login')}?{urlencode({'next': request.path})}",
        "prove_url": f"{reverse('account_reauthenticate')}?{urlencode({'next': request.path})}",
        "seen": signed_in and viewer_of(request).sees(run.client_id),
    }  # fmt: skip


def decided(request: HttpRequest, run: Run, person: Any) -> tuple[str, int]:
    """(what to say, HTTP status) after a POST. Refusals change nothing."""
    word, at = request.POST.get("word", ""), database_now()
    if word not in ("approve", "deny"):
        return "Choose Approve or Deny.", 400
    try:
        if refusal := deciding.may_decide(run, person if person is not None else None):
            raise Refused(refusal)
        how = proof(request, person, at)
        by = Actor(name=person.email[:200], ip=request.META.get("REMOTE_ADDR", "") or "", user_id=person.pk)
        values = {"plan_hash": request.POST.get("plan_hash", ""), "how": how, "by": by, "at": at}
        if word == "approve":
            deciding.approve(run, person, **values)
        else:
            deciding.deny(run, person, **values, reason=request.POST.get("reason", ""))
    except Refused as refused:
        return str(refused), 409 if run.state != RunState.AWAITING_APPROVAL else 403
    return "", 200


def lately(request: HttpRequest) -> bool:
    """Did this session show who it is, by password or more, within the last ten minutes?"""
    if not request.user.is_authenticated:
        return False
    return any(time.time() - r.get("at", 0) < LATELY for r in get_authentication_records(request, request.user))


def proof(request: HttpRequest, person: Any, at: Any) -> str:
    """How this person proves it is they, now. Refused with the cure when they do not."""
    code = request.POST.get("code", "").strip()
    mine = request.user.is_authenticated and request.user.pk == person.pk
    if mfa.has_factor(person):
        if mine and (how := mfa.fresh(request)):
            return how
        if not code:
            raise Refused("Enter the code that your authenticator shows now.")
        return str(mfa.use_code(person, code, at).type)
    if not mine:
        raise Refused("Sign in first.")
    if not lately(request):
        raise Refused("Confirm your password first; then decide.")
    return "password"

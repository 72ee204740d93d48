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
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache

from console.pages import visit
from playbooks import codes, deciding, links
from playbooks.models import Approval, Playbook, Run, RunState
from playbooks.models.run import OPEN
from portal import audit, mfa
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import User
from portal.tenancy import viewer_of

MOST = 100
LATELY = 600  # seconds
HOW = {
    "totp": "authenticator app", "webauthn": "passkey", "recovery_codes": "recovery code", "password": "password",
    "code": "code by a second channel", "api": "the API", "api+totp": "authenticator app, over the API",
}  # fmt: skip


@visit.page
def inbox(request: HttpRequest) -> HttpResponse:
    """`/approvals/`: what waits, those first that wait for me; below, what was decided lately."""
    rows = Run.objects.for_user(request).select_related("client", "monitor", "incident")
    waiting = list(rows.filter(state=RunState.AWAITING_APPROVAL).order_by("expires_at")[:MOST])
    spoke = set(Approval.objects.filter(run__in=waiting, user=request.user.pk).values_list("run", flat=True))
    asked = [r for r in waiting if request.user.pk in r.approver_ids and r.pk not in spoke]
    mine = [r for r in asked if not deciding.may_decide(r, request.user)]
    decided = rows.filter(approvals__isnull=False).exclude(state=RunState.AWAITING_APPROVAL).distinct()
    context = {
        "mine": mine,
        "others": [r for r in waiting if r not in mine],
        "spoke": spoke,
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
        if not said:  # looking again must not send it again
            return _discreet(redirect(request.path))
        run.refresh_from_db()
    context = {**question(request, run, person), "said": said, "by_link": True, "open": run.state in OPEN}
    with timezone.override(visit.zone_of(request)):
        return _discreet(render(request, "console/approve.html", context, status=status), asks=context["waits"])


def _discreet(answer: HttpResponse, *, asks: bool = False) -> HttpResponse:
    """The address is a key: it goes nowhere else. To ourselves it goes where the page has a form: under `no-referrer` a
    browser sends `Origin: null` with it, which the check against forged requests refuses."""
    answer["Referrer-Policy"] = "same-origin" if asks else "no-referrer"
    answer["Cache-Control"] = "no-store, private"
    return answer


def question(request: HttpRequest, run: Run, person: Any) -> dict[str, Any]:
    """What the page needs to tell the run and to ask for a word."""
    waits = run.state == RunState.AWAITING_APPROVAL
    refusal = deciding.may_decide(run, person) if waits else ""
    signed_in = bool(request.user.is_authenticated)
    factor = bool(person and mfa.has_factor(person))
    proved = bool(signed_in and (mfa.fresh(request) if factor else lately(request)))
    reach = codes.telephone(run, person) if waits and person and not refusal and not signed_in else None
    sent = bool(reach and codes.pending(run, person, database_now()))
    wants_code = sent or (factor and not proved and codes.has_codes(person))
    words = list(run.approvals.select_related("user"))
    here = urlencode({"next": request.path})
    return {
        "run": run, "waits": waits, "refusal": refusal, "signed_in": signed_in, "proved": proved, "factor": factor, "wants_code": wants_code,
        "may_ask": waits and not refusal and (signed_in or wants_code), "words": [{"row": w, "how": HOW.get(w.how, w.how)} for w in words],
        "given": sum(w.word == "approve" for w in words), "gates": run.gates, "already": any(person and w.user_id == person.pk for w in words),
        "telephone": codes.hint(reach) if reach else "", "sent": sent,
        "sign_in_url": f"{reverse('account_login')}?{here}",
        "prove_url": mfa.step_up_url(request, request.path) if factor and signed_in else f"{reverse('account_reauthenticate')}?{here}",
        "seen": signed_in and viewer_of(request).sees(run.client_id),
        "playbook_seen": signed_in and Playbook.objects.for_user(request).filter(pk=run.playbook_id).exists(),
    }  # fmt: skip


def decided(request: HttpRequest, run: Run, person: Any) -> tuple[str, int]:
    """(what to say, HTTP status) after a POST. Refusals change nothing."""
    word, at = request.POST.get("word", ""), database_now()
    if word not in ("approve", "deny", "send-code"):
        return "Choose Approve or Deny.", 400
    try:
        if refusal := deciding.may_decide(run, person):
            _note(request, run, word, refusal)
            raise Refused(refusal)
        if word == "send-code":
            if request.user.is_authenticated:
                raise Refused("You are signed in; no code has to be sent.")
            codes.send(run, person, at)
            return "", 200
        how = proof(request, run, person, at)
        by = Actor(name=person.email[:200], ip=request.META.get("REMOTE_ADDR", "") or "", user_id=person.pk)
        values = {"plan_hash": request.POST.get("plan_hash", ""), "how": how, "by": by, "at": at}
        if word == "approve":
            deciding.approve(run, person, **values)
        else:
            deciding.deny(run, person, **values, reason=request.POST.get("reason", ""))
    except Refused as refused:
        return str(refused), 409 if run.state != RunState.AWAITING_APPROVAL else 403
    return "", 200


def _note(request: HttpRequest, run: Run, word: str, refusal: str) -> None:
    """Somebody with a name spoke who was not asked (a forwarded mail): that is on record. Programs that only press have none.

    Whom the client does not know by name is the MSP's to know.
    """
    if request.user.is_authenticated:
        of = run.client_id if viewer_of(request).sees(run.client_id) else None
        audit.record("playbook.refused", run, by=Actor.of(request), client_id=of, after={"word": word, "why": refusal})


def lately(request: HttpRequest) -> bool:
    """Did this session show who it is, by password or more, within the last ten minutes?"""
    if not request.user.is_authenticated:
        return False
    return any(time.time() - r.get("at", 0) < LATELY for r in get_authentication_records(request, request.user))


def proof(request: HttpRequest, run: Run, person: Any, at: Any) -> str:
    """How this person proves it is they, now. Refused with the cure when they do not."""
    code = request.POST.get("code", "").strip()
    mine = request.user.is_authenticated and request.user.pk == person.pk
    if mfa.has_factor(person):
        if mine and (how := mfa.fresh(request)):
            return how
        if not code:
            raise Refused("Enter the code that your authenticator shows now." if codes.has_codes(person) else "Sign in with your passkey first.")  # fmt: skip
        if mine:
            return str(mfa.use_code(person, code, at).type)
        return codes.by_app(run, person, code, at, ip=request.META.get("REMOTE_ADDR", "") or "")
    if not mine:
        if not code or codes.telephone(run, person) is None:
            raise Refused("Sign in first.")
        return codes.by_telephone(run, person, code, at, ip=request.META.get("REMOTE_ADDR", "") or "")
    if not lately(request):
        raise Refused("Confirm your password first; then decide.")
    return "password"

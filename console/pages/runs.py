"""What was proposed, allowed and done? The list of runs, and one run live: plan, gates, people, steps, outcome."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console.pages import approvals, visit
from playbooks import services
from playbooks.models import Playbook, Run, RunState
from portal.audit import Actor
from portal.clock import database_now
from portal.tenancy import WRITE

GROUPS = {
    "open": ("blocked", "awaiting_approval", "approved", "running", "verifying"),
    "acted": ("running", "verifying", "succeeded", "failed", "rolled_back", "outcome_unknown"),
    "trouble": ("failed", "rolled_back", "outcome_unknown"),
}
KINDS = (("", "All"), ("open", "Open"), ("acted", "Acted"), ("trouble", "Went wrong"))


@visit.page
def run_list(request: HttpRequest) -> HttpResponse:
    """`/runs/?show=open&playbook=3`"""
    rows = Run.objects.for_user(request).select_related("client", "monitor", "incident", "playbook")
    show = request.GET.get("show", "")
    if show in GROUPS:
        rows = rows.filter(state__in=GROUPS[show])
    if request.GET.get("playbook"):
        rows = rows.filter(playbook=visit.whole(request.GET["playbook"]) or 0)
    found, newer, older = visit.cut(request, rows)
    context = {
        "rows": found,
        "newer": newer,
        "older": older,
        "show": show,
        "kinds": KINDS,
        "filtered": bool(show or request.GET.get("playbook")),
    }
    return visit.show(request, "console/runs.html", context, visit.wanted(request, "live"))


@visit.page
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """`/runs/4/`, live while it is open; the question is asked here too."""
    row = visit.found(
        Run.objects.for_user(request).select_related("client", "monitor", "incident", "playbook", "undoes", "alert"), pk
    )
    said, status = "", 200
    if request.method == "POST":
        said, status = approvals.decided(request, row, request.user)
        if not said:
            return redirect("run", pk)
        row.refresh_from_db()
    context = {**approvals.question(request, row, request.user), **told(request, row), "said": said}
    answer = visit.show(request, "console/run.html", context, visit.wanted(request, "live"), status=status)
    htmx = getattr(request, "htmx", None)
    if htmx and htmx.target == "standing" and not context["waits"]:
        # While somebody decides only the count is fetched anew. Once it is decided the whole page is out of date.
        answer["HX-Retarget"] = answer["HX-Reselect"] = "#live"
        answer["HX-Reswap"] = "outerHTML"
    return answer


def told(request: HttpRequest, row: Run) -> dict[str, Any]:
    """The steps as planned and as they went, and what can be pressed."""
    done = {s.order: s for s in row.steps.all()}
    playbook = Playbook.objects.filter(pk=row.playbook_id).first()
    may = visit.viewer_of(request).may(WRITE, row.client_id)
    open_ = row.state in GROUPS["open"]
    return {
        "steps": [{"plan": e, "row": done.get(e["order"])} for e in row.plan], "live": open_, "may_cancel": may and row.state in ("blocked", "awaiting_approval", "approved"),
        "may_put_back": may and not services.cannot_put_back(row, playbook), "failbacks": list(row.failbacks.order_by("pk")), "by_link": False,
    }  # fmt: skip


@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`cancel` withdraws a proposal; `put-back` proposes to undo what was done. Both ask first."""
    row = visit.found(Run.objects.for_user(request).select_related("client"), pk)
    if verb not in ("cancel", "put-back"):
        raise Http404
    back, by = reverse("run", args=[pk]), Actor.of(request)
    visit.require(request, WRITE, row.client_id)
    if not visit.pressed(request):
        words = {
            "cancel": (
                "Withdraw this proposal?",
                "Nothing was done yet, and nothing will be. The playbook may propose again at the next alert.",
            ),
            "put-back": (
                "Propose to put it back?",
                "The same people are asked to approve it as for the run itself; whoever proposes it cannot approve it.",
            ),
        }[verb]
        return render(request, "components/confirm_page.html", {"title": words[0], "body": words[1], "cancel_url": back, "tone": "" if verb == "put-back" else "danger"})  # fmt: skip
    if verb == "cancel":
        return visit.act(
            request, back, "Withdrawn; nothing was done.", lambda: services.cancel(row, by=by, at=database_now())
        )
    return visit.act(
        request, back, "Proposed; it waits for approval.", lambda: services.put_back(row, by=by, at=database_now())
    )


__all__ = ["GROUPS", "RunState", "press", "run", "run_list", "told"]

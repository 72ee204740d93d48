"""Who may come in, and with which role? The list, invitations, roles, and the way out, for staff and a client's own admin.

Who may do what to whom is `portal.people`'s to say; what somebody may not manage does not exist for them here.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Prefetch, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console.pages import visit
from portal import invitations, mfa, people, viewing
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Client, Membership
from portal.tenancy import CLIENT_ROLES, MSP_ROLES, WRITE, Viewer, viewer_of

MOST = 500


# --- Who is there? --------------------------------------------------------------------------------------------------------
def seen_by(viewer: Viewer) -> QuerySet[Membership]:
    """The memberships that these pages show to somebody: all to our own people, a client's to its admin."""
    rows = Membership.objects.for_user(viewer)
    if not viewer.sees_all:
        rows = rows.filter(client__in=[c for c in viewer.client_ids if people.may_manage(viewer, c)])
    factors = mfa.Authenticator.objects.filter(type__in=mfa.FACTORS)
    steps = Prefetch("user__authenticator_set", queryset=factors, to_attr="second_steps")
    return rows.select_related("user", "client").prefetch_related(steps)


def _may_look(viewer: Viewer) -> bool:
    return bool(viewer.msp_role) or any(people.may_manage(viewer, c) for c in viewer.client_ids)


def _may_invite(viewer: Viewer) -> bool:
    return viewer.may(WRITE, None) or any(people.may_manage(viewer, c) for c in viewer.client_ids)


@visit.page
def people_list(request: HttpRequest) -> HttpResponse:
    """`/people/?client=&q=`: `client=0` is our own staff."""
    viewer = viewer_of(request)
    if not _may_look(viewer):
        raise Http404
    rows = seen_by(viewer).order_by("client__name", "user__email")
    text, client = request.GET.get("q", "").strip()[:120], visit.whole(request.GET.get("client"))
    if text:
        rows = rows.filter(Q(user__email__icontains=text) | Q(user__name__icontains=text))
    if client is not None:
        rows = rows.filter(client=client or None)
    context = {
        "rows": [_told(row, viewer) for row in rows[:MOST]],
        "get": request.GET,
        "filters": bool(text or client is not None),
        "clients": Client.objects.for_user(viewer).order_by("name") if viewer.sees_all else [],
        "may_invite": _may_invite(viewer),
        "looked": [] if viewer.sees_all else viewing.looked(viewer),
    }
    return visit.show(request, "console/people.html", context)


def _told(row: Membership, viewer: Viewer) -> dict[str, Any]:
    return {
        "row": row,
        "pending": invitations.pending(row.user),
        "second_step": bool(row.user.second_steps),
        "may": people.may_manage(viewer, row.client_id),
    }


# --- Inviting -------------------------------------------------------------------------------------------------------------
class InviteForm(forms.Form):
    """Who, where, and what they may do."""

    email = forms.EmailField(max_length=254, label="E-mail")
    name = forms.CharField(max_length=120, required=False)
    client = forms.ModelChoiceField(Client.objects.none(), required=False, empty_label="Our own staff")
    role = forms.ChoiceField(choices=CLIENT_ROLES, help_text="Admins change everything of their client, approvers answer when a repair asks, viewers look.")  # fmt: skip

    def __init__(self, viewer: Viewer, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        clients = Client.objects.for_user(viewer).order_by("name")
        if not viewer.sees_all:
            clients = clients.filter(pk__in=[c for c in viewer.client_ids if people.may_manage(viewer, c)])
        fields["client"].queryset = clients
        if people.may_manage(viewer, None):
            fields["role"].choices = [("A client’s people", CLIENT_ROLES), ("Our own staff", MSP_ROLES)]
        else:
            fields["client"].required, fields["client"].empty_label = True, None


@visit.page
def invite(request: HttpRequest) -> HttpResponse:
    """`/people/invite/?client=`"""
    viewer = viewer_of(request)
    if not _may_look(viewer):
        raise Http404
    if not _may_invite(viewer):
        raise PermissionDenied
    given, initial = request.POST if request.method == "POST" else None, {"client": request.GET.get("client")}
    form = InviteForm(viewer, given, initial=initial)
    if form.is_bound and form.is_valid():
        values: dict[str, Any] = form.cleaned_data
        if not people.may_manage(viewer, values["client"].pk if values["client"] else None):
            raise PermissionDenied
        try:
            row, link, trouble = invitations.invite(by=Actor.of(request), **values)
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            return _sent(request, row, link, trouble)
    context = {"form": form, "title": "Invite somebody", "submit": "Invite", "cancel_url": reverse("people"), "crumb": ("People", reverse("people"))}  # fmt: skip
    return render(request, "console/form_page.html", context, status=400 if form.errors else 200)


def _sent(request: HttpRequest, row: Membership, link: str, trouble: str) -> HttpResponse:
    """Back to the list; where no mail went out, the link is shown to whom the whole account may be entrusted."""
    if not trouble:
        messages.success(request, f"{row.user.email} was invited: a mail is on its way.")
        return redirect("people")
    if link and people.manages(viewer_of(request), row.user):
        answer = render(request, "console/people_link.html", {"row": row, "link": link, "trouble": trouble})
        answer["Referrer-Policy"] = "no-referrer"  # never kept anyway, as all of these pages
        return answer
    messages.warning(request, f"{row.user.email} was invited, but no mail could be sent. Ask the owner of this portal to look at its mail server, then send it again.")  # fmt: skip
    return redirect("people")


# --- One of them ----------------------------------------------------------------------------------------------------------
class RoleForm(forms.Form):
    """Another role at the same place."""

    role = forms.ChoiceField(help_text="Their sessions end: they sign in anew with the new role.")

    def __init__(self, row: Membership, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, initial={"role": row.role}, **kwargs)
        fields: Any = self.fields
        fields["role"].choices = CLIENT_ROLES if row.client_id else MSP_ROLES


def _managed(request: HttpRequest, pk: int) -> Membership:
    """The membership, when the visitor may change it; 404 when they do not see it, 403 when they only look."""
    viewer = viewer_of(request)
    row = visit.found(seen_by(viewer), pk)
    if not people.may_manage(viewer, row.client_id):
        raise PermissionDenied
    return row


@visit.page
def person(request: HttpRequest, pk: int) -> HttpResponse:
    """`/people/3/`: the number is the membership's."""
    row, viewer = _managed(request, pk), viewer_of(request)
    form = RoleForm(row, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            people.change_role(row, form.cleaned_data["role"], by=Actor.of(request))
        except Refused as refusal:
            form.add_error("role", str(refusal))
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            messages.success(request, f"{row.user} is {row.get_role_display().lower()} now.")
            return redirect("people")
    context = {**_told(row, viewer), "form": form, "whole": people.manages(viewer, row.user), "own": row.user_id == request.user.pk}  # fmt: skip
    return render(request, "console/person.html", context, status=400 if form.errors else 200)


@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`/people/3/remove/`, `/people/3/resend/`, `/people/3/end-sessions/`: GET asks, POST does."""
    row, by = _managed(request, pk), Actor.of(request)
    where = row.client.name if row.client else "our own staff"
    if verb == "resend":
        return _resent(request, row) if visit.pressed(request) else redirect("person", pk=pk)
    if verb == "end-sessions":
        if not people.manages(viewer_of(request), row.user):
            raise PermissionDenied
        body = f"{row.user} is signed out everywhere at once, and may sign in again."
        said = f"{row.user} was signed out everywhere."
        title = f"Sign {row.user} out everywhere?"
        return _asked(request, title, body, "Sign them out", said, lambda: people.sign_out(row.user, by=by))
    if verb == "remove":
        title, button = f"Remove {row.user} from {where}?", "Remove"
        body = f"They are signed out, and see nothing of {where} any more. What they did stays on record."
        said = f"{row.user} does not belong to {where} any more."
        if invitations.pending(row.user):
            title, button = f"Withdraw the invitation of {row.user}?", "Withdraw it"
            body, said = "The link that was mailed works no more.", f"The invitation of {row.user} was withdrawn."
        return _asked(request, title, body, button, said, lambda: people.remove(row, by=by))
    raise Http404


def _resent(request: HttpRequest, row: Membership) -> HttpResponse:
    try:
        link, trouble = invitations.resend(row, by=Actor.of(request))
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("people")
    return _sent(request, row, link, trouble)


def _asked(request: HttpRequest, title: str, body: str, button: str, said: str, do: Any) -> HttpResponse:
    to = reverse("people")
    if visit.pressed(request):
        return visit.act(request, to, said, lambda: do() and None)
    context = {"title": title, "body": body, "confirm_label": button, "cancel_url": to}
    return render(request, "components/confirm_page.html", context)

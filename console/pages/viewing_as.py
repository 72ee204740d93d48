"""What does the client see? Staff choose whose portal, say why, and look for half an hour."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from console.pages import visit
from portal import viewing
from portal.models import Client
from portal.tenancy import WRITE, viewer_of


class ViewingForm(forms.Form):
    """Whose portal, and why."""

    client = forms.ModelChoiceField(Client.objects.none())
    reason = forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="The client’s admins read it, with your name, on their page People.",
    )

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["client"].queryset = Client.objects.for_user(request).filter(active=True).order_by("name")


@visit.staff_page
def begin(request: HttpRequest) -> HttpResponse:
    """`/view-as/?client=`"""
    if not viewer_of(request).may(WRITE, None):
        raise PermissionDenied
    given = request.POST if request.method == "POST" else None
    form = ViewingForm(request, given, initial={"client": request.GET.get("client")})
    if form.is_bound and form.is_valid():
        try:
            viewing.begin(request, form.cleaned_data["client"], form.cleaned_data["reason"])
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            return redirect("overview")
    context = {
        "form": form,
        "title": "View as a client",
        "note": f"You see what a viewer of the client sees, for {viewing.MINUTES} minutes, and can change nothing meanwhile.",
        "submit": "View",
        "cancel_url": "/",
    }
    return render(request, "console/form_page.html", context, status=400 if form.errors else 200)


@visit.page
def end(request: HttpRequest) -> HttpResponse:
    """`/view-as/end/`: pressed twice, or after the half hour, it just leads back."""
    if visit.pressed(request):
        viewing.end(request)
        messages.success(request, "You see your own portal again.")
    return redirect("overview")

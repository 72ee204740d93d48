"""How does a new site come to be watched? A name and a URL; what fits them is offered, and made with the site at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from console.pages import visit
from console.pages.monitor_bulk import sentences
from console.pages.monitor_form import defaults_of
from console.pages.monitor_list import label_of
from monitors import bulk, proposals, rules, services, subjects
from monitors.models import Monitor
from portal import services as ground
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, Site
from portal.tenancy import WRITE, viewer_of


class SiteForm(forms.Form):
    """What is known of a new site."""

    client = forms.ModelChoiceField(Client.objects.none(), empty_label=None)
    name = forms.CharField(max_length=120, help_text="As people call it: Shop, Head office.")
    url = forms.CharField(
        max_length=500, label="URL", help_text="As in https://shop.example.com/; https when left out."
    )

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["client"].queryset = visit.clients_for(request, WRITE)  # type: ignore[attr-defined]

    def clean_url(self) -> str:
        text = self.cleaned_data["url"].strip()
        url = text if "://" in text else f"https://{text}"
        try:
            services.split_config("http", {"url": url})
        except ValidationError as error:
            raise ValidationError(error.messages) from None
        return url


@dataclass(slots=True)
class Offer:
    """One proposal as it stands on the page: ticked or not, under which name, and what is wrong with it."""

    proposal: proposals.Proposal
    ticked: bool
    name: str
    label: str
    subject: str
    note: str = ""
    error: str = ""

    @property
    def field(self) -> str:
        """Of the checkbox; its name stands beside it."""
        return f"make_{self.proposal.kind}"


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/sites/add/?client=3`: first the name and URL, then the offers with their names, then all of it at once."""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    if not visit.clients_for(request, WRITE).exists():
        messages.info(request, "Add a client first; the site will belong to it.")
        return redirect("client_add")
    form = SiteForm(
        request,
        request.POST if request.method == "POST" else None,
        initial={"client": visit.whole(request.GET.get("client"))},
    )
    offered: list[Offer] = []
    if form.is_bound and form.is_valid():
        client = form.cleaned_data["client"]
        visit.require(request, WRITE, client.pk)
        known = Site.objects.for_user(request).filter(client=client, name__iexact=form.cleaned_data["name"].strip())
        if known.exists():
            form.add_error("name", f"{client.name} already has a site of this name; choose another.")
        else:
            # The offers hold for the URL they were made for: with another one they are made anew.
            again = request.POST.get("offered_for") == form.cleaned_data["url"]
            offered = offers(request, client, form.cleaned_data["name"], form.cleaned_data["url"], again=again)
            if "create" in request.POST and again:
                answer = created(request, form, offered)
                if answer is not None:
                    return answer
    wrong = bool(form.errors) or any(offer.error for offer in offered)
    context = {"form": form, "offers": offered, "cancel_url": reverse("monitors")}
    return visit.show(request, "console/site_new.html", context, status=400 if wrong else 200)


def offers(request: HttpRequest, client: Client, name: str, url: str, *, again: bool) -> list[Offer]:
    """The proposals, ticked as they fit or (`again`) as the person left them."""
    kinds = {p.kind for p in proposals.proposals(name, url)}
    rows = Monitor.objects.for_user(request).filter(client=client, kind__in=kinds)
    known = {(m.kind, subjects.target_of(m)): m.name for m in rows}
    found = []
    for p in proposals.proposals(name, url):
        config = dict(p.config)
        if p.kind == "domain" and again and request.POST.get("registered"):
            config["name"] = request.POST["registered"].strip()
        p = proposals.Proposal(p.kind, p.name, config, p.interval_seconds, p.fits, p.why)
        subject = subjects.target_of(Monitor(kind=p.kind, name=p.name, config=config)) if p.fits else ""
        same = known.get((p.kind, subject))
        offer = Offer(
            p,
            ticked=(f"make_{p.kind}" in request.POST) if again else p.fits and not same,
            name=(request.POST.get(f"name_{p.kind}", "").strip() if again else "") or p.name,
            label=label_of(p.kind),
            subject=subject,
            note=f"{client.name} watches this already ({same})." if same else "",
        )
        offer.ticked = offer.ticked and p.fits
        found.append(offer)
    return found


def created(request: HttpRequest, form: SiteForm, offered: list[Offer]) -> HttpResponse | None:
    """The site and the ticked monitors in one transaction; None when something is wrong, which then stands at its offer."""
    values, by = form.cleaned_data, Actor.of(request)
    staff, wanted = bool(viewer_of(request).msp_role), [offer for offer in offered if offer.ticked]
    monitors = [
        Monitor(
            client=values["client"],
            name=offer.name,
            kind=offer.proposal.kind,
            config=dict(offer.proposal.config),
            trusted=staff,
            **defaults_of(offer.proposal.kind),
        )
        for offer in wanted
    ]
    for offer, m in zip(wanted, monitors, strict=True):
        try:
            rules.judge(m)
        except ValidationError as error:
            found = error.message_dict if hasattr(error, "error_dict") else {"__all__": error.messages}
            offer.error = " ".join(sentences(found, m.kind))
    if any(offer.error for offer in wanted):
        return None
    try:
        with transaction.atomic():
            site = ground.create(Site, by=by, client=values["client"], name=values["name"], url=values["url"])
            for m in monitors:
                m.site = site
            bulk.create_all([bulk.Draft(m) for m in monitors], by=by, at=database_now(), trusted=staff)
    except ValidationError as error:
        visit.spread_errors(form, error)
        return None
    n = len(monitors)
    said = f"{n} {'monitor' if n == 1 else 'monitors'} watch it from now on" if n else "nothing of it is watched yet"
    messages.success(request, f"{site.name} was added; {said}.")
    return redirect(f"{reverse('monitors')}?{urlencode({'site': site.pk})}")

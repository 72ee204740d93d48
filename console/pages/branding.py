"""How does the portal look, and to whom? Name, logo and colour of the MSP's own face, and of each client's."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import validate_host
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from console.pages import visit
from portal import branding, colours, doors
from portal import logo as pictures
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Branding, Client
from portal.tenancy import ADMINISTER, WRITE, viewer_of
from statuspages.board import board
from statuspages.models import Page

MOST = 500
YEAR = 31_536_000  # seconds: a picture never changes at its address


@visit.staff_page
def overview(request: HttpRequest) -> HttpResponse:
    """`/branding/`: ours, then each client's."""
    viewer = viewer_of(request)
    visit.require(request, ADMINISTER, None)
    own = set(Branding.objects.exclude(client=None).values_list("client_id", flat=True))
    clients = list(Client.objects.for_user(viewer).order_by("name")[:MOST])
    brands = branding.of_clients([None, *(c.pk for c in clients)])
    domains = {
        row.client_id: row
        for row in Branding.objects.exclude(domain="").only("client_id", "domain", "domain_proved_at")
    }
    rows = [{"client": c, "brand": brands[c.pk], "own": c.pk in own, "domain": domains.get(c.pk)} for c in clients]
    return visit.show(request, "console/branding.html", {"ours": brands[None], "rows": rows})


@visit.staff_page
def ours(request: HttpRequest) -> HttpResponse:
    """`/branding/ours/`: what everybody sees who has no other, also before signing in. Owners only."""
    visit.require(request, ADMINISTER, None)
    return _form(request, None, reverse("branding"), ("Branding", reverse("branding")))


@visit.staff_page
def of_client(request: HttpRequest, pk: int) -> HttpResponse:
    """`/branding/3/`: what this client's people see, and at which name of its own; our staff says so."""
    client = visit.found(Client.objects.for_user(request), pk)
    visit.require(request, WRITE, None)
    back = reverse("client", args=[pk])
    if request.method == "POST" and "prove" in request.POST:
        return _prove(request, client)
    return _form(request, client, back, (client.name, back))


def _prove(request: HttpRequest, client: Client) -> HttpResponse:
    """The button below the record: look for it now."""
    row = Branding.objects.for_user(request).filter(client=client).first()
    if row is None:
        raise Http404
    said = f"Proved. {client.name}’s people find the portal at {branding.at_domain(row.domain)} as soon as that name points here."
    to = f"{reverse('branding_client', args=[client.pk])}#domain"
    return visit.act(request, to, said, lambda: branding.prove(row, by=Actor.of(request), at=database_now()) and None)


class BrandForm(forms.Form):
    """Name, logo, colour. Empty is as the default has it."""

    name = forms.CharField(max_length=60, required=False, help_text="Of the portal, as “Northwind Care”.")
    own_accent = forms.BooleanField(required=False, label="A colour of its own")
    accent = forms.CharField(
        max_length=7,
        required=False,
        label="Accent colour",
        widget=forms.TextInput(attrs={"type": "color"}),
        help_text="Of links and buttons; made lighter or darker until it can be read, in both themes.",
    )
    logo = forms.FileField(
        required=False, widget=forms.FileInput(attrs={"accept": "image/png,image/jpeg,image/webp"}),
        help_text=f"PNG, JPEG or WebP, at most {pictures.MOST_BYTES // 1024} KB; shown 24 points high.",
    )  # fmt: skip
    no_logo = forms.BooleanField(required=False, label="Take the logo away")
    domain = forms.CharField(
        max_length=300,
        required=False,
        label="A domain of its own",
        help_text="As “portal.acme.example”: the portal answers there too once the domain is proved. Not its status page’s.",
        widget=forms.TextInput(attrs={"autocapitalize": "off", "spellcheck": "false", "inputmode": "url"}),
    )

    def __init__(self, row: Branding | None, *args: Any, client: Client | None = None, **kwargs: Any) -> None:
        accent = row.accent if row else ""
        shown = {
            "name": row.name if row else "", "own_accent": bool(accent), "accent": accent or colours.DEFAULT,
            "domain": row.domain if row else "",
        }  # fmt: skip
        super().__init__(*args, initial=shown, **kwargs)
        if row is None or not row.logo_digest:
            del self.fields["no_logo"]
        if client is None:
            del self.fields["domain"]

    def clean_logo(self) -> bytes | None:
        """No more than may be kept, and a byte, so that too much is noticed."""
        file = self.cleaned_data.get("logo")
        return file.read(pictures.MOST_BYTES + 1) if file else None

    def values(self) -> dict[str, Any]:
        """As the door takes them."""
        given = self.cleaned_data
        picture: Any = None if given.get("no_logo") else branding.KEEP
        return {
            "name": given["name"],
            "accent": given["accent"] if given["own_accent"] else "",
            "picture": given["logo"] or picture,
            "domain": given.get("domain", branding.KEEP),
        }


def _form(request: HttpRequest, client: Client | None, back: str, crumb: tuple[str, str]) -> HttpResponse:
    row = Branding.objects.filter(client=client).first()
    form = BrandForm(row, request.POST or None, request.FILES or None, client=client)
    if request.method == "POST" and form.is_valid():
        try:
            saved = branding.save(client, by=Actor.of(request), **form.values())
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            if saved.domain and saved.domain_proved_at is None:
                messages.success(request, "Saved. The domain has to be proved before the portal answers there.")
                return redirect(f"{request.path}#domain")
            messages.success(request, f"{client.name}’s people see it now." if client else "Everybody sees it now.")
            return redirect(back)
    default = "what is empty is as ours" if client else "what is empty is as delivered"
    context = {
        "form": form, "title": f"How the portal looks to {client.name}" if client else "How the portal looks", "submit": "Save", "cancel_url": back, "crumb": crumb,
        "note": f"{'To its people only' if client else 'To everybody, and on the sign-in page'}; {default}.",
        "row": row, "record": branding.record_of(row) if row else ("", ""), "address": branding.at_domain(row.domain) if row and row.domain else "",
    }  # fmt: skip
    page = "console/branding_client.html" if client else "console/form_page.html"
    return render(request, page, context, status=400 if form.errors else 200)


@require_safe
def logo(request: HttpRequest, digest: str, ending: str) -> HttpResponse:
    """`/branding/logo/<digest>.png`: a picture by its own digest, for whoever was given that; it never changes."""
    found = branding.picture(digest, ending)
    if found is None:
        raise Http404
    answer = HttpResponse(found[0], content_type=found[1])
    answer["Cache-Control"] = f"public, max-age={YEAR}, immutable"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer["ETag"] = f'"{digest[:32]}"'
    return answer


# --- Names that are taken, and names that may have a certificate ------------------------------------------------------------
def _status_page_at(domain: str) -> str:
    found = Page.objects.filter(custom_domain=domain).first()
    return f"The status page “{found.name}” has this domain; give the portal another one." if found else ""


doors.claims(_status_page_at)


@never_cache
@require_safe
def certificate(request: HttpRequest) -> HttpResponse:
    """`/tls/ask/?domain=`: may a proxy get a certificate for this name? 200 for names that are answered here, else 404.

    For Caddy's `on_demand_tls { ask … }`: without it anybody who points a name here could use up the certificates.
    """
    name = request.GET.get("domain", "").strip().rstrip(".").lower()[:300]
    known = validate_host(name, settings.ALLOWED_HOSTS) or doors.doors.at(name) or board.at_domain(name)
    return HttpResponse(
        "yes\n" if name and known else "no\n", status=200 if name and known else 404, content_type="text/plain"
    )

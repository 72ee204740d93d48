"""What does a status page say, how does it look, who may see it? Its form."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from console.pages import visit
from console.pages.quiet_form import SHAPE, WallField
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.markup import css
from portal.models import Client
from portal.tenancy import WRITE, viewer_of
from statuspages import domains, logo, services
from statuspages.bodies import address_of
from statuspages.models import Page


class PageForm(forms.Form):
    """A status page without its components."""

    client = forms.ModelChoiceField(Client.objects.none(), required=False, empty_label="Ours: it may show any client’s")
    name = forms.CharField(max_length=120, help_text="As “Acme status”.")
    slug = forms.CharField(
        max_length=60, required=False, label="Address", help_text="/status/…/. Empty: made from the name."
    )
    enabled = forms.BooleanField(
        required=False,
        initial=True,
        label="Readers find it",
        help_text="Off: its address answers as if it did not exist.",
    )
    visibility = forms.ChoiceField(choices=Page.Visibility.choices, label="Who may see it")
    password = forms.CharField(
        required=False, max_length=200, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), help_text="Only for whoever knows the password; at least 8 characters."
    )  # fmt: skip
    headline = forms.CharField(max_length=200, required=False, help_text="Above everything. Empty: the name.")
    announcement = forms.CharField(
        max_length=2000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="In a box on top. Markdown.",
    )
    announcement_until = WallField(
        required=False, label="Announcement until", help_text="In your time zone. Empty: until somebody takes it away."
    )
    about = forms.CharField(
        max_length=4000,
        required=False,
        label="About",
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Below the components. Markdown.",
    )
    support_url = forms.CharField(
        max_length=500,
        required=False,
        label="Support",
        help_text="Where readers find help, as https://acme.example/help.",
    )
    language = forms.ChoiceField(
        choices=Page.Language.choices, help_text="Of the page itself; your own words stay as they are."
    )
    timezone = forms.CharField(
        max_length=60, label="Time zone", help_text="As Europe/Lisbon. Days and times of the page follow it."
    )
    theme = forms.ChoiceField(choices=Page.Theme.choices)
    accent = forms.CharField(
        max_length=7,
        label="Accent colour",
        widget=forms.TextInput(attrs={"type": "color"}),
        help_text="Of links and buttons.",
    )
    logo = forms.FileField(
        required=False, widget=forms.FileInput(attrs={"accept": "image/png,image/jpeg,image/webp"}),
        help_text=f"PNG, JPEG or WebP, at most {logo.MOST_BYTES // 1024} KB.",
    )  # fmt: skip
    no_logo = forms.BooleanField(required=False, label="Take the logo away")
    custom_css = forms.CharField(
        max_length=20_000, required=False, strip=False, label="Style sheet", widget=forms.Textarea(attrs={"rows": 6, "class": "mono", "spellcheck": "false"}),
        help_text="Colours, type and space; what could ask others for something, or lie over the page, is not kept.",
    )  # fmt: skip
    show_uptime = forms.BooleanField(
        required=False, initial=True, label="Uptime", help_text="Percentages beside the 90 days."
    )
    show_latency = forms.BooleanField(required=False, label="Response times", help_text="A chart for each component.")
    show_verdicts = forms.BooleanField(required=False, label="Probable causes", help_text="Without hops and addresses.")
    show_targets = forms.BooleanField(
        required=False, label="What is watched", help_text="Host names and addresses become public."
    )
    subscriptions = forms.BooleanField(
        required=False, initial=True, label="Readers may subscribe", help_text="By mail, webhook or Slack."
    )
    custom_domain = forms.CharField(
        max_length=253,
        required=False,
        label="Domain of its own",
        help_text="As status.acme.example. It counts once a TXT record has proved it.",
    )
    publish_folder = forms.CharField(
        max_length=200,
        required=False,
        label="Folder of the static copy",
        help_text="Below the folder or in the bucket that the operator allows; empty: no copy.",
    )

    PARTS = (
        ("", ("client", "name", "slug", "enabled"), False),
        ("Who may see it", ("visibility", "password"), False),
        ("What it says", ("headline", "announcement", "announcement_until", "about", "support_url", "language", "timezone"), False),
        ("How it looks", ("theme", "accent", "logo", "no_logo", "custom_css"), True),
        ("What it shows", ("show_uptime", "show_latency", "show_verdicts", "show_targets", "subscriptions"), False),
        ("Where else it lives", ("custom_domain", "publish_folder"), True),
    )  # fmt: skip

    def __init__(self, request: HttpRequest, row: Page | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        viewer = viewer_of(request)
        self.zone = visit.zone_of(request)
        if row is not None:
            del fields["client"]
        else:
            fields["client"].queryset = visit.clients_for(request, WRITE)
            fields[
                "client"
            ].help_text = "Its page shows this client’s components only, and the client’s admins may change it."
            if not viewer.may(WRITE, None):
                fields["client"].required, fields["client"].empty_label = True, None
        if row is None or not row.logo_type:
            del fields["no_logo"]
        if not viewer.msp_role:
            del fields["publish_folder"]
        if row is not None and row.password_hash:
            fields["password"].help_text = "It has one; empty keeps it. At least 8 characters."

    def clean_logo(self) -> Any:
        """Read no more than may be kept, and a byte, so that too much is noticed."""
        file = self.cleaned_data.get("logo")
        return file.read(logo.MOST_BYTES + 1) if file else None

    def sections(self) -> list[dict[str, Any]]:
        """The fields in their parts; the less used behind a click, open when something in there is set or wrong."""
        found = []
        for title, names, folds in self.PARTS:
            fields = [self[n] for n in names if n in self.fields]
            used = any(
                f.errors or (f.value() and f.name in ("custom_css", "custom_domain", "publish_folder")) for f in fields
            )
            found.append({"title": title, "fields": fields, "folds": folds, "open": used})
        return found

    def values(self) -> dict[str, Any]:
        """As the door takes them."""
        given = dict(self.cleaned_data)
        until: datetime | None = given.pop("announcement_until")
        picture, gone = given.pop("logo", None), given.pop("no_logo", False)
        values = {
            **given,
            "announcement_until": until.replace(tzinfo=self.zone) if until and given["announcement"] else None,
        }
        if picture or gone:
            values["logo_file"] = picture or None
        return values


def initial_of(row: Page, zone: Any) -> dict[str, Any]:
    """What the form shows of a stored page."""
    values = {name: getattr(row, name) for name in services.SAID}
    until = row.announcement_until
    return {**values, "announcement_until": until.astimezone(zone).strftime(SHAPE) if until else ""}


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/status-pages/add/?client=3`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    blank = Page()
    initial = {name: getattr(blank, name) for name in ("accent", "visibility", "language", "theme")}
    initial |= {"client": visit.whole(request.GET.get("client")), "timezone": str(visit.zone_of(request))}
    return worked(request, None, initial)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/status-pages/3/edit/`"""
    row = visit.found(Page.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, row)
    return worked(request, row, initial_of(row, visit.zone_of(request)))


def worked(request: HttpRequest, row: Page | None, initial: dict[str, Any]) -> HttpResponse:
    """Show the form, or save it and go to the page; what of the style sheet is not kept is said there and here."""
    posted = request.method == "POST"
    form = PageForm(request, row, request.POST if posted else None, request.FILES if posted else None, initial=initial)
    if posted and form.is_valid():
        try:
            page = services.save_page(row, by=Actor.of(request), at=database_now(), **form.values())
        except ValidationError as error:
            visit.spread_errors(form, error)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            return after(request, page, row)
    context = {
        "form": form, "row": row, "url": address_of(row) if row else "", "complaints": css(row.custom_css)[1] if row and row.custom_css else [],
        "record": domains.record_of(row) if row else ("", ""), "cancel_url": reverse("statuspage", args=[row.pk]) if row else reverse("statuspages"),
    }  # fmt: skip
    return visit.show(request, "console/status_page_form.html", context, status=400 if form.errors else 200)


def after(request: HttpRequest, page: Page, before: Page | None) -> HttpResponse:
    """Where one goes after saving, with what there is to know."""
    messages.success(request, "Saved. Readers see it in a moment." if before else "Made. Now add its components.")
    complaints = css(page.custom_css)[1] if page.custom_css else []
    if complaints:
        messages.warning(request, f"Of its style sheet not everything is kept: {complaints[0]}" + (f" And {len(complaints) - 1} more." if len(complaints) > 1 else ""))  # fmt: skip
        return redirect("statuspage_edit", pk=page.pk)
    return redirect("statuspage", pk=page.pk)

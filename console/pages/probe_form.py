"""How does a probe come to be? What it is called and where it stands; then the lines that put its program on a machine.

The token is on the page that answers the press of a button, and nowhere else; the page then watches until it is used.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from console.pages import visit
from console.pages.probes import seen_probe
from monitors import probes, remote
from monitors.models import Probe
from monitors.probe import link
from monitors.probe_health import health_of
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Client, OneTimeLink
from portal.tenancy import WRITE

PLACEHOLDER = "TOKEN"
DIRECTORY = "/var/lib/watchkeeper-probe"
UNIT = Path("deploy/systemd/watchkeeper-probe.service")


class ProbeForm(forms.Form):
    """A probe as staff describe it. Whose it is cannot be changed later: it runs inside somebody's network."""

    name = forms.CharField(max_length=80, help_text="Where it stands, as “Berlin” or “Acme HQ”.")
    client = forms.ModelChoiceField(
        Client.objects.none(), required=False, empty_label="A region: it watches for every client", label="Whose it is",
        help_text="A private probe of a client watches that client's monitors only, and may reach private addresses of the network it stands in.",
    )  # fmt: skip
    network = forms.CharField(
        max_length=120, required=False, help_text="Whose line it uses, as “AS3320” or “Telekom”. A quorum may ask for distinct ones."
    )  # fmt: skip
    tags = forms.CharField(max_length=500, required=False, help_text="Separated by commas. Monitors may ask for any places that carry a tag, as “eu”.")  # fmt: skip
    anchors = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"}),
        help_text="Independent addresses that prove its own line is well, one a line: <code>host:port</code> or a URL. When most of them are silent, the probe is blind and nobody is paged for what it sees. "
        "In a closed network, name two or three machines of different makes there.",
    )  # fmt: skip

    def __init__(self, row: Probe | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        if row is not None:
            del fields["client"]
        else:
            fields["client"].queryset = Client.objects.filter(active=True).order_by("name")

    def clean_tags(self) -> list[str]:
        words = [word.strip() for word in self.cleaned_data["tags"].split(",") if word.strip()]
        if any(len(word) > 50 for word in words):
            raise ValidationError("A tag has 50 characters at most.")
        return words

    def clean_anchors(self) -> list[str]:
        return probes.check_anchors(self.cleaned_data["anchors"].splitlines())


@visit.staff_page
def add(request: HttpRequest) -> HttpResponse:
    """`/probes/add/?client=3`: the answer to the form is the page with the token."""
    visit.require(request, WRITE, None)
    started = {"client": visit.whole(request.GET.get("client")), "anchors": "\n".join(probes.USUAL_ANCHORS)}
    form = ProbeForm(None, request.POST if request.method == "POST" else None, initial=started)
    if form.is_bound and form.is_valid():
        try:
            row, token = probes.create(by=Actor.of(request), at=database_now(), **form.cleaned_data)
        except ValidationError as error:
            visit.spread_errors(form, error, lambda name: "name" if name == "slug" else name)
        else:
            return enrolling(request, row, token)
    context = {"form": form, "row": None, "cancel_url": reverse("probes")}
    return visit.show(request, "console/probe_form.html", context, status=400 if form.errors else 200)


@visit.staff_page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/probes/3/edit/`"""
    row = seen_probe(request, pk)
    visit.require(request, WRITE, None)
    started = {"name": row.name, "network": row.network, "tags": ", ".join(t.name for t in row.tags.all()), "anchors": "\n".join(row.anchors)}  # fmt: skip
    form = ProbeForm(row, request.POST if request.method == "POST" else None, initial=started)
    back = reverse("probe", args=[pk])
    if form.is_bound and form.is_valid():
        try:
            probes.change(row, by=Actor.of(request), at=database_now(), **form.cleaned_data)
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            messages.success(request, f"{form.cleaned_data['name']} was saved.")
            return redirect(back)
    context = {"form": form, "row": Probe.objects.get(pk=pk), "cancel_url": back}
    return visit.show(request, "console/probe_form.html", context, status=400 if form.errors else 200)


# --- Enrolling -----------------------------------------------------------------------------------------------------------
@visit.staff_page
def enrol(request: HttpRequest, pk: int) -> HttpResponse:
    """`/probes/3/enrol/`: a press makes a new token and shows it; a look says how far it is (`#state` watches)."""
    row = seen_probe(request, pk)
    visit.require(request, WRITE, None)
    if row.built_in:
        return redirect("probe", pk=pk)
    if visit.pressed(request):
        try:
            token = remote.new_token(row, by=Actor.of(request), at=database_now())
        except Refused as refusal:
            messages.error(request, str(refusal))
            return redirect("probe", pk=pk)
        return enrolling(request, row, token)
    return enrolling(request, row, "", visit.wanted(request, "state"))


def enrolling(request: HttpRequest, row: Probe, token: str, fragment: str = "") -> HttpResponse:
    """The lines to paste, and how far it is."""
    at = database_now()
    context = {
        "row": row, "token": token, "progress": progress(row, at), "lines": lines(token or PLACEHOLDER), "here_only": here_only(settings.BASE_URL), "refused_http": refused_http(settings.BASE_URL),
        "portal_url": settings.BASE_URL, "placeholder": PLACEHOLDER,
    }  # fmt: skip
    answer = visit.show(request, "console/probe_enrol.html", context, fragment)
    if token:
        answer["Cache-Control"] = "no-store, private"
    return answer


def progress(row: Probe, at: datetime) -> dict[str, Any]:
    """How far is it: waiting for the token to be used, too late, enrolled, connected?"""
    ticket = OneTimeLink.objects.filter(purpose=remote.PURPOSE, subject=f"probe:{row.pk}").order_by("-pk").first()
    found: dict[str, Any] = {"expires_at": ticket.expires_at if ticket else None, "left": ""}
    if ticket is not None and ticket.used_at is None and ticket.expires_at > at:
        seconds = int((ticket.expires_at - at).total_seconds())
        return found | {"step": "waiting", "left": f"{seconds // 60}:{seconds % 60:02}"}
    if row.revoked_at is not None or not row.public_key:
        return found | {"step": "late"}
    health = health_of(row, at)
    if health.code in ("never_seen", "silent") or (row.enrolled_at and row.last_seen_at and row.last_seen_at < row.enrolled_at):  # fmt: skip
        return found | {"step": "enrolled"}
    return found | {"step": "connected", "health": health}


def refused_http(url: str) -> bool:
    """Would a probe refuse this address? It speaks plain http with this very machine only."""
    try:
        link.check_url(url)
    except ValueError:
        return True
    return False


def here_only(url: str) -> bool:
    """Is the portal's address one that only this very machine reaches?"""
    return not refused_http(url) and urlsplit(url).scheme == "http"


def lines(token: str) -> list[dict[str, str]]:
    """What to paste, in order: the program, the key, the service."""
    program = f"sudo -u watchkeeper-probe env WATCHKEEPER_PROBE_HOME={DIRECTORY}/program watchkeeper-probe --data-dir {DIRECTORY}"  # fmt: skip
    found = [
        {
            "id": "file", "label": "1. The program, as one file",
            "text": "# In the portal's checkout; for the same platform and version of Python as the probe's machine:\nmake probe\nscp build/watchkeeper-probe root@PROBE:/usr/local/bin/watchkeeper-probe",
        },
        {
            "id": "pip", "label": "   … or by pip, from the portal's source",
            "text": "sudo python3 -m venv /opt/watchkeeper-probe\nsudo /opt/watchkeeper-probe/bin/pip install /path/to/watchkeeper\nsudo ln -sf /opt/watchkeeper-probe/bin/watchkeeper-probe /usr/local/bin/watchkeeper-probe",
        },
        {
            "id": "enrol", "label": "2. Its key, once",
            "text": f"sudo useradd --system --home-dir {DIRECTORY} watchkeeper-probe\nsudo install -d -o watchkeeper-probe -m 0700 {DIRECTORY}\n{program} enroll {settings.BASE_URL} {token}",
        },
    ]  # fmt: skip
    unit = unit_text()
    if unit:
        text = f"sudo tee /etc/systemd/system/watchkeeper-probe.service >/dev/null <<'UNIT'\n{unit}UNIT\nsudo systemctl daemon-reload\nsudo systemctl enable --now watchkeeper-probe"  # fmt: skip
        found.append({"id": "service", "label": "3. The service (systemd)", "text": text})
    found.append({"id": "hand", "label": "Or by hand, to try it", "text": f"watchkeeper-probe enroll {settings.BASE_URL} {token}\nwatchkeeper-probe run"})  # fmt: skip
    return found


@cache
def unit_text() -> str:
    """The unit as it stands in the checkout, without its comments; "" where the portal runs without one."""
    try:
        kept = [line for line in (Path(settings.BASE_DIR) / UNIT).read_text().splitlines() if not line.startswith("#")]
    except OSError:
        return ""
    return "\n".join(kept) + "\n"

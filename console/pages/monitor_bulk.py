"""How does a person add many monitors, or do one thing to many? First it is shown what will happen, then it happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from alerts.models import Alert
from console.pages import csv_cells, trash, visit
from console.pages.monitor_form import defaults_of
from console.pages.monitor_list import label_of
from monitors import bulk, checks, paste, places, rules, subjects
from monitors.models import Monitor
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, Service, Site
from portal.tenancy import WRITE, viewer_of

EXAMPLE = "https://shop.example.com/health\nwww.example.com\ndb.example.com:5432\n9.9.9.9"
# How errors of the domain are called in a pasted list.
COLUMN_OF = {"interval_seconds": "interval", "timeout_seconds": "timeout"}


# --- Many new ones -------------------------------------------------------------------------------------------------------
class PasteForm(forms.Form):
    """Whose they are, and the lines."""

    client = forms.ModelChoiceField(Client.objects.none(), empty_label=None)
    lines = forms.CharField(
        max_length=paste.LONGEST,
        strip=False,
        label="Addresses",
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "placeholder": EXAMPLE, "class": "mono"}),
        help_text="One a line: a URL or host name is watched as a website, <code>host:port</code> as a TCP port, an IP address is pinged. "
        f"Or CSV with a header, as <code>{','.join(paste.COLUMNS[:6])}</code>; also {', '.join(paste.COLUMNS[6:])} and "
        "<code>config.keyword</code> or any other setting. Several tags are separated by <code>;</code>. "
        f"At most {bulk.MOST} at a time.",
    )

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        clients = visit.clients_for(request, WRITE)
        self.fields["client"].queryset = clients  # type: ignore[attr-defined]


@dataclass(slots=True)
class Previewed:
    """A pasted line as it will be stored, or why it will not."""

    line: paste.Line
    monitor: Monitor
    kind: str
    target: str = ""
    errors: list[str] = field(default_factory=list)
    note: str = ""


@visit.page
def several(request: HttpRequest) -> HttpResponse:
    """`/monitors/several/?client=3`: paste, look, then create all at once. Nothing is stored before the second press."""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    if not visit.clients_for(request, WRITE).exists():
        messages.info(request, "Add a client first; the monitors will belong to it.")
        return redirect("client_add")
    form = PasteForm(
        request,
        request.POST if request.method == "POST" else None,
        initial={"client": visit.whole(request.GET.get("client"))},
    )
    rows: list[Previewed] = []
    if form.is_bound and form.is_valid():
        client = form.cleaned_data["client"]
        visit.require(request, WRITE, client.pk)
        rows = preview(request, client, form.cleaned_data["lines"])
        if not rows:
            form.add_error("lines", "There is no address in it; paste one a line.")
        elif len(rows) > bulk.MOST:
            form.add_error("lines", f"At most {bulk.MOST} at a time; these are {len(rows)}. Paste the rest afterwards.")
            rows = []
        elif "create" in request.POST and not any(row.errors for row in rows):
            try:
                return created(request, client, rows)
            except ValidationError as error:  # something changed since it was looked at
                at_lines(rows, error)
    bad = sum(bool(row.errors) for row in rows)
    context = {
        "form": form,
        "rows": rows,
        "bad": bad,
        "bad_rows": [row for row in rows if row.errors],
        "ready": bool(rows) and not bad and not form.errors,
        "cancel_url": reverse("monitors"),
    }
    return visit.show(request, "console/monitor_several.html", context, status=400 if form.errors or bad else 200)


def preview(request: HttpRequest, client: Client, text: str) -> list[Previewed]:
    """Each line judged as the door will judge it; nothing is stored."""
    lines = paste.read(csv_cells.unguarded(text))
    if len(lines) > bulk.MOST:
        return [Previewed(line, Monitor(), "") for line in lines]
    sites = {s.name.lower(): s for s in Site.objects.for_user(request).filter(client=client)}
    services = {s.name.lower(): s for s in Service.objects.for_user(request).filter(client=client)}
    known = {(m.kind, subjects.target_of(m)): m.name for m in Monitor.objects.for_user(request).filter(client=client)}
    staff, rows = bool(viewer_of(request).msp_role), []
    for line in lines:
        row = Previewed(line, Monitor(client=client, trusted=staff), "", errors=list(line.errors))
        if line.values:
            row.monitor = draft(line, client, sites, services, row.errors)
            row.monitor.trusted = staff
            row.kind = label_of(row.monitor.kind)
            row.errors += judged(row.monitor)
            row.target = subjects.target_of(row.monitor) if not row.errors else line.text
            same = known.get((row.monitor.kind, row.target)) if not row.errors else None
            if same:
                row.note = f"{client.name} watches this already ({same})."
            known.setdefault((row.monitor.kind, row.target), f"line {line.number}")
        rows.append(row)
    return rows


def draft(
    line: paste.Line, client: Client, sites: dict[str, Site], services: dict[str, Service], errors: list[str]
) -> Monitor:
    """The monitor that a line means, unsaved."""
    kind = line.values["kind"]
    values = {**(defaults_of(kind) if kind in checks.KINDS else {}), **line.values, "config": {**line.values["config"]}}
    values.setdefault("timeout_seconds", min(10.0, float(values.get("interval_seconds", 60)) or 10.0))
    m = Monitor(client=client, **values)
    for word, known, wanted in (("site", sites, line.site), ("service", services, line.service)):
        row = known.get(wanted.lower()) if wanted else None
        if wanted and row is None:
            errors.append(f"{word}: {client.name} has no {word} “{wanted[:60]}”; add it first, or leave it empty.")
        setattr(m, word, row)
    return m


def judged(m: Monitor) -> list[str]:
    """What the door would complain about, with the column each is about."""
    try:
        rules.judge(m)
    except ValidationError as error:
        return sentences(error.message_dict if hasattr(error, "error_dict") else {"__all__": error.messages}, m.kind)
    finally:
        m.slug = ""  # a job's slug is found when it is stored: another line may have taken this one by then
    return []


def sentences(found: dict[str, list[str]], kind: str) -> list[str]:
    """`config.url` as `url`, and without a name what is about the whole."""
    main = checks.KINDS[kind].main_field if kind in checks.KINDS else "url"
    said = []
    for name, texts in found.items():
        own = f"{name}.".startswith(f"config.{main}.")  # also `config.monitor_ids.1`
        word = "url" if own else COLUMN_OF.get(name, name)
        said += [text if name == "__all__" else f"{word}: {text}" for text in texts]
    return said


def created(request: HttpRequest, client: Client, rows: list[Previewed]) -> HttpResponse:
    """All of them in one transaction. ValidationError names the draft."""
    made = bulk.create_all(
        [bulk.Draft(row.monitor, row.line.tags) for row in rows],
        by=Actor.of(request),
        at=database_now(),
        trusted=bool(viewer_of(request).msp_role),
    )
    n = len(made)
    messages.success(request, f"{n} {'monitor is' if n == 1 else 'monitors are'} watched from now on.")
    return redirect(f"{reverse('monitors')}?{urlencode({'client': client.pk})}")


def at_lines(rows: list[Previewed], error: ValidationError) -> None:
    """`0.config.url` to the first line."""
    for key, said in error.message_dict.items() if hasattr(error, "error_dict") else ():
        number, _, name = key.partition(".")
        if number.isdigit() and int(number) < len(rows):
            rows[int(number)].errors += sentences({name: said}, rows[int(number)].monitor.kind)


# --- One thing to many ---------------------------------------------------------------------------------------------------
class TagForm(forms.Form):
    """Which tags."""

    tags = forms.CharField(max_length=500, help_text="Separated by commas.")

    def __init__(self, request: HttpRequest, monitors: list[Monitor], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def clean_tags(self) -> list[str]:
        words = [word.strip() for word in self.cleaned_data["tags"].split(",") if word.strip()]
        if not words or any(len(word) > 50 for word in words):
            raise ValidationError("Name at least one tag, each of 50 characters at most.")
        return words

    def wish(self) -> bulk.Wish:
        """For the door."""
        return bulk.Wish(tags=self.cleaned_data["tags"])


class MoveForm(forms.Form):
    """Where to: a site, a service, or out of them."""

    STAY, OUT = "", "none"
    site = forms.ChoiceField(required=False)
    service = forms.ChoiceField(required=False)

    def __init__(self, request: HttpRequest, monitors: list[Monitor], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        clients = {m.client_id for m in monitors}
        self.rows: dict[str, dict[str, Any]] = {}
        for name, model in (("site", Site), ("service", Service)):
            rows = model.objects.for_user(request).filter(client__in=clients).select_related("client")  # type: ignore[attr-defined]
            self.rows[name] = {str(r.pk): r for r in rows.order_by("client__name", "name")}
            label = {
                pk: r.name if len(clients) == 1 else f"{r.client.name} · {r.name}" for pk, r in self.rows[name].items()
            }
            fields[name].choices = [(self.STAY, "Leave as it is"), (self.OUT, f"In no {name}"), *label.items()]
            if len(clients) > 1:
                fields[name].help_text = "Monitors of other clients stay where they are."

    def clean(self) -> dict[str, Any]:
        if not self.errors and not any(self.cleaned_data.values()):
            raise ValidationError("Choose a site or a service.")
        return self.cleaned_data

    def wish(self) -> bulk.Wish:
        """For the door."""
        return bulk.Wish(
            place={name: self.rows[name].get(value) for name, value in self.cleaned_data.items() if value != self.STAY}
        )


class DeleteForm(forms.Form):
    """Nothing to ask: the page names what goes."""

    def __init__(self, request: HttpRequest, monitors: list[Monitor], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def wish(self) -> bulk.Wish:
        """For the door."""
        return bulk.Wish()


class WatchForm(forms.Form):
    """From where: places by slug, or any k of a tag."""

    places = forms.CharField(
        max_length=300,
        label="Places",
        help_text="Slugs, as berlin; paris, or any of a tag, as 3 of eu.",
    )

    def __init__(self, request: HttpRequest, monitors: list[Monitor], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def clean_places(self) -> dict[str, Any]:
        try:
            return places.check_rule(places.rule_of(self.cleaned_data["places"]))
        except ValidationError as error:
            raise ValidationError(error.messages) from None

    def wish(self) -> bulk.Wish:
        """For the door."""
        return bulk.Wish(rule=self.cleaned_data["places"])


ASKED: dict[str, tuple[type[Any], str, str]] = {
    "tag": (TagForm, "Add tags to {}", "Add the tags"),
    "untag": (TagForm, "Remove tags from {}", "Remove the tags"),
    "move": (MoveForm, "Move {}", "Move"),
    "watch_from": (WatchForm, "Watch {} from", "Watch from there"),
    "delete": (DeleteForm, "Delete {}?", "Delete {}"),
}


@visit.page
def act(request: HttpRequest) -> HttpResponse:
    """`POST /monitors/act/` with `action` and `ids`: at once, or (tags, move, delete) after a page that asks and lists them."""
    where = visit.back(request, reverse("monitors"))
    action = request.POST.get("action", "")
    if not visit.pressed(request) or action not in bulk.ACTIONS:
        return redirect(where)
    ids = list(dict.fromkeys(pk for text in request.POST.getlist("ids") if (pk := visit.whole(text))))
    if not 1 <= len(ids) <= bulk.MOST:
        sentence = f"At most {bulk.MOST} at a time." if ids else "Choose at least one monitor first."
        messages.error(request, sentence)
        return redirect(where)
    monitors = list(
        Monitor.objects.for_user(request).filter(pk__in=ids).select_related("client", "site").order_by("name", "pk")
    )
    wish = bulk.Wish()
    if action in ASKED:
        cls, title, submit = ASKED[action]
        form = cls(request, monitors, request.POST if "confirmed" in request.POST else None)
        if not form.is_bound or not form.is_valid():
            return asked(request, action, monitors, form, title, submit, where)
        wish = form.wish()
    outcome = bulk.act(
        action, monitors, wish, viewer=viewer_of(request), by=Actor.of(request), at=database_now()
    )  # fmt: skip
    gone = len(ids) - len(monitors)
    said = outcome.said(bulk.DONE[action]) + (f" {gone} {'is' if gone == 1 else 'are'} gone already." if gone else "")
    if action == "delete" and outcome.done:
        one = trash.undo(outcome.done[0]) if len(outcome.done) == 1 and not (outcome.refused or gone) else None
        said = one or format_html("{} {}", said, trash.undo_several())
    level = messages.SUCCESS if not (outcome.refused or gone) else messages.WARNING if outcome.done else messages.ERROR
    messages.add_message(request, level, said)
    return redirect(where)


def asked(
    request: HttpRequest, action: str, monitors: list[Monitor], form: Any, title: str, submit: str, where: str
) -> HttpResponse:
    """The page between the choice and the deed: which monitors, what is still to say, what follows."""
    viewer = viewer_of(request)
    count = f"{len(monitors)} {'monitor' if len(monitors) == 1 else 'monitors'}"
    context: dict[str, Any] = {
        "form": form,
        "action": action,
        "title": title.format(count),
        "submit": submit.format(count),
        "rows": [{"monitor": m, "kind": label_of(m.kind), "may": viewer.may(WRITE, m.client_id)} for m in monitors],
        "ids": [m.pk for m in monitors],
        "next": where,
    }
    if action == "delete":
        ids = [m.pk for m in monitors]
        context["open_alerts"] = (
            Alert.objects.for_user(viewer)
            .filter(resolved_at=None, entity_type="monitor", entity_id__in=[str(pk) for pk in ids])
            .count()
        )
        context["children"] = Monitor.objects.for_user(viewer).filter(parent__in=ids).exclude(pk__in=ids).count()
    return visit.show(request, "console/monitor_act.html", context, status=400 if form.errors else 200)

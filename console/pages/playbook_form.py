"""How is a playbook made or changed by a person, also without JavaScript? One form; steps are added by buttons.

A press of a button that is not "Save" gives the same form back with a step more, less or elsewhere, and stores nothing.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse

from console import settings_form
from console.pages import visit
from playbooks import engine, proposing, services, step_settings
from playbooks import steps as kinds
from playbooks.models import Playbook, Step
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, User
from portal.tenancy import WRITE, viewer_of

EVENTS = ("monitor.down", "monitor.degraded", "heartbeat.missed", "heartbeat.failed", "ssl.expired", "ssl.invalid", "container.down", "container.restart_loop", "container.health_unhealthy", "resource.disk_threshold")  # fmt: skip
LAYER_WORDS = {"client_network": "client's network"}


class PlaybookForm(forms.Form):
    """What it is, when it acts, behind which gates, who has to agree."""

    client = forms.ModelChoiceField(Client.objects.none(), required=False, empty_label="Ours, for all clients", help_text="Set: only alerts of this client.")  # fmt: skip
    name = forms.CharField(max_length=120)
    notes = forms.CharField(
        required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 2}), help_text="What it is for; Markdown."
    )
    events = forms.MultipleChoiceField(
        choices=[(e, e) for e in EVENTS],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked: any.",
    )
    scopes = forms.CharField(
        required=False,
        max_length=1000,
        help_text="endpoint:7, site:2, service:5 …; separated by commas, one is enough.",
    )
    tags = forms.CharField(
        required=False, max_length=1000, help_text="Of the monitor, its site or its client; separated by commas."
    )
    verdict_layers = forms.MultipleChoiceField(
        choices=[(w, LAYER_WORDS.get(w, w)) for w in engine.LAYERS], required=False, widget=forms.CheckboxSelectMultiple, label="Acts when the cause lies in",
        help_text="None ticked: any but transit, probe and unknown. Tick one of those only if this repair helps there.",
    )  # fmt: skip
    min_confidence = forms.FloatField(
        min_value=0, max_value=1, initial=0.8, label="Verdict at least so sure", help_text="From 0 to 1."
    )
    quorum = forms.IntegerField(
        min_value=1,
        max_value=100,
        initial=2,
        label="Regions that have to agree",
        help_text="Distinct networks of healthy probes; never fewer when some are away.",
    )
    cooldown_seconds = forms.IntegerField(
        min_value=0,
        max_value=7 * 86400,
        initial=900,
        label="Cooldown, seconds",
        help_text="After acting it waits so long; what comes sooner goes to people.",
    )
    hourly_cap = forms.IntegerField(min_value=1, max_value=60, initial=3, label="Runs an hour at most")
    target_hourly_cap = forms.IntegerField(
        min_value=1,
        max_value=60,
        initial=3,
        label="Runs an hour on one target at most",
        help_text="Over all playbooks.",
    )
    blast_radius = forms.IntegerField(
        min_value=1,
        max_value=10_000,
        initial=10,
        label="Monitors down at most",
        help_text="With more of the client's monitors down it keeps its hands off.",
    )
    approvers = forms.ModelMultipleChoiceField(
        User.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None ticked: every owner and staff member.",
    )
    approvals_required = forms.IntegerField(min_value=1, max_value=10, initial=1, label="How many of them")
    approval_minutes = forms.IntegerField(min_value=1, max_value=1440, initial=30, label="Minutes to decide")
    verify_within_seconds = forms.IntegerField(
        min_value=5, max_value=3600, initial=120, label="Well again within, seconds"
    )
    undo_on_failure = forms.BooleanField(
        required=False, initial=True, label="If it did not help, undo what can be undone"
    )
    trusted_after = forms.IntegerField(
        min_value=1, max_value=100, initial=3, label="Offer the next mode after", help_text="Verified runs in a row."
    )
    HEAD = ("client", "name", "notes")
    WHEN = ("events", "tags", "scopes")
    GATES = (
        "verdict_layers",
        "min_confidence",
        "quorum",
        "cooldown_seconds",
        "hourly_cap",
        "target_hourly_cap",
        "blast_radius",
    )
    PEOPLE = ("approvers", "approvals_required", "approval_minutes")
    AFTER = ("verify_within_seconds", "undo_on_failure", "trusted_after")

    def __init__(self, request: HttpRequest, row: Playbook | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["client"].queryset = visit.clients_for(request, WRITE)
        staff = bool(viewer_of(request).msp_role)
        client = row.client_id if row is not None else None
        if row is None and not staff:
            fields["client"].required, fields["client"].empty_label = True, None
            client = next(iter(viewer_of(request).client_ids), None)
        fields["approvers"].queryset = self._people(request, client, staff)
        if row is not None:
            del fields["client"]

    @staticmethod
    def _people(request: HttpRequest, client: int | None, staff: bool) -> Any:
        """Whom this visitor may name: staff see everybody who may approve, clients their own people."""
        if not staff:
            return (
                proposing.able_to_approve(client)
                .filter(memberships__client__in=viewer_of(request).client_ids)
                .distinct()
            )
        return (
            proposing.able_to_approve(client)
            if client
            else User.objects.filter(is_active=True, memberships__isnull=False).distinct().order_by("email")
        )

    def part(self, names: tuple[str, ...]) -> list[forms.BoundField]:
        """Some of its fields."""
        return [self[name] for name in names if name in self.fields]

    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        """After the steps: headings and their fields."""
        return [
            ("Gates", self.part(self.GATES)),
            ("Who has to agree", self.part(self.PEOPLE)),
            ("Afterwards", self.part(self.AFTER)),
        ]

    def head(self) -> list[forms.BoundField]:
        """What it is."""
        return self.part(self.HEAD)

    def when(self) -> list[forms.BoundField]:
        """Which alerts it answers."""
        return self.part(self.WHEN)

    def values(self) -> dict[str, Any]:
        """As the service takes them."""
        given = dict(self.cleaned_data)
        words = {name: [w.strip() for w in given[name].split(",") if w.strip()] for name in ("scopes", "tags")}
        return {**given, **words}


class StepForm(forms.Form):
    """One step: its kind, and that kind's settings."""

    kind = forms.CharField(widget=forms.HiddenInput)
    id = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, kind: str, row: Step | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row, self.schema = row, kinds.schemas()[kind]
        self.label = kinds.KINDS[kind].label
        shown = step_settings.shown(row) if row is not None and row.kind == kind else {}
        self.stored = frozenset(shown)
        kept = frozenset(step_settings.opened(row)) if row is not None and row.kind == kind else frozenset()
        self.fields.update(settings_form.fields_of(self.schema, shown, kept))
        self.initial.setdefault("kind", kind)
        self.initial.setdefault("id", row.pk if row is not None else None)

    def shown_fields(self) -> list[forms.BoundField]:
        """What is typed."""
        return [self[name] for name in self.fields if name not in ("kind", "id")]

    def step(self) -> dict[str, Any]:
        """As the service takes it."""
        return {
            "kind": self.cleaned_data["kind"],
            "id": self.cleaned_data.get("id"),
            "config": settings_form.typed(self.schema, self.cleaned_data, self.stored),
        }


# --- The page -----------------------------------------------------------------------------------------------------------
@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/playbooks/add/?client=3`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    return _worked(request, None)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/playbooks/1/edit/`"""
    row = visit.found(Playbook.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, row)
    return _worked(request, row)


def _worked(request: HttpRequest, row: Playbook | None) -> HttpResponse:
    stored = {s.pk: s for s in row.steps.order_by("order")} if row is not None else {}
    wish = request.POST.get("do", "save") or "save"
    if request.method == "POST":
        order = typed(request.POST, stored)
        if wish == "save":
            head = PlaybookForm(request, row, request.POST)
            steps = [StepForm(kind, before, request.POST, prefix=f"step{n}") for n, kind, before in order]
            saved = _save(request, row, head, steps)
            if saved is not None:
                messages.success(
                    request,
                    f"{saved.name} was saved."
                    + ("" if row else " It begins in dry run: it only says what it would do."),
                )
                return redirect("playbook", saved.pk)
            return _page(request, row, head, steps, status=400)
        head = PlaybookForm(request, row, initial=_kept(request.POST))
        steps = [
            StepForm(kind, before, initial=_as_typed(request.POST, f"step{old}-"), prefix=f"step{n}")
            for n, (old, kind, before) in enumerate(pressed(order, wish))
        ]
        return _page(request, row, head, steps)
    if row is not None:
        return _page(
            request,
            row,
            PlaybookForm(request, row, initial=_stored(row)),
            [StepForm(s.kind, s, prefix=f"step{n}") for n, s in enumerate(stored.values())],
        )
    return _page(
        request,
        None,
        PlaybookForm(
            request, None, initial={"client": visit.whole(request.GET.get("client")), "events": ["monitor.down"]}
        ),
        [],
    )


Typed = tuple[int, str, Step | None]


def typed(data: QueryDict, stored: dict[int, Step]) -> list[Typed]:
    """(number in the form, kind, stored row) of each step of a sent form; unknown kinds are left out."""
    count = min(visit.whole(data.get("steps")) or 0, services.MOST_STEPS)
    rows = [
        (n, data.get(f"step{n}-kind", ""), stored.get(visit.whole(data.get(f"step{n}-id")) or 0)) for n in range(count)
    ]
    return [r for r in rows if r[1] in kinds.KINDS]


def pressed(order: list[Typed], wish: str) -> list[Typed]:
    """What a button other than "Save" does: `add:wait`, `remove:1`, `up:2`."""
    verb, _, what = wish.partition(":")
    place = visit.whole(what)
    if verb == "add" and what in kinds.KINDS and len(order) < services.MOST_STEPS:
        return [*order, (-1, what, None)]
    if verb == "remove" and place is not None:
        return [r for n, r in enumerate(order) if n != place]
    if verb == "up" and place is not None and 0 < place < len(order):
        return [*order[: place - 1], order[place], order[place - 1], *order[place + 1 :]]
    return order


def _as_typed(data: QueryDict, prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): data.getlist(name)[-1] for name in data if name.startswith(prefix)}


def _kept(data: QueryDict) -> dict[str, Any]:
    return {**data.dict(), **{name: data.getlist(name) for name in ("events", "verdict_layers", "approvers")}}


def _stored(row: Playbook) -> dict[str, Any]:
    lists = {name: ", ".join(getattr(row, name)) for name in ("scopes", "tags")}
    return {
        **{name: getattr(row, name) for name in services.EDITABLE},
        **lists,
        "approvers": list(row.approvers.values_list("pk", flat=True)),
    }


def _page(
    request: HttpRequest, row: Playbook | None, head: PlaybookForm, steps: list[StepForm], *, status: int = 200
) -> HttpResponse:
    context = {
        "row": row, "form": head, "steps": steps, "kinds": kinds.choices(), "more": len(steps) < services.MOST_STEPS,
        "wrong": sum(len(form.errors) for form in (head, *steps)), "cancel_url": reverse("playbook", args=[row.pk]) if row else reverse("playbooks"),
    }  # fmt: skip
    return render(request, "console/playbook_form.html", context, status=status)


def _save(request: HttpRequest, row: Playbook | None, head: PlaybookForm, steps: list[StepForm]) -> Playbook | None:
    """The saved playbook, or None with the complaints at the fields."""
    if not all([head.is_valid(), *(form.is_valid() for form in steps)]):
        return None
    values = head.values()
    if row is None:
        visit.require(request, WRITE, values["client"].pk if values.get("client") else None)
    chosen = list(values.pop("approvers"))
    if row is not None:  # whom the visitor cannot see was not unticked
        field: Any = head.fields["approvers"]
        chosen += list(row.approvers.exclude(pk__in=field.queryset.values("pk")))
    try:
        return services.save_playbook(
            row,
            by=Actor.of(request),
            at=database_now(),
            steps=[s.step() for s in steps],
            approvers=chosen,
            **values,
        )
    except ValidationError as error:
        _complain(head, steps, error)
        return None


def _complain(head: PlaybookForm, steps: list[StepForm], error: ValidationError) -> None:
    """Complaints at `steps.0.config.server` go to that step's field, the rest to the head."""
    rest: dict[str, list[str]] = {}
    for name, sentences in (
        error.message_dict if hasattr(error, "error_dict") else {"__all__": error.messages}
    ).items():
        first, _, tail = name.partition(".")
        number, _, key = tail.partition(".")
        place = visit.whole(number)
        if first == "steps" and place is not None and place < len(steps):
            field = settings_form.PREFIX + key.removeprefix("config.").partition(".")[0]
            for sentence in sentences:
                steps[place].add_error(field if field in steps[place].fields else None, sentence)
        else:
            rest["approvers" if name == "approver_ids" else "__all__" if name == "steps" else name] = sentences
    if rest:
        visit.spread_errors(head, ValidationError(rest))

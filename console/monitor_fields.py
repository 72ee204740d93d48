"""What can be typed about a monitor? The columns that all kinds share, and the settings of one kind from its schema."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.db.models import Q
from django.http import HttpRequest, QueryDict

from console import settings_form
from console.pages import visit
from console.where_fields import FIELDS, WhereFields
from monitors import checks, services
from monitors.models import Monitor, MonitorTemplate
from portal.models import Client, Service, Site
from portal.secrets import MASK
from portal.tenancy import WRITE

MOST_ROWS = 500
SCHEDULE = (
    "interval_seconds",
    "timeout_seconds",
    "confirmation_count",
    "confirmation_seconds",
    "recovery_count",
    "recovery_seconds",
    "degraded_latency_ms",
    "degraded_loss_percent",
    "severity",
)
PLACE = ("template", "site", "service", "parent", "tags", "runbook_url", "notes")


WHERE = "Watched from"


class MonitorForm(WhereFields, forms.ModelForm):
    """The columns that all kinds share, and the settings of one kind from its schema."""

    tags = forms.CharField(
        required=False, max_length=500, help_text="Separated by commas. Triggers and lists filter by them."
    )
    runbook_url = forms.URLField(
        assume_scheme="https",
        required=False,
        max_length=500,
        label="Runbook",
        help_text="What to do when it fails; linked from every alert.",
    )

    class Meta:
        model = Monitor
        fields = [
            "client", "name", "site", "service", "interval_seconds", "timeout_seconds", "quorum", "confirmation_count", "confirmation_seconds", "recovery_count",
            "recovery_seconds", "degraded_latency_ms", "degraded_loss_percent", "severity", "parent", "template", "runbook_url", "notes",
        ]  # fmt: skip
        labels = {
            "interval_seconds": "Check every (s)", "timeout_seconds": "Time to answer (s)", "confirmation_count": "Failed checks before it is down",
            "confirmation_seconds": "and failing for (s)", "recovery_count": "Good checks before it is up", "recovery_seconds": "and well for (s)",
            "degraded_latency_ms": "Degraded when slower than (ms)", "degraded_loss_percent": "Degraded when more is lost than (%)", "quorum": "Places that must agree",
            "severity": "Severity when down", "parent": "Depends on", "template": "Follows the template", "runbook_url": "Runbook",
        }  # fmt: skip
        help_texts = {
            "runbook_url": "What to do when it fails; linked from every alert.",
            "interval_seconds": "5 to 86400.",
            "template": "When it changes, this monitor is offered the change.",
        }
        widgets = {"notes": forms.Textarea(attrs={"rows": 2})}

    def __init__(
        self,
        request: HttpRequest,
        monitor: Monitor,
        data: QueryDict | None = None,
        *,
        initial: dict[str, Any] | None = None,
        asked: frozenset[str] = frozenset(),
    ) -> None:
        """`asked`: secrets that the monitor it was copied from has; they are not copied, but shown first to be typed again."""
        super().__init__(data, instance=monitor, initial=initial)
        self.request, self.kind = request, checks.KINDS[monitor.kind]
        fields: Any = self.fields
        clients = visit.clients_for(request, WRITE)
        client = self._client(clients)
        fields["client"].queryset, fields["client"].empty_label = clients, None
        if monitor.pk or not clients.exists():  # the very first monitor brings its client
            del fields["client"]
        fields["name"].required = False
        fields["name"].help_text = "Empty: its host."
        self._rows_of(client)
        self._templates(client)
        self.offer_places(client)
        if self.kind.passive:
            for name in ("timeout_seconds", "degraded_latency_ms", "degraded_loss_percent", *FIELDS):
                fields.pop(name, None)
        self.schema = checks.schemas()[monitor.kind]
        opened = monitor.secrets.open() or {}
        # Of a secret map (headers) the names may be seen; their values are masked, as every secret.
        masked = {name: dict.fromkeys(value, MASK) for name, value in opened.items() if isinstance(value, dict)}
        self.stored, self.hidden = {**monitor.config, **masked}, dict(opened)
        fields.update(settings_form.fields_of(self.schema, self.stored, frozenset(opened), rows=self._choices(client)))
        self.shown_first = settings_form.leading(self.schema, self.kind.main_field)
        for name in (settings_form.PREFIX + n for n in sorted(asked)):
            if name in fields:
                fields[name].help_text = "Not copied. Type it again, or leave it empty to go without."
                self.shown_first += [name] if name not in self.shown_first else []

    def _client(self, clients: Any) -> Client | None:
        if self.instance.pk:
            return self.instance.client
        wish = self.data.get("client") or self.initial.get("client")
        found = clients.filter(pk=visit.whole(str(wish)) or 0).first() if wish else None
        if found is None:
            rows = list(clients[:2])
            found = rows[0] if len(rows) == 1 else None
            self.initial.setdefault("client", found)
        return found

    def _rows_of(self, client: Client | None) -> None:
        """Sites, services and parents of that client only; without any there is nothing to choose."""
        fields: Any = self.fields
        for name, model in (("site", Site), ("service", Service), ("parent", Monitor)):
            rows = model.objects.for_user(self.request).filter(client=client) if client else model.objects.none()
            if name == "parent" and self.instance.pk:
                rows = rows.exclude(pk=self.instance.pk)
            if not rows.exists():
                del fields[name]
                continue
            fields[name].queryset, fields[name].empty_label = rows.order_by("name"), "None"

    def _templates(self, client: Client | None) -> None:
        """Templates of its kind, for every client or for this one. Who does not see the one it follows leaves it alone."""
        fields: Any = self.fields
        rows = MonitorTemplate.objects.for_user(self.request).filter(kind=self.instance.kind)
        rows = rows.filter(Q(client=None) | Q(client=client)) if client else rows.filter(client=None)
        self.templates = list(rows.order_by("name")[:MOST_ROWS])
        follows = self.instance.template_id
        if not self.templates or (follows is not None and follows not in {row.pk for row in self.templates}):
            del fields["template"]
            return
        fields["template"].queryset, fields["template"].empty_label = rows.order_by("name"), "None"

    def _choices(self, client: Client | None) -> dict[str, list[tuple[int, str]]]:
        if "monitor_ids" not in self.schema["properties"]:
            return {}
        rows = Monitor.objects.for_user(self.request).exclude(pk=self.instance.pk)
        rows = rows.filter(client=client) if client else rows.filter(client__in=visit.clients_for(self.request, WRITE))
        return {
            "monitor_ids": [
                (m.pk, f"{m.name}" if client else f"{m.client.name} · {m.name}")
                for m in rows.select_related("client").order_by("client__name", "name")[:MOST_ROWS]
            ]
        }

    def sections(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """(title, fields, is it folded): what matters first, the rest behind a click, open when something in it is wrong."""
        first = [n for n in ("client",) if n in self.fields] + self.shown_first + ["name"]
        rest = [n for n in self.fields if n.startswith(settings_form.PREFIX) and n not in first]
        groups = [
            ("", first, False),
            (f"More of {self.kind.label}", rest, True),
            (WHERE, list(FIELDS), self.seen().number < 2 and not self.instance.probe_rule),
            ("Schedule and thresholds", list(SCHEDULE), True),
            ("Where it belongs", list(PLACE), True),
        ]
        found = []
        for title, names, folded in groups:
            rows = [self[n] for n in names if n in self.fields]
            if rows:
                found.append((title, rows, folded and not any(f.errors for f in rows)))
        return found

    def settings(self) -> dict[str, Any]:
        """The kind's settings as they were typed, kept secrets included."""
        return settings_form.settings_from(self.schema, self.cleaned_data, self.stored, self.hidden)

    def wanted(self) -> Monitor:
        """The monitor as the form means it, unsaved. `monitor_of` is not touched until it is saved."""
        m: Monitor = self.instance
        given = self.settings()
        names = services.secret_names(m.kind)
        m.config, m.secrets = (
            {k: v for k, v in given.items() if k not in names},
            {k: v for k, v in given.items() if k in names},
        )
        if not m.name:
            m.name = name_for(m)
        return m

    def clean(self) -> dict[str, Any]:
        self.check_places(self.cleaned_data)
        return self.cleaned_data

    def _post_clean(self) -> None:
        """Fields to the instance; the whole is judged by `services.save`, once, with the kind's settings in place."""
        for name in self._meta.fields:
            if name in self.cleaned_data and name != "template":  # followed when all the rest is known
                setattr(self.instance, name, self.cleaned_data[name])


def name_for(m: Monitor) -> str:
    """A name for somebody who gave none: the host, else what is watched."""
    host = urlsplit(str(m.config.get("url", ""))).hostname or m.config.get("host") or m.config.get("name")
    return str(host or checks.KINDS[m.kind].label)[:120]


def field_named(name: str) -> str:
    """The form's field of a complaint: `config.url` and `config.headers.X` stand at `config_url`, `config_headers`."""
    if name == "probe_rule":
        return "probe_tags"
    return settings_form.PREFIX + name.split(".")[1] if name.startswith("config.") else name

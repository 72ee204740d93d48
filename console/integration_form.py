"""What does somebody fill in for an outside system: whose alerts, and where everything is found? And what do they paste there?"""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.http import HttpRequest, QueryDict

from alerts.api.inbound import MOST_BYTES
from alerts.facts import portal_url
from alerts.inbound import generic
from alerts.inbound.event import ACTIONS, SEVERITIES
from alerts.models import Integration
from console.pages import visit
from console.settings_form import Pairs
from portal.models import Client, Service, Site
from portal.tenancy import WRITE, viewer_of

MAPPING = "m_"


class Source(forms.CharField):
    """A path, a constant or a text with paths."""

    def __init__(self, example: str, **kwargs: Any) -> None:
        widget = forms.TextInput(
            attrs={"placeholder": example, "class": "mono", "spellcheck": "false", "autocapitalize": "off"}
        )
        super().__init__(**{"required": False, "max_length": generic.MOST_TEXT, "widget": widget, **kwargs})


class IntegrationForm(forms.Form):
    """Whose alerts these are, and, for any JSON, where everything is found. `body` is for trying; it is never stored."""

    client = forms.ModelChoiceField(
        Client.objects.none(), required=False, empty_label="Our own", help_text="Whose alerts these are."
    )
    name = forms.CharField(max_length=120, help_text="Alerts say it, as “NinjaOne of Acme”.")
    site = forms.ModelChoiceField(Site.objects.none(), required=False)
    service = forms.ModelChoiceField(Service.objects.none(), required=False)
    tags = forms.CharField(
        required=False, max_length=1000, help_text="Every alert from here carries them; separated by commas."
    )
    enabled = forms.BooleanField(required=False, initial=True)
    m_title = Source("$.alert.title", label="Title", required=True)
    m_message = Source("$.alert.text", label="Message")
    m_key = Source(
        "$.alert.id", label="Key", help_text="What names the problem: the same when it triggers and when it is over."
    )
    m_entity = Source("$.device.name", label="What it is about")
    m_action = Source("$.status", label="Action")
    m_action_values = Pairs(
        required=False, label="Action: value map", widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "placeholder": "RESET: resolve"}),
        help_text=f"Theirs: ours, one a line. Ours are {', '.join(ACTIONS)}.",
    )  # fmt: skip
    m_action_default = forms.ChoiceField(
        required=False, label="Action: otherwise", choices=[("", "as the words say"), *((a, a) for a in ACTIONS)]
    )
    m_severity = Source("$.priority", label="Severity")
    m_severity_values = Pairs(
        required=False, label="Severity: value map", widget=forms.Textarea(attrs={"rows": 3, "class": "mono", "placeholder": "P1: critical"}),
        help_text=f"Theirs: ours, one a line. Ours are {', '.join(SEVERITIES)}.",
    )  # fmt: skip
    m_severity_default = forms.ChoiceField(
        required=False, label="Severity: otherwise", choices=[("", "as the words say"), *((s, s) for s in SEVERITIES)]
    )
    m_link = Source("$.url", label="Link")
    m_tags = Source("$.groups", label="Tags", help_text="A list, or words with commas.")
    m_items = Source(
        "$.alerts",
        label="List of events",
        help_text="Only when one body holds several; the paths above then begin at each of them.",
    )
    body = forms.CharField(
        required=False, max_length=MOST_BYTES, label="A body to try", strip=True,
        widget=forms.Textarea(attrs={"rows": 12, "class": "mono", "spellcheck": "false", "form": "integration-form"}),
    )  # fmt: skip
    REST = ("site", "service", "tags")

    def __init__(
        self, request: HttpRequest, kind: str, row: Integration | None, data: QueryDict | None, initial: dict[str, Any]
    ) -> None:
        super().__init__(data, initial=initial)
        fields: Any = self.fields
        fields["client"].queryset = visit.clients_for(request, WRITE)
        if row:
            del fields["client"]
        elif not viewer_of(request).msp_role:
            fields["client"].required, fields["client"].empty_label = True, None
        for name, model in (("site", Site), ("service", Service)):
            rows = model.objects.for_user(request).select_related("client").order_by("client__name", "name")
            rows = rows.filter(client=row.client_id) if row else rows
            fields[name].queryset = rows
            if row is None:
                fields[name].label_from_instance = lambda r: f"{r.name} ({r.client.name})"
            if not rows.exists():
                del fields[name]
        if kind != Integration.Kind.GENERIC:
            for name in [n for n in fields if n.startswith(MAPPING)]:
                del fields[name]

    def sections(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """What matters first; the mapping open, the rest behind a click."""
        known = [n for n in self.fields if n != "body"]
        mapped = [self[n] for n in known if n.startswith(MAPPING)]
        rest = [self[n] for n in known if n in self.REST]
        first = [self[n] for n in known if n not in self.REST and not n.startswith(MAPPING)]
        return [
            ("", first, False),
            ("Where everything is found", mapped, False),
            ("Site, service, tags", rest, not any(f.errors for f in rest)),
        ]

    def values(self) -> dict[str, Any]:
        """As the service takes them."""
        given = self.cleaned_data
        values = {name: given[name] for name in ("client", "name", "site", "service", "enabled") if name in self.fields}
        values["tags"] = [t for t in given["tags"].split(",") if t.strip()]
        if "m_title" in self.fields:
            values["mapping"] = self.mapping()
        return values

    def mapping(self) -> dict[str, Any]:
        """What the fields say, as the mapping is stored."""
        given = self.cleaned_data
        found: dict[str, Any] = {name: given.get(MAPPING + name) for name in generic.PLAIN if given.get(MAPPING + name)}
        for name in generic.MAPPED:
            parts = {
                "path": given.get(MAPPING + name),
                "values": {theirs: ours.lower() for theirs, ours in (given.get(f"m_{name}_values") or {}).items()},
                "default": given.get(f"m_{name}_default"),
            }
            if parts := {key: value for key, value in parts.items() if value}:
                found[name] = parts
        return found


def as_initial(mapping: dict[str, Any]) -> dict[str, Any]:
    """A stored mapping as the form shows it."""
    initial = {MAPPING + name: mapping.get(name, "") for name in generic.PLAIN}
    for name in generic.MAPPED:
        spec = mapping.get(name) or {}
        initial |= {MAPPING + name: spec.get("path", ""), f"m_{name}_default": spec.get("default", "")}
        initial[f"m_{name}_values"] = "\n".join(f"{theirs}: {ours}" for theirs, ours in spec.get("values", {}).items())
    return initial


def field_named(name: str) -> str:
    """The form's field of a complaint about a mapping."""
    if not name.startswith("mapping."):
        return name
    return MAPPING + name.removeprefix("mapping.").replace(".", "_")


# --- Ready to paste -------------------------------------------------------------------------------------------------------
def snippets(kind: str, key: str) -> list[dict[str, str]]:
    """Lines for the tools that post here, with the key in its place."""
    events, enqueue = portal_url("/api/v1/events"), portal_url("/v2/enqueue")
    manager, any_json = portal_url("/api/v1/inbound/alertmanager"), portal_url("/api/v1/inbound/generic")
    payload = {"summary": "Disk is full", "source": "srv01", "severity": "critical"}
    found = {
        "events": [
            ("curl: it is broken", _curl(events, {"routing_key": key, "event_action": "trigger", "dedup_key": "srv01/disk", "payload": payload})),
            ("curl: it is over", _curl(events, {"routing_key": key, "event_action": "resolve", "dedup_key": "srv01/disk"})),
            ("Tools with a PagerDuty integration", f"Events API URL:   {enqueue}\nIntegration key:  {key}"),
        ],
        "alertmanager": [
            (
                "alertmanager.yml",
                f'route:\n  receiver: watchkeeper\nreceivers:\n  - name: watchkeeper\n    webhook_configs:\n      - url: "{manager}"\n        send_resolved: true\n'
                f"        http_config:\n          authorization:\n            credentials: {key}",
            ),
            ("Grafana: contact point of type Webhook", f"URL:          {manager}?key={key}\nHTTP method:  POST"),
            ("curl", _curl(f"{manager}?key={key}", {"version": "4", "alerts": [{"status": "firing", "labels": {"alertname": "Test", "severity": "warning"}}]})),
        ],
        "generic": [
            ("Webhook address", f"{any_json}?key={key}"),
            ("curl", f"curl -sS '{any_json}?key={key}' \\\n  -H 'Content-Type: application/json' -d @body.json"),
        ],
    }[kind]  # fmt: skip
    return [{"id": str(number), "label": label, "text": text} for number, (label, text) in enumerate(found)]


def _curl(url: str, body: dict[str, Any]) -> str:
    return f"curl -sS '{url}' \\\n  -H 'Content-Type: application/json' \\\n  -d '{json.dumps(body)}'"

"""How do the tests look at pages? As a browser without scripts: what a person reads, and what a form would send back."""

from __future__ import annotations

import re

from django.test import Client as Browser

from alerts.models import Trigger

LISTS = (
    "/",
    "/monitors/",
    "/probes/",
    "/sla/",
    "/alerts/",
    "/incidents/",
    "/deliveries/",
    "/channels/",
    "/triggers/",
    "/silences/",
    "/clients/",
    "/on-call/",
    "/integrations/",
    "/contacts/",
    "/contact-groups/",
    "/message-templates/",
    "/escalation-policies/",
    "/simulate/",
    "/maintenance/",
    "/monitor-templates/",
    "/status-pages/",
    "/playbooks/",
    "/runs/",
    "/approvals/",
)
FORMS = (
    "/monitors/add/",
    "/monitors/add/?kind=heartbeat",
    "/incidents/add/",
    "/silences/add/",
    "/channels/add/?type=webhook",
    "/triggers/add/",
    "/on-call/add/",
    "/contacts/add/",
    "/contact-groups/add/",
    "/contacts/several/",
    "/trash/",
    "/message-templates/add/",
    "/channels/add/",
    "/escalation-policies/add/",
    "/page-now/",
    "/services/add/",
    "/maintenance/add/",
    "/maintenance/requests/add/",
    "/monitors/several/",
    "/sites/add/",
    "/monitor-templates/add/",
    "/status-pages/add/",
    "/playbooks/add/",
    "/integrations/add/?kind=generic&sample=zabbix",
)


def browser(user=None) -> Browser:
    """Somebody signed in; CSRF is checked as it is for real people."""
    found = Browser()
    if user:
        found.force_login(user)
    return found


def text(answer) -> str:
    """What a person reads of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def own_pages(s) -> list[str]:
    """The pages of what is on the stage."""
    trigger = Trigger.objects.get(name=f"To {s.theirs.name} of {s.client}")
    return [
        f"/monitors/{s.down.pk}/", f"/monitors/{s.up.pk}/?window=7d", f"/monitors/{s.up.pk}/edit/", f"/monitors/{s.up.pk}/delete/", f"/alerts/{s.alert.pk}/",
        f"/incidents/{s.incident.pk}/", f"/channels/{s.theirs.pk}/", f"/channels/{s.theirs.pk}/delete/", f"/triggers/{trigger.pk}/", f"/triggers/{trigger.pk}/delete/", f"/clients/{s.client.pk}/",
    ]  # fmt: skip


def form_of(answer) -> dict[str, object]:
    """What a browser would send back of a page's bound form, untouched."""
    form, data = answer.context["form"], {}
    for field in form:
        value = field.value()
        if (
            value is None
            or value is False
            or value == ""
            or getattr(field.field.widget, "input_type", "") == "password"
        ):
            continue
        data[field.html_name] = (
            "on"
            if value is True
            else [str(getattr(v, "pk", v)) for v in value]
            if isinstance(value, list | tuple)
            else str(getattr(value, "pk", value))
        )
    return data

"""How would a script ask for what this page shows? The call of the API, ready to be pasted into a shell."""

from __future__ import annotations

import re
import shlex
from urllib.parse import parse_qsl, urlencode

from django.conf import settings

# the page's first part → the API's resource; a page of one object has its number behind it, as the API has
RESOURCES = {
    "monitors": "monitors", "alerts": "alerts", "incidents": "incidents", "deliveries": "deliveries", "channels": "channels", "contacts": "contacts",
    "contact-groups": "contact-groups", "triggers": "alert-triggers", "escalation-policies": "escalation-policies", "on-call": "on-call-schedules",
    "silences": "silence", "maintenance": "maintenance-windows", "status-pages": "status-pages", "playbooks": "playbooks", "runs": "playbook-runs",
    "probes": "probes", "clients": "clients", "services": "services", "integrations": "integrations", "message-templates": "message-templates",
    "monitor-templates": "monitor-templates", "diagnoses": "diagnoses",
}  # fmt: skip
PAGE = re.compile(r"/([a-z-]+)/(?:([0-9]{1,18})/)?")
SHARED = ("client", "limit")  # filters that pages and API spell alike


def line(path: str, query: str = "") -> str:
    """One line for a POSIX shell, with the token in $TOKEN; "" where the API shows nothing of the kind."""
    match = PAGE.fullmatch(path)
    resource = RESOURCES.get(match[1]) if match else None
    if match is None or resource is None:
        return ""
    asked = {k: v for k, v in parse_qsl(query[:2_000]) if k in SHARED and v} if not match[2] else {}
    address = f"{settings.BASE_URL}/api/v1/{resource}" + (f"/{match[2]}" if match[2] else "")
    return f'curl -H "Authorization: Bearer $TOKEN" {shlex.quote(address + (f"?{urlencode(asked)}" if asked else ""))}'

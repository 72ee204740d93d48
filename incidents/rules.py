"""How does a service open its incidents? One door to its rules, for API, pages and admin."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from incidents.models import ServiceRules
from portal import audit
from portal.audit import Actor
from portal.models import Service

LONGEST_MERGE_MINUTES = 7 * 24 * 60
FIELDS = ("creation", "merge_window_minutes", "default_severity", "auto_publish_page")


def rules_of(service: Service) -> ServiceRules:
    """A service's rules; unsaved defaults when nobody has set any."""
    return ServiceRules.objects.filter(service=service).first() or ServiceRules(service=service)


def set_rules(service: Service, *, by: Actor, **values: Any) -> ServiceRules:
    """Change the given ones of FIELDS. Raises ValidationError at the field."""
    with transaction.atomic():
        row = ServiceRules.objects.select_for_update().filter(service=service).first() or ServiceRules(service=service)
        before = {name: getattr(row, name) for name in values}
        for name, value in values.items():
            setattr(row, name, value)
        if row.merge_window_minutes is None or not 0 <= row.merge_window_minutes <= LONGEST_MERGE_MINUTES:
            raise ValidationError({"merge_window_minutes": f"From 0 to {LONGEST_MERGE_MINUTES} minutes (a week)."})
        row.full_clean(exclude=["service"])
        row.save()
        changed = {name for name in values if before[name] != values[name]}
        if changed:
            was, now = ({n: v[n] for n in sorted(changed)} for v in (before, values))
            audit.record("service.rules_changed", service, by=by, client_id=service.client_id, before=was, after=now)
        return row

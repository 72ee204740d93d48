"""How are outside systems' keys made, changed, renewed and removed? One door each, for pages, API and admin.

Each is one transaction with its audit entry. A key is returned once, by `create` and `rotate`; what is stored is its
hash, and neither stands in the audit log.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from alerts import report
from alerts.facts import portal_url
from alerts.inbound import generic, keys, taking
from alerts.inbound.event import MOST_TAG
from alerts.models import Alert, Integration
from portal import audit
from portal import services as ground
from portal.audit import Actor
from portal.clock import database_now

MOST_TAGS = 20
UNTOLD = frozenset({"key_hash", "last_event_at", "last_problem"})  # of no use, or not for a log


PLACES = {
    Integration.Kind.EVENTS: "/api/v1/events",
    Integration.Kind.ALERTMANAGER: "/api/v1/inbound/alertmanager",
    Integration.Kind.GENERIC: "/api/v1/inbound/generic",
}


def address(row: Integration) -> str:
    """Where this one is to post, without its key."""
    return portal_url(PLACES[Integration.Kind(row.kind)])


def create(*, by: Actor, **values: Any) -> tuple[Integration, str]:
    """A new integration and its key, which is shown once."""
    row = Integration(**_judged(None, values))
    plain = keys.give(row)
    with transaction.atomic():
        ground.clean(row)
        row.save(force_insert=True)
        audit.record("integration.created", row, by=by, client_id=row.client_id, after=_picture(row))
    return row, plain


def change(row: Integration, *, by: Actor, **values: Any) -> set[str]:
    """Change the given fields; the names of those that are different now."""
    values = _judged(row, values)
    with transaction.atomic():
        before = _picture(row)
        for name, value in values.items():
            setattr(row, name, value)
        ground.clean(row)
        if values:
            row.save(update_fields=list(values))
        after = _picture(row)
        changed = {name for name in after if after[name] != before[name]}
        if changed:
            audit.record(
                "integration.changed", row, by=by, client_id=row.client_id,
                before={n: before[n] for n in sorted(changed)}, after={n: after[n] for n in sorted(changed)},
            )  # fmt: skip
    return changed


def rotate(row: Integration, *, by: Actor) -> str:
    """A new key, shown once. The old one opens nothing from now on."""
    plain = keys.give(row)
    _save_key(row, "integration.key_rotated", by)
    return plain


def revoke(row: Integration, *, by: Actor) -> None:
    """Take the key away: nobody can post until there is a new one."""
    keys.take(row)
    _save_key(row, "integration.key_revoked", by)


def delete(row: Integration, *, by: Actor) -> None:
    """Delete it. Its open alerts are closed quietly: nobody is left who could say that they are over."""
    with transaction.atomic():
        open_ = Alert.objects.filter(
            source=taking.SOURCE, entity_type=taking.ENTITY_TYPE, entity_id__startswith=f"{row.pk}:", resolved_at=None
        )
        alerts = list(open_.order_by("pk").select_for_update())
        if alerts:
            report.close(alerts, at=database_now(), by=by, quiet=True)
        number, before = row.pk, _picture(row)
        row.delete()
        row.pk = number
        audit.record("integration.deleted", row, by=by, client_id=row.client_id, before=before)


def _save_key(row: Integration, action: str, by: Actor) -> None:
    with transaction.atomic():
        row.save(update_fields=["key_hash", "key_hint"])
        audit.record(action, row, by=by, client_id=row.client_id, after={"key_hint": row.key_hint})


def _picture(row: Integration) -> dict[str, Any]:
    return {name: value for name, value in ground.picture(row).items() if name not in UNTOLD}


def _judged(row: Integration | None, values: dict[str, Any]) -> dict[str, Any]:
    """The values in normal form. ValidationError by the body's dotted keys."""

    def now(name: str) -> Any:
        return values[name] if name in values else getattr(row, name, None)

    values, complaints = dict(values), dict[str, str]()
    values.pop("key_hash", None)
    if "name" in values or row is None:
        values["name"] = str(values.get("name", "")).strip()
        if not values["name"]:
            complaints["name"] = "Give the integration a name: alerts will say it."
    kind = now("kind") or Integration.Kind.EVENTS
    if kind not in Integration.Kind.values:
        complaints["kind"] = f"Choose one of {', '.join(Integration.Kind.values)}."
    client = now("client")
    for name in ("site", "service"):
        if (place := now(name)) is not None and place.client_id != (client.pk if client else None):
            complaints[name] = f"This {name} is not of the integration's client; choose one that is."
    if "tags" in values:
        values["tags"] = tags = list(dict.fromkeys(str(t).strip() for t in values["tags"] or () if str(t).strip()))
        if len(tags) > MOST_TAGS or any("," in t or len(t) > MOST_TAG for t in tags):
            complaints["tags"] = f"At most {MOST_TAGS} tags of {MOST_TAG} characters, without commas."
    if kind == Integration.Kind.GENERIC and ("mapping" in values or row is None):
        try:
            values["mapping"] = generic.settle(values.get("mapping") or {})
        except generic.Mistakes as error:
            complaints |= error.fields
    elif kind != Integration.Kind.GENERIC and values.get("mapping"):
        complaints["mapping"] = "Only “any JSON” is read by a mapping; leave it out here."
    if complaints:
        raise ValidationError(complaints)
    return values

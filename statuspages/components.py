"""By which names do readers know the parts of a service? The doors of components and their headings.

On a client's page only that client's monitors and services stand behind them; on a page of the MSP anybody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction

from portal import audit
from portal import services as ground
from portal.audit import Actor
from portal.errors import Refused
from statuspages import projection
from statuspages.models import Component, ComponentGroup, Page

MOST_COMPONENTS, MOST_GROUPS, MOST_MONITORS = 300, 60, 500


def save_group(page: Page, row: ComponentGroup | None, *, by: Actor, at: datetime, **values: Any) -> ComponentGroup:
    """Make (None) or change a heading: name, collapsed."""
    with transaction.atomic():
        if row is None:
            _room(page.groups, MOST_GROUPS, "groups")
            row = ground.create(ComponentGroup, by=by, page=page, order=_last(page.groups), **values)
        else:
            _of(page, row)
            ground.change(row, by=by, **values)
        projection.want([page.pk], at=at)
        return row


def delete_group(row: ComponentGroup, *, by: Actor, at: datetime) -> None:
    """Take the heading away; its components stay, without one."""
    with transaction.atomic():
        ground.delete(row, by=by)
        projection.want([row.page_id], at=at)


def save_component(
    page: Page, row: Component | None, *, by: Actor, at: datetime, monitors: Iterable[Any] | None = None, **values: Any
) -> Component:  # fmt: skip
    """Make (None) or change what readers know a part by: name, description, group, monitors, service, show_uptime."""
    with transaction.atomic():
        many = None if monitors is None else list({m.pk: m for m in monitors}.values())
        _within(page, values, many)
        if many is not None:
            values["monitors"] = many
        if row is None:
            _room(page.components, MOST_COMPONENTS, "components")
            row = ground.create(Component, by=by, page=page, order=_last(page.components), **values)
        else:
            _of(page, row)
            ground.change(row, by=by, **values)
        projection.want([page.pk], at=at)
        return row


def delete_component(row: Component, *, by: Actor, at: datetime) -> None:
    """Take it off the page, with its history there. Its monitors go on."""
    with transaction.atomic():
        ground.delete(row, by=by)
        projection.want([row.page_id], at=at)


def order(page: Page, kind: str, ids: Sequence[int], *, by: Actor, at: datetime) -> None:
    """Put `components` or `groups` into this order; those that are not named keep theirs, after them."""
    rows = page.components if kind == "components" else page.groups
    with transaction.atomic():
        before = list(rows.order_by("order", "pk").select_for_update())
        known = {r.pk: r for r in before}
        strange = [str(pk) for pk in ids if pk not in known]
        if strange:
            raise ValidationError({kind: [f"Not of this page: {', '.join(strange[:5])}."]})
        wanted = [known[pk] for pk in dict.fromkeys(ids)]
        wanted += [r for r in before if r.pk not in set(ids)]
        if wanted == before and all(r.order == n for n, r in enumerate(before)):
            return
        for number, r in enumerate(wanted):
            r.order = number
        rows.bulk_update(wanted, ["order"])
        audit.record(
            "page.ordered", page, by=by, client_id=page.client_id,
            before={kind: [r.pk for r in before]}, after={kind: [r.pk for r in wanted]},
        )  # fmt: skip
        projection.want([page.pk], at=at)


def set_override(
    component: Component, status: str, *, until: datetime | None = None, by: Actor, at: datetime
) -> Component:
    """Say by hand how it is, perhaps only for a time; "" goes back to what is measured."""
    if status not in Component.Override.values:
        known = ", ".join(v for v in Component.Override.values if v)
        raise ValidationError({"status": [f"{status[:30]!r} is none of: {known}; empty: as measured."]})
    if status and until is not None and until <= at:
        raise ValidationError({"until": ["This is past already; choose a later time or none."]})
    with transaction.atomic():
        row = Component.objects.select_for_update(of=("self",)).select_related("page").get(pk=component.pk)
        before = {"override": row.override, "override_until": row.override_until}
        row.override, row.override_until = status, until if status else None
        row.override_by = by.name[:200] if status else ""
        row.save(update_fields=["override", "override_until", "override_by"])
        after = {"override": row.override, "override_until": row.override_until}
        if before != after:
            audit.record("component.override", row, by=by, client_id=row.page.client_id, before=before, after=after)
        projection.want([row.page_id], at=at)
        return row


def _within(page: Page, values: dict[str, Any], monitors: list[Any] | None) -> None:
    """Group of this page; monitors and service of its client, when it is a client's."""
    complaints: dict[str, list[str]] = {}
    group, service = values.get("group"), values.get("service")
    if group is not None and group.page_id != page.pk:
        complaints["group"] = ["There is no such group on this page."]
    if page.client_id is not None:
        if service is not None and service.client_id != page.client_id:
            complaints["service_id"] = [f"There is no such service of {page.client}."]
        foreign = [str(m.pk) for m in monitors or () if m.client_id != page.client_id]
        if foreign:
            complaints["monitor_ids"] = [f"No such monitor of {page.client}: {', '.join(foreign[:10])}."]
    if monitors is not None and len(monitors) > MOST_MONITORS:
        complaints["monitor_ids"] = [f"At most {MOST_MONITORS} monitors; use a service instead."]
    if complaints:
        raise ValidationError(complaints)


def _room(rows: Any, most: int, what: str) -> None:
    if rows.count() >= most:
        raise Refused(f"A page has at most {most} {what}. Put several monitors into one, or make a second page.")


def _last(rows: Any) -> int:
    return (rows.aggregate(last=models.Max("order"))["last"] or 0) + 1


def _of(page: Page, row: Any) -> None:
    if row.page_id != page.pk:
        raise Refused("This belongs to another page.")

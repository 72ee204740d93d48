"""Whose row is this? The way from a row to its client, for the permission checks of pages, API and admin."""

from __future__ import annotations

from typing import Any

from django.db.models import Model

from portal.tenancy import tenant_path_of


def client_id_of(row: Model) -> int | None:
    """The id of the client that owns a row; None when it is the MSP's own, or its model is not tenant-scoped."""
    path = tenant_path_of(type(row))
    if path is None:
        return None
    if path == "pk":
        return row.pk
    *steps, last = path.split("__")
    owner: Any = row
    for step in steps:
        owner = getattr(owner, step)
        if owner is None:
            return None
    return _id(owner, last)


def client_id_from(model: type[Model], values: dict[str, Any]) -> int | None:
    """The client that a row made of `values` would belong to; None for the MSP's own and for clients themselves."""
    path = tenant_path_of(model)
    if path is None or path == "pk":
        return None
    first, _, rest = path.partition("__")
    owner = values.get(first)
    if owner is None:
        return None
    if not rest:
        return owner.pk if isinstance(owner, Model) else int(owner)
    return client_id_of(owner)


def _id(owner: Any, last: str) -> int | None:
    return getattr(owner, last if last.endswith("_id") else f"{last}_id")

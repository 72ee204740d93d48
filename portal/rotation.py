"""How do stored secrets get a new key? Each sealed value is sealed again with the first of ENCRYPTION_KEYS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.fernet import InvalidToken
from django.apps import apps
from django.db import models

from portal import audit, mfa
from portal.audit import Actor
from portal.secrets import SealedField


@dataclass
class Rotation:
    """How many were sealed anew, and where those stand that no key opens ("portal.client 3 slack_webhook")."""

    rotated: int = 0
    closed: list[str] = field(default_factory=list)


def sealed_fields() -> Iterator[tuple[type[models.Model], SealedField]]:
    """Every place where secrets are stored."""
    for model in apps.get_models():
        for column in model._meta.concrete_fields:
            if isinstance(column, SealedField):
                yield model, column


def rotate(*, by: Actor) -> Rotation:
    """Go through all of them. May be interrupted and run again; a value that changes meanwhile is left as it is then."""
    done = Rotation()
    for model, column in sealed_fields():
        rows = model._base_manager.exclude(**{column.name: ""})
        for pk, old in rows.values_list("pk", column.name).iterator(chunk_size=500):
            try:
                new = old.rotated()
            except InvalidToken:
                done.closed.append(f"{model._meta.label_lower} {pk} {column.name}")
                continue
            done.rotated += model._base_manager.filter(pk=pk, **{column.name: old}).update(**{column.name: new})
    resealed, closed = mfa.reseal()  # allauth keeps these in a column of its own
    done.rotated += resealed
    done.closed += closed
    audit.record("secrets.rotated", "secrets", by=by, after={"rotated": done.rotated, "closed": len(done.closed)})
    return done

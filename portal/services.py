"""How are clients and what belongs to them made, changed and deleted? `verb(subject, *, by, …)`, with the audit entry.

Pages, API and admin call these; nothing else writes these rows. Each is one transaction. Raises
django ValidationError (fields) for bad values and Refused for moves that the domain does not allow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.fields.related import ForeignKey

from portal import audit, leaving, signals, trash  # noqa: F401 - leaving describes how clients go
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Client, Contact, ContactGroup, Tag
from portal.models.trash import Trashable
from portal.ownership import client_id_of
from portal.secrets import MASK, Sealed

# What a person reads when a constraint says no: the field, and the sentence.
SENTENCES = {
    "one_client_per_name": ("name", "There is already a client of this name."),
    "one_client_per_slug": ("slug", "There is already a client with this slug."),
    "one_site_per_name_and_client": ("name", "This client already has a site of this name."),
    "one_service_per_name_and_client": ("name", "This client already has a service of this name."),
    "one_group_per_name_and_client": ("name", "There is already a group of this name."),
    "one_user_per_email": ("email", "Somebody with this address is already here."),
    "one_role_per_user_and_client": ("user", "This person already has a role here; change that one."),
    "one_msp_role_per_user": ("user", "This person already has a role here; change that one."),
    "role_fits_client": ("role", "Owner, staff and auditor go without a client; admin, approver and viewer need one."),
}


def create_client(*, by: Actor, name: str, tags: Iterable[str] = (), **values: Any) -> Client:
    """A new client. Its default trigger and the like are made by those who hear `client_created`."""
    with transaction.atomic():
        client = create(Client, by=by, name=name, tags=tags, **values)
        signals.client_created.send(Client, client=client, by=by)
    return client


def change_client(client: Client, *, by: Actor, **values: Any) -> Client:
    """Change the given fields."""
    with transaction.atomic():
        changed = change(client, by=by, **values)
        if changed:
            signals.client_changed.send(Client, client=client, changed=changed, by=by)
    return client


def delete_client(client: Client, *, by: Actor) -> None:
    """A client leaves: everything of it stops at once and is gone from sight; for 30 days it can come back as it was."""
    with transaction.atomic():
        # Recorded last: whoever holds the chain's head keeps others waiting, and what stops takes locks of its own.
        trash.put(client, by=by, at=database_now())
        audit.record("client.deleted", client, by=by, client_id=client.pk, before=picture(client))


def create(model: type[models.Model], *, by: Actor, tags: Iterable[str] | None = None, **values: Any) -> Any:
    """A new Site, Service, Contact …; lists (tags by name, contacts by row) are set too."""
    many = _take_lists(model, values)
    row = model(**values)
    with transaction.atomic():
        clean(row)
        _one_tenant(row, {**values, **many})
        row.save(force_insert=True)
        _set_lists(row, many, tags)
        after = picture(row)
        audit.record(f"{model._meta.model_name}.created", row, by=by, client_id=client_id_of(row), after=after)
    return row


def change(row: models.Model, *, by: Actor, tags: Iterable[str] | None = None, **values: Any) -> set[str]:
    """Change the given fields; the names of those that are different now. Nothing different: no audit entry."""
    many = _take_lists(type(row), values)
    with transaction.atomic():
        before = picture(row)
        sealed = {
            f.name: getattr(row, f.attname)
            for f in row._meta.concrete_fields
            if isinstance(getattr(row, f.attname), Sealed)
        }
        for name, value in values.items():
            setattr(row, name, value)
        clean(row)
        _one_tenant(row, {**values, **many})
        if values:
            row.save(update_fields=list(values))
        _set_lists(row, many, tags)
        after = picture(row)
        changed = {name for name in after if after[name] != before.get(name)}
        changed |= {name for name, old in sealed.items() if getattr(row, name) != old and name in values}
        if changed:
            audit.record(
                f"{row._meta.model_name}.changed", row, by=by, client_id=client_id_of(row),
                before={n: before.get(n) for n in sorted(changed)}, after={n: after.get(n) for n in sorted(changed)},
            )  # fmt: skip
    return changed


def delete(row: models.Model, *, by: Actor) -> None:
    """Put a row into the trash for 30 days, if its kind has one; else delete it and what hangs on it. Refused while something needs it."""
    if isinstance(row, Trashable):
        with transaction.atomic():
            audit.record(
                f"{row._meta.model_name}.deleted", row, by=by, client_id=client_id_of(row), before=picture(row)
            )
            trash.put(row, by=by, at=database_now())
        return
    forget(row, by=by)


def forget(row: models.Model, *, by: Actor) -> None:
    """Delete a row and what hangs on it, for good. Refused while something needs it."""
    with transaction.atomic():
        audit.record(f"{row._meta.model_name}.deleted", row, by=by, client_id=client_id_of(row), before=picture(row))
        try:
            row.delete()
        except (models.ProtectedError, models.RestrictedError) as error:
            held = getattr(error, "protected_objects", None) or getattr(error, "restricted_objects", ())
            kinds = sorted({str(o._meta.verbose_name) for o in held})
            raise Refused(f"“{row}” is still used by: {', '.join(kinds)}. Change or delete those first.") from None


def clean(row: models.Model) -> None:
    """Judge a row before it is saved. ValidationError names the field, also for constraints over several columns."""
    row.full_clean(validate_unique=True, validate_constraints=False)
    for constraint in row._meta.constraints:
        try:
            constraint.validate(type(row), row)
        except ValidationError as error:
            field, sentence = SENTENCES.get(constraint.name, ("__all__", " ".join(error.messages)))
            raise ValidationError({field: [sentence]}) from None


def picture(row: models.Model) -> dict[str, Any]:
    """The row as the audit log shows it: plain values, masked secrets, tags as words."""
    values: dict[str, Any] = {}
    for field in row._meta.concrete_fields:
        if field.name == "deleted_at":
            continue
        value = getattr(row, field.attname)
        if isinstance(value, Sealed):
            value = MASK if value else ""
        values[field.attname if isinstance(field, ForeignKey) else field.name] = value
    for field in row._meta.many_to_many:
        values[field.name] = sorted(
            str(v)
            for v in getattr(row, field.name).values_list("name" if field.related_model is Tag else "pk", flat=True)
        )
    return values


def _take_lists(model: type[models.Model], values: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in model._meta.many_to_many}
    return {name: values.pop(name) for name in list(values) if name in names}


def _set_lists(row: models.Model, many: dict[str, Any], tags: Iterable[str] | None) -> None:
    for name, rows in many.items():
        getattr(row, name).set(rows)
    if tags is not None and hasattr(row, "tags"):
        row.tags.set(Tag.named(list(tags)))


def _one_tenant(row: models.Model, given: dict[str, Any]) -> None:
    """A client's group holds that client's contacts; a contact's user is somebody of that client."""
    if isinstance(row, ContactGroup) and row.client_id is not None:
        foreign = [contact for contact in given.get("contacts", ()) if contact.client_id != row.client_id]
        if foreign:
            raise ValidationError({"contact_ids": ["A client's group holds contacts of that client only."]})
    if isinstance(row, Contact) and given.get("user") is not None:
        member = given["user"].memberships.filter(client=row.client_id).exists()
        if not member:
            raise ValidationError({"user": ["This person is not a member there; invite them first."]})

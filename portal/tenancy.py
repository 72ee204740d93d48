"""Who may see and do what? One queryset method and one small table decide, for pages, API, feeds and admin alike.

A person's memberships give them MSP-wide sight (owner, staff, auditor) or sight of single clients (admin, approver,
viewer); a token sees what its person sees, and less when it is bound to one client. Without a membership: nothing.
Of a client that is in the trash nobody sees anything: what is its, is left out here for our own people as well.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models
from django.db.models import CharField, Q, Value

if TYPE_CHECKING:
    from portal.models import Token, User

OWNER, STAFF, AUDITOR = "owner", "staff", "auditor"
ADMIN, APPROVER, VIEWER = "admin", "approver", "viewer"
MSP_ROLES = ((OWNER, "Owner"), (STAFF, "Staff"), (AUDITOR, "Auditor"))
CLIENT_ROLES = ((ADMIN, "Client admin"), (APPROVER, "Client approver"), (VIEWER, "Client viewer"))

READ, WRITE, ACK, APPROVE, ADMINISTER = "read", "write", "ack", "approve", "admin"
MAY: dict[str, frozenset[str]] = {
    OWNER: frozenset({READ, WRITE, ACK, APPROVE, ADMINISTER}),
    STAFF: frozenset({READ, WRITE, ACK, APPROVE}),
    AUDITOR: frozenset({READ}),
    ADMIN: frozenset({READ, WRITE, ACK, APPROVE}),
    APPROVER: frozenset({READ, ACK, APPROVE}),
    VIEWER: frozenset({READ}),
}


@dataclass(frozen=True, slots=True)
class Viewer:
    """A person (and perhaps a token) with what they may see. Build it with `viewer_of`; it holds for one request."""

    user: User | None
    token: Token | None = None
    msp_role: str = ""
    client_roles: dict[int, str] = field(default_factory=dict)
    leaving: frozenset[int] = frozenset()  # clients in the trash: nobody sees them, our own people neither

    @property
    def only_client(self) -> int | None:
        """The one client a bound token is limited to."""
        return self.token.client_id if self.token else None

    @property
    def sees_all(self) -> bool:
        """MSP-wide sight, not narrowed by a token."""
        return bool(self.msp_role) and self.only_client is None

    @property
    def client_ids(self) -> frozenset[int]:
        """The clients seen; meaningless when `sees_all`."""
        if self.msp_role and self.only_client is not None:
            return frozenset({self.only_client}) - self.leaving
        ids = frozenset(self.client_roles)
        return ids & {self.only_client} if self.only_client is not None else ids

    def sees(self, client_id: int | None) -> bool:
        """May rows of this client (None = the MSP's own) be seen?"""
        if client_id in self.leaving:
            return False
        return self.sees_all or (client_id is not None and client_id in self.client_ids)

    def may(self, verb: str, client_id: int | None) -> bool:
        """May this person do `verb` on a row of this client (None = the MSP's own)? Token scopes are judged here too."""
        if not self.sees(client_id):
            return False
        if self.token is not None and verb not in self.token.scope_set:
            return False
        role = self.msp_role or self.client_roles.get(client_id or 0, "")
        return verb in MAY.get(role, frozenset())


NOBODY = Viewer(user=None)
LEAVING = "leaving"  # where a role stands for others
VIEWING = "viewing"  # the session's key for whose portal staff look at, and until when


def viewer_of(actor: Any) -> Viewer:
    """The Viewer behind a request, a user or a viewer. Anonymous, inactive or without membership: sees nothing."""
    if isinstance(actor, Viewer):
        return actor
    if hasattr(actor, "META"):  # a request, Django's or DRF's
        base = getattr(actor, "_request", actor)
        cached = getattr(base, "_viewer", None)
        token = getattr(actor, "auth", None) if hasattr(actor, "_request") else None
        if cached is not None and cached.user == actor.user and cached.token == token:
            return cached
        base._viewer = _build(actor.user, token, viewed_client(base) if token is None else None)
        return base._viewer
    return _build(actor, None)


def viewer_with(user: User, token: Token) -> Viewer:
    """The Viewer of a token that came by another way than a request's header, as in a ping's address."""
    return _build(user, token)


def viewed_client(request: Any) -> int | None:
    """The client as whose viewer this session looks at the portal (`portal.viewing`), while its time lasts; else None."""
    known = getattr(request, "session", {}).get(VIEWING)
    if not known or known["until"] <= time.time() or known["user"] != getattr(request.user, "pk", None):
        return None
    return int(known["client"])


def leaving_clients() -> frozenset[int]:
    """The clients in the trash."""
    rows = apps.get_model("portal", "Client")._base_manager.exclude(deleted_at=None).order_by()
    return frozenset(rows.values_list("pk", flat=True))


def _build(user: Any, token: Any, as_client: int | None = None) -> Viewer:
    if user is None or not getattr(user, "is_authenticated", False) or not user.is_active:
        return NOBODY
    msp, clients, leaving = "", {}, set()
    all_clients = apps.get_model("portal", "Client")._base_manager.exclude(deleted_at=None).order_by()
    away = all_clients.values_list("pk", Value(LEAVING, CharField()), "active")
    roles = user.memberships.order_by().values_list("client_id", "role", "client__active")
    for client_id, role, active in roles.union(away, all=True):  # one question: this is asked with every page
        if client_id is None:
            msp = role
        elif role == LEAVING:
            leaving.add(client_id)
        elif active:
            clients[client_id] = role
    clients = {pk: role for pk, role in clients.items() if pk not in leaving}
    if as_client is not None:
        client = apps.get_model("portal", "Client").objects.filter(pk=as_client, active=True)
        active = bool(msp) and client.exists()
        return Viewer(user=user, client_roles={as_client: VIEWER} if active else {})
    return Viewer(user=user, token=token, msp_role=msp, client_roles=clients, leaving=frozenset(leaving))


_also: dict[str, str] = {}


def concerns(label: str, path: str) -> None:
    """Rows of a model that are ours to read, but about a client by another way: they are not seen while it is leaving."""
    _also[label] = path


class TenantQuerySet(models.QuerySet):
    """A queryset whose rows belong to clients, by the model's `tenant_path`.

    `tenant_path = "monitor__client"` is the way to the client; `tenant_null = "msp"` (rows without a client are the
    MSP's alone) or `"shared"` (everybody may read them, as a region that probes for all).
    """

    def for_user(self, actor: Any) -> TenantQuerySet:
        """The rows this user, token or request may see. Everything that shows rows starts here."""
        viewer = viewer_of(actor)
        if viewer.sees_all:
            path = self.model.tenant_path
            # Who names a client by its number alone (the audit log) is meant to outlive it.
            if not viewer.leaving or path.endswith("_id"):
                return self.all()
            found = self.exclude(**{f"{path}__in": viewer.leaving})
            also = _also.get(self.model._meta.label)
            return found.exclude(**{f"{also}__in": viewer.leaving}) if also else found
        if viewer.user is None or not viewer.client_ids:
            return self.none()
        path = self.model.tenant_path
        seen = Q(**{(f"{path}__in" if path != "pk" else "pk__in"): viewer.client_ids})
        if getattr(self.model, "tenant_null", "msp") == "shared":
            seen |= Q(**{f"{path}__isnull": True})
        return self.filter(seen)


TenantManager = models.Manager.from_queryset(TenantQuerySet)


def tenant_path_of(model: type[models.Model]) -> str | None:
    """The way from a model to its client, or None when the model is not tenant-scoped."""
    return getattr(model, "tenant_path", None)

"""May this request do that? Scope first, then the row's client: what is not seen is 404, what is seen but not allowed 403."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from portal.ownership import client_id_of
from portal.tenancy import ADMINISTER, READ, WRITE, Viewer, viewer_of


def verb_of(request: Request, view: Any) -> str:
    """The verb a request needs. `required_scope` of a view or an action names it for unsafe methods, `read_scope` for
    safe ones; the defaults are write and read."""
    if request.method in SAFE_METHODS:
        return getattr(view, "read_scope", None) or READ
    return getattr(view, "required_scope", None) or WRITE


def has_scope(viewer: Viewer, verb: str) -> bool:
    """Does the token carry the scope? A session carries all of them."""
    return viewer.token is None or verb in viewer.token.scope_set


def may_anywhere(viewer: Viewer, verb: str) -> bool:
    """May this person do `verb` on anything at all?"""
    if viewer.sees_all and viewer.may(verb, None):
        return True
    return any(viewer.may(verb, client_id) for client_id in viewer.client_ids)


class Scoped(BasePermission):
    """Every API view's permission. Whether a row is seen at all was decided before, by `for_user`."""

    message = "Your role or your token's scopes do not allow this."

    def has_permission(self, request: Request, view: Any) -> bool:
        viewer = viewer_of(request)
        if viewer.user is None:
            return False
        verb = verb_of(request, view)
        if not has_scope(viewer, verb):
            self.message = f"This token lacks the scope “{verb}”."
            return False
        one_row = getattr(view, "lookup_url_kwarg", None) or getattr(view, "lookup_field", None)
        if one_row and one_row in getattr(view, "kwargs", {}):
            return True  # first the row has to be found: unknown and foreign ones are 404 for everybody
        return verb == READ or may_anywhere(viewer, verb)

    def has_object_permission(self, request: Request, view: Any, obj: Model) -> bool:
        return viewer_of(request).may(verb_of(request, view), client_id_of(obj))


class OwnersOnly(Scoped):
    """For people and provider accounts: the MSP's owners, also for reading."""

    message = "Only an owner may do this."

    def has_permission(self, request: Request, view: Any) -> bool:
        viewer = viewer_of(request)
        if viewer.user is None:
            return False
        if not has_scope(viewer, ADMINISTER):
            self.message = f"This token lacks the scope “{ADMINISTER}”."
            return False
        one_row = getattr(view, "lookup_url_kwarg", None) or getattr(view, "lookup_field", None)
        return bool(one_row and one_row in getattr(view, "kwargs", {})) or viewer.may(ADMINISTER, None)

    def has_object_permission(self, request: Request, view: Any, obj: Model) -> bool:
        return viewer_of(request).may(ADMINISTER, None)

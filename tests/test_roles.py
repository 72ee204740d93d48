"""Who may do what over the API? Every route and verb, from the resolver, for every role and every token scope.

What is expected follows from the scope that the view asks for and the table of roles (portal.tenancy.MAY), not from a list
by hand; what is decided otherwise stands in OTHERWISE with its reason.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.db import transaction
from django.urls import resolve

from portal.api.permissions import OwnersOnly
from portal.models.people import SCOPES
from portal.tenancy import ADMINISTER, MAY, READ, WRITE
from tests import cast
from tests.test_tenancy import OPEN, ROUTES, _address, all_routes

PEOPLE = {
    "owner": cast.make_owner, "staff": cast.make_staff, "auditor": cast.make_auditor, "admin": cast.alice, "approver": cast.approver,
    "viewer": cast.viewer,
}  # fmt: skip
# (route, method): why a role that has the verb may still be refused
_OURS = "regions and their keys are the MSP's; a client's admin looks"
_OWN = "tokens belong to the person who made them (owners see all), and ask for the scope admin"
_CODE = "beside the scope each decision asks for a code of that moment (tests/playbooks/test_pages.py)"
OTHERWISE = {
    ("api/v1/clients/{pk}", "delete"): "a client is deleted by the MSP alone",
    **{(f"api/v1/maintenance-requests/{{pk}}/{t}", "post"): "a client asks, the MSP answers" for t in ("accept", "decline")},
    ("api/v1/incidents/{pk}/ungroup", "post"): "a parent of several clients' incidents is the MSP's",
    ("api/v1/playbook-runs/{pk}/approve", "post"): _CODE,
    **{("api/v1/probes/{pk}", method): _OURS for method in ("patch", "delete")},
    **{(f"api/v1/probes/{{pk}}/{tail}", "post"): _OURS for tail in ("revoke", "token")},
    **{("api/v1/sla-contracts/{pk}", method): "what is promised to a client is the MSP's to write" for method in ("patch", "delete")},
    **{("api/v1/tokens/{pk}", method): _OWN for method in ("get", "delete")},
}  # fmt: skip


def api_routes() -> list[Any]:
    return [
        r
        for r in all_routes()
        if r.text.startswith("api/v1/")
        and r.text not in OPEN
        and not r.text.startswith(("api/v1/inbound", "api/v1/events"))
    ]


def needs(address: str, method: str) -> tuple[str, bool]:
    """(the verb that this call needs, is it for owners alone?) as the view says."""
    view = resolve(address).func
    safe, named = method in ("get", "head", "options"), getattr(view, "initkwargs", {})
    action = getattr(view, "actions", {}).get(method, "")
    cls = view.cls
    own = getattr(getattr(cls, action, None), "kwargs", {}) if action else {}
    key = "read_scope" if safe else "required_scope"
    verb = named.get(key) or own.get(key) or getattr(cls, key, None) or (READ if safe else WRITE)
    classes = named.get("permission_classes") or cls.permission_classes
    owners = any(issubclass(one, OwnersOnly) for one in classes)
    return (ADMINISTER if owners else str(verb)), owners


@pytest.mark.once
@pytest.mark.django_db
def test_every_route_verb_role_and_scope():
    callers = {role: (role, cast.api(make(), *SCOPES)) for role, make in PEOPLE.items()}
    callers |= {f"staff with {scope}": ("staff", cast.api(cast.make_staff(), scope)) for scope in SCOPES}
    scopes = {
        name: frozenset(SCOPES) if " with " not in name else carried_by(name.rpartition(" ")[2]) for name in callers
    }
    found: dict[tuple[str, str], list[str]] = {}
    asked: Counter[str] = Counter()
    for route in api_routes():
        address = _address(route, ROUTES[route.text]()) if route.text in ROUTES else f"/{route.text}"
        for method in route.methods:
            if method not in ("get", "post", "patch", "delete"):
                continue  # PUT is PATCH here
            verb, _ = needs(address, method)
            for name, (role, api) in callers.items():
                may = verb in MAY[role] and verb in scopes[name]
                with transaction.atomic():
                    said = getattr(api, method)(
                        address, *(() if method == "get" else ({},)), **({} if method == "get" else {"format": "json"})
                    ).status_code
                    transaction.set_rollback(True)
                asked["may" if may else "may not"] += 1
                refused = said in (401, 403, 404)
                if refused == may:
                    found.setdefault((route.text, method), []).append(f"{name}: {said}, needs {verb}")
    assert {call: said for call, said in found.items() if call not in OTHERWISE} == {}
    assert not OTHERWISE.keys() - found.keys(), "these are as the table of roles says; take them out"
    assert not [said for call in OTHERWISE for said in found[call] if " 20" in said], "let in without the verb"
    assert asked["may"] > 500 and asked["may not"] > 500


def carried_by(scope: str) -> frozenset[str]:
    """What a token with one scope may: write and admin read as well, write acknowledges too (portal.models.Token)."""
    more = {"write": {"read", "ack"}, "admin": {"read", "write", "ack"}}
    return frozenset({scope} | more.get(scope, set()))

"""Who may do what over the API? Every route and verb, from the resolver, for every role and every token scope.

What is expected follows from the scope that the view asks for and the table of roles (portal.tenancy.MAY), not from a list
by hand; what is decided otherwise stands in OTHERWISE with its reason. Another client's people are told that there is no
such thing, nobody in particular that they have to say who they are; nothing is written for whoever is refused.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from django.urls import resolve

from portal.api.permissions import OwnersOnly
from portal.models.people import SCOPES
from portal.tenancy import ADMINISTER, MAY, READ, WRITE
from tests import cast
from tests.matrix import machines
from tests.matrix.asking import Caller, Tally, with_token
from tests.matrix.locks import LET_IN, NOT_THAT_WAY, REFUSED, SIGN_IN, UNKNOWN
from tests.matrix.roles import EVERYBODY, MSP, PEOPLE, Who, sample
from tests.matrix.stage import Stage, every_route
from tests.test_tenancy import OPEN

pytestmark = [pytest.mark.once, pytest.mark.django_db]
VERBS = ("get", "head", "options", "post", "put", "patch", "delete")
# (route, method): why a role that has the verb may still be refused
_OURS = "regions and their keys are the MSP's; a client's admin looks"
_OWN = "tokens belong to the person who made them (owners see all), and ask for the scope admin"
_CODE = "beside the scope each decision asks for a code of that moment (tests/playbooks/test_pages.py)"
OTHERWISE = {
    ("api/v1/clients/{pk}", "delete"): "a client is deleted by the MSP alone",
    ("api/v1/clients/{pk}/branding", "patch"): "how the portal looks to a client is the MSP's to say",
    ("api/v1/clients/{pk}/branding/prove", "post"): "the same",
    **{("api/v1/config" + t, m): "configuration as a file is the MSP's" for t, m in (("", "get"), ("/plan", "post"))},
    **{(f"api/v1/maintenance-requests/{{pk}}/{t}", "post"): "a client asks, the MSP answers" for t in ("accept", "decline")},
    ("api/v1/incidents/{pk}/ungroup", "post"): "a parent of several clients' incidents is the MSP's",
    ("api/v1/playbook-runs/{pk}/approve", "post"): _CODE,
    **{("api/v1/probes/{pk}", method): _OURS for method in ("patch", "put", "delete")},
    **{(f"api/v1/probes/{{pk}}/{tail}", "post"): _OURS for tail in ("revoke", "token")},
    **{("api/v1/sla-contracts/{pk}", method): "what is promised to a client is the MSP's to write" for method in ("patch", "put", "delete")},
    **{("api/v1/tokens/{pk}", method): _OWN for method in ("get", "delete")},
}  # fmt: skip
RECORDED = {"api/v1/clients/{pk}/export/file"}  # who fetched everything of a client stands in its audit log
# Several clients' incidents with one cause: for clients there is no such address.
STAFFS = {"api/v1/incidents/proposals", "api/v1/incidents/group"}


def api_routes() -> list[str]:
    """Every route that takes a token, other systems' addresses among them."""
    guarded = {*OPEN, *machines.BY_KEY, *machines.ONCE}
    return sorted(r for r in every_route() if machines.by_token(r) and r not in guarded)


def answers(where: str) -> set[str]:
    """The methods that a route answers at all."""
    view = resolve(where).func
    actions = getattr(view, "actions", None)
    named = set(actions) if actions else {m for m in VERBS if hasattr(view.cls, m)}
    return named | {"options"} | ({"head"} if "get" in named else set())


def needs(where: str, method: str) -> tuple[str, bool]:
    """(the verb that this call needs, is it for owners alone?) as the view says."""
    view = resolve(where).func
    safe, named = method in ("get", "head", "options"), getattr(view, "initkwargs", {})
    action = (getattr(view, "actions", None) or {}).get("get" if method == "head" else method, "")
    cls = view.cls
    own = getattr(getattr(cls, action, None), "kwargs", {}) if action else {}
    key = "read_scope" if safe else "required_scope"
    verb = named.get(key) or own.get(key) or getattr(cls, key, None) or (READ if safe else WRITE)
    classes = named.get("permission_classes") or cls.permission_classes
    owners = any(issubclass(one, OwnersOnly) for one in classes)
    return (ADMINISTER if owners else str(verb)), owners


def carried_by(scope: str) -> frozenset[str]:
    """What a token with one scope may: write and admin read as well, write acknowledges too (portal.models.Token)."""
    more = {"write": {"read", "ack"}, "admin": {"read", "write", "ack"}}
    return frozenset({scope} | more.get(scope, set()))


def expected(route: str, where: str, method: str, who: Who, scopes: frozenset[str]) -> str:
    """What somebody is answered whose token carries these scopes."""
    verb, owners = needs(where, method)
    row = "{" in route
    if who.make is None:
        return SIGN_IN
    if method not in answers(where):
        return f"{NOT_THAT_WAY}|{REFUSED}|{UNKNOWN}"  # who may write nothing at all hears that first
    if method == "options":
        return f"{LET_IN}|{REFUSED}"  # the API's description of the address, the same for every row
    if route == "api/v1/tokens":
        return LET_IN if ADMINISTER in scopes else REFUSED  # one's own
    if verb not in scopes:
        return f"{REFUSED}|{UNKNOWN}" if owners else REFUSED
    if row and who.elsewhere:
        return UNKNOWN
    if route in STAFFS and who.side != MSP:
        return UNKNOWN if verb in MAY.get(who.role, frozenset()) else f"{UNKNOWN}|{REFUSED}"
    if not row and verb == READ and not owners:
        return LET_IN  # a list of what is seen
    if verb in MAY.get(who.role, frozenset()):
        return LET_IN
    return f"{REFUSED}|{UNKNOWN}" if owners else REFUSED  # rows of owners are seen by owners alone


def calls(stage: Stage) -> Iterator[tuple[str, str, str]]:
    """(route, address, method) of whatever a route answers."""
    for route in api_routes():
        where = stage.where(route)
        for method in sorted(answers(where) & {"get", "post", "put", "patch", "delete"}):
            yield route, where, method


def press(tally: Tally, found: dict[tuple[str, str], list[str]], caller: Caller, call: tuple[str, str, str], who: Who, scopes: frozenset[str], name: str) -> None:  # fmt: skip
    """Ask, and note what came; what may be otherwise is judged at the end."""
    route, where, method = call
    wanted = expected(route, where, method, who, scopes)
    said = caller.ask(method, where, b"" if method in ("get", "head", "options") else b"{}", "application/json")
    may_write = wanted == LET_IN and (method not in ("get", "head", "options") or route in RECORDED)
    alike = "get" if method == "head" else method
    if (route, alike) in OTHERWISE and said.kind != wanted and said.kind in (REFUSED, UNKNOWN):
        found.setdefault((route, alike), []).append(name)
        tally.note(route, f"{method} {route} by {name}", said.kind, said)
        return
    tally.note(route, f"{method} {route} by {name}", wanted, said, may_write=may_write)


def test_every_route_verb_role_and_scope():
    """A sample of the roles at each address, in which all have their turn; `make soak` asks everybody everywhere."""
    tally, _ = asked(whole=False)
    tally.judge()
    assert tally.calls[LET_IN] > 400 and tally.calls[REFUSED] > 400 and tally.calls[UNKNOWN] > 100


@pytest.mark.soak
def test_every_route_verb_role_and_scope_by_everybody():
    tally, found = asked(whole=True)
    tally.judge()
    assert not OTHERWISE.keys() - found.keys(), "these are as the table of roles says; take them out"


def asked(*, whole: bool) -> tuple[Tally, dict[tuple[str, str], list[str]]]:
    """(all calls, those that were decided otherwise)"""
    stage, tally = Stage(), Tally("API")
    found: dict[tuple[str, str], list[str]] = {}
    every = frozenset(SCOPES)
    tokens = {who: with_token(who.make(), *SCOPES) if who.make else Caller() for who in EVERYBODY}
    staff = next(who for who in PEOPLE if who.name == "staff")
    scoped = {scope: with_token(cast.make_staff(), scope) for scope in SCOPES}
    chance = random.Random(7)
    for call in calls(stage):
        verb = needs(*call[1:])[0]
        for who in EVERYBODY if whole else sample(chance):
            press(tally, found, tokens[who], call, who, every, who.name)
        lacking = [scope for scope in SCOPES if verb not in carried_by(scope)]
        # The least that is enough, and what is not. In order: the same calls in every run.
        for scope in sorted({verb, *(SCOPES if whole else [chance.choice(lacking)])}):
            press(tally, found, scoped[scope], call, staff, carried_by(scope), f"staff with {scope}")
    for route in api_routes():  # and what it does not answer
        where = stage.where(route)
        for method in sorted(set(VERBS) - {m for _, w, m in calls(stage) if w == where}):
            for who in EVERYBODY if whole else [chance.choice(EVERYBODY)]:
                press(tally, found, tokens[who], (route, where, method), who, every, who.name)
    return tally, found


def test_a_session_sees_no_more_over_the_api_than_a_token():
    """Another client's admin in a browser: every row of Acme's is as unknown as one that nobody has."""
    stage, tally = Stage(), Tally("API, another client's browser")
    mallory = next(who for who in PEOPLE if who.name == "other client's admin")
    for route, where, method in calls(stage):
        if "{" in route:
            body = b"" if method == "get" else b"{}"
            theirs = stage.callers[mallory].ask(method, where, body, "application/json")
            nobodys = stage.callers[mallory].ask(method, stage.nowhere(route), body, "application/json")
            tally.note(route, f"{method} {route}", UNKNOWN, theirs)
            if theirs.text != nobodys.text:
                tally.wrong.append(
                    f"{method} {route}: {theirs.text} for what is Acme's, {nobodys.text} for what is nobody's"
                )
    tally.judge()

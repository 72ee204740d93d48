"""The support desk: every model × list, new, change, delete, history, actions × role. Clients' people do not get in at all.

An owner may whatever a desk offers; staff the same, but for people and accounts; an auditor looks.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.test import RequestFactory

from tests.matrix.asking import Tally, blank_pages
from tests.matrix.locks import LET_IN, REFUSED, SIGN_IN, UNKNOWN
from tests.matrix.roles import EVERYBODY, MSP, Who
from tests.matrix.stage import Stage, every_route, missing
from tests.portal.at_the_desk import address, fill

pytestmark = [pytest.mark.once, pytest.mark.django_db]
OWNERS_ALONE = {"User", "Membership", "Token", "ProviderSettings", "PeriodicTask", "OneTimeLink"}
OUTSIDE = tuple(who for who in EVERYBODY if who.side != MSP)
Call = tuple[str, str, str, bytes]  # what is done, method, address, body


def offers(desk: ModelAdmin[Any], verb: str) -> bool:
    """Does the desk let an owner do it to its first row at all? Some only show; the built-in probe stays."""
    request = RequestFactory().get("/admin/")
    request.user = EVERYBODY[0].make()  # type: ignore[misc]
    row = () if verb == "add" else (desk.model._default_manager.order_by("pk").first(),)
    return bool(getattr(desk, f"has_{verb}_permission")(request, *row))


def calls(model: Any, desk: ModelAdmin[Any]) -> Iterator[Call]:
    """Whatever can be asked of the desk about its first row."""
    row = model._default_manager.order_by("pk").first()
    yield "view", "get", address(model), b""
    yield "add", "get", address(model, "add/"), b""
    yield "add", "post", address(model, "add/"), b""
    if row is None:
        return
    yield "view", "get", address(model, f"{row.pk}/change/"), b""
    yield "change", "post", address(model, f"{row.pk}/change/"), b""
    yield "view", "get", address(model, f"{row.pk}/history/"), b""
    yield "delete", "get", address(model, f"{row.pk}/delete/"), b""
    yield "delete", "post", address(model, f"{row.pk}/delete/"), b"post=yes"
    for action in (*(desk.actions or ()), "delete_selected"):
        chosen = urlencode({"action": action, "_selected_action": row.pk, "post": "yes"}).encode()
        yield "press", "post", address(model), chosen


def expected(model: Any, desk: ModelAdmin[Any], who: Who, verb: str) -> tuple[str, bool]:
    """(what `who` is answered, may it be written for that?)"""
    if who.side != MSP:
        return SIGN_IN, False
    may_write = who.role == "owner" or (who.role == "staff" and model.__name__ not in OWNERS_ALONE)
    if verb == "view":
        return (LET_IN if offers(desk, "view") else REFUSED), False
    if verb == "press":  # what may not be pressed is not on the list, and nothing happens
        return f"{LET_IN}|{REFUSED}", may_write
    return (LET_IN if may_write and offers(desk, verb) else REFUSED), may_write


def ask(stage: Stage, tally: Tally, model: Any, who: Who, call: Call) -> None:
    desk = admin.site._registry[model]
    verb, method, where, body = call
    answer, may_write = expected(model, desk, who, verb)
    said = stage.callers[who].ask(method, where, body)
    about = f"{method} {where} {body.decode()} by {who.name}"
    tally.note(f"{model.__name__} {verb}", about, answer, said, may_write=may_write and method == "post")


@pytest.fixture
def stage() -> Stage:
    fill()
    return Stage()


def test_every_desk_answers_each_of_our_roles_as_it_should(stage):
    tally = Tally("Admin")
    with blank_pages():
        for model, desk in admin.site._registry.items():
            for call in calls(model, desk):
                ours = EVERYBODY[:3] if model.__name__ in OWNERS_ALONE or call[0] != "view" else EVERYBODY[1:3]
                for who in ours:
                    ask(stage, tally, model, who, call)
    tally.judge()


# --- From outside -----------------------------------------------------------------------------------------------------------
OF_A_MODEL = re.compile(r"admin/\w+/\w+/(add/|\{\w+\}/((change|delete|history)/)?)?")
# Of the whole desk: its front page, an app's list, words for scripts, choices of a field, the way to a row's own page.
OF_THE_DESK = ("", "{app_label}/", "jsi18n/", "autocomplete/", "r/{content_type_id}/{object_id}/", "password_change/")  # fmt: skip
OPEN = ("login/", "logout/")  # they lead to the portal's own


def of_the_admin() -> list[str]:
    return [route for route in every_route() if route.startswith("admin/")]


def test_the_admin_has_no_address_that_is_not_asked_for_here():
    told = {f"admin/{rest}" for rest in (*OF_THE_DESK, *OPEN)}
    strange = [r for r in of_the_admin() if not OF_A_MODEL.fullmatch(r) and not r.endswith("{url}")]
    assert not missing(told, {re.sub(r"\{app_label\}|\(\?P<app_label>.*?\)", "{app_label}", r) for r in strange})


def test_nobody_from_outside_gets_further_than_the_door():
    """Every address by one of those whom it does not concern, another from call to call; `make soak` asks all of them."""
    stage, tally, chance = Stage(), Tally("Admin, from outside"), random.Random(7)
    with blank_pages():
        for route in of_the_admin():
            if route not in {f"admin/{rest}" for rest in OPEN}:
                outside(stage, tally, route, [chance.choice(OUTSIDE)])
        for rest in OF_THE_DESK:
            outside(stage, tally, f"admin/{rest}", OUTSIDE)
    tally.judge()


@pytest.mark.soak
def test_nobody_at_all_from_outside_gets_further_than_the_door():
    stage, tally = Stage(), Tally("Admin, from outside, every role")
    with blank_pages():
        for route in of_the_admin():
            if route not in {f"admin/{rest}" for rest in OPEN}:
                outside(stage, tally, route, OUTSIDE)
    tally.judge()


def outside(stage: Stage, tally: Tally, route: str, callers: Sequence[Who]) -> None:
    """Looked at and sent: to the sign-in page, or there is nothing."""
    where = "/" + re.sub(r"\{app_label\}", "portal", route)
    where = re.sub(r"\{\w+\}", "1", where)
    for who in callers:
        for method in ("get", "post"):
            said = stage.callers[who].ask(method, where)
            tally.note(route, f"{method} {where} by {who.name}", f"{SIGN_IN}|{REFUSED}|{UNKNOWN}", said)

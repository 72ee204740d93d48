"""Share links, feeds, badges, pictures, pings, hooks, status pages, the way in: with the right key and a wrong one, by everybody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import make_password
from django.core.cache import cache

from portal.models import SavedFilter
from statuspages import gate, serving
from statuspages.models import Page
from tests import cast
from tests.matrix import machines
from tests.matrix.asking import Tally, blank_pages
from tests.matrix.locks import LET_IN, NOT_THAT_WAY, REFUSED, SIGN_IN, UNKNOWN
from tests.matrix.roles import EVERYBODY, MSP, OWN, Who
from tests.matrix.stage import Stage, every_route
from tests.statuspages import showing

pytestmark = [pytest.mark.once, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def a_process_that_has_just_started(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    cache.clear()
    serving.board.forget()
    monkeypatch.setattr(gate, "tries", gate.Tries())
    yield
    serving.board.forget()
    cache.clear()


def test_of_what_is_no_page_and_no_api_nothing_is_told_in_vain():
    told = {*machines.ACCOUNT, *machines.OWN, *machines.ONCE, *machines.SIGNED, *machines.PROBES, *machines.BY_KEY}
    assert not told - set(every_route()), "gone; take them out"


def test_the_way_in_and_ones_own_account_answer_each_role_alike():
    stage, tally = Stage(), Tally("Signing in and one's own account")
    with blank_pages():
        for route, (look, send, look_out, send_out) in machines.ACCOUNT.items():
            for who in EVERYBODY:
                cache.clear()  # tries are counted
                for method, expected in (("get", look if who.make else look_out), ("post", send if who.make else send_out)):  # fmt: skip
                    said = stage.callers[who].ask(method, f"/{route}")
                    tally.note(route, f"{method} {route} by {who.name}", expected, said)
    tally.judge()


def test_somebodys_own_does_not_exist_for_others():
    """A passkey's page asks for the password first, whoever's it is (then tests/portal/test_mfa_passkeys.py)."""
    stage, tally, alice = Stage(), Tally("Somebody's own"), cast.alice()
    passkey = Authenticator.objects.create(user=alice, type="webauthn", data={"name": "key", "credential": {}}).pk
    kept = SavedFilter.objects.create(user=alice, list="monitors", name="Down", query="state=down").pk
    with blank_pages():
        for route in machines.OWN:
            of_filters = route.startswith("filters")
            for who in EVERYBODY:
                if who.name == "client admin":  # it is theirs
                    continue
                for method in ("get", "post"):
                    said = stage.callers[who].ask(method, "/" + route.format(pk=kept if of_filters else passkey))
                    expected = (UNKNOWN if of_filters else LET_IN) if who.make else SIGN_IN
                    tally.note(route, f"{method} {route} by {who.name}", expected, said)
                    if expected == LET_IN and not said.to.startswith("/reauthenticate/"):
                        tally.wrong.append(f"{method} {route} by {who.name}: {said.status} without a password")
    tally.judge()


def test_a_key_opens_and_a_wrong_one_does_not_whoever_is_signed_in():
    stage, tally = Stage(), Tally("Links, feeds, pings, pictures, events")
    doors = list(machines.doors(stage))
    missed = {r for r in machines.BY_KEY if r not in ("status/{slug}/", "status/{slug}/{rest}")} - {d.route for d in doors}  # fmt: skip
    assert not missed, f"no key is tried at {missed}"
    with blank_pages():
        for door in doors:
            for who in EVERYBODY:
                for right, statuses in ((True, door.opens), (False, door.shut)):
                    cache.clear()
                    said = stage.callers[who].ask(*door.call(right=right))
                    call = f"{door.route} with {'the' if right else 'a wrong'} key by {who.name}"
                    tally.note(door.route, call, said.kind, said, may_write=right)
                    if said.status not in statuses:
                        tally.wrong.append(f"{call}: {said.status}, expected: {statuses}")
    tally.judge()


def test_without_a_signature_no_vendor_and_no_probe_is_heard():
    stage, tally = Stage(), Tally("Vendors' hooks and probes, unsigned")
    names = {"token": "wrong", "delivery": cast.delivery().pk, "attempt": 1, "pk": 1}
    for route in (*machines.SIGNED, *machines.PROBES):
        for who in EVERYBODY:
            for method in ("get", "post"):
                said = stage.callers[who].ask(method, "/" + route.format(**names), b"{}", "application/json")
                tally.note(route, f"{method} {route} by {who.name}", said.kind, said)
                if said.status not in (400, 401, 403, 404, 405):
                    tally.wrong.append(f"{method} {route} unsigned by {who.name}: {said.status}")
    tally.judge()


def test_every_file_of_a_status_page_is_for_whom_the_page_is():
    """Pages, badges, feeds, calendars, JSON: all that is served below a page's address."""
    stage, tally = Stage(), Tally("Status pages’ files")
    public = Page.objects.get(slug="acme")
    locked = showing.page(slug="locked", visibility="password", password_hash=make_password("x"))
    inside = showing.page(slug="inside", visibility="signed_in")
    for page in (public, locked, inside):
        showing.build(page)
    for page in (public, locked, inside):
        for rest in addresses(page):
            for who in EVERYBODY:
                expected = file_of(page, rest, who)
                for method in ("get", "put"):
                    said = stage.callers[who].ask(method, f"/status/{page.slug}/{rest}")
                    call = f"{method} {rest or 'the page'} ({page.visibility}) by {who.name}"
                    shut = method == "get" or expected in (UNKNOWN, SIGN_IN)
                    tally.note("status/{slug}/{rest}", call, expected if shut else NOT_THAT_WAY, said)
    tally.judge()


def addresses(page: Page) -> list[str]:
    """Every file of the page; of its past months, one."""
    front = serving.board.front(serving.board.find(page.slug))
    assert front is not None
    months = [rest for rest in front.addresses() if rest.startswith("history/")]
    return [rest for rest in front.addresses() if rest not in months[1:]]


def file_of(page: Page, rest: str, who: Who) -> str:
    """What somebody is answered who looks at a file of the page, without its password."""
    if page.visibility == "password":
        return LET_IN if rest == serving.OPEN else REFUSED
    if page.visibility == "public" or who.side in (MSP, OWN):
        return LET_IN
    return UNKNOWN if who.make else SIGN_IN

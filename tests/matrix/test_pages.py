"""Who is let in by which page, and by which form? All roles, the client's own and another's, and every method."""

from __future__ import annotations

import random
import re

import pytest

from portal.tenancy import TenantQuerySet, tenant_path_of
from tests import cast
from tests.matrix import asking, machines, pages
from tests.matrix.asking import Tally, blank_pages
from tests.matrix.locks import LET_IN, NOT_THAT_WAY, READS, UNKNOWN, Lock
from tests.matrix.roles import EVERYBODY, NONE, OTHER, PEOPLE, Who, sample
from tests.matrix.stage import SHARED, Stage, every_route, missing
from tests.test_tenancy import our_models

pytestmark = [pytest.mark.once, pytest.mark.django_db]
MARK = "zyxmark"
NO_PAGE_TAKES = ("put", "patch", "delete", "options")


def of_the_portal() -> set[str]:
    """The routes that are pages of ours for people who are signed in."""
    return {r for r in every_route() if not machines.elsewhere(r)}


def test_of_every_page_is_said_who_may_use_it():
    assert not missing(set(pages.PAGES), of_the_portal())


def of_acme(text: str) -> bool:
    """Does the address name a row of Acme's?"""
    return "{" in text and text not in SHARED


def expected(text: str, method: str, who: Who) -> tuple[str, bool]:
    """(what `who` is answered, may it be written for that?)"""
    look, send = pages.PAGES[text]
    lock: Lock = send if method == "post" else look
    answer = lock.answer(who, row=of_acme(text))
    may_write = (method == "post" or text in pages.RECORDED) and answer == LET_IN
    if text in pages.SAID_ABOVE and method == "post" and who.make:
        return LET_IN, lock.answer(who, row=True) == LET_IN
    if answer == LET_IN and (text, method) in pages.OTHERWISE:
        return pages.OTHERWISE[text, method][0], False
    return answer, may_write


def ask(stage: Stage, tally: Tally, text: str, method: str, who: Who) -> asking.Said:
    body = pages.SAID_ABOVE.get(text, b"").replace(b"{monitor}", b"%d" % stage.monitor) if method == "post" else b""
    said = stage.callers[who].ask(method, stage.where(text), body)
    if method in NO_PAGE_TAKES or (method == "post" and text in pages.ONLY_SHOWN):
        tally.note(text, f"{method} {text} by {who.name}", NOT_THAT_WAY, said)
    else:
        answer, may_write = expected(text, method, who)
        tally.note(text, f"{method} {text} by {who.name}", answer, said, may_write=may_write)
    return said


def test_every_page_and_form_answers_each_role_as_the_table_of_roles_says():
    """Each route, looked at and sent, and by one role with each method that no page takes; `make soak` asks everybody."""
    stage, tally, chance = Stage(), Tally("Pages"), random.Random(7)
    with blank_pages():
        for text in sorted(of_the_portal()):
            for method in ("get", "post"):
                for who in sample(chance):
                    ask(stage, tally, text, method, who)
            for method in ("head", *NO_PAGE_TAKES):
                ask(stage, tally, text, method, chance.choice(EVERYBODY))
    tally.judge()


def test_what_is_acmes_is_for_globex_as_what_is_nobodys():
    """The same status and the same words, whether there is such a row or not."""
    stage, tally = Stage(), Tally("Pages, another client’s and nobody’s")
    mallory = next(who for who in EVERYBODY if who.side == OTHER and who.role == "admin")
    for number, text in enumerate(sorted(t for t in of_the_portal() if of_acme(t))):
        method = ("get", "post")[number % 2]
        theirs, nobodys = (stage.callers[mallory].ask(method, w) for w in (stage.where(text), stage.nowhere(text)))
        tally.note(text, f"{method} {text}", UNKNOWN, theirs)
        if plain(theirs.text) != plain(nobodys.text):
            tally.wrong.append(f"{method} {text}: other words than for what is nobody's")
    tally.judge()


def plain(text: str) -> str:
    """A page without what is another for every request."""
    return re.sub(r'(nonce|value|content)="[^"]*"', "", text)


@pytest.mark.soak
def test_every_page_by_every_role_with_every_method():
    stage, tally, tried = Stage(), Tally("Pages, everybody"), set()
    with blank_pages():
        for text in sorted(of_the_portal()):
            for method in ("get", "post", "head", *NO_PAGE_TAKES):
                tried |= {(text, method)} & set(pages.OTHERWISE)
                for who in EVERYBODY:
                    ask(stage, tally, text, method, who)
    tally.judge()
    assert tried == set(pages.OTHERWISE)


def test_tables_go_out_in_every_form_to_those_who_read_the_row():
    stage, tally = Stage(), Tally("Exports")
    for text, kinds in pages.KINDS.items():
        for kind in kinds:
            for who in EVERYBODY:
                said = stage.callers[who].ask("get", stage.where(text, kind=kind))
                tally.note(text, f"{text} as {kind} by {who.name}", expected(text, "get", who)[0], said)
    tally.judge()


def test_lists_searches_and_tables_of_other_clients_do_not_name_what_is_acmes():
    """Rendered whole, so that whatever stands in a menu, a choice or a total is seen."""
    stage, tally = Stage(), Tally("Lists, read for names of Acme’s")
    marked()
    forms = [who for who in EVERYBODY if who.side == OTHER and who.role == "admin"]
    for text in sorted(r for r in of_the_portal() if "{" not in r):
        for who in forms if pages.PAGES[text][0] != READS else (*forms, *(w for w in PEOPLE if w.side == NONE)):
            said = stage.callers[who].ask("get", f"/{text}?q={MARK}" if text == "search/" else f"/{text}")
            tally.note(text, f"{text} by {who.name}", said.kind, said)
            if MARK in said.text.replace(f'value="{MARK}"', "").replace(f"q={MARK}", "").replace(f"“{MARK}”", ""):
                tally.wrong.append(f"{text} for {who.name}: …{around(said.text, MARK)}…")
    owner = stage.callers[EVERYBODY[0]].ask("get", f"/search/?q={MARK}")
    assert owner.text.count(MARK) > 3, "the marks are there to be seen"
    tally.judge()


def marked() -> None:
    """Put the mark into every name, title and reason of Acme's."""
    acme = cast.acme().pk
    for model in our_models():
        path = tenant_path_of(model)
        names = [f.name for f in model._meta.fields if f.name in ("name", "title", "reason", "label")]
        if path and names and issubclass(model._default_manager._queryset_class, TenantQuerySet):
            for row in model._default_manager.filter(**{path: acme}):
                model._base_manager.filter(pk=row.pk).update(**dict.fromkeys(names, f"{MARK} {row.pk}"))


def around(text: str, word: str) -> str:
    """The place where the word stands."""
    at = text.find(word)
    return " ".join(text[max(0, at - 80) : at + 80].split())

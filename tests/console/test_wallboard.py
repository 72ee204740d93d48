"""The screen on the wall: what is wrong, readable from far, in turns where it does not fit, and never another client's."""

from __future__ import annotations

import pytest

from alerts.models import Alert
from console.pages import wallboard
from tests import cast
from tests.console.visiting import browser, text

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_all_is_well_and_every_client_has_a_tile():
    cast.monitor(), cast.monitor(cast.globex(), "portal")
    page = browser(cast.make_staff()).get("/wallboard/")
    assert "All is well" in text(page) and "Acme" in text(page) and "Globex" in text(page)
    assert b'data-theme="dark"' in page.content and b"overflow" not in page.content


def test_problems_come_first_with_who_has_them():
    alert = cast.alert(title="shop is down")
    page = browser(cast.make_staff()).get("/wallboard/")
    assert (
        "1 problem" in text(page)
        and "nobody has it yet" in text(page)
        and f"/alerts/{alert.pk}/" in page.content.decode()
    )
    Alert.objects.filter(pk=alert.pk).update(status="acknowledged", acknowledged_by="Sam")
    assert "Sam has it" in text(browser(cast.make_staff()).get("/wallboard/"))


def test_what_does_not_fit_takes_its_turn():
    many(wallboard.PROBLEMS + 1)
    staff = browser(cast.make_staff())
    first, second = staff.get("/wallboard/"), staff.get("/wallboard/?turn=1")
    assert "part 1 of 2" in text(first) and "part 2 of 2" in text(second)
    assert first.content.count(b"<article") == wallboard.PROBLEMS and second.content.count(b"<article") == 1
    assert 'hx-get="?turn=1"' in first.content.decode() and 'hx-get="?turn=2"' in second.content.decode()
    refreshed = staff.get("/wallboard/?turn=1", HTTP_HX_REQUEST="true", HTTP_HX_TARGET="live")
    assert b"<html" not in refreshed.content and b"<article" in refreshed.content
    assert (
        staff.get("/wallboard/?turn=99999999999999999999").status_code
        == 200
        == staff.get("/wallboard/?turn=x").status_code
    )


def many(count: int) -> None:
    """So many monitors of Acme's are down."""
    one = cast.alert()
    for n in range(1, count):
        one.pk, one.entity_id, one.entity_name, one._state.adding = None, str(100 + n), f"monitor {n}", True
        one.save(force_insert=True)


@pytest.mark.parametrize(
    ("count", "turn", "first", "parts"), [(0, 3, 0, 1), (6, 1, 0, 1), (7, 1, 6, 2), (13, 5, 12, 3)]
)
def test_parts(count, turn, first, parts):
    assert wallboard.part(count, 6, turn) == (first, parts)


@pytest.mark.parametrize(
    ("problems", "asleep", "fit"), [(0, False, 32), (1, False, 24), (2, True, 20), (5, False, 8), (6, True, 8)]
)
def test_the_more_problems_the_fewer_clients_at_a_time(problems, asleep, fit):
    assert wallboard.tiles_beside(problems, asleep) == fit


def test_one_client_alone_and_nobody_elses():
    cast.monitor(), cast.alert(), cast.monitor(cast.globex(), "portal")
    acme, globex = cast.acme(), cast.globex()
    staff = browser(cast.make_staff())
    assert "Globex" not in text(staff.get(f"/wallboard/?client={acme.pk}"))
    theirs = browser(cast.mallory())
    assert "Acme" not in text(theirs.get("/wallboard/")) and "shop" not in text(theirs.get("/wallboard/"))
    assert text(theirs.get(f"/wallboard/?client={acme.pk}")) == text(theirs.get("/wallboard/"))
    assert "Globex: All is well" in text(theirs.get(f"/wallboard/?client={globex.pk}"))

"""Filters under a name: kept, seen as a chip above their list, removed; each person's own."""

from __future__ import annotations

import html

import pytest

from console.pages import saved_filters
from portal.models import SavedFilter
from tests import cast
from tests.console import scene
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db


def kept(caller, name: str = "Down", query: str = "state=down", of: str = "monitors"):
    return caller.post("/filters/", {"list": of, "name": name, "query": query, "next": f"/{of}/"}, follow=True)


@pytest.mark.parametrize(
    ("of", "query"),
    [("monitors", "state=down"), ("alerts", "status=active"), ("incidents", "severity=critical"), ("deliveries", "state=failed")],
)  # fmt: skip
def test_a_filter_is_kept_seen_as_a_chip_and_removed(of, query):
    scene.outage()
    caller = browser(cast.alice())
    assert "Save this filter" not in text(caller.get(f"/{of}/"))
    assert "Save this filter" in text(caller.get(f"/{of}/?{query}"))
    page = kept(caller, "Mine", query, of)
    assert "Mine is kept above the list" in text(page) and "Save this filter" not in text(page)
    assert f'href="?{query}" aria-current="true"' in page.content.decode()
    (row,) = SavedFilter.objects.all()
    gone = caller.post(f"/filters/{row.pk}/delete/", {"next": f"/{of}/"}, follow=True)
    assert "Mine was removed" in text(gone) and not SavedFilter.objects.exists()


def test_only_what_the_list_knows_is_kept():
    kept(browser(cast.alice()), query="state=down&page=7&evil=1&q=+shop+&client=")
    assert SavedFilter.objects.get().query == "q=shop&state=down"


@pytest.mark.parametrize(
    ("name", "query", "said"),
    [
        ("", "state=down", "Give the filter a name"),
        ("x" * 61, "state=down", "Give the filter a name"),
        ("Nothing", "page=2", "filter the list first"),
        ("Long", "q=" + "x" * 201, "200 printable characters"),
        ("Line", "q=a%0Ab", "200 printable characters"),
        ("Endless", "q=" + "x" * 3000, "too long"),
        ("Many", "&".join(["q=a"] * 60), "no filter of a list"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_cure(name, query, said):
    assert said in html.unescape(text(kept(browser(cast.alice()), name, query)))
    assert not SavedFilter.objects.exists()


def test_the_same_name_replaces_and_the_twenty_first_is_refused():
    caller = browser(cast.alice())
    kept(caller, "Down", "state=down")
    kept(caller, "DOWN", "state=unknown")
    assert SavedFilter.objects.get().query == "state=unknown"
    for n in range(saved_filters.MOST - 1):
        saved_filters.keep(cast.alice(), "monitors", f"F {n}", "state=up")
    assert "remove one first" in text(kept(caller, "One more", "state=down"))
    kept(caller, "Elsewhere", "status=active", "alerts")
    assert SavedFilter.objects.filter(list="monitors").count() == 20 and SavedFilter.objects.count() == 21


def test_nobody_sees_or_removes_anothers():
    kept(browser(cast.alice()), "Alice's")
    row = SavedFilter.objects.get()
    for other in (cast.mallory(), cast.make_staff()):
        caller = browser(other)
        assert "Alice's" not in html.unescape(text(caller.get("/monitors/")))
        assert caller.post(f"/filters/{row.pk}/delete/").status_code == 404
    assert SavedFilter.objects.exists()


def test_a_list_that_cannot_be_filtered_is_not_there():
    assert kept(browser(cast.alice()), of="clients").status_code == 404
    assert browser(cast.alice()).get("/filters/").status_code == 302


def test_a_filters_name_is_text():
    page = kept(browser(cast.alice()), "<script>alert(1)</script>")
    assert "<script>alert(1)" not in page.content.decode()

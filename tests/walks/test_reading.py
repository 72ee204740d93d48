"""Reading a chart and finding a thing: does what scripts add help the pointer and the keys alike, and is it missed by nobody without?"""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from portal.clock import database_now
from tests import cast
from tests.console import scene
from tests.walks.walker import KEYS, MOUSE, PLAIN, Walker

pytestmark = pytest.mark.once


def charted():
    """A monitor with three hours behind it."""
    s = scene.outage()
    scene.results(s.up, database_now() - timedelta(minutes=13), count=180)
    return s.up


def test_a_chart_says_what_the_pointer_and_the_arrow_keys_point_at(chromium, portal):
    sam = Walker(chromium, portal, KEYS, cast.make_staff()).goes(f"/monitors/{charted().pk}/")
    page = sam.page
    chart, said = page.locator("svg.chart-band"), page.locator(".chart-band .read")
    plain = said.inner_html()
    assert plain.startswith("median to p95")
    sam.steps_to(chart)
    newest = said.inner_html()
    assert re.search(r": median \d+ ms, p95 \d+ ms$", newest) and chart.get_attribute("aria-valuetext") == newest
    sam.keys("ArrowLeft")
    assert re.search(r": median \d+ ms", said.inner_html()) and said.inner_html() != newest
    assert page.locator(".moment.is-read").count() == 1
    sam.keys("Home")
    assert chart.get_attribute("aria-valuenow") == "1"
    sam.keys("Tab")
    assert said.inner_html() == plain
    page.locator("svg.chart-bars .bar").last.hover()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d: 100%", page.inner_text(".bars-legend .read"))
    sam.done()


def test_without_scripts_each_moment_carries_its_words(chromium, portal):
    sam = Walker(chromium, portal, PLAIN, cast.make_staff()).goes(f"/monitors/{charted().pk}/")
    moments = sam.page.locator(".chart-band .moment > title")
    assert moments.count() > 10 and "median" in (moments.last.text_content() or "")
    assert sam.page.locator(".chart-bars .bar > title").count() == 90
    sam.done()


def test_what_is_looked_for_is_found_while_it_is_typed(chromium, portal):
    s = scene.outage()
    sam = Walker(chromium, portal, MOUSE, cast.make_staff()).goes("/deliveries/")
    page = sam.page
    sam.keys("Control+k")
    page.keyboard.type("inci")
    page.locator("#found >> text=Incidents").wait_for()
    sam.keys("Control+k")
    page.keyboard.type("shop")
    shop = page.locator("#found").get_by_role("link", name="shop").first
    shop.wait_for()
    sam.keys("ArrowDown", "ArrowUp", "ArrowDown", "Enter")
    page.wait_for_url(f"**/monitors/{s.up.pk}/")
    sam.looks().keys("/")
    page.keyboard.type("nothing of this name")
    page.locator("#found >> text=Nothing found").wait_for()
    sam.keys("Escape")
    assert not page.locator("#found").is_visible()
    sam.done()


def test_without_scripts_the_same_box_leads_to_a_page(chromium, portal):
    s = scene.outage()
    sam = Walker(chromium, portal, PLAIN, cast.make_staff()).goes("/")
    sam.page.get_by_label("Search").fill("shop")
    with sam.page.expect_navigation():
        sam.keys("Enter")
    sam.looks().follows("shop", within="main")
    assert sam.page.url.endswith(f"/monitors/{s.up.pk}/")
    sam.done()

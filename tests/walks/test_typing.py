"""While somebody types fast and the portal answers slowly: is every letter kept, and does the preview end with the last one?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

import pytest

from tests import cast
from tests.console import scene
from tests.monitors import rows
from tests.walks.walker import MOUSE, Walker

pytestmark = pytest.mark.once
FIRST, REST = "The quick", " brown fox jumps over the lazy dog, and then it begins anew without a pause."
PREVIEWS = {"/message-templates/add/": "Title", "/silences/add/": "Reason", "/maintenance/add/": "What is done", "/triggers/add/": "Name"}  # fmt: skip


@pytest.fixture
def sam(chromium: Any, portal: Any) -> Iterator[Walker]:
    """Somebody of our own staff, who complains of nothing on the way."""
    walker = Walker(chromium, portal, MOUSE, cast.make_staff())
    yield walker
    walker.done()


class Slow:
    """The portal takes its time: what a part of the page asks for is held until it is let go."""

    def __init__(self, page: Any, method: str) -> None:
        self.page, self.method = page, method
        self.held: list[Any] = []
        page.route("**/*", self.take)

    def take(self, route: Any) -> None:
        mine = self.method and route.request.method == self.method and "hx-request" in route.request.headers
        self.held.append(route) if mine else route.continue_()

    def asked(self, text: str = "") -> Any:
        """A context: by its end the page has asked, with this text in what it sends."""
        return self.page.expect_request(
            lambda r: "hx-request" in r.headers and text in unquote_plus(f"{r.url} {r.post_data}")
        )

    def let_go(self) -> None:
        """All that waits, and from now on all that comes."""
        self.method = ""
        for route in self.held:
            route.continue_()


def caret_at(page: Any, place: int) -> None:
    """Put it there with the keys."""
    page.keyboard.press("Home")
    for _ in range(place):
        page.keyboard.press("ArrowRight")


@pytest.mark.parametrize("paths", [[*PREVIEWS][:2], pytest.param([*PREVIEWS][2:], marks=pytest.mark.soak)], ids=["two", "rest"])  # fmt: skip
def test_previews_take_no_letter_and_end_with_the_last(sam, paths):
    scene.outage()
    for path in paths:
        _typed_fast(sam, path)


def _typed_fast(sam: Walker, path: str) -> None:
    page = sam.goes(path).page
    field, slow = page.get_by_label(PREVIEWS[path]).first, Slow(page, "POST")
    field.focus()
    with slow.asked(FIRST):
        page.keyboard.type(FIRST)
    page.keyboard.type(REST)  # while the first answer is still under way
    caret_at(page, 3)
    with page.expect_response(lambda a: a.request.method == "POST" and FIRST + REST in unquote_plus(a.request.post_data)):  # fmt: skip
        slow.let_go()
    if "message-templates" in path:
        page.locator("#preview").get_by_text(FIRST + REST).first.wait_for()
    assert field.input_value() == FIRST + REST
    assert field.evaluate("e => [e === document.activeElement, e.selectionStart]") == [True, 3]
    page.unroute("**/*")


def test_what_is_typed_while_another_clients_places_are_looked_up_stays(sam):
    scene.outage()
    cast.globex()
    rows.probe("paris", name="Paris", network="AS1")
    page = sam.goes("/monitors/add/").page
    page.locator("details:not(.menu)").evaluate_all("all => all.forEach(one => { one.open = true; })")
    slow = Slow(page, "POST")
    with slow.asked():
        page.locator("#id_client").select_option(label="Globex")
    page.locator("#id_quorum").fill("1")
    page.locator("#id_quorum").fill("23")
    page.evaluate("() => { document.getElementById('where').dataset.old = 'yes'; }")
    slow.let_go()
    page.wait_for_selector("#where:not([data-old])")
    assert page.locator("#id_quorum").input_value() == "23"
    assert page.evaluate("document.activeElement.id") == "id_quorum"


def test_a_refresh_that_comes_late_leaves_alone_who_began_to_write(sam):
    s = scene.outage()
    page = sam.goes(f"/incidents/{s.incident.pk}/").page
    page.wait_for_load_state("networkidle")
    slow, field = Slow(page, "GET"), page.get_by_label("Message")
    with slow.asked():
        page.evaluate("htmx.trigger('#live', 'refresh')")
    field.focus()
    page.keyboard.type(FIRST)
    caret_at(page, 3)
    with page.expect_response(lambda a: "hx-request" in a.request.headers):
        slow.let_go()
    page.keyboard.type("n")
    assert field.input_value() == "Then quick" and page.evaluate("document.activeElement.id") == "id_message"

"""S8, LOOK: the public page in a real browser: nothing that people write ever runs, nothing is asked for elsewhere, it fits a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from statuspages.models import Projection
from tests.statuspages import hostile, showing
from tests.statuspages.showing import AT

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture
def window(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A headless Chromium's page on a phone; `window.complaints` are dialogs, errors, refusals, requests to elsewhere."""
    sync = pytest.importorskip("playwright.sync_api", reason="NOT RUN: playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"NOT RUN: there is no {CHROMIUM}")
    # Playwright's own event loop in this thread must not forbid the ORM here.
    monkeypatch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
        page.set_default_timeout(60_000)
        page.complaints = []
        home = urlsplit(live_server.url).netloc

        def heard_dialog(dialog: Any) -> None:
            page.complaints.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        def heard_request(request: Any) -> None:
            if urlsplit(request.url).netloc != home:
                page.complaints.append(f"request: {request.url}")

        page.on("dialog", heard_dialog)
        page.on("request", heard_request)
        page.on("pageerror", lambda error: page.complaints.append(f"error: {error}"))
        page.on(
            "console",
            lambda said: (
                page.complaints.append(f"{said.type}: {said.text}") if said.type in ("error", "warning") else None
            ),
        )
        yield page
        browser.close()


def hostile_page() -> Any:
    """Every text in every field of a page: names, texts, parts, groups, incidents, updates, works, styles."""
    page = showing.page(custom_css=hostile.STYLES, support_url="javascript:alert(1)")
    parts = []
    for n, text in enumerate(hostile.TEXTS):
        group = showing.group(page, text[:120]) if n % 10 == 0 else None
        parts.append(showing.component(page, text[:120], showing.monitor("up"), description=text[:300], group=group))
        if n % 3 == 0:
            planned = showing.work(page, text[:200], components=[parts[-1]], message=text)
            planned.updates.create(status="scheduled", message=f"{text} ", created_at=AT)
        told = showing.incident(page, text[:200], message=text, components=[parts[-1]])
        told.publications.update(title=text[:200] if n % 2 else "")
    together = "\n\n".join(hostile.TEXTS)
    page.about, page.announcement = together, together
    page = showing.build(page)
    # Longer than these fields are: what is rendered is the data, wherever they came from.
    body = page.projection.body
    body["page"] |= {"name": together, "headline": together}
    Projection.objects.update(body=body)
    return page


def test_nothing_that_people_write_runs_or_asks_elsewhere(live_server, window):
    assert len(hostile.TEXTS) >= 100
    page = hostile_page()
    publication = page.publications.first().pk
    for address in (
        "",
        "history/2026-11/",
        f"incidents/{publication}/",
        "embed/",
        "badge.svg",
        "icon.svg",
        "subscribe/",
    ):
        window.goto(f"{live_server.url}/status/acme/{address}", wait_until="load")
        assert (
            window.locator(
                "script, iframe, object, embed, base, form:not(#subscribe), video, audio, style, svg image, svg a, math, template"
            ).count()
            == 0
        ), address
        assert window.locator("[onerror], [onload], [onclick], [onmouseover], [onfocus], [style]").count() == 0, address
        links = window.eval_on_selector_all("a[href]", "all => all.map(a => a.protocol)")
        assert set(links) <= {"http:", "https:", "mailto:"}, address
        assert window.complaints == [], address
    window.goto(f"{live_server.url}/status/acme/")
    window.locator(".name").last.hover()
    window.locator(".days rect").last.hover()
    assert window.complaints == []


def test_a_page_fits_a_phone_and_is_read_without_javascript(live_server, window):
    page = showing.page(about="Words", show_latency=True)
    m = showing.monitor("down", "a")
    part = showing.component(page, "Checkout with a name that is rather long for a telephone", m)
    showing.rolled(m, AT.replace(hour=0), 12, up=60)
    showing.incident(page, components=[part])
    showing.work(page, components=[part])
    showing.build(page)
    browser = window.context.browser
    for scheme in ("light", "dark"):
        reader = browser.new_context(
            viewport={"width": 390, "height": 844}, java_script_enabled=False, color_scheme=scheme
        ).new_page()
        reader.goto(f"{live_server.url}/status/acme/")
        assert reader.locator(".state").inner_text().startswith("Partial outage") and reader.context.cookies() == []
        box = reader.locator("body").bounding_box()
        assert box["width"] <= 390 and all(
            one.bounding_box()["width"] <= 390 for one in reader.locator("main > *").all()
        ), scheme
        reader.context.close()
    window.goto(f"{live_server.url}/status/acme/")
    assert window.evaluate("document.documentElement.scrollWidth") <= 390 and window.complaints == []

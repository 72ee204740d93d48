"""Where do pages stand while a test looks at them? In a real headless Chromium: one a file of tests, its windows closed after each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
DESK, PHONE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}, {"width": 360, "height": 740}

# What the content policy refused, and what stands in the page that it would refuse: kept by the page, asked for by the test.
LISTEN = """() => {
  window.refused = [];
  addEventListener('securitypolicyviolation', (event) => window.refused.push(`${event.violatedDirective}: ${event.blockedURI || event.sample}`));
}"""
# Works with scripts switched off, too: the browser's own tools ask. (A screenshot hides the caret by a style.)
INLINE = """() => [...document.querySelectorAll('*')].flatMap((element) => {
  const found = [];
  if (element.localName === 'script' && !element.src && element.type !== 'application/json') found.push(`an inline script: ${element.textContent.slice(0, 60)}`);
  for (const { name, value } of element.attributes) {
    if (name.startsWith('on')) found.push(`${name} on ${element.outerHTML.slice(0, 90)}`);
    if (name === 'style' && !value.includes('caret-color')) found.push(`style on ${element.outerHTML.slice(0, 90)}`);
    if (['href', 'src', 'action', 'formaction'].includes(name) && /^javascript:/i.test(value.trim())) found.push(`${name}=${value}`);
  }
  return found;
})"""
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# What is pressed or filled in with a finger. A box to tick is as large as its label; a link in a sentence is no control.
SMALL = """() => [...document.querySelectorAll('button, input:not([type=hidden]), select, textarea, summary, .btn, .chip, nav a')].flatMap((control) => {
  if (control.tabIndex < 0 || !control.checkVisibility({ visibilityProperty: true, opacityProperty: true })) return [];
  const boxes = [control, ...(['checkbox', 'radio'].includes(control.type) ? control.labels : [])].map((one) => one.getBoundingClientRect());
  const shown = boxes.filter((box) => box.width > 1 && box.height > 1);
  const large = shown.some((box) => box.width >= 24 && box.height >= 23.9);
  const said = control.getAttribute('aria-label') || control.textContent.trim().slice(0, 40) || control.name;
  return !shown.length || large ? [] : [`${control.localName} “${said}” of ${Math.round(boxes[0].width)} × ${Math.round(boxes[0].height)} px`];
})"""


@pytest.fixture
def chromium(request: pytest.FixtureRequest) -> Any:
    """A headless Chromium for all tests of the file, without windows."""
    module = request.node.getparent(pytest.Module)
    browser = module.stash.get(_STARTED, None) or _start(module)
    yield browser
    for window in browser.contexts:
        window.close()


_STARTED = pytest.StashKey[Any]()


def _start(module: pytest.Module) -> Any:
    sync = pytest.importorskip("playwright.sync_api", reason="NOT RUN: playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"NOT RUN: there is no {CHROMIUM}")
    patch = pytest.MonkeyPatch()
    # Playwright's own event loop in this thread must not forbid the ORM here.
    patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    playwright = sync.sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
    module.stash[_STARTED] = browser
    endings: tuple[Callable[[], object], ...] = (patch.undo, playwright.stop, browser.close)
    for end in endings:  # the last one named ends first
        module.addfinalizer(end)
    return browser


def keep(page: Any, name: str) -> None:
    """A picture for somebody who looks at the tests' pages, in the folder that WATCHKEEPER_SCREENSHOTS names."""
    if folder := os.environ.get("WATCHKEEPER_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def complaints(page: Any) -> list[str]:
    """What is wrong with the page that stands in the window, as everybody's pages must not be."""
    return [*page.evaluate("() => window.refused || []"), *page.evaluate(INLINE)]


def misfits(page: Any) -> list[str]:
    """What a narrow window cannot show, or a finger cannot hit."""
    wide = page.evaluate(TOO_WIDE)
    return [*([f"{wide} px too wide"] if wide > 0 else []), *page.evaluate(SMALL)]

"""How are the guides' pictures made? By a walk through their stage, in a real browser: `make pictures`. No test by itself."""

from __future__ import annotations

import base64
from typing import Any

from console import guides
from tests.walks.gallery import ADDRESS, PICTURES, WIDE
from tests.walks.test_pictures import bell, page_of, set_up  # noqa: F401 - fixtures
from tests.walks.walker import MOUSE, Walker

# The times of day at which it was drawn, and the test server's address, say nothing to a reader.
STILL = """(address) => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode, now = text.data.replaceAll(location.origin, address).replaceAll(location.host, new URL(address).host);
    const still = text.parentElement.closest('time') ? now.replace(/\\b\\d{1,2}:\\d\\d(:\\d\\d)?\\b/, (all, seconds) => (seconds ? '14:32:08' : '14:32')) : now;
    if (still !== text.data) text.data = still;
  }
  document.querySelectorAll('.foot, .skip').forEach((part) => part.remove());
}"""


def test_draw_the_pictures(chromium: Any, portal: Any, set_up: Any) -> None:  # noqa: F811
    folder = guides.PICTURES
    folder.mkdir(exist_ok=True)
    for name, picture in PICTURES.items():
        user = picture.who() if picture.who else None
        walker = Walker(chromium, portal, MOUSE, user, viewport={"width": WIDE, "height": picture.high + 60})
        page = walker.goes(picture.path(set_up)).page
        page.wait_for_load_state("networkidle")
        page.evaluate(STILL, ADDRESS)
        top = page.locator(picture.of).first.evaluate("e => e.getBoundingClientRect().top + scrollY")
        clip = {"x": 0, "y": top, "width": WIDE, "height": picture.high, "scale": 1}
        shot = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": 82, "clip": clip, "captureBeyondViewport": True})  # fmt: skip
        (folder / f"{name}.webp").write_bytes(base64.b64decode(shot["data"]))
        (folder / f"{name}.txt").write_text(page_of(picture, set_up), encoding="utf-8")
        walker.done()

"""How does somebody do it? One walk, told once, done by mouse, by keys alone, without scripts, or by a finger on a narrow phone."""

from __future__ import annotations

from typing import Any

from django.test import Client as Browser

from tests.walks.window import DESK, LISTEN, NARROW, complaints, keep, misfits

MOUSE, KEYS, PLAIN, PHONE = "mouse", "keys", "plain", "phone"
STEPS = 250  # more than any page has places to step to
# Where the keyboard is: is it there, has it moved, can it be seen, does nothing lie over it.
HERE = """(wanted) => {
  const it = document.activeElement, style = getComputedStyle(it);
  const moved = window.lastStep !== it;
  window.lastStep = it;
  if (it === document.body) return { arrived: false, moved: true, seen: true, clear: true, what: 'the page' };
  const boxes = [...it.getClientRects()].filter((box) => box.width && box.height);
  const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1 || style.boxShadow !== 'none';
  const clear = boxes.some((box) => [.5, .1, .9].some((part) => {
    const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height * part);
    return top && (it.contains(top) || top.contains(it));
  }));
  return { arrived: it === wanted, moved, seen: ring && boxes.length > 0, clear, what: it.outerHTML.slice(0, 160) };
}"""

# Is it new here? Not once round, nor out of the page.
ONCE = """() => {
  const it = document.activeElement, known = it === document.body || window.stepped.has(it);
  window.stepped.add(it);
  return !known;
}"""
MISSED = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
  .filter((one) => one.tabIndex >= 0 && !one.disabled && one.type !== 'hidden' && one.checkVisibility({ visibilityProperty: true }) && !window.stepped.has(one))
  .filter((one) => one.type !== 'radio').map((one) => one.outerHTML.slice(0, 120))"""


class Walker:
    """Somebody with a window, and a manner of using it. `done()` says what was wrong with any page on the way."""

    def __init__(self, chromium: Any, live_server: Any, manner: str, user: Any = None, **options: Any) -> None:
        self.manner, self.base = manner, live_server.url
        phone = manner == PHONE
        options = {"viewport": NARROW if phone else DESK, "has_touch": phone, "reduced_motion": "reduce"} | options
        self.window = chromium.new_context(java_script_enabled=manner != PLAIN, **options)
        self.window.add_init_script(f"({LISTEN})()")
        if user is not None:
            session = Browser()
            session.force_login(user)
            cookie = {"name": "sessionid", "value": session.cookies["sessionid"].value, "url": self.base}
            self.window.add_cookies([cookie])
        self.page = self.window.new_page()
        self.page.set_default_timeout(60_000)
        self.wrong: list[str] = []
        self.page.on(
            "console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))

    # --- Where one is -----------------------------------------------------------------------------------------------------
    def goes(self, path: str) -> Walker:
        """Open an address: a bookmark, or the link of a message."""
        self.page.goto(path if path.startswith("http") else self.base + path)
        return self.looks()

    def looks(self) -> Walker:
        """At the page that stands there now."""
        where = self.page.url.removeprefix(self.base)
        found = complaints(self.page) + (misfits(self.page) if self.manner == PHONE else [])
        self.wrong += [f"{where}: {one}" for one in found]
        keep(self.page, f"{self.manner}{where.partition('?')[0].replace('/', '-')}")
        return self

    def reads(self, text: str) -> Walker:
        """Wait until it says so."""
        self.page.get_by_text(text).first.wait_for()
        return self

    def reloads(self) -> Walker:
        """Look again: a public page may be kept by the browser for a while, and without scripts nothing follows by itself."""
        self.page.reload()
        return self.looks()

    # --- What one does -------------------------------------------------------------------------------------------------------
    def follows(self, name: str, within: str = "body") -> Walker:
        """A link that leads to another page."""
        return self._leads(self.page.locator(within).get_by_role("link", name=name).first, "Enter")

    def presses(self, name: str, within: str = "body") -> Walker:
        """A button that sends a form."""
        return self._leads(self.page.locator(within).get_by_role("button", name=name, exact=True).first, "Enter")

    def unfolds(self, selector: str) -> Walker:
        """What is folded away."""
        summary = self.page.locator(f"{selector} > summary").first
        self._acts(summary, "Enter")
        return self

    def types(self, label: str, text: str) -> Walker:
        """Into the field of this label, in the place of what stood there."""
        field = self.page.get_by_label(label).first
        if self.manner == KEYS:
            self.steps_to(field)
            self.page.keyboard.press("Control+a")
            self.page.keyboard.type(text)
        else:
            field.fill(text)
        return self

    def chooses(self, label: str, option: str) -> Walker:
        """One of a list."""
        field = self.page.get_by_label(label).first
        if self.manner == KEYS:
            self.steps_to(field)
            self.page.keyboard.type(option)
        else:
            field.select_option(label=option)
        assert field.evaluate("e => e.selectedOptions[0].label") == option
        return self

    def ticks(self, label: str) -> Walker:
        """A box, if it is not ticked yet."""
        box = self.page.get_by_label(label).first
        if not box.is_checked():
            self._acts(box, "Space")
        assert box.is_checked()
        return self

    def keys(self, *keys: str) -> Walker:
        """One after the other."""
        for key in keys:
            self.page.keyboard.press(key)
        return self

    def steps_round(self) -> Walker:
        """Tab through the whole page, until the keyboard leaves it: every place that can be seen was stepped on."""
        self.page.evaluate("() => { window.stepped = new Set(); document.activeElement.blur(); }")
        for _ in range(STEPS):
            self.page.keyboard.press("Tab")
            self._stands_well()
            if not self.page.evaluate(ONCE):
                break
        missed = self.page.evaluate(MISSED)
        self.wrong += [f"{self.page.url}: Tab never comes to {one}" for one in missed]
        return self

    def done(self) -> None:
        """Say all that was wrong on the way."""
        self.window.close()
        assert not self.wrong, "\n".join(dict.fromkeys(self.wrong))

    # --- How ---------------------------------------------------------------------------------------------------------------------
    def _leads(self, control: Any, key: str) -> Walker:
        with self.page.expect_navigation():
            self._acts(control, key)
        return self.looks()

    def _acts(self, control: Any, key: str) -> None:
        if self.manner == KEYS:
            self.steps_to(control)
            self.page.keyboard.press(key)
        elif self.manner == PHONE:
            control.tap()
        else:
            control.click()

    def steps_to(self, control: Any) -> None:
        """By the Tab key alone; at each place the focus must have moved, be seen, and lie under nothing."""
        wanted = control.element_handle()
        for _ in range(STEPS):
            self.page.keyboard.press("Tab")
            if self._stands_well(wanted):
                return
        raise AssertionError(f"no {STEPS} steps of Tab lead to {control}")

    def _stands_well(self, wanted: Any = None) -> bool:
        """Is this the place? Wherever it is, the keyboard can be seen there."""
        here = self.page.evaluate(HERE, wanted)
        assert here["moved"], f"the keyboard is caught on {here['what']}"
        if not (here["seen"] and here["clear"]):
            hidden = "shows no focus" if not here["seen"] else "is covered while it has the focus"
            self.wrong.append(f"{self.page.url}: {here['what']} {hidden}")
        return bool(here["arrived"])

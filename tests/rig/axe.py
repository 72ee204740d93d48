"""Can everybody use this page? axe-core, inside a real headless Chromium, says what breaks WCAG 2.2 A or AA, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
COLOURED = ("color-contrast", "link-in-text-block")  # the rules whose answer a theme changes
LIGHT, DARK = "light", "dark"

# Folded parts are pages too: they are opened before the look. A menu stays closed, for it would lie above what is below it.
# Two frames later the page's own script has seen it.
UNFOLD = """async () => {
  document.querySelectorAll('details:not(.menu)').forEach(one => { one.open = true; });
  for (let frame = 0; frame < 2; frame++) await new Promise(done => requestAnimationFrame(done));
}"""
# A theme that fades in would be measured half-way.
RUN = """async options => {
  document.getAnimations().forEach(one => one.finish());
  const found = await axe.run(document, {...options, resultTypes: ['violations'], elementRef: false, preload: false});
  return found.violations.flatMap(rule => rule.nodes.map(node => ({
    rule: rule.id, help: rule.help, url: rule.helpUrl, element: node.target.flat().join(' '), html: node.html, why: node.failureSummary,
  })));
}"""


@dataclass(frozen=True, slots=True)
class Barrier:
    """One element of one page that somebody cannot use."""

    page: str
    theme: str
    rule: str
    help: str
    url: str
    element: str
    html: str
    why: str

    def __str__(self) -> str:
        why = "\n      ".join(self.why.splitlines())
        return f"{self.page} ({self.theme}): {self.rule}: {self.help}\n      {self.element}\n      {self.html[:300]}\n      {why}\n      {self.url}"


def look(
    window: Any, name: str, *, without: Sequence[str] = (), themes: Iterable[str] = (LIGHT, DARK)
) -> list[Barrier]:
    """What is wrong with the page that stands in the window; `without` names rules that are not asked.

    The first theme is asked every rule, the others those that look at colours.
    """
    window.evaluate(UNFOLD)
    window.evaluate(AXE_SCRIPT)
    found = []
    for n, theme in enumerate(themes):
        window.emulate_media(color_scheme=theme)
        rules = (
            {"type": "rule", "values": [r for r in COLOURED if r not in without]}
            if n
            else {"type": "tag", "values": list(TAGS)}
        )
        options = {"runOnly": rules, "rules": {} if n else {rule: {"enabled": False} for rule in without}}
        found += [Barrier(name, theme, **one) for one in window.evaluate(RUN, options)]
    return found


def told(barriers: Sequence[Barrier]) -> str:
    """All of them in words, for the message of a failing test."""
    return f"{len(barriers)} elements break WCAG 2.2 AA:\n\n" + "\n\n".join(str(one) for one in barriers)

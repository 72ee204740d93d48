"""What does a maintenance window cover? Its scopes and tags together, within its client (SPEC RTE-6)."""

from __future__ import annotations

from dataclasses import dataclass

from alerts.engine.holding import Facts
from alerts.engine.routing import scopes_of


@dataclass(frozen=True, slots=True)
class Window:
    """A window as the engine sees it: one scope or one tag is enough; without any it is its whole client's."""

    id: int
    client: int | None = None
    scopes: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()


def covers(w: Window, f: Facts) -> bool:
    """Does the work touch this? A client's window never touches another client, whatever it names."""
    if w.client is not None and w.client != f.client:
        return False
    if not w.scopes and not w.tags:
        return w.client is not None
    return bool(w.scopes & scopes_of(f) or w.tags & f.tags)

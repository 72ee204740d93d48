"""From where is a monitor watched, and what does a template say? The fields of monitors that need a look at others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.configuration.forms import LEFT, Json, Path, Taking, Words
from monitors import checks
from monitors.models import Probe


def usual_timeout(values: Mapping[str, Any]) -> float:
    """Ten seconds, or the interval when that is shorter."""
    interval = values.get("interval_seconds", 60)
    return min(10.0, float(interval)) if isinstance(interval, int | float) else 10.0


def usual_slug(values: Mapping[str, Any]) -> Any:
    """The name in a heartbeat's address is chosen once, from its name."""
    return LEFT if values.get("kind") == "heartbeat" else ""


def built_in() -> list[str]:
    """The probes that watch what nobody gave a place."""
    return sorted(Probe.objects.filter(built_in=True, enabled=True).values_list("slug", flat=True))


def places_of(m: Any) -> list[str] | None:
    """Where it is watched from, when that was chosen by name: None for the portal itself, and for what a rule chooses."""
    if m.probe_rule or checks.KINDS[m.kind].passive:
        return None
    views = list(m.views.all())
    if all(view.probe.built_in for view in views):
        return None
    return sorted(view.probe.slug for view in views)


def rule_of(m: Any) -> dict[str, Any]:
    """Its rule."""
    return m.probe_rule


class Probes(Words):
    """Probes by slug; nothing is the portal's own."""

    def __init__(self) -> None:
        super().__init__(ordered=False)

    def show(self, value: Any, at: Any) -> Any:
        return value

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        return built_in() if value is None else super().take(value, at, path)


class TemplateValues(Json):
    """What a template says. A rule for probes that nobody writes any more is taken away, which has to be said."""

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        if at.row is not None and "probe_rule" in at.row.values and isinstance(value, dict):
            return {"probe_rule": {}, **value}
        return value

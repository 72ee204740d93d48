"""How is a group of monitors doing: as badly as its worst child.

Passive. facts: {"children": [{"name": str, "state": str}]}. Paused, maintained and unknown children do not count.
"""

from typing import Any, ClassVar

from pydantic import Field, field_validator

from .base import Check, CheckConfig, Context, Outcome, Status

WORST_FIRST = {"down": Status.FAILING, "degraded": Status.DEGRADED}
NAMED = 5


class GroupConfig(CheckConfig):
    """Which monitors belong together."""

    monitor_ids: tuple[int, ...] = Field(
        title="Monitors",
        min_length=1,
        max_length=500,
        description="Ids of the monitors in the group.",
        examples=[[7, 9]],
    )

    @field_validator("monitor_ids")
    @classmethod
    def _distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(number < 1 for number in value):
            raise ValueError("A monitor id is a positive number")
        if len(set(value)) != len(value):
            raise ValueError("A monitor is named twice")
        return value


def judge(facts: dict[str, Any]) -> Outcome:
    """Pure: the worst state wins; nobody known is unknown."""
    children = facts.get("children") or []
    outcome = Outcome(Status.UP)
    for state, status in WORST_FIRST.items():
        names = [str(child["name"]) for child in children if child["state"] == state]
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            words = f"{len(names)} of {len(children)} {state}: {', '.join(names[:NAMED])}{more}"
            outcome.settle(status, words, "children")
            return outcome
    up = sum(child["state"] == "up" for child in children)
    if up:
        outcome.settle(Status.UP, f"{up} of {len(children)} up")
    else:
        outcome.settle(Status.UNKNOWN, "No child has a known state")
    return outcome


class GroupCheck(Check):
    """The worst of its children."""

    kind: ClassVar[str] = "group"
    label: ClassVar[str] = "Group of monitors"
    Config = GroupConfig
    passive: ClassVar[bool] = True
    main_field: ClassVar[str] = "monitor_ids"

    @classmethod
    def target(cls, config: GroupConfig) -> str:
        """N monitors"""
        return f"{len(config.monitor_ids)} monitors"

    @classmethod
    async def run(cls, config: GroupConfig, ctx: Context) -> Outcome:
        """Judge the children's states."""
        return judge(ctx.facts)

"""What did an outside script last report, and is that report still fresh?

Passive. facts: {"pushed_at": datetime | None, "status": "up" | "degraded" | "failing", "message": str, "latency_ms": float | None}.
"""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from .base import Check, CheckConfig, Context, Outcome, Status

STATUSES = {"up": Status.UP, "degraded": Status.DEGRADED, "failing": Status.FAILING, "down": Status.FAILING}


class PushConfig(CheckConfig):
    """How long a report counts."""

    ttl_seconds: int = Field(
        300,
        ge=5,
        le=30 * 86400,
        title="Valid for (s)",
        description="A report older than this counts as missed.",
        examples=[300],
    )


def judge(config: PushConfig, facts: dict[str, Any], now: datetime) -> Outcome:
    """Pure. Never pushed is unknown; too old is failing from `facts["deadline"]` on."""
    outcome = Outcome(Status.UP)
    pushed_at = facts.get("pushed_at")
    if pushed_at is None:
        outcome.settle(Status.UNKNOWN, "No result has been pushed yet")
        return outcome
    deadline = pushed_at + timedelta(seconds=config.ttl_seconds)
    outcome.facts["deadline"] = deadline.isoformat()
    if now >= deadline:
        outcome.settle(Status.FAILING, f"No result was pushed for {config.ttl_seconds} s", "missed")
        return outcome
    status = STATUSES.get(str(facts.get("status", "")).lower(), Status.UNKNOWN)
    bad = status in (Status.FAILING, Status.DEGRADED)
    outcome.total_ms = facts.get("latency_ms")
    outcome.settle(status, str(facts.get("message") or ""), "pushed" if bad else "")
    return outcome


class PushCheck(Check):
    """A result posted through the API."""

    kind: ClassVar[str] = "push"
    label: ClassVar[str] = "Pushed result"
    Config = PushConfig
    passive: ClassVar[bool] = True
    main_field: ClassVar[str] = "ttl_seconds"

    @classmethod
    def target(cls, config: PushConfig) -> str:
        """pushed, valid N s"""
        return f"pushed, valid {config.ttl_seconds} s"

    @classmethod
    async def run(cls, config: PushConfig, ctx: Context) -> Outcome:
        """Judge the last pushed result at `ctx.now()`."""
        return judge(config, ctx.facts, ctx.now())

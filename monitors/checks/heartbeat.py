"""Has the job reported in time, and did it succeed?

Passive: the portal puts the pings it recorded in `ctx.facts`, and this file only judges them.
facts: {"last_ping": datetime | None (last success), "started_at": datetime | None (last /start), "exit": int | None}.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator, model_validator

from .base import Check, CheckConfig, Context, Outcome, Status

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
YEAR = 366 * 24 * 3600


def cron_fields(schedule: str) -> str:
    """Five cron fields, nicknames such as @daily written out; raises ValueError."""
    text = " ".join(schedule.split())
    text = NICKNAMES.get(text.lower(), text)
    if len(text.split()) != 5:
        raise ValueError("A schedule has five fields (minute hour day month weekday), such as 30 2 * * *")
    try:
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration, AssertionError, ValueError) as error:
        reason = str(error) or "it never comes round"
        raise ValueError(f"This is not a cron schedule ({reason})") from None
    return text


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The time zone; raises ValueError with an example."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, malformed (absolute or ..), or a directory
        raise ValueError("This is not a time zone; write one such as Europe/Vienna or UTC") from None


class HeartbeatConfig(CheckConfig):
    """A period, or a schedule in a time zone; and how late a ping may be."""

    period_seconds: int | None = Field(
        None, ge=10, le=YEAR, title="Period (s)", description="Longest time from one ping to the next.", examples=[3600]
    )
    grace_seconds: int = Field(
        60, ge=0, le=YEAR, title="Grace (s)", description="How late a ping may be; also how long a started job may run."
    )
    schedule: str | None = Field(
        None,
        title="Schedule",
        max_length=200,
        description="Cron fields, instead of a period: minute hour day month weekday.",
        examples=["30 2 * * *", "@daily"],
    )
    timezone: str = Field(
        "UTC",
        title="Time zone",
        max_length=64,
        description="Whose clock the schedule means.",
        examples=["Europe/Vienna"],
    )

    @field_validator("schedule", mode="before")
    @classmethod
    def _schedule(cls, value: Any) -> Any:
        return cron_fields(value) if isinstance(value, str) and value.strip() else (value or None)

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, value: str) -> str:
        zone(value)
        return value

    @model_validator(mode="after")
    def _one_of_two(self) -> "HeartbeatConfig":
        if (self.period_seconds is None) == (self.schedule is None):
            raise ValueError("Give either period_seconds or schedule, not both and not neither")
        return self


def next_due(config: HeartbeatConfig, last_ping: datetime) -> datetime:
    """When the next ping is expected (UTC). Periods are real seconds; schedules follow the local clock as Debian's cron does."""
    if config.schedule is None:
        return last_ping.astimezone(UTC) + timedelta(seconds=config.period_seconds or 0)
    local = last_ping.astimezone(zone(config.timezone))
    return next(CronSim(config.schedule, local)).astimezone(UTC)


def next_deadline(config: HeartbeatConfig, last_ping: datetime) -> datetime:
    """The moment (UTC) from which a missing ping is a missed one: when it is due, plus the grace."""
    return next_due(config, last_ping) + timedelta(seconds=config.grace_seconds)


def judge(config: HeartbeatConfig, facts: dict[str, Any], now: datetime) -> Outcome:
    """Pure. A job never heard of is unknown: new heartbeats never alert."""
    last_ping, started_at, code = facts.get("last_ping"), facts.get("started_at"), facts.get("exit")
    deadlines = [next_deadline(config, last_ping)] if last_ping else []
    running = False
    if started_at is not None and (last_ping is None or started_at > last_ping):
        running = True
        deadlines.append(started_at.astimezone(UTC) + timedelta(seconds=config.grace_seconds))
    outcome = Outcome(Status.UP)
    if deadlines:
        outcome.facts["deadline"] = min(deadlines).isoformat()
    if code:
        outcome.settle(Status.FAILING, f"The job reported exit code {code}", "exit_code")
    elif not deadlines:
        outcome.settle(Status.UNKNOWN, "No ping has arrived yet")
    elif now >= min(deadlines):
        words = "It started but did not finish in time" if running and now < deadlines[0] else "No ping arrived in time"
        outcome.settle(Status.FAILING, words if last_ping else "It started but did not finish in time", "missed")
    elif running:
        outcome.settle(Status.UP, "Running")
    else:
        late = last_ping is not None and now >= next_due(config, last_ping)
        outcome.settle(Status.UP, "Late, within its grace" if late else "On time")
    return outcome


class HeartbeatCheck(Check):
    """A job that reports by itself."""

    kind: ClassVar[str] = "heartbeat"
    label: ClassVar[str] = "Heartbeat (job reports in)"
    Config = HeartbeatConfig
    source: ClassVar[str] = "heartbeat"
    passive: ClassVar[bool] = True
    main_field: ClassVar[str] = "period_seconds"

    @classmethod
    def target(cls, config: HeartbeatConfig) -> str:
        """every N s, or the schedule and its zone"""
        if config.schedule:
            return f"{config.schedule} {config.timezone}"
        return f"every {config.period_seconds} s"

    @classmethod
    async def run(cls, config: HeartbeatConfig, ctx: Context) -> Outcome:
        """Judge the recorded pings at `ctx.now()`."""
        return judge(config, ctx.facts, ctx.now())

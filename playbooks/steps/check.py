"""Is it well now? The monitor's probes look at once, and again, until its state is as wanted or the time is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Final, Literal

from pydantic import Field

from monitors import services
from monitors.models import Monitor, ProbeState
from monitors.models.monitor import State
from playbooks.steps.base import Context, Done, NotDone, Step, StepConfig, seconds_left
from portal.audit import Actor
from portal.errors import Refused

LOOK: Final = timedelta(seconds=0.5)
AGAIN: Final = timedelta(seconds=5)  # between two rounds of checks that are asked for
WANTED: Final = {"up": (State.UP,), "not_down": (State.UP, State.DEGRADED)}
WORDS: Final = {"up": "up", "not_down": "up or degraded"}


class CheckConfig(StepConfig):
    """What to wait for."""

    wanted: Literal["up", "not_down"] = Field("up", title="Wanted state", description="not_down: degraded will do.")
    within_seconds: int = Field(120, ge=5, le=900, title="Within (seconds)")


class Check(Step):
    """Ask for fresh checks and wait for the state."""

    kind: ClassVar[str] = "check"
    label: ClassVar[str] = "Check again"
    Config = CheckConfig
    acts: ClassVar[bool] = False

    def sentence(self) -> str:
        """What is waited for."""
        return f"Have every probe of the monitor check now, and go on when it is {WORDS[self.config.wanted]}; fail when it is not within {self.config.within_seconds} s."

    def longest(self) -> int:
        """As long as it says, and a little."""
        return int(self.config.within_seconds) + 10

    def do(self, context: Context) -> Done:
        """Ask, look, ask again."""
        monitor = Monitor.objects.filter(pk=context.monitor_id).first() if context.monitor_id else None
        if monitor is None:
            raise NotDone("There is no monitor (any more) to check.")
        began = asked = context.now()
        until = began + timedelta(seconds=seconds_left(context, self.config.within_seconds))
        self._ask(monitor, asked)
        while True:
            monitor.refresh_from_db(fields=["state", "state_reason", "enabled"])
            fresh, all_ = _seen_since(monitor, began)
            seen = {"state": monitor.state, "fresh": fresh, "probes": all_}
            if monitor.state in WANTED[self.config.wanted] and fresh and fresh >= min(all_, monitor.quorum):
                return Done(f"It is {monitor.state}: {fresh} of {all_} probes have looked since.", after=seen)
            now = context.now()
            if now >= until:
                why = f": {monitor.state_reason}" if monitor.state_reason else ""
                raise NotDone(f"It is still {monitor.state}{why} ({fresh} of {all_} probes have looked).", after=seen)
            if now >= asked + AGAIN:
                asked = now
                self._ask(monitor, asked)
            context.rest(LOOK)

    def _ask(self, monitor: Monitor, at: datetime) -> None:
        try:
            services.check_now(monitor, by=Actor("Watchkeeper"), at=at)
        except Refused as error:
            raise NotDone(str(error)) from None


def _seen_since(monitor: Monitor, at: datetime) -> tuple[int, int]:
    """(probes that have looked since, all whose word counts)."""
    views = ProbeState.objects.filter(monitor=monitor, active=True, stale=False, probe__blind_since=None)
    return views.filter(last_at__gte=at).count(), views.count()

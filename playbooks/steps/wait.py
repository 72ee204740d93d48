"""How long to leave things alone before the next step?"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import ClassVar, Final

from pydantic import Field

from playbooks.steps.base import Context, Done, Step, StepConfig, seconds_left

MOST: Final = 900


class WaitConfig(StepConfig):
    """How long."""

    seconds: int = Field(ge=1, le=MOST, title="Seconds", examples=[60])


class Wait(Step):
    """Do nothing for a while."""

    kind: ClassVar[str] = "wait"
    label: ClassVar[str] = "Wait"
    Config = WaitConfig
    acts: ClassVar[bool] = False

    def sentence(self) -> str:
        """For how long."""
        return f"Wait {self.config.seconds} s."

    def longest(self) -> int:
        """As long as it says, and a little."""
        return int(self.config.seconds) + 5

    def do(self, context: Context) -> Done:
        """Rest."""
        began = time.monotonic()
        seconds = seconds_left(context, self.config.seconds)
        while (left := began + seconds - time.monotonic()) > 0:
            context.rest(timedelta(seconds=min(left, 1.0)))
        return Done(f"Waited {seconds:.0f} s.")

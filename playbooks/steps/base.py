"""What is a step? One file with `kind`, `label`, a typed `Config`, a sentence that says what it would do, and one verb.

Adding one: write the file, add its class to `KINDS` in `__init__.py`. Forms, API, plan, dry run and tests follow.
A sentence asks nobody: a dry run opens no connection. `do` is called at most once per run and step; it says before/after
values for the record and for `undo`, and tells "surely not done" (NotDone) from "perhaps done" (Unsure), for an action of
unknown outcome is never repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from portal.outbound.http import Request, Response

Secret = Annotated[SecretStr, Field(json_schema_extra={"secret": True})]
MOST_OUTPUT: Final = 50 * 1024  # bytes that are kept of what a step said


class StepConfig(BaseModel):
    """A step's settings. Unknown keys are refused; fields typed `Secret` are encrypted at rest and masked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def secret_names(cls) -> tuple[str, ...]:
        """The fields that are secrets."""
        return tuple(name for name, f in cls.model_fields.items() if (f.json_schema_extra or {}).get("secret"))


class Ended(Exception):
    """How a step ended, other than well. What it said, and what was seen before and after, are for the record."""

    def __init__(
        self, message: str, *, output: str = "", before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.output, self.before, self.after = shortened(output), dict(before or {}), dict(after or {})


class NotDone(Ended):
    """The outcome is known and it is no: surely not done, or it ran and said itself that it failed. The sentence says which.

    The run fails, and what went before may be undone.
    """


class Unsure(Ended):
    """Nobody knows whether it was done. The run ends `outcome_unknown`; a person has to look, nothing is repeated."""


@dataclass(frozen=True, slots=True)
class Done:
    """It was done."""

    output: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What a step may use while it is done. The portal's conductor fills it in; `stopping()` says that it must give up."""

    run_id: int
    order: int
    plan_hash: str
    client_id: int | None
    monitor_id: int | None
    incident_id: int | None
    by: str  # who allowed it, for records elsewhere
    until: datetime  # when it has to have ended
    now: Callable[[], datetime]
    fetch: Callable[[Request], Response]  # guarded; raises portal.outbound.http.OutboundError
    rest: Callable[[timedelta], None]  # sleep; when the portal stops it ends a step that does not act, and it only
    stopping: Callable[[], bool]


class Step:
    """A kind of step."""

    kind: ClassVar[str]
    label: ClassVar[str]
    Config: ClassVar[type[StepConfig]]
    acts: ClassVar[bool] = True  # it changes something outside; one that only waits or looks may be begun anew
    undoable: ClassVar[bool] = False
    seconds: ClassVar[int] = 60  # the longest it may take

    def __init__(self, config: StepConfig) -> None:
        self.config: Any = config

    def target(self) -> str:
        """What it touches, for caps and concurrency: the same text for the same thing; "" when it touches nothing."""
        return ""

    def sentence(self) -> str:
        """Exactly what it would do, to what, from which value to which. Asks nobody."""
        raise NotImplementedError

    def undo_sentence(self) -> str:
        """How it would be undone; "" when it cannot be."""
        return ""

    def problem(self, client_id: int | None) -> str:
        """Why it cannot be done now, from what the portal has stored (a probe is away, an action unknown); "" when it can.

        `client_id` is the playbook's own (None: the MSP's), not that of a run.
        """
        return ""

    def longest(self) -> int:
        """Seconds that it may take."""
        return self.seconds

    def do(self, context: Context) -> Done:
        """Do it, once. Raises NotDone or Unsure; any other exception counts as Unsure where the step `acts`."""
        raise NotImplementedError

    def undo(self, context: Context, before: Mapping[str, Any], after: Mapping[str, Any]) -> Done:
        """Put back what `do` changed; refuse (NotDone) when it is no longer as `do` left it."""
        raise NotDone("This step cannot be undone.")


def seconds_left(context: Context, most: float) -> float:
    """Seconds until the step has to have ended, at most `most`. NotDone when there are none: nothing was begun yet."""
    left = min(most, (context.until - context.now()).total_seconds())
    if left <= 0:
        raise NotDone("Its time was over before it could begin.")
    return left


def shortened(text: str) -> str:
    """At most 50 KB of what a step said, its beginning and its end; what cannot be shown or stored is replaced."""
    text = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text.replace("\r\n", "\n"))
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MOST_OUTPUT:
        return raw.decode()
    half = (MOST_OUTPUT - 80) // 2
    head, tail = raw[:half].decode("utf-8", "ignore"), raw[-half:].decode("utf-8", "ignore")
    return f"{head}\n… {len(raw) - 2 * half} bytes left out …\n{tail}"

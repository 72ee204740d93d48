"""How does a step have something done inside a client's network? One signed order to a private probe, and a look at what came back.

The order is written once (its key names run and step) together with the note of it on the step's row. Whether it is
followed is decided by a file on the probe's machine. An order that no probe has fetched can be taken back, and then surely
nothing was done; of one that was fetched and never answered, nobody knows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final

from django.db import DatabaseError, InterfaceError, connection, transaction
from pydantic import AfterValidator, Field, StrictBool, StrictInt, StringConstraints, field_validator

from monitors import acting, probe_health
from monitors.models import Probe, ProbeJob
from monitors.probe.envelope import LIFE, MOST_PARAMS, MOST_VALUE, NAME
from playbooks import signing
from playbooks.models import RunStep
from playbooks.steps.base import Context, Done, NotDone, Step, StepConfig, Unsure
from playbooks.steps.recording import owner_of
from portal.clock import database_now
from portal.errors import Refused

LOOK: Final = timedelta(seconds=0.25)
GRACE: Final = 15  # seconds for an outcome to arrive
LOST: Final = ("disabled", "revoked", "never_seen", "silent", "clock_off")  # a probe that would not hear, or not obey


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError("A name is small letters, digits, - and _, and begins with a letter.")
    return text


def _value(value: str | int | bool) -> str | int | bool:
    if isinstance(value, str) and not (len(value) <= MOST_VALUE and value.isprintable()):
        raise ValueError(f"A value is a text of at most {MOST_VALUE} printable characters, a number, true or false.")
    return value


Name = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_name)]
Value = Annotated[StrictBool | StrictInt | str, AfterValidator(_value)]
_LINE: Final = re.compile(r"\s*([a-z0-9_-]+)\s*=\s*(.*?)\s*")


class OrderConfig(StepConfig):
    """Which probe, which of the actions that its machine allows, with which values."""

    probe: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[-a-zA-Z0-9_]{1,60}$")] = Field(
        title="Probe", description="A private probe's slug.", examples=["acme-lan"]
    )
    action: Name = Field(title="Action", description="As the file on that machine names it.", examples=["restart-web"])
    params: dict[Name, Value] = Field(
        default_factory=dict, title="Parameters", description='Name and value; in a form one a line, as colour=blue. A number in quotes is a text.',
        max_length=MOST_PARAMS,
    )  # fmt: skip
    timeout_seconds: int = Field(
        120, ge=1, le=600, title="Longest (seconds)", description="At least what the file on that machine gives it."
    )

    @field_validator("params", mode="before")
    @classmethod
    def _lines(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return {} if value is None else value
        found: dict[str, Any] = {}
        for line in filter(str.strip, value.splitlines()):
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError("Write one parameter a line, as colour=blue.")
            found[match[1]] = _typed(match[2])
        return found


def _typed(text: str) -> str | int | bool:
    if re.fullmatch(r"-?[0-9]{1,15}", text, re.ASCII):
        return int(text)
    if text in ("true", "false"):
        return text == "true"
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


class OrderStep(Step):
    """A step that a private probe carries out; kinds differ in what the machine's file calls it."""

    Config = OrderConfig
    kinds: ClassVar[tuple[str, ...]]  # of actions, as the machine's file says them
    verb: ClassVar[str]

    def target(self) -> str:
        """`probe:<slug>/<action>`; a slug never changes hands while it is there."""
        return f"probe:{self.config.probe}/{self.config.action}"

    def sentence(self) -> str:
        """Who, what, with which values."""
        c = self.config
        values = ", ".join(f"{name}={value!r}" for name, value in sorted(c.params.items()))
        return f"{self.verb} through the probe {c.probe}: its action “{c.action}” with {values or 'no parameters'}, for at most {c.timeout_seconds} s."

    def longest(self) -> int:
        """The order's life, the action's time, and what its outcome may need to arrive."""
        return LIFE + int(self.config.timeout_seconds) + GRACE + 5

    # --- Could it be done? --------------------------------------------------------------------------------------------
    def problem(self, client_id: int | None) -> str:
        """A probe that is not this playbook's, is not heard, or does not offer the action so."""
        c = self.config
        row = Probe.objects.filter(slug=c.probe).first()
        if row is None or row.built_in or (client_id is not None and row.client_id != client_id):
            return f"There is no private probe “{c.probe}” of this client."
        health = probe_health.health_of(row, database_now())
        if health.code in LOST:
            return f"The probe {c.probe} cannot be asked: {health.word.lower()}. {health.why}"
        offered = acting.offered(row)
        found = next((one for one in offered if one["name"] == c.action), None)
        if found is None:
            why = str(row.health.get("actions_why") or "")
            known = ", ".join(one["name"] for one in offered if one["kind"] in self.kinds) or "none of this kind"
            return f"The probe {c.probe} does not offer the action “{c.action}”. {why or f'It offers {known}.'}"
        if found["kind"] not in self.kinds:
            return (
                f"The action “{c.action}” is of the kind {found['kind']}; this step asks for {' or '.join(self.kinds)}."
            )
        if found["timeout_seconds"] > c.timeout_seconds:
            return f"The machine gives the action {found['timeout_seconds']} s; this step would not wait for so long ({c.timeout_seconds} s)."
        return _misfit(c.params, found["params"])

    # --- Do it ----------------------------------------------------------------------------------------------------------
    def do(self, context: Context) -> Done:
        """Order, and wait for the end of it."""
        if why := self.problem(owner_of(context)):
            raise NotDone(why)
        probe = Probe.objects.get(slug=self.config.probe)
        if probe.client_id not in (None, context.client_id):
            raise NotDone("This probe is another client's than the run's.")
        try:
            signer = signing.signer()
            with transaction.atomic():
                job = acting.order(
                    probe, self.config.action, dict(self.config.params), tenant=context.client_id or 0, plan_hash=context.plan_hash,
                    key=f"run:{context.run_id}:{context.order}", by=context.by, at=context.now(), signer=signer, seconds=LIFE,
                )  # fmt: skip
                RunStep.objects.filter(run_id=context.run_id, order=context.order).update(job=job)
        except (Refused, signing.NoKey) as error:
            raise NotDone(str(error)) from None
        return self._ended(job.pk, context)

    def _ended(self, pk: int, context: Context) -> Done:
        """Wait for the order's end; take it back when nobody fetches it."""
        until = time.monotonic() + LIFE + self.config.timeout_seconds + GRACE
        state, result = ProbeJob.State.WAITING.value, {}
        while True:
            over = time.monotonic() > until
            try:
                row = ProbeJob.objects.filter(pk=pk).values("state", "result").first()
                state, result = (row["state"], row["result"]) if row else (ProbeJob.State.UNKNOWN.value, {})
                if (over or context.stopping()) and state == ProbeJob.State.WAITING and _taken_back(pk, context.now()):
                    raise NotDone("No probe fetched the order, and it was taken back: nothing was done.")
            except (DatabaseError, InterfaceError):
                connection.close()  # the order is on its way all the same: it is waited for as long as planned
            if state not in (ProbeJob.State.WAITING, ProbeJob.State.TAKEN):
                return _told(state, result, self.config.action)
            if over:
                raise Unsure("The probe took the order and did not say how it ended.")
            context.rest(LOOK)


def _taken_back(pk: int, at: datetime) -> bool:
    moved = ProbeJob.objects.filter(pk=pk, state=ProbeJob.State.WAITING).update(state=ProbeJob.State.EXPIRED, finished_at=at)  # fmt: skip
    return bool(moved)


def _told(state: str, result: Mapping[str, Any], action: str) -> Done:
    """What an ended order means."""
    why, output = str(result.get("why") or ""), str(result.get("output") or "")
    cut = result.get("cut_bytes")
    if isinstance(cut, int) and cut > 0:
        output = f"{output}\n… {cut} bytes were left out by the probe …"
    after = {name: result[name] for name in ("exit_code", "seconds", "started_at", "finished_at") if name in result}
    match state:
        case ProbeJob.State.DONE:
            took = f" after {result['seconds']} s" if isinstance(result.get("seconds"), int | float) else ""
            return Done(output or f"{action} ended well{took}.", after=after)
        case ProbeJob.State.FAILED:
            said = why or f"“{action}” was carried out and ended with code {result.get('exit_code')}."
            raise NotDone(said, output=output, after=after)
        case ProbeJob.State.REFUSED:
            raise NotDone(f"The probe refused the order: {why or 'it did not say why.'}")
        case ProbeJob.State.EXPIRED:
            raise NotDone("The order's minute was over before the probe could begin: nothing was done.")
    raise Unsure(why or "The probe took the order and did not say how it ended.", output=output, after=after)


def _misfit(params: Mapping[str, Any], shapes: Mapping[str, Mapping[str, Any]]) -> str:
    """Why the machine would refuse these values; "" as far as can be told from here (patterns are its own)."""
    for name in sorted(params.keys() - shapes.keys()):
        return f"The action has no parameter “{name}”."
    for name, shape in shapes.items():
        value = params.get(name)
        if name not in params:
            return f"The action needs the parameter “{name}”."
        match shape["type"]:
            case "choice" if value not in shape["choices"]:
                return f"The parameter “{name}” is one of {', '.join(shape['choices'])}."
            case "int" if type(value) is not int or not shape["min"] <= value <= shape["max"]:
                return f"The parameter “{name}” is a whole number from {shape['min']} to {shape['max']}."
            case "pattern" if not isinstance(value, str):
                return f"The parameter “{name}” is a text; in a form, put a number in quotes."
    return ""

"""A monitor seen from three networks, a playbook with one step that rings a bell, people who may agree; and how it all goes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any, ClassVar

from django.db import transaction

from alerts import verdicts
from alerts.models import Alert
from monitors.models import Monitor, Probe
from playbooks import beginning, deciding, performing
from playbooks.models import Mode, Playbook, Run
from playbooks.models import Step as StepRow
from playbooks.steps.base import Context, Done, NotDone, Step, StepConfig, Unsure
from portal.audit import Actor
from portal.clock import database_now
from portal.models import User
from portal.tenancy import STAFF
from tests import cast
from tests.monitors import rows
from tests.monitors.seeing import judge, see

WORKER = "worker:1"


class BellConfig(StepConfig):
    """What the bell is called, and how it behaves."""

    name: str = "bell"
    behaves: str = "rings"  # fails, hangs up, breaks


class Bell(Step):
    """A step that only these tests know: it notes each time it was rung."""

    kind, label, Config, undoable = "bell", "Ring a bell", BellConfig, True
    heard: ClassVar[list[str]] = []

    def target(self) -> str:
        return f"bell:{self.config.name}"

    def sentence(self) -> str:
        return f"Ring the bell “{self.config.name}”."

    def undo_sentence(self) -> str:
        return f"Muffle the bell “{self.config.name}”."

    def do(self, context: Context) -> Done:
        if self.config.behaves == "fails":
            raise NotDone("The rope is gone.")
        Bell.heard.append(f"{context.run_id}.{context.order} {self.config.name}")
        if self.config.behaves == "hangs up":
            raise Unsure("It swung, but nobody heard anything.")
        if self.config.behaves == "breaks":
            raise KeyError("clapper")
        return Done("ding", {"quiet": True}, {"quiet": False})

    def undo(self, context: Context, before: Any, after: Any) -> Done:
        Bell.heard.append(f"{context.run_id}.{context.order} {self.config.name} muffled")
        return Done("hush", after, before)


class _Fields(HTMLParser):
    """What a browser would send back, form by form."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self.select, self.area = "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        a = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({})
        form = self.forms[-1] if self.forms else {}
        name = a.get("name", "")
        if tag == "input" and name and (a.get("type") not in ("checkbox", "radio", "submit") or "checked" in a):
            form.setdefault(name, []).append(a.get("value", "on" if a.get("type") in ("checkbox", "radio") else ""))
        self.select = name if tag == "select" else self.select
        if tag == "option" and "selected" in a and self.select:
            form[self.select] = [a.get("value", "")]
        if tag == "textarea":
            self.area = name
            form[name] = [""]

    def handle_data(self, data: str) -> None:
        if self.area:
            self.forms[-1][self.area] = [self.forms[-1][self.area][0] + data.lstrip("\n")]

    def handle_endtag(self, tag: str) -> None:
        self.area = "" if tag == "textarea" else self.area
        self.select = "" if tag == "select" else self.select


def sent_back(answer: Any, holding: str) -> dict[str, list[str]]:
    """The fields of the page's form that has a field of this name, as they would be sent untouched."""
    parser = _Fields()
    parser.feed(answer.content.decode())
    return next(form for form in parser.forms if holding in form)


def probes() -> list[Probe]:
    """Three regions in three networks."""
    return [rows.probe(), rows.probe("paris", network="AS1"), rows.probe("oslo", network="AS2")]


def approver(name: str = "bob") -> User:
    """One of our own staff."""
    return cast.person(f"{name}@msp.example", STAFF)


def playbook(*bells: str, mode: str = Mode.APPROVAL, behaves: str = "rings", **values: Any) -> Playbook:
    """A playbook of Acme's that rings these bells."""
    more = {"automatic_since": database_now(), "automatic_by": "Olivia"} if mode == Mode.AUTOMATIC else {}
    row = Playbook.objects.create(
        client=values.pop("client", cast.acme()), name=values.pop("name", "Ring"), mode=mode, **more, **values
    )
    for order, name in enumerate(bells or ("main",), 1):
        StepRow.objects.create(playbook=row, order=order, kind="bell", config={"name": name, "behaves": behaves})
    return row


@dataclass
class Scene:
    """A monitor with its probes; `at` is the moment that everything believes it to be."""

    monitor: Monitor
    probes: list[Probe]
    at: datetime = field(default_factory=lambda: database_now() - timedelta(minutes=5))

    def seen(self, letters: str, seconds: float = 1) -> None:
        """What the probes see, one letter each (a dot: nothing); then it is judged."""
        self.at += timedelta(seconds=seconds)
        for letter, probe in zip(letters, self.probes, strict=True):
            if letter != ".":
                see(self.monitor, letter, self.at, probe)
        judge(self.at)

    def down(self, letters: str = "fff") -> Alert:
        """It was well, and is confirmed as down."""
        self.seen("uuu")
        for _ in range(2):
            self.seen(letters)
        return Alert.objects.get(monitor_id=self.monitor.pk, condition="health", resolved_at=None)

    def explained(self, layer: str = "service", confidence: float = 0.95) -> Alert:
        """The diagnosis says where it lies."""
        alert = Alert.objects.get(monitor_id=self.monitor.pk, condition="health", resolved_at=None)
        verdict = {"summary": f"It is the {layer}.", "layer": layer, "confidence": confidence}
        with transaction.atomic():
            verdicts.attach(alert, verdict, {}, "", at=self.at)
        return Alert.objects.get(pk=alert.pk)

    def well(self) -> None:
        """It recovers."""
        self.at = max(self.at, database_now())
        self.seen("uuu")


def scene(**values: Any) -> Scene:
    """A monitor that three probes watch; two have to agree."""
    known = probes()
    return Scene(rows.monitor(name="shop", probes=known, quorum=values.pop("quorum", 2), **values), known)


def says(run: Run, user: User, word: str = "approve", **more: Any) -> Run:
    """This person decides, now."""
    door = deciding.approve if word == "approve" else deciding.deny
    values = {
        "plan_hash": run.plan_hash,
        "how": "totp",
        "by": Actor(user.email, user_id=user.pk),
        "at": database_now(),
        **more,
    }
    return door(run, user, **values)


def carried_out(run: Run, meanwhile: Any = None, worker: str = WORKER) -> Run:
    """Begin the run and carry it out to its end; `meanwhile()` happens each time it waits."""
    beginning.begin(run.pk, worker, database_now())
    performer = performing.Performer(run.pk, worker, threading.Event())
    performer._rest = lambda span: meanwhile() if meanwhile else None  # type: ignore[method-assign]
    performer.perform()
    run.refresh_from_db()
    return run


def only_run() -> Run:
    return Run.objects.get()

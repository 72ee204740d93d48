"""What does a step find when it is carried out? A context as the portal's conductor makes it, and rows for those that need them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from playbooks import steps
from playbooks.fetching import fetch
from playbooks.models import Playbook, Run, RunState, RunStep, StepState
from playbooks.steps.base import Context, Step
from portal.clock import database_now
from portal.models import Client
from tests import cast

PLAN_HASH = "5c" * 32
CONTEXT = Context(
    run_id=5, order=2, plan_hash=PLAN_HASH, client_id=None, monitor_id=None, incident_id=None, by="olga@msp.example",
    until=datetime.max.replace(tzinfo=UTC), now=lambda: datetime.now(UTC), fetch=fetch, rest=lambda span: time.sleep(min(0.01, span.total_seconds())),
    stopping=lambda: False,
)  # fmt: skip


def made(kind: str, **given: Any) -> Step:
    """A step of these settings, through the store's form and back."""
    config, secrets = steps.split(kind, given)
    return steps.build(kind, config, secrets)


def example(kind: str) -> dict[str, Any]:
    """Settings as the fields' own examples say, and what the first provider of a DNS swap needs."""
    fields = steps.KINDS[kind].Config.model_fields
    needed = {"server", "key_name", "key_secret"} if kind == "dns_swap" else set()
    return {n: f.examples[0] for n, f in fields.items() if f.examples and (f.is_required() or n in needed)}


def playbook(of: Client | None = None, name: str = "Fail over") -> Playbook:
    """One of the client's, or (None) the MSP's own."""
    return Playbook.objects.get_or_create(client=of, name=name)[0]


def run(book: Playbook | None = None, **values: Any) -> Run:
    """A run of Acme's that acts."""
    book, at = book or playbook(cast.acme()), database_now()
    about: dict[str, Any] = {
        "playbook": book, "playbook_name": book.name, "playbook_version": book.version, "client": cast.acme(), "monitor": cast.monitor(), "mode": "approval",
        "state": RunState.RUNNING, "plan_hash": PLAN_HASH, "created_at": at, "acted_at": at,
    }  # fmt: skip
    return Run.objects.create(**{**about, **values})


def context(of: Run, kind: str, rest: Callable[[timedelta], None] = CONTEXT.rest, **more: Any) -> Context:
    """For the run's second step, which has begun."""
    RunStep.objects.create(run=of, order=2, kind=kind, state=StepState.RUNNING, started_at=database_now())
    return replace(
        CONTEXT, run_id=of.pk, client_id=of.client_id, monitor_id=of.monitor_id, incident_id=of.incident_id, now=database_now, rest=rest, **more
    )  # fmt: skip


def row(of: Run) -> RunStep:
    """That step, as it is stored."""
    return RunStep.objects.get(run=of, order=2)

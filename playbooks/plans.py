"""What exactly would it do? The frozen plan of a run, and the hash that people approve and orders to probes name.

Made from stored settings alone: nothing is asked of anybody, so a dry run opens no connection.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from playbooks import steps
from playbooks.models import Playbook, Run, RunStep, StepState
from playbooks.models import Step as StepRow
from playbooks.steps.base import Step
from portal.secrets import CannotOpen

LONGEST_KEY = 300  # characters, as RunTarget.key


@dataclass(frozen=True, slots=True)
class Plan:
    """Entries `{order, kind, label, sentence, undo, target, acts, problem, seconds}` and what they touch."""

    entries: list[dict[str, Any]]

    @property
    def targets(self) -> list[str]:
        """What it touches, each once, in order."""
        return list(dict.fromkeys(e["target"] for e in self.entries if e["target"]))

    @property
    def problems(self) -> list[str]:
        """Why it could not be carried out now."""
        return [f"Step {e['order']}: {e['problem']}" for e in self.entries if e["problem"]]


def key_of(client: int | None, target: str) -> str:
    """What a target is counted and locked by: a client's own, so that nobody uses up or blocks another's repairs."""
    key = f"{client or 0}/{target}"
    return key if len(key) <= LONGEST_KEY else f"{key[:200]}#{hashlib.sha256(key.encode()).hexdigest()}"


def opened(row: StepRow) -> Step:
    """A stored step, ready to be described and done. Raises ValueError with a sentence when its settings do not fit (any more)."""
    try:
        return steps.build(row.kind, row.config, row.secrets.open() or {})
    except CannotOpen as error:
        raise ValueError(str(error)) from error


def of(playbook: Playbook) -> Plan:
    """The plan of a playbook as it stands."""
    return Plan([_entry(row, playbook.client_id) for row in playbook.steps.order_by("order")])


def _entry(row: StepRow, client_id: int | None) -> dict[str, Any]:
    try:
        step = opened(row)
    except ValueError as error:
        known = steps.KINDS.get(row.kind)
        return {
            "order": row.order, "kind": row.kind, "label": known.label if known else row.kind, "sentence": "This step's settings do not fit.", "undo": "",
            "target": "", "acts": True, "problem": str(error)[:300], "seconds": 0,
        }  # fmt: skip
    return {
        "order": row.order, "kind": row.kind, "label": step.label, "sentence": step.sentence(), "undo": step.undo_sentence() if step.undoable else "",
        "target": step.target(), "acts": step.acts, "problem": step.problem(client_id)[:300], "seconds": step.longest(),
    }  # fmt: skip


def to_put_back(run: Run, done: Sequence[RunStep]) -> Plan:
    """The plan that undoes a run's finished steps, last one first; empty when nothing can be undone."""
    told = {e["order"]: e for e in run.plan}
    entries = []
    for row in sorted(done, key=lambda s: -s.order):
        entry = told.get(row.order, {})
        if row.state == StepState.DONE and entry.get("undo"):
            entries.append(
                {
                    **entry,
                    "order": len(entries) + 1,
                    "sentence": entry["undo"],
                    "undo": "",
                    "problem": "",
                    "undoes": row.order,
                }
            )
    return Plan(entries)


def digest(
    *,
    playbook: int | None,
    version: int,
    monitor: int | None,
    alert: int | None,
    incident: int | None,
    layer: str,
    plan: Sequence[dict[str, Any]],
) -> str:
    """SHA-256 over everything that an approval is about; what only describes the moment (`problem`) is left out."""
    exact = [{k: v for k, v in entry.items() if k != "problem"} for entry in plan]
    said = {
        "playbook": playbook,
        "version": version,
        "monitor": monitor,
        "alert": alert,
        "incident": incident,
        "layer": layer,
        "plan": exact,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def digest_of(run: Run) -> str:
    """The hash of a run's own plan: unlike `plan_hash` when somebody changed a row behind its back."""
    return digest(
        playbook=run.playbook_id, version=run.playbook_version, monitor=run.monitor_id, alert=run.alert_id, incident=run.incident_id,
        layer=run.verdict.get("layer", ""), plan=run.plan,
    )  # fmt: skip

"""Which kinds of step exist, and how do their settings come and go? One explicit dict: a kind is a file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playbooks.steps.base import Step
from playbooks.steps.check import Check
from playbooks.steps.dns_swap import DnsSwap
from playbooks.steps.incident_update import IncidentUpdate
from playbooks.steps.notify import Notify
from playbooks.steps.restart import Restart
from playbooks.steps.script import Script
from playbooks.steps.wait import Wait
from playbooks.steps.webhook import Webhook
from portal.kinds import InvalidSettings, Kinds

_ALL = (DnsSwap, Restart, Script, Webhook, Wait, Check, IncidentUpdate, Notify)
KINDS: dict[str, type[Step]] = {step.kind: step for step in _ALL}
if len(KINDS) != len(_ALL):
    raise RuntimeError("Two steps have the same kind.")


_kinds = Kinds("step", KINDS)
get, choices, schemas, parse, split = _kinds.get, _kinds.choices, _kinds.schemas, _kinds.parse, _kinds.split


def build(kind: str, config: Mapping[str, Any], secrets: Mapping[str, Any] | None = None) -> Step:
    """A step that can be described and done, of stored settings and opened secrets. Raises as `parse` does."""
    return get(kind)(parse(kind, {**config, **(secrets or {})}))


__all__ = ["KINDS", "InvalidSettings", "build", "choices", "get", "parse", "schemas", "split"]

"""How does a probe get an order to act? A job whose body is sealed by a key that is not the portal's own.

Whoever holds that key decides what is ordered; whether it is followed, the file on the probe's machine decides
(`monitors.probe.actions`). What becomes of an order is told by `probe_job_finished`: done, failed, refused, expired or unknown.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import transaction

from monitors import remote
from monitors.checks.base import safe_sentence
from monitors.models import Probe, ProbeJob
from monitors.probe import envelope, identity
from monitors.probe.clock import micros
from monitors.probe.envelope import NAME, Envelope, Malformed
from portal.errors import Refused

MOST_OFFERED, MOST_TEXT, MOST_CHOICES = 40, 200, 50


def order(
    probe: Probe,
    action: str,
    params: dict[str, str | int | bool],
    *,
    tenant: int,
    plan_hash: str,
    key: str,
    by: str,
    at: datetime,
    signer: Ed25519PrivateKey,
    seconds: int = envelope.LIFE,
) -> ProbeJob:
    """Order one action, once: the same `key` gives the same job. `tenant` is the client's id, 0 for nobody's in particular.

    Refused when the probe takes no jobs, is another client's, or a value does not fit. The order is void `seconds` (1 to
    60) after `at`; its counter rises with each, and with the clock, so that a restored database does not repeat one.
    """
    with transaction.atomic():
        row = Probe.objects.select_for_update().get(pk=probe.pk)
        if row.client_id is not None and row.client_id != tenant:
            raise Refused("This probe is another client's.")
        known = ProbeJob.objects.filter(key=key).first()
        if known is not None:
            if (known.probe_id, known.kind) != (row.pk, remote.ACT):
                raise Refused("Another job has this key.")
            return known
        counter = max(row.action_counter + 1, micros(at) // 1000)
        issued = micros(at) // 1_000_000
        try:
            body = envelope.seal(
                Envelope(
                    probe=identity.digest(row.public_key.encode()), tenant=tenant, job=key, action=action, params=params, plan_hash=plan_hash,
                    issued=issued, expires=issued + seconds, counter=counter,
                ),
                signer,
            )  # fmt: skip
        except Malformed as fault:
            raise Refused(str(fault)) from None
        if not Probe.objects.filter(pk=row.pk, action_counter=row.action_counter).update(action_counter=counter):
            raise RuntimeError("a probe's counter changed under its lock")
        limit = next((o["timeout_seconds"] for o in offered(row) if o["name"] == action), None)
        within = timedelta(seconds=seconds)
        return remote.ask(row, remote.ACT, {**body, "seconds": limit}, key=key, by=by, at=at, within=within)


def offered(probe: Probe) -> list[dict[str, Any]]:
    """The actions that this probe says its machine allows: name, kind, params, describe, timeout_seconds. None while it refuses all."""
    return offers(probe.health.get("actions")) if probe.health.get("actions_trusted") is True else []


def offers(said: Any) -> list[dict[str, Any]]:
    """A probe's words about its actions, checked: what does not fit is left out, texts are cut."""
    found = []
    for one in said[:MOST_OFFERED] if isinstance(said, list) else ():
        if not isinstance(one, dict) or not _name(one.get("name")) or one.get("kind") not in ("service", "container", "script"):  # fmt: skip
            continue
        raw = one.get("params")
        params = {n: _param(p) for n, p in list(raw.items())[: envelope.MOST_PARAMS] if _name(n)} if isinstance(raw, dict) else {}  # fmt: skip
        if any(not p for p in params.values()):
            continue  # a parameter that we cannot ask for: nor can the action be ordered
        limit = one.get("timeout_seconds")
        found.append(
            {
                "name": one["name"], "kind": one["kind"], "params": params, "describe": _text(one.get("describe")),
                "timeout_seconds": limit if type(limit) is int and 0 < limit <= 600 else 600,
            }
        )  # fmt: skip
    return found


def _param(said: Any) -> dict[str, Any]:
    """A parameter's shape, or nothing when it is none that we know."""
    if not isinstance(said, dict):
        return {}
    shape: dict[str, Any] = {"type": said.get("type"), "describe": _text(said.get("describe"))}
    match said.get("type"):
        case "choice":
            raw = said.get("choices")
            shape["choices"] = [c for c in raw[:MOST_CHOICES] if isinstance(c, str) and 0 < len(c) <= 100 and c.isprintable()] if isinstance(raw, list) else []  # fmt: skip
            return shape if shape["choices"] else {}
        case "int":
            low, high = said.get("min"), said.get("max")
            fits = type(low) is int and type(high) is int and 0 <= low <= high <= 10**12
            return {**shape, "min": low, "max": high} if fits else {}
        case "pattern":
            pattern = said.get("pattern")
            fits = isinstance(pattern, str) and 0 < len(pattern) <= MOST_TEXT and pattern.isprintable()
            return {**shape, "pattern": pattern} if fits else {}
    return {}


def _name(text: Any) -> bool:
    return isinstance(text, str) and NAME.fullmatch(text) is not None


def _text(said: Any) -> str:
    return safe_sentence(said[:MOST_TEXT]) if isinstance(said, str) else ""

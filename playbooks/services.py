"""How are playbooks made, changed, trusted, stopped and tried? One door each, for pages, API and admin.

Whatever changes what a playbook does, or when, gives it a new version and voids what people were asked about the old one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from alerts import filters
from alerts.models import Alert
from monitors.models import Monitor
from playbooks import engine, plans, proposing, records, step_settings
from playbooks.models import Brake, Mode, Playbook, Run, RunState, Step
from playbooks.models.run import OPEN
from portal import audit, mfa
from portal import services as ground
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Client, User

MOST_STEPS = 20
EVENT = re.compile(r"[a-z_]{1,30}\.[a-z_]{1,40}")
LISTS = ("events", "scopes", "tags", "verdict_layers")
WAITING = (RunState.BLOCKED, RunState.AWAITING_APPROVAL, RunState.APPROVED)
EDITABLE = (
    "name", "notes", "events", "scopes", "tags", "verdict_layers", "min_confidence", "quorum", "cooldown_seconds", "hourly_cap",
    "target_hourly_cap", "blast_radius", "approvals_required", "approval_minutes", "verify_within_seconds", "undo_on_failure", "trusted_after",
)  # fmt: skip


# --- Saving -------------------------------------------------------------------------------------------------------------
def save_playbook(
    row: Playbook | None, *, by: Actor, at: datetime, steps: Sequence[Mapping[str, Any]] | None = None, approvers: Sequence[User] | None = None, **values: Any
) -> Playbook:  # fmt: skip
    """Make (row None; `client` then says whose) or change a playbook. `steps`, when given, replace the old ones: `kind`, `config`, and
    `id` of the step whose secrets it keeps. The mode has a door of its own. Raises ValidationError with the body's dotted keys.
    """
    unknown = set(values) - {*EDITABLE, *(("client",) if row is None else ())}
    if unknown:
        raise ValidationError(dict.fromkeys(sorted(unknown), "This cannot be set here."))
    complaints: dict[str, Any] = {}
    _lists(values, complaints)
    client = row.client_id if row is not None else getattr(values.get("client"), "pk", None)
    settled = _steps(row, steps, complaints) if steps is not None else None
    _approvers(row, approvers, values, client, complaints)
    if complaints:
        raise ValidationError(complaints)
    with transaction.atomic():
        before = _picture(row) if row is not None else {}
        row = Playbook.objects.select_for_update().get(pk=row.pk) if row is not None else Playbook()
        for name, value in values.items():
            setattr(row, name, value)
        ground.clean(row)
        row.save()
        if settled is not None:
            row.steps.all().delete()
            Step.objects.bulk_create(Step(playbook=row, order=n, **step) for n, step in enumerate(settled, 1))
        if approvers is not None:
            row.approvers.set(approvers)
        after = _picture(row)
        changed = sorted(name for name in after if after[name] != before.get(name))
        if before and set(changed) - {"notes", "name", "trusted_after"}:
            row.version += 1
            row.save(update_fields=["version"])
            _void_waiting(row, at, "The playbook was changed after this was proposed.", by)
        if changed:
            audit.record(
                "playbook.change" if before else "playbook.create", row, by=by, client_id=row.client_id,
                before={n: before[n] for n in changed if n in before}, after={n: after[n] for n in changed},
            )  # fmt: skip
        return row


def _lists(values: dict[str, Any], complaints: dict[str, Any]) -> None:
    """Words of the filters in normal form."""
    for name in LISTS:
        if name not in values:
            continue
        given = values[name]
        if not isinstance(given, list | tuple) or not all(isinstance(word, str) for word in given):
            complaints[name] = "Write a list of words."
            continue
        text = ",".join(word.strip() for word in given if word.strip())
        try:
            if name == "scopes":
                text = filters.scopes(text)
            elif name == "tags":
                text = filters.tags(text)
            elif name == "verdict_layers":
                _among(text, engine.LAYERS, "layer")
            else:
                _event_names(text)
        except ValueError as error:
            complaints[name] = str(error)
            continue
        values[name] = filters.words(text)


def _event_names(text: str) -> None:
    for word in filters.words(text):
        if not EVENT.fullmatch(word) or word.startswith("playbook."):
            raise ValueError(
                f"{word[:40]!r} is not an event; write its name on the wire, as monitor.down (not playbook.…)."
            )


def _among(text: str, known: Sequence[str], noun: str) -> None:
    for word in filters.words(text):
        if word not in known:
            raise ValueError(f"{word[:40]!r} is not a known {noun}; choose from {', '.join(known)}.")


def _steps(
    row: Playbook | None, given: Sequence[Mapping[str, Any]], complaints: dict[str, Any]
) -> list[dict[str, Any]]:
    if not 1 <= len(given) <= MOST_STEPS:
        complaints["steps"] = f"A playbook has 1 to {MOST_STEPS} steps."
        return []
    old = {step.pk: step for step in row.steps.all()} if row is not None else {}
    settled = []
    for n, step in enumerate(given):
        kind, before = str(step.get("kind", "")), old.get(step.get("id") or 0)
        config = step.get("config") or {}
        said_at = {name: f"steps.{n}.config.{name}" for name in [*config, *(before.config if before else {})]}
        try:
            plain, secrets = step_settings.settle(
                kind, before, config, {**said_at, "kind": f"steps.{n}.kind", "": f"steps.{n}.config"}
            )
        except ValidationError as error:
            told = error.message_dict if hasattr(error, "error_dict") else {"kind": error.messages}
            for key, said in told.items():
                complaints[key if key.startswith("steps.") else f"steps.{n}.{key}"] = said
            continue
        settled.append({"kind": kind, "config": plain, "secrets": secrets})
    return settled


def _approvers(
    row: Playbook | None,
    given: Sequence[User] | None,
    values: Mapping[str, Any],
    client: int | None,
    complaints: dict[str, Any],
) -> None:
    """They have to be people who may agree, and enough of them."""
    required = values.get("approvals_required", row.approvals_required if row is not None else 1)
    named = list(given) if given is not None else (list(row.approvers.all()) if row is not None else [])
    if not named:
        return
    able = set(proposing.able_to_approve(client).filter(pk__in=[u.pk for u in named]).values_list("pk", flat=True))
    if len(able) < len({u.pk for u in named}) and given is not None:
        complaints["approver_ids"] = (
            "Somebody of these may not approve: name owners or staff, or the client's admins or approvers."
        )
    elif isinstance(required, int) and len(able) < required:
        complaints["approvals_required"] = f"{required} approvals are required, but only {len(able)} people are named."


def _picture(row: Playbook) -> dict[str, Any]:
    """What it is, for the audit log: secrets only as whether there are some."""
    found = {name: getattr(row, name) for name in EDITABLE}
    found["approver_ids"] = sorted(row.approvers.values_list("pk", flat=True))
    # The sealed text tells that a secret changed, and nothing of it; only its digest would be compared otherwise.
    found["steps"] = [
        {"kind": s.kind, "config": s.config, "secret": audit_mark(s)} for s in row.steps.order_by("order")
    ]
    return found


def audit_mark(step: Step) -> str:
    """A word that changes when a step's secrets do, and tells nothing of them."""
    return hashlib.sha256(step.secrets.token.encode()).hexdigest()[:8] if step.secrets else ""


def delete_playbook(row: Playbook, *, by: Actor, at: datetime) -> None:
    """Remove it; its runs stay, those that wait are void. Refused while one acts."""
    with transaction.atomic():
        if Run.objects.filter(playbook=row, state__in=("running", "verifying")).exists():
            raise Refused("A run of this playbook is under way; stop it, or wait for its end.")
        _void_waiting(row, at, "Its playbook was deleted.", by)
        audit.record("playbook.delete", row, by=by, client_id=row.client_id, before=_picture(row))
        row.delete()


def _void_waiting(row: Playbook, at: datetime, reason: str, by: Actor) -> None:
    for pk in list(Run.objects.filter(playbook=row, state__in=WAITING).order_by("pk").values_list("pk", flat=True)):
        proposing.void(pk, at, reason, by=by)


# --- Trust ----------------------------------------------------------------------------------------------------------------
def set_mode(row: Playbook, mode: str, *, by: Actor, at: datetime, user: User, proved: str) -> Playbook:
    """Trust it more, or less. `automatic` is a person's own decision, proved by a second factor there and then (`proved`: by what)."""
    if mode not in Mode.values:
        raise ValidationError({"mode": f"{mode[:20]!r} is not a mode; choose from {', '.join(Mode.values)}."})
    with transaction.atomic():
        row = Playbook.objects.select_for_update().get(pk=row.pk)
        if row.mode == mode:
            return row
        if mode == Mode.AUTOMATIC and proved not in ("totp", "webauthn", "recovery_codes"):
            cure = (
                "enter a code of your authenticator"
                if mfa.has_factor(user)
                else "set up a second factor for your account first"
            )
            raise Refused(f"Letting it act by itself needs your second factor: {cure}.")
        if mode != Mode.DRY_RUN and not row.steps.exists():
            raise Refused("It has no steps yet; there is nothing it could do.")
        before, row.mode, row.verified_in_a_row = row.mode, mode, 0
        row.automatic_since, row.automatic_by = (
            (at, (user.email or by.name)[:200]) if mode == Mode.AUTOMATIC else (None, "")
        )
        row.save(update_fields=["mode", "verified_in_a_row", "automatic_since", "automatic_by"])
        _void_waiting(row, at, f"The playbook's mode was changed to {mode}.", by)
        audit.record("playbook.mode", row, by=by, client_id=row.client_id, before={"mode": before}, after={"mode": mode, "proved": proved})  # fmt: skip
        return row


# --- Kill switches --------------------------------------------------------------------------------------------------------
def brake_scope(client: Client | None, playbook: Playbook | None) -> str:
    """The one name of a brake: all, client:3 or playbook:7."""
    return f"playbook:{playbook.pk}" if playbook is not None else f"client:{client.pk}" if client is not None else "all"


def stop(
    *, client: Client | None = None, playbook: Playbook | None = None, reason: str, by: Actor, at: datetime
) -> Brake:
    """Pull a kill switch: nothing begins any more, and what is under way ends before its next step. Again is harmless."""
    scope = brake_scope(client, playbook)
    with transaction.atomic():
        owner = playbook.client_id if playbook is not None else getattr(client, "pk", None)
        row, new = Brake.objects.get_or_create(
            scope=scope, defaults={"client_id": owner, "playbook": playbook, "reason": reason.strip()[:300] or "No reason was given.", "by": by.name, "at": at},
        )  # fmt: skip
        if new:
            audit.record("playbook.stop", scope, by=by, client_id=owner, after={"reason": row.reason})
        return row


def release(row: Brake, *, by: Actor) -> None:
    """Lift a kill switch."""
    with transaction.atomic():
        audit.record("playbook.release", row.scope, by=by, client_id=row.client_id, before={"reason": row.reason})
        row.delete()


# --- Runs that people ask for -----------------------------------------------------------------------------------------------
def dry_run(playbook: Playbook, monitor: Monitor, *, by: Actor, at: datetime) -> Run:
    """What would it do about this monitor, now? Stored as a run that did nothing."""
    if playbook.client_id is not None and monitor.client_id != playbook.client_id:
        raise ValidationError({"monitor": "This monitor is another client's than the playbook."})
    with transaction.atomic():
        alert = (
            Alert.objects.filter(monitor_id=monitor.pk, condition="health", resolved_at=None).order_by("-pk").first()
        )
        run = proposing.made(playbook, monitor, alert, at, by=by, mode=Mode.DRY_RUN, state=RunState.DRY_RUN)
        gates = proposing.judged(run, playbook, alert, at)
        run.gates, run.gates_at = [g.as_json() for g in gates], at
        run.state, run.finished_at = RunState.DRY_RUN, at
        run.reason = engine.why_not(gates)[:500] or "Every gate has passed: it would act."
        run.save()
        return run


def put_back(run: Run, *, by: Actor, at: datetime) -> Run:
    """Propose to undo what a run did (fail back). It waits for the same people as the run did, never for who asks. Refused when it cannot be."""
    with transaction.atomic():
        run = records.locked(run.pk)
        playbook = Playbook.objects.filter(pk=run.playbook_id).first()
        if refusal := cannot_put_back(run, playbook):
            raise Refused(refusal)
        assert playbook is not None
        plan = plans.to_put_back(run, list(run.steps.all()))
        back = Run(
            playbook=playbook, playbook_name=run.playbook_name, playbook_version=playbook.version, client_id=run.client_id, monitor_id=run.monitor_id,
            alert_id=run.alert_id, incident_id=run.incident_id, undoes=run, mode=Mode.APPROVAL, state=RunState.BLOCKED, plan=plan.entries, verdict=run.verdict,
            approvals_required=max(1, playbook.approvals_required), verify_within_seconds=playbook.verify_within_seconds, undo_on_failure=False,
            requested_by=by.name, requester_id=by.user_id, created_at=at,
        )  # fmt: skip
        back.plan_hash = plans.digest_of(back)
        back.save()
        proposing.spread(back)
        proposing.ask(back, playbook, None, at)
        return back


def cannot_put_back(run: Run, playbook: Playbook | None) -> str:
    """Why a run cannot be put back; "" when it can."""
    if run.state != RunState.SUCCEEDED:
        return "Only what has succeeded can be put back."
    if playbook is None or playbook.version != run.playbook_version:
        return "The playbook was changed (or deleted) since; put it back by hand."
    if run.undoes_id is not None:
        return "This run has put something back itself."
    if Run.objects.filter(undoes=run).filter(state__in=(*OPEN, RunState.SUCCEEDED)).exists():
        return "It is being put back already, or was."
    if not plans.to_put_back(run, list(run.steps.all())).entries:
        return "None of its steps can be undone."
    return ""


def cancel(run: Run, *, by: Actor, at: datetime) -> Run:
    """A person takes a proposal away before it has begun. Refused when it has."""
    with transaction.atomic():
        row = proposing.void(run.pk, at, f"{by.name} withdrew it.", by=by)
        if row is None:
            raise Refused("It has begun or ended already.")
        return row

"""What can people do with a monitor? One door each for pages, API, admin, forms and import; each says who and when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import slugify
from pydantic import ValidationError as ConfigError

from alerts.models import Alert
from alerts.report import close
from monitors import checks, engine, plans, store, subjects
from monitors.models import Monitor, Probe, ProbeState, StateChange
from monitors.models.monitor import State
from portal import audit, bells
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Tag
from portal.outbound.guard import Blocked, check_address
from portal.tenancy import viewer_of

DECIDED = ("state", "state_since", "state_reason", "state_version", "flapping_since", "config_version", "uuid")


def split_config(kind: str, data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(plain settings, secrets) of a kind from what was given; raises ValidationError with dotted keys (`config.url`)."""
    if kind not in checks.KINDS:
        raise ValidationError({"kind": f"{kind!r} is not a kind of monitor; choose from {', '.join(checks.KINDS)}."})
    try:
        config = checks.parse(kind, data)
    except ConfigError as error:
        raise ValidationError(
            {"config" + (f".{key}" if key else ""): sentences for key, sentences in checks.complaints(error).items()}
        ) from None
    plain = {k: v for k, v in config.plain().items() if k in config.model_fields_set}
    hidden = secret_names(kind)
    return {k: v for k, v in plain.items() if k not in hidden}, {
        k: v for k, v in plain.items() if k in hidden and v not in (None, "", {})
    }


def secret_names(kind: str) -> frozenset[str]:
    """The settings of a kind that are secrets; a map of secrets (headers) is one as a whole."""
    properties = checks.KINDS[kind].Config.model_json_schema().get("properties", {})
    return frozenset(n for n, p in properties.items() if any(_is_secret(q) for q in (p, *p.get("anyOf", ()))))


def _is_secret(schema: dict[str, Any]) -> bool:
    values = schema.get("additionalProperties")
    return schema.get("format") == "password" or (isinstance(values, dict) and values.get("format") == "password")


def refuse_unreachable(m: Monitor, reach: Any) -> None:
    """A literal address that the guard would refuse at every check is refused at saving, at its field."""
    for key, text in (
        ("url", urlsplit(str(m.config.get("url", ""))).hostname or ""),
        ("host", str(m.config.get("host", ""))),
    ):
        try:
            ip_address(text.strip("[]"))
        except ValueError:
            if text.lower() != "localhost":
                continue
            text = "127.0.0.1"
        try:
            check_address(text.strip("[]"), reach)
        except Blocked as blocked:
            raise ValidationError({f"config.{key}": str(blocked)}) from None


def save(
    m: Monitor,
    *,
    by: Actor,
    at: datetime,
    tags: Iterable[str] | None = None,
    probes: Iterable[Probe] | None = None,
    trusted: bool | None = None,
) -> Monitor:
    """Create or change a monitor: checked as a whole, scheduled at once, recorded. Nothing is stored when anything is wrong.

    `m.config` may hold secrets: they are split off and sealed. Raises ValidationError naming the field and the cure.
    """
    new = m.pk is None
    if trusted is not None:
        m.trusted = trusted
    if m.kind not in checks.KINDS:
        raise ValidationError({"kind": f"{m.kind!r} is not a kind of monitor; choose from {', '.join(checks.KINDS)}."})
    opened = {k: v for k, v in (m.secrets.open() or {}).items() if k in secret_names(m.kind)}
    m.config, m.secrets = split_config(m.kind, {**opened, **m.config})
    if m.slug == "" and m.kind == "heartbeat":
        m.slug = _free_slug(m)
    _clean(m)
    _refuse_strangers(m)
    refuse_unreachable(m, plans.reach_of(m))
    with transaction.atomic():
        before = None if new else Monitor.objects.select_for_update().get(pk=m.pk)
        if before is not None:
            for name in DECIDED:
                setattr(m, name, getattr(before, name))
            m.config_version = before.config_version + 1
        else:
            m.state, m.state_since = (State.PENDING if m.enabled else State.PAUSED), at
        m.save()
        if tags is not None:
            m.tags.set(Tag.named(list(tags)))
        schedule(m, at, list(probes) if probes is not None else None)
        if before is not None and before.enabled != m.enabled:
            _rest(m, at, by) if not m.enabled else _wake(m, at)
        elif (
            before is not None and m.enabled and m.kind in ("heartbeat", "push") and m.views.exclude(facts={}).exists()
        ):
            store.rush([m.pk], at)  # what it was told last is judged anew by the new settings
        changed = {} if before is None else _difference(before, m)
        audit.record(
            "monitor.create" if new else "monitor.change",
            m,
            by=by,
            client_id=m.client_id,
            before=changed.get("before"),
            after=changed.get("after") or {"name": m.name, "kind": m.kind},
        )
        bells.ring_on_commit(bells.PROBE)
    return m


def _difference(before: Monitor, after: Monitor) -> dict[str, dict[str, Any]]:
    names = [
        f.name
        for f in Monitor._meta.concrete_fields
        if f.name not in DECIDED and f.name not in ("secrets", "id", "created_at")
    ]
    changed = [n for n in names if getattr(before, n) != getattr(after, n)]
    return {
        "before": {n: getattr(before, n) for n in changed},
        "after": {n: getattr(after, n) for n in changed}
        | ({"secrets": "changed"} if before.secrets.open() != after.secrets.open() else {}),
    }


# Where a person has to look when a constraint says no.
FIELDS = {
    "interval_is_5_seconds_to_a_day": "interval_seconds", "timeout_fits_the_interval": "timeout_seconds", "a_monitor_is_not_its_own_parent": "parent",
    "one_ping_slug_per_client": "slug",
}  # fmt: skip
SENTENCES = {
    "a_monitor_is_not_its_own_parent": "A monitor cannot be its own parent; choose another.",
    "one_ping_slug_per_client": "This client already has a monitor with this slug.",
}


def _clean(m: Monitor) -> None:
    """Judge a monitor before it is saved: every complaint at its field."""
    m.full_clean(
        exclude=["uuid", "config"], validate_constraints=False
    )  # the settings were judged by their kind; {} is fine for some
    found: dict[str, list[str]] = {}
    for constraint in Monitor._meta.constraints:
        try:
            constraint.validate(Monitor, m)
        except ValidationError as error:
            sentences = (
                [SENTENCES[constraint.name]]
                if constraint.name in SENTENCES
                else [s.partition(": ")[2] or s for s in error.messages]
            )
            found.setdefault(FIELDS.get(constraint.name, "__all__"), []).extend(sentences)
    if found:
        raise ValidationError(found)


def _free_slug(m: Monitor) -> str:
    base = slugify(m.name)[:50] or "job"
    slug, number = base, 2
    while Monitor.objects.filter(client=m.client_id, slug=slug).exclude(pk=m.pk).exists():
        slug, number = f"{base}-{number}", number + 1
    return slug


def _refuse_strangers(m: Monitor) -> None:
    """Site, service and parent belong to the same client; a parent is not its own grandchild; a group's children exist there."""
    for name in ("site", "service", "parent"):
        row = getattr(m, name)
        if row is not None and row.client_id != m.client_id:
            raise ValidationError({name: f"This {name} belongs to another client; choose one of {m.client}'s."})
    seen, up = {m.pk}, m.parent
    while up is not None:
        if up.pk in seen:
            raise ValidationError({"parent": "This would make the monitor its own ancestor; choose another parent."})
        seen.add(up.pk)
        up = up.parent
    if m.kind == "group":
        wanted = set(m.config.get("monitor_ids", ()))
        known = set(
            Monitor.objects.filter(client=m.client_id, pk__in=wanted).exclude(pk=m.pk).values_list("pk", flat=True)
        )
        if wanted - known:
            raise ValidationError(
                {
                    "config.monitor_ids": f"No such monitor of this client: {', '.join(str(i) for i in sorted(wanted - known))}."
                }
            )
        if m.pk in _members(m):
            raise ValidationError(
                {"config.monitor_ids": "This group would contain itself, through another group; leave that one out."}
            )


def _members(m: Monitor) -> set[int]:
    """Every monitor in a group, and in the groups within it."""
    inside = {
        g.pk: set(g.config.get("monitor_ids", ()))
        for g in Monitor.objects.filter(client=m.client_id, kind="group").only("pk", "config")
    }
    found, waiting = set(), set(m.config.get("monitor_ids", ()))
    while waiting:
        pk = waiting.pop()
        found.add(pk)
        waiting |= inside.get(pk, set()) - found
    return found


# What takes the lease from a check that is under way: by the old settings, its result does not count, and the new ones are checked now.
FENCED: dict[str, Any] = {"claimed_by": "", "lease_token": None, "lease_until": None, "rush": False}


def schedule(m: Monitor, at: datetime, probes: list[Probe] | None = None) -> None:
    """One view per probe: a new one is due at once (a person waits for it), then in its own slot of the interval."""
    if probes is None:
        known = list(m.views.values_list("probe_id", flat=True))
        if known:
            if m.kind not in ("heartbeat", "push"):
                ProbeState.objects.filter(monitor=m).update(
                    next_due_at=at, settled=False, active=m.enabled, facts={}, **FENCED
                )
            return
        probes = list(Probe.objects.filter(built_in=True, enabled=True))
    if m.quorum > max(1, len(probes)):
        raise ValidationError(
            {
                "quorum": f"{m.quorum} probes are to agree, but only {len(probes)} watch it; choose more probes or a smaller quorum."
            }
        )
    m.views.exclude(probe__in=probes).delete()
    have = set(m.views.values_list("probe_id", flat=True))
    passive = checks.KINDS[m.kind].passive and m.kind != "group"
    ProbeState.objects.bulk_create(
        ProbeState(
            monitor=m, probe=p, active=m.enabled, next_due_at=at if not passive else at.replace(year=at.year + 10)
        )
        for p in probes
        if p.pk not in have
    )
    m.views.filter(probe__in=have).update(
        active=m.enabled, settled=False, **({} if passive else {"next_due_at": at, **FENCED})
    )


def spread(m: Monitor, at: datetime) -> None:
    """Move a monitor's views to their own slots (bulk imports: nobody waits for the first result)."""
    for v in m.views.all():
        ProbeState.objects.filter(pk=v.pk).update(
            next_due_at=engine.first_slot(m.pk, v.probe_id, m.interval_seconds, at)
        )


# --- Pause, resume, delete ----------------------------------------------------------------------------------------------
def pause(m: Monitor, *, by: Actor, at: datetime) -> Monitor:
    """No checks, no alerts; open ones close quietly. Refused when it rests already."""
    return _switch(m, False, by, at)


def resume(m: Monitor, *, by: Actor, at: datetime) -> Monitor:
    """Check again, from now. Refused when it does not rest."""
    return _switch(m, True, by, at)


def _switch(m: Monitor, on: bool, by: Actor, at: datetime) -> Monitor:
    with transaction.atomic():
        m = Monitor.objects.select_for_update().get(pk=m.pk)
        if m.enabled == on:
            raise Refused("This monitor is not paused." if on else "This monitor is paused already.")
        m.enabled = on
        m.config_version += 1
        m.save(update_fields=["enabled", "config_version"])
        _wake(m, at) if on else _rest(m, at, by)
        audit.record("monitor.resume" if on else "monitor.pause", m, by=by, client_id=m.client_id)
        bells.ring_on_commit(bells.PROBE)
        return m


def _step(m: Monitor, state: str, at: datetime, reason: str) -> None:
    if m.state == state:
        return
    before = m.state
    m.state, m.state_since, m.state_version, m.state_reason, m.flapping_since = (
        state,
        at,
        m.state_version + 1,
        reason,
        None,
    )
    m.save(update_fields=["state", "state_since", "state_version", "state_reason", "flapping_since"])
    StateChange.objects.create(
        monitor=m, version=m.state_version, at=at, from_state=before, to_state=state, reason=reason
    )


def _rest(m: Monitor, at: datetime, by: Actor) -> None:
    # Taking the lease token away fences a check that is under way: its result will not count.
    m.views.update(active=False, changed=False, **FENCED)
    _step(m, State.PAUSED, at, f"Paused by {by.name}.")
    close_alerts(m, at=at, by=by)


def _wake(m: Monitor, at: datetime) -> None:
    m.views.update(
        active=True, next_due_at=at, status=engine.UNKNOWN, vote=engine.UNKNOWN, streak=0, since=None, settled=False, stale=False, error_class="", message=""
    )  # fmt: skip
    if checks.KINDS[m.kind].passive and m.kind != "group":
        m.views.update(facts={}, next_due_at=at.replace(year=at.year + 10))
    _step(m, State.PENDING, at, "Waiting for the first result.")


def close_alerts(m: Monitor, *, at: datetime, by: Actor) -> None:
    """Close what is open about a monitor without a word (ALR-3)."""
    rows = list(
        Alert.objects.filter(resolved_at=None, entity_type="monitor", entity_id=str(m.pk))
        .order_by("pk")
        .select_for_update()
    )
    if rows:
        close(rows, at=at, by=by, quiet=True)


def delete(m: Monitor, *, by: Actor, at: datetime) -> None:
    """Forget a monitor with its history; its alerts close quietly and stay on the record."""
    with transaction.atomic():
        close_alerts(m, at=at, by=by)
        audit.record(
            "monitor.delete",
            m,
            by=by,
            client_id=m.client_id,
            before={"name": m.name, "kind": m.kind, "target": subjects.target_of(m)},
        )
        m.delete()


# --- Ask and tell ---------------------------------------------------------------------------------------------------------
def check_now(m: Monitor, *, by: Actor, at: datetime) -> None:
    """Make every probe look now; counts as a result. Refused while paused."""
    if not m.enabled:
        raise Refused("This monitor is paused; resume it first.")
    with transaction.atomic():
        store.rush([m.pk], at)
        bells.ring_on_commit(bells.PROBE)


def push(m: Monitor, *, status: str, message: str, latency_ms: float | None, at: datetime) -> None:
    """Take a result that a script posted. Refused for other kinds and while paused; ValidationError for a bad status."""
    if m.kind != "push":
        raise Refused("Results can be pushed to monitors of kind push only.")
    if not m.enabled:
        raise Refused("This monitor is paused; resume it first.")
    if status not in ("up", "degraded", "down", "failing"):
        raise ValidationError({"status": "One of up, degraded, down."})
    tell(m, {"pushed_at": at.isoformat(), "status": status, "message": message[:300], "latency_ms": latency_ms}, at)


def tell(m: Monitor, facts: dict[str, Any], at: datetime) -> None:
    """Give a passive monitor new facts; it is judged at once."""
    with transaction.atomic():
        for view in m.views.select_for_update().order_by("pk"):
            view.facts = {**view.facts, **facts}
            view.save(update_fields=["facts"])
        store.rush([m.pk], at)
        bells.ring_on_commit(bells.PROBE)


def probes_for(actor: Any, slugs: Iterable[str], client_id: int) -> list[Probe]:
    """The probes of these slugs that this person may use for this client; raises ValidationError for others."""
    wanted = list(dict.fromkeys(slugs))
    seen = Probe.objects.for_user(viewer_of(actor)).filter(slug__in=wanted, enabled=True)
    found = {p.slug: p for p in seen if p.client_id in (None, client_id)}
    missing = [s for s in wanted if s not in found]
    if missing or not wanted:
        known = ", ".join(Probe.objects.for_user(viewer_of(actor)).values_list("slug", flat=True))
        raise ValidationError({"probes": f"No such probe: {', '.join(missing) or '(none given)'}; there are {known}."})
    return [found[s] for s in wanted]

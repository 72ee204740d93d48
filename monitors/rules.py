"""What may a monitor be? Its settings by its kind, its columns, its links, its reach: judged as a whole, stored nowhere.

Raises ValidationError at the field (`config.url`, dotted) with the cure. `services.save` asks before it stores, previews
ask without storing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.text import slugify
from pydantic import ValidationError as ConfigError

from monitors import checks, places, plans
from monitors.models import Monitor, Probe
from monitors.places import Place
from portal.outbound.guard import Blocked, Reach, check_written

# What runs on the probe's own machine is about that one machine.
ONE_PLACE = ("host", "container")
EXCLUSIVE = {"heartbeat": ("period_seconds", "schedule")}  # giving one of these takes the other away


def judge(m: Monitor, probes: Sequence[Probe] | None = None) -> None:
    """Judge a monitor that is about to be saved; its secrets are split off and sealed on the way (`m.config`, `m.secrets`).

    `probes`: those that were chosen by name; without them its rule decides, else it stays where it is.
    """
    if m.kind not in checks.KINDS:
        raise ValidationError({"kind": f"{m.kind!r} is not a kind of monitor; choose from {', '.join(checks.KINDS)}."})
    opened = {k: v for k, v in (m.secrets.open() or {}).items() if k in secret_names(m.kind)}
    m.config, m.secrets = split_config(m.kind, {**opened, **m.config})
    if m.slug == "" and m.kind == "heartbeat":
        m.slug = _free_slug(m)
    _clean(m)
    _refuse_strangers(m)
    judge_places(m, probes)


# --- From where -----------------------------------------------------------------------------------------------------------
def judge_places(m: Monitor, probes: Sequence[Probe] | None = None) -> None:
    """Are there enough places, not too many, and may all of them reach the target?

    What is stored already is not judged for its number again: who edits a name need not mend what a revoked probe left.
    """
    m.probe_rule = places.check_rule(m.probe_rule)
    if checks.KINDS[m.kind].passive:
        if m.probe_rule:
            raise ValidationError({"probe_rule": "This kind is judged by the portal itself; it needs no rule."})
        return
    field = "probe_rule" if m.probe_rule else "probes"
    seen_from = places.watchers(m, probes) if m.probe_rule or probes is not None or not m.trusted else []
    stored = Monitor.objects.filter(pk=m.pk).values_list("probe_rule", "quorum").first() if m.pk else None
    if m.probe_rule and stored != (m.probe_rule, m.quorum):
        _refuse_few(m, seen_from)
    count = places.number_of(m.probe_rule, seen_from) if m.probe_rule else len(probes or ())
    if m.kind in ONE_PLACE and count > 1:
        raise ValidationError({field: f"{checks.KINDS[m.kind].label} is about the one machine that its probe runs on; choose one probe, and add a monitor for each other machine."})  # fmt: skip
    refuse_unreachable(m, reach_from(m, seen_from))


def _refuse_few(m: Monitor, fit: Sequence[Place]) -> None:
    """A rule that names what is not there, or that too few probes fit for this quorum."""
    missing = sorted(set(m.probe_rule.get("probes", ())) - {p.slug for p in fit})
    if missing:
        usable = ", ".join(p.slug for p in places.places() if p.client is None or p.client == m.client_id)
        raise ValidationError({"probe_rule": f"No probe that can watch: {', '.join(missing)}; there are {usable}."})
    number = places.number_of(m.probe_rule, fit)
    if not number:
        raise ValidationError({"probe_rule": f"No probe carries {' and '.join(m.probe_rule['tags'])}; choose other tags."})  # fmt: skip
    if number < m.quorum:
        raise ValidationError({"probe_rule": f"{number} {'probe fits' if number == 1 else 'probes fit'} this rule, but {m.quorum} are to agree; widen it or lower the quorum."})  # fmt: skip


def reach_from(m: Monitor, seen_from: Iterable[Place]) -> Reach:
    """What its checks may reach: private addresses when staff made it, or when only its client's own probes look at it."""
    reach = plans.reach_of(m)
    clients = {p.client for p in seen_from}
    return replace(reach, private=True) if clients == {m.client_id} and m.client_id is not None else reach


def ousted(kind: str, given: dict[str, Any]) -> list[str]:
    """The settings that go because `given` names the one that excludes them."""
    pair = EXCLUSIVE.get(kind, ())
    return [
        other for one, other in (pair, pair[::-1]) if given.get(one) is not None and given.get(other) is None
    ] if pair else []  # fmt: skip


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
    return _secret_names(checks.KINDS[kind].Config)


@functools.cache
def _secret_names(config: type[checks.base.CheckConfig]) -> frozenset[str]:
    """Making a schema takes milliseconds, and every saved monitor asks twice."""
    properties = config.model_json_schema().get("properties", {})
    return frozenset(n for n, p in properties.items() if any(_is_secret(q) for q in (p, *p.get("anyOf", ()))))


def _is_secret(schema: dict[str, Any]) -> bool:
    values = schema.get("additionalProperties")
    return schema.get("format") == "password" or (isinstance(values, dict) and values.get("format") == "password")


def refuse_unreachable(m: Monitor, reach: Reach) -> None:
    """An address (or localhost) that the guard would refuse at every check is refused at saving, at its field."""
    names = checks.KINDS[m.kind].leads_to if m.kind in checks.KINDS else ()
    sealed = m.secrets.open() or {} if set(names) & secret_names(m.kind) else {}
    for name in names:
        try:
            check_written(_host_in(str({**m.config, **sealed}.get(name) or "")), reach)
        except Blocked as blocked:
            raise ValidationError({f"config.{name}": str(blocked)}) from None


def _host_in(text: str) -> str:
    """The host of a URL, of host:port, or the text itself where it is one; "" where there is none."""
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    try:
        return urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:  # not an address at all: its kind says so
        return ""


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
    """Site, service and parent belong to the same client; a template fits; a parent is not its own grandchild; a group's children exist there."""
    for name in ("site", "service", "parent"):
        row = getattr(m, name)
        if row is not None and row.client_id != m.client_id:
            raise ValidationError({name: f"This {name} belongs to another client; choose one of {m.client}'s."})
    if m.template is None:
        m.template_version = None
    elif m.template.kind != m.kind:
        raise ValidationError({"template": f"This template is for {m.template.kind}; choose one for {m.kind}."})
    elif m.template.client_id not in (None, m.client_id):
        raise ValidationError({"template": f"This template belongs to another client; choose one of {m.client}'s."})
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

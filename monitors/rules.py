"""What may a monitor be? Its settings by its kind, its columns, its links, its reach: judged as a whole, stored nowhere.

Raises ValidationError at the field (`config.url`, dotted) with the cure. `services.save` asks before it stores, previews
ask without storing.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.text import slugify
from pydantic import ValidationError as ConfigError

from monitors import checks, plans
from monitors.models import Monitor
from portal.outbound.guard import Blocked, check_address

EXCLUSIVE = {"heartbeat": ("period_seconds", "schedule")}  # giving one of these takes the other away


def judge(m: Monitor) -> None:
    """Judge a monitor that is about to be saved; its secrets are split off and sealed on the way (`m.config`, `m.secrets`)."""
    if m.kind not in checks.KINDS:
        raise ValidationError({"kind": f"{m.kind!r} is not a kind of monitor; choose from {', '.join(checks.KINDS)}."})
    opened = {k: v for k, v in (m.secrets.open() or {}).items() if k in secret_names(m.kind)}
    m.config, m.secrets = split_config(m.kind, {**opened, **m.config})
    if m.slug == "" and m.kind == "heartbeat":
        m.slug = _free_slug(m)
    _clean(m)
    _refuse_strangers(m)
    refuse_unreachable(m, plans.reach_of(m))


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

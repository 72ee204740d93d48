"""What do many monitors share, who differs from it, and how does a change reach them? Edited once, seen as a diff, rolled out.

A template names what it wants to be the same: common fields, some settings of its kind, tags to add. What it does not
name (most often the URL) stays each monitor's own. Secrets are always a monitor's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from pydantic import TypeAdapter
from pydantic import ValidationError as ConfigError

from monitors import bulk, checks, places, rules, services
from monitors.models import Monitor, MonitorTemplate
from monitors.models.monitor import LONGEST_INTERVAL, SHORTEST_INTERVAL
from portal import audit
from portal.audit import Actor
from portal.tenancy import Viewer

# What a template may say of any monitor. Where it belongs and whether it is paused is each monitor's own.
COMMON = (
    "interval_seconds", "timeout_seconds", "confirmation_count", "confirmation_seconds", "recovery_count", "recovery_seconds", "quorum", "distinct_networks",
    "degraded_latency_ms", "degraded_loss_percent", "severity", "flapping_changes", "flapping_window_seconds", "runbook_url", "notes",
)  # fmt: skip
# The rule is kept by whoever does not speak of it, as the template's form; {} takes it away.
NAMED = (*COMMON, "probe_rule")
MOST_TAGS, LONGEST_TAG, LARGEST = 50, 50, 65_536


class Difference(NamedTuple):
    """One field of a monitor (settings with dotted keys, `config.keyword`), as it is and as the template wants it."""

    field: str
    before: Any
    after: Any


# --- Pure: what a template may say, and what it would change --------------------------------------------------------------
def judged(kind: str, values: Any) -> dict[str, Any]:
    """The values as they are stored; ValidationError with dotted keys (`values.config.keyword`)."""
    if kind not in checks.KINDS:
        raise ValidationError({"kind": f"{kind!r} is not a kind of monitor; choose from {', '.join(checks.KINDS)}."})
    if not isinstance(values, dict):
        raise ValidationError({"values": 'Write an object, as {"interval_seconds": 60, "config": {}, "tags": []}.'})
    found: dict[str, Any] = {}
    wrong: dict[str, list[str]] = {}
    for name, value in values.items():
        try:
            if name == "config":
                found[name] = _judged_config(kind, value)
            elif name == "tags":
                found[name] = _judged_tags(value)
            elif name == "probe_rule":
                found[name] = _judged_rule(kind, value)
            elif name in COMMON:
                found[name] = _judged_field(name, value)
            else:
                known = ", ".join((*NAMED, "config", "tags"))
                raise ValidationError(f"A template does not say this; it may say {known}.")
        except ValidationError as error:
            said = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
            said = {"" if key == name else key: text for key, text in said.items()}
            wrong |= {f"values.{name}" + (f".{key}" if key else ""): text for key, text in said.items()}
    interval, timeout = found.get("interval_seconds"), found.get("timeout_seconds")
    if interval is not None and timeout is not None and timeout > interval:
        wrong["values.timeout_seconds"] = ["Not longer than the interval."]
    if wrong:
        raise ValidationError(wrong)
    if len(json.dumps(found)) > LARGEST:
        raise ValidationError({"values": f"At most {LARGEST} characters."})
    return {name: value for name, value in found.items() if value != {} and value != []}


def _judged_field(name: str, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValidationError("Write a plain number.")
    found = Monitor._meta.get_field(name).clean(value, None)
    if name == "interval_seconds" and not SHORTEST_INTERVAL <= found <= LONGEST_INTERVAL:
        raise ValidationError(f"From {SHORTEST_INTERVAL} (seconds) to {LONGEST_INTERVAL} (a day).")
    if name == "timeout_seconds" and not 0 < found <= LONGEST_INTERVAL:
        raise ValidationError("Above 0 and not longer than the interval.")
    return found


def _judged_rule(kind: str, value: Any) -> dict[str, Any]:
    """Whether its probes exist is each monitor's question: they differ by client, and come and go."""
    rule = places.check_rule(value or {})
    if rule and checks.KINDS[kind].passive:
        raise ValidationError("This kind is judged by the portal itself; it needs no rule.")
    return rule


def _judged_tags(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValidationError('Write a list of words, as ["prod", "web"].')
    words = list({word.strip().lower(): word.strip() for word in value if word.strip()}.values())
    if len(words) > MOST_TAGS or any(len(word) > LONGEST_TAG or "," in word for word in words):
        raise ValidationError(f"At most {MOST_TAGS} tags of {LONGEST_TAG} characters each, without commas.")
    return words


def _judged_config(kind: str, given: Any) -> dict[str, Any]:
    """Each setting by itself: what it needs beside it (a URL, a password) is the monitor's, and judged with it."""
    if not isinstance(given, dict):
        raise ValidationError('Write an object with settings, as {"keyword": "ok"}.')
    properties = checks.KINDS[kind].schema().get("properties", {})
    secret, found, wrong = rules.secret_names(kind), {}, {}
    needed = {name: examples[0] for name, p in properties.items() if (examples := p.get("examples"))}
    needed = {n: v for n, v in needed.items() if n in checks.KINDS[kind].schema().get("required", ())}
    for name, value in given.items():
        if name in secret:
            wrong[name] = ["A secret is each monitor's own; leave it out of the template."]
            continue
        try:
            found[name] = checks.parse(kind, {**needed, name: value}).plain()[name]
        except ConfigError as error:
            own = {k: said for k, said in checks.complaints(error).items() if k == name or k.startswith(f"{name}.")}
            wrong |= own
            if not own:  # it lacks what only the monitor has; by itself it is fine
                alone = TypeAdapter(checks.KINDS[kind].Config.model_fields[name].rebuild_annotation())
                found[name] = alone.dump_python(alone.validate_python(value), mode="json")
    if wrong:
        raise ValidationError(wrong)
    return found


def diff(template: MonitorTemplate, m: Monitor, tags: Collection[str]) -> list[Difference]:
    """What rolling it out would change in this monitor, which carries these tags."""
    values = template.values
    found = [
        Difference(name, getattr(m, name), values[name])
        for name in NAMED
        if name in values and getattr(m, name) != values[name]
    ]
    given = values.get("config", {})
    properties = checks.schemas()[template.kind]["properties"] if template.kind in checks.KINDS else {}
    for name in (*given, *rules.ousted(template.kind, given)):
        default = properties.get(name, {}).get("default")
        before, after = m.config.get(name, default), given.get(name, default)
        if before != after:
            found.append(Difference(f"config.{name}", before, after))
    missing = _missing(values, tags)
    if missing:
        found.append(Difference("tags", sorted(tags), [*sorted(tags), *missing]))
    return found


def _missing(values: Mapping[str, Any], tags: Collection[str]) -> list[str]:
    have = {tag.lower() for tag in tags}
    return [word for word in values.get("tags", ()) if word.lower() not in have]


def fill(m: Monitor, template: MonitorTemplate) -> Monitor:
    """The template's values in a monitor, unsaved; tags are the caller's to add."""
    given = template.values.get("config", {})
    config = {k: v for k, v in m.config.items() if k not in rules.ousted(template.kind, given)}
    m.config = {**config, **given}
    for name in NAMED:
        if name in template.values:
            setattr(m, name, template.values[name])
    return m


def follow(m: Monitor, template: MonitorTemplate | None, tags: Collection[str]) -> Monitor:
    """Let an unsaved monitor follow the template from now on. Its version is noted when the monitor is as it wants."""
    if template is None:
        m.template, m.template_version = None, None
    elif m.template_id != template.pk or not diff(template, m, tags):
        m.template = template
        m.template_version = None if diff(template, m, tags) else template.version
    return m


# --- Doors ----------------------------------------------------------------------------------------------------------------
def save(row: MonitorTemplate, *, by: Actor) -> MonitorTemplate:
    """Create or change a template. The monitors that follow it stay as they are until it is rolled out."""
    new = row.pk is None
    with transaction.atomic():
        before = None if new else MonitorTemplate.objects.select_for_update().get(pk=row.pk)
        if before is not None:
            if (before.kind, before.client_id) != (row.kind, row.client_id):
                name = "kind" if before.kind != row.kind else "client"
                raise ValidationError({name: "This cannot be changed; make a new template instead."})
            row.version = before.version
            if isinstance(row.values, dict) and "probe_rule" in before.values:
                row.values = {"probe_rule": before.values["probe_rule"], **row.values}
        row.values = judged(row.kind, row.values)
        row.full_clean(exclude=["values"], validate_constraints=False)
        same = MonitorTemplate.objects.filter(name__iexact=row.name).exclude(pk=row.pk)
        if same.exists():
            raise ValidationError({"name": "A template of this name exists; choose another name."})
        if before is not None and before.values != row.values:
            row.version = before.version + 1
        row.save()
        names = ("name", "description", "values", "version")
        changed = [n for n in names if before is None or getattr(before, n) != getattr(row, n)]
        if changed:
            audit.record(
                "monitor_template.create" if new else "monitor_template.change",
                row,
                by=by,
                client_id=row.client_id,
                before=None if before is None else {n: getattr(before, n) for n in changed},
                after={n: getattr(row, n) for n in changed} | ({"kind": row.kind} if new else {}),
            )
    return row


def delete(row: MonitorTemplate, *, by: Actor) -> None:
    """Forget a template. Its monitors keep the values they have, and follow nothing any more."""
    with transaction.atomic():
        before = {"name": row.name, "kind": row.kind, "values": row.values, "monitors": row.monitors.count()}
        Monitor.objects.filter(template=row).update(template_version=None)
        audit.record("monitor_template.delete", row, by=by, client_id=row.client_id, before=before)
        row.delete()


def roll_out(
    template: MonitorTemplate, monitors: Iterable[Monitor], *, viewer: Viewer, by: Actor, at: datetime
) -> bulk.Outcome:
    """Bring these monitors to the template's values; they follow it from then on. Each by the monitors' own door, with its audit entry."""

    def bring(m: Monitor) -> None:
        tags = [tag.name for tag in m.tags.all()]
        if m.kind != template.kind:
            raise ValidationError(f"It is of kind {m.kind}, the template is for {template.kind}.")
        changes = diff(template, m, tags)
        if not changes and m.template_id == template.pk and m.template_version == template.version:
            return
        # The reach of staff is kept only for settings that staff wrote: a client's people may have written this template.
        settings = any(change.field.startswith("config.") or change.field == "probe_rule" for change in changes)
        vouched = bool(viewer.msp_role) and template.client_id is None
        fill(m, template)
        m.template, m.template_version = template, template.version
        services.save(
            m,
            by=by,
            at=at,
            tags=[*tags, *_missing(template.values, tags)],
            trusted=None if vouched or not settings else False,
        )

    return bulk.each(monitors, bring, viewer)

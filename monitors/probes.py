"""What can staff do with a probe? Add, change, switch off, send to look around, delete: one door each for pages, API, admin.

Tokens and keys are `monitors.remote`'s. Who may is asked by the caller; what a probe's absence would break is asked here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count
from django.utils.text import slugify

from monitors import assignment, places, remote, watching
from monitors.models import Monitor, Probe, ProbeJob, ProbeState
from portal import bells, services
from portal.audit import Actor
from portal.errors import Refused
from portal.outbound.guard import parse_host

# Three networks that do not fall together; offered, not imposed.
USUAL_ANCHORS = ("1.1.1.1:443", "8.8.8.8:443", "9.9.9.9:443")
MOST_ANCHORS = 10
LOOK_FOR = timedelta(seconds=60)
NAMED = 5  # monitors named in a refusal


# --- Judged --------------------------------------------------------------------------------------------------------------
def check_anchor(anchor: str) -> str:
    """`host:port` or a URL that proves the probe's own line. ValidationError otherwise."""
    try:
        parts = urlsplit(anchor if "//" in anchor else f"//{anchor}")
        parse_host(parts.hostname or "")
        fits = (
            parts.scheme in ("", "http", "https")
            and (parts.scheme != "" or parts.port is not None)
            and not parts.username
        )
    except ValueError:
        fits = False
    if not fits:
        raise ValidationError(f"{anchor[:60]!r} is neither host:port nor a URL, as 1.1.1.1:443 or https://example.com.")
    return anchor


def check_anchors(anchors: Iterable[str]) -> list[str]:
    """Each once, none empty; ValidationError names what does not fit."""
    given = list(anchors)
    if not all(isinstance(a, str) for a in given):
        raise ValidationError("Write each anchor as a text, as 1.1.1.1:443.")
    found = list(dict.fromkeys(a.strip() for a in given if a.strip()))
    if len(found) > MOST_ANCHORS:
        raise ValidationError(f"At most {MOST_ANCHORS} anchors.")
    return [check_anchor(a) for a in found]


def _judged(values: dict[str, Any]) -> dict[str, Any]:
    if "anchors" not in values:
        return values
    try:
        return {**values, "anchors": check_anchors(values["anchors"])}
    except ValidationError as error:
        raise ValidationError({"anchors": error.messages}) from None


def free_slug(name: str) -> str:
    """A slug for a name; ValidationError at `slug` when another probe has it."""
    slug = slugify(name)[:60] or "probe"
    if Probe.objects.filter(slug=slug).exists():
        raise ValidationError({"slug": "A probe with this slug exists; choose another."})
    return slug


# --- Doors ---------------------------------------------------------------------------------------------------------------
def create(*, by: Actor, at: datetime, **values: Any) -> tuple[Probe, str]:
    """A new probe and the token that lets one program enrol as it. Without a slug, one is made of the name."""
    values["slug"] = values.get("slug") or free_slug(values["name"])
    with transaction.atomic():
        probe = services.create(Probe, by=by, **_judged(values))
        token = remote.new_token(probe, by=by, at=at)
    return probe, token


def change(probe: Probe, *, by: Actor, at: datetime, **values: Any) -> set[str]:
    """Change the given fields; the names of those that are different now."""
    with transaction.atomic():
        changed = services.change(probe, by=by, **_judged(values))
        if "enabled" in changed and not probe.enabled:
            watching.fall_silent(probe, at)
        if changed & {"enabled", "network"}:  # its vote counts differently from now on
            ProbeState.objects.filter(probe=probe, active=True).update(changed=True)
            bells.ring_on_commit(bells.EVALUATE)
        if "enabled" in changed:
            bells.ring_on_commit(bells.PROBE)
    return changed


def look(probe: Probe, *, by: Actor, at: datetime) -> ProbeJob:
    """Ask it what it is and which of its anchors answer. Refused when it cannot hear us, and while it is asked already."""
    if ProbeJob.objects.filter(probe=probe, kind="look", state__in=("waiting", "taken"), expires_at__gt=at).exists():
        raise Refused("It is looking around already; its answer shows among its jobs.")
    return remote.ask(probe, "look", {}, key=f"look:{probe.pk}:{uuid4().hex}", by=by.name, at=at, within=LOOK_FOR)


def dependent(probe: Probe) -> list[Monitor]:
    """Monitors that would be left with too few places without this probe, worst first: those watched from nowhere else."""
    rows = {m.pk: m for m in Monitor.objects.filter(views__probe=probe).order_by("name", "pk")}
    counts = dict(
        ProbeState.objects.filter(monitor__in=rows).exclude(probe=probe).order_by().values_list("monitor").annotate(n=Count("pk"))
    )  # fmt: skip
    rest = [p for p in places.places() if p.id != probe.pk]
    short = []
    for m in rows.values():
        left = counts.get(m.pk, 0)
        if m.probe_rule:
            left = max(left, len(places.choose(m.probe_rule, m.pk, m.client_id, rest)))
        if left < max(1, m.quorum):
            short.append((left, m))
    return [m for _, m in sorted(short, key=lambda pair: pair[0])]


def delete(probe: Probe, *, by: Actor, at: datetime) -> None:
    """Forget a probe, with what it saw. Refused for our own, and while a monitor would be left with too few places."""
    if probe.built_in:
        raise Refused("The portal's own workers are this probe; disable it instead.")
    with transaction.atomic():
        probe = Probe.objects.select_for_update().get(pk=probe.pk)
        short = dependent(probe)
        if short:
            names = ", ".join(m.name for m in short[:NAMED]) + (f" and {len(short) - NAMED} more" if len(short) > NAMED else "")  # fmt: skip
            raise Refused(f"Without it too few places would watch {names}. Choose others for {'it' if len(short) == 1 else 'them'} first, or pause it by disabling this probe.")  # fmt: skip
        watching.fall_silent(probe, at)
        monitors = list(ProbeState.objects.filter(probe=probe).values_list("monitor_id", flat=True))
        services.delete(probe, by=by)
        ProbeState.objects.filter(monitor__in=monitors).update(
            changed=True, settled=False
        )  # the votes are counted anew
        assignment.apply(at, monitors)
        bells.ring_on_commit(bells.EVALUATE)

"""What may the public read of a page? Plain data, built from a list of named fields and from nothing else.

No host, address, error text, monitor's name or other client's row is ever copied here; what is shown of monitors are the
names of components, words and figures. Readers are served from this row alone and never touch a monitor's.

    want([page.pk], at=at)     something changed: build it anew within a second (inside the caller's transaction)
    body_of(page, at)          what index.json says
    rebuild(page, at)          build and keep; says whether anything that readers see is different
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import transaction

from monitors import subjects
from portal import bells
from portal.markup import markdown
from statuspages import engine, measured, words
from statuspages.models import Component, Page, Projection, Publication, ScheduledWork
from statuspages.scene import AHEAD, UNDER_WAY, Scene, months_until, read
from statuspages.scene import zone_of as zone_of

BELL = "publish"
VERSION = "1"  # of what is built: another number makes every page new
RECENT = timedelta(days=15)


# --- The wish -------------------------------------------------------------------------------------------------------------
def want(page_ids: Iterable[int], *, at: datetime) -> None:
    """Have these pages built anew, soon after the caller's transaction. `at`: when what they show changed."""
    ids = sorted(set(page_ids))
    if not ids:
        return
    with transaction.atomic():
        rows = Projection.objects.filter(page__in=ids).order_by()
        missing = set(ids) - set(rows.values_list("page_id", flat=True))
        if missing:
            Projection.objects.bulk_create((Projection(page_id=pk) for pk in sorted(missing)), ignore_conflicts=True)
        # In the order of their keys: two who mark the same pages at once never wait for each other in a circle.
        found = list(
            rows.filter(wanted=False).order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True)
        )
        if found:
            Projection.objects.filter(pk__in=found).update(wanted=True)
        bells.ring_on_commit(BELL)


# --- Keeping --------------------------------------------------------------------------------------------------------------
def rebuild(page: Page, at: datetime) -> bool:
    """Build and keep what readers are served; True when it differs from what they were served before.

    Claimed by its row's time: of two who build at once the later one's stands.
    """
    row, _ = Projection.objects.get_or_create(page=page)
    if not Projection.objects.filter(pk=row.pk, built_at=row.built_at).update(built_at=at, wanted=False):
        return False
    body, days = _build(page, at, row.days)
    digest = digest_of(page, body)
    kept = Projection.objects.filter(pk=row.pk, built_at=at).update(body=body, digest=digest, days=days)
    return bool(kept) and digest != row.digest


def body_of(page: Page, at: datetime) -> dict[str, Any]:
    """What index.json says of this page at `at`: strings, numbers, lists. Nothing is kept."""
    row = Projection.objects.filter(page=page).first()
    return _build(page, at, row.days if row else {})[0]


def digest_of(page: Page, body: Mapping[str, Any]) -> str:
    """The validator of everything that readers are sent: the body, and how it looks."""
    logo = hashlib.sha256(bytes(page.logo or b"")).hexdigest()
    look = [
        VERSION,
        page.slug,
        page.theme,
        page.accent,
        page.custom_css,
        logo,
        page.logo_type,
        page.custom_domain,
        bool(page.domain_verified_at),
    ]
    text = json.dumps([look, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# --- Building -------------------------------------------------------------------------------------------------------------
def _build(page: Page, at: datetime, kept: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    scene = read(page, at)
    states = {pk: m.state for pk, m in scene.monitors.items()}
    days, kept = measured.count(scene.behind, dict(kept), states, at, scene.zone)
    points = measured.latency(scene.behind, at) if page.show_latency else {}
    told: dict[int, list[str]] = defaultdict(list)
    unplaced: list[str] = []
    for publication in scene.published:
        if publication.incident.resolved_at is None:
            for pk in scene.affected(publication):
                told[pk].append(publication.incident.severity)
            if not scene.affected(publication):
                unplaced.append(publication.incident.severity)
    in_work = {c.pk for work in scene.works if work.status in UNDER_WAY for c in work.components.all()}
    status = {
        c.pk: engine.component_status(
            [states[m] for m in scene.behind[c.pk]], at=at, severities=told[c.pk], in_work=c.pk in in_work,
            override=c.override, override_until=c.override_until,
        )
        for c in scene.components
    }  # fmt: skip
    word, names = engine.page_state([(c.name, status[c.pk]) for c in scene.components], unplaced)
    incidents = [_incident(scene, p) for p in scene.published]
    works = [_work(w) for w in scene.works]
    recent = {
        p.pk
        for p in scene.published
        if p.incident.resolved_at is None or p.incident.resolved_at >= at - RECENT
    }  # fmt: skip
    body = {
        "page": _about(page, at),
        "state": {
            "status": word,
            "sentence": words.sentence(page.language, word, names, engine.NAMED),
            "components": names,
        },
        "groups": _groups(scene, status, days, points),
        "incidents": [one for one in incidents if one["id"] in recent],
        "works": [one for one in works if one["status"] in AHEAD],
        "history": _history(scene, incidents, works),
    }
    return body, kept


def _about(page: Page, at: datetime) -> dict[str, Any]:
    # Forms accept web addresses only; what came another way is not shown.
    support = page.support_url if page.support_url.lower().startswith(("https://", "http://")) else ""
    announced = page.announcement if page.announcement_until is None or at < page.announcement_until else ""
    return {
        "name": page.name, "headline": page.headline or page.name, "about": html(page.about), "announcement": html(announced),
        "support_url": support, "language": page.language, "timezone": page.timezone, "subscriptions": page.subscriptions,
    }  # fmt: skip


def _groups(
    scene: Scene,
    status: Mapping[int, str],
    days: Mapping[int, Mapping[Any, engine.Day]],
    points: Mapping[int, Sequence[tuple[datetime, float]]],
) -> list[dict[str, Any]]:
    groups: dict[int, dict[str, Any]] = {}
    order = sorted(
        scene.components, key=lambda c: (c.group is not None, c.group.order if c.group else 0, c.group_id or 0)
    )
    for c in order:
        group = groups.setdefault(
            c.group_id or 0,
            {
                "name": c.group.name if c.group else "",
                "collapsed": bool(c.group and c.group.collapsed),
                "components": [],
            },
        )
        group["components"].append(_component(scene, c, status[c.pk], days.get(c.pk, {}), points.get(c.pk, ())))
    for group in groups.values():
        group["status"] = engine.worst(one["status"] for one in group["components"])
    return list(groups.values())


def _component(
    scene: Scene, c: Component, status: str, days: Mapping[Any, engine.Day], points: Sequence[tuple[datetime, float]]
) -> dict[str, Any]:
    page, told = scene.page, {"id": c.pk, "name": c.name, "description": c.description, "status": status}
    if c.show_uptime:
        bars = engine.bars(days, scene.at.astimezone(scene.zone).date(), measured.DAYS)
        if page.show_uptime:
            told["uptime"] = engine.uptime(days.values())
        else:
            bars = [{k: v for k, v in bar.items() if k != "up"} for bar in bars]
        told["days"] = bars
    if page.show_latency:
        told["latency"] = [[_iso(hour), ms] for hour, ms in points]
    if page.show_targets:
        told["targets"] = sorted({subjects.target_of(scene.monitors[m]) for m in scene.behind[c.pk]})
    return told


def _incident(scene: Scene, p: Publication) -> dict[str, Any]:
    page, i = scene.page, p.incident
    touched = scene.affected(p)
    names = [c.name for c in scene.components if c.pk in touched]
    title = p.title or i.title
    if i.auto_created and not p.title and not page.show_targets:
        # The machine's title names a monitor; readers know components.
        title = (
            words.word(page.language, "disruption", a=", ".join(names))
            if names
            else words.word(page.language, "disruption_plain")
        )
    told = {
        "id": p.pk, "title": title, "severity": i.severity, "status": i.status, "began_at": _iso(i.began_at or i.created_at),
        "resolved_at": _iso(i.resolved_at), "components": names,
        "updates": [{"at": _iso(u.created_at), "status": u.status, "html": html(u.message)} for u in i.updates.all()],
    }  # fmt: skip
    cause = words.cause(page.language, scene.causes.get(i.pk, ""))
    if cause:
        told["cause"] = cause
    return told


def _work(w: ScheduledWork) -> dict[str, Any]:
    # What announces it stands above all updates already.
    said = {
        u.pk: "" if (u.status, u.message) == (ScheduledWork.Status.SCHEDULED, w.message) else u.message
        for u in w.updates.all()
    }
    return {
        "id": w.pk, "title": w.title, "status": w.status, "starts_at": _iso(w.starts_at), "ends_at": _iso(w.ends_at), "html": html(w.message),
        "components": [c.name for c in w.components.all()],
        "updates": [{"at": _iso(u.created_at), "status": u.status, "html": html(said[u.pk])} for u in w.updates.all()],
    }  # fmt: skip


def _history(
    scene: Scene, incidents: Sequence[dict[str, Any]], works: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    months: dict[str, dict[str, Any]] = {
        m: {"month": m, "incidents": [], "works": []} for m in months_until(scene.at, scene.zone)
    }
    for kind, rows, when in (("incidents", incidents, "began_at"), ("works", works, "starts_at")):
        for one in rows:
            month = f"{datetime.fromisoformat(one[when]).astimezone(scene.zone):%Y-%m}"
            over = kind == "incidents" or one["status"] not in AHEAD
            if month in months and over:
                months[month][kind].append(one)
    return list(months.values())


@lru_cache(maxsize=4096)
def html(text: str) -> str:
    """A person's Markdown as harmless HTML."""
    return str(markdown(text)) if text.strip() else ""


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at else None


# --- Whom does news concern? ----------------------------------------------------------------------------------------------
def pages_of_monitors(monitor_ids: Collection[int], service_ids: Collection[int]) -> list[int]:
    """The pages that show any of these monitors, by name or by their service. Each question is a seek in its own index."""
    links = Component.monitors.through.objects.filter(monitor__in=list(monitor_ids)).order_by()
    found = set(links.values_list("component__page_id", flat=True))
    if service_ids:
        found |= set(
            Component.objects.filter(service__in=list(service_ids)).order_by().values_list("page_id", flat=True)
        )
    return sorted(found)


def pages_of_incidents(incident_ids: Collection[int]) -> list[int]:
    """The pages on which any of these incidents is published."""
    rows = Publication.objects.filter(incident__in=list(incident_ids), withdrawn_at=None)
    return list(rows.order_by().values_list("page_id", flat=True).distinct())

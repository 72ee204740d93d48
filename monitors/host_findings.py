"""What follows from the figures a machine sent? Samples, what the machine is, and alerts about what lasts too long.

The figures come with a result, of our own probe or of a remote one, and nothing in them is believed unseen: names,
numbers and texts are bounded and cleaned before a row is written. Silence is looked for once a minute (`sweep`).
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Max, Min

from alerts.models import Alert
from alerts.report import Report, close, report
from monitors import checks, engine, store, subjects
from monitors.hosts import thresholds, trend
from monitors.models import Container, Host, HostSample, Monitor, ProbeState
from portal.audit import PORTAL
from portal.models import Worker

log = logging.getLogger("watchkeeper.hosts")

SAMPLE_DAYS = 7
MOST_VALUES, LONGEST_NAME, LONGEST_CONDITION = 300, 100, 80
OTHER_PROBE = timedelta(minutes=10)  # so long does a monitor's figures come from the one machine they came from first
STALE_LEAST, STALE_INTERVALS = timedelta(minutes=5), 3
FORECAST_EVERY, FORECAST_OVER, FORECAST_FROM = timedelta(minutes=15), timedelta(hours=24), 50.0

_forecasts: OrderedDict[int, tuple[datetime, dict[str, float]]] = OrderedDict()  # monitor -> disk -> hours left


def note(done: Sequence[store.Done]) -> None:
    """Keep the samples among accepted results, and say what they mean."""
    all_or_each([d for d in done if isinstance(d.outcome.facts.get("host"), dict)], _keep)


def all_or_each(done: list[store.Done], keep: Callable[[list[store.Done]], None]) -> None:
    """In one transaction; when that fails, each by itself, so that one strange machine does not silence the others."""
    if not done:
        return
    try:
        with transaction.atomic():
            keep(done)
        return
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        if len(done) == 1:
            log.exception("what monitor %s sent of its machine cannot be kept", done[0].claim.monitor)
            return
    for d in done:
        all_or_each([d], keep)


def locked(done: Iterable[store.Done]) -> tuple[dict[int, Monitor], dict[int, Host]]:
    """The monitors that are watched still, with their tags, and their machines; locked, in order."""
    rows = Monitor.objects.filter(pk__in={d.claim.monitor for d in done}, enabled=True)
    monitors = {m.pk: m for m in subjects.with_tags(rows.select_for_update(of=("self",)).order_by("pk"))}
    Host.objects.bulk_create([Host(monitor=m) for m in monitors.values()], ignore_conflicts=True)
    hosts = Host.objects.filter(monitor__in=monitors).order_by("monitor_id").select_for_update()
    return monitors, {h.monitor_id: h for h in hosts}


def is_news(h: Host, d: store.Done) -> bool:
    """Newer than what is known, and from the machine it came from before: two machines in one monitor would mix."""
    if h.seen_at is not None and d.at <= h.seen_at:
        return False
    probe = h.facts.get("probe")
    return probe in (None, d.claim.probe) or h.seen_at is None or d.at - h.seen_at > OTHER_PROBE


def _keep(done: list[store.Done]) -> None:
    monitors, hosts = locked(done)
    samples, reports = [], []
    for d in sorted(done, key=lambda d: d.at):
        m, h = monitors.get(d.claim.monitor), hosts.get(d.claim.monitor)
        if m is None or h is None or m.kind != "host":
            continue
        seen = d.outcome.facts["host"]
        values = numbers(seen.get("values"))
        fresh = is_news(h, d)
        if not fresh and h.facts.get("probe") != d.claim.probe:
            continue
        config = _config(m)
        if fresh and config is not None:
            values |= forecast(m.pk, values, config, d.at)
            reports += _judge(m, h, values, seen, config, d)
        samples.append(HostSample(monitor=m, at=d.at.replace(second=0, microsecond=0), values=values))
    HostSample.objects.bulk_create(samples, ignore_conflicts=True)
    Host.objects.bulk_update(hosts.values(), ["facts", "crossed", "seen_at"])
    report(reports)


def _config(m: Monitor) -> Any:
    try:
        return checks.parse(m.kind, m.config)
    except ValueError:  # stored settings that no longer fit: its page says so
        return None


def _judge(
    m: Monitor, h: Host, values: dict[str, float], seen: Mapping[str, Any], config: Any, d: store.Done
) -> list[Report]:
    h.crossed, found = thresholds.judge(values, h.crossed, thresholds.of_host(config), d.at)
    reports = [figure_report(m, f, d.at) for f in found]
    told = set(h.facts.get("told", ()))
    machine, waiting, held = seen.get("facts"), seen.get("updates"), seen.get("certificates")
    facts: dict[str, Any] = {**cleaned(machine if isinstance(machine, dict) else {}), "probe": d.claim.probe}
    for name in ("services", "processes", "certificates", "updates"):
        if isinstance(seen.get(name), dict):
            facts[name] = cleaned(seen[name])
        elif name == "updates" and config.updates and "updates" in h.facts:
            facts[name] = h.facts[name]  # a probe that has just begun has not asked yet
    for finding in (*_updates(waiting, config.updates), *_certificates(held, config.certificates)):
        condition, event, failing, severity, title, message, source = finding
        if failing or condition in told:
            reports.append(
                subjects.report_of(
                    m,
                    source=source,
                    condition=fitting(condition),
                    event=event,
                    failing=failing,
                    at=d.at,
                    severity=severity,
                    title=title.format(m.name) if failing else "",
                    message=message,
                )
            )
        told = told | {condition} if failing else told - {condition}
    for condition in sorted(told):  # a certificate file that is not listed any more
        if condition.startswith("certificate_file:") and condition.partition(":")[2] not in config.certificates:
            told.discard(condition)
            reports.append(
                subjects.report_of(
                    m, source="certificate", condition=fitting(condition), event="expiring", failing=False, at=d.at, quiet=True
                )
            )  # fmt: skip
    h.facts, h.seen_at = {**facts, "told": sorted(told)}, d.at
    return reports


def figure_report(m: Monitor, f: thresholds.Finding, at: datetime) -> Report:
    """What is said of one figure."""
    title, message = f.words(m.name)
    return subjects.report_of(
        m, source="resource", condition=fitting(f.name), event=f.event, failing=f.failing, at=at, severity=f.severity, title=title, message=message,
        started_at=f.since, evidence={"figure": f.name, "value": f.value, "limit": f.limit} if f.failing else {},
    )  # fmt: skip


Said = tuple[str, str, bool, str, str, str, str]  # condition, event, failing, severity, title, message, source


def _updates(waiting: Any, wanted: bool) -> list[Said]:
    """Waiting updates are information, those for security a warning, and so is a restart that is due information."""
    if not wanted:
        return [(c, "available", False, "info", "", "", "update") for c in ("os_updates", "reboot")]
    if not isinstance(waiting, dict):
        return []
    found: list[Said] = []
    pending, security = waiting.get("pending"), waiting.get("security")
    if isinstance(pending, int) and isinstance(security, int):
        words = f"{pending} {'update waits' if pending == 1 else 'updates wait'}"
        words += f", {security} of them for security." if security else "."
        severity = "warning" if security else "info"
        found.append(("os_updates", "available", pending > 0, severity, "Updates wait for {}", words, "update"))
    if isinstance(reboot := waiting.get("reboot"), bool):
        words = "Installed updates take effect only after a restart."
        found.append(("reboot", "available", reboot, "info", "{} wants to be restarted", words, "update"))
    return found


def _certificates(held: Any, listed: Sequence[str]) -> list[Said]:
    """Certificate files, by the days that certificates of sites are told by. A file that cannot be read says nothing."""
    found: list[Said] = []
    for path, seen in held.items() if isinstance(held, dict) else ():
        days = seen.get("days") if isinstance(seen, dict) else None
        if path not in listed or not isinstance(days, int | float) or not math.isfinite(days):
            continue
        event = engine.certificate_event(days_left=days, chain_error="", hostname_ok=True)
        word, _, severity = event or ("expiring", "", "warning")
        words = f"The certificate in {path} " + (f"holds for {int(days)} more days." if days > 0 else "has run out.")
        title = "Certificate file on {} has expired" if days <= 0 else "Certificate file on {} expires soon"
        found.append((f"certificate_file:{path}", word, event is not None, severity, title, words, "certificate"))
    return found


def forecast(monitor: int, values: Mapping[str, float], config: Any, at: datetime) -> dict[str, float]:
    """{"disk_full_in_hours:/": hours} of the disks that fill steadily, looked at anew every quarter of an hour."""
    if not (config.disk_full_in_hours or config.disk_full_in_hours_critical):
        return {}
    disks = {k.partition(":")[2]: v for k, v in values.items() if k.startswith("disk_percent:") and v >= FORECAST_FROM}
    known = _forecasts.get(monitor)
    if known is None or not timedelta(0) <= at - known[0] < FORECAST_EVERY:
        known = _forecasts[monitor] = at, _forecast(monitor, disks, at) if disks else {}
        _forecasts.move_to_end(monitor)
        while len(_forecasts) > 20_000:
            _forecasts.popitem(last=False)
    return {f"disk_full_in_hours:{disk}": hours for disk, hours in known[1].items() if disk in disks}


def _forecast(monitor: int, disks: Mapping[str, float], at: datetime) -> dict[str, float]:
    rows = HostSample.objects.filter(monitor=monitor, at__gt=at - FORECAST_OVER, at__lt=at).order_by("at")
    ids = list(rows.values_list("pk", flat=True))
    step = max(1, -(-len(ids) // trend.MOST_POINTS))
    seen = list(HostSample.objects.filter(pk__in=ids[::step]).order_by("at").values_list("at", "values"))
    found = {}
    for disk, now in disks.items():
        points = [(when, float(v)) for when, kept in seen if (v := kept.get(f"disk_percent:{disk}")) is not None]
        hours = trend.full_in_hours([*points, (at, now)])
        if hours is not None:
            found[disk] = hours
    return found


# --- What comes from afar is cleaned ----------------------------------------------------------------------------------------
def numbers(values: Any) -> dict[str, float]:
    """Finite numbers by name."""
    found: dict[str, float] = {}
    for name, value in values.items() if isinstance(values, dict) else ():
        usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18
        if usable and len(name) <= LONGEST_NAME and name.isprintable() and len(found) < MOST_VALUES:
            found[name] = value
    return found


def cleaned(value: Any, depth: int = 4, longest: int = 300) -> Any:
    """Plain JSON that every database takes: no control characters, bounded in every direction."""
    if isinstance(value, str):
        return "".join(c for c in value[:longest] if c.isprintable())
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return value if math.isfinite(value) and abs(value) < 1e18 else None
    if isinstance(value, dict) and depth:
        return {cleaned(str(k)): cleaned(v, depth - 1, longest) for k, v in list(value.items())[:100]}
    if isinstance(value, list | tuple) and depth:
        return [cleaned(v, depth - 1, longest) for v in value[:100]]
    return None


def fitting(condition: str) -> str:
    """A condition as long as its column, and still one of its kind."""
    if len(condition) <= LONGEST_CONDITION:
        return condition
    return f"{condition[: LONGEST_CONDITION - 9]}#{hashlib.sha256(condition.encode()).hexdigest()[:8]}"


# --- Silence ------------------------------------------------------------------------------------------------------------------
def sweep(at: datetime) -> None:
    """Machines that fell silent, or speak again; alerts of containers whose monitor rests or is gone."""
    with transaction.atomic():
        close_orphans(at)
        _stale(at)


def _stale(at: datetime) -> None:
    """No result for three intervals and five minutes. While the portal itself was away nobody could have reported."""
    up_since = Worker.objects.filter(seen_at__gt=at - timedelta(minutes=1)).aggregate(at=Min("started_at"))["at"]
    views = ProbeState.objects.filter(
        active=True, monitor__enabled=True, monitor__kind__in=("host", "container"), probe__enabled=True, last_at__isnull=False
    ).order_by("monitor_id")  # fmt: skip
    seen = {
        row["monitor_id"]: row
        for row in views.values("monitor_id", "monitor__kind", "monitor__interval_seconds").annotate(
            last=Max("last_at")
        )
    }
    machines = set(views.filter(monitor__kind="host").values_list("probe_id", flat=True))
    spoken_for = set(views.filter(monitor__kind="container", probe__in=machines).values_list("monitor_id", flat=True))
    silent = {
        pk: row["last"]
        for pk, row in seen.items()
        if pk not in spoken_for
        and at - max(row["last"], up_since or row["last"])
        > max(STALE_LEAST, STALE_INTERVALS * timedelta(seconds=row["monitor__interval_seconds"]))
    }
    said = {
        int(entity)
        for entity in Alert.objects.filter(
            resolved_at=None, source="agent", condition="stale", entity_type="monitor"
        ).values_list("entity_id", flat=True)
        if entity.isdigit()
    }
    changed = (silent.keys() - said) | (said & seen.keys() - silent.keys())
    rows = Monitor.objects.filter(pk__in=changed, enabled=True).select_for_update(of=("self",)).order_by("pk")
    report([_stale_report(m, silent.get(m.pk), at) for m in subjects.with_tags(rows)])


def _stale_report(m: Monitor, last: datetime | None, at: datetime) -> Report:
    minutes = int((at - last).total_seconds() // 60) if last else 0
    return subjects.report_of(
        m, source="agent", condition="stale", event="stale", failing=last is not None, at=at, severity="warning", started_at=last,
        title=f"{m.name} has fallen silent" if last else "",
        message=f"Its probe has sent nothing for {minutes} minutes: the machine, the probe or the line between is away. Nothing is known of it." if last else "",
    )  # fmt: skip


def close_orphans(at: datetime) -> None:
    """Alerts about containers end quietly when their monitor is paused or deleted (ALR-3)."""
    rows = list(Alert.objects.filter(resolved_at=None, entity_type="container").order_by("pk"))
    if not rows:
        return
    named = [int(a.entity_id) for a in rows if a.entity_id.isdigit()]
    alive = {
        str(pk) for pk in Container.objects.filter(pk__in=named, monitor__enabled=True).values_list("pk", flat=True)
    }
    lost = [a.pk for a in rows if a.entity_id not in alive]
    found = list(Alert.objects.filter(pk__in=lost, resolved_at=None).order_by("pk").select_for_update())
    if found:
        close(found, at=at, by=PORTAL, quiet=True)


def forget(at: datetime) -> None:
    """Samples after a week, and containers that were taken away a week ago."""
    old = HostSample.objects.filter(at__lt=at - timedelta(days=SAMPLE_DAYS))
    while ids := list(old.values_list("pk", flat=True)[:5000]):
        HostSample.objects.filter(pk__in=ids).delete()
    Container.objects.filter(state="gone", seen_at__lt=at - timedelta(days=SAMPLE_DAYS)).delete()

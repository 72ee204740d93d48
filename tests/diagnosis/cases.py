"""What do these tests have in common? Monitors that can be diagnosed, probes that can look, and what one of them might measure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from monitors import partitions
from monitors.diagnosis import batteries
from monitors.models import Battery, Diagnosis, Monitor, Probe
from portal.clock import database_now
from tests.monitors import rows, seeing

HOST = "10.20.0.80"


def room() -> None:
    """Somewhere for results of these minutes to be stored."""
    partitions.ensure_ahead(database_now())


def web(name: str = "shop", host: str = HOST, probes: list[Probe] | None = None, **more: Any) -> Monitor:
    """An http monitor of that host; up since a moment ago."""
    m = rows.monitor(name=name, config={"url": f"http://{host}/"}, probes=probes, **more)
    for probe in probes or [rows.probe()]:
        seeing.see(m, "u", database_now() - timedelta(seconds=5), by=probe)
    seeing.judge(database_now() - timedelta(seconds=5))
    return m


def remote(slug: str = "berlin", **more: Any) -> Probe:
    """A remote probe that is enrolled and heard."""
    at = database_now()
    return rows.probe(slug, public_key=f"key of {slug}", last_seen_at=at, **more)


def fails(m: Monitor, at: datetime | None = None, by: Probe | None = None) -> datetime:
    """Its first failing result, judged; when that was."""
    at = at or database_now()
    seeing.see(m, "f", at, by=by)
    seeing.judge(at)
    return at


def diagnoses(m: Monitor) -> list[Diagnosis]:
    return list(Diagnosis.objects.filter(monitor=m).order_by("pk"))


def the(m: Monitor) -> Diagnosis:
    """Its only diagnosis."""
    (found,) = diagnoses(m)
    return found


def begun(name: str = "shop", **more: Any) -> tuple[Monitor, Diagnosis]:
    """A monitor that has just begun to fail, and its diagnosis."""
    m = web(name, **more)
    fails(m)
    return m, the(m)


def again(d: Diagnosis) -> Diagnosis:
    """As it is stored now."""
    return Diagnosis.objects.get(pk=d.pk)


def batteries_of(d: Diagnosis) -> dict[str, str]:
    """{probe: state}"""
    return dict(Battery.objects.filter(diagnosis=d).values_list("probe__slug", "state"))


def measured(**parts: Any) -> dict[str, Any]:
    """What a battery might say: the port refuses, the machine answers pings."""
    path = {"proto": "icmp", "status": "ok", "reached": True, "rounds": 5, "hops": [{"ttl": 1, "address": HOST, "sent": 5, "got": 5, "rtt_ms": [1.0] * 5, "said": "reply"}]}  # fmt: skip
    return {
        "v": 1, "probe": 0, "slug": "?", "private": False, "network": "", "at": database_now().timestamp(), "took_ms": 900.0, "cut": [],
        "target": {"host": HOST, "port": 80, "tls": False, "kind": "http", "address": HOST, "addresses": [HOST]},
        "connect": {"status": "refused", "tries": 3, "ok": 0, "said": "Connection refused"},
        "ping": {"status": "ok", "sent": 5, "got": 5, "rtt_ms": [1.0] * 5}, "paths": [path],
        "check": {"status": "failing", "error_class": "connect_refused", "message": "The connection was refused"}, **parts,
    }  # fmt: skip


def measure(
    d: Diagnosis, at: datetime | None = None, said: dict[str, Any] | None = None, slug: str = "local"
) -> Battery:
    """The portal's own probe measures this diagnosis' battery."""
    at = at or database_now()
    probe = rows.probe(slug)
    (b,) = [b for b in batteries.claim([probe.pk], at, "worker") if b.diagnosis_id == d.pk]
    assert batteries.keep(b.pk, said or measured(), at, worker="worker")
    b.refresh_from_db()
    return b

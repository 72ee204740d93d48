"""What was each client told of a month, and would it be counted the same today? SLA reports from rows, kept with what they were counted from.

figures(client, date(2026, 11, 1), at=now)     -> the body of one month, in plain JSON
make(client, first, by=…, at=…)                -> SlaReport, kept; the same figures are kept once
keep_due(at)                                   -> how many months that have just gone by were kept by themselves, and mailed
recompute(report, at=…)                        -> what differs: nothing, or sentences
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from incidents import sla, sla_mail, sla_rows
from incidents.models import SlaContract, SlaReport
from portal import audit
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Client, Service
from portal.models.clients import known_zone

VERSION = 1
FIELDS = (
    "target_percent", "exclude_maintenance", "exclude_transit", "exclude_probe", "exclude_unknown", "counted_from", "timezone",
)  # fmt: skip


# --- Contracts ------------------------------------------------------------------------------------------------------------
def save_contract(service: Service, *, by: Actor, **values: Any) -> SlaContract:
    """Make or change the contract of a service. Raises ValidationError at the field."""
    with transaction.atomic():
        row = SlaContract.objects.select_for_update().filter(service=service).first() or SlaContract(service=service)
        fresh = row.pk is None
        before = {name: getattr(row, name) for name in FIELDS if name in values}
        for name in before:
            setattr(row, name, values[name])
        if row.timezone:
            try:
                known_zone(row.timezone)
            except ValidationError as error:
                raise ValidationError({"timezone": error.messages}) from error
        row.full_clean(exclude=["service"])
        row.save()
        changed = {name: value for name, value in before.items() if fresh or value != values[name]}
        if changed or fresh:
            audit.record(
                "sla_contract.create" if fresh else "sla_contract.change", row, by=by, client_id=service.client_id,
                before={} if fresh else changed, after={name: values[name] for name in changed},
            )  # fmt: skip
        return row


def delete_contract(row: SlaContract, *, by: Actor) -> None:
    """Nothing is promised about that service any more; reports that were made stay."""
    with transaction.atomic():
        audit.record("sla_contract.delete", row, by=by, client_id=row.service.client_id)
        row.delete()


def terms_of(contract: SlaContract) -> sla.Terms:
    """The contract as the figures are counted by it."""
    layers = {"transit": contract.exclude_transit, "probe": contract.exclude_probe}
    return sla.Terms(
        contract.target_percent, contract.exclude_maintenance, frozenset(n for n, out in layers.items() if out),
        contract.exclude_unknown, contract.counted_from,
    )  # fmt: skip


# --- A month ----------------------------------------------------------------------------------------------------------------
def figures(client: Client, first: date, *, at: datetime) -> dict[str, Any]:
    """One month of a client as far as it has gone at `at`: each service with a contract, and everything it was counted from."""
    contracts = (
        SlaContract.objects.filter(service__client=client).select_related("service").order_by("service__name", "pk")
    )
    services = []
    for contract in contracts:
        zone = contract.timezone or client.timezone
        start, end = sla.month_of(first, zone)
        until = max(start, min(end, at))
        known = sla_rows.watched([contract.service], start, until)[contract.service_id]
        services.append(_section(contract, zone, known, sla.count(known, terms_of(contract), first, zone, at)))
    return {
        "version": VERSION, "client": client.pk, "client_name": client.name, "month": f"{first:%Y-%m}",
        "counted_at": _text(at.replace(microsecond=0)), "services": services,
    }  # fmt: skip


def _section(contract: SlaContract, zone: str, known: list[sla.Watched], m: sla.Month) -> dict[str, Any]:
    terms = {name: getattr(contract, name) for name in FIELDS} | {"timezone": zone}
    return {
        "service": contract.service_id, "name": contract.service.name, "contract": terms,
        "from": _text(m.start), "until": _text(m.until), "complete": m.until == m.end,
        "raw": _figures(m.raw), "contract_figures": _figures(m.contract), "met": m.met,
        "allowed_seconds": round(m.allowed_seconds, 3), "left_seconds": round(m.left_seconds, 3),
        "outages": [
            {"monitor": o.monitor, "from": _text(o.start), "until": _text(o.end), "seconds": round(o.seconds, 3), "layer": o.layer, "reason": o.reason, "excluded": o.excluded}
            for o in m.outages
        ],
        "excluded": [
            {"monitor": e.monitor, "from": _text(e.start), "until": _text(e.end), "seconds": round(e.seconds, 3), "why": e.why} for e in m.excluded
        ],
        "counted_from": [_picture(w) for w in known],
    }  # fmt: skip


def _figures(f: sla.Figures) -> dict[str, Any]:
    return {
        "counted_seconds": round(f.counted_seconds, 3),
        "down_seconds": round(f.down_seconds, 3),
        "percent": f.percent,
    }


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace(".000000", "").replace("+00:00", "Z")


def _picture(w: sla.Watched) -> dict[str, Any]:
    return {
        "monitor": w.id, "name": w.name, "before": w.before,
        "changes": [{"at": _text(c.at), "to": c.to, "first_failure_at": _text(c.first_failure_at) if c.first_failure_at else None, "layer": c.layer, "reason": c.reason} for c in w.changes],
        "work": [[_text(a), _text(b), title] for a, b, title in w.work],
        "beneath": [[_text(a), _text(b)] for a, b in w.beneath], "blank": [[_text(a), _text(b)] for a, b in w.blank],
    }  # fmt: skip


def digest_of(body: dict[str, Any]) -> str:
    """What tells two reports apart: SHA-256 of everything but the moment of counting, in one spelling."""
    told = {name: value for name, value in body.items() if name != "counted_at"}
    spelt = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(spelt.encode()).hexdigest()


def make(client: Client, first: date, *, by: Actor, at: datetime) -> SlaReport:
    """Count a month that is over and keep it. The same figures again are the same report. Refused without a contract or too early."""
    body = figures(client, first, at=at)
    if not body["services"]:
        raise Refused("No service of this client has a contract; add one first.")
    if not all(s["complete"] for s in body["services"]):
        raise Refused("This month is not over yet; its figures so far are shown, and kept when it is.")
    body, digest = audit.plain(body), digest_of(body)
    about = {"client": client, "month": first.replace(day=1), "digest": digest}
    kept = SlaReport.objects.filter(**about).first()
    if kept is not None:
        return kept
    try:
        with transaction.atomic():
            row = SlaReport.objects.create(**about, body=body, made_at=at, made_by=by.name[:200])
            audit.record(
                "sla_report.make", row, by=by, client_id=client.pk, after={"month": body["month"], "digest": digest}
            )
            sla_mail.owe(row, at=at)
            return row
    except IntegrityError:  # somebody made the very same at the same moment
        return SlaReport.objects.get(**about)


SETTLED = timedelta(days=2)  # a probe that was cut off brings what it measured within that time
LATEST = timedelta(days=10)  # a contract that is made later in the month promised nothing for the month before


def keep_due(at: datetime) -> int:
    """Keep the month that has just gone by of each client with a contract, once it has settled. Returns how many.

    What was to be mailed before and failed in passing is tried once more.
    """
    kept = 0
    for client in Client.objects.filter(services__sla_contract__isnull=False).distinct().order_by("pk"):
        first = sla.months_back(at, client.timezone, 2)[1]
        over = at - sla.month_of(first, client.timezone)[1]
        if not SETTLED <= over <= LATEST or SlaReport.objects.filter(client=client, month=first).exists():
            continue
        body = figures(client, first, at=at)
        if all(s["complete"] for s in body["services"]) and any(s["met"] is not None for s in body["services"]):
            make(client, first, by=audit.PORTAL, at=at)
            kept += 1
    sla_mail.again(at)
    return kept


# --- Again ------------------------------------------------------------------------------------------------------------------
def recompute(row: SlaReport, *, at: datetime) -> list[str]:
    """What differs when the month is counted again; empty when all is equal.

    From what the report keeps, always; from the rows of today, as long as the changes of that month are still kept.
    """
    found = (
        [] if digest_of(row.body) == row.digest else ["The stored report is not what was stored: its digest differs."]
    )
    for section in row.body.get("services", []):
        found += _again(section, row.month)
    oldest = min((_time(s["from"]) for s in row.body.get("services", [])), default=at)
    if at - oldest > timedelta(days=settings.CHANGE_DAYS):
        return found
    today = audit.plain(figures(row.client, row.month, at=_time(row.body["counted_at"])))
    return found + differences(row.body.get("services", []), today["services"])


def can_ask_rows(row: SlaReport, *, at: datetime) -> bool:
    """Are the changes of that month still kept?"""
    oldest = min((_time(s["from"]) for s in row.body.get("services", [])), default=at)
    return at - oldest <= timedelta(days=settings.CHANGE_DAYS)


def _again(section: dict[str, Any], first: date) -> list[str]:
    """The arithmetic once more, from what stands in the report."""
    c = section["contract"]
    layers = frozenset(n for n in ("transit", "probe") if c[f"exclude_{n}"])
    terms = sla.Terms(c["target_percent"], c["exclude_maintenance"], layers, c["exclude_unknown"], c["counted_from"])
    known = [
        sla.Watched(
            w["monitor"], w["name"], w["before"],
            tuple(sla.Change(_time(x["at"]), x["to"], _time(x["first_failure_at"]) if x["first_failure_at"] else None, x["layer"], x["reason"]) for x in w["changes"]),
            tuple((_time(a), _time(b), title) for a, b, title in w["work"]), tuple((_time(a), _time(b)) for a, b in w["beneath"]),
            tuple((_time(a), _time(b)) for a, b in w["blank"]),
        )
        for w in section["counted_from"]
    ]  # fmt: skip
    m = sla.count(known, terms, first, c["timezone"], _time(section["until"]))
    same = (
        _figures(m.raw) == section["raw"]
        and _figures(m.contract) == section["contract_figures"]
        and m.met == section["met"]
    )
    return [] if same else [f"{section['name']}: its own entries give other figures than the ones it shows."]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def differences(was: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[str]:
    """What a reader would see changed, service by service, in sentences."""
    before, after = ({s["service"]: s for s in side} for side in (was, now))
    found = [f"{before[pk]['name']}: it has no contract any more." for pk in before.keys() - after.keys()]
    found += [f"{after[pk]['name']}: it has a contract now and had none." for pk in after.keys() - before.keys()]
    for pk in sorted(before.keys() & after.keys()):
        a, b, name = before[pk], after[pk], before[pk]["name"]
        for part in ("contract", "raw", "contract_figures"):
            words = {"contract": "contract, ", "raw": "raw, ", "contract_figures": "by contract, "}[part]
            found += [
                f"{name}: {words}{key.replace('_', ' ')}: {a[part][key]} then, {b[part].get(key)} now."
                for key in a[part]
                if a[part][key] != b[part].get(key)
            ]
        found += [
            f"{name}: {part} are {len(a[part])} then, {len(b[part])} now."
            for part in ("outages", "excluded")
            if len(a[part]) != len(b[part])
        ]
        same = [part for part in a if part != "name" and a[part] != b.get(part)]
        if same and not any(line.startswith(f"{name}: ") for line in found):
            found.append(f"{name}: the figures are equal; what they were counted from is not ({', '.join(same)}).")
    return found

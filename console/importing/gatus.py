"""Which of our monitors is each endpoint of a Gatus? By the scheme of its address, with every condition carried over or said."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from console.configuration.secret import free
from console.importing import gatus_reading
from console.importing.draft import Draft, Line, tag, text
from console.importing.gatus_channels import Providers
from console.importing.gatus_conditions import carry_over
from console.importing.gatus_reading import listed, mapping, seconds
from console.importing.recurring import ANCHOR, span

DAYS = {
    "monday": "MO",
    "tuesday": "TU",
    "wednesday": "WE",
    "thursday": "TH",
    "friday": "FR",
    "saturday": "SA",
    "sunday": "SU",
}
ELSEWHERE = {
    "suites": "Suites of requests that build on each other are not possible here.", "announcements": "Say it on a status page.",
    "security": "People sign in here by themselves.", "storage": "This portal has a database of its own.", "remote": "Make a client of that installation too.",
    "tunneling": "Put a probe into that network.", "connectivity": "Probes know by their anchors whether their own line is well.",
}  # fmt: skip
QUIET = frozenset({"endpoints", "services", "external-endpoints", "alerting", "maintenance", "metrics", "debug", "ui", "web", "concurrency", "disable-monitoring-lock", "skip-invalid-config-update"})  # fmt: skip


def draft(path: Path, client: str, environ: Mapping[str, str]) -> Draft:
    """The document of everything in it. Raises Foreign."""
    data, missing = gatus_reading.read(path, free(environ))
    found = Draft(client, "Gatus")
    for name in missing:
        found.line("variable", name).note(
            "It is not set here: where it was the whole of a secret it keeps its name, elsewhere ${…} stands as it was."
        )
    providers = Providers(found, data.get("alerting"))
    endpoints = listed(data.get("endpoints")) + listed(data.get("services"))
    twins = _twins(endpoints + listed(data.get("external-endpoints")))
    groups: dict[str, list[dict[str, Any]]] = {}
    count = 0
    for endpoint, make in [(e, _endpoint) for e in endpoints] + [
        (e, _external) for e in listed(data.get("external-endpoints"))
    ]:
        name = _name(endpoint, twins)
        line = found.line("endpoint", name)
        item = make(found, line, endpoint, providers)
        if item is not None:
            count += 1
            groups.setdefault(text(endpoint.get("group")), []).append(item)
            providers.tell(line, endpoint, item)
            _windows(found, f"Maintenance of {name}", listed(endpoint.get("maintenance-windows")), [item])
    groups.pop("", None)
    for group, members in groups.items():
        found.group(found.line("group", group), group, members)
    _windows(found, "Maintenance", [mapping(data.get("maintenance"))] if data.get("maintenance") else [], [])
    providers.finish(count)
    for name in sorted(set(map(str, data)) - QUIET):
        found.line("section", name).leave(ELSEWHERE.get(name, "This is not about monitoring, or not known here."))
    return found


def _twins(endpoints: list[dict[str, Any]]) -> set[str]:
    names = [text(e.get("name")) for e in endpoints]
    return {name for name in names if names.count(name) > 1} if len(names) < 5000 else set()


def _name(endpoint: dict[str, Any], twins: set[str]) -> str:
    name, group = text(endpoint.get("name")), text(endpoint.get("group"))
    return f"{group} / {name}"[:120] if group and name in twins else name


def _endpoint(found: Draft, line: Line, e: dict[str, Any], providers: Providers) -> dict[str, Any] | None:
    url, client = text(e.get("url"), 2000), mapping(e.get("client"))
    built = _target(line, e, url)
    if built is None:
        return None
    kind, config = built
    fields = _fields(found, line, e, providers)
    conditions = e.get("conditions")
    carry_over(line, conditions if isinstance(conditions, list) else [], config, fields, kind=kind)
    _client(line, client, kind, config, fields)
    return found.monitor(line, kind, line.name, config, **fields)


def _fields(found: Draft, line: Line, e: dict[str, Any], providers: Providers) -> dict[str, Any]:
    fields: dict[str, Any] = {"interval_seconds": found.interval(line, seconds(e.get("interval")) or 60)}
    group = tag(e.get("group"))
    fields["tags"] = [group] if group else []
    if e.get("enabled") is False:
        fields["enabled"] = False
    alerts = providers.alerts(e)
    failures = {int(a.get("failure-threshold") or 3) for a in alerts if str(a.get("failure-threshold") or 3).isdigit()}
    successes = {int(a.get("success-threshold") or 2) for a in alerts if str(a.get("success-threshold") or 2).isdigit()}
    if failures:
        fields["confirmation_count"] = found.count(line, min(failures), "Failures before an alert")
        fields["recovery_count"] = found.count(line, min(successes or {2}), "Successes before all is well")
    if len(failures) > 1 or len(successes) > 1:
        line.note("Its alerts have thresholds of their own; here the lowest counts for all.")
    for name in ("extra-labels", "ui"):
        if e.get(name):
            line.note(f"Its “{name}” is not carried over.")
    return fields


def _target(line: Line, e: dict[str, Any], url: str) -> tuple[str, dict[str, Any]] | None:
    dns = mapping(e.get("dns"))
    if dns:
        return "dns", {
            "name": text(dns.get("query-name"), 255).rstrip("."),
            "record_type": text(dns.get("query-type"), 10) or "A",
            "resolver": url.rpartition("://")[2],
        }
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        line.leave("Its address is not one that is understood here.")
        return None
    if scheme in ("http", "https"):
        return "http", _web(line, e, url)
    if scheme in ("ws", "wss"):
        return "websocket", {"url": url, "send": e.get("body") if isinstance(e.get("body"), str) else ""}
    if scheme == "tcp":
        return "tcp", {"host": host, "port": port}
    if scheme == "udp":
        return "udp", {"host": host, "port": port, "answers": False}
    if scheme == "icmp":
        return "icmp", {"host": host}
    if scheme == "tls":
        return "tls", {"host": host, "port": port or 443}
    if scheme == "starttls":
        return "smtp", {"host": host, "port": port or 25, "tls": "starttls"}
    if scheme == "ssh":
        line.note("It looks whether SSH answers; signing in and commands are not carried over.")
        return "ssh", {"host": host, "port": port or 22}
    if scheme in ("grpc", "grpcs"):
        return "grpc", {
            "host": host,
            "port": port or (443 if scheme == "grpcs" else 80),
            "tls": "tls" if scheme == "grpcs" else "none",
        }
    line.leave(f"There is no check for {scheme or 'an address without a scheme'} here.")
    return None


def _web(line: Line, e: dict[str, Any], url: str) -> dict[str, Any]:
    headers = {str(name): str(value) for name, value in mapping(e.get("headers")).items()}
    body = e.get("body") if isinstance(e.get("body"), str) else ""
    method = (text(e.get("method"), 10) or "GET").upper()
    if e.get("graphql") and body:
        body, method = json.dumps({"query": body}), "POST" if method == "GET" else method
        headers.setdefault("Content-Type", "application/json")
    if re.search(r"\[(ENDPOINT_|LOCAL_ADDRESS|RANDOM_STRING|CONTEXT)", f"{url}{body}"):
        line.note("Placeholders such as [ENDPOINT_NAME] are sent as they stand.")
    config: dict[str, Any] = {"url": url, "method": method, "body": body}
    for name in [n for n in headers if n.lower() == "authorization"]:
        _authorization(headers.pop(name), config, headers)
    return {**config, "headers": headers}


def _authorization(value: str, config: dict[str, Any], headers: dict[str, str]) -> None:
    """Signing in has fields of its own where it is one of the usual two."""
    kind, _, rest = value.strip().partition(" ")
    if kind.lower() == "bearer" and rest:
        config |= {"auth": "bearer", "token": rest.strip()}
        return
    try:
        user, colon, password = (
            base64.b64decode(rest, validate=True).decode().partition(":") if kind.lower() == "basic" else ("", "", "")
        )
    except (binascii.Error, ValueError):
        user = colon = password = ""
    if colon and user:
        config |= {"auth": "basic", "user": user, "password": password}
    else:
        headers["Authorization"] = value


def _client(line: Line, client: dict[str, Any], kind: str, config: dict[str, Any], fields: dict[str, Any]) -> None:
    timeout = seconds(client.get("timeout"))
    if timeout:
        fields["timeout_seconds"] = min(timeout, float(fields["interval_seconds"]))
    if client.get("insecure") and kind in ("http", "websocket", "grpc"):
        config["verify_tls"] = False
    if client.get("ignore-redirect") and kind == "http":
        config["follow_redirects"] = False
    if client.get("proxy-url") and kind == "http":
        config["proxy"] = client["proxy-url"]
    for name in sorted(
        set(map(str, client)) - {"timeout", "insecure", "ignore-redirect", "proxy-url", "store-cookies"}
    ):
        line.note(f"Its client's “{name}” is not carried over.")


def _external(found: Draft, line: Line, e: dict[str, Any], providers: Providers) -> dict[str, Any] | None:
    """What others push: a heartbeat when it has to come in time, else results that are pushed."""
    fields = {n: v for n, v in _fields(found, line, e, providers).items() if n in ("tags", "enabled")}
    interval = seconds(mapping(e.get("heartbeat")).get("interval"))
    line.note("It has a new address and needs no token: change what calls the old one.")
    if interval:
        return found.monitor(
            line, "heartbeat", line.name, {"period_seconds": max(10, int(interval)), "grace_seconds": 60}, **fields
        )
    line.note("A result counts for a day here; say otherwise in ttl_seconds.")
    return found.monitor(line, "push", line.name, {"ttl_seconds": 86400}, **fields)


def _windows(found: Draft, title: str, windows: list[dict[str, Any]], about: list[dict[str, Any]]) -> None:
    for number, row in enumerate(windows, 1):
        line = found.line("maintenance", title if number == 1 else f"{title} ({number})")
        clock, length = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", text(row.get("start"))), seconds(row.get("duration"))
        days = [DAYS.get(str(day).lower()) for day in row["every"]] if isinstance(row.get("every"), list) else []
        if row.get("enabled") is False:
            line.leave("It is switched off.")
        elif clock is None or not length or length > 86400 or None in days:
            line.leave("Its times are not understood here; plan it by hand.")
        else:
            rule = f"FREQ=WEEKLY;BYDAY={','.join(filter(None, days))}" if days else "FREQ=DAILY"
            zone = text(row.get("timezone"), 64) or "UTC"
            times = span(
                rule, ANCHOR, timedelta(hours=int(clock[1]), minutes=int(clock[2])), timedelta(seconds=length), zone
            )
            if times is None:
                line.leave(f"The zone {zone} is not known here; plan it by hand.")
                continue
            scopes = [{"monitor": m["name"], **({"nth": m["nth"]} if "nth" in m else {})} for m in about]
            found.window(
                line, line.name, recurrence=rule, timezone=zone, **({"scopes": scopes} if scopes else {}), **times
            )

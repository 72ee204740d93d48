"""Which of our monitors is each monitor of an Uptime Kuma? By its type, with everything that differs said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from console.importing import kuma_channels, kuma_plans
from console.importing.draft import Draft, Line, number, tag, text
from console.importing.kuma_connections import DATABASES, database
from console.importing.kuma_files import Kuma
from console.importing.kuma_http import web

NOT_HERE = {
    "docker": "A container monitor watches a whole machine here: add one from the probe on that machine.",
    "mqtt": "There is no check of this kind here.", "radius": "There is no check of this kind here.", "steam": "There is no check of this kind here.",
    "gamedig": "There is no check of this kind here.", "kafka-producer": "There is no check of this kind here.",
    "rabbitmq": "There is no check of this kind here.", "sqlserver": "There is no check of this kind here.", "mongodb": "There is no check of this kind here.",
    "tailscale-ping": "Put a probe into that network, and ping from there.", "manual": "Its state was set by hand; say it on a status page's component.",
    "sip-options": "There is no check of this kind here.", "system-service": "Run a host monitor from a probe on that machine.",
    "globalping": "Enrol probes where it is to be watched from.",
}  # fmt: skip
WEB = ("http", "keyword", "json-query", "real-browser")


def draft(kuma: Kuma, client: str) -> Draft:
    """The document of everything in it."""
    found = Draft(client, "Uptime Kuma")
    made: dict[Any, dict[str, Any]] = {}
    for m in kuma.monitors:
        if m.get("type") != "group":
            line = found.line("monitor", m.get("name"))
            item = _monitor(found, line, m, kuma)
            if item is not None:
                made[m.get("id")] = item
    _groups(found, kuma, made)
    kuma_channels.tell(found, kuma, made)
    kuma_plans.maintenance(found, kuma, made)
    kuma_plans.pages(found, kuma, made)
    if not kuma.whole:
        line = found.line("file", "backup")
        line.note("A backup holds neither status pages nor maintenance; the database kuma.db does.")
    return found


def _monitor(found: Draft, line: Line, m: dict[str, Any], kuma: Kuma) -> dict[str, Any] | None:
    kind = text(m.get("type"), 40)
    if kind in NOT_HERE:
        line.leave(f"Type {kind}: {NOT_HERE[kind]}")
        return None
    fields = _fields(found, line, m)
    if kind in WEB:
        return found.monitor(line, "http", m.get("name"), web(line, m, kuma.proxies), **fields)
    if kind in DATABASES:
        ours, config = database(line, m)
        return found.monitor(line, ours, m.get("name"), config, **fields) if config else None
    if kind == "push":
        return _push(found, line, m, fields)
    build = KINDS.get(kind)
    if build is None:
        line.leave(f"Type {kind or '(none)'} is not known here.")
        return None
    ours, config = build(line, m)
    if m.get("upside_down"):
        config["upside_down"] = True
    return found.monitor(line, ours, m.get("name"), config, **fields)


def _fields(found: Draft, line: Line, m: dict[str, Any]) -> dict[str, Any]:
    """What every kind has."""
    interval = found.interval(line, m.get("interval"))
    retries = int(number(m.get("maxretries")) or 0)
    again = number(m.get("retry_interval"))
    if retries and again and again != interval and m.get("type") != "push":
        line.note(f"A failure is confirmed by further checks every {interval} s; retries came every {again:g} s.")
    fields: dict[str, Any] = {
        "interval_seconds": interval, "confirmation_count": found.count(line, retries + 1, "Confirming checks"), "notes": _notes(m.get("description")),
        "tags": list(dict.fromkeys(filter(None, map(_tag, m.get("tags") or ())))),
    }  # fmt: skip
    timeout = number(m.get("timeout"))
    if timeout and timeout > 0 and m.get("type") != "push":
        fields["timeout_seconds"] = min(timeout, float(interval))
    if m.get("active") in (0, False):
        fields["enabled"] = False
    if len(line.name) > 120:
        line.note("Its name was cut to 120 characters.")
    return fields


def _notes(value: Any) -> str:
    return value.strip()[:4000] if isinstance(value, str) else ""


def _tag(row: dict[str, Any]) -> str:
    name, value = text(row.get("name")), text(row.get("value"))
    return tag(f"{name}: {value}" if value else name)


def _push(found: Draft, line: Line, m: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any] | None:
    """A push monitor waits for a call; here it is a heartbeat, at an address of its own."""
    period = number(m.get("interval")) or 60
    grace = (number(m.get("maxretries")) or 0) * (number(m.get("retry_interval")) or period)
    moved = max(10, int(period))
    if moved != period:
        line.note(f"The period of {period:g} s is now {moved} s.")
    line.note("It has a new address: change what calls the old one.")
    fields = {name: value for name, value in fields.items() if name not in ("interval_seconds", "confirmation_count")}
    return found.monitor(
        line, "heartbeat", m.get("name"), {"period_seconds": moved, "grace_seconds": max(60, int(grace))}, **fields
    )


def _groups(found: Draft, kuma: Kuma, made: dict[Any, dict[str, Any]]) -> None:
    """Groups after what they hold, inner ones first: they become groups, whose state is that of their worst member."""
    inside: dict[Any, list[dict[str, Any]]] = {}
    for m in kuma.monitors:
        inside.setdefault(m.get("parent"), []).append(m)
    groups = [m for m in kuma.monitors if m.get("type") == "group"]
    by_id = {m.get("id"): m for m in groups}
    for group in sorted(groups, key=lambda g: -_depth(g, by_id)):
        line = found.line("group", group.get("name"))
        members = [made[m.get("id")] for m in inside.get(group.get("id"), ()) if m.get("id") in made]
        item = found.group(line, group.get("name"), members)
        if item is not None:
            made[group.get("id")] = item
            _only_group_fields(item, line, group)


def _depth(group: dict[str, Any], groups: dict[Any, dict[str, Any]]) -> int:
    """In how many groups it stands."""
    seen: set[Any] = set()
    while group.get("parent") in groups and group.get("id") not in seen:
        seen.add(group.get("id"))
        group = groups[group["parent"]]
    return len(seen)


def _only_group_fields(item: dict[str, Any], line: Line, group: dict[str, Any]) -> None:
    if _notes(group.get("description")):
        item["notes"] = _notes(group.get("description"))
    if group.get("active") in (0, False):
        item["enabled"] = False
    tags = list(filter(None, map(_tag, group.get("tags") or ())))
    if tags:
        item["tags"] = tags


# --- Kinds with an answer of their own ------------------------------------------------------------------------------------
Built = tuple[str, dict[str, Any]]


def _tcp(line: Line, m: dict[str, Any]) -> Built:
    return "tcp", {"host": text(m.get("hostname"), 255), "port": m.get("port")}


def _icmp(line: Line, m: dict[str, Any]) -> Built:
    if number(m.get("packet_size")) not in (None, 56):
        line.note("The size of a ping's packet cannot be chosen here.")
    count = number(m.get("ping_count"))
    return "icmp", {"host": text(m.get("hostname"), 255), **({"count": int(min(max(count, 1), 20))} if count else {})}


def _dns(line: Line, m: dict[str, Any]) -> Built:
    if m.get("conditions"):
        line.note("Its conditions are not carried over: write the expected records.")
    port = number(m.get("port"))
    servers = [part.strip() for part in text(m.get("dns_resolve_server"), 500).split(",") if part.strip()]
    if len(servers) > 1:
        line.note(f"Only its first name server, {servers[0]}, is asked.")
    server = f"{servers[0]}:{int(port)}" if servers and port and port != 53 else servers[0] if servers else None
    return "dns", {
        "name": text(m.get("hostname"), 255),
        "record_type": text(m.get("dns_resolve_type"), 10) or "A",
        "resolver": server,
    }


def _grpc(line: Line, m: dict[str, Any]) -> Built:
    host, _, port = text(m.get("grpc_url"), 255).rpartition("://")[2].partition("/")[0].rpartition(":")
    tls = bool(m.get("grpc_enable_tls"))
    line.note("It asks the standard gRPC health service; the call with its keyword is not carried over.")
    return "grpc", {
        "host": host or port,
        "port": int(port) if host and port.isdigit() else 443 if tls else 80,
        "tls": "tls" if tls else "none",
    }


def _snmp(line: Line, m: dict[str, Any]) -> Built:
    compare = {"==": "equals", "!=": "differs", ">=": "at least", "<=": "at most", "contains": "contains"}
    operator, value = text(m.get("json_path_operator"), 20), text(m.get("expected_value"), 200)
    config = {
        "host": text(m.get("hostname"), 255),
        "port": m.get("port") or 161,
        "community": m.get("radius_password"),
        "oid": text(m.get("snmp_oid"), 200),
    }
    if value and operator in compare:
        config |= {"compare": compare[operator], "value": value}
    elif value:
        line.note(
            f"The comparison “{operator or 'none'} {value}” is not possible here; only that it answers is checked."
        )
    if text(m.get("snmp_version"), 5) not in ("", "2c"):
        line.note("It is asked by SNMP 2c.")
    return "snmp", config


def _smtp(line: Line, m: dict[str, Any]) -> Built:
    tls = {"secure": "tls", "starttls": "starttls", "nostarttls": "none"}.get(
        text(m.get("smtp_security"), 20), "starttls"
    )
    return "smtp", {"host": text(m.get("hostname"), 255), "port": m.get("port") or 25, "tls": tls}


def _websocket(line: Line, m: dict[str, Any]) -> Built:
    return "websocket", {
        "url": text(m.get("url"), 2000),
        "subprotocol": text(m.get("ws_subprotocol"), 100),
        "verify_tls": not m.get("ignore_tls"),
    }


KINDS: dict[str, Callable[[Line, dict[str, Any]], Built]] = {
    "port": _tcp, "ping": _icmp, "dns": _dns, "grpc-keyword": _grpc, "snmp": _snmp, "smtp": _smtp, "websocket-upgrade": _websocket,
}  # fmt: skip

"""What exactly is to be looked at? Monitors of one target (host and port) can share one battery."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from monitors.checks.connection import place
from monitors.checks.dns import split_resolver
from portal.outbound.guard import check_url, parse_host

Target = dict[str, Any]
LONGEST_KEY = 200
AS_HTTP = {"ws": "http", "wss": "https"}
DATAGRAM = frozenset(("ntp", "udp", "snmp", "icmp", "dns"))  # nothing of theirs can be tried by a TCP connection


def target_of(kind: str, config: dict[str, Any]) -> Target | None:
    """{"host", "port", "tls", "kind", …} of a monitor, or None where there is nothing to send packets to.

    `port` is 0 where the kind has none. Further keys, where they apply: `server_name` (asked for in the handshake),
    `starttls` (how TLS begins), `name` (the name in question, when it is not the host's own: a dns monitor's).
    Settings that no longer fit give None too.
    """
    read = READERS.get(kind)
    if read is None:
        return None
    try:
        found = read(config)
        found["host"] = parse_host(str(found["host"]))
        found["port"] = int(found["port"])
    except (KeyError, ValueError, TypeError):
        return None
    return {**found, "kind": kind} if 0 <= found["port"] <= 65535 else None


def key_of(target: Target) -> str:
    """host:port, at most 200 characters; a dns monitor's name comes before it, because its batteries ask for that."""
    key = place(str(target["host"]), int(target["port"]))
    if target.get("name"):
        key = f"{target['name']}@{key}"
    if len(key) <= LONGEST_KEY:
        return key
    return f"{key[: LONGEST_KEY - 17]}~{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def has_service(target: Target) -> bool:
    """Is there a port that a TCP connection can be made to?"""
    return bool(target["port"]) and target["kind"] not in DATAGRAM


def _url(config: dict[str, Any]) -> Target:
    parts = check_url(str(config["url"]), schemes=("http", "https"))
    return {"host": parts.host, "port": parts.port, "tls": parts.scheme == "https"}


def _websocket(config: dict[str, Any]) -> Target:
    scheme, _, rest = str(config["url"]).strip().partition("://")
    return _url({"url": f"{AS_HTTP[scheme.lower()]}://{rest}"})


def _port(port: int, *, tls: str = "none") -> Callable[[dict[str, Any]], Target]:
    """Kinds with a host, perhaps a port and perhaps `tls`: tls, starttls or none; the defaults are their Config's."""

    def read(config: dict[str, Any]) -> Target:
        how = config.get("tls", tls)
        return {"host": config["host"], "port": config.get("port", port), "tls": how != "none"}

    return read


def _mail(protocol: str, port: int, tls: str) -> Callable[[dict[str, Any]], Target]:
    def read(config: dict[str, Any]) -> Target:
        found = _port(port, tls=tls)(config)
        return found | {"starttls": protocol} if config.get("tls", tls) == "starttls" else found

    return read


def _tcp(config: dict[str, Any]) -> Target:
    found = {"host": config["host"], "port": config["port"], "tls": bool(config.get("starttls"))}
    return found | {"starttls": config["starttls"]} if found["tls"] else found


def _tls(config: dict[str, Any]) -> Target:
    found = {"host": config["host"], "port": config.get("port", 443), "tls": True}
    return found | {"server_name": config["server_name"]} if config.get("server_name") else found


def _postgres(config: dict[str, Any]) -> Target:
    found = _port(5432, tls="tls")(config)
    return found | {"starttls": "postgres"} if found["tls"] else found


def _mysql(config: dict[str, Any]) -> Target:
    # Its TLS begins inside the sign-in, which the monitor's own check makes.
    return _port(3306)({**config, "tls": "none"})


def _dns(config: dict[str, Any]) -> Target:
    if not config.get("resolver"):
        return {"host": config["name"], "port": 0, "tls": False, "name": config["name"]}
    host, port = split_resolver(str(config["resolver"]))
    return {"host": host, "port": port, "tls": False, "name": config["name"]}


READERS: dict[str, Callable[[dict[str, Any]], Target]] = {
    "http": _url,
    "websocket": _websocket,
    "tcp": _tcp,
    "tls": _tls,
    "dns": _dns,
    "icmp": _port(0),
    "smtp": _mail("smtp", 25, "starttls"),
    "imap": _mail("imap", 993, "tls"),
    "ssh": _port(22),
    "udp": _port(0),
    "ntp": _port(123),
    "snmp": _port(161),
    "postgres": _postgres,
    "mysql": _mysql,
    "redis": _port(6379),
    "grpc": _port(443, tls="tls"),
}

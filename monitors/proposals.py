"""What is worth watching of a new site? From its URL alone: the site itself, its certificate, its registration, its name."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from monitors import checks

# Under a country's own suffix these words are part of the suffix: shop.acme.co.uk is registered as acme.co.uk. It is a
# guess (the full list of public suffixes changes weekly), so the registered name is shown and can be changed.
SECOND_LEVEL = frozenset(
    [
        "ac",
        "co",
        "com",
        "edu",
        "gob",
        "gov",
        "gv",
        "go",
        "id",
        "ltd",
        "me",
        "mil",
        "ne",
        "net",
        "nom",
        "or",
        "org",
        "plc",
        "web",
    ]
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """One monitor that is offered. `fits` says whether it makes sense for this address, `why` what it watches or why it does not fit."""

    kind: str
    name: str
    config: dict[str, Any]
    interval_seconds: int
    fits: bool
    why: str


def proposals(site: str, url: str) -> list[Proposal]:
    """http, tls, domain and dns for a site of this name at this URL."""
    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), parts.port
    named = is_name(host)
    tls_config: dict[str, Any] = {"host": host} | ({"port": port} if port not in (None, 443) else {})
    registered = registered_name(host)
    secure = parts.scheme == "https"
    no_name = "The address is not a public host name"
    return [
        _one("http", site, {"url": url}, True, f"Does {url} answer as wanted?"),
        _one("tls", f"{site} certificate", tls_config, secure, f"Is the certificate of {host} valid, and for how long?" if secure else "The address is not https, so there is no certificate"),
        _one("domain", f"{site} domain", {"name": registered}, named, f"When does the registration of {registered} end?" if named else f"{no_name}, so there is no registration"),
        _one("dns", f"{site} DNS", {"name": host}, named, f"Does {host} resolve?" if named else f"{no_name}, so there is nothing to resolve"),
    ]  # fmt: skip


def _one(kind: str, name: str, config: dict[str, Any], fits: bool, why: str) -> Proposal:
    return Proposal(kind, name[:120], config, checks.KINDS[kind].default_interval, fits, why)


def is_name(host: str) -> bool:
    """A name that is registered and resolved, rather than an address or a machine's short name."""
    try:
        ip_address(host)
    except ValueError:
        return "." in host.strip(".") and not host.endswith((".local", ".internal", ".localhost", ".lan"))
    return False


def registered_name(host: str) -> str:
    """The name that was (most likely) registered: its last two labels, or three under a country's own second level."""
    labels = host.split(".")
    deep = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in SECOND_LEVEL
    return ".".join(labels[-3:] if deep else labels[-2:])

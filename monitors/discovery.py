"""What is on a client's network, and which monitors would suit it? A private probe looks around (opt-in there); people choose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import transaction

from monitors import checks, remote, services
from monitors.checks.base import safe_sentence
from monitors.models import Monitor, Probe, ProbeJob
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Client, Site

KIND = "discover"
LOOK_FOR = timedelta(minutes=5)
MOST_HOSTS, MOST_PORTS = 256, 40
MOST_AT_ONCE = 200

# What a listening port is watched with: (kind, settings beside the host and port, in words). In the order they are shown.
KINDS: dict[int, tuple[str, str]] = {
    443: ("http", "Website (https)"), 80: ("http", "Website"), 8443: ("http", "Website (https)"), 8080: ("http", "Website"), 22: ("ssh", "SSH"),
    25: ("smtp", "Mail server"), 993: ("imap", "Mailboxes (IMAP)"), 143: ("imap", "Mailboxes (IMAP)"), 587: ("tcp", "Mail submission"),
    3389: ("tcp", "Remote desktop"), 445: ("tcp", "File sharing"), 3306: ("tcp", "MySQL"), 5432: ("tcp", "PostgreSQL"), 6379: ("redis", "Redis"),
    53: ("tcp", "DNS server"), 389: ("tcp", "Directory (LDAP)"), 9100: ("tcp", "Printer"), 1883: ("tcp", "MQTT"), 5060: ("tcp", "SIP"), 21: ("tcp", "FTP"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proposal:
    """A monitor that could be made. `key` names it within one look: address:port, or address:ping."""

    key: str
    address: str
    host_name: str
    label: str
    said: str
    kind: str
    config: dict[str, Any] = field(hash=False)
    name: str
    watched: bool = False  # the client watches this already


# --- Pure ---------------------------------------------------------------------------------------------------------------
def proposals(result: dict[str, Any], taken: Iterable[tuple[str, str]] = ()) -> list[Proposal]:
    """What a look's result suggests. Whatever a probe says is a stranger's word: bad addresses and ports are left out.

    `taken` holds (kind, target) of the client's monitors, as their kind words it.
    """
    known = set(taken)
    found: list[Proposal] = []
    hosts = result.get("hosts")
    for host in (hosts if isinstance(hosts, list) else [])[:MOST_HOSTS]:
        if not isinstance(host, dict) or (address := _address(host.get("address"))) is None:
            continue
        name = _words(host.get("name"), 80)
        ports = host.get("ports")
        for port, said in list((ports if isinstance(ports, dict) else {}).items())[:MOST_PORTS]:
            number = int(port) if isinstance(port, str) and port.isascii() and port.isdigit() and len(port) < 6 else 0
            if number in KINDS:
                found.append(_of_port(address, name, number, _words(said, 80), known))
        found.append(_proposal(address, name, "ping", "Ping", "", "icmp", {"host": address}, known))
    return found


def _of_port(address: str, name: str, port: int, said: str, known: set[tuple[str, str]]) -> Proposal:
    kind, label = KINDS[port]
    if kind == "http":
        scheme = "https" if port in (443, 8443) else "http"
        suffix = "" if port in (80, 443) else f":{port}"
        # A device on a LAN shows a certificate of its own making: that it serves is what is watched.
        config: dict[str, Any] = {"url": f"{scheme}://{address}{suffix}/", **({"verify_tls": False} if scheme == "https" else {})}  # fmt: skip
    elif kind == "imap":
        config = {"host": address, "port": port, "tls": "tls" if port == 993 else "none"}
    else:
        config = {"host": address, "port": port}
    return _proposal(address, name, str(port), label, said, kind, config, known)


def _proposal(
    address: str, name: str, what: str, label: str, said: str, kind: str, config: dict[str, Any], known: set[tuple[str, str]]
) -> Proposal:  # fmt: skip
    target = checks.KINDS[kind].target(checks.KINDS[kind].parse(config))
    return Proposal(
        f"{address}:{what}", address, name, label, said, kind, config, f"{name or address} {label}"[:120], (kind, target) in known
    )  # fmt: skip


def _address(value: Any) -> str | None:
    """A private address, written normally; None for anything else: a probe proposes nothing outside its client's network."""
    try:
        found = ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return str(found) if found is not None and found.is_private and not found.is_loopback and not found.is_link_local else None  # fmt: skip


def _words(value: Any, most: int) -> str:
    return safe_sentence(value)[:most] if isinstance(value, str) else ""


# --- Doors ---------------------------------------------------------------------------------------------------------------
def ask(probe: Probe, *, by: Actor, at: datetime) -> ProbeJob:
    """Send a private probe to look at its own subnets. Refused for a region, and while a look is under way."""
    if probe.client_id is None:
        raise Refused("Only a private probe looks around: a region stands in nobody's own network.")
    with transaction.atomic():
        Probe.objects.select_for_update().get(pk=probe.pk)
        if (job := latest(probe)) is not None and job.state in (ProbeJob.State.WAITING, ProbeJob.State.TAKEN) and job.expires_at > at:  # fmt: skip
            raise Refused("It is looking around already; that takes up to five minutes.")
        job = remote.ask(probe, KIND, {}, key=f"{KIND}:{uuid4()}", by=by.name, at=at, within=LOOK_FOR)
    return job


def latest(probe: Probe) -> ProbeJob | None:
    """The newest look of this probe."""
    return ProbeJob.objects.filter(probe=probe, kind=KIND).order_by("-pk").first()


def why_not(job: ProbeJob) -> str:
    """Why a look that has ended found nothing out, for people; "" when it did, or is under way."""
    state = ProbeJob.State
    if job.state in (state.FAILED, state.REFUSED):
        return f"{_words(job.result.get('why'), 300) or 'The probe could not do it'}."
    if job.state == state.EXPIRED:
        return "The probe did not fetch it within five minutes; is it running?"
    if job.state == state.UNKNOWN:
        return "The probe began and was not heard of again; send it once more."
    return ""


def networks_of(job: ProbeJob) -> list[str]:
    """The networks it looked at, in words."""
    found = job.result.get("networks")
    return [_words(n, 40) for n in found[:20] if isinstance(n, str)] if isinstance(found, list) else []


def found_by(job: ProbeJob) -> list[Proposal]:
    """What a finished look suggests, with what the client watches already marked."""
    return proposals(job.result, _taken(job.probe.client_id))


def _taken(client_id: int | None) -> set[tuple[str, str]]:
    taken = set()
    for kind, config in Monitor.objects.filter(client=client_id).values_list("kind", "config"):
        try:
            taken.add((kind, checks.KINDS[kind].target(checks.KINDS[kind].parse(config))))
        except Exception:  # its settings need a secret, or no longer fit: then it is simply not recognised
            continue
    return taken


def accept(
    job: ProbeJob, keys: Iterable[str], *, client: Client, site: Site | None = None, by: Actor, at: datetime
) -> list[Monitor]:
    """Make the chosen monitors, watched from the probe that found them; all of them or none.

    ValidationError when nothing (new) is chosen, Refused when the look is not this client's.
    """
    if job.probe.client_id != client.pk:
        raise Refused("This probe stands in another client's network.")
    wanted = set(keys)
    chosen = [p for p in found_by(job) if p.key in wanted and not p.watched]
    if not chosen:
        raise ValidationError({"chosen": "Choose at least one that is not watched yet."})
    if len(chosen) > MOST_AT_ONCE:
        raise ValidationError({"chosen": f"At most {MOST_AT_ONCE} at once."})
    made = []
    with transaction.atomic():
        for p in chosen:
            m = Monitor(client=client, site=site, kind=p.kind, name=p.name, config=dict(p.config))
            made.append(services.save(m, by=by, at=at, probes=[job.probe]))
    return made

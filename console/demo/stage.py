"""What stands there when the second act begins? A client's premises, its zone, three probes, a monitor and a playbook: all real,
only small and on loopback."""

from __future__ import annotations

import os
import random
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

from console.demo import regions, zone
from console.demo.cast import DEMO, OWNER, STAFF
from console.demo.premises import Premises
from console.demo.regions import Region, server_line
from console.demo.serving import Street
from console.demo.zone import Zone
from monitors import probes, services
from monitors.models import Monitor, Probe
from playbooks import services as acting
from playbooks.models import Playbook
from portal import services as ground
from portal.clock import database_now
from portal.models import Client, User
from portal.models import Site as Place

ZONE: Final = "globex.example"
LABEL: Final = "shop"
LAYER: Final = "client_network"
PLACES: Final = (("North", "AS64501"), ("South", "AS64502"))
INNER: Final = ("Globex office", "AS64503")


@dataclass(frozen=True, slots=True)
class Scene:
    """All of it."""

    premises: Premises
    zone: Zone
    monitor: Monitor
    playbook: Playbook


def missing(directory: Path) -> str:
    """What this machine lacks for the act, with the cure; "" when it can be played."""
    if zone.program() is None:
        return "Knot DNS is missing (apt-get install knot)"
    return regions.impossible(directory, zone.port_at(f"{network()}.53"))


def sure_enough() -> float:
    """From which confidence on the playbook may act. Probes that may not send pings see less, and their verdict is less sure."""
    try:
        if os.geteuid():
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
    except OSError:
        return 0.5
    return 0.8


def network() -> str:
    """A /24 of loopback that no other demo is likely to have chosen, without its last number."""
    return f"127.{random.randint(64, 254)}.{random.randint(1, 254)}"  # noqa: S311 - no secret


def build(street: Street, directory: Path, stack: ExitStack) -> Scene:
    """Make everything; `stack` ends it. RuntimeError with the words of what did not start, OSError when a port is taken."""
    net = network()
    premises = Premises(street, net, "Globex shop")
    stack.callback(premises.close)
    names = Zone(directory / "knot", f"{net}.53", zone.port_at(f"{net}.53"), ZONE, LABEL, premises.main)
    stack.callback(names.close)
    globex = Client.objects.get(name="Globex")
    seen_from = _watchers(directory, stack, globex, names, premises)
    url = f"http://{names.name}:{premises.port}/"
    place = ground.create(Place, by=DEMO, client=globex, name="Globex shop", url=url)
    monitor = Monitor(
        client=globex, site=place, name="Shop", kind="http", config={"url": url}, interval_seconds=5, timeout_seconds=3, quorum=2, distinct_networks=True
    )  # fmt: skip
    monitor = services.save(monitor, by=DEMO, at=database_now(), trusted=True, probes=seen_from)
    return Scene(premises, names, monitor, _playbook(globex, names, premises))


def _watchers(directory: Path, stack: ExitStack, client: Client, names: Zone, premises: Premises) -> list[Probe]:
    """Two regions, and a private probe inside, whose name server knows the shop by its inner address. Returns the regions."""
    found, started = [], []
    for name, autonomous in (*PLACES, INNER):
        inner = (name, autonomous) == INNER
        owner = client if inner else None
        probe, token = probes.create(by=DEMO, at=database_now(), name=name, network=autonomous, client=owner)
        hosts = {names.name: premises.server} if inner else None
        resolver = server_line(names.address, names.port)
        region = Region(directory / probe.slug, settings.BASE_URL, token, resolver, hosts)
        stack.callback(region.close)
        started.append(region)
        found.append(probe)
    for region in started:
        region.begin()
    return found[: len(PLACES)]


def _playbook(client: Client, names: Zone, premises: Premises) -> Playbook:
    """Move the record to the second line when somebody agrees, say so in the incident, and nothing else."""
    at, olivia = database_now(), User.objects.get(email=OWNER)
    swap = {
        "provider": "rfc2136", "zone": ZONE, "name": names.name, "record_type": "A", "values": [premises.second], "expected": [premises.main], "ttl": 30,
        "server": names.place, "key_name": names.key, "key_secret": names.secret,
    }  # fmt: skip
    words = "The firewall of the main line lets nobody through. The shop's name now leads to the second line."
    row = acting.save_playbook(
        None, by=DEMO, at=at, client=client, name="Failover to the second line", events=["monitor.down"], verdict_layers=[LAYER], quorum=2, min_confidence=sure_enough(),
        verify_within_seconds=60, approvers=[User.objects.get(email=STAFF), olivia],
        steps=[{"kind": "dns_swap", "config": swap}, {"kind": "incident_update", "config": {"message": words, "status": "monitoring"}}],
    )  # fmt: skip
    return acting.set_mode(row, "approval", by=DEMO, at=at, user=olivia, proved="password")

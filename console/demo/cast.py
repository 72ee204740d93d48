"""Who plays in the demo? Two clients with their sites and people, made through the same doors as everything else."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from console.demo.site import Site
from monitors import services as monitoring
from monitors.models import Monitor
from portal import people, services
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, User
from portal.models import Site as Place

DEMO = Actor("demo")
OWNER, STAFF, CLIENT = "olivia@msp.example", "dana@msp.example", "ana@acme.example"


@dataclass(frozen=True, slots=True)
class Cast:
    """What the story needs: the monitor that will fail, all monitors, the password of everybody, Dana's token."""

    shop: Monitor
    monitors: list[Monitor]
    password: str
    token: str


def gather(shop: Site, api: Site, portal_site: Site) -> Cast:
    """Make everything. The shop and the API are Acme's, the third site Globex's."""
    password = f"demo-{secrets.token_urlsafe(9)}"
    people.create_owner(OWNER, password, by=DEMO, name="Olivia Owner")
    acme = services.create_client(by=DEMO, name="Acme", email="ops@acme.example", tags=["gold"])
    globex = services.create_client(by=DEMO, name="Globex", email="it@globex.example")
    dana = _join(STAFF, "staff", None, password, "Dana Desk")
    _join(CLIENT, "admin", acme, password, "Ana of Acme")
    monitors = [
        _watch(acme, "Shop", shop),
        _watch(acme, "API", api),
        _watch(globex, "Customer portal", portal_site),
    ]
    token = people.issue_token(dana, "demo", ["read", "ack"], by=DEMO)[1]
    return Cast(shop=monitors[0], monitors=monitors, password=password, token=token)


def _join(email: str, role: str, client: Client | None, password: str, name: str) -> User:
    membership, link = people.invite(email, role=role, client=client, by=DEMO, name=name)
    assert link is not None
    invitation = people.OneTimeLink.find(people.INVITE, link.rstrip("/").rpartition("/")[2])
    assert invitation is not None
    return people.accept(invitation, password, by=DEMO, name=name)


def _watch(client: Client, name: str, site: Site) -> Monitor:
    place = services.create(Place, by=DEMO, client=client, name=name, url=site.url)
    monitor = Monitor(
        client=client,
        site=place,
        name=name,
        kind="http",
        config={"url": site.url},
        interval_seconds=5,
        timeout_seconds=3,
    )
    return monitoring.save(monitor, by=DEMO, at=database_now(), trusted=True)

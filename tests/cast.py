"""Who plays in the tests? Acme and Globex, their people, and the MSP's own. Plain functions; asked twice, the same row.

Alice is Acme's admin, Mallory is Globex's: whatever Alice owns, Mallory must not even know of.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from django.contrib.auth.hashers import make_password
from rest_framework.test import APIClient

from alerts import integrations, schedules
from alerts.models import (
    Alert,
    Attempt,
    Channel,
    Delivery,
    Integration,
    MaintenanceWindow,
    Notice,
    OnCallSchedule,
    Override,
    Silence,
    Trigger,
)
from monitors.models import Monitor, Probe
from playbooks import services as repairs
from playbooks.models import Brake, Playbook, Run, Step
from portal import people, services
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, Contact, ContactGroup, Membership, Service, Site, User

TESTS = Actor("the tests")
PASSWORD = "correct-horse-battery"


@cache
def _hash() -> str:
    """Hashing is slow on purpose; once is enough for all of the cast."""
    return make_password(PASSWORD)


def _user(email: str) -> User:
    return User.objects.filter(email__iexact=email).first() or User.objects.create(email=email, password=_hash())


def client(name: str) -> Client:
    """The client of this name."""
    return Client.objects.filter(name=name).first() or services.create_client(name=name, by=TESTS)


def acme() -> Client:
    return client("Acme")


def globex() -> Client:
    return client("Globex")


def person(email: str, role: str, of: Client | None = None) -> User:
    """Somebody with this role, at a client or (None) with the MSP."""
    user = _user(email)
    Membership.objects.get_or_create(user=user, client=of, defaults={"role": role})
    return user


def make_owner() -> User:
    return person("olga@msp.example", "owner")


def make_staff() -> User:
    return person("sam@msp.example", "staff")


def make_auditor() -> User:
    return person("audrey@msp.example", "auditor")


def alice() -> User:
    """Acme's admin."""
    return person("alice@acme.example", "admin", acme())


def approver() -> User:
    return person("april@acme.example", "approver", acme())


def viewer() -> User:
    return person("vic@acme.example", "viewer", acme())


def mallory() -> User:
    """Globex's admin."""
    return person("mallory@globex.example", "admin", globex())


def stranger() -> User:
    """Somebody with an account and without a membership."""
    return _user("nobody@nowhere.example")


def site(of: Client | None = None, name: str = "Shop") -> Site:
    of = of or acme()
    return of.sites.filter(name=name).first() or services.create(
        Site, client=of, name=name, url="https://shop.acme.example", by=TESTS
    )


def service(of: Client | None = None, name: str = "Checkout") -> Service:
    of = of or acme()
    return of.services.filter(name=name).first() or services.create(Service, client=of, name=name, by=TESTS)


def contact(of: Client | None = None, name: str = "Ana") -> Contact:
    of = of or acme()
    return of.contacts.filter(name=name).first() or services.create(
        Contact, client=of, name=name, email="ana@acme.example", by=TESTS
    )


def group(of: Client | None = None, name: str = "On call") -> ContactGroup:
    of = of or acme()
    return of.contact_groups.filter(name=name).first() or services.create(
        ContactGroup, client=of, name=name, contacts=[contact(of)], by=TESTS
    )


def token(user: User, *scopes: str, **limits: object) -> str:
    """The plain text of a new token; without scopes named, one that may everything its person may."""
    return people.issue_token(user, "tests", scopes or ["admin", "ping", "approve"], by=TESTS, **limits)[1]


def api(user: User, *scopes: str, **limits: object) -> APIClient:
    """An API client with a new token of this person."""
    caller = APIClient()
    caller.credentials(HTTP_AUTHORIZATION=f"Bearer {token(user, *scopes, **limits)}")
    return caller


# --- Alerts: plain rows, for tests that need some to be there ----------------------------------------------------------
def channel(of: Client | None = None, name: str = "ops hook") -> Channel:
    of = of or acme()
    values = {"type": "webhook", "secrets": {"url": "https://hooks.acme.example/x"}}
    return Channel.objects.get_or_create(client=of, name=name, defaults=values)[0]


def trigger(of: Client | None = None, name: str = "Everything to ops") -> Trigger:
    return Trigger.objects.get_or_create(name=name, defaults={"client": of or acme()})[0]


def silence(of: Client | None = None, reason: str = "Moving house") -> Silence:
    return Silence.objects.get_or_create(
        client=of or acme(), reason=reason, defaults={"starts_at": database_now(), "until_recovered": True}
    )[0]


def window(of: Client | None = None, title: str = "Switch replaced") -> MaintenanceWindow:
    """Work that is under way for the client."""
    at = database_now()
    about = {"starts_at": at, "ends_at": at + timedelta(hours=1)}
    return MaintenanceWindow.objects.get_or_create(client=of or acme(), title=title, defaults=about)[0]


def alert(of: Client | None = None, title: str = "shop is down") -> Alert:
    at = database_now()
    values = {
        "source": "endpoint",
        "condition": "health",
        "event": "consecutive_failure",
        "entity_type": "monitor",
        "entity_id": "7",
        "entity_name": "shop",
        "severity": "critical",
        "created_at": at,
        "updated_at": at,
    }
    return Alert.objects.get_or_create(client=of or acme(), title=title, defaults=values)[0]


def delivery(of: Client | None = None) -> Delivery:
    """One message of the client's alert to the client's channel."""
    of, at = of or acme(), database_now()
    about = alert(of)
    notice, _ = Notice.objects.get_or_create(
        alert=about,
        client=of,
        seq=1,
        defaults={"kind": "opened", "event": about.event, "type": "monitor.down", "created_at": at},
    )
    values = {
        "destination_key": "webhook:x",
        "kind": notice.kind,
        "next_attempt_at": at,
        "created_at": at,
        "client": of,
    }
    return Delivery.objects.get_or_create(notice=notice, channel=channel(of), defaults=values)[0]


def attempt(of: Client | None = None) -> Attempt:
    """The first try of that message."""
    values = {"at": database_now(), "outcome": "retry"}
    return Attempt.objects.get_or_create(delivery=delivery(of), n=1, defaults=values)[0]


# --- Monitors: plain rows ----------------------------------------------------------------------------------------------
def monitor(of: Client | None = None, name: str = "shop") -> Monitor:
    values = {"kind": "http", "config": {"url": "https://shop.acme.example"}}
    return Monitor.objects.get_or_create(client=of or acme(), name=name, defaults=values)[0]


def probe(of: Client | None = None, slug: str = "acme-lan") -> Probe:
    """A private probe inside the client's network."""
    return Probe.objects.get_or_create(slug=slug, defaults={"client": of or acme(), "name": slug})[0]


def schedule(of: Client | None = None) -> OnCallSchedule:
    """The client's on-call schedule, with Ana in it."""
    of = of or acme()
    found = OnCallSchedule.objects.filter(client=of).first()
    layers = [{"contacts": [contact(of)]}]
    return found or schedules.save_schedule(None, by=TESTS, client=of, name=f"{of} on call", layers=layers)


def take_over(of: Client | None = None) -> Override:
    """Somebody takes over that schedule for a day."""
    row, at = schedule(of), database_now()
    ends_at = at + timedelta(days=1)
    return row.overrides.first() or schedules.add_override(row, by=TESTS, at=at, contact=contact(of), ends_at=ends_at)


def integration(of: Client | None = None) -> Integration:
    """An outside system that may raise the client's alerts."""
    of = of or acme()
    found = Integration.objects.filter(client=of).first()
    return found or integrations.create(by=TESTS, name=f"RMM of {of}", client=of)[0]


def playbook(of: Client | None = None, name: str = "Restart the shop") -> Playbook:
    """A playbook of the client's that only waits."""
    row, new = Playbook.objects.get_or_create(client=of or acme(), name=name)
    if new:
        Step.objects.create(playbook=row, order=1, kind="wait", config={"seconds": 1})
    return row


def run(of: Client | None = None) -> Run:
    """What that playbook would do about the client's monitor."""
    row = Run.objects.filter(client=of or acme()).first()
    return row or repairs.dry_run(playbook(of), monitor(of), by=TESTS, at=database_now())


def brake(of: Client | None = None) -> Brake:
    """The client's playbooks are stopped."""
    return repairs.stop(client=of or acme(), reason="Moving house", by=TESTS, at=database_now())

"""Who plays in the tests? Acme and Globex, their people, and the MSP's own. Plain functions; asked twice, the same row.

Alice is Acme's admin, Mallory is Globex's: whatever Alice owns, Mallory must not even know of.
"""

from __future__ import annotations

from functools import cache

from django.contrib.auth.hashers import make_password
from rest_framework.test import APIClient

from portal import people, services
from portal.audit import Actor
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

"""Whose address is it, behind proxies? What our own proxies saw; what a caller wrote into the header is not believed."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from django.core.cache import cache
from django.test import Client as Browser

from portal.middleware import callers_address
from portal.models import AuditEntry
from portal.throttle import PLACE
from tests import cast
from tests.portal.an_app import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.once]

PROXIES = ("10.0.0.0/8", "127.0.0.1/32", "2001:db8:f::/48")


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.1, 198.51.100.7", "198.51.100.7"),  # what the caller wrote is not believed
        ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),  # two proxies of ours
        ("198.51.100.7", "203.0.113.1", "198.51.100.7"),  # not by a proxy
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("127.0.0.1", "[2001:db8::9]:4711", "2001:db8::9"),
        ("127.0.0.1", "2001:db8::9", "2001:db8::9"),
        ("2001:db8:f::1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("", "198.51.100.7", "198.51.100.7"),  # a Unix socket
        ("", "", ""),
        ("10.0.0.1", "10.0.0.9", "10.0.0.9"),  # somebody in the proxies' own network
        ("unix:", "198.51.100.7", "unix:"),
    ],
)
def test_the_caller_is_the_last_address_that_is_no_proxy_of_ours(peer, forwarded, caller):
    assert callers_address(peer, forwarded, [ip_network(text) for text in PROXIES]) == caller


def test_behind_a_proxy_the_callers_are_told_apart(settings):
    cache.clear()  # counts of tests before
    user = cast.make_staff()
    through = {"REMOTE_ADDR": "10.0.0.1"}

    def by_proxy(address: str, password: str = "wrong") -> Browser:
        browser = Browser(**through)
        browser.post("/login/", {"login": user.email, "password": password}, headers={"X-Forwarded-For": address})
        return browser

    for _ in range(PLACE.most):
        by_proxy("192.0.2.1")
    assert not signed_in(by_proxy("198.51.100.7", cast.PASSWORD)), "not named: all callers look like one"
    settings.TRUSTED_PROXIES = (ip_network("10.0.0.0/8"),)
    for _ in range(PLACE.most):
        by_proxy("192.0.2.1")
    assert signed_in(by_proxy("198.51.100.7", cast.PASSWORD))
    assert not signed_in(by_proxy("198.51.100.7, 192.0.2.1", cast.PASSWORD)), "a made-up address changes nothing"
    assert {entry.ip for entry in AuditEntry.objects.filter(action="user.signed_in")} == {"198.51.100.7"}

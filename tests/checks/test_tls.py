"""Does the tls check read any certificate, and leave the judgement on it to the rules?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitors.checks import certificate
from monitors.checks.base import Status
from tests.checks.lab import Listener, check, closed_port, hangs_up, patience, says, silent
from tests.rig.certificates import Authority, self_signed


def test_a_good_certificate(trusted: Authority) -> None:
    shown = trusted.issue(valid=timedelta(days=12))
    with Listener(silent, shown.server_context()) as server:
        outcome = check("tls", {"host": "localhost", "port": server.port})
        assert server.connections <= 1, "a chain that verifies needs one handshake"
    facts = outcome.facts["certificate"]
    assert outcome.status == Status.UP and outcome.tls_ms is not None
    assert facts["not_after"] == shown.not_after.isoformat()
    assert (facts["subject"], facts["issuer"]) == ("localhost", "Watchkeeper test CA")
    assert facts["names"] == ["localhost", "127.0.0.1"]
    assert facts["hostname_ok"] and facts["chain_error"] is None


@pytest.mark.parametrize(
    ("flaw", "hostname_ok", "blames_chain"),
    [("expired", True, False), ("future", True, False), ("name", False, False), ("self_signed", True, True)],
)
def test_a_bad_certificate_is_a_finding_and_not_a_failure(
    trusted: Authority, flaw: str, hostname_ok: bool, blames_chain: bool
) -> None:
    shown = {
        "expired": trusted.issue(valid=timedelta(days=-1)),
        "future": trusted.issue(since=timedelta(days=-2)),
        "name": trusted.issue(("other.example.com",)),
        "self_signed": self_signed(),
    }[flaw]
    with Listener(silent, shown.server_context()) as server:
        outcome = check("tls", {"host": "127.0.0.1", "port": server.port})
    facts = outcome.facts["certificate"]
    assert outcome.status == Status.UP
    assert facts["fingerprint"] == shown.fingerprint
    assert (facts["hostname_ok"], facts["chain_error"] is not None) == (hostname_ok, blames_chain), facts


def test_the_server_name_is_asked_for_and_checked(trusted: Authority) -> None:
    shown = trusted.issue(("*.shop.example.com",))
    with Listener(silent, shown.server_context()) as server:
        place = {"host": "127.0.0.1", "port": server.port}
        fits = check("tls", place | {"server_name": "www.shop.example.com"})
        does_not = check("tls", place)
    assert fits.facts["certificate"]["hostname_ok"] and not does_not.facts["certificate"]["hostname_ok"]


def test_an_unreachable_host_says_nothing_about_its_certificate() -> None:
    outcome = check("tls", {"host": "127.0.0.1", "port": closed_port()})
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "connect_refused")
    assert "certificate" not in outcome.facts


@pytest.mark.parametrize(
    ("server", "error_class"), [(hangs_up, "tls"), (silent, "timeout"), (says(b"SSH-2.0-x\r\n"), "tls")]
)
def test_a_port_without_tls(server: object, error_class: str) -> None:
    with Listener(server) as listener:  # type: ignore[arg-type]
        outcome = check("tls", {"host": "127.0.0.1", "port": listener.port}, timeout=patience(error_class))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class)


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("shop.example.com", "SHOP.example.com.", True),
        ("*.example.com", "shop.example.com", True),
        ("*.example.com", "a.shop.example.com", False),  # one label only
        ("*.example.com", "example.com", False),
        ("*.com", "example.com", False),
        ("s*.example.com", "shop.example.com", False),
        ("*", "localhost", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("*.0.0.1", "127.0.0.1", False),
        ("0:0:0:0:0:0:0:1", "[::1]", True),
    ],
)
def test_names(pattern: str, host: str, fits: bool) -> None:
    assert certificate.name_fits(pattern, host) is fits


def test_the_engines_sentences_become_facts(authority: Authority) -> None:
    now, shown = datetime.now(UTC), authority.issue(valid=timedelta(days=-1))
    facts = certificate.facts_of_chain([shown.pem], "localhost", "The certificate has expired.", now)["certificate"]
    assert facts["chain_error"] is None and facts["hostname_ok"]
    facts = certificate.facts_of_chain([shown.pem], "localhost", "The certificate does not name this host.", now)[
        "certificate"
    ]
    assert facts["chain_error"] is None and not facts["hostname_ok"]
    assert certificate.facts_of_chain([b"rubbish"], "localhost", None, now) == {}
    assert certificate.facts_of_chain([], "localhost", None, now) == {}

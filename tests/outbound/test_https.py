"""Is a certificate believed only when it should be, and shown even when it should not?"""

import asyncio
import contextlib
import re
import ssl
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from portal.outbound.guard import Reach, check_url
from portal.outbound.http import HttpEngine, OutboundError, Request, next_hop
from portal.outbound.transfer import Hop
from tests.outbound.hostile import Hostile
from tests.rig.certificates import Authority, Certificate, self_signed
from tests.rig.serving import reset

pytestmark = pytest.mark.once

LOOPBACK = Reach(allow=(ip_network("127.0.0.1/32"), ip_network("::1/128")))
AUTHORITY = Authority()

BAD: dict[str, tuple[Certificate, str]] = {
    "expired": (AUTHORITY.issue(valid=-timedelta(days=2)), "has expired"),
    "not yet": (AUTHORITY.issue(since=-timedelta(days=9), valid=timedelta(days=30)), "not valid yet"),
    "wrong name": (AUTHORITY.issue(("other.example", "192.0.2.1")), "does not name this host"),
    "self-signed": (self_signed(), "self-signed"),
    "stranger": (Authority("Somebody else").issue(), "issuer is unknown|self-signed certificate that is not trusted"),
}


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    return str(AUTHORITY.trust(tmp_path))


def play(certificate: Certificate | ssl.SSLContext, story: Callable[[HttpEngine, Hostile], Awaitable[None]]) -> None:
    async def run() -> None:
        context = certificate if isinstance(certificate, ssl.SSLContext) else certificate.server_context()
        async with Hostile(context) as server:
            http = HttpEngine()
            try:
                await story(http, server)
            finally:
                http.close()

    asyncio.run(run())


async def error(http: HttpEngine, request: Request) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        await http.fetch(request, LOOPBACK)
    return caught.value


def fingerprint(pem: bytes) -> str:
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


def test_a_good_chain_is_believed_and_shown_when_asked(ca_file: str) -> None:
    certificate = AUTHORITY.issue()

    async def story(http: HttpEngine, server: Hostile) -> None:
        for host in ("127.0.0.1", "localhost"):
            url = f"https://{host}:{server.port}/"
            plain = await http.fetch(Request(url, ca_file=ca_file, family=4), LOOPBACK)
            assert (plain.status, plain.certificates, plain.verify_error) == (200, [], None)
            assert plain.phases.tls is not None and plain.phases.connect is not None
            shown = await http.fetch(Request(url, ca_file=ca_file, want_certificate=True, family=4), LOOPBACK)
            assert [fingerprint(pem) for pem in shown.certificates] == [
                certificate.fingerprint,
                fingerprint(AUTHORITY.pem),
            ]
        assert server.connections == 4

    play(certificate, story)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_certificate_ends_the_fetch_before_anything_is_sent(case: str, ca_file: str) -> None:
    certificate, sentence = BAD[case]

    async def story(http: HttpEngine, server: Hostile) -> None:
        request = Request(server.base + "/", ca_file=ca_file, auth=("basic", "user", "secret"))
        failure = await error(http, request)
        assert (failure.kind, failure.sent, failure.certificates) == ("tls", False, [])
        assert re.search(sentence, failure.message)
        request.want_certificate = True
        shown = await error(http, request)
        assert fingerprint(shown.certificates[0]) == certificate.fingerprint
        assert server.requests == []

    play(certificate, story)


@pytest.mark.parametrize("case", BAD)
def test_who_does_not_verify_is_answered_and_told_all_the_same(case: str, ca_file: str) -> None:
    certificate, sentence = BAD[case]

    async def story(http: HttpEngine, server: Hostile) -> None:
        request = Request(server.base + "/", ca_file=ca_file, verify=False)
        assert (await http.fetch(request, LOOPBACK)).verify_error is None  # nobody asked
        request.want_certificate = True
        response = await http.fetch(request, LOOPBACK)
        assert response.status == 200
        assert fingerprint(response.certificates[0]) == certificate.fingerprint
        assert re.search(sentence, response.verify_error or "")
        assert len(server.requests) == 2  # the request itself went out once each time
        request.verify = True
        assert (await error(http, request)).kind == "tls"  # and not verifying is not left behind

    play(certificate, story)


def test_a_good_chain_has_no_error_for_who_does_not_verify(ca_file: str) -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        response = await http.fetch(
            Request(server.base, ca_file=ca_file, verify=False, want_certificate=True), LOOPBACK
        )
        assert (response.verify_error, len(response.certificates), server.connections) == (None, 2, 1)

    play(AUTHORITY.issue(), story)


def test_authorities_of_one_client_are_not_trusted_for_another(ca_file: str, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(Authority("Other").pem)

    async def story(http: HttpEngine, server: Hostile) -> None:
        for _ in range(2):
            assert (await http.fetch(Request(server.base, ca_file=ca_file), LOOPBACK)).status == 200
            assert (await error(http, Request(server.base, ca_file=str(other)))).kind == "tls"
            assert (await error(http, Request(server.base))).kind == "tls"  # the machine's own bundle
            failure = await error(http, Request(server.base, ca_file=str(tmp_path / "missing.pem")))
            assert (failure.kind, failure.sent) == ("tls", False)

    play(AUTHORITY.issue(), story)


def test_old_protocol_versions_are_refused(ca_file: str) -> None:
    context = AUTHORITY.issue().server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with contextlib.suppress(ValueError), warnings.catch_warnings(action="ignore"):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    async def story(http: HttpEngine, server: Hostile) -> None:
        failure = await error(http, Request(server.base, ca_file=ca_file, timeout=30))
        assert (failure.kind, failure.sent) == ("tls", False)

    play(context, story)


def client_certificate() -> tuple[str, str]:
    """(certificate, key), PEM: signed by itself, for a server that trusts exactly this one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "probe")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = serialization.PrivateFormat.PKCS8
    plain = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem.decode(), plain.decode()


def test_a_client_certificate_opens_the_door_and_a_broken_one_does_not(ca_file: str) -> None:
    pem, key = client_certificate()
    context = AUTHORITY.issue().server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=pem)

    async def story(http: HttpEngine, server: Hostile) -> None:
        def request(cert: str | None, key: str | None) -> Request:
            return Request(server.base, ca_file=ca_file, client_cert=cert, client_key=key)

        assert (await http.fetch(request(pem, key), LOOPBACK)).status == 200
        assert (await http.fetch(request(pem + key, None), LOOPBACK)).status == 200
        assert (await error(http, request(None, None))).kind in ("tls", "reset")  # and none is left from before
        for cert, other in (("no PEM", "no PEM"), (pem, client_certificate()[1]), (pem, "no PEM"), (pem, "")):
            failure = await error(http, request(cert, other))
            assert (failure.kind, failure.sent) == ("tls", False)
            assert "client certificate" in failure.message

    play(context, story)


def test_a_client_certificate_does_not_follow_to_another_host() -> None:
    here, there = check_url("https://a.example/"), check_url("https://b.example/")
    hop = Hop(here, "GET", [], None, ("digest", "u", "p"), "cert", "key", "ca", True, False, False, 1, True, None)
    assert next_hop(hop, here, 302).client_cert == "cert"
    after = next_hop(hop, there, 302)
    assert (after.client_cert, after.client_key, after.auth) == (None, None, None)
    assert next_hop(hop, check_url("http://a.example/"), 302).auth is None  # a fall back to http neither
    assert next_hop(hop, check_url("https://a.example:444/"), 302).auth is None
    plain = replace(hop, url=check_url("http://a.example/"))
    assert next_hop(plain, here, 301).auth == hop.auth  # the usual step up to https


def test_a_port_that_does_not_speak_tls() -> None:
    async def run() -> None:
        async def hello(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await writer.drain()
            writer.close()

        async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reset(writer)

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(4096):
                continue
            writer.close()

        http = HttpEngine()
        for behave, kind in ((hello, "tls"), (cut, "reset"), (silent, "timeout")):
            server = await asyncio.start_server(behave, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            failure = await error(http, Request(f"https://127.0.0.1:{port}/", timeout=1 if kind == "timeout" else 30))
            assert (failure.kind, failure.sent) == (kind, False)
            assert failure.phases.tls is None
            server.close()
        http.close()

    asyncio.run(run())


def test_a_redirect_to_a_bad_certificate_is_a_failure(ca_file: str) -> None:
    async def run() -> None:
        async with Hostile() as plain, Hostile(self_signed().server_context()) as secure:
            plain.location = secure.base + "/"
            http = HttpEngine()
            failure = await error(http, Request(plain.base + "/redirect/302", ca_file=ca_file, max_redirects=1))
            assert (failure.kind, failure.sent) == ("tls", True)
            assert secure.requests == []
            http.close()

    asyncio.run(run())

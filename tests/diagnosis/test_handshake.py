"""What is wrong with TLS? Real handshakes on loopback with certificates made on the spot."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from monitors.checks import connection
from monitors.diagnosis import handshake
from monitors.diagnosis.evidence import Connect, Tls
from monitors.diagnosis.handshake import Connecting, Handshaking
from tests.rig.certificates import Authority, Certificate, self_signed

pytestmark = pytest.mark.once

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def trusted(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine trusts the test authority and no other."""
    monkeypatch.setattr(connection, "default_bundle", lambda: str(authority.trust(tmp_path)))
    connection.verifying_context.cache_clear()
    yield
    connection.verifying_context.cache_clear()


async def _wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


def shaken(certificate: Certificate | ssl.SSLContext, *, name: str = "localhost", now: datetime | None = None) -> Tls:
    """What a handshake with a server of this certificate tells."""
    context = certificate if isinstance(certificate, ssl.SSLContext) else certificate.server_context()
    return told(_wait, name=name, now=now, context=context)


def told(
    serve: Serve, *, name: str = "localhost", now: datetime | None = None, context: Any = None, starttls: str = ""
) -> Tls:
    """What a handshake with this server tells."""

    async def run() -> Tls:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        shaking = Handshaking("127.0.0.1", server.sockets[0].getsockname()[1], name, now or datetime.now(UTC), starttls)
        await shaking.run()
        server.close()
        return shaking.evidence()

    return asyncio.run(run())


def test_a_certificate_that_is_well_is_described(authority: Authority) -> None:
    certificate = authority.issue(("shop.example",))
    found = shaken(certificate, name="shop.example")
    assert (found["status"], found["protocol"], found["chain"]) == ("ok", "TLSv1.3", 2)
    assert (found["fingerprint"], found["not_after"]) == (certificate.fingerprint, certificate.not_after.timestamp())
    assert (found["subject"], found["issuer"]) == ("shop.example", "Watchkeeper test CA")


def test_the_dates_are_told_first(authority: Authority) -> None:
    assert shaken(authority.issue(valid=timedelta(days=-1)))["status"] == "expired"
    early = datetime.now(UTC) - timedelta(days=30)
    assert shaken(authority.issue(), now=early)["status"] == "not_yet_valid"
    assert shaken(self_signed(valid=timedelta(days=-1)), name="other.example")["status"] == "expired"


def test_then_who_vouches_for_it_then_its_name(authority: Authority) -> None:
    assert shaken(self_signed(("other.example",)))["status"] == "untrusted"
    assert shaken(Authority("Somebody else").issue())["status"] == "untrusted"
    wrong = shaken(authority.issue(("other.example",)))
    assert (wrong["status"], wrong["said"]) == ("wrong_host", "It is for other.example")


def between(authority: Authority, *, points_up: bool = True) -> Certificate:
    """A certificate of an intermediate authority, sent without the intermediate's own."""
    key, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC).replace(microsecond=0)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("localhost", "Between")]
    builder = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(leaf.public_key())
    builder = builder.serial_number(5).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))  # fmt: skip
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    if points_up:
        place = x509.UniformResourceIdentifier("http://ca.example/between.crt")
        access = x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)])  # fmt: skip
        builder = builder.add_extension(access, critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = leaf.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())  # fmt: skip
    return Certificate(pem=pem, key=plain, chain=pem, not_after=now + timedelta(days=9))


def test_a_chain_that_lacks_its_intermediate_is_incomplete_and_not_untrusted(authority: Authority) -> None:
    assert shaken(between(authority))["status"] == "incomplete"
    assert shaken(between(authority, points_up=False))["status"] == "untrusted"  # nothing says that there is one


def test_a_server_that_speaks_no_tls_breaks_the_protocol() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-little\r\n")
        await writer.drain()
        writer.close()

    assert told(plain)["status"] == "protocol"


def test_a_server_of_old_protocols_only_says_so() -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"\x15\x03\x01\x00\x02\x02\x46")  # a fatal alert: protocol_version
        await writer.drain()
        writer.close()

    found = told(old)
    assert (found["status"], "protocol version" in found["said"]) == ("protocol", True)


def test_a_handshake_that_never_ends_has_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "TLS_SECONDS", 0.3)

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10000)
        await reader.read(1)
        writer.transport.abort()

    assert told(mute)["status"] == "stalled"


def test_a_connection_dropped_in_the_handshake_was_reset() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: close by RST
        writer.close()

    async def polite(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.close()

    assert told(rude)["status"] == "reset"
    assert told(polite)["status"] == "reset"


def test_tls_may_begin_the_way_the_protocol_begins_it(authority: Authority) -> None:
    context = authority.issue().server_context()

    async def postgres(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == struct.pack("!II", 8, 80877103)
        writer.write(b"S")
        await writer.start_tls(context)
        await reader.read(1)
        writer.transport.abort()

    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"N")
        writer.close()

    assert told(postgres, starttls="postgres")["status"] == "ok"
    assert told(no_tls, starttls="postgres") == {"status": "protocol", "said": "The server does not offer TLS."}


def test_a_port_that_does_not_open_is_no_word_on_tls() -> None:
    async def run() -> Tls:
        shaking = Handshaking("127.0.0.1", 1, "localhost", datetime.now(UTC))
        await shaking.run()
        return shaking.evidence()

    assert asyncio.run(run())["status"] == "not_run"


# --- Plain connections --------------------------------------------------------------------------------------------------
def connected(port: int) -> Connect:
    """Three connections in a row."""

    async def run() -> Connect:
        connecting = Connecting("127.0.0.1", port)
        connecting.moments = (0.0, 0.01, 0.02)
        await connecting.run()
        return connecting.evidence()

    return asyncio.run(run())


def test_three_connections_say_whether_the_port_is_open() -> None:
    async def run() -> Connect:
        server = await asyncio.start_server(_wait, "127.0.0.1", 0)
        connecting = Connecting("127.0.0.1", server.sockets[0].getsockname()[1])
        connecting.moments = (0.0, 0.01, 0.02)
        await connecting.run()
        server.close()
        return connecting.evidence()

    found = asyncio.run(run())
    assert (found["status"], found["tries"], found["ok"], len(found["ms"])) == ("ok", 3, 3, 3)
    assert connected(1) == {"status": "refused", "tries": 3, "ok": 0, "said": "Connection refused"}


def test_part_of_them_failing_is_some() -> None:
    connecting = Connecting("127.0.0.1", 1)
    connecting.outcomes = [("ok", 2.0, ""), ("timeout", None, "No answer within 2 s")]
    assert connecting.evidence() == {"status": "some", "tries": 2, "ok": 1, "ms": [2.0], "said": "No answer within 2 s"}

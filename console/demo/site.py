"""What do the demo's clients have? Small web sites on loopback that can break and be mended; one of them speaks TLS."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from console.demo.serving import HOST, Street, answer, requested


class Site:
    """A client's web site. `fault` is what it answers instead of its page, as "500 Internal Server Error"."""

    def __init__(self, street: Street, name: str, *, host: str = HOST, tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self.fault = ""
        self.port = street.open(self._converse, host=host, tls=tls)
        self.url = f"{'https' if tls else 'http'}://{'localhost' if tls else host}:{self.port}/"

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await requested(reader)
        fault = self.fault
        await answer(
            writer, fault or "200 OK", f"<h1>{fault}</h1>" if fault else f"<h1>{self.name}</h1><p>All is well.</p>"
        )


def certificate(directory: Path, *, days: int = 90) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a new certificate for localhost, and the file that makes programs trust it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address(HOST))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=days))
        .add_extension(names, critical=False).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    chain, whole = directory / "demo-ca.pem", directory / "demo-site.pem"
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(pem)
    whole.touch(mode=0o600)
    whole.write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(whole)
    return context, chain

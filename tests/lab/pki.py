"""Which certificates do the lab's sites show? A root that the probes trust, an intermediate, leaves of every condition."""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey


class Authority:
    """A root or, signed by one, an intermediate."""

    def __init__(self, name: str, above: Authority | None = None) -> None:
        self.key, self.above = ec.generate_private_key(ec.SECP256R1()), above
        self.name = _named(name)
        now = datetime.now(UTC)
        signer, issuer = (above.key, above.name) if above else (self.key, self.name)
        builder = _builder(self.name, issuer, self.key, now - timedelta(days=900), now + timedelta(days=900))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = {name: name in ("key_cert_sign", "crl_sign") for name in USAGES}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        if above:
            builder = builder.add_extension(_points_to(above), critical=False)
        self.pem = builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def context(self, *names: str, days: float = 60, chain: bool = True) -> ssl.SSLContext:
        """A server that shows a leaf of these names (addresses too), running out in `days`; without `chain` only the leaf."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        builder = _builder(_named(names[0]), self.name, key, now - timedelta(days=90), now + timedelta(days=days))
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(n) for n in names]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_points_to(self), critical=False)
        leaf = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        plain = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # ssl reads from files only
            file.write(leaf + (self.pem if chain and self.above else b"") + plain)
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def trust(self, path: Path) -> Path:
        """Write the root where SSL_CERT_FILE may point."""
        path.write_bytes(self.pem)
        return path


USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
    "encipher_only", "decipher_only",
)  # fmt: skip


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, since: datetime, until: datetime) -> x509.CertificateBuilder:  # fmt: skip
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(since).not_valid_after(until)
    return made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _points_to(above: Authority) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(above.key.public_key())


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)

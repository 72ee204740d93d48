"""Which certificate shall a test's server show? Made on the spot: of any name and expiry, signed by itself or by a test CA."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOCAL_NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key, both PEM; `chain` is what a server sends (leaf first)."""

    pem: bytes
    key: bytes
    chain: bytes
    not_after: datetime

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, lower-case hex."""
        return x509.load_pem_x509_certificate(self.pem).fingerprint(hashes.SHA256()).hex()

    def server_context(self) -> ssl.SSLContext:
        """TLS for a server that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # ssl reads from files only
            file.write(self.chain + self.key)
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def write(self, directory: Path, name: str = "certificate") -> tuple[Path, Path]:
        """Write NAME.pem (the chain) and NAME.key into the directory; returns both paths."""
        chain, key = directory / f"{name}.pem", directory / f"{name}.key"
        chain.write_bytes(self.chain)
        key.write_bytes(self.key)
        return chain, key


class Authority:
    """A certificate authority that only this test trusts."""

    def __init__(self, name: str = "Watchkeeper test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        now = datetime.now(UTC)
        builder = _builder(self._name, self._name, self._key, now - timedelta(days=3650), now + timedelta(days=3650))
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        names: tuple[str, ...] = LOCAL_NAMES,
        *,
        valid: timedelta = timedelta(days=90),
        since: timedelta = timedelta(days=1),
    ) -> Certificate:
        """A server certificate that runs out `valid` from now (negative: has run out) and began `since` ago."""
        return _issue(names, valid, since, self._name, self._key, self.pem)

    def trust(self, directory: Path) -> Path:
        """Write this authority's own certificate as ca.pem; returns its path (curl's CAINFO, SSL_CERT_FILE)."""
        path = directory / "ca.pem"
        path.write_bytes(self.pem)
        return path


def self_signed(
    names: tuple[str, ...] = LOCAL_NAMES,
    *,
    valid: timedelta = timedelta(days=90),
    since: timedelta = timedelta(days=1),
) -> Certificate:
    """A certificate that nobody vouches for."""
    return _issue(names, valid, since, None, None, b"")


def _issue(
    names: tuple[str, ...],
    valid: timedelta,
    since: timedelta,
    issuer: x509.Name | None,
    signer: ec.EllipticCurvePrivateKey | None,
    above: bytes,
) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC).replace(microsecond=0)  # X.509 times are whole seconds
    not_after = now + valid
    not_before = min(now - since, not_after - timedelta(days=1))
    subject = _named(names[0])
    builder = _builder(subject, issuer or subject, key, not_before, not_after)
    builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(n) for n in names]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    if signer is not None:
        above_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(above_key, critical=False)
    pem = builder.sign(signer or key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(pem=pem, key=plain, chain=pem + above, not_after=not_after)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)

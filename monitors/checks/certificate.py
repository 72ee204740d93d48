"""What does a certificate say, and does it fit the host it was shown for?

Pure: bytes in, plain facts out. The rules that alert on them (MON-6) live with the portal.
"""

import ipaddress
import ssl
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

EXPIRED, NOT_YET_VALID = 10, 9  # OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID
MOST_NAMES = 100


def load(data: bytes) -> x509.Certificate:
    """A certificate from PEM or DER; raises ValueError."""
    if data.lstrip().startswith(b"-----BEGIN"):
        return x509.load_pem_x509_certificate(data)
    return x509.load_der_x509_certificate(data)


def describe(certificate: x509.Certificate, host: str, chain_error: str | None = None) -> dict[str, Any]:
    """Facts about the leaf shown for `host`; times are ISO 8601 UTC, the fingerprint is SHA-256 in hex."""
    names = alternative_names(certificate)
    return {
        "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "subject": common_name(certificate.subject),
        "issuer": common_name(certificate.issuer),
        "names": names[:MOST_NAMES],
        "chain_error": chain_error,
        "hostname_ok": any(name_fits(name, host) for name in names),
    }


def common_name(name: x509.Name) -> str:
    """The common name, else the organisation, else the whole name; at most 200 characters."""
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in name.get_attributes_for_oid(oid):
            return str(attribute.value)[:200]
    return name.rfc4514_string()[:200]


def alternative_names(certificate: x509.Certificate) -> list[str]:
    """DNS names and IP addresses of the subjectAltName extension; clients no longer look at the common name."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return []
    addresses = [str(address) for address in extension.get_values_for_type(x509.IPAddress)]
    return extension.get_values_for_type(x509.DNSName) + addresses


def name_fits(pattern: str, host: str) -> bool:
    """RFC 6125: exact, or one `*` as the whole leftmost label, never for an IP address."""
    pattern, host = pattern.lower().rstrip("."), host.lower().strip("[]").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return _same_address(pattern, address)
    if not pattern.startswith("*."):
        return pattern == host
    _, dot, parent = host.partition(".")
    return bool(dot) and parent == pattern[2:] and "." in parent


def _same_address(text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return ipaddress.ip_address(text) == address
    except ValueError:
        return False


def chain_complaint(
    certificate: x509.Certificate, flaw: ssl.SSLCertVerificationError | None, now: datetime
) -> str | None:
    """What is wrong with the chain apart from the leaf's own dates, which are judged (and told) separately."""
    if flaw is None:
        return None
    if flaw.verify_code in (EXPIRED, NOT_YET_VALID) and not covers(certificate, now):
        return None
    return flaw.verify_message[:200]


def covers(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether `now` lies between the certificate's own dates."""
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def facts_of(der: bytes | None, host: str, flaw: ssl.SSLCertVerificationError | None, now: datetime) -> dict[str, Any]:
    """{"certificate": …} for an outcome's facts, or {} when the server's certificate cannot be read at all."""
    if not der:
        return {}
    try:
        certificate = load(der)
        return {"certificate": describe(certificate, host, chain_complaint(certificate, flaw, now))}
    except ValueError:
        return {}


@lru_cache(maxsize=4096)
def _described(pem: bytes, host: str) -> tuple[x509.Certificate, dict[str, Any]]:
    """A host shows the same certificate at every check: it is read once. The facts are to be copied, not changed."""
    leaf = load(pem)
    return leaf, describe(leaf, host)


def facts_of_chain(chain: list[bytes], host: str, flaw: str | None, now: datetime) -> dict[str, Any]:
    """{"certificate": …} from PEM certificates, leaf first, and the HTTP engine's sentence on what is wrong; {} if none.

    The verifier looks at the name before the dates, and it may have been led to another host than `host` by redirects:
    where it blames something else than the name, its word counts.
    """
    if not chain:
        return {}
    try:
        leaf, described = _described(chain[0], host)
    except ValueError:
        return {}
    facts = dict(described)
    if flaw and flaw.startswith("The certificate"):  # else the handshake failed for another reason
        unexplained = "could not be verified" in flaw  # some libcurl builds give no reason for a name that does not fit
        by_name = "not name this" in flaw or (unexplained and not facts["hostname_ok"])
        by_dates = ("has expired" in flaw or "not valid yet" in flaw) and not covers(leaf, now)
        facts["hostname_ok"] = not by_name
        facts["chain_error"] = None if by_name or by_dates else flaw.rstrip(".")[:200]
    return {"certificate": facts}

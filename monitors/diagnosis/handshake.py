"""Does the service's port open, does TLS begin, and which certificate is shown? Made without verifying, judged afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from monitors.checks import certificate
from monitors.checks.base import CheckFailed, safe_sentence, tls_reason
from monitors.checks.connection import LINE_LIMIT, Stream, reading_context, verifying_context
from monitors.checks.starttls import STARTS
from monitors.diagnosis.evidence import Connect, Tls

STARTS_AT = (0.0, 0.4, 0.8)  # seconds; the moments of the connections
CONNECT_SECONDS, TLS_SECONDS = 2.0, 3.0
POSTGRES_TLS_PLEASE = struct.pack("!II", 8, 80877103)
# OpenSSL's X509_V_ERR_… codes
NO_ISSUER = (2, 20, 21)
WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.ETIMEDOUT: "timeout",
}


@dataclass(frozen=True, slots=True)
class Shaken:
    """One handshake. `chain` is DER, the server's own certificate first; `flaw` is the verifier's complaint."""

    status: str
    said: str = ""
    chain: tuple[bytes, ...] = ()
    protocol: str = ""
    ms: float = 0.0
    flaw: ssl.SSLCertVerificationError | None = None


class Connecting:
    """Some TCP connections in a row, each closed at once."""

    def __init__(self, address: str, port: int, tries: int = len(STARTS_AT)) -> None:
        self.address, self.port, self.moments = address, port, STARTS_AT[:tries]
        self.outcomes: list[tuple[str, float | None, str]] = []

    def evidence(self) -> Connect:
        """What became of those that are over."""
        ok = [ms for word, ms, _ in self.outcomes if word == "ok" and ms is not None]
        bad = [(word, said) for word, _, said in self.outcomes if word != "ok"]
        found: Connect = {"status": "not_run", "tries": len(self.outcomes), "ok": len(ok)}
        if self.outcomes:
            found["status"] = "ok" if not bad else "some" if ok else bad[0][0]
        if ok:
            found["ms"] = ok
        if bad:
            found["said"] = bad[0][1]
        return found

    async def run(self) -> None:
        """Make them."""
        await asyncio.gather(*(self._one(moment) for moment in self.moments))

    async def _one(self, moment: float) -> None:
        await asyncio.sleep(moment)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                sock = await opened(self.address, self.port)
        except TimeoutError:
            self.outcomes.append(("timeout", None, f"No answer within {CONNECT_SECONDS:g} s"))
        except OSError as error:
            self.outcomes.append(
                (
                    WORDS.get(error.errno or 0, "unreachable"),
                    None,
                    os.strerror(error.errno) if error.errno else "no route",
                )
            )
        else:
            self.outcomes.append(("ok", round((time.perf_counter() - started) * 1000, 3), ""))
            sock.close()


async def opened(address: str, port: int) -> socket.socket:
    """A connected socket to an address that the guard has let through; OSError."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


class Handshaking:
    """One handshake that accepts anything, to see what is shown, and beside it one that verifies, to hear what is wrong."""

    def __init__(self, address: str, port: int, name: str, now: datetime, starttls: str = "") -> None:
        self.address, self.port, self.name, self.now, self.starttls = address, port, name, now, starttls
        self.found: Tls = {"status": "not_run", "said": "It was not finished in time."}

    def evidence(self) -> Tls:
        """What is known by now."""
        return self.found

    async def run(self) -> None:
        """Shake hands; never raises for what the server does."""
        reading, verifying = await asyncio.gather(self._shake(reading_context()), self._shake(verifying_context()))
        if not reading.chain:
            self.found = {"status": reading.status, "said": reading.said}
            return
        self.found = judged(reading.chain, self.name, verifying.flaw, self.now)
        self.found["protocol"], self.found["ms"] = reading.protocol, reading.ms
        if verifying.status != "ok" and self.found["status"] == "ok":  # it went well once and badly once
            self.found["status"], self.found["said"] = verifying.status, verifying.said

    async def _shake(self, context: ssl.SSLContext) -> Shaken:
        stream: Stream | None = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                sock = await opened(self.address, self.port)
            reader, writer = await asyncio.open_connection(sock=sock, limit=LINE_LIMIT)
            stream = Stream(reader, writer, self.address)
        except (OSError, TimeoutError):
            return Shaken("not_run", "The port did not open.")
        try:
            async with asyncio.timeout(TLS_SECONDS):
                await self._start(stream)
                started = time.perf_counter()
                await stream.writer.start_tls(context, server_hostname=self.name)
            ms, tls = round((time.perf_counter() - started) * 1000, 3), stream.writer.get_extra_info("ssl_object")
            return Shaken("ok", chain=chain_of(tls), protocol=tls.version() or "", ms=ms)
        except ssl.SSLCertVerificationError as error:
            return Shaken("ok", flaw=error)
        except TimeoutError:
            return Shaken("stalled", f"The port opened, but the handshake did not end within {TLS_SECONDS:g} s.")
        except ssl.SSLError as error:
            if "EOF" in (error.reason or ""):
                return Shaken("reset", "The server closed the connection during the handshake.")
            return Shaken("protocol", safe_sentence(f"The handshake failed: {tls_reason(error)}"))
        except CheckFailed as error:
            return Shaken("protocol", str(error))
        except (OSError, EOFError):
            return Shaken("reset", "The server closed the connection during the handshake.")
        finally:
            stream.close()

    async def _start(self, stream: Stream) -> None:
        """Up to the point where TLS may begin."""
        if self.starttls == "postgres":
            await stream.send(POSTGRES_TLS_PLEASE)
            if await stream.reader.readexactly(1) != b"S":
                raise CheckFailed("tls", "The server does not offer TLS.")
        elif self.starttls in STARTS:
            await STARTS[self.starttls](stream)


def chain_of(tls: Any) -> tuple[bytes, ...]:
    """What the server sent, DER, its own certificate first."""
    with contextlib.suppress(AttributeError, ValueError, ssl.SSLError):
        if hasattr(tls, "get_unverified_chain"):  # Python 3.13
            return tuple(tls.get_unverified_chain())
        return tuple(ssl.PEM_cert_to_DER_cert(shown.public_bytes()) for shown in tls._sslobj.get_unverified_chain())
    leaf = tls.getpeercert(True)
    return (leaf,) if leaf else ()


def judged(chain: Sequence[bytes], name: str, flaw: ssl.SSLCertVerificationError | None, now: datetime) -> Tls:
    """What is wrong with the certificate, the most telling thing first: its dates, then who vouches for it, then its name."""
    try:
        leaf = certificate.load(chain[0])
    except (ValueError, IndexError):
        return {"status": "protocol", "said": "The server showed no certificate that can be read."}
    facts = certificate.describe(leaf, name)
    found: Tls = {
        "status": "ok",
        "fingerprint": facts["fingerprint"],
        "subject": safe_sentence(facts["subject"]),
        "issuer": safe_sentence(facts["issuer"]),
        "not_after": leaf.not_valid_after_utc.timestamp(),
        "not_before": leaf.not_valid_before_utc.timestamp(),
        "chain": len(chain),
    }
    status, said = "ok", ""
    if now >= leaf.not_valid_after_utc:
        status, said = "expired", f"It expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC."
    elif now < leaf.not_valid_before_utc:
        status, said = "not_yet_valid", f"It becomes valid on {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC."
    elif flaw is not None:
        status, said = _chain_flaw(chain, flaw)
    if status == "ok" and not facts["hostname_ok"]:
        names = ", ".join(str(n) for n in facts["names"][:5]) or "no name at all"
        status, said = "wrong_host", safe_sentence(f"It is for {names}.")
    found["status"] = status
    if said:
        found["said"] = said
    return found


def _chain_flaw(chain: Sequence[bytes], flaw: ssl.SSLCertVerificationError) -> tuple[str, str]:
    said = safe_sentence(flaw.verify_message)
    if flaw.verify_code == certificate.EXPIRED:
        return "expired", "A certificate above the server's own has expired."
    if flaw.verify_code == certificate.NOT_YET_VALID:
        return "not_yet_valid", "A certificate above the server's own is not valid yet."
    if flaw.verify_code in NO_ISSUER and _points_upwards(chain[-1]):
        return "incomplete", "The server does not send the certificate between its own and a known authority's."
    return "untrusted", said


def _points_upwards(der: bytes) -> bool:
    """Does it say where its issuer's certificate is found? Public authorities always do; a private one has no reason to."""
    try:
        last = certificate.load(der)
        if last.issuer == last.subject:
            return False
        access = last.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return any(entry.access_method == AuthorityInformationAccessOID.CA_ISSUERS for entry in access)

"""How does a probe talk to its portal? One HTTPS connection outward, one request at a time, each with a total deadline.

Every request is signed and every answer's signature is checked against the key that was pinned at enrolment: what does
not come from our portal (a captive page, a proxy's error, a false portal) is no answer, and gives no orders.
"""

from __future__ import annotations

import gzip
import http.client
import ipaddress
import json
import random
import socket
import ssl
import threading
import time
import zlib
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from monitors.probe import identity
from monitors.probe.clock import Clock
from monitors.probe.identity import Identity

DEADLINE = 30.0
CONNECT, UNHEARD = (
    8.0,
    8.0,
)  # seconds to connect; so long may nobody confirm what we sent, before the line is taken for dead
MOST_ANSWER = 64 * 1024 * 1024
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0


class LinkDown(Exception):
    """No answer of our portal came; to be tried again later. The sentence is safe to show."""


class Refused(Exception):
    """Our portal said no. `code` is one word, `status` the HTTP status, `body` the rest of what it said."""

    def __init__(self, status: int, body: dict[str, Any], retry_after: float = 0.0) -> None:
        error = body.get("error", {}) if isinstance(body.get("error"), dict) else {}
        super().__init__(str(error.get("message", "")) or f"The portal answered {status}.")
        self.status, self.code, self.body, self.retry_after = status, str(error.get("code", "")), body, retry_after


@dataclass(slots=True)
class Answer:
    """What the portal said."""

    status: int
    body: dict[str, Any]
    etag: str = ""


@dataclass(slots=True)
class Patience:
    """How long to wait after failures in a row: doubling, with jitter, half a minute at most."""

    failures: int = 0

    def next(self) -> float:
        """Seconds, after one more failure."""
        self.failures = min(self.failures + 1, 12)
        most = min(LONGEST_WAIT, FIRST_WAIT * 2.0**self.failures)
        return random.uniform(most / 2, most)


@dataclass(slots=True)
class Link:
    """The way to one portal, for one process of one probe."""

    who: Identity
    clock: Clock
    instance: str
    deadline: float = DEADLINE
    counter: int = 0
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | bytes | None = None,
        *,
        etag: str = "",
        packed: bool = False,
    ) -> Answer:
        """One signed request (a path below /probe/v1/). LinkDown without an answer of ours, Refused when it says no."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        if packed:
            content = gzip.compress(content, 5)
        for attempt in range(3):
            try:
                return self._once(method, path, content, etag, packed)
            except Refused as refusal:
                # Our clock or our counter is from an earlier life: the portal has just said what they must be.
                if refusal.code not in ("stale", "replay") or attempt == 2:
                    raise
                self.counter = max(self.counter, int(refusal.body.get("counter") or 0))
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(self, method: str, path: str, content: bytes, etag: str, packed: bool) -> Answer:
        where = identity.PREFIX + path
        at_ms = round(self.clock.now() * 1000)
        self.counter = max(self.counter + 1, at_ms)
        text = identity.request_text(self.who.probe, method, where, at_ms, self.counter, self.instance, content)
        headers = {
            identity.PROBE: str(self.who.probe), identity.TIME: str(at_ms), identity.COUNTER: str(self.counter), identity.INSTANCE: self.instance,
            identity.SIGNATURE: identity.sign(self.who.key, text), "Accept-Encoding": "gzip", "User-Agent": "watchkeeper-probe",
        }  # fmt: skip
        if content:
            headers["Content-Type"] = "application/json"
        if packed:
            headers["Content-Encoding"] = "gzip"
        if etag:
            headers["If-None-Match"] = etag
        asked = time.monotonic()
        status, answer_headers, answer = self._exchange(method, where, content, headers)
        answered = time.monotonic()
        return self._believe(status, answer_headers, answer, content, asked, answered)

    def _believe(
        self,
        status: int,
        headers: http.client.HTTPMessage,
        answer: bytes,
        asked_body: bytes,
        asked: float,
        answered: float,
    ) -> Answer:
        at_ms = headers.get(identity.TIME, "")
        if status == 401 and not at_ms:
            raise LinkDown("The portal does not know this probe; was it deleted there? Enrol it anew.")
        if not at_ms.isdigit() or len(at_ms) > 15:
            raise LinkDown(f"The answer ({status}) is not one of our portal's.")
        text = identity.answer_text(self.who.probe, self.counter, asked_body, status, int(at_ms), answer)
        key = self.who.portal_key
        if not identity.verify(key, headers.get(identity.SIGNATURE, ""), text):
            raise LinkDown(f"The answer ({status}) is not signed by the portal that enrolled this probe.")
        self.clock.heard(int(at_ms), asked, answered)
        try:
            body = json.loads(answer) if answer else {}
        except ValueError:
            raise LinkDown(f"The answer ({status}) is not JSON.") from None
        if status >= 400:
            wait = headers.get("Retry-After", "")
            raise Refused(status, body, float(wait) if wait.isdigit() else 0.0)
        return Answer(status, body, headers.get("ETag", ""))

    def _exchange(
        self, method: str, path: str, content: bytes, headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """(status, headers, decoded body). A connection that was kept may have gone away: then once more with a new one."""
        kept = self._connection is not None
        try:
            return self._send(method, path, content, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self.close()
            if not kept:
                raise LinkDown(_why(error)) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise LinkDown(_why(error)) from None
        try:
            return self._send(method, path, content, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise LinkDown(_why(error)) from None

    def _send(
        self, method: str, path: str, content: bytes, headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        if self._connection is None:
            self._connection = connect(self.who.url, min(self.deadline, CONNECT))
        connection, late = self._connection, threading.Event()
        wire: list[Any] = []  # an answer that ends the connection takes the socket away from it

        def cut() -> None:  # each single read may be in time, and the whole never end
            late.set()
            sock = wire[0] if wire else connection.sock
            if sock is not None:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        watchdog = threading.Timer(self.deadline, cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            if connection.sock is None:
                connection.connect()
                _patient(connection, self.deadline)
            connection.request(
                method, urlsplit(self.who.url).path.rstrip("/") + path, body=content or None, headers=headers
            )
            wire.append(connection.sock)
            answer = connection.getresponse()
            body = answer.read(MOST_ANSWER + 1)
            if late.is_set():
                raise ConnectionAbortedError
        except (OSError, http.client.HTTPException):
            if late.is_set():
                raise TimeoutError(f"no whole answer within {self.deadline:g} s") from None
            raise
        finally:
            watchdog.cancel()
        if len(body) > MOST_ANSWER or not answer.isclosed():
            self.close()
            raise LinkDown("The answer is too large.")
        if answer.will_close:
            self.close()
        if answer.headers.get("Content-Encoding") == "gzip":
            body = unpack(body, MOST_ANSWER)
        return answer.status, answer.headers, body


def _patient(connection: http.client.HTTPConnection, deadline: float) -> None:
    """An answer may take its time; a line on which not even the packets are confirmed is tried anew, not waited for."""
    sock: socket.socket = connection.sock
    sock.settimeout(deadline)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNHEARD * 1000))


def unpack(body: bytes, most: int) -> bytes:
    """Unzip, at most so many bytes. LinkDown for what is larger or broken."""
    try:
        plain = zlib.decompressobj(wbits=31)
        found = plain.decompress(body, most + 1)
    except zlib.error:
        raise LinkDown("The answer cannot be unpacked.") from None
    if len(found) > most or not plain.eof:
        raise LinkDown("The answer is too large, or cut short.")
    return found


def check_url(url: str) -> str:
    """The portal's address without a slash at the end. ValueError unless https (http to this very machine is let pass)."""
    parts = urlsplit(url.strip())
    if parts.username or parts.query or parts.fragment or not parts.hostname:
        raise ValueError("The portal's address is like https://portal.example")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(parts.hostname)):
        raise ValueError("The portal's address must begin with https://")
    return url.strip().rstrip("/")


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def connect(url: str, timeout: float) -> http.client.HTTPConnection:
    """A connection to the portal, through the proxy that the environment names (HTTPS_PROXY, NO_PROXY)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port or 80, timeout=timeout)
    context = ssl.create_default_context()  # SSL_CERT_FILE counts
    proxy = None if _is_here(host) or proxy_bypass(host) else getproxies().get("https")
    if not proxy:
        return http.client.HTTPSConnection(host, parts.port or 443, timeout=timeout, context=context)
    way = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    if way.scheme not in ("", "http") or not way.hostname:
        raise LinkDown("HTTPS_PROXY must be like http://proxy.example:3128")
    connection = http.client.HTTPSConnection(way.hostname, way.port or 3128, timeout=timeout, context=context)
    login = f"{unquote(way.username)}:{unquote(way.password or '')}" if way.username else ""
    connection.set_tunnel(
        host, parts.port or 443, {"Proxy-Authorization": f"Basic {b64encode(login.encode()).decode()}"} if login else {}
    )
    return connection


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The portal's certificate is not trusted: {error.verify_message}."
    if isinstance(error, TimeoutError):
        return f"The portal does not answer ({error or 'timed out'})."
    if isinstance(error, socket.gaierror):
        return "The portal's name cannot be resolved."
    return f"The portal cannot be reached ({getattr(error, 'strerror', None) or type(error).__name__})."


def enroll(url: str, token: str, host: str, clock: Clock) -> Identity:
    """Make a key, leave its public half with the portal, pin the portal's. LinkDown, Refused, or ValueError (token, URL)."""
    secret, expected = identity.token_parts(token)
    fresh = Identity.new(check_url(url))
    link = Link(fresh, clock, instance="")
    try:
        body = {"token": secret, "public_key": identity.public_of(fresh.key), "host": host}
        content = json.dumps(body).encode()
        text = identity.request_text(0, "POST", identity.PREFIX + "enroll", 0, 0, "", content)
        headers = {identity.SIGNATURE: identity.sign(fresh.key, text), "Content-Type": "application/json"}
        asked = time.monotonic()
        status, got, answer = link._exchange("POST", identity.PREFIX + "enroll", content, headers)
        answered = time.monotonic()
    finally:
        link.close()
    try:
        said = json.loads(answer)
    except ValueError:
        raise LinkDown(f"What answers there ({status}) is not a portal.") from None
    if status != 200:
        raise Refused(status, said if isinstance(said, dict) else {})
    key = str(said.get("portal_key", ""))
    signed = identity.answer_text(0, 0, content, status, int(got.get(identity.TIME, "0")), answer)
    if identity.fingerprint(key) != expected or not identity.verify(key, got.get(identity.SIGNATURE, ""), signed):
        raise LinkDown("What answers there is not the portal that gave this token.")
    clock.heard(int(got[identity.TIME]), asked, answered)
    return fresh.enrolled(int(said["id"]), str(said["slug"]), key)

"""What is asked over HTTP, what comes back, and how a failure is told."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from portal.outbound.target import parse_host, parse_port, split_authority

ErrorKind = Literal[
    "blocked",
    "dns",
    "connect_refused",
    "connect_timeout",
    "connect",
    "tls",
    "timeout",
    "reset",
    "too_large",
    "protocol",
    "redirect",
]
Auth = tuple[Literal["basic", "digest"], str, str] | tuple[Literal["bearer"], str]
Headers = dict[str, str] | Sequence[tuple[str, str]]

TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
# libcurl frames the message and owns the connection; a caller's own idea of either is how requests are smuggled.
FRAMING: Final = frozenset(
    ("connection", "content-length", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization")
    + ("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings")
)
# All that may follow a redirect to another host: any other header may be a secret under some name of its own.
HARMLESS: Final = frozenset(
    ("accept", "accept-encoding", "accept-language", "cache-control", "content-type", "user-agent")
)
# An empty value tells libcurl to leave its own header out.
_ALWAYS: Final = ("Expect:",)
_PLAIN: Final = ["User-Agent: Watchkeeper", "Accept-Encoding: identity", "Expect:"]


@dataclass(slots=True)
class Request:
    """One HTTP question. Times in seconds, sizes in bytes; ``timeout`` is the total, look-ups and redirects included."""

    url: str
    method: str = "GET"
    headers: Headers = field(default_factory=dict)
    body: bytes | None = None
    timeout: float = 10.0
    connect_timeout: float | None = None
    max_body: int = 1 << 20
    max_redirects: int = 0
    verify: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    auth: Auth | None = None
    family: int = 0
    proxy: str | None = None
    want_certificate: bool = False
    stop_at_max: bool = True
    http2: bool = False


@dataclass(slots=True)
class Phases:
    """How long each part took, in ms; None where it did not happen. ``total`` runs from the first look-up to the end."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
    total: float = 0.0


@dataclass(slots=True)
class Response:
    """The answer. ``certificates`` are PEM, the server's own first, empty unless asked for; ``address`` was dialled."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    truncated: bool
    phases: Phases
    address: str
    http_version: str
    url: str
    redirects: int = 0
    certificates: list[bytes] = field(default_factory=list)
    verify_error: str | None = None

    def header(self, name: str) -> str | None:
        """The first value of a header, by name in any case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


class OutboundError(Exception):
    """No answer, and why. ``str()`` is safe to show: no address, no secret, no text of the other side.

    ``sent`` is True when the request may have reached the server, so that repeating it may do its work twice.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        phases: Phases | None = None,
        sent: bool = False,
        certificates: list[bytes] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.phases = phases or Phases()
        self.sent = sent
        self.certificates = certificates or []


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's parts. The host still has to be resolved and pass the guard."""

    scheme: str
    host: str
    port: int
    user: str | None
    password: str


def wire_headers(request: Request) -> list[str | bytes]:
    """The header lines for libcurl, or ValueError: names are tokens, values printable, framing is not the caller's."""
    sends_body = request.body is not None or request.method == "POST"
    if not request.headers and request.auth is None and not sends_body:
        return _PLAIN  # type: ignore[return-value]  # never changed by anyone
    pairs = request.headers.items() if isinstance(request.headers, dict) else request.headers
    lines: list[str | bytes] = list(_ALWAYS)
    seen = set()
    for name, value in pairs:
        lowered = _header_name(name)
        if request.auth is not None and lowered == "authorization":
            continue
        if not value.isprintable():
            raise ValueError(f"The value of the header {name} contains control characters or line breaks.")
        seen.add(lowered)
        value = value.strip()
        line = f"{name}: {value}" if value else f"{name};"  # libcurl's spelling of "send it empty"
        lines.append(line if line.isascii() else line.encode())
    if "accept-encoding" not in seen:
        lines.append("Accept-Encoding: identity")
    if "user-agent" not in seen:
        lines.append("User-Agent: Watchkeeper")
    if sends_body and "content-type" not in seen:
        lines.append("Content-Type:")
    if request.auth is not None and request.auth[0] != "digest":
        lines.append(_authorization(request.auth))
    return lines


@lru_cache(maxsize=1024)
def _header_name(name: str) -> str:
    if not name or not TOKEN.issuperset(name):
        raise ValueError("A header name may only contain letters, digits and dashes.")
    lowered = name.lower()
    if lowered in FRAMING:
        raise ValueError(f"The header {name} cannot be set: it belongs to the connection.")
    return lowered


def _authorization(auth: Auth) -> str:
    if auth[0] == "bearer":
        if not auth[1].isascii() or not auth[1].isprintable() or " " in auth[1]:
            raise ValueError("The bearer token contains characters a token cannot have.")
        return f"Authorization: Bearer {auth[1]}"
    if ":" in auth[1]:
        raise ValueError("The user name must not contain a colon.")
    return "Authorization: Basic " + base64.b64encode(f"{auth[1]}:{auth[2]}".encode()).decode("ascii")


def check_method(method: str) -> str:
    """The method in capitals, or ValueError."""
    if not method or len(method) > 32 or not TOKEN.issuperset(method) or method.upper() in ("CONNECT", "TRACE"):
        raise ValueError("This is not an HTTP method that can be sent.")
    return method.upper()


@lru_cache(maxsize=256)
def parse_proxy(url: str) -> Proxy:
    """The parts of ``http://[user:password@]host:port`` or ``socks5h://…``, or ValueError with a plain sentence."""
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in url):
        raise ValueError("The proxy's URL contains spaces, control characters or a backslash.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("The proxy's URL is not valid.") from None
    if parts.scheme not in ("http", "socks5h"):
        raise ValueError("The proxy must be an http:// or socks5h:// URL.")
    if parts.path not in ("", "/") or parts.query or parts.fragment or not parts.netloc:
        raise ValueError("The proxy's URL is only scheme, host and port.")
    host, port = split_authority(parts.netloc.rpartition("@")[2])
    user = unquote(parts.username) if parts.username is not None else None
    return Proxy(
        parts.scheme,
        parse_host(host),
        parse_port(port) if port is not None else 1080 if parts.scheme == "socks5h" else 3128,
        user,
        unquote(parts.password or ""),
    )

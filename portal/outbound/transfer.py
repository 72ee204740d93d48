"""How is one hop put to libcurl, and what did its answer or its failure mean?

A ``Transfer`` owns one easy handle for life. The options every request shares are set once; a handle that was given
anything unusual (a body, credentials, a certificate, a proxy …) is reset before the next request, so that nothing of
one client can reach another's target.
"""

import socket
from dataclasses import dataclass
from typing import Any, Final

import pycurl

from portal.outbound.failure import explain
from portal.outbound.guard import Blocked, Reach, SplitURL, check_address
from portal.outbound.message import Auth, ErrorKind, OutboundError, Phases, Proxy, Response

MAX_HEADERS: Final = 64 * 1024  # bytes of all header blocks of one hop, interim answers included
SUPPRESS_CONNECT_HEADERS: Final = 265  # CURLOPT_SUPPRESS_CONNECT_HEADERS, which pycurl has no name for
CA_CACHE_TIMEOUT: Final = 321  # CURLOPT_CA_CACHE_TIMEOUT, likewise; seconds
BUNDLE_BELIEVED: Final = 3600


@dataclass(slots=True)
class Hop:
    """One request to one host; a redirect makes the next. ``proxy`` comes with its checked address."""

    url: SplitURL
    method: str
    headers: list[str | bytes]
    body: bytes | None
    auth: Auth | None
    client_cert: str | None
    client_key: str | None
    ca_file: str
    verify: bool
    want_certificate: bool
    http2: bool
    max_body: int
    stop_at_max: bool
    proxy: Proxy | None


class _Handed(socket.socket):
    """A socket of which pycurl takes a duplicate: ours is closed as soon as it has."""

    def __del__(self) -> None:
        self.close()


class Transfer:
    """One easy handle with the callbacks that fill it. Use: ``prepare``, run the handle, ``outcome``; then again."""

    __slots__ = (
        "curl",
        "_body",
        "_size",
        "_limit",
        "_lines",
        "_line_bytes",
        "_reach",
        "_blocked",
        "_full",
        "_headers_full",
        "_unusual",
        "_hop",
    )

    def __init__(self) -> None:
        self.curl = pycurl.Curl()
        self._reach = Reach()
        self._unusual = False
        self._body: list[bytes] = []
        self._lines: list[bytes] = []
        self._set_lasting()

    def _set_lasting(self) -> None:
        curl = self.curl
        set_option = curl.setopt
        set_option(pycurl.NOSIGNAL, 1)
        set_option(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        set_option(pycurl.FOLLOWLOCATION, 0)
        set_option(pycurl.FRESH_CONNECT, 1)
        set_option(pycurl.FORBID_REUSE, 1)
        set_option(pycurl.SSL_SESSIONID_CACHE, 0)  # a resumed session does not show its certificate again
        set_option(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        set_option(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        set_option(pycurl.PROXY, "")  # "" also silences the environment's proxies
        set_option(pycurl.NOPROXY, "*")
        set_option(pycurl.NETRC, pycurl.NETRC_IGNORED)
        set_option(SUPPRESS_CONNECT_HEADERS, 1)
        set_option(CA_CACHE_TIMEOUT, BUNDLE_BELIEVED)
        set_option(pycurl.WRITEFUNCTION, self._on_body)
        set_option(pycurl.HEADERFUNCTION, self._on_header)
        set_option(pycurl.OPENSOCKETFUNCTION, self._on_open)

    def prepare(self, hop: Hop, address: str, reach: Reach, timeout_ms: int, connect_ms: int) -> None:
        """Loads one request for one checked ``address`` (of the proxy when there is one)."""
        self._body = []
        self._lines = []
        self._size = self._line_bytes = 0
        self._limit = hop.max_body
        self._full = self._headers_full = False
        self._blocked: Blocked | None = None
        self._reach = reach
        self._hop = hop
        curl = self.curl
        if self._unusual or hop.proxy is not None:  # a pin left from before would be asked of the proxy
            curl.reset()
            self._set_lasting()
            self._unusual = False
        set_option = curl.setopt
        set_option(pycurl.URL, hop.url.url)
        set_option(pycurl.HTTPHEADER, hop.headers)
        set_option(pycurl.TIMEOUT_MS, timeout_ms)
        set_option(pycurl.CONNECTTIMEOUT_MS, connect_ms)
        if hop.url.scheme == "https":
            set_option(pycurl.CAINFO, hop.ca_file)
            set_option(pycurl.SSL_VERIFYPEER, 1 if hop.verify else 0)
            set_option(pycurl.SSL_VERIFYHOST, 2 if hop.verify else 0)
            set_option(pycurl.OPT_CERTINFO, 1 if hop.want_certificate else 0)
        if hop.proxy is None:
            # "::" = whatever the URL's host and port are: fails closed, and belongs to this handle alone.
            set_option(pycurl.CONNECT_TO, [f"::[{address}]:" if ":" in address else f"::{address}:"])
        if (
            hop.method != "GET"
            or hop.body is not None
            or hop.auth is not None
            or hop.client_cert is not None
            or hop.http2
            or hop.proxy is not None
        ):
            self._unusual = True
            self._set_unusual(hop, address)

    def _set_unusual(self, hop: Hop, address: str) -> None:
        set_option = self.curl.setopt
        if hop.method == "HEAD":
            set_option(pycurl.NOBODY, 1)
        elif hop.body is not None or hop.method == "POST":
            set_option(pycurl.POST, 1)
            set_option(pycurl.POSTFIELDS, hop.body or b"")
            set_option(pycurl.CUSTOMREQUEST, hop.method)
        elif hop.method != "GET":
            set_option(pycurl.CUSTOMREQUEST, hop.method)
        if hop.auth is not None and hop.auth[0] == "digest":
            set_option(pycurl.HTTPAUTH, pycurl.HTTPAUTH_DIGEST)
            set_option(pycurl.USERNAME, hop.auth[1].encode())
            set_option(pycurl.PASSWORD, hop.auth[2].encode())
        if hop.client_cert is not None:
            set_option(pycurl.SSLCERT_BLOB, hop.client_cert.encode())
            set_option(pycurl.SSLKEY_BLOB, (hop.client_key or hop.client_cert).encode())
        if hop.http2:
            set_option(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        if hop.proxy is not None:
            host = f"[{address}]" if ":" in address else address
            set_option(pycurl.PROXY, f"{hop.proxy.scheme}://{host}:{hop.proxy.port}")
            set_option(pycurl.NOPROXY, "")
            if hop.proxy.user is not None:
                set_option(pycurl.PROXYUSERNAME, hop.proxy.user.encode())
                set_option(pycurl.PROXYPASSWORD, hop.proxy.password.encode())

    # Called by libcurl.

    def _on_body(self, chunk: bytes) -> int | None:
        room = self._limit - self._size
        if len(chunk) > room:
            self._body.append(chunk[:room])
            self._size = self._limit
            self._full = True
            return 0  # fewer than offered: libcurl ends the transfer
        self._body.append(chunk)
        self._size += len(chunk)
        return None

    def _on_header(self, line: bytes) -> int | None:
        self._line_bytes += len(line)
        if self._line_bytes > MAX_HEADERS:
            self._headers_full = True
            return 0
        self._lines.append(line)
        return None

    def _on_open(self, _purpose: int, to: Any) -> Any:
        """The second lock: whatever libcurl thinks it should dial, the guard is asked about exactly that address."""
        try:
            address = to.addr[0]
            check_address(address if isinstance(address, str) else address.decode("ascii"), self._reach)
        except Blocked as blocked:
            self._blocked = blocked
            return pycurl.SOCKET_BAD
        return _Handed(to.family, to.socktype, to.protocol)

    # After the run.

    def outcome(self, code: int, text: str, dns_ms: float | None, spent_ms: float) -> Response:
        """The answer, or OutboundError. ``spent_ms`` is what earlier hops took, for ``total``."""
        phases = self._phases(dns_ms, spent_ms)
        if code and not (self._full and self._hop.stop_at_max):
            raise self._failure(code, text, phases)
        curl = self.curl
        http_version, headers = parse_headers(self._lines)
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        return Response(
            status=curl.getinfo(pycurl.RESPONSE_CODE),
            headers=headers,
            body=body,
            truncated=self._full,
            phases=phases,
            address=curl.getinfo(pycurl.PRIMARY_IP),
            http_version=http_version,
            url=self._hop.url.url,
            certificates=self.certificates(),
        )

    def certificates(self) -> list[bytes]:
        """The chain the server showed, PEM, its own certificate first; also after a failed verification."""
        if not self._hop.want_certificate or self._hop.url.scheme != "https":
            return []
        # Raw: a certificate's other fields hold whatever bytes its maker liked.
        chain = self.curl.getinfo_raw(pycurl.INFO_CERTINFO) or []
        return [value for fields in chain for name, value in fields if name == b"Cert"]

    def _phases(self, dns_ms: float | None, spent_ms: float) -> Phases:
        info = self.curl.getinfo
        total = info(pycurl.TOTAL_TIME_T)
        phases = Phases(dns=dns_ms, total=spent_ms + (dns_ms or 0.0) + total / 1000)
        connected = info(pycurl.CONNECT_TIME_T)
        if connected:
            phases.connect = (connected - info(pycurl.NAMELOOKUP_TIME_T)) / 1000
            secured = info(pycurl.APPCONNECT_TIME_T)
            if secured:
                phases.tls = (secured - connected) / 1000
            begun = info(pycurl.STARTTRANSFER_TIME_T)
            if begun and self._lines:
                phases.first_byte = (begun - info(pycurl.PRETRANSFER_TIME_T)) / 1000
        return phases

    def _failure(self, code: int, text: str, phases: Phases) -> OutboundError:
        kind: ErrorKind
        if self._blocked is not None:
            kind, message = "blocked", str(self._blocked)
        elif self._headers_full:
            kind, message = "too_large", f"The answer's headers are larger than {MAX_HEADERS // 1024} kB."
        elif self._full:
            kind, message = "too_large", f"The answer is larger than {self._limit} bytes."
        else:
            info = self.curl.getinfo
            hop = self._hop
            kind, message = explain(
                code,
                text,
                phases,
                secure=hop.url.scheme == "https",
                proxied=hop.proxy is not None,
                os_errno=info(pycurl.OS_ERRNO),
                verdict=info(pycurl.SSL_VERIFYRESULT),
            )
        # libcurl counts no bytes of an HTTP/2 request, so there a finished handshake counts as sent.
        sent = self.curl.getinfo(pycurl.REQUEST_SIZE) > 0 or (self._hop.http2 and phases.tls is not None)
        return OutboundError(kind, message, phases=phases, sent=sent, certificates=self.certificates())


def parse_headers(lines: list[bytes]) -> tuple[str, list[tuple[str, str]]]:
    """(HTTP version, headers) of the last answer in ``lines``: interim answers and a digest's first round come before."""
    version = ""
    headers: list[tuple[str, str]] = []
    for raw in lines:
        line = raw.decode("latin-1").rstrip("\r\n")
        if line.startswith("HTTP/"):
            version = line[5:].partition(" ")[0]
            headers = []
            continue
        if not line:
            continue
        name, colon, value = line.partition(":")
        if colon and line[0] not in " \t":
            headers.append((name.rstrip(), value.strip(" \t")))
        elif headers and line[0] in " \t":  # a folded line, from before RFC 7230
            headers[-1] = headers[-1][0], f"{headers[-1][1]} {line.strip()}"
    return version, headers

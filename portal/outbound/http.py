"""How is a question asked over HTTP(S) without being led where it must not go, or held longer than allowed?

Resolve first, ask the guard about every address, pin the connection to the checked one, follow redirects here, hop by
hop, with the same questions for each. libcurl does the talking. One engine per event loop; nothing is repeated after
the request may have been sent.
"""

import asyncio
import resource
import ssl
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

from portal.outbound.curlloop import CurlLoop
from portal.outbound.guard import Blocked, Reach, SplitURL, check_address, check_url
from portal.outbound.message import (
    HARMLESS,
    OutboundError,
    Phases,
    Request,
    Response,
    check_method,
    parse_proxy,
    wire_headers,
)
from portal.outbound.resolver import ResolveError, Resolver
from portal.outbound.transfer import Hop, Transfer

__all__ = ["HttpEngine", "OutboundError", "Phases", "Request", "Response"]

MAX_REDIRECTS: Final = 10
ADDRESSES_TRIED: Final = 4
UNCONNECTED: Final = frozenset(("connect_refused", "connect_timeout", "connect", "timeout"))
SPARE_HANDLES: Final = 512
CA_FILES_KEPT: Final = 16
# Where the parsed bundle of trusted authorities may be on this system, besides what OpenSSL and the environment say.
BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


class HttpEngine:
    """Fetches over HTTP(S) in one event loop. Make it inside the running loop, ``close()`` it there."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        resolver: Resolver | None = None,
        max_inflight: int = 5000,
    ) -> None:
        """``max_inflight`` bounds the open sockets (and the process's file limit bounds it); more fetches wait.

        It must exceed what an outage leaves hanging (rate × timeout), or the healthy wait behind the dead.
        """
        self._loop = loop or asyncio.get_running_loop()
        self._owns_resolver = resolver is None
        self._resolver = resolver or Resolver()
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._room = asyncio.Semaphore(max(16, min(max_inflight, files * 3 // 4)))
        self._loops: dict[str, CurlLoop] = {}
        self._spare: list[Transfer] = []
        self._closed = False

    async def fetch(self, request: Request, reach: Reach) -> Response:
        """Asks and returns the last answer, whatever its status.

        Raises OutboundError when there is none, ValueError when the request itself cannot be sent (URL, method,
        headers). The deadline starts when there is room for the request: our own queue is not the target's fault.
        """
        hop = self._first_hop(request)
        async with self._room:
            deadline = self._loop.time() + request.timeout
            spent = 0.0
            redirects = 0
            while True:
                try:
                    response = await self._hop(hop, request, reach, deadline, spent)
                except OutboundError as error:
                    error.sent = error.sent or redirects > 0
                    raise
                response.redirects = redirects
                if request.max_redirects <= 0 or not 300 < response.status < 309:
                    return response
                location = response.header("location")
                if location is None or response.status not in (301, 302, 303, 307, 308):
                    return response
                spent = response.phases.total
                if redirects >= min(request.max_redirects, MAX_REDIRECTS):
                    raise OutboundError(
                        "redirect", f"More than {redirects} redirects.", phases=response.phases, sent=True
                    )
                redirects += 1
                try:
                    url = check_url(urljoin(hop.url.url, readable_location(location)))
                except ValueError as error:
                    message = f"The redirect leads to an address that cannot be used. {error}"
                    raise OutboundError("redirect", message, phases=response.phases, sent=True) from None
                hop = next_hop(hop, url, response.status)

    def close(self) -> None:
        """Cancels what is under way or waits for room, and frees every socket."""
        self._closed = True
        for curl_loop in self._loops.values():
            curl_loop.close()
        self._loops.clear()
        for transfer in self._spare:
            transfer.curl.close()
        self._spare.clear()
        if self._owns_resolver:
            self._resolver.close()

    def _first_hop(self, request: Request) -> Hop:
        return Hop(
            url=check_url(request.url),
            method="GET" if request.method == "GET" else check_method(request.method),
            headers=wire_headers(request),
            body=request.body,
            auth=request.auth,
            client_cert=request.client_cert,
            client_key=request.client_key,
            ca_file=request.ca_file or default_bundle(),
            verify=request.verify,
            want_certificate=request.want_certificate,
            http2=request.http2,
            max_body=request.max_body,
            stop_at_max=request.stop_at_max,
            proxy=parse_proxy(request.proxy) if request.proxy else None,
        )

    async def _hop(self, hop: Hop, request: Request, reach: Reach, deadline: float, spent: float) -> Response:
        if not (hop.want_certificate and not hop.verify and hop.url.scheme == "https"):
            return await self._connect(hop, request, reach, deadline, spent)
        # The chain is wanted, and judged, but must not matter. A handshake that fails its check has sent nothing,
        # so asking again without the check is not a repetition; a good chain costs no second connection.
        try:
            return await self._connect(replace(hop, verify=True), request, reach, deadline, spent)
        except OutboundError as error:
            if error.kind != "tls" or error.sent or not error.certificates:
                raise
            response = await self._connect(hop, request, reach, deadline, spent)
            response.verify_error = error.message
            return response

    async def _connect(self, hop: Hop, request: Request, reach: Reach, deadline: float, spent: float) -> Response:
        """Resolves, asks the guard, and tries the addresses in turn until one takes the connection."""
        dns_ms, addresses = await self._addresses(hop, request.family, reach, deadline, spent)
        tried = addresses[:ADDRESSES_TRIED]
        for left in range(len(tried), 0, -1):
            remaining = deadline - self._loop.time()
            # A dead address must leave time for the next one, as in every browser.
            connecting = min(remaining, request.connect_timeout or remaining) / left
            try:
                return await self._attempt(
                    hop,
                    tried[-left],
                    reach,
                    max(1, int(remaining * 1000)),
                    max(1, int(connecting * 1000)),
                    dns_ms,
                    spent,
                )
            except OutboundError as error:
                # Only the making of the connection moves on to the next address: nothing has been sent yet.
                if left == 1 or error.sent or error.kind not in UNCONNECTED or self._loop.time() >= deadline:
                    raise
                spent = error.phases.total
                dns_ms = None if dns_ms is None else 0.0
        raise OutboundError("dns", "The host name has no address.")

    async def _attempt(
        self,
        hop: Hop,
        address: str,
        reach: Reach,
        timeout_ms: int,
        connect_ms: int,
        dns_ms: float | None,
        spent: float,
    ) -> Response:
        transfer = self._spare.pop() if self._spare else Transfer()
        try:
            transfer.prepare(hop, address, reach, timeout_ms, connect_ms)
            code, text = await self._loop_for(hop).run(transfer.curl)
            return transfer.outcome(code, text, dns_ms, spent)
        finally:
            if len(self._spare) < SPARE_HANDLES:
                self._spare.append(transfer)

    async def _addresses(
        self, hop: Hop, family: int, reach: Reach, deadline: float, spent: float
    ) -> tuple[float | None, list[str]]:
        """(ms of the look-up or None for a literal, checked addresses to dial)."""
        host = hop.url.host if hop.proxy is None else hop.proxy.host
        dns_ms: float | None = None
        addresses = self._resolver.known(host, family)
        try:
            if hop.proxy is not None and (target := self._resolver.known(hop.url.host)):
                for address in target:  # the proxy does the look-up, but a literal is ours to refuse
                    check_address(address, reach)
            if addresses is None:
                started = self._loop.time()
                addresses = await self._resolver.resolve(host, family, deadline - started)
                dns_ms = (self._loop.time() - started) * 1000
            elif addresses[0] != host:
                dns_ms = 0.0
            for address in addresses:
                check_address(address, reach)
        except Blocked as blocked:
            raise OutboundError("blocked", str(blocked), phases=Phases(dns=dns_ms, total=spent)) from None
        except ResolveError as error:
            dns_ms = (self._loop.time() - started) * 1000
            raise OutboundError("dns", error.message, phases=Phases(dns=dns_ms, total=spent + dns_ms)) from None
        return dns_ms, addresses

    def _loop_for(self, hop: Hop) -> CurlLoop:
        """The multi handle for this bundle: each keeps one parsed bundle in memory, and parsing takes 30 ms."""
        if self._closed:
            raise asyncio.CancelledError("the engine is closed")
        key = hop.ca_file if hop.url.scheme == "https" and hop.verify else ""
        found = self._loops.get(key)
        if found is None:
            if len(self._loops) >= CA_FILES_KEPT:
                with suppress(StopIteration):
                    self._loops.pop(next(k for k, v in self._loops.items() if not len(v))).close()
            found = self._loops[key] = CurlLoop(self._loop)
        return found


def next_hop(hop: Hop, url: SplitURL, status: int) -> Hop:
    """The request a redirect asks for. Another host, port or a fall back to http loses every header that may be secret."""
    after = replace(hop, url=url)
    if (status == 303 and hop.method != "HEAD") or (status in (301, 302) and hop.method == "POST"):
        after.method = "GET"
        after.body = None
        after.headers = [line for line in hop.headers if _name(line) != "content-type"]
    upgraded = url.host == hop.url.host and (hop.url.scheme, hop.url.port, url.scheme, url.port) == (
        "http",
        80,
        "https",
        443,
    )
    if url.origin != hop.url.origin and not upgraded:
        after.auth = after.client_cert = after.client_key = None
        after.headers = [line for line in after.headers if _name(line) in HARMLESS or _name(line) == "expect"]
    return after


def readable_location(location: str) -> str:
    """A Location header as text: servers put raw UTF-8 and spaces there, and browsers take it."""
    with suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")
    return location.strip().replace(" ", "%20")


def _name(line: str | bytes) -> str:
    text = line if isinstance(line, str) else line.decode("utf-8")
    return text.partition(":")[0].rstrip(";").lower()


@lru_cache(maxsize=1)
def default_bundle() -> str:
    """The file of authorities this machine trusts (``SSL_CERT_FILE`` counts)."""
    paths = ssl.get_default_verify_paths()
    for candidate in (paths.cafile, *BUNDLES):
        if candidate and Path(candidate).is_file():
            return candidate
    return ""

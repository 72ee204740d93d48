"""Does a gRPC server say that a service is serving, by the standard health protocol (grpc.health.v1)?

One call of Check over HTTP/2, by libcurl; its two messages have one field each and are written and read here.
"""

import asyncio
import re
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import pycurl
from pydantic import AfterValidator, Field

from portal.outbound.curlloop import CurlLoop
from portal.outbound.guard import Reach, check_url
from portal.outbound.http import UNCONNECTED, default_bundle
from portal.outbound.message import OutboundError, Phases, Response
from portal.outbound.transfer import Hop, Transfer

from . import certificate
from .base import CannotTell, Check, CheckFailed, Context, Host, Outcome, Port, Status, Stopwatch
from .connection import allowed_addresses, place
from .conversation import VerifiedConfig

METHOD = "/grpc.health.v1.Health/Check"
MOST_READ = 4096
MOST_TRIED = 4  # addresses of one name
SERVING = 1
STATES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
DEADLINE, NOT_FOUND, DENIED, UNIMPLEMENTED, UNAVAILABLE, UNAUTHENTICATED = 4, 5, 7, 12, 14, 16
SENTENCES = {
    DEADLINE: ("timeout", "The server did not come to an answer in time"),
    NOT_FOUND: ("content", "The server knows no such service"),
    DENIED: ("permission", "The server does not let us ask"),
    UNIMPLEMENTED: ("protocol", "The server has no health service (grpc.health.v1)"),
    UNAVAILABLE: ("content", "The service is unavailable"),
    UNAUTHENTICATED: ("permission", "The server wants to know who asks"),
}
_SERVICE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,199}")


def service_name(text: str) -> str:
    """A service's full name, such as shop.v1.Orders; raises ValueError."""
    if text and not _SERVICE.fullmatch(text):
        raise ValueError("A service is named by letters, digits, dots and underscores, such as shop.v1.Orders")
    return text


class GrpcConfig(VerifiedConfig):
    """Whom to ask about which service."""

    host: Host = Field(title="Host", description="Name or address of the server.", examples=["api.example.com"])
    port: Port = Field(443, title="Port", examples=[443, 50051])
    tls: Literal["tls", "none"] = Field("tls", title="TLS")
    service: Annotated[str, AfterValidator(service_name)] = Field(
        "", title="Service", description="Full name. Empty: the server as a whole.", examples=["shop.v1.Orders"]
    )


class GrpcCheck(Check):
    """One call of grpc.health.v1.Health/Check."""

    kind: ClassVar[str] = "grpc"
    label: ClassVar[str] = "gRPC health"
    Config = GrpcConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)

    @classmethod
    def target(cls, config: GrpcConfig) -> str:
        """host:port and service"""
        return f"{place(config.host, config.port)} {config.service}".rstrip()

    @classmethod
    async def probe(cls, config: GrpcConfig, ctx: Context, outcome: Outcome) -> None:
        """Ask; facts["grpc"] is the state the server names."""
        try:
            response = await _call(config, ctx, outcome)
        except OutboundError as error:
            _note(outcome, error.phases)
            flaw = str(error) if error.kind == "tls" else None
            outcome.facts.update(certificate.facts_of_chain(error.certificates, config.host, flaw, ctx.now()))
            if error.kind == "blocked":
                raise CannotTell("blocked", str(error)) from None
            raise CheckFailed(error.kind, str(error)) from None
        _note(outcome, response.phases)
        # libcurl counts the settings that the server sends first; what is wanted here is the answer.
        before = (response.phases.connect or 0.0) + (response.phases.tls or 0.0)
        outcome.first_byte_ms = round(response.phases.total - before, 3)
        outcome.facts.update(
            certificate.facts_of_chain(response.certificates, config.host, response.verify_error, ctx.now())
        )
        outcome.facts["address"], outcome.http_status = response.address, response.status
        state = judge(response)
        outcome.facts["grpc"] = STATES.get(state, "UNKNOWN")
        if state != SERVING:
            raise CheckFailed("content", f"The service is {STATES.get(state, 'in an unknown state')}")
        outcome.settle(Status.UP, "The service is SERVING")


def _note(outcome: Outcome, phases: Phases) -> None:
    outcome.connect_ms, outcome.tls_ms, outcome.first_byte_ms = phases.connect, phases.tls, phases.first_byte


class _Plain(Transfer):
    """HTTP/2 without TLS, spoken from the first byte as gRPC does (no upgrade from HTTP/1.1)."""

    __slots__ = ()

    def _set_unusual(self, hop: Hop, address: str) -> None:
        super()._set_unusual(hop, address)
        self.curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE)


async def _call(config: GrpcConfig, ctx: Context, outcome: Outcome) -> Response:
    """The answer from the first address that takes the connection; raises OutboundError."""
    loop, watch = asyncio.get_running_loop(), Stopwatch.start()
    deadline = loop.time() + ctx.timeout - 0.02
    addresses = (await allowed_addresses(config.host, ctx))[:MOST_TRIED]
    outcome.dns_ms = watch.lap()
    hop = _hop(config, ctx.timeout)
    curls = CurlLoop(loop)
    try:
        for left in range(len(addresses), 0, -1):
            try:
                return await _verified(curls, config, hop, addresses[-left], ctx.reach, deadline, left)
            except OutboundError as error:
                if left == 1 or error.sent or error.kind not in UNCONNECTED or loop.time() >= deadline:
                    raise
    finally:
        curls.close()
    raise CheckFailed("dns", "The host name has no address")


def _hop(config: GrpcConfig, seconds: float) -> Hop:
    scheme = "https" if config.tls == "tls" else "http"
    name = f"[{config.host}]" if ":" in config.host else config.host
    return Hop(
        url=check_url(f"{scheme}://{name}:{config.port}{METHOD}"),
        method="POST",
        headers=[
            "Content-Type: application/grpc+proto",
            "TE: trailers",
            f"grpc-timeout: {max(1, int(seconds * 1000))}m",
            "User-Agent: Watchkeeper",
            "Accept:",
            "Expect:",
        ],
        body=message(health_request(config.service)),
        auth=None,
        client_cert=None,
        client_key=None,
        ca_file=default_bundle(),
        verify=True,
        want_certificate=True,
        http2=True,
        max_body=MOST_READ,
        stop_at_max=False,
        proxy=None,
    )


async def _verified(
    curls: CurlLoop, config: GrpcConfig, hop: Hop, address: str, reach: Reach, deadline: float, left: int
) -> Response:
    """As the HTTP engine does: a chain that need not verify is looked at all the same, and noted."""
    try:
        return await _once(curls, hop, address, reach, deadline, left)
    except OutboundError as error:
        if config.verify_tls or error.kind != "tls" or error.sent or not error.certificates:
            raise
        response = await _once(curls, replace(hop, verify=False), address, reach, deadline, left)
        response.verify_error = error.message
        return response


async def _once(curls: CurlLoop, hop: Hop, address: str, reach: Reach, deadline: float, left: int) -> Response:
    transfer = Transfer() if hop.url.scheme == "https" else _Plain()
    remaining = max(1, int((deadline - asyncio.get_running_loop().time()) * 1000))
    try:
        transfer.prepare(hop, address, reach, remaining, max(1, remaining // left))
        code, words = await curls.run(transfer.curl)
        return transfer.outcome(code, words, None, 0.0)
    finally:
        transfer.curl.close()


def health_request(service: str) -> bytes:
    """HealthCheckRequest: field 1, the service's name. A default (empty) field is not written."""
    name = service.encode()
    return b"\x0a" + varint(len(name)) + name if name else b""


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def message(body: bytes) -> bytes:
    """Length-prefixed, not compressed."""
    return b"\0" + len(body).to_bytes(4) + body


def judge(response: Response) -> int:
    """The state the server names; raises CheckFailed when the call itself went wrong. Pure."""
    if response.http_version.partition(".")[0] != "2":
        raise CheckFailed("protocol", "The server does not speak HTTP/2")
    if response.status != 200:
        raise CheckFailed("http_status", f"Answered {response.status}, wanted 200")
    kind = (response.header("content-type") or "").lower()
    if not re.match(r"application/grpc(?:$|[+;])", kind):
        raise CheckFailed("protocol", "The answer is not gRPC")
    code = response.header("grpc-status") or ""
    if not (code.isascii() and code.isdigit() and len(code) < 4):
        raise CheckFailed("protocol", "The answer has no gRPC status")
    if int(code):
        raise CheckFailed(*SENTENCES.get(int(code), ("content", f"The server answered gRPC status {int(code)}")))
    return state_in(response.body)


def state_in(body: bytes) -> int:
    """Field 1 of the one HealthCheckResponse; raises CheckFailed when it cannot be read."""
    size = int.from_bytes(body[1:5])
    if len(body) < 5 or body[0] != 0 or size != len(body) - 5:
        raise CheckFailed("protocol", "The answer cannot be read")
    data, state = body[5:], 0
    while data:
        tag, data = _varint(data)
        if tag & 7 == 0:
            value, data = _varint(data)
            state = value if tag >> 3 == 1 else state
        elif tag & 7 == 2:
            length, data = _varint(data)
            if length > len(data):
                raise CheckFailed("protocol", "The answer cannot be read")
            data = data[length:]
        else:
            raise CheckFailed("protocol", "The answer cannot be read")
    return state


def _varint(data: bytes) -> tuple[int, bytes]:
    value = 0
    for place_, byte in enumerate(data[:10]):
        value |= (byte & 0x7F) << 7 * place_
        if not byte & 0x80:
            return value, data[place_ + 1 :]
    raise CheckFailed("protocol", "The answer cannot be read")

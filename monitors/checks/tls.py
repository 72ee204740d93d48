"""Which certificate does a host show, does its chain verify, and does it fit the name?

Facts only: an expired certificate on a reachable host is UP here; the certificate rules (MON-6) raise it.
"""

from typing import ClassVar

from pydantic import Field

from . import certificate
from .base import Check, CheckConfig, CheckFailed, Context, Host, Outcome, Port, Status
from .connection import Stream, dial, place, secure


class TlsConfig(CheckConfig):
    """Where to shake hands."""

    host: Host = Field(title="Host", description="Name or address of the server.", examples=["shop.example.com"])
    port: Port = Field(443, title="Port", examples=[443, 993])
    server_name: Host | None = Field(
        None,
        title="Server name",
        description="The name to ask for and to check, when it is not the host.",
        examples=["shop.example.com"],
    )


class TlsCheck(Check):
    """Certificate facts of one TLS port."""

    kind: ClassVar[str] = "tls"
    label: ClassVar[str] = "TLS certificate"
    Config = TlsConfig
    source: ClassVar[str] = "certificate"
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)
    default_interval: ClassVar[int] = 3600

    @classmethod
    def target(cls, config: TlsConfig) -> str:
        """host:port"""
        return place(config.host, config.port)

    @classmethod
    async def probe(cls, config: TlsConfig, ctx: Context, outcome: Outcome) -> None:
        """Shake hands and note facts["certificate"]."""
        name = config.server_name or config.host

        async def ready() -> Stream:
            return await dial(config.host, config.port, ctx, outcome)

        stream, flaw = await secure(ready, name, outcome)
        try:
            facts = certificate.facts_of(stream.certificate(), name, flaw, ctx.now())
            protocol = stream.writer.get_extra_info("ssl_object").version()
        finally:
            stream.close()
        if not facts:
            raise CheckFailed("tls", "The server showed no certificate that can be read")
        outcome.facts.update(facts, protocol=protocol, address=stream.address)
        outcome.settle(Status.UP, f"Certificate valid until {facts['certificate']['not_after'][:10]}")

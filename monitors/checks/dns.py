"""Does a resolver give the expected answer for a name, and is it DNSSEC-validated?"""

import ipaddress
import re
from typing import Annotated, Any, ClassVar, Literal

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver
from pydantic import AfterValidator, Field, field_validator, model_validator

from portal.outbound.guard import parse_host

from .base import AnswerConfig, CannotTell, Check, CheckFailed, Context, Outcome, Status, Stopwatch
from .connection import allowed_addresses

RecordType = Literal["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"]
NAMES_INSIDE = {"CNAME", "MX", "NS", "PTR", "SRV", "SOA"}
MOST_TRIES = 3
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def record_name(text: str) -> str:
    """A name to ask for: as a host name, but underscores are fine (_dmarc.example.com). Raises ValueError."""
    name = text.strip().rstrip(".")
    if "_" not in name:
        return parse_host(name)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError("This is not a DNS name")
    return name.lower()


def split_resolver(text: str) -> tuple[str, int]:
    """(host, port) from "9.9.9.9", "dns.example:5353" or "[::1]:5353"; raises ValueError."""
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::([0-9]{1,5}))?", text, re.ASCII)
    plain = re.fullmatch(r"([^:]+)(?::([0-9]{1,5}))?", text, re.ASCII)
    match = bracketed or plain
    host, port = (match[1], int(match[2] or 53)) if match else (text, 53)
    if not 1 <= port <= 65535:
        raise ValueError("A port lies between 1 and 65535")
    return parse_host(host), port


def _resolver_text(text: str) -> str:
    split_resolver(text.strip())
    return text.strip()


def normal(value: str, record_type: str) -> str:
    """One record value in the form in which two are compared; raises ValueError with an example."""
    value = value.strip()
    if record_type in ("A", "AAAA"):
        address = ipaddress.ip_address(value)
        if address.version != (4 if record_type == "A" else 6):
            raise ValueError(f"'{value[:40]}' is not an address for an {record_type} record")
        return str(address)
    if record_type == "TXT":
        return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    try:
        data = dns.rdata.from_text(dns.rdataclass.IN, record_type, value, origin=dns.name.root, relativize=False)
    except (dns.exception.DNSException, UnicodeError):
        raise ValueError(
            f"'{value[:40]}' is not a value of a {record_type} record (MX: '10 mail.example.com')"
        ) from None
    return shown(data, record_type)


def shown(data: dns.rdata.Rdata, record_type: str) -> str:
    """A record from an answer in the same form as `normal`."""
    if record_type == "TXT":
        return b"".join(getattr(data, "strings", ())).decode("utf-8", "replace")
    text = data.to_text()
    return " ".join(word.rstrip(".") or "." for word in text.lower().split()) if record_type in NAMES_INSIDE else text


class DnsConfig(AnswerConfig):
    """What to ask, whom, and what to hear."""

    name: Annotated[str, AfterValidator(record_name)] = Field(
        title="Name", description="The name to ask for.", examples=["example.com", "_dmarc.example.com"]
    )
    record_type: RecordType = Field("A", title="Record type", examples=["A", "MX"])
    expected: tuple[str, ...] = Field(
        (),
        title="Expected values",
        description="All values and no others; the order does not matter. Empty: any answer will do.",
        max_length=50,
        examples=[["192.0.2.10", "192.0.2.11"]],
    )
    resolver: Annotated[str, AfterValidator(_resolver_text)] | None = Field(
        None,
        title="Resolver",
        description="Server to ask, with a port if not 53. Empty: this probe's own.",
        examples=["9.9.9.9"],
    )
    dnssec: bool = Field(
        False, title="DNSSEC", description="The resolver must say that the answer is validated (AD flag)."
    )

    @field_validator("expected", mode="before")
    @classmethod
    def _listed(cls, value: Any, info: Any) -> Any:
        """A form sends one text: values on lines, or between commas where a value cannot hold one."""
        if not isinstance(value, str):
            return () if value is None else value
        comma = "" if info.data.get("record_type") == "TXT" else ","
        return tuple(part.strip() for part in re.split(rf"[\n{comma}]", value) if part.strip())

    @field_validator("resolver", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @model_validator(mode="after")
    def _expected_fits_type(self) -> "DnsConfig":
        for value in self.expected:
            normal(value, self.record_type)
        return self


class DnsCheck(Check):
    """One question, one answer, compared as sets."""

    kind: ClassVar[str] = "dns"
    label: ClassVar[str] = "DNS record"
    Config = DnsConfig
    main_field: ClassVar[str] = "name"
    leads_to: ClassVar[tuple[str, ...]] = ("resolver",)
    default_interval: ClassVar[int] = 300

    @classmethod
    def target(cls, config: DnsConfig) -> str:
        """name type"""
        return f"{config.name} {config.record_type}"

    @classmethod
    async def probe(cls, config: DnsConfig, ctx: Context, outcome: Outcome) -> None:
        """Ask and compare; facts["dns"] holds answers, AD flag, response code and the server asked."""
        servers, port = await servers_for(config, ctx)
        query = dns.message.make_query(config.name, config.record_type, use_edns=True, want_dnssec=config.dnssec)
        query.flags |= dns.flags.AD  # asks a validating resolver to say so (RFC 6840, 5.7)
        watch = Stopwatch.start()
        reply, server = await ask(query, servers, port, ctx.timeout * 0.95)
        outcome.dns_ms = watch.lap()
        validated = bool(reply.flags & dns.flags.AD)
        answers = read_answers(reply, config.record_type)
        code = dns.rcode.to_text(reply.rcode())
        outcome.facts["dns"] = {"answers": answers, "ad": validated, "rcode": code, "server": server}
        if flaw := judge(config, code, answers, validated):
            raise CheckFailed(*flaw)
        outcome.settle(Status.UP, f"{len(answers)} {config.record_type} record(s)")


def judge(config: DnsConfig, code: str, answers: list[str], validated: bool) -> tuple[str, str] | None:
    """(error class, sentence) for what is wrong with the answer, or None."""
    if code == "NXDOMAIN":
        return "dns", "The name does not exist (NXDOMAIN)"
    if code != "NOERROR":
        return "dns", f"The resolver answered {code}"
    if not answers:
        return "dns", f"The name has no {config.record_type} record"
    wanted = {normal(value, config.record_type) for value in config.expected}
    if wanted and wanted != set(answers):
        missing, extra = sorted(wanted - set(answers)), sorted(set(answers) - wanted)
        parts = [
            f"{label} {', '.join(values)}" for label, values in (("missing", missing), ("unexpected", extra)) if values
        ]
        return "content", "The records differ: " + "; ".join(parts)
    if config.dnssec and not validated:
        return "dns", "The answer is not DNSSEC-validated (no AD flag)"
    return None


async def servers_for(config: DnsConfig, ctx: Context) -> tuple[list[str], int]:
    """(addresses, port) to ask. A configured resolver passes the guard; this machine's own ones were named by its operator."""
    if config.resolver:
        host, port = split_resolver(config.resolver)
        return (await allowed_addresses(host, ctx))[:MOST_TRIES], port
    try:
        system = dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        raise CannotTell("dns", "This probe has no DNS resolver of its own; name one in the monitor") from None
    return [str(server) for server in system.nameservers][:MOST_TRIES], system.port


async def ask(
    query: dns.message.Message, servers: list[str], port: int, seconds: float
) -> tuple[dns.message.Message, str]:
    """(reply, server that gave it); each server gets its share of the seconds, TCP is used when UDP was cut short."""
    trouble: Exception = CannotTell("dns", "No resolver to ask")
    for server in servers:
        try:
            reply, _ = await dns.asyncquery.udp_with_fallback(
                query, server, timeout=seconds / len(servers), port=port, ignore_unexpected=True
            )
            return reply, server
        except dns.exception.Timeout:
            trouble = CheckFailed("timeout", f"The resolver {server} did not answer in time")
        except ConnectionRefusedError:
            trouble = CheckFailed("connect_refused", f"The resolver {server} refused the question")
        except (dns.exception.DNSException, EOFError):
            trouble = CheckFailed("protocol", f"The answer of the resolver {server} cannot be read")
    raise trouble


def read_answers(reply: dns.message.Message, record_type: str) -> list[str]:
    """Sorted values of the wanted type, aliases followed; [] when there is none."""
    wanted = dns.rdatatype.from_text(record_type)
    sets = [found for found in reply.answer if found.rdtype == wanted]
    return sorted({shown(data, record_type) for found in sets for data in found})[:100]

"""When does a domain's registration end?

RDAP at the registry that IANA names (RFC 9224), else WHOIS on port 43. A registry that is silent, busy or secretive says
nothing about the domain, so that is unknown, never down.
"""

import asyncio
import re
import time
from datetime import UTC, date, datetime
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import AfterValidator, Field, field_validator

from portal.outbound.guard import Blocked, parse_host
from portal.outbound.message import OutboundError, Request
from portal.outbound.resolver import ResolveError

from .assertion import read_json
from .base import CannotTell, Check, CheckConfig, CheckFailed, Context, Host, Outcome, Status, Url, verdict_on
from .connection import connection

BOOTSTRAP_URL = "https://data.iana.org/rdap/dns.json"
BOOTSTRAP_SECONDS = 86400
IANA_WHOIS = "whois.iana.org"
MOST_WHOIS = 65536
# Blanks are counted and never line ends: hostile answers must not make these slow.
_EXPIRY = re.compile(
    r"^[ \t]{0,40}(?:registry expiry date|registrar registration expiration date|expir[a-z]{0,10}(?: date| on)?|paid-till"
    r"|renewal date|valid until|validity|expiration time)[ \t]{0,40}:[ \t]{0,40}(\S[^\r\n]{0,60})",
    re.IGNORECASE | re.MULTILINE,
)
_REGISTRAR = re.compile(
    r"^[ \t]{0,40}registrar(?: name)?[ \t]{0,40}:[ \t]{0,40}(\S[^\r\n]{0,100})", re.IGNORECASE | re.MULTILINE
)
_REFERRAL = re.compile(r"^(?:whois|refer):[ \t]{0,40}(\S{1,253})", re.IGNORECASE | re.MULTILINE)
_UNKNOWN = re.compile(
    r"^[^\w\r\n]{0,10}(?:no match|not found|no data found|no entries found|domain not found|status:[ \t]{0,20}free)",
    re.IGNORECASE | re.MULTILINE,
)
_FORMATS = ("%Y-%m-%d", "%d-%b-%Y", "%Y.%m.%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%B %d %Y")
_bootstrap: dict[str, tuple[float, dict[str, str]]] = {}


def _domain_name(text: str) -> str:
    name = parse_host(text.strip().rstrip("."))
    if "." not in name or ":" in name or name.replace(".", "").isdigit():
        raise ValueError("This is not a domain name; write one such as example.com")
    return name


def _whois_place(text: str) -> str:
    host, _, port = text.strip().partition(":")
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError("A port lies between 1 and 65535")
    return f"{parse_host(host)}:{port or 43}"


class DomainConfig(CheckConfig):
    """Which registration, and where to ask when not at the registry IANA names."""

    name: Annotated[Host, AfterValidator(_domain_name)] = Field(
        title="Domain", description="The registered name, without www.", examples=["example.com"]
    )
    rdap_url: Url | None = Field(
        None, title="RDAP server", description="Base URL to ask instead.", examples=["https://rdap.example.net/"]
    )
    whois_server: Annotated[str, AfterValidator(_whois_place)] | None = Field(
        None,
        title="WHOIS server",
        description="Host, with a port if not 43, to ask instead.",
        examples=["whois.nic.at"],
    )
    expires_on: date | None = Field(
        None,
        title="Expires on",
        description="Your own note, used when the registry does not tell.",
        examples=["2027-03-31"],
    )

    @field_validator("rdap_url", "whois_server", "expires_on", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None


class DomainCheck(Check):
    """Registration expiry."""

    kind: ClassVar[str] = "domain"
    label: ClassVar[str] = "Domain registration"
    Config = DomainConfig
    source: ClassVar[str] = "domain"
    main_field: ClassVar[str] = "name"
    leads_to: ClassVar[tuple[str, ...]] = ("rdap_url", "whois_server")
    default_interval: ClassVar[int] = 86400

    @classmethod
    def target(cls, config: DomainConfig) -> str:
        """The domain"""
        return config.name

    @classmethod
    async def probe(cls, config: DomainConfig, ctx: Context, outcome: Outcome) -> None:
        """facts["domain"]: name, expires_at (ISO 8601), days_left, registrar, source (rdap, whois, manual)."""
        found = await _ask(config, ctx, outcome)
        left = found["expires_at"] - ctx.now()
        outcome.facts["domain"] = found | {"expires_at": found["expires_at"].isoformat(), "days_left": left.days}
        day = f"{found['expires_at']:%Y-%m-%d}"
        if left.total_seconds() <= 0:
            raise CheckFailed("expired", f"The registration of {found['name']} ended on {day}")
        outcome.settle(Status.UP, f"Registered until {day} ({left.days} days)")


async def _ask(config: DomainConfig, ctx: Context, outcome: Outcome) -> dict[str, Any]:
    """RDAP, then WHOIS, then the date noted by hand; raises CheckFailed("expired") or CannotTell."""
    trouble: CannotTell | None = None
    for way in (_by_rdap, _by_whois):
        try:
            async with asyncio.timeout(ctx.timeout * 0.45):
                found = await way(config, ctx, outcome)
        except (CannotTell, CheckFailed, OutboundError, Blocked, ResolveError, OSError, EOFError) as error:
            if isinstance(error, CheckFailed) and error.error_class == "expired":
                raise
            trouble = trouble or unreachable_registry(error)
        else:
            if found:
                return found
    if config.expires_on:
        noted = datetime(config.expires_on.year, config.expires_on.month, config.expires_on.day, tzinfo=UTC)
        return {"name": config.name, "expires_at": noted, "registrar": "", "source": "manual"}
    raise trouble or CannotTell(
        "content", "The registry does not publish an expiry date; note one by hand (expires_on)"
    )


def unreachable_registry(error: Exception) -> CannotTell:
    """Why the registry could not be asked: our knowledge ends there, the domain may be quite well."""
    if isinstance(error, CannotTell):
        return error
    if isinstance(error, OutboundError):
        words, error_class = str(error), str(error.kind)
    else:
        _, words, error_class = verdict_on(error, 0)
    if isinstance(error, TimeoutError):
        words = "it did not answer in time"
    return CannotTell(error_class, f"The registry could not be asked: {words}")


def parents(name: str) -> list[str]:
    """The name and its parents down to two labels: the registered one among them is not known without asking."""
    labels = name.split(".")
    return [".".join(labels[start:]) for start in range(max(1, len(labels) - 1))]


async def _by_rdap(config: DomainConfig, ctx: Context, outcome: Outcome) -> dict[str, Any] | None:
    if config.whois_server and not config.rdap_url:
        return None  # somebody chose where to ask
    base = config.rdap_url or rdap_base(await bootstrap(ctx), config.name)
    if not base:
        return None
    for name in parents(config.name):
        url = f"{base.rstrip('/')}/domain/{quote(name)}"
        request = Request(
            url=url, headers={"Accept": "application/rdap+json"}, timeout=ctx.timeout / 2, max_redirects=3
        )
        response = await ctx.http.fetch(request, ctx.reach)
        outcome.http_status = response.status
        if response.status == 404:
            continue
        if response.status != 200:
            raise CannotTell("http_status", f"The registry answered {response.status}")
        try:
            document = read_json(response.body)
        except ValueError:
            raise CannotTell("protocol", "The registry's answer cannot be read") from None
        expires_at = rdap_expiry(document)
        found = {"name": name, "expires_at": expires_at, "registrar": rdap_registrar(document), "source": "rdap"}
        return found if expires_at else None
    raise CheckFailed("expired", f"The registry knows no registration of {config.name}")


async def bootstrap(ctx: Context) -> dict[str, str]:
    """RDAP base URL by top-level domain, from IANA, kept for a day."""
    kept = _bootstrap.get(BOOTSTRAP_URL)
    if kept and kept[0] > time.monotonic():
        return kept[1]
    response = await ctx.http.fetch(Request(url=BOOTSTRAP_URL, timeout=ctx.timeout / 2, max_redirects=3), ctx.reach)
    if response.status != 200:
        raise CannotTell("http_status", f"IANA's list of registries answered {response.status}")
    try:
        bases = read_bootstrap(read_json(response.body))
    except ValueError:
        raise CannotTell("protocol", "IANA's list of registries cannot be read") from None
    _bootstrap[BOOTSTRAP_URL] = (time.monotonic() + BOOTSTRAP_SECONDS, bases)
    return bases


def read_bootstrap(document: Any) -> dict[str, str]:
    """{"com": "https://rdap…"}; https is preferred. Raises ValueError for anything but RFC 9224."""
    bases: dict[str, str] = {}
    try:
        for zones, urls in document["services"]:
            best = sorted(urls, key=lambda url: not url.startswith("https:"))
            bases.update({str(entry).lower(): best[0] for entry in zones if best})
    except (KeyError, TypeError, AttributeError):
        raise ValueError("not an RDAP bootstrap file") from None
    return bases


def rdap_base(bases: dict[str, str], name: str) -> str | None:
    """The longest listed suffix of the name wins (RFC 9224, 4)."""
    labels = name.split(".")
    return next((bases[key] for at in range(1, len(labels)) if (key := ".".join(labels[at:])) in bases), None)


def rdap_expiry(document: Any) -> datetime | None:
    """The date of the `expiration` event (UTC), or None."""
    events = document.get("events") if isinstance(document, dict) else None
    for event in events if isinstance(events, list) else []:
        if isinstance(event, dict) and event.get("eventAction") == "expiration":
            return parse_when(str(event.get("eventDate", "")))
    return None


def rdap_registrar(document: Any) -> str:
    """The registrar's name from its jCard, or ""."""
    entities = document.get("entities") if isinstance(document, dict) else None
    for entity in entities if isinstance(entities, list) else []:
        try:
            if "registrar" in entity["roles"]:
                return next(str(item[3])[:100] for item in entity["vcardArray"][1] if item[0] == "fn")
        except (KeyError, TypeError, IndexError, StopIteration):
            continue
    return ""


async def _by_whois(config: DomainConfig, ctx: Context, outcome: Outcome) -> dict[str, Any] | None:
    if config.rdap_url and not config.whois_server:
        return None
    if config.whois_server:
        host, _, port = config.whois_server.partition(":")
    else:
        referral = _REFERRAL.search(await whois(IANA_WHOIS, 43, config.name.rpartition(".")[2], ctx, outcome))
        if not referral:
            return None
        try:
            host, port = parse_host(referral[1]), "43"
        except ValueError:
            return None
    for name in parents(config.name):
        text = await whois(host, int(port), name, ctx, outcome)
        expires_at = whois_expiry(text)
        if expires_at:
            registrar = _REGISTRAR.search(text)
            return {
                "name": name,
                "expires_at": expires_at,
                "registrar": registrar[1].strip() if registrar else "",
                "source": "whois",
            }
        if not _UNKNOWN.search(text):
            return None
    raise CheckFailed("expired", f"The registry knows no registration of {config.name}")


async def whois(host: str, port: int, name: str, ctx: Context, outcome: Outcome) -> str:
    """One port-43 answer, at most MOST_WHOIS bytes. `name` has passed the host grammar: it holds no line end."""
    async with connection(host, port, ctx, outcome) as stream:
        await stream.send(name.encode("ascii") + b"\r\n")
        heard = b""
        while len(heard) < MOST_WHOIS and (chunk := await stream.reader.read(4096)):
            heard += chunk
    return heard.decode("utf-8", "replace")


def whois_expiry(text: str) -> datetime | None:
    """The first expiry date (UTC) that can be read from a WHOIS answer, or None."""
    return next((when for match in _EXPIRY.finditer(text) if (when := parse_when(match[1].strip()))), None)


def parse_when(text: str) -> datetime | None:
    """A date as registries write it, as UTC; None when it is none."""
    try:
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    for form in _FORMATS:
        words = text.split()[: 3 if " " in form else 1]
        try:
            return datetime.strptime(" ".join(words), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None

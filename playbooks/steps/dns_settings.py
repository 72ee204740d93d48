"""Which record is swapped, for what, and by which provider? The settings of a DNS swap."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import dns.exception
import dns.name
from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from monitors.checks.dns import normal, record_name
from playbooks.steps.base import Secret, StepConfig
from playbooks.steps.dns_http import api_address
from playbooks.steps.dns_rfc2136 import split_place

MOST_VALUES: Final = 8
LABELS: Final = {"rfc2136": "RFC 2136", "cloudflare": "Cloudflare", "route53": "Route 53"}
# What each provider needs, and what it may have besides; the settings of another have to be empty.
NEEDED: Final = {
    "rfc2136": ("server", "key_name", "key_secret"),
    "cloudflare": ("zone_id", "token"),
    "route53": ("zone_id", "access_key_id", "secret_access_key"),
}
POSSIBLE: Final = {"rfc2136": (), "cloudflare": ("endpoint",), "route53": ("endpoint", "region")}


def _optional(check: Any) -> Any:
    """The same check, where empty is allowed."""
    return lambda text: check(text) if text else ""


def _place(text: str) -> str:
    host, port = split_place(text)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _key_name(text: str) -> str:
    try:
        name = dns.name.from_text(text.strip())
    except (dns.exception.DNSException, UnicodeError):
        raise ValueError("The key's name is a name as in DNS, such as watchkeeper-update.") from None
    return name.to_text(omit_final_dot=True).lower()


def _key_secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    if not text:
        return SecretStr("")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) < 16:
        raise ValueError("The key's secret is base64 of at least 16 bytes, as tsig-keygen or keymgr prints it.")
    return SecretStr(text)


def _one_word(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("It has letters, digits and signs without spaces.")
    return SecretStr(text)


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,64}", text, re.ASCII):
        raise ValueError("It has letters and digits only.")
    return text


Identifier = Annotated[str, AfterValidator(_identifier)]
Token = Annotated[Secret, AfterValidator(_one_word)]


class DnsSwapConfig(StepConfig):
    """One record set, the only values that may ever be written to it, and whoever keeps its zone."""

    provider: Literal["rfc2136", "cloudflare", "route53"] = Field(
        "rfc2136", title="Provider", description="rfc2136: a name server of one's own that takes signed dynamic updates (BIND, Knot, PowerDNS, Windows)."
    )  # fmt: skip
    zone: Annotated[str, AfterValidator(record_name)] = Field(title="Zone", examples=["example.com"])
    name: Annotated[str, AfterValidator(record_name)] = Field(
        title="Name", description="The whole name, zone included.", examples=["www.example.com"]
    )
    record_type: Literal["A", "AAAA", "CNAME"] = Field("A", title="Record type")
    values: tuple[str, ...] = Field(
        title="New values",
        description=f"The only values that it may ever write, all of them together; at most {MOST_VALUES}.",
        min_length=1,
        max_length=MOST_VALUES,
        examples=[["192.0.2.20"]],
    )
    expected: tuple[str, ...] = Field(
        (),
        title="Expected values",
        description="What has to be there before; anything else is left alone. Empty: whatever is there is replaced.",
        max_length=MOST_VALUES,
        examples=[["192.0.2.10"]],
    )
    ttl: int = Field(
        60, ge=30, le=86400, title="TTL (seconds)", description="How long others may remember the new values."
    )
    server: Annotated[str, AfterValidator(_optional(_place))] = Field(
        "", title="Name server", description="rfc2136: the zone's primary server, host:port.", examples=["ns1.example.com:53"]
    )  # fmt: skip
    key_name: Annotated[str, AfterValidator(_optional(_key_name))] = Field(
        "", title="TSIG key name", description="rfc2136: as the server knows it.", examples=["watchkeeper-update"]
    )
    key_algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = Field("hmac-sha256", title="TSIG algorithm")
    key_secret: Annotated[Secret, AfterValidator(_key_secret)] = Field(
        SecretStr(""), title="TSIG secret", description="rfc2136: base64.", examples=["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="]
    )  # fmt: skip
    zone_id: Identifier = Field(
        "", title="Zone ID", description="cloudflare, route53: the zone's or hosted zone's number there."
    )
    token: Token = Field(
        SecretStr(""), title="API token", description="cloudflare: a token that may edit DNS of this zone and nothing else."
    )  # fmt: skip
    access_key_id: Identifier = Field(
        "", title="Access key ID", description="route53: of a user who may list and change this zone's records."
    )
    secret_access_key: Token = Field(SecretStr(""), title="Secret access key", description="route53.")
    region: Identifier = Field("", title="Region", description="route53, outside of the global service.")
    endpoint: Annotated[str, AfterValidator(_optional(api_address))] = Field(
        "", title="API address", description="cloudflare, route53: another than the usual one, as a gateway of yours or https://route53.amazonaws.com.cn."
    )  # fmt: skip

    sends_to: ClassVar[dict[str, str]] = {"token": "endpoint", "secret_access_key": "endpoint", "key_secret": "server"}

    @field_validator("values", "expected", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """A form sends one text: values on lines or between commas."""
        if isinstance(value, str):
            return tuple(part for part in re.split(r"[\s,]+", value) if part)
        return () if value is None else value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for field in ("values", "expected"):
            try:
                found = sorted({normal(value, self.record_type) for value in getattr(self, field)})
            except ValueError:
                kinds = {"A": "IPv4 addresses", "AAAA": "IPv6 addresses", "CNAME": "one name"}
                raise ValueError(f"{field}: {self.record_type} records hold {kinds[self.record_type]}.") from None
            object.__setattr__(self, field, tuple(found))  # normal form; frozen is for everybody after us
        if not f".{self.name}".endswith(f".{self.zone}"):
            raise ValueError(f"name: it does not lie in the zone; write the whole name, such as www.{self.zone}.")
        if self.record_type == "CNAME":
            if len(self.values) > 1 or len(self.expected) > 1:
                raise ValueError("values: an alias (CNAME) has one value.")
            if self.name in self.values:
                raise ValueError("values: an alias cannot lead to itself.")
            if self.name == self.zone and self.provider != "cloudflare":
                raise ValueError("name: the zone's own name cannot be an alias (CNAME).")
        if self.values == self.expected:
            raise ValueError("expected: these are the new values, so nothing would ever change.")
        return self._provided()

    def _provided(self) -> Self:
        said = LABELS[self.provider]
        for field in NEEDED[self.provider]:
            if not _given(getattr(self, field)):
                raise ValueError(f"{field}: {said} needs it.")
        mine = {*NEEDED[self.provider], *POSSIBLE[self.provider]}
        for field in sorted({f for fields in (*NEEDED.values(), *POSSIBLE.values()) for f in fields} - mine):
            if _given(getattr(self, field)):
                raise ValueError(f"{field}: {said} has no use for it; leave it empty.")
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        host = split_place(self.server)[0] if self.server else ""
        return tuple(text for text in (host, self.endpoint) if text)


def _given(value: str | SecretStr) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)

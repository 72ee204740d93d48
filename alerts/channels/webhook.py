"""How does a message go to a client's own program? A JSON body (SPEC CHN-5), signed as Standard Webhooks 1.0 says.

`webhook-id` is the delivery and stays over retries, so a receiver can fold copies. During a rotation the body is signed
with both secrets. (https://github.com/standard-webhooks/standard-webhooks)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from alerts.channels.addresses import RequiredHookUrl, readable
from alerts.channels.answers import DiscreetChannel
from alerts.channels.base import ChannelConfig, DeliveryError, Receipt, Secret
from alerts.message import Message, webhook_body
from portal.outbound.guard import check_url
from portal.outbound.http import Request, Response
from portal.outbound.message import TOKEN

MOST_BYTES: Final = 20_000
MOST_HEADERS: Final = 20
# Ours, the connection's, or the signature's; Authorization has a field of its own, so that it is always a secret.
RESERVED: Final = frozenset(
    ("host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "authorization")
    + ("accept-encoding", "http2-settings")
)
RESERVED_PREFIXES: Final = ("content-", "proxy-", "webhook-")
_LONG_SEGMENT: Final = re.compile(r"[^/]{20,}")


def _signing_secret(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        key_of(value.get_secret_value())
    return value


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()) or len(text) > 4000:
        raise ValueError("A header's value is one line of plain characters.")
    return value


def _headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    if len(headers) > MOST_HEADERS:
        raise ValueError(f"At most {MOST_HEADERS} extra headers.")
    if len({name.lower() for name in headers}) != len(headers):
        raise ValueError("A header is given twice.")
    for name, value in headers.items():
        if not name or len(name) > 100 or not TOKEN.issuperset(name):
            raise ValueError("A header's name has letters, digits and dashes only.")
        lowered = name.lower()
        if lowered == "authorization":
            raise ValueError("Authorization has its own field: authorization.")
        if lowered in RESERVED or lowered.startswith(RESERVED_PREFIXES):
            raise ValueError(f"The header {name} cannot be set here: it is made when the message is sent.")
        _header_value(value)
    return headers


SigningSecret = Annotated[Secret, AfterValidator(_signing_secret)]


def key_of(secret: str) -> bytes:
    """The key inside `whsec_…`. ValueError with the cure when it is not base64 of 24 to 64 bytes."""
    cure = "It must be whsec_ followed by base64 of 24 to 64 random bytes."
    if not secret.startswith("whsec_"):
        raise ValueError(cure)
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(cure) from None
    if not 24 <= len(key) <= 64:
        raise ValueError(cure)
    return key


def sign(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64 HMAC-SHA256>` over id, Unix time in seconds and the raw body."""
    signed = f"{identity}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()


class WebhookConfig(ChannelConfig):
    """Where to, what else to send along, and how to sign."""

    url: RequiredHookUrl = Field(
        title="URL",
        description="Gets a POST with JSON for every message.",
        examples=["https://hooks.example.com/watchkeeper"],
        json_schema_extra={"format": "uri", "writeOnly": False},
    )
    secret: SigningSecret = Field(
        SecretStr(""),
        title="Signing secret",
        description="whsec_…; messages are signed as Standard Webhooks says.",
        examples=["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="],
    )
    previous_secret: SigningSecret = Field(
        SecretStr(""), title="Previous signing secret", description="Signs too, while receivers change over."
    )
    authorization: Annotated[Secret, AfterValidator(_header_value)] = Field(
        SecretStr(""), title="Authorization header", description="For example: Bearer …"
    )
    headers: Annotated[dict[str, SecretStr], AfterValidator(_headers)] = Field(
        default_factory=dict,
        title="Extra headers",
        description="Name and value; kept as secrets.",
        json_schema_extra={"secret": True},
    )

    @model_validator(mode="after")
    def _rotation(self) -> Self:
        if self.previous_secret.get_secret_value() and not self.secret.get_secret_value():
            raise ValueError("A previous secret needs a present one.")
        return self

    def also_secret(self) -> tuple[str, ...]:
        """The URL is a secret when it looks like one: a query, or a long path segment as chat hooks have."""
        target = check_url(self.url.get_secret_value()).target
        return ("url",) if "?" in target or _LONG_SEGMENT.search(target) else ()

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return (self.url.get_secret_value(),)


class Webhook(DiscreetChannel):
    """POST JSON to any program."""

    kind: ClassVar[str] = "webhook"
    label: ClassVar[str] = "Webhook"
    Config = WebhookConfig
    people: ClassVar[bool] = False
    keyed: ClassVar[bool] = True

    def address(self) -> str:
        """The URL; when it looks secret, only its host."""
        url = self.config.url.get_secret_value()
        return readable(url) if self.config.also_secret() else url

    def request(self, message: Message) -> Request:
        """The signed POST."""
        config = self.config
        body = body_of(message)
        identity, timestamp = f"delivery-{message.delivery_id}", int((message.sent_at or datetime.now(UTC)).timestamp())
        headers = {name: value.get_secret_value() for name, value in config.headers.items()}
        headers |= {"Content-Type": "application/json", "webhook-id": identity, "webhook-timestamp": str(timestamp)}
        secrets = [s.get_secret_value() for s in (config.secret, config.previous_secret) if s.get_secret_value()]
        if secrets:
            headers["webhook-signature"] = " ".join(sign(secret, identity, timestamp, body) for secret in secrets)
        if config.authorization.get_secret_value():
            headers["Authorization"] = config.authorization.get_secret_value()
        return Request(config.url.get_secret_value(), "POST", headers, body, timeout=10.0, max_body=64 * 1024)

    def secrets(self) -> list[str]:
        """The typed secrets; the URL only if it looks like one (its plain host may be named in answers)."""
        own = super().secrets()
        if not self.config.also_secret():
            own.remove(self.config.url.get_secret_value())
        else:
            own.append(check_url(self.config.url.get_secret_value()).target)
        return own + [text.partition(" ")[2] for text in own if " " in text]  # "Bearer x": x alone too

    def read(self, response: Response) -> Receipt:
        """Any 2xx took it; 410 says "never again"; a redirect is not followed."""
        try:
            return super().read(response)
        except DeliveryError as error:
            if response.status == 410:
                text = "HTTP 410: the receiver says that it is gone for good. Give the channel a new URL."
            elif 300 <= response.status < 400:
                text = (
                    f"HTTP {response.status}: the receiver redirects; redirects are not followed. Enter the final URL."
                )
            else:
                raise
            raise DeliveryError(text, permanent=True, code=error.code) from None


def body_of(message: Message) -> bytes:
    """The body in bytes, at most 20 kB: long texts are shortened step by step, links never."""
    content = webhook_body(message)
    for limit in (None, 2000, 500, 120):
        body = _json(_shortened(content, limit))
        if len(body) <= MOST_BYTES:
            return body
    unsaid = {} if message.letter else {"alert": None, "verdict": {"summary": "", "layer": "unknown", "confidence": 0}}
    bare = {**content, **unsaid}
    return _json(_shortened(bare, 120))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")


def _shortened(value: Any, limit: int | None) -> Any:
    if isinstance(value, str) and limit and len(value) > limit and not value.startswith(("http://", "https://")):
        return value[: limit - 1] + "…"
    if isinstance(value, dict):
        return {key: _shortened(item, limit) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(item, limit) for item in (value[:20] if limit else value)]
    return value

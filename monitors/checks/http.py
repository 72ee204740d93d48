"""Does a URL answer with an accepted status, in time, and with the content that is wanted?"""

import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit, urlunsplit

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from portal.outbound.message import FRAMING, OutboundError, Phases, Request, Response, parse_proxy

from . import assertion, body, certificate
from .base import KEPT_BODY, AnswerConfig, CannotTell, Check, CheckFailed, Context, Outcome, Secret, Status, Url

REDIRECTS = 3
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
OURS = FRAMING | {"host"}


def _statuses(text: str) -> str:
    assertion.parse_statuses(text)
    return text


def _path(text: str) -> str:
    assertion.parse_path(text)
    return text


def _proxy(value: Secret) -> Secret:
    parse_proxy(value.get_secret_value())
    return value


def _blank_is_none(value: Any) -> Any:
    return None if value == "" else value


class HttpConfig(AnswerConfig):
    """The request, and what the answer must be."""

    url: Url = Field(title="URL", examples=["https://shop.example.com/health"])
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = Field("GET", title="Method")
    headers: dict[str, Secret] = Field(
        {},
        title="Headers",
        description="Extra request headers; values are kept secret.",
        max_length=50,
        examples=[{"X-Api-Key": "…"}],
    )
    body: str = Field(
        "", title="Body", max_length=65536, description="Sent with the request.", examples=['{"ping": true}']
    )
    accepted_statuses: Annotated[str, AfterValidator(_statuses)] = Field(
        "200-299", title="Accepted statuses", max_length=200, examples=["200-299,401"]
    )
    keyword: str | None = Field(
        None, title="Keyword", min_length=1, max_length=500, description="Text or pattern in the answer."
    )
    keyword_mode: Literal["present", "absent", "regex"] = Field("present", title="Keyword must be")
    json_path: Annotated[str, AfterValidator(_path)] | None = Field(
        None,
        title="JSON path",
        description="A value in a JSON answer that must exist.",
        examples=["$.status", "$.nodes[0].state"],
    )
    json_equals: JsonValue = Field(
        None, title="JSON value", description="What the value must equal; empty: it only has to exist.", examples=["ok"]
    )
    follow_redirects: bool = Field(True, title="Follow redirects", description=f"At most {REDIRECTS}.")
    verify_tls: bool = Field(True, title="Verify TLS", description="A certificate that does not verify is a failure.")
    auth: Literal["none", "basic", "digest", "bearer"] = Field("none", title="Sign in by")
    user: str = Field("", title="User", max_length=200)
    password: Secret = Field(Secret(""), title="Password")
    token: Secret = Field(Secret(""), title="Token", description="For bearer.")
    client_certificate: str | None = Field(None, title="Client certificate", max_length=65536, description="PEM.")
    client_key: Secret | None = Field(None, title="Client key", description="PEM, without a passphrase.")
    family: Literal[0, 4, 6] = Field(0, title="IP version", description="0: any.")
    proxy: Annotated[Secret, AfterValidator(_proxy)] | None = Field(
        None, title="Proxy", description="http:// or socks5h:// URL.", examples=["http://proxy.example.com:3128"]
    )
    max_body: int = Field(
        1 << 20, ge=1024, le=1 << 20, title="Size limit (bytes)", description="No more of the answer is read."
    )
    fail_when_too_large: bool = Field(
        False,
        title="Too large is a failure",
        description="An answer over the size limit is failing instead of degraded.",
    )

    _none = field_validator(
        "keyword", "json_path", "json_equals", "client_certificate", "client_key", "proxy", mode="before"
    )(_blank_is_none)

    @model_validator(mode="before")
    @classmethod
    def _auth_object(cls, data: Any) -> Any:
        """{"auth": {"type": "basic", "user": …, "password": …}} is taken as well as the flat keys."""
        if not isinstance(data, dict):
            return data
        auth = data.get("auth")
        if isinstance(auth, dict):
            given = {("user" if key == "username" else key): value for key, value in auth.items() if key != "type"}
            return {**data, **given, "auth": auth.get("type", "basic")}
        return {**data, "auth": auth or "none"} if "auth" in data else data

    @field_validator("method", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("family", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value) if value in ("0", "4", "6") else value

    @field_validator("headers")
    @classmethod
    def _headers(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError("A header name may only contain letters, digits and -_.!#$%&'*+^`|~")
            if name.lower() in OURS:
                raise ValueError(f"The header {name} is written by the check itself and cannot be set")
            if not value.get_secret_value().isprintable() or len(value.get_secret_value()) > 4000:
                raise ValueError(
                    f"The value of the header {name} holds a line break or control character, or is too long"
                )
        return headers

    @model_validator(mode="after")
    def _fits_together(self) -> "HttpConfig":
        if self.keyword and self.keyword_mode == "regex":
            assertion.compile_pattern(self.keyword)
        if self.json_equals is not None and self.json_path is None:
            raise ValueError("json_equals needs a json_path")
        if self.auth in ("basic", "digest") and (not self.user or ":" in self.user or not self.user.isprintable()):
            raise ValueError("auth needs a user without a colon or line break")
        if self.auth == "bearer" and not re.fullmatch(r"[!-~]{1,4000}", self.token.get_secret_value(), re.ASCII):
            raise ValueError("auth by bearer needs a token without spaces")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key belong together")
        if self.client_certificate and self.client_key:
            _check_pair(self.client_certificate, self.client_key.get_secret_value())
        return self


def _check_pair(certificate_pem: str, key_pem: str) -> None:
    try:
        loaded = certificate.load(certificate_pem.encode())
    except ValueError:
        raise ValueError("client_certificate is not a PEM certificate") from None
    try:
        key = load_pem_private_key(key_pem.encode(), password=None)
    except (ValueError, TypeError):
        raise ValueError("client_key is not a PEM key, or has a passphrase") from None
    if key.public_key() != loaded.public_key():
        raise ValueError("client_key does not belong to client_certificate")


class HttpCheck(Check):
    """One request and the judgement on its answer."""

    kind: ClassVar[str] = "http"
    label: ClassVar[str] = "Website or API (HTTP)"
    Config = HttpConfig
    leads_to: ClassVar[tuple[str, ...]] = ("url", "proxy")
    times_itself: ClassVar[bool] = True

    @classmethod
    def target(cls, config: HttpConfig) -> str:
        """The URL without its query, where keys are often kept"""
        parts = urlsplit(config.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))

    @classmethod
    async def probe(cls, config: HttpConfig, ctx: Context, outcome: Outcome) -> None:
        """Ask once and judge; notes phases, http_status, a failing body's beginning and facts["certificate"]."""
        try:
            response = await ctx.http.fetch(request_for(config, ctx.timeout), ctx.reach)
        except OutboundError as error:
            note_phases(outcome, error.phases)
            flaw = str(error) if error.kind == "tls" else None
            facts = certificate.facts_of_chain(error.certificates, urlsplit(config.url).hostname or "", flaw, ctx.now())
            outcome.facts.update(facts)
            _settle_error(config, error, outcome)
            return
        note_phases(outcome, response.phases)
        host, flaw = urlsplit(response.url).hostname or "", response.verify_error
        outcome.facts.update(certificate.facts_of_chain(response.certificates, host, flaw, ctx.now()))
        outcome.http_status = response.status
        outcome.facts.update(address=response.address, http_version=response.http_version, redirects=response.redirects)
        status, message, error_class = judge(config, response)
        outcome.settle(status, message, error_class)
        if status == Status.FAILING:
            outcome.body = response.body[:KEPT_BODY]


def request_for(config: HttpConfig, timeout: float) -> Request:
    """The request to send; `timeout` (s) is the total, DNS and redirects included."""
    password, token = config.password.get_secret_value(), config.token.get_secret_value()
    auth: Any = None
    if config.auth == "bearer":
        auth = ("bearer", token)
    elif config.auth != "none":
        auth = (config.auth, config.user, password)
    return Request(
        url=config.url,
        method=config.method,
        headers={name: value.get_secret_value() for name, value in config.headers.items()},
        body=config.body.encode() if config.body else None,
        timeout=timeout,
        max_body=config.max_body,
        max_redirects=REDIRECTS if config.follow_redirects else 0,
        verify=config.verify_tls,
        client_cert=config.client_certificate,
        client_key=config.client_key.get_secret_value() if config.client_key else None,
        auth=auth,
        family=config.family,
        proxy=config.proxy.get_secret_value() if config.proxy else None,
        want_certificate=True,
    )


def judge(config: HttpConfig, response: Response) -> tuple[Status, str, str]:
    """(status, message, error class) for an answer. Pure; the content is never repeated in the message."""
    if not assertion.accepts(assertion.parse_statuses(config.accepted_statuses), response.status):
        return Status.FAILING, f"Answered {response.status}, wanted {config.accepted_statuses}", "http_status"
    flaw = content_flaw(config, response)
    if response.truncated:
        words = f"The answer is larger than {config.max_body} bytes; only that much was read"
        return (Status.FAILING if config.fail_when_too_large else Status.DEGRADED), words, "too_large"
    if flaw:
        return Status.FAILING, flaw, "content"
    return Status.UP, f"Answered {response.status}", ""


def content_flaw(config: HttpConfig, response: Response) -> str | None:
    """What is wrong with the body, as a sentence, or None."""
    if not config.keyword and config.json_path is None:
        return None
    try:
        content = body.unpacked(response.body, response.header("content-encoding") or "", config.max_body)
    except ValueError as error:
        return str(error)
    if config.keyword:
        text = body.decoded(content, response.header("content-type") or "")
        if not assertion.contains(text, config.keyword, config.keyword_mode):
            wrong = {"present": "keyword is missing", "absent": "keyword is there", "regex": "pattern is not found"}
            return f"The {wrong[config.keyword_mode]}"
    if config.json_path is None:
        return None
    try:
        document = assertion.read_json(content)
    except ValueError:
        return "The answer is not JSON"
    found, value = assertion.find(document, assertion.parse_path(config.json_path))
    if not found:
        return f"The answer has no {config.json_path}"
    if config.json_equals is not None and not assertion.equals(value, config.json_equals):
        return f"The value at {config.json_path} is not the wanted one"
    return None


def note_phases(outcome: Outcome, phases: Phases) -> None:
    """Copy the engine's times (ms)."""
    outcome.dns_ms, outcome.connect_ms, outcome.tls_ms = phases.dns, phases.connect, phases.tls
    outcome.first_byte_ms, outcome.total_ms = phases.first_byte, phases.total


def _settle_error(config: HttpConfig, error: OutboundError, outcome: Outcome) -> None:
    if error.kind == "blocked":
        raise CannotTell("blocked", str(error))
    if error.kind == "too_large" and not config.fail_when_too_large:
        outcome.settle(Status.DEGRADED, str(error), "too_large")
        return
    raise CheckFailed(error.kind, str(error))

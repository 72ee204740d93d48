"""What is a check, what does it answer, and how do all kinds fail alike?

A kind is one file with a `Check` class: typed settings (`Config`) and one verb (`probe`). The probe program runs the same
files as the portal, so nothing below this package may import Django.
"""

import asyncio
import errno
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from portal.outbound.guard import Blocked, Reach, check_url, parse_host
from portal.outbound.resolver import ResolveError, Resolver

if TYPE_CHECKING:
    from portal.outbound.http import HttpEngine

log = logging.getLogger(__name__)

ERROR_CLASSES = frozenset(
    ("dns", "connect_refused", "connect_timeout", "connect", "tls", "http_status", "content", "timeout", "reset")
    + ("too_large", "protocol", "redirect", "blocked", "permission", "missed")
    + ("exit_code", "pushed", "expired", "loss", "children", "internal")
)
MESSAGE_LIMIT = 200
KEPT_BODY = 2048

Secret = SecretStr


class Status(IntEnum):
    """One probe's answer about one target at one moment."""

    UNKNOWN = 0
    UP = 1
    DEGRADED = 2
    FAILING = 3


class CheckFailed(Exception):
    """The target is unwell. `error_class` is one of ERROR_CLASSES; the text is a safe sentence for people."""

    def __init__(self, error_class: str, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class


class CannotTell(Exception):
    """The check itself could not be made, so nothing is known of the target (never "down")."""

    def __init__(self, error_class: str, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class


@dataclass(slots=True)
class Outcome:
    """What one run found. Times are milliseconds, each the length of its own phase; `total_ms` is the whole."""

    status: Status
    message: str = ""
    error_class: str = ""
    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    total_ms: float | None = None
    http_status: int | None = None
    loss_percent: float | None = None
    body: bytes | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def settle(self, status: Status, message: str, error_class: str = "") -> None:
        """Write the verdict; the times and facts gathered so far stay. An unheard-of class is a bug: ValueError."""
        if error_class and error_class not in ERROR_CLASSES:
            raise ValueError(f"{error_class} is not an error class")
        self.status, self.message, self.error_class = status, safe_sentence(message), error_class


@dataclass(slots=True)
class Context:
    """What a run may use: the guarded network, its reach, the time limit (s), the portal's facts and the clock."""

    http: "HttpEngine"
    resolver: Resolver
    reach: Reach
    timeout: float
    facts: dict[str, Any] = field(default_factory=dict)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class CheckConfig(BaseModel):
    """Settings of one kind. Unknown keys are refused, and errors never repeat what was typed (it may be a password)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    def plain(self) -> dict[str, Any]:
        """Every setting as JSON values with the secrets readable: for encrypting and for sealed jobs, never for a page."""
        return {name: _readable(getattr(self, name)) for name in type(self).model_fields}


class AnswerConfig(CheckConfig):
    """Settings shared by the kinds that expect an answer from a target."""

    upside_down: bool = Field(False, title="Upside down", description="All is well as long as this check fails.")


def _readable(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _checked_url(url: str) -> str:
    check_url(url)
    return url


def _strip(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


Host = Annotated[str, BeforeValidator(_strip), AfterValidator(parse_host)]
Url = Annotated[str, Field(max_length=2000), BeforeValidator(_strip), AfterValidator(_checked_url)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Check:
    """One kind of check. Subclasses give the class variables, `Config`, `target` and `probe`."""

    kind: ClassVar[str]
    label: ClassVar[str]
    Config: ClassVar[type[CheckConfig]]
    source: ClassVar[str] = "endpoint"
    passive: ClassVar[bool] = False
    times_itself: ClassVar[bool] = False  # holds its own deadline, which does not count waiting in this program's queue
    main_field: ClassVar[str] = "url"
    leads_to: ClassVar[tuple[str, ...]] = ()  # the settings that say whom it connects to: a URL, a host, or host:port
    default_interval: ClassVar[int] = 60

    @classmethod
    def target(cls, config: Any) -> str:
        """What a person reads: a host or URL, without secrets."""
        raise NotImplementedError

    @classmethod
    async def probe(cls, config: Any, ctx: Context, outcome: Outcome) -> None:
        """Fill in `outcome`, which begins as UP. Raise CheckFailed (unwell) or CannotTell (own trouble)."""
        raise NotImplementedError

    @classmethod
    async def run(cls, config: Any, ctx: Context) -> Outcome:
        """One run within `ctx.timeout` seconds. Never raises for an unwell target, nor for trouble of our own."""
        outcome = Outcome(Status.UP)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(None if cls.times_itself else ctx.timeout):
                await cls.probe(config, ctx, outcome)
        except Exception as error:
            outcome.settle(*verdict_on(error, ctx.timeout))
        if outcome.total_ms is None and not cls.passive:
            outcome.total_ms = elapsed_ms(started)
        return outcome

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """JSON schema of the settings, with titles, descriptions and examples for forms and API docs."""
        return cls.Config.model_json_schema()

    @classmethod
    def parse(cls, data: dict[str, Any]) -> CheckConfig:
        """Settings from plain data; raises pydantic.ValidationError (see `complaints`)."""
        return cls.Config.model_validate(data)


OWN_TROUBLE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def verdict_on(error: Exception, timeout: float) -> tuple[Status, str, str]:
    """(status, message, error class) for whatever ended a run early: the one place where exceptions become verdicts."""
    match error:
        case CheckFailed():
            return Status.FAILING, str(error), error.error_class
        case CannotTell():
            return Status.UNKNOWN, str(error), error.error_class
        case Blocked():
            return Status.UNKNOWN, str(error), "blocked"
        case ResolveError():
            return Status.FAILING, str(error), "dns"
        case asyncio.IncompleteReadError() | ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return Status.FAILING, "The connection was closed before the answer was complete", "reset"
        case ConnectionRefusedError():
            return Status.FAILING, "The connection was refused", "connect_refused"
        case ssl.SSLError():
            return Status.FAILING, f"The TLS handshake failed: {tls_reason(error)}", "tls"
        case TimeoutError():
            return Status.FAILING, f"No complete answer within {timeout:g} s", "timeout"
        case PermissionError():
            return Status.UNKNOWN, "This probe is not permitted to open the socket this check needs", "permission"
        case OSError(errno=number) if number in OWN_TROUBLE:
            return Status.UNKNOWN, "This probe has run out of sockets or memory", "internal"
        case OSError():
            return Status.FAILING, f"The connection failed: {error.strerror or 'no route'}", "connect"
    log.error("A check raised %s", type(error).__name__, exc_info=error)
    return (
        Status.UNKNOWN,
        f"The check itself broke ({type(error).__name__}); this is a fault in Watchkeeper",
        "internal",
    )


def tls_reason(error: ssl.SSLError) -> str:
    """The library's own reason in words, without file names and line numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or "connection closed").replace("_", " ").lower()


def elapsed_ms(started: float) -> float:
    """Milliseconds since `started` (time.perf_counter), to the microsecond."""
    return round((time.perf_counter() - started) * 1000, 3)


def safe_sentence(text: str) -> str:
    """One printable line of at most MESSAGE_LIMIT characters: targets write parts of our messages."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split()).removesuffix(".")
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"


def limit(
    outcome: Outcome,
    *,
    degraded_latency_ms: float | None = None,
    degraded_loss_percent: float | None = None,
    upside_down: bool = False,
) -> Outcome:
    """The outcome after the shared thresholds (milliseconds, percent). Unknown stays unknown, whichever way up."""
    if outcome.status == Status.UNKNOWN:
        return outcome
    if upside_down:
        if outcome.status == Status.FAILING:
            return replace(
                outcome, status=Status.UP, error_class="", message=f"As wanted: {outcome.message}"[:MESSAGE_LIMIT]
            )
        return replace(
            outcome, status=Status.FAILING, error_class="content", message="It answered, although it must not"
        )
    if outcome.status != Status.UP:
        return outcome
    loss, total = outcome.loss_percent, outcome.total_ms
    if degraded_loss_percent is not None and loss is not None and loss > degraded_loss_percent:
        words = f"{loss:.0f} % of the packets were lost; the limit is {degraded_loss_percent:g} %"
        return replace(outcome, status=Status.DEGRADED, error_class="loss", message=words)
    if degraded_latency_ms is not None and total is not None and total > degraded_latency_ms:
        words = f"It took {total:.0f} ms; the limit is {degraded_latency_ms:g} ms"
        return replace(outcome, status=Status.DEGRADED, message=words)
    return outcome


def complaints(error: ValidationError) -> dict[str, list[str]]:
    """Sentences by dotted key ("" for the whole), without what was typed."""
    found: dict[str, list[str]] = {}
    for entry in error.errors(include_input=False, include_url=False, include_context=False):
        key = ".".join(str(part) for part in entry["loc"])
        found.setdefault(key, []).append(entry["msg"].removeprefix("Value error, "))
    return found


@dataclass(slots=True)
class Stopwatch:
    """Lap times in milliseconds."""

    started: float = field(default_factory=time.perf_counter)

    def lap(self) -> float:
        """Milliseconds since the last lap."""
        now = time.perf_counter()
        spent, self.started = now - self.started, now
        return round(spent * 1000, 3)

    @classmethod
    def start(cls) -> Self:
        """A watch that runs from now."""
        return cls()

"""What is a channel? One file with `kind`, `label`, a typed `Config` and one verb; everything else derives from it.

Adding one: write the file, add its class to `KINDS` in `__init__.py`. Form, API schema, choices and tests follow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from alerts.message import Message
from portal.outbound.guard import Reach
from portal.outbound.http import OutboundError, Request, Response

Secret = Annotated[SecretStr, Field(json_schema_extra={"secret": True})]


class ChannelConfig(BaseModel):
    """A channel's own settings. Unknown keys are refused; fields typed `Secret` are encrypted at rest and masked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def secret_names(cls) -> tuple[str, ...]:
        """The fields that are secrets."""
        return tuple(name for name, f in cls.model_fields.items() if (f.json_schema_extra or {}).get("secret"))


class ProviderAccount(BaseModel):
    """One account with a provider, for all channels that name it; a channel's own settings override it.

    Fields typed SecretStr are sealed and write-only. What is left empty is not there.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class DeliveryError(Exception):
    """The vendor did not take it. `permanent`: trying again cannot help; `ambiguous`: it may have arrived all the same."""

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        ambiguous: bool = False,
        code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.permanent, self.ambiguous, self.code, self.retry_after = permanent, ambiguous, code, retry_after


@dataclass(frozen=True, slots=True)
class Receipt:
    """The vendor took it. `answer` is what it said (short), `provider_id` names the message there."""

    code: int | None = None
    provider_id: str = ""
    answer: str = ""


Fetch = Callable[[Request], Awaitable[Response]]


class Channel:
    """A kind of destination."""

    kind: ClassVar[str]
    label: ClassVar[str]
    Config: ClassVar[type[ChannelConfig]]
    main_field: ClassVar[str] = "url"  # what the API's shorthand `url` fills
    people: ClassVar[bool] = True  # read by people: messages are gathered in a storm
    keyed: ClassVar[bool] = False  # the vendor folds repeats by a key: retry freely
    provider: ClassVar[str] = ""  # whose global settings complete it
    Account: ClassVar[type[BaseModel] | None] = None  # what those settings are; one of the provider's channels says it
    provider_label: ClassVar[str] = ""
    lifecycle: ClassVar[bool] = (
        False  # it keeps a record or a message that is brought up to date: it hears of acknowledgements
    )
    latest_counts: ClassVar[bool] = False  # of several messages about one alert the last one's provider_id is kept
    staff_only: ClassVar[bool] = False  # may not belong to a client
    per_minute: ClassVar[int | None] = (
        None  # most messages a minute, unless the channel says otherwise; more are gathered
    )
    per_month: ClassVar[int | None] = None  # the same for a month
    caveat: ClassVar[str] = ""  # what whoever chooses it must know: an end of life, a precondition

    def __init__(self, config: ChannelConfig, provider: dict[str, Any] | None = None) -> None:
        self.config: Any = config
        self.provider_settings = provider or {}
        self.reach = Reach()

    def ready(self) -> str:
        """Why it cannot send now, with the cure; "" when it can."""
        return ""

    def address(self) -> str:
        """Where it goes, as a person may read it: never the secret part."""
        raise NotImplementedError


class HttpChannel(Channel):
    """A channel that is one HTTP request."""

    def request(self, message: Message) -> Request:
        """The request for a message. Total deadline 10 s, no redirects."""
        raise NotImplementedError

    async def deliver(self, message: Message, fetch: Fetch) -> Receipt:
        """Send it. One request is the rule; where a vendor wants several (look up, then post anew), override this."""
        return self.read(await fetch(self.request(message)))

    def read(self, response: Response) -> Receipt:
        """The vendor's answer as a receipt; raises DeliveryError. The default: any 2xx took it."""
        text = response.body[:300].decode("utf-8", "replace").strip()
        if 200 <= response.status < 300:
            return Receipt(code=response.status, answer=text[:200])
        raise DeliveryError(
            f"HTTP {response.status}" + (f": {text[:200]}" if text else ""),
            permanent=is_permanent(response.status),
            ambiguous=response.status >= 500,
            code=response.status,
            retry_after=retry_after(response),
        )

    def failed(self, error: OutboundError) -> DeliveryError:
        """What a broken connection means: perhaps delivered when the request had gone out."""
        return DeliveryError(str(error), permanent=error.kind == "blocked", ambiguous=error.sent)


class ThreadedChannel(Channel):
    """A channel whose library blocks (SMTP): it runs in a thread of the sender."""

    def send(self, message: Message) -> Receipt:
        """Send now; raises DeliveryError. Must end within 30 s."""
        raise NotImplementedError


def is_permanent(status: int) -> bool:
    """Will the same request get the same answer? 4xx but time-outs, conflicts and rate limits; 3xx too (we do not follow)."""
    return 300 <= status < 500 and status not in (408, 409, 423, 425, 429)


def retry_after(response: Response) -> float | None:
    """Seconds from a Retry-After header, given as seconds or as a date; None without one."""
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    value = next((v for k, v in response.headers if k.lower() == "retry-after"), "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None

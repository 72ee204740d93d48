"""How does a message ring on a phone by Pushover? Plain text with a priority; what is critical rings until somebody answers.

An emergency (priority 2) is repeated by Pushover until a person acknowledges it on the phone. Its receipt is kept: the
portal can ask whether somebody has (`ask`, `answered`), and an acknowledgement or a recovery in the portal stops the
ringing. Every emergency of an alert carries the alert's key as its tag, so that one call stops them all.
(https://pushover.net/api, https://pushover.net/api/receipts)
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from alerts.channels.answers import DiscreetChannel, hide
from alerts.channels.base import (
    ChannelConfig,
    DeliveryError,
    Fetch,
    ProviderAccount,
    Receipt,
    Secret,
    is_permanent,
    retry_after,
)
from alerts.channels.plain import as_json, body, headline
from alerts.channels.wording import buttons, cut, moment, one_line, shape
from alerts.message import Link, Message
from portal.outbound.http import OutboundError, Request, Response

TEXT, TITLE, URL, URL_TITLE = 1024, 250, 512, 100  # characters, as Pushover counts
EMERGENCY, HIGH, NORMAL, LOW = 2, 1, 0, -1
SHORTEST_RETRY, LONGEST_EXPIRE = 30, 10_800  # seconds
LONG_WAIT: Final = 3600.0
_KEY: Final = re.compile(r"[A-Za-z0-9]{30}", re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
# The field that Pushover names as invalid, or a part of its sentence -> what to do.
CURES: Final = (
    ("token", "The application's token is wrong; copy it again from pushover.net → Your applications."),
    ("user", "The user or group key is wrong, or that account has no active device; copy it again from pushover.net."),
    ("device", "That device is not known; take its name from pushover.net, or leave it empty for all."),
    ("sound", "That sound is not known; leave it empty for the person's own."),
)


def _stripped(value: object) -> object:
    return SecretStr(value.get_secret_value().strip()) if isinstance(value, SecretStr) else _bare(value)


def _bare(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _user(value: SecretStr) -> SecretStr:
    if not _KEY.fullmatch(value.get_secret_value()):
        raise ValueError("A user or group key has 30 letters and digits; pushover.net shows it after signing in.")
    return value


def _token(value: SecretStr) -> SecretStr:
    if value.get_secret_value() and not _KEY.fullmatch(value.get_secret_value()):
        raise ValueError("An application's token has 30 letters and digits: pushover.net → Your applications.")
    return value


Token = Annotated[Secret, BeforeValidator(_stripped), AfterValidator(_token)]


class PushoverConfig(ChannelConfig):
    """Whose phone, and how loud."""

    user: Annotated[Secret, BeforeValidator(_stripped), AfterValidator(_user)] = Field(
        title="User or group key",
        description="pushover.net shows it after signing in.",
        examples=["uQiRzpo4DXghDmr9QzzfQu27cmVRsG"],  # scan: allowed
    )
    token: Token = Field(SecretStr(""), title="Application token", description="Empty: the installation's own.")
    device: str = Field(
        "",
        max_length=260,
        pattern=r"\A(?:[A-Za-z0-9_-]{1,25}(?:,[A-Za-z0-9_-]{1,25})*)?\z",
        title="Device",
        description="A device's name, or several with commas. Empty: all of the person's.",
    )
    emergency: bool = Field(
        True, title="Ring until answered", description="What is critical rings again and again until somebody answers."
    )
    retry_seconds: int = Field(
        60, ge=SHORTEST_RETRY, le=LONGEST_EXPIRE, title="Ring every", description="Seconds, at least 30."
    )
    expire_seconds: int = Field(
        3600,
        ge=SHORTEST_RETRY,
        le=LONGEST_EXPIRE,
        title="Stop ringing after",
        description="Seconds, at most 10800 (3 h).",
    )
    sound: str = Field(
        "",
        max_length=20,
        pattern=r"\A[A-Za-z0-9_-]*\z",
        title="Sound",
        description="As siren or spacealarm; vibrate, none. Empty: the person's own.",
    )
    critical_sound: str = Field(
        "",
        max_length=20,
        pattern=r"\A[A-Za-z0-9_-]*\z",
        title="Sound of critical alerts",
        description="Empty: the same sound.",
    )

    @model_validator(mode="after")
    def _rings_at_least_once(self) -> Self:
        if self.expire_seconds < self.retry_seconds:
            raise ValueError("It must ring for at least as long as one pause lasts.")
        return self


class PushoverApp(ProviderAccount):
    """The installation's application at Pushover."""

    token: Annotated[SecretStr, BeforeValidator(_stripped), AfterValidator(_token)] = Field(
        SecretStr(""), title="Application token", description="pushover.net → Create an Application/API Token."
    )


class Pushover(DiscreetChannel):
    """One message on somebody's phone."""

    kind: ClassVar[str] = "pushover"
    label: ClassVar[str] = "Pushover"
    Config = PushoverConfig
    main_field: ClassVar[str] = "user"
    provider: ClassVar[str] = "pushover"
    provider_label: ClassVar[str] = "Pushover"
    Account = PushoverApp
    lifecycle: ClassVar[bool] = True
    latest_counts: ClassVar[bool] = True  # whoever answers, answers the receipt that rang last
    caveat: ClassVar[str] = "An account may send 10,000 messages a month over all its channels; more are refused."
    API: ClassVar[str] = "https://api.pushover.net/1"

    @property
    def _token(self) -> str:
        return self.config.token.get_secret_value() or str(self.provider_settings.get("token") or "").strip()

    def ready(self) -> str:
        """An application's token is needed."""
        if not self._token:
            return "No application token: enter one here, or in the provider settings of Pushover."
        return (
            ""
            if _KEY.fullmatch(self._token)
            else "The application's token cannot be right: it has 30 letters and digits."
        )

    def address(self) -> str:
        """The key's last characters, and the device."""
        key = self.config.user.get_secret_value()
        return f"key …{key[-4:]}" + (f", {self.config.device}" if self.config.device else "")

    def secrets(self) -> list[str]:
        """The keys, and the installation's token."""
        return [text for text in (self.config.user.get_secret_value(), self._token) if text]

    def request(self, message: Message) -> Request:
        """The message itself."""
        pressed = _fitting(message)
        content: dict[str, Any] = {
            "token": self._token,
            "user": self.config.user.get_secret_value(),
            "title": f"{shape(message)} {headline(message, TITLE - 2)}",
            "message": body(message, TEXT, links=pressed[1:]) or headline(message, TEXT),
            "priority": self.priority(message),
            "timestamp": int(message.at.timestamp()),
            **_button(pressed[:1]),
        }
        sound = (self.config.critical_sound if message.tone == "critical" else "") or self.config.sound
        optional = {"device": self.config.device, "sound": sound}
        content |= {name: value for name, value in optional.items() if value}
        if content["priority"] == EMERGENCY:
            content |= {"retry": self.config.retry_seconds, "expire": self.config.expire_seconds}
            content |= {"tags": message.key} if _TAG.fullmatch(message.key) else {}
        return self._post("messages.json", content)

    def priority(self, message: Message) -> int:
        """2 rings until answered, 1 passes quiet hours, 0 is usual, -1 makes no sound."""
        if message.tone == "critical" and message.open:
            return EMERGENCY if self.config.emergency else HIGH
        if message.tone == "critical" and message.kind == "digest":
            return HIGH
        return LOW if message.kind == "acknowledged" or message.tone == "info" and message.kind != "test" else NORMAL

    def cancels(self, message: Message) -> list[Request]:
        """What stops the ringing of what was told before, the surest first; nothing when nothing can ring."""
        receipt = message.provider_id
        if message.kind not in ("acknowledged", "recovered") or not _KEY.fullmatch(receipt):
            return []
        asked = [self._post(f"receipts/{receipt}/cancel.json", {"token": self._token})]
        if _TAG.fullmatch(message.key):  # emergencies that followed have receipts of their own
            asked.insert(0, self._post(f"receipts/cancel_by_tag/{message.key}.json", {"token": self._token}))
        return asked

    async def deliver(self, message: Message, fetch: Fetch) -> Receipt:
        """Stop the ringing, then tell. What cannot be stopped must not keep anybody from hearing."""
        for cancel in self.cancels(message):
            try:
                self.read(await fetch(cancel))
                break
            except (DeliveryError, OutboundError) as error:
                trouble = error if isinstance(error, DeliveryError) else self.failed(error)
                if not trouble.permanent and message.attempt <= 1:  # nothing was sent: the next try does both
                    raise DeliveryError(
                        f"The ringing could not be stopped. {trouble}",
                        code=trouble.code,
                        retry_after=trouble.retry_after,
                    ) from None
        return self.read(await fetch(self.request(message)))

    def ask(self, receipt: str) -> Request:
        """The question whether somebody has answered an emergency; at most every 5 s, for a week. ValueError without receipt."""
        if not _KEY.fullmatch(receipt):
            raise ValueError("A receipt has 30 letters and digits.")
        url = f"{self.API}/receipts/{receipt}.json?token={self._token}"
        return Request(url, timeout=10.0, max_body=64 * 1024)

    def answered(self, response: Response) -> tuple[bool, str]:
        """(acknowledged?, by which device and when); (False, "expired") when it no longer rings: no use in asking again.

        Raises DeliveryError when Pushover does not say: `permanent` when it never will.
        """
        self.read(response)
        state = _object(response.body)
        if state.get("acknowledged") == 1:
            who = one_line(state.get("acknowledged_by_device") or "")[:60]
            at = state.get("acknowledged_at")
            when = moment(datetime.fromtimestamp(at, UTC), "UTC") if isinstance(at, int) and 0 < at < 1 << 33 else ""
            return True, " at ".join(filter(None, (f"by {who}" if who else "on a phone", when)))
        return False, "expired" if state.get("expired") == 1 else ""

    def read(self, response: Response) -> Receipt:
        """Pushover's answer: `status` 1, and an emergency's receipt; or what it found fault with."""
        answer = _object(response.body)
        if response.status == 200 and answer.get("status") == 1:
            receipt = str(answer.get("receipt") or "")
            return Receipt(200, receipt if _KEY.fullmatch(receipt) else "", str(answer.get("request") or "")[:60])
        if response.status == 200 and "status" not in answer:
            raise DeliveryError("Pushover's answer could not be read: it may have been sent.", ambiguous=True, code=200)
        errors = answer.get("errors")
        said = " · ".join(map(one_line, errors[:2])) if isinstance(errors, list) else ""
        if not said and response.status != 200:
            if response.status == 429 and _spent(response):
                raise _quota(response)
            return super().read(response)
        if response.status == 429 and _spent(response):
            raise _quota(response)
        cure = next(
            (cure for field, cure in CURES if answer.get(field) == "invalid" or f"{field} " in said.lower()), ""
        )
        said = hide(said or "refused without a reason", self.secrets())[:200]
        raise DeliveryError(
            f"HTTP {response.status}: {said}" + (f". {cure}" if cure else ""),
            permanent=response.status == 200 or is_permanent(response.status),
            ambiguous=response.status >= 500,
            code=response.status,
            retry_after=retry_after(response),
        )

    def _post(self, path: str, content: dict[str, Any]) -> Request:
        headers = {"Content-Type": "application/json"}
        return Request(f"{self.API}/{path}", "POST", headers, as_json(content), timeout=10.0, max_body=64 * 1024)


def _fitting(message: Message) -> list[Link]:
    """The links, the first as a button, the others in the text as far as two thirds of it hold them."""
    room = TEXT * 2 // 3 + URL
    fitting: list[Link] = []
    for link in buttons(message.links):
        room -= len(link.url) + len(one_line(link.label)) + 3
        if len(link.url) <= URL and room >= 0:
            fitting.append(link)
    return fitting


def _button(links: list[Link]) -> dict[str, str]:
    """The one link that stands below the message."""
    return (
        {"url": link.url, "url_title": cut(one_line(link.label), URL_TITLE)}
        if (link := next(iter(links), None))
        else {}
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _spent(response: Response) -> bool:
    """Is the month's allowance used up? Then trying again within minutes is in vain."""
    wait = retry_after(response)
    return response.header("x-limit-app-remaining") == "0" and (wait is None or wait > LONG_WAIT)


def _quota(response: Response) -> DeliveryError:
    limit = re.sub(r"\D", "", response.header("x-limit-app-limit") or "")[:9]
    months = f"The application's {limit or 'allowed'} messages of this month are used up"
    return DeliveryError(
        f"HTTP 429: {months}. Buy more at pushover.net, or use an application of another account.",
        permanent=True,
        code=429,
    )

"""How does a message reach somebody's devices by Pushbullet? A push of plain text, with the first link to tap on.

`guid` names the push: a repeat of the same one is folded by Pushbullet, so every try is harmless.
(https://docs.pushbullet.com)
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Self

from django.conf import settings
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from alerts.channels.answers import DiscreetChannel, hide
from alerts.channels.base import (
    ChannelConfig,
    DeliveryError,
    ProviderAccount,
    Receipt,
    Secret,
    is_permanent,
    retry_after,
)
from alerts.channels.plain import as_json, body, headline
from alerts.channels.wording import buttons, one_line, shape
from alerts.message import Message
from portal.outbound.http import Request, Response

TITLE, TEXT, URL = 200, 3000, 2000  # Pushbullet names no limits: what phones show well
QUOTA: Final = "pushbullet_pro_required"
CURES: Final = {
    QUOTA: "A free account may send 500 pushes a month, and these are used up: wait for the next month, or take Pushbullet Pro.",
    "invalid_access_token": "The access token is wrong or was taken back; make one at pushbullet.com → Settings → Access Tokens.",
}
# The parameter that Pushbullet finds fault with -> what to do.
WRONG: Final = {
    "device_iden": "That device is not known to this account; leave it empty for all devices.",
    "email": "Check the e-mail address.",
    "channel_tag": "That Pushbullet channel is not known, or belongs to another account.",
}


def _stripped(value: object) -> object:
    if isinstance(value, SecretStr):
        return SecretStr(value.get_secret_value().strip())
    return value.strip() if isinstance(value, str) else value


def _token(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,100}", value.get_secret_value(), re.ASCII):
        raise ValueError("An access token looks like o.abc…; make one at pushbullet.com → Settings → Access Tokens.")
    return value


Token = Annotated[Secret, BeforeValidator(_stripped), AfterValidator(_token)]


class PushbulletConfig(ChannelConfig):
    """Whose account, and which of its devices."""

    token: Token = Field(
        SecretStr(""),
        title="Access token",
        description="pushbullet.com → Settings → Access Tokens. Empty: the installation's own.",
        examples=["o.abcdefghijklmnopqrstuvwxyz012345"],  # scan: allowed
    )
    device_iden: str = Field(
        "", max_length=60, pattern=r"\A[A-Za-z0-9]*\z", title="Device", description="A device's id. Empty: all devices."
    )
    email: str = Field(
        "",
        max_length=254,
        pattern=r"\A(?:[^\s@<>]{1,64}@[^\s@<>]{1,189})?\z",
        title="E-mail address",
        description="To another Pushbullet user (others get a mail).",
    )
    channel_tag: str = Field(
        "",
        max_length=60,
        pattern=r"\A[A-Za-z0-9_-]*\z",
        title="Channel",
        description="To all who follow a channel of yours.",
    )

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if sum(map(bool, (self.device_iden, self.email, self.channel_tag))) > 1:
            raise ValueError("A push has one target: a device, an e-mail address or a channel.")
        return self


class PushbulletAccount(ProviderAccount):
    """The installation's own account at Pushbullet."""

    token: Annotated[SecretStr, BeforeValidator(_stripped), AfterValidator(_token)] = Field(
        SecretStr(""), title="Access token", description="pushbullet.com → Settings → Access Tokens."
    )


class Pushbullet(DiscreetChannel):
    """One push."""

    kind: ClassVar[str] = "pushbullet"
    label: ClassVar[str] = "Pushbullet"
    Config = PushbulletConfig
    main_field: ClassVar[str] = "token"
    keyed: ClassVar[bool] = True
    provider: ClassVar[str] = "pushbullet"
    provider_label: ClassVar[str] = "Pushbullet"
    Account = PushbulletAccount
    per_month: ClassVar[int | None] = 500
    caveat: ClassVar[str] = (
        "A free account may send 500 pushes a month; then Pushbullet refuses. Have a second way for pages."
    )
    API: ClassVar[str] = "https://api.pushbullet.com/v2"

    @property
    def _token(self) -> str:
        return self.config.token.get_secret_value() or str(self.provider_settings.get("token") or "").strip()

    def ready(self) -> str:
        """An access token is needed."""
        if not self._token:
            return "No access token: enter one here, or in the provider settings of Pushbullet."
        return (
            ""
            if self._token.isascii() and self._token.isprintable()
            else "The access token cannot be right: copy it again."
        )

    def address(self) -> str:
        """The target."""
        config = self.config
        if config.device_iden:
            return f"device {config.device_iden}"
        return config.email or (f"channel {config.channel_tag}" if config.channel_tag else "all devices of the account")

    def secrets(self) -> list[str]:
        """The token, whoever's it is."""
        return [self._token] if self._token else []

    def request(self, message: Message) -> Request:
        """One push: a link where there is something to open, else a note."""
        pressed = [link for link in buttons(message.links) if len(link.url) <= URL]
        content: dict[str, Any] = {
            "type": "link" if pressed else "note",
            "title": f"{shape(message)} {headline(message, TITLE - 2)}",
            "body": body(message, TEXT, links=pressed[1:], keyed=True),
            "guid": identity(message),
        }
        if pressed:
            content["url"] = pressed[0].url
        for name in ("device_iden", "email", "channel_tag"):
            if getattr(self.config, name):
                content[name] = getattr(self.config, name)
        headers = {"Content-Type": "application/json", "Access-Token": self._token}
        return Request(f"{self.API}/pushes", "POST", headers, as_json(content), timeout=10.0, max_body=64 * 1024)

    def read(self, response: Response) -> Receipt:
        """Pushbullet's answer: the push, or its error's code and sentence."""
        answer = _object(response.body)
        if response.status == 200:
            if not answer.get("iden"):
                raise DeliveryError(
                    "Pushbullet's answer could not be read: it may have been sent.", ambiguous=True, code=200
                )
            return Receipt(200, one_line(answer["iden"])[:100], "pushed")
        error = answer.get("error")
        if not isinstance(error, dict):
            return super().read(response)
        code = one_line(error.get("code") or error.get("type") or "")
        said = hide(" · ".join(filter(None, (code, one_line(error.get("message") or "")))), self.secrets())[:200]
        cure = CURES.get(code) or WRONG.get(str(error.get("param") or ""), "")
        raise DeliveryError(
            f"HTTP {response.status}: {said}" + (f". {cure}" if cure else ""),
            permanent=code == QUOTA or is_permanent(response.status),
            ambiguous=response.status >= 500,
            code=response.status,
            retry_after=_wait(response),
        )


def identity(message: Message) -> str:
    """Names the push: the same on every try, another one in every installation; a message without delivery gets a new one."""
    if not message.delivery_id:
        return uuid.uuid4().hex
    return hashlib.sha256(f"pushbullet:{settings.SECRET_KEY}:{message.delivery_id}".encode()).hexdigest()[:32]


def _wait(response: Response) -> float | None:
    """Seconds to wait: by Retry-After, or until the moment (Unix time) at which Pushbullet counts afresh."""
    asked = retry_after(response)
    if asked is not None or response.status != 429:
        return asked
    try:
        return max(0.0, float(response.header("x-ratelimit-reset") or "") - datetime.now(UTC).timestamp())
    except ValueError:
        return None


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

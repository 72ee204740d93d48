"""How does a text message go out by Vonage? One POST to the Messages API; 202 means taken, a status webhook the rest.

Vonage has no key that folds repeats (`client_ref` is only a label, by which its status webhook names the attempt).
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final, Self

from pydantic import Field, SecretStr, model_validator

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
from alerts.channels.telephone import RequiredNumber, Sender, answerable, hook, reachable, sms
from alerts.channels.wording import one_line
from alerts.message import Message
from portal.outbound.http import Request, Response

LONGEST_TEXT: Final = 1000
CURES: Final = {
    401: "The API key or secret is wrong, or the account does not take Basic for the Messages API; copy them again from the Vonage dashboard.",
    402: "The account's balance is too low; top it up.",
    403: "The account may not do this; check it in the Vonage dashboard.",
    422: "Check the number and the sender: the country may ask for a registered one.",
}
# https://developer.vonage.com/api-errors/messages: throttled, their own fault, no line, the phone is off for now.
AGAIN: Final = frozenset((1000, 1030, 1100, 1180))


class VonageAccount(ProviderAccount):
    """The installation's account with Vonage."""

    api_key: str = Field("", title="API key", max_length=40, pattern=r"\A[A-Za-z0-9]*\z")
    api_secret: SecretStr = Field(SecretStr(""), title="API secret")
    signature_secret: SecretStr = Field(
        SecretStr(""),
        title="Signature secret",
        description="Answers and receipts are signed with it. In Vonage enter BASE_URL/hooks/vonage/message/ as the inbound "
        "and BASE_URL/hooks/vonage/status/ as the status webhook of the Messages API.",
    )
    sender: Sender = Field("", title="From", description="A number of the account, or a name of up to 11 letters.")


class VonageSmsConfig(ChannelConfig):
    """A mobile number."""

    to: RequiredNumber = Field(title="Number", description="With + and the country code.", examples=["+351912345678"])
    sender: Sender = Field("", title="From", description="Empty: as the Vonage account has it.")
    max_segments: int = Field(
        2,
        ge=1,
        le=10,
        title="Segments",
        description="The longest message, in paid parts of 153 characters (67 with emoji).",
    )
    api_key: str = Field(
        "",
        title="Own API key",
        max_length=40,
        pattern=r"\A[A-Za-z0-9]*\z",
        description="Empty: the installation's account.",
    )
    api_secret: Secret = Field(SecretStr(""), title="Own API secret")
    signature_secret: Secret = Field(SecretStr(""), title="Own signature secret")

    @model_validator(mode="after")
    def _own_account_is_whole(self) -> Self:
        if bool(self.api_key) != bool(self.api_secret.get_secret_value()):
            raise ValueError("An account of its own needs both, the API key and the API secret.")
        return self


class VonageSms(DiscreetChannel):
    """One text message."""

    kind: ClassVar[str] = "vonage_sms"
    label: ClassVar[str] = "SMS (Vonage)"
    Config = VonageSmsConfig
    main_field: ClassVar[str] = "to"
    provider: ClassVar[str] = "vonage"
    provider_label: ClassVar[str] = "Vonage"
    Account = VonageAccount
    per_minute: ClassVar[int | None] = 10
    per_month: ClassVar[int | None] = 500
    caveat: ClassVar[str] = (
        "Each segment is paid. 10 messages a minute and 500 a month unless the channel says otherwise."
    )
    API: ClassVar[str] = "https://api.nexmo.com"

    def of_account(self, name: str) -> str:
        """A setting of the account that is used: the channel's own as a whole, or the installation's."""
        if self.config.api_key:
            value = getattr(self.config, name, "")
            return str(value.get_secret_value() if isinstance(value, SecretStr) else value)
        return str(self.provider_settings.get(name) or "")

    @property
    def sender(self) -> str:
        """Who it comes from; "" when nobody said."""
        return str(self.config.sender or self.of_account("sender"))

    @property
    def hears(self) -> bool:
        """Can an answer be proved to come from Vonage?"""
        return bool(self.of_account("signature_secret"))

    def secrets(self) -> list[str]:
        """Also the account's."""
        names = ("api_key", "api_secret", "signature_secret")
        return [*super().secrets(), *(self.of_account(name) for name in names)]

    def address(self) -> str:
        """The number."""
        return str(self.config.to)

    def ready(self) -> str:
        """An account and a sender are needed."""
        if not (self.of_account("api_key") and self.of_account("api_secret")):
            return "No Vonage account: enter its API key and secret in the provider settings of Vonage, or here."
        if not self.sender:
            return "No sender: enter From here, or in the provider settings of Vonage."
        return ""

    def request(self, message: Message) -> Request:
        """The Messages API's POST."""
        able = self.hears and answerable(self.sender)
        reply = f"Reply ACK {message.acknowledge_code}" if message.open and message.acknowledge_code and able else ""
        text = sms(message, reply=reply, most=self.config.max_segments, characters=LONGEST_TEXT)
        return self.post(text, f"wk-{message.delivery_id}-{message.attempt}")

    def post(self, text: str, mark: str = "") -> Request:
        """Any text to this number; `mark` names the attempt in Vonage's status webhook."""
        content: dict[str, Any] = {
            "message_type": "text",
            "channel": "sms",
            "to": str(self.config.to).removeprefix("+"),
            "from": self.sender.removeprefix("+"),
            "text": text,
        }
        if mark:
            content["client_ref"] = mark
            if self.hears and reachable():
                content |= {"webhook_url": hook("vonage/status/"), "webhook_version": "v1"}
        login = ("basic", self.of_account("api_key"), self.of_account("api_secret"))
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        return Request(f"{self.API}/v1/messages", "POST", headers, body, timeout=10.0, max_body=256 * 1024, auth=login)

    def read(self, response: Response) -> Receipt:
        """202 with a message_uuid took it; a refusal is a problem document (RFC 7807)."""
        try:
            answer = json.loads(response.body)
        except ValueError:
            answer = None
        answer = answer if isinstance(answer, dict) else {}
        if 200 <= response.status < 300:
            uuid = one_line(answer.get("message_uuid") or "")[:64]
            if not uuid:
                raise DeliveryError(
                    "Vonage's answer could not be read: it may have been sent.", ambiguous=True, code=response.status
                )
            return Receipt(code=response.status, provider_id=hide(uuid, self.secrets()), answer=f"submitted {uuid}")
        if not answer.get("title"):
            return super().read(response)
        told = " - ".join(filter(None, (one_line(answer.get(name) or "") for name in ("title", "detail"))))
        wrong = answer.get("invalid_parameters")
        if isinstance(wrong, list) and wrong and isinstance(wrong[0], dict):
            told += f" ({one_line(wrong[0].get('name') or '')}: {one_line(wrong[0].get('reason') or '')})"
        words = hide(f"Vonage says: {told}", self.secrets())[:250].rstrip(". ")
        raise DeliveryError(
            f"{words}. {CURES[response.status]}" if response.status in CURES else f"{words}.",
            permanent=is_permanent(response.status),
            ambiguous=response.status >= 500,
            code=response.status,
            retry_after=retry_after(response),
        )

"""How does a text message go out by Twilio? One POST to Messages, in the account of the installation or of the channel.

Twilio has no key that folds repeats: before a second try it is asked whether it has the first one. 201 means queued;
what became of it comes by the status callback (alerts.twoway).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Self
from urllib.parse import quote, urlencode

from pydantic import Field, SecretStr, model_validator

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
from alerts.channels.telephone import (
    KEPT_BARE,
    Number,
    RequiredNumber,
    Sender,
    answerable,
    hook,
    link_of,
    reachable,
    sms,
)
from alerts.channels.wording import one_line
from alerts.message import Message
from portal.outbound.http import OutboundError, Request, Response

ACCOUNT_SID: Final = r"\A(AC[0-9a-fA-F]{32})?\z"
SERVICE_SID: Final = r"\A(MG[0-9a-fA-F]{32})?\z"
KEY_SID: Final = r"\A(SK[0-9a-fA-F]{32})?\z"
CONTENT_SID: Final = r"\A(HX[0-9a-fA-F]{32})?\z"
REGIONS: Final = {"ie1": "https://api.dublin.ie1.twilio.com", "au1": "https://api.sydney.au1.twilio.com"}
LONGEST_BODY: Final = 1600

# https://www.twilio.com/docs/api/errors: the same request, or the same number, gets the same answer.
PERMANENT: Final = frozenset(
    (21211, 21212, 21214, 21217, 21408, 21606, 21608, 21609, 21610, 21612, 21614, 21617, 21656, 21658)
    + (30003, 30004, 30005, 30006, 30007, 30034, 63016, 63021, 63038)
)
AGAIN: Final = frozenset((20429, 21611, 30001, 63018))
CURES: Final = {
    20003: "The account SID, auth token or API key is wrong; copy them again from the Twilio console.",
    20404: "There is no such account; check the account SID and its region.",
    21211: "The number is not valid; check it, with + and the country code.",
    21212: "The sender's number is not valid; check it.",
    21214: "The number cannot be reached; check it.",
    21215: "Calls to this country are switched off; allow it in Twilio's voice geographic permissions.",
    21219: "A trial account calls verified numbers only; verify it or upgrade the account.",
    21408: "Messages to this country are switched off; allow it in Twilio's geographic permissions.",
    21606: "The sender cannot send messages to this number; use another number of the account.",
    21608: "A trial account writes to verified numbers only; verify it or upgrade the account.",
    21609: "Twilio cannot call the portal back at this address; set BASE_URL to the portal's public address.",
    21610: "The person answered STOP to this sender; they can answer START.",
    21612: "This sender cannot reach that number; use another sender.",
    21614: "This is not a mobile number.",
    30003: "The phone is off or out of reach.",
    30004: "The message was blocked by the receiver or the carrier.",
    30005: "The number is not known or not in service.",
    30006: "A landline, or a carrier that takes no text messages.",
    30007: "The carrier filtered it as unwanted; register the sender.",
    30034: "The sender is not registered (A2P 10DLC); register it in Twilio.",
    32018: "The spoken text is too long.",
    63016: "Outside of the 24 hours after the person's last message a template is needed; enter its Content SID.",
    63018: "Too many WhatsApp messages at once.",
    63021: "The template's content is not valid; compare it with the text that the settings show.",
    63038: "The account's daily limit is reached.",
}


class TwilioAccount(ProviderAccount):
    """The installation's account with Twilio: for text messages, calls and WhatsApp."""

    account_sid: str = Field("", title="Account SID", pattern=ACCOUNT_SID, description="AC…, in the Twilio console.")
    auth_token: SecretStr = Field(
        SecretStr(""),
        title="Auth token",
        description="Replies, pressed keys and receipts are signed with it. For replies enter BASE_URL/hooks/twilio/message/ "
        "in Twilio, as “A message comes in” of the number or messaging service, and at the WhatsApp sender.",
    )
    api_key_sid: str = Field("", title="API key SID", pattern=KEY_SID, description="SK…; then messages go out by it.")
    api_key_secret: SecretStr = Field(SecretStr(""), title="API key secret")
    sender: Sender = Field("", title="From", description="A number of the account, or a sender name.")
    messaging_service_sid: str = Field(
        "", title="Messaging service SID", pattern=SERVICE_SID, description="MG…; wins over From."
    )
    voice_from: Number = Field("", title="Calls come from", description="Empty: From, when that is a number.")
    whatsapp_from: Number = Field("", title="WhatsApp sender", description="The number of the WhatsApp sender.")
    whatsapp_content_sid: str = Field(
        "", title="WhatsApp template", pattern=CONTENT_SID, description="HX…, the Content SID of the approved template."
    )
    region: Literal["us1", "ie1", "au1"] = Field(
        "us1", title="Region", description="us1 unless the account's keys belong to another one."
    )


class OwnAccount(ChannelConfig):
    """Whom to reach, and perhaps an account of the channel's own."""

    to: RequiredNumber = Field(title="Number", description="With + and the country code.", examples=["+351912345678"])
    sender: Sender = Field("", title="From", description="Empty: as the Twilio account has it.")
    account_sid: str = Field(
        "", title="Own account SID", pattern=ACCOUNT_SID, description="Empty: the installation's Twilio account."
    )
    auth_token: Secret = Field(SecretStr(""), title="Own auth token")

    @model_validator(mode="after")
    def _own_account_is_whole(self) -> Self:
        if bool(self.account_sid) != bool(self.auth_token.get_secret_value()):
            raise ValueError("An account of its own needs both, the account SID and the auth token.")
        return self


class TwilioChannel(DiscreetChannel):
    """What text messages, calls and WhatsApp by Twilio have in common."""

    main_field: ClassVar[str] = "to"
    provider: ClassVar[str] = "twilio"
    per_minute: ClassVar[int | None] = 10
    per_month: ClassVar[int | None] = 500
    API: ClassVar[str] = "https://api.twilio.com"
    resource: ClassVar[str] = "Messages"

    @property
    def own(self) -> bool:
        """Does the channel have an account of its own? Then nothing of the installation's goes with it."""
        return bool(self.config.account_sid)

    def of_account(self, name: str) -> str:
        """A setting of the account that is used."""
        if self.own:
            value = getattr(self.config, name, "")
            return str(value.get_secret_value() if isinstance(value, SecretStr) else value)
        return str(self.provider_settings.get(name) or "")

    @property
    def sender(self) -> str:
        """The number it comes from; "" without one."""
        return str(self.config.sender or self.of_account("sender"))

    @property
    def hears(self) -> bool:
        """Can an answer be proved to come from Twilio?"""
        return bool(self.of_account("auth_token"))

    def login(self) -> tuple[str, str]:
        """User and password of the API: an API key where there is one."""
        key = self.of_account("api_key_sid"), self.of_account("api_key_secret")
        return key if all(key) else (self.of_account("account_sid"), self.of_account("auth_token"))

    def secrets(self) -> list[str]:
        """Also the account's, its names, and the login as it travels."""
        login = base64.b64encode(":".join(self.login()).encode()).decode()
        names = ("account_sid", "auth_token", "api_key_sid", "api_key_secret")
        return [*super().secrets(), *(self.of_account(name) for name in names), login]

    def address(self) -> str:
        """The number."""
        return str(self.config.to)

    def ready(self) -> str:
        """An account and a sender are needed."""
        if not self.of_account("account_sid"):
            return (
                "No Twilio account: enter its account SID and auth token in the provider settings of Twilio, or here."
            )
        if not all(self.login()):
            return "The Twilio account has neither an auth token nor an API key; enter one of them."
        return self.lacks()

    def lacks(self) -> str:
        """What this kind needs besides the account."""
        raise NotImplementedError

    @property
    def base(self) -> str:
        """The API's address, with the account's region."""
        region = "" if self.own else str(self.provider_settings.get("region") or "")
        return f"{REGIONS.get(region, self.API)}/2010-04-01/Accounts/{self.of_account('account_sid')}"

    def fields(self, message: Message) -> dict[str, str]:
        """What is posted."""
        raise NotImplementedError

    def callback(self, message: Message) -> str:
        """Where Twilio says what became of this attempt; "" when it cannot reach or prove itself."""
        if not (self.hears and reachable()):
            return ""
        return hook(f"twilio/status/{message.delivery_id}/{message.attempt}/")

    def request(self, message: Message) -> Request:
        """One POST of a form."""
        body = urlencode(self.fields(message), quote_via=quote, safe=KEPT_BARE, errors="replace").encode()
        return self._ask("POST", f"{self.base}/{self.resource}.json", body)

    def _ask(self, method: str, url: str, body: bytes | None = None) -> Request:
        user, password = self.login()
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        return Request(url, method, headers, body, timeout=10.0, max_body=256 * 1024, auth=("basic", user, password))

    def read(self, response: Response) -> Receipt:
        """201 with a SID took it; an error carries Twilio's own code, which decides more than the status does."""
        answer = _json(response.body)
        if 200 <= response.status < 300:
            return self._taken(answer, response.status)
        code = _code(answer.get("code"))
        if not code:
            return super().read(response)
        raise DeliveryError(
            self.words(code, one_line(answer.get("message") or "")),
            permanent=code in PERMANENT or (is_permanent(response.status) and code not in AGAIN),
            ambiguous=response.status >= 500 and code not in PERMANENT | AGAIN,
            code=response.status,
            retry_after=retry_after(response),
        )

    def _taken(self, answer: dict[str, Any], status: int) -> Receipt:
        sid, state = str(answer.get("sid") or "")[:64], one_line(answer.get("status") or "")[:30]
        code = _code(answer.get("error_code"))
        if state in ("failed", "undelivered", "canceled"):
            words = self.words(code, one_line(answer.get("error_message") or state))
            raise DeliveryError(words, permanent=code not in AGAIN, code=status)
        if not sid:
            raise DeliveryError(
                "Twilio's answer could not be read: it may have been sent.", ambiguous=True, code=status
            )
        return Receipt(code=status, provider_id=hide(sid, self.secrets()), answer=f"{state or 'queued'} {sid}")

    def words(self, code: int, text: str) -> str:
        """Twilio's error as a sentence with its cure, without secrets."""
        told = hide(f"Twilio error {code}" + (f": {text}" if text else ""), self.secrets())[:250].rstrip(". ")
        return f"{told}. {CURES[code]}" if code in CURES else f"{told}."


class TwilioMessages(TwilioChannel):
    """Text messages and WhatsApp: what was sent can be looked up by its link, which no other message has."""

    async def deliver(self, message: Message, fetch: Fetch) -> Receipt:
        """Before a second try, look whether the first one arrived at Twilio after all."""
        link = message.link("acknowledge")
        if message.attempt > 1 and link:
            try:
                found = self.found(_json((await fetch(self.looking())).body), link)
            except (OutboundError, DeliveryError):
                found = None  # then it is sent: twice is better than never
            if found is not None:
                return found
        return await super().deliver(message, fetch)

    def looking(self) -> Request:
        """The latest messages to this number."""
        query = urlencode({"To": self.receiver, "PageSize": "20"})
        return self._ask("GET", f"{self.base}/Messages.json?{query}")

    @property
    def receiver(self) -> str:
        """The number as Messages has it."""
        return str(self.config.to)

    def found(self, answer: Mapping[str, Any], link: str) -> Receipt | None:
        """The receipt of an earlier try that is with Twilio and has not failed."""
        rows = answer.get("messages")
        for row in rows if isinstance(rows, list) else []:
            if not isinstance(row, dict) or row.get("status") in ("failed", "undelivered", "canceled"):
                continue
            if link in str(row.get("body") or "") and row.get("sid"):
                sid = str(row["sid"])[:64]
                return Receipt(code=200, provider_id=sid, answer=f"{one_line(row.get('status') or 'sent')[:30]} {sid}")
        return None

    def reply(self, message: Message) -> str:
        """How to acknowledge by answering; "" when it would not be heard."""
        able = self.hears and answerable(self.sender)
        return f"Reply ACK {message.acknowledge_code}" if message.open and message.acknowledge_code and able else ""


class TwilioSmsConfig(OwnAccount):
    """A mobile number."""

    messaging_service_sid: str = Field("", title="Messaging service SID", pattern=SERVICE_SID)
    max_segments: int = Field(
        2,
        ge=1,
        le=10,
        title="Segments",
        description="The longest message, in paid parts of 153 characters (67 with emoji).",
    )


class TwilioSms(TwilioMessages):
    """One text message."""

    kind: ClassVar[str] = "twilio_sms"
    label: ClassVar[str] = "SMS (Twilio)"
    Config = TwilioSmsConfig
    provider_label: ClassVar[str] = "Twilio"
    Account = TwilioAccount
    caveat: ClassVar[str] = (
        "Each segment is paid. 10 messages a minute and 500 a month unless the channel says otherwise."
    )

    @property
    def service(self) -> str:
        """The messaging service, when no number of the channel's own is set."""
        own = str(self.config.messaging_service_sid)
        return own or ("" if self.config.sender else self.of_account("messaging_service_sid"))

    def lacks(self) -> str:
        """A sender."""
        if not self.service and not self.sender:
            return "No sender: enter From or a messaging service, here or in the provider settings of Twilio."
        return ""

    def fields(self, message: Message) -> dict[str, str]:
        """To, From or the service, and the text."""
        text = sms(message, reply=self.reply(message), most=self.config.max_segments, characters=LONGEST_BODY)
        origin = {"MessagingServiceSid": self.service} if self.service else {"From": self.sender}
        callback = self.callback(message)
        return {"To": str(self.config.to), **origin, "Body": text} | ({"StatusCallback": callback} if callback else {})


def _json(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _code(value: object) -> int:
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0


__all__ = [
    "LONGEST_BODY",
    "PERMANENT",
    "OwnAccount",
    "TwilioAccount",
    "TwilioChannel",
    "TwilioMessages",
    "TwilioSms",
    "link_of",
]

"""How are the long tail's services reached? By the Apprise library and one of its URLs, for services with fixed hosts only.

Apprise dials by itself, past our guard; so only schemes are let in whose service lives at one address that nobody types,
and only arguments that change no address. Redirects are off. Staff only: such a URL is another program's syntax.
(https://github.com/caronc/apprise/wiki)
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final
from urllib.parse import parse_qsl, urlsplit

import apprise
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from alerts.channels.answers import hide
from alerts.channels.base import ChannelConfig, DeliveryError, Receipt, Secret, ThreadedChannel
from alerts.channels.plain import body, headline
from alerts.channels.wording import one_line
from alerts.message import Message

TITLE, BODY, SECONDS = 250, 3500, 25.0
# Services that answer at one address of their own; what stands between the slashes are keys and receivers.
ALLOWED: Final = frozenset(
    ("bulksms", "burstsms", "chanify", "clickatell", "clicksend", "cm", "d7sms", "dingtalk", "elks", "feishu")
    + (
        "firehydrant",
        "flock",
        "freemobile",
        "groupme",
        "ifttt",
        "ilert",
        "incidentio",
        "join",
        "kook",
        "kumulos",
        "lark",
    )
    + ("line", "msg91", "msgbird", "notifiarr", "pagertree", "plivo", "prowl", "push", "pushed", "pushplus", "pushy")
    + ("schan", "seven", "signalgrid", "signl4", "simplepush", "smsmanager", "spike", "splunk", "spugpush", "telnyx")
    + ("threema", "victorops", "voipms", "webex", "wecombot", "whapi", "wpush", "wxpusher", "wxteams", "zoom")
)
ARGUMENTS: Final = frozenset(
    ("priority", "sound", "silent", "to", "from", "topic", "thread", "level", "urgency", "channel")
)
OWN_TYPES: Final = {
    "json": "webhook", "jsons": "webhook", "xml": "webhook", "xmls": "webhook", "form": "webhook", "forms": "webhook",
    "http": "webhook", "https": "webhook", "mailto": "email", "mailtos": "email", "ntfy": "ntfy", "ntfys": "ntfy",
    "gotify": "gotify", "gotifys": "gotify", "discord": "discord", "slack": "slack", "tgram": "telegram", "gchat": "google_chat",
    "workflows": "msteams", "workflow": "msteams", "pover": "pushover", "pbul": "pushbullet", "onesignal": "onesignal",
    "pagerduty": "pagerduty", "opsgenie": "opsgenie", "twilio": "twilio_sms", "vonage": "vonage_sms", "nexmo": "vonage_sms",
}  # fmt: skip
KINDS: Final = {"critical": "failure", "warning": "warning", "info": "info", "resolved": "success"}
_SCHEME: Final = re.compile(r"([a-z0-9]{2,20})://(.*)", re.IGNORECASE)
_HTTP: Final = re.compile(r"error=(\d{3})")
_DOUBTFUL: Final = ("connection error", "timeout", "timed out")


def _stripped(value: object) -> object:
    if isinstance(value, SecretStr):
        return SecretStr(value.get_secret_value().strip())
    return value.strip() if isinstance(value, str) else value


def _known(value: SecretStr) -> SecretStr:
    """ValueError with a sentence for whatever could lead elsewhere than to the service itself."""
    text = value.get_secret_value()
    found = _SCHEME.fullmatch(text)
    if not found or not text.isprintable() or " " in text:
        raise ValueError("Enter one Apprise URL, for example prowl://apikey.")
    scheme = found[1].lower()
    if scheme in OWN_TYPES:
        raise ValueError(f"{scheme}:// has a channel type of its own here: {OWN_TYPES[scheme]}.")
    if scheme not in ALLOWED:
        raise ValueError(
            f"{scheme}:// is not offered: a service is reached by Apprise only when its host is fixed. "
            f"Offered are {', '.join(sorted(ALLOWED))}."
        )
    strange = sorted(
        {one_line(name)[:40] for name, _ in parse_qsl(urlsplit(text).query, keep_blank_values=True)} - ARGUMENTS
    )
    if strange:
        raise ValueError(f"The argument {strange[0]} is not offered; offered are {', '.join(sorted(ARGUMENTS))}.")
    return value


class AppriseConfig(ChannelConfig):
    """One service in Apprise's notation."""

    url: Annotated[Secret, BeforeValidator(_stripped), AfterValidator(_known)] = Field(
        max_length=1000,
        title="Apprise URL",
        description="As Apprise's wiki writes it; services with a host of their own only. For staff.",
        examples=["prowl://0123456789abcdef0123456789abcdef01234567"],  # scan: allowed
    )


class Apprise(ThreadedChannel):
    """One service that Apprise knows."""

    kind: ClassVar[str] = "apprise"
    label: ClassVar[str] = "Apprise URL"
    Config = AppriseConfig
    staff_only: ClassVar[bool] = True  # it may not belong to a client
    caveat: ClassVar[str] = (
        "For staff. Apprise tells little of what became of a message: no receipt, no folding of repeats, and often no reason."
    )

    @property
    def _url(self) -> str:
        return str(self.config.url.get_secret_value())

    def ready(self) -> str:
        """Apprise must understand the URL."""
        return (
            ""
            if self._service()
            else "Apprise does not understand this URL: compare it with Apprise's wiki, part by part."
        )

    def address(self) -> str:
        """The service's scheme; all else in the URL are keys and receivers."""
        return f"{self._url.partition('://')[0].lower()}://…"

    def secrets(self) -> list[str]:
        """The URL and its parts."""
        parts = re.split(r"[/@:?&=,]+", self._url.partition("://")[2])
        return [self._url, self._url.partition("://")[2], *parts]

    def _service(self) -> apprise.NotifyBase | None:
        asset = apprise.AppriseAsset(
            app_id="Watchkeeper",
            app_desc="Watchkeeper",
            http_redirects=False,
            secure_logging=True,
            storage_mode=apprise.PersistentStoreMode.MEMORY,
        )
        joint = "&" if "?" in self._url else "?"
        return apprise.Apprise.instantiate(f"{self._url}{joint}cto=5&rto=10&retry=0", asset=asset)  # type: ignore[no-any-return]

    def send(self, message: Message) -> Receipt:
        """Hand it to Apprise; at most 25 s. What went wrong is read from what Apprise logs."""
        service = self._service()
        if service is None:
            raise DeliveryError(self.ready(), permanent=True)
        client = apprise.Apprise()
        client.add(service)
        result = client.notify(
            title=headline(message, TITLE),
            body=body(message, BODY, links=message.links) or headline(message, TITLE),
            notify_type=apprise.NotifyType(KINDS.get(message.tone, "info")),
            body_format=apprise.NotifyFormat.TEXT,
            interpret_escapes=False,
            timeout=SECONDS,
        )
        if result:
            return Receipt(answer=f"{service.service_name} took it")
        told = " · ".join(one_line(entry.message) for entry in result.logs())
        raise self._failed(hide(told, self.secrets())[:240], result.status == apprise.AppriseResultStatus.TIMEOUT)

    def _failed(self, told: str, late: bool) -> DeliveryError:
        found = _HTTP.search(told)
        code = int(found[1]) if found else None
        text = f"Apprise says: {told}" if told else "Apprise could not deliver it and gave no reason."
        if code in (400, 401, 403, 404, 410):
            return DeliveryError(f"{text} Check the keys and receivers in the URL.", permanent=True, code=code)
        doubtful = late or (code or 0) >= 500 or any(mark in told.lower() for mark in _DOUBTFUL)
        return DeliveryError(text, ambiguous=doubtful, code=code)

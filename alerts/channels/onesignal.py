"""How does a message reach one's own app's users through OneSignal? A push to external ids, segments or subscriptions.

OneSignal answers 200 and means no: an empty `id` says that nothing was sent. The idempotency key is the delivery's, so a
second try is folded there; later messages of one alert replace the first on the device (`collapse_id`).
(https://documentation.onesignal.com/reference/push-notification)
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Annotated, Any, ClassVar, Final, Self

from django.conf import settings
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from alerts.channels.base import ChannelConfig, DeliveryError, ProviderAccount, Receipt, Secret
from alerts.channels.json_answers import JsonChannel
from alerts.channels.plain import as_json, body, headline, octets
from alerts.channels.wording import buttons, cut, one_line
from alerts.message import Message
from portal.outbound.http import Request, Response

HEADING, CONTENT, BUTTON, COLLAPSE = (
    200,
    1000,
    40,
    64,
)  # bytes of text: APNs and FCM carry 4 KB with everything around it
MOST_TARGETS, MOST_SEGMENTS, MOST_BUTTONS = 2000, 20, 2
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
CURES: Final = (
    ("not subscribed", "Nobody behind these targets has allowed notifications in the app."),
    ("invalid_aliases", "OneSignal knows none of these external ids: the app must log its users in under them."),
    ("access denied", "Check the app's API key: OneSignal → Settings → Keys & IDs."),
    ("app_id not found", "Check the app id: OneSignal → Settings → Keys & IDs."),
    ("segment", "Check the segment's name, letter for letter."),
)


def _listed(value: Any) -> Any:
    """One text may name several, separated by commas or lines; a segment's name has spaces."""
    return [part.strip() for part in re.split(r"[,\n]", value) if part.strip()] if isinstance(value, str) else value


def _named(value: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(value))
    if any(not part.isprintable() or not 0 < len(part) <= 128 for part in found):
        raise ValueError("Each is one line of at most 128 characters.")
    return found


def _uuids(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_UUID.fullmatch(part) for part in value):
        raise ValueError("A subscription id looks like 1dd608f2-c6a1-11e3-851d-000c2940e62c.")
    return value


def _checked_app(value: str) -> str:
    """The id as it is written; ValueError with the cure."""
    if value and not _UUID.fullmatch(value):
        raise ValueError("An app id looks like 5eb5a37e-b458-11e3-ac11-000c2940e62c: Settings → Keys & IDs.")
    return value


def _checked_key(value: SecretStr) -> SecretStr:
    """The key; ValueError when a header could not carry it."""
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable() and len(text) <= 300) or " " in text:
        raise ValueError("The API key contains characters that a key cannot have.")
    return value


Targets = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_named)]


class OneSignalConfig(ChannelConfig):
    """Who is told; and of which app, when it is not the installation's."""

    external_ids: Targets = Field(
        (),
        max_length=MOST_TARGETS,
        title="External ids",
        description="The users' own ids in your app, separated by commas.",
        examples=["alice"],
    )
    segments: Targets = Field((), max_length=MOST_SEGMENTS, title="Segments", description="For example: On call.")
    subscription_ids: Annotated[Targets, AfterValidator(_uuids)] = Field(
        (), max_length=MOST_TARGETS, title="Subscription ids", description="Single devices."
    )
    app_id: Annotated[str, AfterValidator(_checked_app)] = Field(
        "",
        title="App id",
        description="Empty: the installation's app.",
        examples=["5eb5a37e-b458-11e3-ac11-000c2940e62c"],
    )
    api_key: Annotated[Secret, AfterValidator(_checked_key)] = Field(
        SecretStr(""),
        title="App API key",
        description="With an app id of one's own.",
        examples=["os_v2_app_l223k7vuldepblartgeya7ldwy"],  # scan: allowed
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(map(bool, (self.external_ids, self.segments, self.subscription_ids))) != 1:
            raise ValueError("Enter external ids, or segments, or subscription ids: one of the three.")
        if bool(self.app_id) is not bool(self.api_key.get_secret_value()):
            raise ValueError("An app id and its API key belong together.")
        return self


class OneSignalAccount(ProviderAccount):
    """The installation's own OneSignal app."""

    app_id: Annotated[str, AfterValidator(_checked_app)] = Field(
        "", title="App id", description="Settings → Keys & IDs."
    )
    api_key: Annotated[SecretStr, AfterValidator(_checked_key)] = Field(SecretStr(""), title="App API key")


class OneSignal(JsonChannel):
    """A push to users of one OneSignal app."""

    kind: ClassVar[str] = "onesignal"
    label: ClassVar[str] = "OneSignal"
    Config = OneSignalConfig
    main_field: ClassVar[str] = "external_ids"
    keyed: ClassVar[bool] = True
    lifecycle: ClassVar[bool] = True
    provider: ClassVar[str] = "onesignal"
    provider_label: ClassVar[str] = "OneSignal"
    Account = OneSignalAccount
    API: ClassVar[str] = "https://api.onesignal.com"

    @property
    def _app(self) -> tuple[str, str]:
        """(app id, key): the channel's own, or the installation's, never one of each."""
        if self.config.app_id:
            return self.config.app_id, self.config.api_key.get_secret_value()
        return str(self.provider_settings.get("app_id") or ""), str(self.provider_settings.get("api_key") or "")

    def ready(self) -> str:
        """An app is needed from somewhere."""
        if not all(self._app):
            return "No OneSignal app: enter its id and API key here, or in the provider settings of OneSignal."
        return ""

    def address(self) -> str:
        """Whom it goes to."""
        config = self.config
        named = config.external_ids or config.segments or config.subscription_ids
        return cut(", ".join(one_line(name) for name in named), 200)

    def secrets(self) -> list[str]:
        """The key, the channel's or the installation's."""
        return [self._app[1]]

    def request(self, message: Message) -> Request:
        """The push."""
        own_id, key = self._app
        headers = {"Content-Type": "application/json; charset=utf-8", "Authorization": f"Key {key}"}
        content = {"app_id": own_id, **self._target(), **content_of(message)}
        return Request(
            f"{self.API}/notifications?c=push", "POST", headers, as_json(content), timeout=10.0, max_body=256 * 1024
        )

    def _target(self) -> dict[str, Any]:
        if self.config.external_ids:
            return {"target_channel": "push", "include_aliases": {"external_id": list(self.config.external_ids)}}
        if self.config.segments:
            return {"target_channel": "push", "included_segments": list(self.config.segments)}
        return {"include_subscription_ids": list(self.config.subscription_ids)}

    def taken(self, response: Response, said: dict[str, Any]) -> Receipt | None:
        """200 with an id took it, perhaps not for all; 200 without one sent nothing."""
        detail = self.hidden(self.words(said))
        if isinstance(said.get("id"), str) and said["id"]:
            told = f"not for all: {detail}" if detail else "accepted"
            return Receipt(code=response.status, provider_id=one_line(said["id"])[:64], answer=told[:200])
        if "id" not in said and not detail:
            return None
        cure = self.cure(response, said, detail)
        text = f"Nothing was sent: {detail or 'no reason was given'}"
        raise DeliveryError(f"{text.rstrip('.')}. {cure}" if cure else text, permanent=True, code=response.status)

    def words(self, said: dict[str, Any]) -> str:
        """OneSignal's words, a list or an object of lists."""
        return _errors(said.get("errors"))

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """By what is said."""
        lowered = words.lower()
        return next((cure for mark, cure in CURES if mark in lowered), "")


def _errors(errors: Any) -> str:
    """OneSignal's words, a list or an object of lists."""
    if isinstance(errors, dict):
        told = [
            f"{name}: {_errors(value) if isinstance(value, dict | list) else one_line(value)}"
            for name, value in errors.items()
        ]
    else:
        told = [one_line(part) for part in errors] if isinstance(errors, list) else []
    return " · ".join(told)[:240]


# --- the push --------------------------------------------------------------------------------------------------------
def idempotency_key(delivery_id: int) -> str:
    """The delivery's name at OneSignal, the same on every try and another one for each installation."""
    if not delivery_id:
        return str(uuid.uuid4())  # a message without a delivery is never repeated
    installation = uuid.UUID(bytes=hashlib.sha256(f"onesignal:{settings.SECRET_KEY}".encode()).digest()[:16])
    return str(uuid.uuid5(installation, f"delivery-{delivery_id}"))


def content_of(message: Message) -> dict[str, Any]:
    """Everything but app and target; the text is cut in bytes, as phones count."""
    pressed = buttons(message.links)
    content: dict[str, Any] = {
        "headings": {"en": headline(message, HEADING, octets)},
        "contents": {"en": body(message, CONTENT, octets, keyed=True) or headline(message, HEADING, octets)},
        "idempotency_key": idempotency_key(message.delivery_id),
        "priority": 10 if message.open or message.kind == "test" else 5,
        "data": {link.rel: link.url for link in pressed} | {"severity": message.severity, "kind": message.kind},
        "web_buttons": [
            {
                "id": one_line(link.rel)[:40] or f"link-{place}",
                "text": cut(one_line(link.label), BUTTON),
                "url": link.url,
            }
            for place, link in enumerate(pressed[:MOST_BUTTONS])
        ],
    }
    click = message.link("open") or (pressed[0].url if pressed else "")
    if click:
        content["url"] = click
    if message.key:
        content["collapse_id"] = message.key[:COLLAPSE]
    if message.open and message.severity == "critical":
        content["ios_interruption_level"] = "time_sensitive"
    return content

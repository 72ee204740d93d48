"""How does a message reach one's own app's users through Pusher Beams? Published to interests or to users, for all devices.

One publish carries the web, the Android and the Apple form of the same notification.
(https://pusher.com/docs/beams/reference/publish-api)
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from alerts.channels.base import ChannelConfig, ProviderAccount, Receipt, Secret
from alerts.channels.json_answers import JsonChannel
from alerts.channels.plain import as_json, body, headline, octets
from alerts.channels.wording import buttons, cut, one_line
from alerts.message import Message
from portal.outbound.http import Request, Response

TITLE, BODY = 200, 1000  # bytes: each platform carries 4 KB, and the publish 10 KiB with all three
MOST_INTERESTS, MOST_USERS, NAME = 100, 1000, 164  # Pusher's own numbers
_INSTANCE: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_INTEREST: Final = re.compile(r"[-_=@,.;A-Za-z0-9]{1,164}")
CURES: Final = {
    401: "Check the secret key: Beams → the instance → Keys.",
    404: "Check the instance id: Beams → the instance → Keys.",
}


def _listed(value: Any) -> Any:
    """One text may name several, separated by spaces or lines; an interest's name may hold a comma."""
    return value.split() if isinstance(value, str) else value


def _interests(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(_INTEREST.fullmatch(name) for name in value):
        raise ValueError(f"An interest has letters, digits and _-=@,.; only, at most {NAME} of them.")
    return tuple(dict.fromkeys(value))


def _users(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(name.isprintable() and 0 < len(name) <= NAME for name in value):
        raise ValueError(f"A user's id is one line of at most {NAME} characters.")
    return tuple(dict.fromkeys(value))


def _checked_instance(value: str) -> str:
    """The id as it is written (it becomes part of a host name); ValueError with the cure."""
    if value and not _INSTANCE.fullmatch(value):
        raise ValueError("An instance id looks like 01234567-89ab-4cde-8f01-23456789abcd: Beams → the instance → Keys.")
    return value.lower()


def _checked_key(value: SecretStr) -> SecretStr:
    """The key; ValueError when a header could not carry it."""
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable() and len(text) <= 300) or " " in text:
        raise ValueError("The secret key contains characters that a key cannot have.")
    return value


class PusherBeamsConfig(ChannelConfig):
    """Who is told; and of which instance, when it is not the installation's."""

    interests: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_interests)] = Field(
        (),
        max_length=MOST_INTERESTS,
        title="Interests",
        description="Names that devices subscribe to, separated by spaces. Whoever knows a name can subscribe.",
        examples=["acme-alerts"],
    )
    users: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_users)] = Field(
        (), max_length=MOST_USERS, title="Users", description="Ids of authenticated users, instead of interests."
    )
    instance_id: Annotated[str, AfterValidator(_checked_instance)] = Field(
        "",
        title="Instance id",
        description="Empty: the installation's instance.",
        examples=["01234567-89ab-4cde-8f01-23456789abcd"],
    )
    secret_key: Annotated[Secret, AfterValidator(_checked_key)] = Field(
        SecretStr(""),
        title="Secret key",
        description="With an instance of one's own.",
        examples=["0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"],  # scan: allowed
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.interests) is bool(self.users):
            raise ValueError("Enter interests or users, one of the two.")
        if bool(self.instance_id) is not bool(self.secret_key.get_secret_value()):
            raise ValueError("An instance id and its secret key belong together.")
        return self


class PusherBeamsAccount(ProviderAccount):
    """The installation's own Beams instance."""

    instance_id: Annotated[str, AfterValidator(_checked_instance)] = Field(
        "", title="Instance id", description="Beams → Keys."
    )
    secret_key: Annotated[SecretStr, AfterValidator(_checked_key)] = Field(SecretStr(""), title="Secret key")


class PusherBeams(JsonChannel):
    """A push to the devices of one Beams instance."""

    kind: ClassVar[str] = "pusher_beams"
    label: ClassVar[str] = "Pusher Beams"
    Config = PusherBeamsConfig
    main_field: ClassVar[str] = "interests"
    provider: ClassVar[str] = "pusher_beams"
    provider_label: ClassVar[str] = "Pusher Beams"
    Account = PusherBeamsAccount
    caveat: ClassVar[str] = (
        "Beams has no access rule for interests: whoever knows the name can listen. Choose names that nobody guesses, "
        "or address users."
    )
    API: ClassVar[str] = "https://{instance}.pushnotifications.pusher.com"

    @property
    def _instance(self) -> tuple[str, str]:
        """(instance id, key): the channel's own, or the installation's, never one of each."""
        if self.config.instance_id:
            return self.config.instance_id, self.config.secret_key.get_secret_value()
        kept = self.provider_settings
        return str(kept.get("instance_id") or "").lower(), str(kept.get("secret_key") or "")

    def ready(self) -> str:
        """An instance is needed from somewhere."""
        own_id, key = self._instance
        if not own_id or not key or not _INSTANCE.fullmatch(own_id):
            return "No Beams instance: enter its id and secret key here, or in the provider settings of Pusher Beams."
        return ""

    def address(self) -> str:
        """Whom it goes to."""
        return cut(", ".join(one_line(name) for name in self.config.interests or self.config.users), 200)

    def secrets(self) -> list[str]:
        """The key, the channel's or the installation's."""
        return [self._instance[1]]

    def request(self, message: Message) -> Request:
        """The publish."""
        own_id, key = self._instance
        target = "interests" if self.config.interests else "users"
        names = list(self.config.interests or self.config.users)
        url = f"{self.API.replace('{instance}', own_id)}/publish_api/v1/instances/{own_id}/publishes/{target}"
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        content = as_json({target: names, **content_of(message)})
        return Request(url, "POST", headers, content, timeout=10.0, max_body=256 * 1024)

    def taken(self, response: Response, said: dict[str, Any]) -> Receipt | None:
        """200 with a publish id."""
        if not said.get("publishId"):
            return None
        return Receipt(code=response.status, provider_id=one_line(said["publishId"])[:100], answer="published")

    def words(self, said: dict[str, Any]) -> str:
        """Error and description."""
        return ": ".join(filter(None, (one_line(said.get("error") or ""), one_line(said.get("description") or ""))))

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """By status."""
        return CURES.get(response.status, "")


def content_of(message: Message) -> dict[str, Any]:
    """The same notification for the web, for Android and for Apple; the text is cut in bytes, as they count."""
    title = headline(message, TITLE, octets)
    text = body(message, BODY, octets) or title
    pressed = buttons(message.links)
    data = {link.rel: link.url for link in pressed} | {"severity": message.severity, "kind": message.kind}
    click = message.link("open") or (pressed[0].url if pressed else "")
    web: dict[str, Any] = {"title": title, "body": text}
    if click:
        web["deep_link"] = click
    aps: dict[str, Any] = {"alert": {"title": title, "body": text}, "sound": "default"}
    if message.thread:
        aps["thread-id"] = one_line(message.thread)[:64]
    return {
        "web": {"notification": web, "data": data},
        "fcm": {"notification": {"title": title, "body": text}, "data": data},
        "apns": {"aps": aps, "data": data},
    }

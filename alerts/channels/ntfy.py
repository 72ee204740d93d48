"""How does a message reach a phone through ntfy, hosted or one's own? Published as JSON, in place of the one before it.

Nothing in it is markdown, so a name shows as typed. A sequence id makes later messages of one alert replace the first
(servers from 2.16 on; older ones show them one after another). Buttons only open pages: a button that acts would carry
the right to acknowledge to everybody who can read the topic. (https://docs.ntfy.sh/publish/)
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from alerts.channels.addresses import RequiredHookUrl, readable
from alerts.channels.base import ChannelConfig, Receipt, Secret
from alerts.channels.json_answers import JsonChannel
from alerts.channels.plain import as_json, body, headline, octets
from alerts.channels.wording import buttons, cut, one_line
from alerts.message import Message
from portal.outbound.http import Request, Response

MESSAGE, DOCUMENT = 4096, 8192  # bytes: more makes an attachment of it; the whole JSON may be twice as long
TITLE, LABEL, URL, MOST_ACTIONS = 200, 40, 1000, 3
_TOPIC: Final = re.compile(r"[-_A-Za-z0-9]{1,64}")
_SEQUENCE: Final = _TOPIC
PRIORITIES: Final = {"critical": 5, "warning": 4, "info": 3, "resolved": 3}
QUIET: Final = {"acknowledged": 2, "shift": 3, "canary": 2, "test": 3}
TAGS: Final = {"critical": "red_circle", "warning": "warning", "info": "information_source", "resolved": "green_circle"}
CURES: Final = {
    40101: "Check the access token, or the user and the password.",
    40301: "This topic needs a token that may write to it: enter one here.",
    40009: "The topic is not valid: letters, digits, - and _, at most 64.",
    40010: "This topic's name is reserved by the server; choose another.",
    42908: "The day's messages are used up; a paid plan or a server of your own takes more.",
    50701: "The server has no room left; its operator must clear some.",
}


def _topic_of(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    topic = parts.path.rstrip("/").rpartition("/")[2]
    if parts.query or parts.fragment or not _TOPIC.fullmatch(topic):
        raise ValueError("Enter the server and the topic, for example https://ntfy.sh/acme-alerts-k7q2x9.")
    return value


def _credential(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isprintable() and len(text) <= 300):
        raise ValueError("A token or a password is one line of plain characters.")
    return value


class NtfyConfig(ChannelConfig):
    """Server and topic in one address, and who may write to it."""

    url: Annotated[RequiredHookUrl, AfterValidator(_topic_of)] = Field(
        title="Topic URL",
        description="Server and topic. Whoever knows a topic can read it: choose a name that nobody guesses.",
        examples=["https://ntfy.sh/acme-alerts-k7q2x9"],
        json_schema_extra={"secret": True, "format": "uri"},
    )
    token: Annotated[Secret, AfterValidator(_credential)] = Field(
        SecretStr(""), title="Access token", description="tk_…; for topics that are not open to everybody."
    )
    user: str = Field("", max_length=100, pattern=r"\A[^\s:]*\z", title="User", description="Instead of a token.")
    password: Annotated[Secret, AfterValidator(_credential)] = Field(SecretStr(""), title="Password")

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        token, password = self.token.get_secret_value(), self.password.get_secret_value()
        if token and (self.user or password):
            raise ValueError("Enter a token, or a user and a password, not both.")
        if bool(self.user) is not bool(password):
            raise ValueError("A user and a password belong together.")
        if not token.isascii():
            raise ValueError("The token contains characters that a token cannot have.")
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return (self.url.get_secret_value(),)


class Ntfy(JsonChannel):
    """One ntfy topic."""

    kind: ClassVar[str] = "ntfy"
    label: ClassVar[str] = "ntfy"
    Config = NtfyConfig
    lifecycle: ClassVar[bool] = True

    @property
    def _place(self) -> tuple[str, str]:
        """(server with its final slash, topic)."""
        base, _, topic = str(self.config.url.get_secret_value()).rstrip("/").rpartition("/")
        return f"{base}/", topic

    def address(self) -> str:
        """The server; the topic is as good as a password."""
        return readable(self.config.url.get_secret_value())

    def secrets(self) -> list[str]:
        """Also the topic alone."""
        return [*super().secrets(), self._place[1]]

    def request(self, message: Message) -> Request:
        """The JSON goes to the server's root and names the topic."""
        server, topic = self._place
        headers = {"Content-Type": "application/json"} | self._login()
        return Request(server, "POST", headers, content_of(message, topic), timeout=10.0, max_body=256 * 1024)

    def _login(self) -> dict[str, str]:
        token = self.config.token.get_secret_value()
        if token:
            return {"Authorization": f"Bearer {token}"}
        if self.config.user:
            pair = f"{self.config.user}:{self.config.password.get_secret_value()}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}

    def taken(self, response: Response, said: dict[str, Any]) -> Receipt | None:
        """200 with an id."""
        if not isinstance(said.get("id"), str):
            return None
        told = "published; the text came as an attachment" if said.get("attachment") else "published"
        return Receipt(code=response.status, provider_id=one_line(said["id"])[:64], answer=told)

    def words(self, said: dict[str, Any]) -> str:
        """Its sentence."""
        return one_line(said.get("error") or "")

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """By ntfy's own number."""
        number = said.get("code")
        return CURES.get(number, "") if isinstance(number, int) else ""


# --- the message -----------------------------------------------------------------------------------------------------
def priority_of(message: Message) -> int:
    """1 (silent) to 5 (through do-not-disturb)."""
    return QUIET.get(message.kind) or PRIORITIES.get(message.tone, 3)


def sequence_of(message: Message) -> str:
    """What later messages replace: the alert's, or this delivery's own, so that a second copy replaces the first."""
    name = message.key or f"watchkeeper-delivery-{message.delivery_id}"
    return name if _SEQUENCE.fullmatch(name) else ""


def content_of(message: Message, topic: str) -> bytes:
    """The JSON, within both of ntfy's limits: the message is cut, never a link."""
    pressed = [link for link in buttons(message.links) if len(link.url) <= URL][:MOST_ACTIONS]
    content: dict[str, Any] = {
        "topic": topic,
        "title": headline(message, TITLE),
        "message": "",
        "priority": priority_of(message),
        "tags": [TAGS.get(message.tone, "warning")],
        "actions": [
            {"action": "view", "label": cut(one_line(link.label), LABEL), "url": link.url, "clear": False}
            for link in pressed
        ],
    }
    click = message.link("open") or (pressed[0].url if pressed else "")
    if click and len(click) <= URL:
        content["click"] = click
    if sequence_of(message):
        content["sequence_id"] = sequence_of(message)
    room = DOCUMENT - len(as_json(content))
    text = body(message, MESSAGE, octets)
    if len(as_json(text)) - 2 > room:
        text = body(message, room, lambda part: len(as_json(part)) - 2)
    return as_json({**content, "message": text})

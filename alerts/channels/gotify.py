"""How does a message reach a Gotify server? One POST with the application's token; markdown off, so names show as typed.

(https://gotify.net/api-docs, https://gotify.net/docs/msgextras)
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from alerts.channels.addresses import RequiredHookUrl, readable
from alerts.channels.base import ChannelConfig, Receipt, Secret
from alerts.channels.json_answers import JsonChannel
from alerts.channels.plain import as_json, body, headline
from alerts.channels.wording import buttons, one_line
from alerts.message import Message
from portal.outbound.http import Request, Response

TITLE, MESSAGE = 200, 6000  # Gotify has no limits of its own; a phone has
PRIORITIES: Final = {
    "critical": 8,
    "warning": 5,
    "info": 4,
    "resolved": 4,
}  # from 4 on it sounds, from 8 on it vibrates
QUIET: Final = {"acknowledged": 2, "canary": 2}
CURES: Final = {
    401: "Check the token: Gotify → Apps → the application's token (A…), not a client's (C…).",
    403: "Check the token: Gotify → Apps → the application's token (A…), not a client's (C…).",
    404: "There is no Gotify at this address: enter the server's base URL, with its path when it has one.",
}


def _base(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.fragment or set(parse_qs(parts.query, keep_blank_values=True)) - {"token"}:
        raise ValueError("Enter the server's base URL, for example https://gotify.example.com.")
    return value


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable() and len(text) <= 200) or " " in text:
        raise ValueError("The token contains characters that a token cannot have.")
    return value


class GotifyConfig(ChannelConfig):
    """The server and the application's token."""

    url: Annotated[RequiredHookUrl, AfterValidator(_base)] = Field(
        title="Server URL",
        description="The server's base URL; also https://…/message?token=… as copied from Gotify's own examples.",
        examples=["https://gotify.example.com"],
        json_schema_extra={"format": "uri", "writeOnly": False},
    )
    token: Annotated[Secret, AfterValidator(_token)] = Field(
        SecretStr(""),
        title="Application token",
        description="Gotify → Apps → Create application: its token begins with A.",
        examples=["AzyoeNS.D4iJLVa"],
    )

    def also_secret(self) -> tuple[str, ...]:
        """The URL is a secret when it carries the token."""
        return ("url",) if urlsplit(self.url.get_secret_value()).query else ()

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return (self.url.get_secret_value(),)


class Gotify(JsonChannel):
    """One application on a Gotify server."""

    kind: ClassVar[str] = "gotify"
    label: ClassVar[str] = "Gotify"
    Config = GotifyConfig

    @property
    def _app_token(self) -> str:
        query = parse_qs(urlsplit(self.config.url.get_secret_value()).query)
        return self.config.token.get_secret_value() or (query.get("token") or [""])[0]

    @property
    def _server(self) -> str:
        base = str(self.config.url.get_secret_value()).partition("?")[0].rstrip("/")
        return base.removesuffix("/message")

    def ready(self) -> str:
        """A token is needed from somewhere."""
        if not self._app_token:
            return "No application token: make an application in Gotify and enter its token here."
        try:
            _token(SecretStr(self._app_token))
        except ValueError as error:
            return str(error)
        return ""

    def address(self) -> str:
        """The server."""
        return readable(self._server)

    def secrets(self) -> list[str]:
        """The token, wherever it stands; the server's address is none."""
        return [self._app_token]

    def request(self, message: Message) -> Request:
        """The POST."""
        headers = {"Content-Type": "application/json", "X-Gotify-Key": self._app_token}
        return Request(
            f"{self._server}/message", "POST", headers, as_json(content_of(message)), timeout=10.0, max_body=256 * 1024
        )

    def taken(self, response: Response, said: dict[str, Any]) -> Receipt | None:
        """200 with an id."""
        if not isinstance(said.get("id"), int):
            return None
        return Receipt(code=response.status, provider_id=str(said["id"])[:40], answer=f"message {said['id']}"[:60])

    def words(self, said: dict[str, Any]) -> str:
        """Its description."""
        return one_line(said.get("errorDescription") or said.get("error") or "")

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """By status."""
        return CURES.get(response.status, "")


def content_of(message: Message) -> dict[str, Any]:
    """Title, plain text with the links at its end, and what a tap opens."""
    pressed = buttons(message.links)
    extras: dict[str, Any] = {"client::display": {"contentType": "text/plain"}}
    click = message.link("open") or (pressed[0].url if pressed else "")
    if click:
        extras["client::notification"] = {"click": {"url": click}}
    return {
        "title": headline(message, TITLE),
        "message": body(message, MESSAGE, links=message.links) or headline(message, TITLE),
        "priority": QUIET.get(message.kind) or PRIORITIES.get(message.tone, 4),
        "extras": extras,
    }

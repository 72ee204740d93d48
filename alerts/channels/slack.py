"""How does a message look in Slack? Block Kit in one coloured attachment, by an incoming webhook or the Web API.

Names and causes are shown in `plain_text` and with markup off: Slack's own markup has no escape for `*` and `_`, and a
name must show as typed. With a bot token the message of a failure is brought up to date in place when it recovers.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final, Self

from pydantic import Field, SecretStr, model_validator

from alerts.channels.addresses import HookUrl, readable
from alerts.channels.answers import DiscreetChannel, hide, words_of
from alerts.channels.base import ChannelConfig, DeliveryError, ProviderAccount, Receipt, Secret, retry_after
from alerts.channels.wording import (
    buttons,
    counts,
    cut,
    first_line,
    line_shape,
    line_where,
    line_word,
    one_line,
    reference,
    rows,
    span,
    word,
)
from alerts.message import COLOURS, SLACK_EMOJI, Line, Link, Message
from portal.outbound.guard import check_url
from portal.outbound.http import Request, Response

API: Final = "https://slack.com/api"
TEXT, SECTION, FIELD, BUTTON, URL = 1000, 2800, 1900, 70, 3000  # what Slack takes, a little less
MOST_FIELDS, MOST_BUTTONS, MOST_LINES = 10, 5, 40
ACKNOWLEDGE: Final = "acknowledge"  # the button that Slack reports back (alerts.twoway.chat)
OWN_HOSTS: Final = ("slack.com", "slack-gov.com")

AGAIN: Final = frozenset(
    ("ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout")
    + ("team_added_to_org", "accesslimited")
)
DOUBTFUL: Final = frozenset(("internal_error", "fatal_error", "request_timeout"))
IN_PLACE: Final = ("recovered", "updated", "acknowledged")  # these change the first message instead of adding one
NOT_THERE: Final = frozenset(("message_not_found", "cant_update_message", "edit_window_closed"))
CURES: Final = {
    "not_in_channel": "Invite the app into the channel (/invite @app).",
    "channel_not_found": "Check the channel's id; a private channel must invite the app first.",
    "is_archived": "The channel is archived; choose another one.",
    "channel_is_archived": "The channel is archived; make a webhook for another one.",
    "no_service": "The webhook was removed or switched off; make a new one in Slack.",
    "no_active_hooks": "The webhook was removed or switched off; make a new one in Slack.",
    "invalid_token": "The webhook's address is not complete; copy it again from Slack.",
    "invalid_auth": "The bot token is wrong; copy it again from Slack (xoxb-…).",
    "not_authed": "The bot token is missing; enter it (xoxb-…).",
    "token_revoked": "The bot token was revoked; install the app again and enter the new one.",
    "token_expired": "The bot token has expired; enter a new one.",
    "account_inactive": "The app was removed from the workspace; install it again.",
    "missing_scope": "The app lacks the right chat:write; add it and install the app again.",
    "action_prohibited": "A workspace administrator has restricted posting; ask them.",
    "posting_to_general_channel_denied": "Posting to this channel is restricted; choose another one.",
}


class SlackConfig(ChannelConfig):
    """A webhook URL, or a channel with a bot token."""

    url: HookUrl = Field(
        SecretStr(""),
        title="Incoming webhook URL",
        description="Slack app → Incoming Webhooks → Add. Leave empty when a bot token is used.",
        examples=["https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"],  # scan: allowed
        json_schema_extra={"secret": True, "format": "uri"},
    )
    channel: str = Field(
        "",
        max_length=100,
        pattern=r"\A[#@]?[\w.\-]*\z",
        title="Channel",
        description="With a bot token: the channel's id (C…) or #name.",
    )
    token: Secret = Field(
        SecretStr(""), title="Bot token", description="xoxb-…; empty: the installation's own, if it has one."
    )
    signing_secret: Secret = Field(
        SecretStr(""),
        title="Signing secret",
        description="Of the app that the bot token above belongs to: then Acknowledge works inside Slack.",
    )
    api_url: HookUrl = Field(
        SecretStr(API),
        title="Web API",
        description="Another address only for GovSlack.",
        json_schema_extra={"format": "uri", "writeOnly": False},
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        url, api = self.url.get_secret_value(), self.api_url.get_secret_value()
        if not url and not self.channel:
            raise ValueError("Enter the webhook URL, or a channel and a bot token.")
        for address in filter(None, (url, api)):
            parts = check_url(address)
            if parts.scheme != "https" and parts.host.endswith(OWN_HOSTS):
                raise ValueError("The address is the secret: Slack's begin with https://.")
        token = self.token.get_secret_value()
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            raise ValueError("The bot token contains characters a token cannot have.")
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        api = self.api_url.get_secret_value()
        return tuple(filter(None, (self.url.get_secret_value(), api if api != API else "")))


class SlackAccount(ProviderAccount):
    """The installation's own Slack app."""

    token: SecretStr = Field(SecretStr(""), title="Bot token", description="xoxb-…, with the right chat:write.")
    signing_secret: SecretStr = Field(
        SecretStr(""),
        title="Signing secret",
        description="Basic Information → App Credentials. With it, and BASE_URL/hooks/slack/ as the app's interactivity "
        "Request URL, Acknowledge works inside Slack.",
    )


class Slack(DiscreetChannel):
    """One message in a Slack channel."""

    kind: ClassVar[str] = "slack"
    label: ClassVar[str] = "Slack"
    Config = SlackConfig
    provider: ClassVar[str] = "slack"
    provider_label: ClassVar[str] = "Slack"
    Account = SlackAccount
    lifecycle: ClassVar[bool] = True

    @property
    def _by_api(self) -> bool:
        """A webhook URL wins: it alone says where to."""
        return not self.config.url.get_secret_value()

    @property
    def _token(self) -> str:
        return self.config.token.get_secret_value() or self._own_token

    @property
    def _own_token(self) -> str:
        """The installation's token; it is never sent to an address that a channel chose."""
        mine = self.config.api_url.get_secret_value() == API
        return str(self.provider_settings.get("token") or "") if mine else ""

    @property
    def signing_secret(self) -> str:
        """What the app signs presses with that posts here: the channel's own with its own token, else the installation's."""
        if self.config.token.get_secret_value() or not self._own_token:
            return str(self.config.signing_secret.get_secret_value())
        return str(self.provider_settings.get("signing_secret") or "")

    @property
    def interactive(self) -> bool:
        """May a button be more than a link? Presses of a webhook's messages, or of an app that cannot prove itself, may not."""
        return self._by_api and bool(self.signing_secret)

    def ready(self) -> str:
        """A channel without webhook needs a token from somewhere."""
        if self._by_api and not self._token:
            return "No bot token: enter one here, or in the provider settings of Slack, or use a webhook URL."
        return ""

    def address(self) -> str:
        """The channel, or the webhook's host."""
        return one_line(self.config.channel) if self._by_api else readable(self.config.url.get_secret_value())

    def secrets(self) -> list[str]:
        """Also the URL's path alone, and the installation's token."""
        url = self.config.url.get_secret_value()
        path = [check_url(url).target] if url else []
        parts = [part for part in "".join(path).split("/") if len(part) >= 16]
        api = self.config.api_url.get_secret_value()
        own = [self._own_token, str(self.provider_settings.get("signing_secret") or "")]
        return [s for s in super().secrets() if s != api] + path + parts + own

    def request(self, message: Message) -> Request:
        """The webhook's POST, chat.postMessage, or chat.update of what this destination heard first."""
        content: dict[str, Any] = content_of(message, interactive=self.interactive)
        if not self._by_api:
            return self._post(self.config.url.get_secret_value(), content, {})
        method = "chat.postMessage"
        place, _, ts = message.provider_id.partition(":")
        content["channel"] = self.config.channel
        if place and ts and not message.lines:
            if message.kind in IN_PLACE and message.attempt <= 1:
                method = "chat.update"  # a second try posts anew: the first message may be gone or closed
                content = {"channel": place, "ts": ts, **_updating(content, message)}
            else:
                content |= {"channel": place, "thread_ts": ts, "reply_broadcast": True}
        base = self.config.api_url.get_secret_value().rstrip("/")
        return self._post(f"{base}/{method}", content, {"Authorization": f"Bearer {self._token}"})

    def _post(self, url: str, content: dict[str, Any], headers: dict[str, str]) -> Request:
        headers = {"Content-Type": "application/json; charset=utf-8", **headers}
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
        return Request(url, "POST", headers, body, timeout=10.0, max_body=256 * 1024)

    def read(self, response: Response) -> Receipt:
        """A webhook says it by its status; the Web API says 200 and means `ok`."""
        if self._by_api and response.status == 200:
            return self._read_api(response)
        try:
            return super().read(response)
        except DeliveryError as error:
            cure = CURES.get(words_of(response, self.secrets()))
            if cure is None:
                raise
            permanent, code = error.permanent, error.code
            raise DeliveryError(f"{error}. {cure}", permanent=permanent, code=code) from None

    def _read_api(self, response: Response) -> Receipt:
        try:
            answer = json.loads(response.body)
            said = bool(answer["ok"])
        except (ValueError, KeyError, TypeError):
            raise DeliveryError(
                "Slack's answer could not be read: it may have been posted.", ambiguous=True, code=200
            ) from None
        if said:
            name = f"{answer.get('channel', '')}:{answer.get('ts', '')}"
            return Receipt(code=200, provider_id=name if len(name) > 3 else "", answer="ok")
        error = one_line(answer.get("error") or "unknown error")[:100]
        detail = (answer.get("response_metadata") or {}).get("messages") or []
        text = "Slack says: " + words_of_text(error, detail, self.secrets())
        raise DeliveryError(
            f"{text}. {CURES[error]}" if error in CURES else text,
            permanent=error not in AGAIN and error not in NOT_THERE,
            ambiguous=error in DOUBTFUL,
            code=200,
            retry_after=retry_after(response),
        )


def words_of_text(error: str, detail: list[Any], secrets: list[str]) -> str:
    """Slack's error code and its details, without secrets, cut."""
    return hide(one_line(" · ".join([error, *map(str, detail[:2])])), secrets)[:200]


# --- the message -----------------------------------------------------------------------------------------------------
def escape(text: str) -> str:
    """Slack's three: & < >"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def fit(text: str, limit: int) -> str:
    """Escaped and at most `limit` long, never cut inside an entity."""
    return escape(cut(text, limit, lambda part: len(escape(part))))


def plain(text: str, limit: int) -> dict[str, Any]:
    """A text object in which nothing is markup."""
    return {"type": "plain_text", "text": fit(text, limit) or " ", "emoji": False}


def content_of(message: Message, *, interactive: bool = False) -> dict[str, Any]:
    """`text` is the notification and first line, the attachment its coloured bar with the rest.

    `interactive`: the Acknowledge button carries the token and acts in Slack, instead of opening a page.
    """
    if message.letter:
        return _ready(message)
    pressed = message.acknowledge_token if interactive and message.open else ""
    about = counts(message) if message.lines else message.where or one_line(message.title)
    cause = "" if message.lines else " — ".join(filter(None, (message.extent, first_line(message))))
    if message.resolved and not message.lines:
        cause = cause.replace(one_line(message.title), "").strip()  # "after 6 min": the word says the rest
    headline = " — ".join(filter(None, (f"[{word(message)}] {one_line(about)}", cause if cause != about else "")))
    emoji = SLACK_EMOJI[message.tone]
    blocks = _gathered(message) if message.lines else _single(message, pressed)
    return {
        "text": f"{emoji} {fit(headline, TEXT)}",
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "attachments": [{"color": COLOURS[message.tone], "fallback": fit(headline, TEXT), "blocks": blocks}],
    }


def _ready(message: Message) -> dict[str, Any]:
    """What another app wrote, as plain text, with its links as buttons."""
    said = message.letter
    subject, tone = one_line(said["subject"]), said.get("tone", "")
    blocks: list[dict[str, Any]] = [{"type": "section", "text": plain(said["text"], SECTION)}, *_end(message)]
    return {
        "text": f"{SLACK_EMOJI.get(tone, SLACK_EMOJI['info'])} {fit(subject, TEXT)}",
        "mrkdwn": False, "unfurl_links": False, "unfurl_media": False,
        "attachments": [{"color": COLOURS.get(tone, COLOURS["info"]), "fallback": fit(subject, TEXT), "blocks": blocks}],
    }  # fmt: skip


def _updating(content: dict[str, Any], message: Message) -> dict[str, Any]:
    """The same for chat.update, which cannot switch markup off: its `text` holds nothing that anybody typed."""
    after = f" after {span(message.duration_seconds)}" if message.duration_seconds else ""
    return {"text": f"{SLACK_EMOJI[message.tone]} {word(message)}{after}", "attachments": content["attachments"]}


def _single(message: Message, pressed: str = "") -> list[dict[str, Any]]:
    title, first = one_line(message.title), first_line(message)
    said = first if first.startswith(title) else "\n".join(filter(None, (title, first)))
    blocks: list[dict[str, Any]] = [{"type": "section", "text": plain(said, SECTION)}]
    fields = [plain(f"{label}\n{value}", FIELD) for label, value in rows(message)[:MOST_FIELDS]]
    if fields:
        blocks.append({"type": "section", "fields": fields})
    return blocks + _end(message, pressed)


def _gathered(message: Message) -> list[dict[str, Any]]:
    blocks = [_line(line, number) for number, line in enumerate(message.lines[:MOST_LINES])]
    more = message.more + max(0, len(message.lines) - MOST_LINES)
    if more:
        blocks.append({"type": "context", "elements": [plain(f"and {more} more", FIELD)]})
    return blocks + _end(message)


def _line(line: Line, number: int) -> dict[str, Any]:
    where, cause = line_where(line), one_line(line.cause)
    said = f"{line_shape(line)} {line_word(line)}  {where}" + (f" — {cause}" if cause and not line.resolved else "")
    block: dict[str, Any] = {"type": "section", "text": plain(said, 600)}
    pressed = buttons([Link("open", "Open", line.url)])
    if pressed:
        block["accessory"] = _button(pressed[0], f"line-{number}")
    return block


def _end(message: Message, token: str = "") -> list[dict[str, Any]]:
    """Buttons (links, but for Acknowledge with a token) and the reference."""
    pressed = [
        _button(link, f"link-{n}", token) for n, link in enumerate(buttons(message.links)) if len(link.url) <= URL
    ]
    blocks: list[dict[str, Any]] = [{"type": "actions", "elements": pressed[:MOST_BUTTONS]}] if pressed else []
    mark = reference(message)
    return blocks + ([{"type": "context", "elements": [plain(mark, FIELD)]}] if mark else [])


def _button(link: Link, name: str, token: str = "") -> dict[str, Any]:
    button = {"type": "button", "text": plain(one_line(link.label), BUTTON), "url": link.url, "action_id": name}
    if link.rel == ACKNOWLEDGE and token:  # without `url`: Slack would open it as well
        button = {"type": "button", "text": button["text"], "action_id": ACKNOWLEDGE, "value": token}
    return {**button, "style": "primary"} if link.rel in ("acknowledge", "approve") else button

"""How does a message look in Telegram? HTML with buttons, sent by a bot.

The Acknowledge button answers to us when the bot's updates reach the portal (the account has a webhook secret); otherwise
it is a link. When somebody has taken it or it is over, the first message loses that button and shows how things stand, and
a reply to it tells the people. (https://core.telegram.org/bots/api)
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from alerts.channels.addresses import HookUrl
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
from alerts.channels.plain import as_json, headline
from alerts.channels.wording import (
    buttons,
    cut,
    first_line,
    line_shape,
    line_where,
    line_word,
    one_line,
    reference,
    rows,
    shape,
)
from alerts.message import Line, Link, Message
from portal.outbound.guard import check_url
from portal.outbound.http import OutboundError, Request, Response

API: Final = "https://api.telegram.org"
TEXT, SAID, FACT, HEAD = 4000, 1500, 300, 300  # Telegram takes 4,096 after its markup is read
BUTTON, URL, CALLBACK = 60, 1000, 64  # callback_data is counted in bytes
MOST_FACTS: Final = 12
_TOKEN: Final = re.compile(r"\d{3,20}:[A-Za-z0-9_-]{10,100}", re.ASCII)
_CHAT: Final = re.compile(r"-?\d{1,20}|@[A-Za-z]\w{3,40}", re.ASCII)
_PLACE: Final = re.compile(r"(-?\d{1,20}):(\d{1,20})", re.ASCII)
_AT: Final = re.compile(r"@(?=\w)")
TOKEN_CURE: Final = "A bot's token looks like 123456789:AA…; @BotFather shows it."
# Part of Telegram's sentence, in lower case -> what to do.
CURES: Final = (
    ("bot was blocked by the user", "The person must open the chat with the bot and press Start."),
    ("user is deactivated", "That Telegram account is gone; enter another chat."),
    ("bot was kicked", "Add the bot to the group again."),
    ("bot can't initiate conversation", "The person must open the chat with the bot and press Start once."),
    ("chat not found", "Check the chat id; the bot must be a member, or the person must have pressed Start once."),
    ("chat_write_forbidden", "The bot may not write there; give it the right to post."),
    ("have no rights to send", "The bot may not write there; give it the right to post."),
    ("not enough rights", "The bot may not write there; give it the right to post."),
    ("need administrator rights", "Make the bot an administrator of that channel."),
    ("message thread not found", "The topic is gone; enter another one or none."),
    ("topic_closed", "The topic is closed; open it again or enter another one."),
    ("topic_deleted", "The topic is gone; enter another one or none."),
    ("unauthorized", "The bot's token is wrong or was revoked; @BotFather shows the valid one."),
    ("not found", "The bot's token is wrong; @BotFather shows the valid one."),
)


def _stripped(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return value
    return str(value).strip()


def _chat(value: str) -> str:
    if not _CHAT.fullmatch(value):
        raise ValueError("A chat is a number (a group's begins with -) or the @name of a public channel.")
    return value


def _token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    if text and not _TOKEN.fullmatch(text):
        raise ValueError(TOKEN_CURE)
    return SecretStr(text)


def _webhook_secret(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", value.get_secret_value(), re.ASCII):
        raise ValueError("Telegram takes letters, digits, _ and - here, at most 256.")
    return value


class TelegramConfig(ChannelConfig):
    """Which chat, and which bot when it is not the installation's."""

    chat_id: Annotated[str, BeforeValidator(_stripped), AfterValidator(_chat)] = Field(
        max_length=42,
        title="Chat",
        description="A person's or group's number, or @channel. The person presses Start in the chat with the bot first.",
        examples=["-1001234567890"],
    )
    thread_id: int | None = Field(None, ge=1, title="Topic", description="In a group with topics: the topic's number.")
    bot_token: Annotated[Secret, AfterValidator(_token)] = Field(
        SecretStr(""), title="Bot token", description="Empty: the installation's own bot."
    )
    silent: bool = Field(False, title="Without sound", description="For information only: phones stay quiet.")
    api_url: HookUrl = Field(
        SecretStr(""),
        title="Bot API server",
        description="Only for a Bot API server of your own; empty: Telegram's.",
        json_schema_extra={"format": "uri", "writeOnly": False},
    )

    @model_validator(mode="after")
    def _own_server(self) -> Self:
        api = self.api_url.get_secret_value()
        if api and "?" in check_url(api).target:
            raise ValueError("The Bot API server's address has no ? in it.")
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        api = self.api_url.get_secret_value()
        return (api,) if api else ()


class TelegramBot(ProviderAccount):
    """The installation's own bot."""

    bot_token: Annotated[SecretStr, AfterValidator(_token)] = Field(
        SecretStr(""), title="Bot token", description="From @BotFather, as 123456789:AA…"
    )
    webhook_secret: Annotated[SecretStr, AfterValidator(_webhook_secret)] = Field(
        SecretStr(""),
        title="Webhook secret",
        description="The secret_token of setWebhook, with BASE_URL/hooks/telegram/ as its url: then Acknowledge works inside "
        "Telegram. Empty: Acknowledge is a link.",
    )


class Telegram(DiscreetChannel):
    """One message of a bot in a chat."""

    kind: ClassVar[str] = "telegram"
    label: ClassVar[str] = "Telegram"
    Config = TelegramConfig
    main_field: ClassVar[str] = "chat_id"
    provider: ClassVar[str] = "telegram"
    provider_label: ClassVar[str] = "Telegram"
    Account = TelegramBot
    lifecycle: ClassVar[bool] = True
    per_minute: ClassVar[int | None] = 20  # of a bot in one group
    API: ClassVar[str] = API

    @property
    def _installations(self) -> str:
        """The installation's token; it is never sent to an address that a channel chose."""
        own_server = bool(self.config.api_url.get_secret_value())
        return "" if own_server else str(self.provider_settings.get("bot_token") or "").strip()

    @property
    def _bot(self) -> str:
        return self.config.bot_token.get_secret_value() or self._installations

    @property
    def _hears(self) -> bool:
        """Do presses of a button reach us? Only the installation's own bot has its webhook here."""
        return bool(self.provider_settings.get("webhook_secret")) and self._bot == self._installations

    def ready(self) -> str:
        """A bot is needed."""
        if not self._bot:
            return "No bot: enter its token here, or in the provider settings of Telegram (@BotFather makes bots)."
        return "" if _TOKEN.fullmatch(self._bot) else f"The bot's token cannot be right. {TOKEN_CURE}"

    def address(self) -> str:
        """The chat, and the topic in it."""
        topic = f", topic {self.config.thread_id}" if self.config.thread_id else ""
        return f"{self.config.chat_id}{topic}"

    def secrets(self) -> list[str]:
        """Both tokens (they stand in the address, too) and the webhook's secret."""
        own = self.config.bot_token.get_secret_value()
        known = [own, *(str(self.provider_settings.get(name) or "") for name in ("bot_token", "webhook_secret"))]
        return [text for text in known if text] + [text.partition(":")[2] for text in known if ":" in text]

    def request(self, message: Message) -> Request:
        """sendMessage: the whole of it, or a short reply when the first message is brought up to date."""
        first = self._first(message)
        short = bool(first) and message.kind in ("recovered", "acknowledged", "updated") and not message.lines
        content = brief(message, hears=self._hears) if short else content_of(message, hears=self._hears)
        content = {"chat_id": self.config.chat_id, **content}
        if self.config.thread_id:
            content["message_thread_id"] = self.config.thread_id
        if self.config.silent:
            content["disable_notification"] = True
        if first:
            content["reply_parameters"] = {"message_id": first, "allow_sending_without_reply": True}
        return self._call("sendMessage", content)

    def amendment(self, message: Message) -> Request | None:
        """editMessageText of what this chat heard first: no Acknowledge any more; None when nothing changes there."""
        first = self._first(message)
        if not first or message.kind not in ("recovered", "acknowledged", "updated") or message.lines:
            return None
        content = content_of(replace(message, attempt=1, links=links_now(message)), hears=self._hears)
        return self._call("editMessageText", {"chat_id": self.config.chat_id, "message_id": first, **content})

    async def deliver(self, message: Message, fetch: Fetch) -> Receipt:
        """Change the first message, then tell people. What cannot be changed must not keep anybody from hearing."""
        amendment = self.amendment(message)
        if amendment is not None:
            try:
                self.read(await fetch(amendment))
            except (DeliveryError, OutboundError) as error:
                trouble = error if isinstance(error, DeliveryError) else self.failed(error)
                if not trouble.permanent and message.attempt <= 1:  # nothing was sent: the next try does both
                    raise DeliveryError(
                        f"The first message could not be changed. {trouble}",
                        code=trouble.code,
                        retry_after=trouble.retry_after,
                    ) from None
        return self.read(await fetch(self.request(message)))

    def read(self, response: Response) -> Receipt:
        """Telegram's answer: `ok` and the message, or its sentence and what to do."""
        answer = _object(response.body)
        if 200 <= response.status < 300:
            if answer.get("ok") is not True:
                raise DeliveryError(
                    "Telegram's answer could not be read: it may have been sent.", ambiguous=True, code=response.status
                )
            sent = answer.get("result")
            sent = sent if isinstance(sent, dict) else {}
            name = f"{(sent.get('chat') or {}).get('id', '')}:{sent.get('message_id', '')}"
            return Receipt(response.status, name if _PLACE.fullmatch(name) else "", "ok")
        if not isinstance(answer.get("description"), str):
            return super().read(response)
        said = hide(one_line(answer["description"]), self.secrets())[:200]
        hints = answer.get("parameters")
        hints = hints if isinstance(hints, dict) else {}
        cure = _cure(said, hints)
        waits = [retry_after(response), _seconds(hints.get("retry_after"))]
        raise DeliveryError(
            f"HTTP {response.status}: {said}" + (f". {cure}" if cure else ""),
            permanent=is_permanent(response.status),
            ambiguous=response.status >= 500,
            code=response.status,
            retry_after=max((wait for wait in waits if wait is not None), default=None),
        )

    def _first(self, message: Message) -> int:
        """The number of what was told first, 0 without one; a chat that has moved on has other numbers."""
        found = _PLACE.fullmatch(message.provider_id)
        if not found:
            return 0
        same = self.config.chat_id.startswith("@") or found[1] == self.config.chat_id
        return int(found[2]) if same else 0

    def _call(self, method: str, content: dict[str, Any]) -> Request:
        base = (self.config.api_url.get_secret_value() or self.API).rstrip("/")
        headers = {"Content-Type": "application/json"}
        url = f"{base}/bot{self._bot}/{method}"
        return Request(url, "POST", headers, as_json(content), timeout=10.0, max_body=256 * 1024)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _cure(said: str, hints: dict[str, Any]) -> str:
    moved = hints.get("migrate_to_chat_id")
    if isinstance(moved, int):
        return f"The group has become a supergroup: enter its new number, {moved}, as the chat."
    lowered = said.lower()
    return next((cure for part, cure in CURES if part in lowered), "")


def _seconds(value: Any) -> float | None:
    return max(0.0, float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None


# --- the message -----------------------------------------------------------------------------------------------------
def units(text: str) -> int:
    """UTF-16 units, as Telegram counts its entities; never fewer than its characters."""
    return sum(2 if char > "\uffff" else 1 for char in text)


def escape(text: str) -> str:
    """HTML's own characters; and an @ is parted from its name, or Telegram would call that person."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return _AT.sub("@\u2060", text)


def fit(text: str, limit: int) -> str:
    """At most `limit` long as people read it (an @ counts twice), then escaped."""
    return escape(cut(text, limit, lambda part: units(part) + part.count("@")))


def content_of(message: Message, *, hears: bool) -> dict[str, Any]:
    """Text and buttons. `hears`: may Acknowledge be a button that answers to us?"""
    keyboard, told = _buttons(message, hears)
    head = f"{shape(message)} <b>{fit(headline(message, HEAD), HEAD)}</b>"
    mark = reference(message)
    end = [*told, *([escape(mark)] if mark else [])]
    room = TEXT - HEAD - 10 - sum(units(line) + 2 for line in end)
    body = _gathered(message, room) if message.lines else _single(message, room)
    text = "\n".join([head, *body, *([""] if end and body else []), *end])
    return {**_html(text), "reply_markup": {"inline_keyboard": keyboard}}


def brief(message: Message, *, hears: bool) -> dict[str, Any]:
    """One line and the links: the message it replies to holds the rest."""
    keyboard, told = _buttons(replace(message, links=links_now(message)), hears)
    mark = reference(message)
    head = f"{shape(message)} <b>{fit(headline(message, HEAD), HEAD)}</b>"
    text = "\n".join([head, *told, *([escape(mark)] if mark else [])])
    return {**_html(text), "reply_markup": {"inline_keyboard": keyboard}}


def links_now(message: Message) -> tuple[Link, ...]:
    """The links; no Acknowledge where somebody has taken it or it is over."""
    return tuple(link for link in message.links if message.open or link.rel != "acknowledge")


def _html(text: str) -> dict[str, Any]:
    return {"text": text, "parse_mode": "HTML", "link_preview_options": {"is_disabled": True}}


def _single(message: Message, room: int) -> list[str]:
    """The title and cause where the first line has not said them, then the facts, as long as there is room."""
    head, title, first = headline(message, HEAD), one_line(message.title), first_line(message)
    said = [text for text in dict.fromkeys((title, first)) if text and text not in head]
    parts = [fit(text, SAID) for text in said]
    facts = [f"{escape(label)}: <b>{fit(value, FACT)}</b>" for label, value in _short(rows(message))]
    told: list[str] = []
    for text in [*parts, *([""] if facts else []), *facts]:
        room -= units(_read(text)) + 1
        if room < 0:
            break
        told.append(text)
    return told


def _short(facts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(cut(label, 60), value) for label, value in facts[:MOST_FACTS]]


def _read(html: str) -> str:
    """What counts of a text: what is left once the markup is read."""
    bare = re.sub(r"</?[a-z]+(?: [^>]*)?>", "", html)
    return re.sub(r"&(?:amp|lt|gt|quot);", "&", bare)


def _gathered(message: Message, room: int) -> list[str]:
    """A line for each, with its link, as many as there is room for; the rest is counted."""
    told: list[str] = []
    room -= 20
    for line in message.lines:
        text = _line(line)
        room -= units(_read(text)) + 1
        if room < 0 or len(told) >= 40:  # a message has at most a hundred pieces of markup
            break
        told.append(text)
    more = message.more + len(message.lines) - len(told)
    return told + ([f"and {more} more"] if more else [])


def _line(line: Line) -> str:
    cause = "" if line.resolved else one_line(line.cause)
    said = f"{line_word(line)}  {cut(line_where(line), 120)}" + (f" — {cause}" if cause else "")
    shown = fit(said, 250)
    link = buttons([Link("open", "Open", line.url)])
    if not link or units(line.url) > URL:
        return f"{line_shape(line)} {shown}"
    address = line.url.replace("&", "&amp;").replace('"', "%22").replace("<", "%3C").replace(">", "%3E")
    return f'{line_shape(line)} {shown} <a href="{address}">Open</a>'


def _buttons(message: Message, hears: bool) -> tuple[list[list[dict[str, str]]], list[str]]:
    """(rows of buttons, lines for links that Telegram would refuse as a button: it knows no localhost)."""
    first: list[dict[str, str]] = []
    others: list[dict[str, str]] = []
    told: list[str] = []
    callback = f"ack:{message.acknowledge_token}"
    answers = hears and message.acknowledge_token and len(callback.encode()) <= CALLBACK
    for link in buttons(message.links):
        label = cut(one_line(link.label), BUTTON)
        if link.rel == "acknowledge" and answers:
            first.append({"text": label or "Acknowledge", "callback_data": callback})
        elif units(link.url) <= URL and "." in (urlsplit(link.url).hostname or ""):
            place = first if link.rel in ("acknowledge", "approve") else others
            place.append({"text": label or "Open", "url": link.url})
        elif units(link.url) <= URL:
            told.append(f"{escape(label)}: {escape(link.url)}")
    return [row for row in (first, others[:4]) if row], told[:5]

"""How does a message look in Discord? An embed with a coloured border, by a channel's webhook.

Whatever anybody typed is escaped, mentions are switched off, and a link stands outside of what is cut. What a channel
heard first is kept up to date: at an acknowledgement or a recovery that message is changed in place (an edit notifies
nobody), and a short new one says so to the people. In a forum every alert is one post.
(https://docs.discord.com/developers/resources/webhook)
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import urlencode

from pydantic import AfterValidator, Field, model_validator

from alerts.channels.addresses import RequiredHookUrl, readable
from alerts.channels.answers import DiscreetChannel, hide
from alerts.channels.base import ChannelConfig, DeliveryError, Fetch, Receipt, is_permanent, retry_after
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
from alerts.message import COLOURS, Line, Link, Message
from portal.outbound.guard import check_url
from portal.outbound.http import OutboundError, Request, Response

# Discord's own limits: content 2,000, title 256, description 4,096, 25 fields of 256 and 1,024, footer 2,048, and 6,000
# over all of an embed. What is used stays below each of them and, summed, below the last.
CONTENT, TITLE, SAID, NAME, VALUE, FOOTER, EMBED, URL = 900, 250, 1500, 80, 400, 150, 5800, 600
MOST_FIELDS: Final = 10
GATHERED: Final = 4000
OWN_HOSTS: Final = ("discord.com", "discordapp.com")
_HOOK: Final = re.compile(r"/webhooks/\d{1,25}/[\w-]{10,200}/?\Z", re.ASCII)
_PLACE: Final = re.compile(r"(\d{1,25}):(\d{1,25})", re.ASCII)
# Each of these begins some markup of Discord's, a mention, an emoji, a list or an address that would become a link.
_MARKUP: Final = frozenset("\\*_~`|>#-[]()<@:.+")
GONE: Final = 10008  # the message was deleted
CURES: Final = {
    10003: "The channel or thread is gone; take another one.",
    10015: "The webhook was deleted; make a new one in Discord and enter its address.",
    50027: "The webhook's address is not complete, or its token was renewed; copy it again from Discord.",
    50001: "The webhook may not see this channel; make one in the right channel.",
    50013: "The webhook may not write here; ask whoever runs the server.",
    40005: "The message is too large for Discord.",
    160005: "The thread is locked; take another one.",
    220001: "This is a forum: switch on “One post for each alert”, or enter the id of a post.",
    220003: "This is no forum: switch off “One post for each alert”.",
}


def _thread(value: str) -> str:
    if value and not (value.isascii() and value.isdigit()):
        raise ValueError("A thread's id has digits only: right-click the thread → Copy thread ID (developer mode).")
    return value


class DiscordConfig(ChannelConfig):
    """The webhook of a channel, and where in it."""

    url: RequiredHookUrl = Field(
        title="Webhook URL",
        description="Discord: channel → Edit → Integrations → Webhooks → New → Copy URL.",
        examples=["https://discord.com/api/webhooks/123456789012345678/abcdefghijklmnop-QRSTUVWXYZ_0123"],
        json_schema_extra={"secret": True, "format": "uri"},
    )
    thread_id: Annotated[str, AfterValidator(_thread)] = Field(
        "", max_length=25, title="Thread", description="The id of a thread to write in. Empty: the channel itself."
    )
    forum: bool = Field(
        False, title="One post for each alert", description="For a forum: each alert becomes a post of its own."
    )

    @model_validator(mode="after")
    def _is_a_webhook(self) -> Self:
        parts = check_url(self.url.get_secret_value())
        path, _, query = parts.target.partition("?")
        if parts.scheme != "https" and parts.host.endswith(OWN_HOSTS):
            raise ValueError("The address is the secret: Discord's begin with https://.")
        if query:
            raise ValueError("Leave out what follows the ?; a thread has its own field.")
        if not _HOOK.search(path):
            raise ValueError(
                "A webhook's address ends with /webhooks/, a number, / and the token; copy it from Discord."
            )
        if self.forum and self.thread_id:
            raise ValueError("One post for each alert, or one thread for all: not both.")
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return (self.url.get_secret_value(),)


class Discord(DiscreetChannel):
    """One message in a Discord channel."""

    kind: ClassVar[str] = "discord"
    label: ClassVar[str] = "Discord"
    Config = DiscordConfig
    lifecycle: ClassVar[bool] = True
    per_minute: ClassVar[int | None] = 30  # per webhook; more is refused for a while

    def address(self) -> str:
        """The webhook's host."""
        return readable(self.config.url.get_secret_value())

    def secrets(self) -> list[str]:
        """The URL, its path, and the token alone."""
        url = self.config.url.get_secret_value()
        target = check_url(url).target
        return [url, target, target.rstrip("/").rpartition("/")[2]]

    def request(self, message: Message) -> Request:
        """The new message: the whole of it, or a short one when the first is brought up to date."""
        content = brief(message) if self._first(message) else content_of(message)
        thread = self._thread(message)
        if self.config.forum and not thread:
            content["thread_name"] = cut(headline(message, 95), 95, units)
        return self._ask("POST", "", {"wait": "true"}, thread, content)

    def amendment(self, message: Message) -> Request | None:
        """The change of what this channel heard first; None when there is nothing to change."""
        first = self._first(message)
        if not first:
            return None
        content = content_of(replace(message, attempt=1, links=links_now(message)))
        return self._ask("PATCH", f"/messages/{first}", {}, self._thread(message), content)

    async def deliver(self, message: Message, fetch: Fetch) -> Receipt:
        """Change the first message, then tell people. What cannot be changed must not keep anybody from hearing."""
        amendment = self.amendment(message)
        if amendment is not None:
            try:
                self.read(await fetch(amendment))
            except (DeliveryError, OutboundError) as error:
                trouble = error if isinstance(error, DeliveryError) else self.failed(error)
                if not trouble.permanent and message.attempt <= 1:  # nothing was posted: the next try does both
                    raise DeliveryError(
                        f"The first message could not be changed. {trouble}",
                        code=trouble.code,
                        retry_after=trouble.retry_after,
                    ) from None
        return self.read(await fetch(self.request(message)))

    def read(self, response: Response) -> Receipt:
        """Discord's answer: the message, or its code and sentence."""
        answer = _object(response.body)
        if 200 <= response.status < 300:
            if response.status == 200 and "id" not in answer:
                raise DeliveryError(
                    "Discord's answer could not be read: it may have been posted.", ambiguous=True, code=200
                )
            name = f"{answer.get('channel_id', '')}:{answer.get('id', '')}"
            return Receipt(response.status, name if _PLACE.fullmatch(name) else "", "posted")
        if "message" not in answer:
            return super().read(response)
        code = answer.get("code")
        said = one_line(answer["message"])[:150] + (f" ({code})" if code else "")
        wrong = _wrong(answer.get("errors"))
        said = hide(" · ".join(filter(None, (said, wrong))), self.secrets())[:200]
        cure = CURES.get(code, "") if isinstance(code, int) else ""
        hints = [retry_after(response), _seconds(answer.get("retry_after"))]
        raise DeliveryError(
            f"HTTP {response.status}: {said}" + (f". {cure}" if cure else ""),
            permanent=is_permanent(response.status),
            ambiguous=response.status >= 500,
            code=response.status,
            retry_after=max((hint for hint in hints if hint is not None), default=None),
        )

    def _first(self, message: Message) -> str:
        """The id of what was told first, when this message changes how that stands."""
        found = _PLACE.fullmatch(message.provider_id)
        return found[2] if found and message.kind in ("recovered", "acknowledged", "updated") else ""

    def _thread(self, message: Message) -> str:
        """The thread to write in: the set one, or in a forum the alert's own post."""
        found = _PLACE.fullmatch(message.provider_id)
        return str(self.config.thread_id) or (found[1] if found and self.config.forum else "")

    def _ask(self, method: str, path: str, query: dict[str, str], thread: str, content: dict[str, Any]) -> Request:
        asked = urlencode({**query, **({"thread_id": thread} if thread else {})})
        url = self.config.url.get_secret_value().rstrip("/") + path + (f"?{asked}" if asked else "")
        headers = {"Content-Type": "application/json"}
        return Request(url, method, headers, as_json(content), timeout=10.0, max_body=256 * 1024)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _wrong(errors: Any) -> str:
    """Where Discord found fault, as `embeds.0.title: Must be 256 or fewer in length.`; the first of them."""
    path: list[str] = []
    while isinstance(errors, dict) and errors:
        found = errors.get("_errors")
        if isinstance(found, list) and found and isinstance(found[0], dict):
            return one_line(f"{'.'.join(path)}: {found[0].get('message', '')}")[:150]
        name, errors = next(iter(errors.items()))
        path.append(str(name))
    return ""


def _seconds(value: Any) -> float | None:
    return max(0.0, float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None


# --- the message -----------------------------------------------------------------------------------------------------
def units(text: str) -> int:
    """UTF-16 units: an emoji counts twice in Discord's own programs."""
    return sum(2 if char > "\uffff" else 1 for char in text)


def escape(text: str) -> str:
    """The text as it shows: markup, mentions, emoji names and addresses are only characters."""
    return "".join(f"\\{char}" if char in _MARKUP else char for char in text)


def fit(text: str, limit: int) -> str:
    """Escaped, and at most `limit` long as Discord counts."""
    return escape(cut(text, limit, lambda part: units(part) + sum(char in _MARKUP for char in part)))


def content_of(message: Message) -> dict[str, Any]:
    """`content` is what a notification shows, the embed its coloured border with the rest."""
    embed: dict[str, Any] = {
        "title": fit(one_line(message.title) or headline(message, TITLE), TITLE),
        "color": int(COLOURS[message.tone].removeprefix("#"), 16),
        "timestamp": message.at.isoformat(),
    }
    embed["description"] = _gathered(message) if message.lines else _single(message)
    mark = reference(message)
    if mark:
        embed["footer"] = {"text": cut(mark, FOOTER, units)}
    spent = sum(units(text) for text in (embed["title"], embed["description"], mark))
    fields = [] if message.lines else _fields(message, EMBED - spent)
    return {
        "content": fit(f"{shape(message)} {headline(message, CONTENT)}", CONTENT),
        "allowed_mentions": {"parse": []},
        "embeds": [{**embed, **({"fields": fields} if fields else {})}],
    }


def brief(message: Message) -> dict[str, Any]:
    """One line and the links: the first message holds the rest."""
    said = fit(f"{shape(message)} {headline(message, CONTENT)}", CONTENT)
    end = [*map(_link, _links(links_now(message))), escape(reference(message))]
    return {"content": "\n".join(filter(None, (said, "  ".join(filter(None, end))))), "allowed_mentions": {"parse": []}}


def links_now(message: Message) -> tuple[Link, ...]:
    """The links; no Acknowledge where somebody has taken it or it is over."""
    return tuple(link for link in message.links if message.open or link.rel != "acknowledge")


def _links(links: tuple[Link, ...]) -> list[Link]:
    return [link for link in buttons(links) if units(link.url) <= URL][:5]


def _link(link: Link) -> str:
    """A link with a name; one that could break out of the markup stands as it is."""
    if any(char in link.url for char in "()<>[]\\ "):
        return link.url
    return f"[{escape(one_line(link.label)) or 'Open'}](<{link.url}>)"


def _single(message: Message) -> str:
    said = fit(first_line(message), SAID)
    return "\n\n".join(filter(None, (said, "  ·  ".join(map(_link, _links(message.links))))))


def _fields(message: Message, room: int) -> list[dict[str, Any]]:
    """The facts side by side, as many as there is room for."""
    fields: list[dict[str, Any]] = []
    for label, value in rows(message)[:MOST_FIELDS]:
        field = {"name": fit(label, NAME) or "–", "value": fit(value, VALUE) or "–", "inline": units(value) <= 40}
        room -= units(field["name"]) + units(field["value"])
        if room < 0:
            break
        fields.append(field)
    return fields


def _gathered(message: Message) -> str:
    """A line and a link for each, as many as there is room for; the rest is counted."""
    end = "  ·  ".join(map(_link, _links(message.links)))
    room = GATHERED - units(end) - 40
    told: list[str] = []
    for line in message.lines:
        text = _line(line)
        room -= units(text) + 1
        if room < 0:
            break
        told.append(text)
    more = message.more + len(message.lines) - len(told)
    return "\n".join([*told, *([f"and {more} more"] if more else []), *(["", end] if end else [])])


def _line(line: Line) -> str:
    cause = "" if line.resolved else one_line(line.cause)
    said = f"{line_shape(line)} {line_word(line)}  {cut(line_where(line), 120)}" + (f" — {cause}" if cause else "")
    link = _links((Link("open", "Open", line.url),))
    return " ".join([fit(said, 300), *map(_link, link)])

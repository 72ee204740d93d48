"""How does an alert become a ticket in any system with a JSON API? By requests that a person describes, filled in by name.

A body is JSON whose texts hold `{{name}}`; it is read first and filled in then, so that nothing in a name can change its
form. Addresses may hold `{{ticket}}`, `{{number}}` and `{{key}}` behind their host, always quoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import quote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from alerts.channels.addresses import RequiredHookUrl, readable
from alerts.channels.base import ChannelConfig, Receipt, Secret
from alerts.channels.json_answers import value_of
from alerts.channels.plain import as_json, headline
from alerts.channels.tickets import MOST_BODY, TicketChannel, id_of, key_of, named, number_of, text_of
from alerts.channels.webhook import RESERVED, RESERVED_PREFIXES
from alerts.channels.wording import first_line, moment, one_line, reference, span, word
from alerts.message import Message
from portal.outbound.guard import check_url
from portal.outbound.http import Request, Response
from portal.outbound.message import TOKEN

__all__ = ["TicketHttp", "number_of"]

MOST_HEADERS, LONGEST_BODY, DEEPEST = 20, 20_000, 20
_PLACE: Final = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
NAMES: Final = (
    "action", "headline", "title", "cause", "text", "word", "event", "kind", "severity", "client", "site", "monitor", "target",
    "since", "duration", "url", "acknowledge_url", "report_url", "reference", "key", "ticket", "number", "alert_id", "delivery_id",
)  # fmt: skip
IN_ADDRESSES: Final = ("ticket", "number", "key")
OPEN_BODY: Final = (
    '{"title": "{{headline}}", "description": "{{text}}", "severity": "{{severity}}", "client": "{{client}}", '
    '"external_id": "{{key}}", "url": "{{url}}"}'
)
COMMENT_BODY: Final = '{"comment": "{{headline}}\\n{{text}}"}'
CLOSE_BODY: Final = '{"status": "closed", "comment": "{{headline}}\\n{{text}}"}'
CURES: Final = {
    401: "Check the Authorization header or the key among the headers.",
    403: "The account may not do this in the ticket system.",
    404: "Check the address.",
    405: "Check the method: the address takes another one.",
    415: "The ticket system wants something else than JSON at this address.",
}


def _one_line(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()) or len(text) > 4000:
        raise ValueError("A header's value is one line of plain characters.")
    return value


def _headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    if len(headers) > MOST_HEADERS or len({name.lower() for name in headers}) != len(headers):
        raise ValueError(f"At most {MOST_HEADERS} headers, each once.")
    for name, value in headers.items():
        lowered = name.lower()
        if not name or len(name) > 100 or not TOKEN.issuperset(name):
            raise ValueError("A header's name has letters, digits and dashes only.")
        if lowered in RESERVED or lowered.startswith(RESERVED_PREFIXES):
            raise ValueError(f"The header {name} cannot be set here; Authorization has a field of its own.")
        _one_line(value)
    return headers


def _body(text: str) -> str:
    """A body's template: JSON, with names that exist. ValueError with a sentence."""
    if not text.strip():
        return ""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError('It is not JSON. Names stand inside the quotes: {"title": "{{headline}}"}.') from None
    if not isinstance(value, dict | list) or _depth(value) > DEEPEST:
        raise ValueError(f"It must be a JSON object or list, at most {DEEPEST} deep.")
    unknown = sorted(set(_PLACE.findall(text)) - set(NAMES))
    if unknown:
        raise ValueError(f"There is no {{{{{one_line(unknown[0])[:40]}}}}}; known are {', '.join(NAMES)}.")
    return text


def _depth(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(child) for child in children), default=0)


def _stripped(value: object) -> object:
    if isinstance(value, SecretStr):
        return SecretStr(value.get_secret_value().strip())
    return value.strip() if isinstance(value, str) else value


def _address(value: SecretStr) -> SecretStr:
    """An address's template: the names stand behind the host, and there are only three."""
    text = value.get_secret_value()
    if text:
        unknown = sorted(set(_PLACE.findall(text)) - set(IN_ADDRESSES))
        if unknown:
            raise ValueError(
                f"In an address stand only {{{{ticket}}}}, {{{{number}}}} and {{{{key}}}}, not {one_line(unknown[0])[:40]}."
            )
        one, other = check_url(_PLACE.sub("1", text)), check_url(_PLACE.sub("2", text))
        if (one.scheme, one.host, one.port) != (other.scheme, other.host, other.port):
            raise ValueError("A name must not stand in the host.")
    return value


BodyTemplate = Annotated[str, Field(max_length=LONGEST_BODY), AfterValidator(_body)]
AddressTemplate = Annotated[SecretStr, Field(max_length=2000), BeforeValidator(_stripped), AfterValidator(_address)]
Path = Annotated[str, Field(max_length=200, pattern=r"\A([\w\-]+(\.[\w\-]+)*)?\z")]
Method = Literal["POST", "PUT", "PATCH"]
_URI: Final = {"format": "uri", "writeOnly": False}


class TicketHttpConfig(ChannelConfig):
    """What is asked to open, to comment and to close."""

    url: RequiredHookUrl = Field(
        title="Address that opens", examples=["https://tickets.example.com/api/tickets"], json_schema_extra=dict(_URI)
    )
    method: Literal["POST", "PUT"] = Field("POST", title="Method that opens")
    body: BodyTemplate = Field("", title="Body that opens", description=f"JSON with {{{{name}}}}; empty: {OPEN_BODY}")
    id_path: Path = Field("id", title="Where the id is", description="In the answer, as data.ticket.id or 0.id.")
    number_path: Path = Field("", title="Where the number is", description="Where people's number differs from the id.")
    comment_url: AddressTemplate = Field(
        SecretStr(""),
        title="Address that comments",
        description="With {{ticket}}; empty: no comments.",
        examples=["https://tickets.example.com/api/tickets/{{ticket}}/comments"],
        json_schema_extra=dict(_URI),
    )
    comment_method: Method = Field("POST", title="Method that comments")
    comment_body: BodyTemplate = Field(
        "", title="Body that comments", description="JSON with {{name}}; may be left empty."
    )
    close_url: AddressTemplate = Field(
        SecretStr(""),
        title="Address that closes",
        description="With {{ticket}}; empty: a recovery is a comment.",
        examples=["https://tickets.example.com/api/tickets/{{ticket}}"],
        json_schema_extra=dict(_URI),
    )
    close_method: Method = Field("PATCH", title="Method that closes")
    close_body: BodyTemplate = Field("", title="Body that closes", description="JSON with {{name}}; may be left empty.")
    authorization: Annotated[Secret, AfterValidator(_one_line)] = Field(
        SecretStr(""), title="Authorization header", description="For example: Bearer …"
    )
    headers: Annotated[dict[str, SecretStr], AfterValidator(_headers)] = Field(
        default_factory=dict,
        title="Extra headers",
        description="Name and value; kept as secrets.",
        json_schema_extra={"secret": True},
    )

    @model_validator(mode="after")
    def _known_ticket(self) -> Self:
        if not self.id_path and any(
            "ticket" in _PLACE.findall(u.get_secret_value()) for u in (self.comment_url, self.close_url)
        ):
            raise ValueError("{{ticket}} needs to be found in the answer: say where the id is.")
        return self

    def also_secret(self) -> tuple[str, ...]:
        """An address is a secret when it has a query."""
        return tuple(
            name for name in ("url", "comment_url", "close_url") if "?" in getattr(self, name).get_secret_value()
        )

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        typed = (self.url, self.comment_url, self.close_url)
        return tuple(_PLACE.sub("1", u.get_secret_value()) for u in typed if u.get_secret_value())


class TicketHttp(TicketChannel):
    """Tickets in any system with a JSON API."""

    kind: ClassVar[str] = "ticket_http"
    label: ClassVar[str] = "Ticket: any JSON API"
    Config = TicketHttpConfig
    caveat: ClassVar[str] = (
        "A try whose outcome is unknown may open a second ticket, unless the system folds by {{key}}."
    )

    def address(self) -> str:
        """Where tickets are opened."""
        return readable(self.config.url.get_secret_value())

    def secrets(self) -> list[str]:
        """The headers; an address only when it is one."""
        hidden = self.config.also_secret()
        own = [
            self.config.authorization.get_secret_value(),
            *(v.get_secret_value() for v in self.config.headers.values()),
        ]
        own += [getattr(self.config, name).get_secret_value() for name in hidden]
        own += [check_url(_PLACE.sub("1", getattr(self.config, name).get_secret_value())).target for name in hidden]
        return own + [text.partition(" ")[2] for text in own if " " in text]

    def _ask(self, method: str, address: str, template: str, values: Mapping[str, str | int]) -> Request:
        headers = {name: value.get_secret_value() for name, value in self.config.headers.items()}
        headers |= {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Idempotency-Key": _idempotency(values),
        }
        if self.config.authorization.get_secret_value():
            headers["Authorization"] = self.config.authorization.get_secret_value()
        url = _PLACE.sub(lambda found: quote(str(values[found[1]]), safe=""), address)
        return Request(
            url, method, headers, as_json(filled(json.loads(template), values)), timeout=10.0, max_body=MOST_BODY
        )

    def opening(self, message: Message) -> Request:
        """As described."""
        config = self.config
        return self._ask(
            config.method, config.url.get_secret_value(), config.body or OPEN_BODY, values_of(message, "open")
        )

    def opened(self, response: Response) -> str:
        """What the answer says where the settings point."""
        said = value_of(response)
        number = at_path(said, self.config.number_path) if self.config.number_path else ""
        return named(at_path(said, self.config.id_path), number) if self.config.id_path else ""

    def commenting(self, message: Message, ticket: str) -> Request | None:
        """As described."""
        config = self.config
        address = config.comment_url.get_secret_value()
        values = values_of(message, "comment", ticket)
        return (
            self._ask(config.comment_method, address, config.comment_body or COMMENT_BODY, values) if address else None
        )

    def closing(self, message: Message, ticket: str) -> Request | None:
        """As described."""
        config = self.config
        address = config.close_url.get_secret_value()
        values = values_of(message, "close", ticket)
        return self._ask(config.close_method, address, config.close_body or CLOSE_BODY, values) if address else None

    async def close(self, message: Message, ticket: str, fetch: Any) -> Receipt:
        """One request: its body says how it ended."""
        request = self.closing(message, ticket)
        return await self.comment(message, ticket, fetch) if request is None else self.read(await fetch(request))

    def stand_in(self, message: Message) -> str:
        """Addresses that hold our key need no ticket."""
        addresses = [
            u.get_secret_value() for u in (self.config.comment_url, self.config.close_url) if u.get_secret_value()
        ]
        named_by_key = addresses and all(_PLACE.findall(a) and set(_PLACE.findall(a)) == {"key"} for a in addresses)
        return key_of(message) if named_by_key else ""

    def words(self, said: dict[str, Any]) -> str:
        """The usual places of a reason."""
        for name in ("message", "error_description", "detail", "title", "error"):
            value = said.get(name)
            if isinstance(value, dict):
                value = value.get("message")
            if isinstance(value, str) and value:
                return one_line(value)
        return ""

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """By status."""
        return CURES.get(response.status, "")


def _idempotency(values: Mapping[str, str | int]) -> str:
    return f"watchkeeper-{values['action']}-{values['delivery_id']}"


def values_of(message: Message, action: str, ticket: str = "") -> dict[str, str | int]:
    """What the names stand for."""
    whole = message.provider_id if id_of(message.provider_id) == ticket else ticket
    return {
        "action": action, "headline": headline(message, 250), "title": one_line(message.title), "cause": first_line(message),
        "text": text_of(message, keyed=False), "word": word(message), "event": message.event, "kind": message.kind,
        "severity": message.severity, "client": one_line(message.client.get("name") or ""), "site": one_line(message.site.get("name") or ""),
        "monitor": one_line(message.monitor.get("name") or message.alert.get("entity_name") or ""),
        "target": one_line(message.monitor.get("target") or ""), "since": moment(message.started_at, message.timezone) if message.started_at else "",
        "duration": span(message.duration_seconds), "url": message.link("open"), "acknowledge_url": message.link("acknowledge"),
        "report_url": message.link("report"), "reference": reference(message), "key": key_of(message), "ticket": ticket,
        "number": number_of(whole), "alert_id": int(message.alert.get("id") or 0), "delivery_id": message.delivery_id,
    }  # fmt: skip


def filled(template: Any, values: Mapping[str, str | int]) -> Any:
    """The template with its names replaced in texts, in one pass; a text that is one number's name becomes that number."""
    if isinstance(template, str):
        alone = _PLACE.fullmatch(template)
        if alone and isinstance(values.get(alone[1]), int):
            return values[alone[1]]
        return _PLACE.sub(lambda found: str(values.get(found[1], "")), template)
    if isinstance(template, dict):
        return {key: filled(value, values) for key, value in template.items()}
    return [filled(value, values) for value in template] if isinstance(template, list) else template


def at_path(value: Any, path: str) -> Any:
    """What stands at `data.ticket.id` or `0.id`; None when nothing does."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None

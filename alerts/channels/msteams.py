"""How does a message look in Microsoft Teams? An Adaptive Card, handed to a Workflows flow that posts it.

What anybody typed stands in rich text runs, where Teams reads no markup. The flow answers 202 before it posts: that says
nothing about arrival. Addresses of the old Office 365 connectors are refused with the way out, because they are dead.
(https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook)
"""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar, Final, Self
from urllib.parse import parse_qs

from pydantic import Field, model_validator

from alerts.channels.addresses import RequiredHookUrl, readable
from alerts.channels.answers import DiscreetChannel, hide, words_of
from alerts.channels.base import ChannelConfig, DeliveryError, Receipt, is_permanent, retry_after
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
    word,
)
from alerts.message import Line, Link, Message
from portal.outbound.guard import SplitURL, check_url
from portal.outbound.http import Request, Response

MOST_BYTES: Final = 27_000  # Teams takes 28 KB with everything
MOST_FACTS, MOST_LINES, MOST_BUTTONS = 12, 40, 6
URL: Final = 2000
STYLES: Final = {"critical": "attention", "warning": "warning", "info": "accent", "resolved": "good"}
SIZES: Final = ((1500, 40), (500, 30), (200, 20), (80, 10), (40, 5))
CONNECTOR: Final = (
    "This is the address of an Office 365 connector; Microsoft has retired those and nothing arrives there any more. "
    "Make a workflow instead: Teams → channel → ⋯ → Workflows → “Send webhook alerts to a channel”, and enter its address."
)
FLOW_HOSTS: Final = (".logic.azure.com", ".api.powerplatform.com")
CURES: Final = {
    "DirectApiAuthorizationRequired": (
        "The flow asks for a sign-in: set “Who can trigger the flow?” to Anyone, and copy its new address."
    ),
    "TriggerInputSchemaMismatch": "The flow expects another body: use the template “Send webhook alerts to a channel”.",
    "WorkflowNotFound": "The flow was deleted; make a new one and enter its address.",
    "WorkflowTriggerIsNotEnabled": "The flow is switched off: its owner turns it on in Power Automate.",
    "AuthorizationFailed": "The address is not complete or its signature was renewed; copy it again from the flow.",
}
GONE: Final = "Flows belong to a person and end with them; old addresses (logic.azure.com) have moved: copy it again from the flow."
_FAILED: Final = re.compile(r"delivery failed(?:.*?HTTP error (\d{3}))?", re.IGNORECASE)


def is_connector(url: SplitURL) -> bool:
    """Is it an address of the retired Office 365 connectors?"""
    outlook = url.host in ("outlook.office.com", "outlook.office365.com") and url.target.lower().startswith("/webhook")
    return outlook or url.host == "webhook.office.com" or url.host.endswith(".webhook.office.com")


class TeamsConfig(ChannelConfig):
    """The address of a flow."""

    url: RequiredHookUrl = Field(
        title="Workflow URL",
        description="Teams: channel → ⋯ → Workflows → Send webhook alerts to a channel.",
        examples=[
            "https://default0123.45.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/"
            "0123456789abcdef/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=abcdefghijklmnop"
        ],
        json_schema_extra={"secret": True, "format": "uri"},
    )

    @model_validator(mode="after")
    def _is_a_flow(self) -> Self:
        parts = check_url(self.url.get_secret_value())
        if is_connector(parts):
            raise ValueError(CONNECTOR)
        if parts.host.endswith(FLOW_HOSTS):
            if parts.scheme != "https":
                raise ValueError("The address is the secret: a flow's begins with https://.")
            if "sig" not in parse_qs(parts.target.partition("?")[2]):
                raise ValueError(
                    "The address has no signature (sig=): set “Who can trigger the flow?” to Anyone, and copy all of it."
                )
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return (self.url.get_secret_value(),)


class Teams(DiscreetChannel):
    """One card in a Teams channel or chat."""

    kind: ClassVar[str] = "msteams"
    label: ClassVar[str] = "Microsoft Teams"
    Config = TeamsConfig
    caveat: ClassVar[str] = (
        "Teams takes a message before it posts it: delivered says only that the flow has it. Look whether the test arrives. "
        "A flow belongs to a person and stops when they leave."
    )

    def address(self) -> str:
        """The host; the rest of the address is the secret."""
        return readable(self.config.url.get_secret_value())

    def secrets(self) -> list[str]:
        """The URL, what follows its host, the signature and the flow's number."""
        url = self.config.url.get_secret_value()
        target = check_url(url).target
        path, _, query = target.partition("?")
        signatures = [*parse_qs(query).get("sig", []), *re.findall(r"sig=([^&]+)", query)]
        return [url, target, query, *signatures, *(part for part in path.split("/") if len(part) >= 16)]

    def request(self, message: Message) -> Request:
        """The card."""
        headers = {"Content-Type": "application/json"}
        url = self.config.url.get_secret_value()
        return Request(url, "POST", headers, as_json(content_of(message)), timeout=10.0, max_body=256 * 1024)

    def read(self, response: Response) -> Receipt:
        """202: the flow has it, no more. A refusal has a code and a sentence."""
        said = words_of(response, self.secrets())
        if 200 <= response.status < 300:
            failed = _FAILED.search(said)
            if failed:  # connectors and some proxies say 200 and mean no
                meant = int(failed[1]) if failed[1] else response.status
                raise DeliveryError(f"Teams says: {said}", permanent=is_permanent(meant), code=response.status)
            taken = "the flow has it; only the channel shows whether it was posted"
            return Receipt(response.status, "", taken if response.status == 202 else said)
        code, sentence = _fault(response.body)
        if not code:
            return super().read(response)
        told = hide(" · ".join(filter(None, (code, sentence))), self.secrets())[:200]
        cure = CURES.get(code) or (GONE if response.status in (404, 410) else "")
        raise DeliveryError(
            f"HTTP {response.status}: {told}" + (f". {cure}" if cure else ""),
            permanent=is_permanent(response.status),
            ambiguous=response.status >= 500,
            code=response.status,
            retry_after=retry_after(response),
        )


def _fault(body: bytes) -> tuple[str, str]:
    """(code, sentence) of {"error": {"code": …, "message": …}}; ("", "") of anything else."""
    try:
        error = json.loads(body)["error"]
        return one_line(error["code"])[:80], one_line(error.get("message") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""


# --- the message -----------------------------------------------------------------------------------------------------
def content_of(message: Message) -> dict[str, Any]:
    """The whole message, small enough: texts are shortened step by step, links never."""
    content: dict[str, Any] = {}
    for longest, most in SIZES:
        card = _card(message, longest, most)
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        content = {"type": "message", "attachments": [attachment]}
        if len(as_json(content)) <= MOST_BYTES:
            break
    return content


def _card(message: Message, longest: int, most: int) -> dict[str, Any]:
    """A coloured head with the first line, what happened, the facts, the buttons."""
    head = {"type": "Container", "style": STYLES[message.tone], "bleed": True, "items": [_head(message, longest)]}
    body = [head, *(_gathered(message, longest, most) if message.lines else _single(message, longest, most))]
    mark = reference(message)
    if mark:
        body.append(_text(_run(cut(mark, 150), isSubtle=True, size="Small")))
    pressed = [link for link in buttons(message.links) if len(link.url) <= URL][:MOST_BUTTONS]
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.5",
        "msteams": {"width": "Full"},
        "fallbackText": headline(message, 300),
        "body": body,
        "actions": [_action(link) for link in pressed],
    }


def _head(message: Message, longest: int) -> dict[str, Any]:
    about = headline(message, min(longest, 300))
    return _text(_run(f"{shape(message)} {about or word(message)}", weight="Bolder", size="Medium"))


def _single(message: Message, longest: int, most: int) -> list[dict[str, Any]]:
    title, first = one_line(message.title), first_line(message)
    said = [cut(text, longest) for text in dict.fromkeys((title, first)) if text]
    facts = rows(message)[: min(most, MOST_FACTS)]
    return [_text(_run(text)) for text in said] + [
        _text(_run(f"{cut(label, 80)}: ", isSubtle=True), _run(cut(value, longest), weight="Bolder"))
        for label, value in facts
    ]


def _gathered(message: Message, longest: int, most: int) -> list[dict[str, Any]]:
    shown = message.lines[: min(most, MOST_LINES)]
    more = message.more + len(message.lines) - len(shown)
    told = [_line(line, min(longest, 400)) for line in shown]
    return told + ([_text(_run(f"and {more} more", isSubtle=True))] if more else [])


def _line(line: Line, longest: int) -> dict[str, Any]:
    """One alert, and the way to it at the right."""
    cause = "" if line.resolved else one_line(line.cause)
    said = f"{line_shape(line)} {line_word(line)}  {cut(line_where(line), 150)}" + (f" — {cause}" if cause else "")
    columns: list[dict[str, Any]] = [{"type": "Column", "width": "stretch", "items": [_text(_run(cut(said, longest)))]}]
    if (
        buttons([Link("open", "Open", line.url)])
        and len(line.url) <= URL
        and not re.search(r"[()\[\]\\<>\s]", line.url)
    ):
        way = {"type": "TextBlock", "text": f"[Open]({line.url})"}
        columns.append({"type": "Column", "width": "auto", "items": [way]})
    return {"type": "ColumnSet", "spacing": "Small", "columns": columns}


def _text(*runs: dict[str, Any]) -> dict[str, Any]:
    """A line in which nothing is markup."""
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **look: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text or " ", **look}


def _action(link: Link) -> dict[str, Any]:
    action = {"type": "Action.OpenUrl", "title": cut(one_line(link.label), 60) or "Open", "url": link.url}
    return {**action, "style": "positive"} if link.rel in ("acknowledge", "approve") else action

"""How does an alert become a PagerDuty incident? Events API v2: trigger, acknowledge and resolve under one key.

Repeats with the same key are folded by PagerDuty into the open incident, so every try is harmless. An incident that only
proves that the way works (a test, the weekly canary, a change of shift) is resolved in the same breath.
(https://developer.pagerduty.com/docs/events-api-v2/overview/)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from alerts.channels.base import ChannelConfig, DeliveryError, Fetch, Receipt, Secret
from alerts.channels.json_answers import JsonChannel
from alerts.channels.plain import as_json, headline
from alerts.channels.wording import buttons, cut, line_where, line_word, one_line, reference, rows
from alerts.message import Message
from portal.outbound.http import OutboundError, Request, Response

SUMMARY, SOURCE, DETAIL, KEY, LINK_TEXT = 1024, 255, 2000, 255, 100  # summary and key are PagerDuty's own numbers
MOST_DETAILS, MOST_LINES = 30, 50
SEVERITIES: Final = {"critical": "critical", "warning": "warning", "info": "info", "resolved": "info"}
PASSING: Final = ("test", "canary", "shift")  # it proves or tells something; nobody has to resolve it
ABOUT_THE_KEY: Final = ("routing key", "routing_key")
CURE: Final = "Copy the integration key again (service → Integrations → Events API V2), or choose the other region."


def _stripped(value: object) -> object:
    return SecretStr(value.get_secret_value().strip()) if isinstance(value, SecretStr) else str(value).strip()


def _key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if len(text) != 32 or not (text.isascii() and text.isalnum()):
        raise ValueError("An integration key has 32 letters and digits: service → Integrations → Events API V2.")
    return value


class PagerDutyConfig(ChannelConfig):
    """Which service hears of it."""

    routing_key: Annotated[Secret, BeforeValidator(_stripped), AfterValidator(_key)] = Field(
        title="Integration key",
        description="PagerDuty → service → Integrations → Add → Events API V2.",
        examples=["0123456789abcdef0123456789abcdef"],  # scan: allowed
    )
    region: Literal["us", "eu"] = Field("us", title="Region", description="Where your PagerDuty account lives.")


class PagerDuty(JsonChannel):
    """One PagerDuty service."""

    kind: ClassVar[str] = "pagerduty"
    label: ClassVar[str] = "PagerDuty"
    Config = PagerDutyConfig
    main_field: ClassVar[str] = "routing_key"
    people: ClassVar[bool] = False
    keyed: ClassVar[bool] = True
    lifecycle: ClassVar[bool] = True
    API: ClassVar[str] = "https://events.pagerduty.com"
    API_EU: ClassVar[str] = "https://events.eu.pagerduty.com"

    def address(self) -> str:
        """The key's last characters, as PagerDuty's own pages show it."""
        return f"PagerDuty ({self.config.region.upper()}), key …{self.config.routing_key.get_secret_value()[-4:]}"

    def request(self, message: Message) -> Request:
        """One event."""
        return self._post({"routing_key": self.config.routing_key.get_secret_value(), **event_of(message)})

    def _post(self, event: dict[str, Any]) -> Request:
        base = self.API_EU if self.config.region == "eu" else self.API
        headers = {"Content-Type": "application/json"}
        return Request(f"{base}/v2/enqueue", "POST", headers, as_json(event), timeout=10.0, max_body=256 * 1024)

    async def deliver(self, message: Message, fetch: Fetch) -> Receipt:
        """The event; what is only passing is resolved at once."""
        receipt = self.read(await fetch(self.request(message)))
        if message.kind not in PASSING:
            return receipt
        done = {
            "routing_key": self.config.routing_key.get_secret_value(),
            "event_action": "resolve",
            "dedup_key": key_of(message),
        }
        try:
            self.read(await fetch(self._post(done)))
        except (DeliveryError, OutboundError) as error:
            return replace(receipt, answer=f"Taken, but not resolved again ({error}): resolve it in PagerDuty."[:200])
        return receipt

    def taken(self, response: Response, said: dict[str, Any]) -> Receipt | None:
        """202 and `success`."""
        if said.get("status") != "success":
            return None
        told = self.hidden(one_line(said.get("message") or "accepted"))
        return Receipt(code=response.status, provider_id=one_line(said.get("dedup_key") or "")[:KEY], answer=told[:200])

    def words(self, said: dict[str, Any]) -> str:
        """Its message and what is wrong with the event."""
        errors = said.get("errors")
        parts = [said.get("message") or "", *(errors if isinstance(errors, list) else [])]
        return " · ".join(one_line(part) for part in parts if part)

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """The key is nearly always what is wrong."""
        return CURE if any(mark in words.lower() for mark in ABOUT_THE_KEY) else ""


# --- the event -------------------------------------------------------------------------------------------------------
def key_of(message: Message) -> str:
    """The incident's name over its whole life: what it was first told under, so that a new installation key changes nothing."""
    return (message.provider_id or message.key or f"watchkeeper-delivery-{message.delivery_id}")[:KEY]


def action_of(message: Message) -> str:
    """trigger, acknowledge or resolve."""
    return {"acknowledged": "acknowledge", "recovered": "resolve"}.get(message.kind, "trigger")


def event_of(message: Message) -> dict[str, Any]:
    """The event without its routing key."""
    action = action_of(message)
    event: dict[str, Any] = {"event_action": action, "dedup_key": key_of(message)}
    if action != "trigger":
        return event
    target = message.monitor.get("target") or message.site.get("url") or message.where
    payload = {
        "summary": headline(message, SUMMARY),
        "source": cut(one_line(target) or "Watchkeeper", SOURCE),
        "severity": SEVERITIES.get(message.tone, "warning"),
        "timestamp": message.at.isoformat(),
        "component": cut(one_line(message.monitor.get("name") or message.alert.get("entity_name") or ""), SOURCE),
        "group": cut(one_line(message.client.get("name") or ""), SOURCE),
        "class": cut(one_line(message.type), SOURCE),
        "custom_details": _details(message),
    }
    event["payload"] = {name: value for name, value in payload.items() if value}
    event["client"] = "Watchkeeper"
    event["links"] = [
        {"href": link.url, "text": cut(one_line(link.label), LINK_TEXT)} for link in buttons(message.links)
    ]
    if message.link("open"):
        event["client_url"] = message.link("open")
    return event


def _details(message: Message) -> dict[str, str]:
    told = {"Title": one_line(message.title), "Cause": one_line(message.cause)}
    for label, value in rows(message)[:MOST_DETAILS]:
        told.setdefault(cut(label, 100), value)
    for number, line in enumerate(message.lines[:MOST_LINES], 1):
        told[f"{number}"] = f"{line_word(line)}: {line_where(line)} — {one_line(line.cause)}"
    told["Reference"] = reference(message, keyed=True)
    return {label: cut(value, DETAIL) for label, value in told.items() if value}

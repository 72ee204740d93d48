"""How does an alert reach Opsgenie, or Jira Service Management after it? One alert under one alias, on either.

Both take the same bodies with the same key header, so one kind serves both: the region says where. The alias folds
repeats into the open alert. (https://docs.opsgenie.com/docs/alert-api, https://developer.atlassian.com/cloud/jira/service-desk-ops/)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import quote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from alerts.channels.addresses import HookUrl, readable
from alerts.channels.base import ChannelConfig, DeliveryError, Fetch, Receipt, Secret
from alerts.channels.json_answers import JsonChannel
from alerts.channels.plain import as_json, body, headline
from alerts.channels.wording import cut, one_line, reference, rows
from alerts.message import Message
from portal.outbound.http import OutboundError, Request, Response

MESSAGE, ALIAS, DESCRIPTION, TAG, ENTITY, SOURCE, NOTE = 130, 512, 15_000, 50, 512, 100, 25_000  # Opsgenie's numbers
MOST_TAGS, DETAIL, ALL_DETAILS = 20, 500, 7500  # details: 8,000 in all
PRIORITIES: Final = {"critical": "P1", "warning": "P3", "info": "P5", "resolved": "P5"}
PASSING: Final = ("test", "canary", "shift")  # closed again at once
ENDS: Final = (
    "Opsgenie ends on 5 April 2027; Jira Service Management takes the same alerts (region jsm, its own API key)."
)
CURES: Final = {
    401: "Check the API key, and that the region is the account's; after a move to Jira Service Management choose region jsm.",
    403: "The key may not create alerts: give its integration the right to create and update, and switch it on.",
    404: f"There is no alert API at this address. {ENDS}",
    410: ENDS,
}


def _stripped(value: object) -> object:
    return SecretStr(value.get_secret_value().strip()) if isinstance(value, SecretStr) else str(value).strip()


def _key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or len(text) > 200 or not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("Enter the API key of an API integration: one word of plain characters.")
    return value


class OpsgenieConfig(ChannelConfig):
    """Which account hears of it."""

    api_key: Annotated[Secret, BeforeValidator(_stripped), AfterValidator(_key)] = Field(
        title="API key",
        description="Of an API integration: Opsgenie or Jira Service Management → Operations → Integrations → API.",
        examples=["01234567-89ab-cdef-0123-456789abcdef"],
    )
    region: Literal["us", "eu", "jsm", "custom"] = Field(
        "us",
        title="Where",
        description="us or eu: Opsgenie. jsm: Jira Service Management, its successor. custom: the address below.",
    )
    api_url: HookUrl = Field(
        SecretStr(""),
        title="Address",
        description="Only for custom: the address that alerts are posted to, ending in /v2/alerts.",
        json_schema_extra={"format": "uri", "writeOnly": False},
    )
    tags: Annotated[tuple[str, ...], BeforeValidator(lambda v: _listed(v))] = Field(
        (), max_length=MOST_TAGS - 2, title="Tags", description="Further tags, separated by commas."
    )

    @model_validator(mode="after")
    def _where(self) -> Self:
        if self.region == "custom" and not self.api_url.get_secret_value():
            raise ValueError("Enter the address: region custom needs one.")
        if self.region != "custom" and self.api_url.get_secret_value():
            raise ValueError("An address of your own needs the region custom; or leave it empty.")
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return tuple(filter(None, (self.api_url.get_secret_value(),)))


def _listed(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Opsgenie(JsonChannel):
    """One Opsgenie or Jira Service Management integration."""

    kind: ClassVar[str] = "opsgenie"
    label: ClassVar[str] = "Opsgenie / Jira Service Management"
    Config = OpsgenieConfig
    main_field: ClassVar[str] = "api_key"
    people: ClassVar[bool] = False
    keyed: ClassVar[bool] = True
    lifecycle: ClassVar[bool] = True
    caveat: ClassVar[str] = (
        "Opsgenie ends on 5 April 2027: from that day its API takes nothing. Jira Service Management takes the same "
        "alerts: choose where = jsm with the API key of an integration there."
    )
    API: ClassVar[str] = "https://api.opsgenie.com"
    API_EU: ClassVar[str] = "https://api.eu.opsgenie.com"
    API_JSM: ClassVar[str] = "https://api.atlassian.com/jsm/ops/integration"

    def alerts_url(self) -> str:
        """What alerts are posted to, without a final slash."""
        if self.config.region == "custom":
            typed = str(self.config.api_url.get_secret_value()).rstrip("/")
            return typed if typed.endswith("/alerts") else f"{typed}/v2/alerts"
        return {"us": self.API, "eu": self.API_EU, "jsm": self.API_JSM}[self.config.region] + "/v2/alerts"

    def address(self) -> str:
        """Which product and region."""
        if self.config.region == "custom":
            return readable(self.config.api_url.get_secret_value())
        if self.config.region == "jsm":
            return "Jira Service Management"
        return f"Opsgenie ({self.config.region.upper()})"

    def secrets(self) -> list[str]:
        """The key; the address of one's own is not secret."""
        return [self.config.api_key.get_secret_value()]

    def request(self, message: Message) -> Request:
        """Create, acknowledge or close."""
        action = {"acknowledged": "acknowledge", "recovered": "close"}.get(message.kind, "")
        if action:
            return self._act(action, message)
        return self._post("", alert_of(message, self.config.tags))

    def _act(self, action: str, message: Message) -> Request:
        said = f"{headline(message, 500)}\n{body(message, NOTE - 501, links=message.links, keyed=True)}"
        told = {"source": "Watchkeeper", "note": said}
        return self._post(f"/{quote(alias_of(message), safe='')}/{action}?identifierType=alias", told)

    def _post(self, path: str, content: dict[str, Any]) -> Request:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"GenieKey {self.config.api_key.get_secret_value()}",
        }
        return Request(self.alerts_url() + path, "POST", headers, as_json(content), timeout=10.0, max_body=256 * 1024)

    async def deliver(self, message: Message, fetch: Fetch) -> Receipt:
        """The alert; what is only passing is closed at once. The alias is what it is known by from now on."""
        receipt = replace(self.read(await fetch(self.request(message))), provider_id=alias_of(message))
        if message.kind not in PASSING:
            return receipt
        try:
            self.read(await fetch(self._act("close", message)))
        except (DeliveryError, OutboundError) as error:
            return replace(receipt, answer=f"Taken, but not closed again ({error}): close it there."[:200])
        return receipt

    def taken(self, response: Response, said: dict[str, Any]) -> Receipt | None:
        """202 with a request id: it is queued there."""
        if not said.get("requestId"):
            return None
        return Receipt(code=response.status, answer=self.hidden(one_line(said.get("result") or "accepted"))[:200])

    def words(self, said: dict[str, Any]) -> str:
        """Its message and the fields that it does not like."""
        errors = said.get("errors")
        named = (
            [f"{one_line(name)}: {one_line(why)}" for name, why in errors.items()] if isinstance(errors, dict) else []
        )
        return " · ".join(filter(None, [one_line(said.get("message") or ""), *named]))

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """By status."""
        return CURES.get(response.status, "")

    def wait(self, response: Response) -> float | None:
        """A limited account is told the period that it is counted over."""
        period = (response.header("x-ratelimit-period-in-sec") or "") if response.status == 429 else ""
        return float(period) if period.isascii() and period.isdigit() else None


# --- the alert -------------------------------------------------------------------------------------------------------
def alias_of(message: Message) -> str:
    """The alert's name over its whole life: what it was first told under."""
    return (message.provider_id or message.key or f"watchkeeper-delivery-{message.delivery_id}")[:ALIAS]


def alert_of(message: Message, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    """The alert's body; a repeat for an open alias adds a note and is counted there."""
    own = ("watchkeeper", one_line(message.severity), *tags)
    alert: dict[str, Any] = {
        "message": headline(message, MESSAGE),
        "alias": alias_of(message),
        "description": body(message, DESCRIPTION, links=message.links, keyed=True),
        "entity": cut(one_line(message.monitor.get("target") or message.where), ENTITY),
        "source": "Watchkeeper",
        "priority": PRIORITIES.get(message.tone, "P3"),
        "tags": [cut(one_line(tag), TAG) for tag in own if one_line(tag)][:MOST_TAGS],
        "details": _details(message),
    }
    if message.kind not in ("opened", *PASSING):
        alert["note"] = cut(headline(message, 500), NOTE)
    return {name: value for name, value in alert.items() if value}


def _details(message: Message) -> dict[str, str]:
    told: dict[str, str] = {}
    used = 0
    for label, value in [*rows(message), ("Reference", reference(message, keyed=True))]:
        label, value = cut(label, 100), cut(value, DETAIL)
        used += len(label) + len(value)
        if value and used <= ALL_DETAILS:
            told.setdefault(label, value)
    return told

"""How does an alert become a ticket in Autotask? Opened for a company, noted, and put into the complete status.

Our key is the ticket's externalID, so a second try finds it. Autotask says 500 to a field that it does not like; that is a
final no, told apart by its words. (autotask.net/help/developerhelp, REST API)
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, SecretStr, model_validator

from alerts.channels.addresses import HookUrl
from alerts.channels.base import ChannelConfig, DeliveryError, Fetch, ProviderAccount, Receipt, Secret
from alerts.channels.json_answers import object_of
from alerts.channels.plain import as_json, headline
from alerts.channels.tickets import ASIDE, MOST_BODY, AccountOfOwn, key_of, named, number_of, text_of
from alerts.channels.wording import one_line
from alerts.message import Message
from portal.outbound.guard import check_url
from portal.outbound.http import Request, Response

__all__ = ["TicketAutotask", "number_of"]

TITLE, NOTE_TITLE, EXTERNAL = 255, 250, 50  # Autotask's numbers
DUE: Final = timedelta(hours=24)  # a ticket must be due some time
_FINAL: Final = re.compile(r"field|value|required|invalid|not valid|must|does not exist|picklist", re.IGNORECASE)
CURES: Final = {
    401: "Check the API user's name and secret, the tracking identifier, and that the zone's address is your own.",
    403: "The API user's security level may not do this.",
    404: "Check the zone's address, as https://webservices5.autotask.net/ATServicesRest.",
}


def _header(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("It contains characters that a header cannot have.")
    return value


def _secret_header(value: SecretStr) -> SecretStr:
    _header(value.get_secret_value())
    return value


def _zone(value: str) -> str:
    if value and check_url(value).scheme != "https":
        raise ValueError("Enter the zone's address with https://, as https://webservices5.autotask.net/ATServicesRest.")
    return value.strip()


Number = Annotated[str, Field(pattern=r"\A[0-9]{1,12}\z")]
NumberOrNone = Annotated[str, Field(pattern=r"\A[0-9]{0,12}\z")]
Header = Annotated[str, Field(max_length=200), AfterValidator(_header)]


class TicketAutotaskConfig(ChannelConfig):
    """Whose ticket, in which queue; and which account, when it is not the installation's. Ids are Autotask's own numbers."""

    company_id: Number = Field(
        title="Company id", description="The client's number in Autotask.", examples=["29762838"]
    )
    queue_id: NumberOrNone = Field(
        "", title="Queue id", description="Needed unless the category brings one.", examples=["29682833"]
    )
    category_id: NumberOrNone = Field("", title="Ticket category id")
    priority_critical: Number = Field(
        "4", title="Priority when critical", description="4 is Critical, unless changed there."
    )
    priority_other: Number = Field("2", title="Priority otherwise", description="2 is Medium, unless changed there.")
    new_status: Number = Field("1", title="Status when opened", description="1 is New.")
    closed_status: Number = Field("5", title="Status when closed", description="5 is Complete.")
    note_type: Number = Field("1", title="Note type", description="1 is Task Summary.")
    url: HookUrl = Field(
        SecretStr(""),
        title="Zone's address",
        description="Empty: the installation's account.",
        examples=["https://webservices5.autotask.net/ATServicesRest"],
        json_schema_extra={"format": "uri", "writeOnly": False},
    )
    user: Header = Field("", title="API user", examples=["robot@example.com"])
    secret: Annotated[Secret, AfterValidator(_secret_header)] = Field(
        SecretStr(""), title="API secret", examples=["Zx9exampleSecret0"]
    )
    integration_code: Annotated[Secret, AfterValidator(_secret_header)] = Field(
        SecretStr(""), title="Tracking identifier", examples=["ABCDEFGHIJKLMNOPQRSTUVWXYZ1"]
    )

    @model_validator(mode="after")
    def _own_account(self) -> Self:
        given = (self.user, self.secret.get_secret_value(), self.integration_code.get_secret_value())
        if any(bool(part) is not bool(self.url.get_secret_value()) for part in given):
            raise ValueError("An account of one's own needs address, user, secret and tracking identifier, all four.")
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return tuple(filter(None, (self.url.get_secret_value(),)))


class AutotaskAccount(ProviderAccount):
    """The installation's own Autotask."""

    url: Annotated[str, AfterValidator(_zone)] = Field(
        "", max_length=300, title="Zone's address", description="https://webservices5.autotask.net/ATServicesRest"
    )
    user: Header = Field("", title="API user")
    secret: Annotated[SecretStr, AfterValidator(_secret_header)] = Field(SecretStr(""), title="API secret")
    integration_code: Annotated[SecretStr, AfterValidator(_secret_header)] = Field(
        SecretStr(""), title="Tracking identifier"
    )


class TicketAutotask(AccountOfOwn):
    """Tickets of one company."""

    kind: ClassVar[str] = "ticket_autotask"
    label: ClassVar[str] = "Ticket: Autotask"
    Config = TicketAutotaskConfig
    main_field: ClassVar[str] = "company_id"
    keyed: ClassVar[bool] = True
    provider: ClassVar[str] = "autotask"
    provider_label: ClassVar[str] = "Autotask"
    Account = AutotaskAccount
    needed: ClassVar[tuple[str, ...]] = ("url", "user", "secret", "integration_code")

    def address(self) -> str:
        """Company and zone."""
        return f"company {self.config.company_id} at {self.account['url'].removeprefix('https://').partition('/')[0]}"

    def _ask(self, method: str, path: str, content: Any = None, timeout: float = ASIDE) -> Request:
        account = self.account
        base = account["url"] if account["url"].lower().endswith("/v1.0") else f"{account['url']}/V1.0"
        headers = {
            "ApiIntegrationCode": account["integration_code"],
            "UserName": account["user"],
            "Secret": account["secret"],
            "Content-Type": "application/json",
        }
        sent = None if content is None else as_json(content)
        return Request(f"{base}{path}", method, headers, sent, timeout=timeout, max_body=MOST_BODY)

    def opening(self, message: Message) -> Request:
        """Open the ticket."""
        config = self.config
        ticket: dict[str, Any] = {
            "companyID": int(config.company_id),
            "title": headline(message, TITLE),
            "description": text_of(message, keyed=True),
            "status": int(config.new_status),
            "priority": int(config.priority_critical if message.severity == "critical" else config.priority_other),
            "dueDateTime": (message.at + DUE).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "externalID": _external(message),
        }
        if config.queue_id:
            ticket["queueID"] = int(config.queue_id)
        if config.category_id:
            ticket["ticketCategory"] = int(config.category_id)
        return self._ask("POST", "/Tickets", ticket, 10.0)

    def opened(self, response: Response) -> str:
        """The answer names the id only."""
        return named(self.found(response).get("itemId"))

    async def number(self, ticket: str, fetch: Fetch) -> str:
        """`T20261121.0001`"""
        item = self.found(await fetch(self._ask("GET", f"/Tickets/{quote(ticket, safe='')}"))).get("item")
        return one_line(item.get("ticketNumber") or "") if isinstance(item, dict) else ""

    def commenting(self, message: Message, ticket: str) -> Request:
        """A note that all of Autotask's users see."""
        note = {
            "title": headline(message, NOTE_TITLE),
            "description": text_of(message, keyed=True) or headline(message, NOTE_TITLE),
            "noteType": int(self.config.note_type),
            "publish": 1,
        }
        return self._ask("POST", f"/Tickets/{quote(ticket, safe='')}/Notes", note)

    def closing(self, message: Message, ticket: str) -> Request:
        """Put it into the closed status."""
        id_ = int(ticket) if ticket.isascii() and ticket.isdigit() else 0
        return self._ask("PATCH", "/Tickets", {"id": id_, "status": int(self.config.closed_status)})

    async def find(self, message: Message, fetch: Fetch) -> str:
        """The ticket with our key as its externalID."""
        asked = {
            "MaxRecords": 1,
            "IncludeFields": ["id", "ticketNumber"],
            "filter": [{"op": "eq", "field": "externalID", "value": _external(message)}],
        }
        items = self.found(await fetch(self._ask("POST", "/Tickets/query", asked))).get("items") or []
        return named(items[0].get("id"), items[0].get("ticketNumber")) if items else ""

    def read(self, response: Response) -> Receipt:
        """A 500 that names a field is a final no."""
        try:
            return super().read(response)
        except DeliveryError as error:
            words = self.words(object_of(response))
            if response.status != 500 or not _FINAL.search(words):
                raise
            raise DeliveryError(str(error), permanent=True, code=500) from None

    def words(self, said: dict[str, Any]) -> str:
        """Its sentences."""
        errors = said.get("errors")
        return " · ".join(one_line(part) for part in errors if part) if isinstance(errors, list) else ""

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """By status."""
        return CURES.get(response.status, "")


def _external(message: Message) -> str:
    return key_of(message)[:EXTERNAL]

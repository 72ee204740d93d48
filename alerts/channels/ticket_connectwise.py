"""How does an alert become a service ticket in ConnectWise PSA? Opened on a board, noted, and put into a closed status.

Our key is the ticket's external reference, so a second try finds it. (developer.connectwise.com, ConnectWise PSA REST)
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, SecretStr, model_validator

from alerts.channels.addresses import HookUrl
from alerts.channels.base import ChannelConfig, Fetch, ProviderAccount, Secret
from alerts.channels.json_answers import value_of
from alerts.channels.plain import as_json, headline
from alerts.channels.tickets import ASIDE, CLOSE, MOST_BODY, AccountOfOwn, key_of, named, number_of, step_of, text_of
from alerts.channels.wording import one_line
from alerts.message import Message
from portal.outbound.guard import check_url
from portal.outbound.http import Request, Response

__all__ = ["TicketConnectWise", "number_of"]

SUMMARY, REFERENCE = 100, 100  # ConnectWise's numbers
PATH: Final = "/v4_6_release/apis/3.0"
CURES: Final = {
    401: "Check company, public key, private key and client id (System → Members → API Members).",
    403: "The API member's role may not do this: give it add and edit of service tickets.",
    404: "Check the site's address, as https://api-na.myconnectwise.net.",
}


def _plain_word(value: str) -> str:
    if value and (not (value.isascii() and value.isprintable()) or " " in value or ":" in value):
        raise ValueError("It contains characters that this cannot have.")
    return value


def _secret_word(value: SecretStr) -> SecretStr:
    _plain_word(value.get_secret_value().replace(":", ""))
    return value


def _site(value: str) -> str:
    if value and check_url(value).scheme != "https":
        raise ValueError("Enter the site's address with https://, for example https://api-na.myconnectwise.net.")
    return value.strip()


Word = Annotated[str, Field(max_length=200), AfterValidator(_plain_word)]


class TicketConnectWiseConfig(ChannelConfig):
    """Whose ticket, on which board; and which site, when it is not the installation's."""

    company: str = Field(
        max_length=50,
        min_length=1,
        title="Company",
        description="The client's company id there.",
        examples=["AcmeCorp"],
    )
    board: str = Field(
        "", max_length=100, title="Service board", description="Empty: the default board.", examples=["Monitoring"]
    )
    priority: str = Field("", max_length=100, title="Priority", description="Its name; empty: the board's own.")
    closed_status: str = Field(
        "Closed", min_length=1, max_length=100, title="Closed status", description="As the board calls it."
    )
    url: HookUrl = Field(
        SecretStr(""),
        title="Site",
        description="Empty: the installation's.",
        examples=["https://api-na.myconnectwise.net"],
        json_schema_extra={"format": "uri", "writeOnly": False},
    )
    login_company: Word = Field("", title="Login company", examples=["acme_msp"])
    public_key: Word = Field("", title="Public key", examples=["qZexamplePublic0"])
    private_key: Annotated[Secret, AfterValidator(_secret_word)] = Field(
        SecretStr(""), title="Private key", examples=["Ab3examplePrivate9"]
    )
    client_id: Word = Field("", title="Client id", examples=["01234567-89ab-4cde-8f01-23456789abcd"])

    @model_validator(mode="after")
    def _own_account(self) -> Self:
        given = (self.login_company, self.public_key, self.private_key.get_secret_value(), self.client_id)
        if any(bool(part) is not bool(self.url.get_secret_value()) for part in given):
            raise ValueError(
                "A site of one's own needs login company, both keys and client id, and they need the site."
            )
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return tuple(filter(None, (self.url.get_secret_value(),)))


class ConnectWiseAccount(ProviderAccount):
    """The installation's own ConnectWise PSA."""

    url: Annotated[str, AfterValidator(_site)] = Field(
        "", max_length=300, title="Site", description="https://api-na.myconnectwise.net"
    )
    login_company: Word = Field("", title="Login company")
    public_key: Word = Field("", title="Public key")
    private_key: Annotated[SecretStr, AfterValidator(_secret_word)] = Field(SecretStr(""), title="Private key")
    client_id: Word = Field("", title="Client id", description="Of developer.connectwise.com.")


class TicketConnectWise(AccountOfOwn):
    """Service tickets of one company."""

    kind: ClassVar[str] = "ticket_connectwise"
    label: ClassVar[str] = "Ticket: ConnectWise PSA"
    Config = TicketConnectWiseConfig
    main_field: ClassVar[str] = "company"
    keyed: ClassVar[bool] = True
    provider: ClassVar[str] = "connectwise"
    provider_label: ClassVar[str] = "ConnectWise PSA"
    Account = ConnectWiseAccount
    needed: ClassVar[tuple[str, ...]] = ("url", "login_company", "public_key", "private_key", "client_id")

    def address(self) -> str:
        """Company and site."""
        return f"{one_line(self.config.company)} at {self.account['url'].removeprefix('https://')}"

    def secrets(self) -> list[str]:
        """The private key, also as it travels."""
        return [*super().secrets(), self._login]

    @property
    def _login(self) -> str:
        account = self.account
        pair = f"{account['login_company']}+{account['public_key']}:{account['private_key']}"
        return base64.b64encode(pair.encode()).decode()

    def _ask(self, method: str, path: str, content: Any = None, timeout: float = ASIDE) -> Request:
        site = self.account["url"]
        base = site if "/apis/" in site else site + PATH
        headers = {
            "Authorization": f"Basic {self._login}",
            "clientId": self.account["client_id"],
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        sent = None if content is None else as_json(content)
        return Request(f"{base}{path}", method, headers, sent, timeout=timeout, max_body=MOST_BODY)

    def opening(self, message: Message) -> Request:
        """Open the ticket."""
        ticket: dict[str, Any] = {
            "summary": headline(message, SUMMARY),
            "company": {"identifier": self.config.company},
            "initialDescription": text_of(message, keyed=True),
            "externalXRef": _reference(message),
        }
        for name in ("board", "priority"):
            if getattr(self.config, name):
                ticket[name] = {"name": getattr(self.config, name)}
        return self._ask("POST", "/service/tickets", ticket, 10.0)

    def opened(self, response: Response) -> str:
        """Its id is its number."""
        return named(self.found(response).get("id"))

    def commenting(self, message: Message, ticket: str) -> Request:
        """An internal note; how it ended is the resolution."""
        note = {
            "text": f"{headline(message, 250)}\n{text_of(message, keyed=True)}",
            "detailDescriptionFlag": False,
            "internalAnalysisFlag": step_of(message) != CLOSE,
            "resolutionFlag": step_of(message) == CLOSE,
        }
        return self._ask("POST", f"/service/tickets/{quote(ticket, safe='')}/notes", note)

    def closing(self, message: Message, ticket: str) -> Request:
        """Put it into the closed status."""
        moved = [{"op": "replace", "path": "status", "value": {"name": self.config.closed_status}}]
        return self._ask("PATCH", f"/service/tickets/{quote(ticket, safe='')}", moved)

    async def find(self, message: Message, fetch: Fetch) -> str:
        """The newest ticket with our key as its external reference."""
        asked = quote(f'externalXRef="{_reference(message)}"', safe="")
        path = f"/service/tickets?conditions={asked}&orderBy=id%20desc&pageSize=1&fields=id"
        response = await fetch(self._ask("GET", path))
        self.read(response)
        tickets = value_of(response)
        return (
            named(tickets[0].get("id"))
            if isinstance(tickets, list) and tickets and isinstance(tickets[0], dict)
            else ""
        )

    def words(self, said: dict[str, Any]) -> str:
        """Its message and those of the fields."""
        errors = said.get("errors")
        fields = (
            [one_line(e.get("message") or "") for e in errors if isinstance(e, dict)]
            if isinstance(errors, list)
            else []
        )
        return " · ".join(filter(None, [one_line(said.get("message") or ""), *fields]))

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """By status."""
        return CURES.get(response.status, "")


def _reference(message: Message) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", key_of(message))[:REFERENCE]

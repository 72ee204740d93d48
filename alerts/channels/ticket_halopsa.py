"""How does an alert become a ticket in HaloPSA? A token first, then Tickets and Actions; texts are HTML with all escaped.

Halo has no field that is surely searched for a key of ours: a second try searches for it in the texts, and trusts only a
ticket that really holds it. (haloservicedesk.com/apidocs)
"""

from __future__ import annotations

import re
from html import escape
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import quote, urlencode

from pydantic import AfterValidator, Field, SecretStr, model_validator

from alerts.channels.addresses import HookUrl
from alerts.channels.base import ChannelConfig, DeliveryError, Fetch, ProviderAccount, Secret
from alerts.channels.json_answers import value_of
from alerts.channels.plain import as_json, headline
from alerts.channels.tickets import ASIDE, MOST_BODY, AccountOfOwn, key_of, named, number_of, text_of
from alerts.channels.wording import one_line
from alerts.message import Message
from portal.outbound.guard import check_url
from portal.outbound.http import Request, Response

__all__ = ["TicketHaloPsa", "number_of"]

SUMMARY: Final = 250
CURES: Final = {
    401: "Check client id and secret (Configuration → Integrations → Halo PSA API) and that the application is active.",
    403: "The API application's agent may not do this: give it the right to edit tickets.",
    404: "Check the site's address, as https://acme.halopsa.com.",
}


def _site(value: str) -> str:
    if value and check_url(value).scheme != "https":
        raise ValueError("Enter the site's address with https://, for example https://acme.halopsa.com.")
    return value.strip()


NumberOrNone = Annotated[str, Field(pattern=r"\A[0-9]{0,12}\z")]
Number = Annotated[str, Field(pattern=r"\A[0-9]{1,12}\z")]


class TicketHaloPsaConfig(ChannelConfig):
    """Whose ticket, of which type; and which site, when it is not the installation's. Ids are Halo's own numbers."""

    customer_id: Number = Field(title="Client id", description="The client's number in Halo.", examples=["12"])
    ticket_type: NumberOrNone = Field("", title="Ticket type id", description="Empty: Halo's default.", examples=["1"])
    site_id: NumberOrNone = Field("", title="Site id")
    priority_critical: NumberOrNone = Field("1", title="Priority when critical")
    priority_other: NumberOrNone = Field("3", title="Priority otherwise")
    closed_status: Number = Field("9", title="Closed status id", description="9 is Closed, unless changed there.")
    outcome: str = Field(
        "Private Note", min_length=1, max_length=100, title="Outcome of a comment", description="As Halo calls it."
    )
    url: HookUrl = Field(
        SecretStr(""),
        title="Site",
        description="Empty: the installation's.",
        examples=["https://acme.halopsa.com"],
        json_schema_extra={"format": "uri", "writeOnly": False},
    )
    tenant: str = Field(
        "",
        max_length=100,
        pattern=r"\A[\w.\-]*\z",
        title="Tenant",
        description="Only for hosted sites that ask for it.",
    )
    client_id: str = Field(
        "",
        max_length=200,
        pattern=r"\A[\w.\-]*\z",
        title="API client id",
        examples=["0a1b2c3d-0000-4000-8000-000000000000"],
    )
    client_secret: Secret = Field(
        SecretStr(""), max_length=500, title="API client secret", examples=["halo-example-secret-0001"]
    )

    @model_validator(mode="after")
    def _own_account(self) -> Self:
        given = (self.client_id, self.client_secret.get_secret_value())
        if any(bool(part) is not bool(self.url.get_secret_value()) for part in given):
            raise ValueError("A site of one's own needs API client id and secret, and they need the site.")
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return tuple(filter(None, (self.url.get_secret_value(),)))


class HaloPsaAccount(ProviderAccount):
    """The installation's own HaloPSA."""

    url: Annotated[str, AfterValidator(_site)] = Field(
        "", max_length=300, title="Site", description="https://acme.halopsa.com"
    )
    tenant: str = Field("", max_length=100, pattern=r"\A[\w.\-]*\z", title="Tenant")
    client_id: str = Field("", max_length=200, pattern=r"\A[\w.\-]*\z", title="API client id")
    client_secret: SecretStr = Field(SecretStr(""), max_length=500, title="API client secret")


class TicketHaloPsa(AccountOfOwn):
    """Tickets of one client."""

    kind: ClassVar[str] = "ticket_halopsa"
    label: ClassVar[str] = "Ticket: HaloPSA"
    Config = TicketHaloPsaConfig
    main_field: ClassVar[str] = "customer_id"
    provider: ClassVar[str] = "halopsa"
    provider_label: ClassVar[str] = "HaloPSA"
    Account = HaloPsaAccount
    needed: ClassVar[tuple[str, ...]] = ("url", "client_id", "client_secret")
    caveat: ClassVar[str] = "Halo folds no repeats: a try whose outcome is unknown may open a second ticket."

    _token = ""

    def address(self) -> str:
        """Client and site."""
        return f"client {self.config.customer_id} at {self.account['url'].removeprefix('https://')}"

    def secrets(self) -> list[str]:
        """The secret, and the token of the day."""
        return [*super().secrets(), self._token]

    async def sign_in(self, fetch: Fetch) -> None:
        """Client credentials for a token."""
        account = self.account
        form = {"grant_type": "client_credentials", "scope": "all"}
        form |= {name: account[name] for name in ("client_id", "client_secret")}
        tenant = f"?tenant={quote(account['tenant'], safe='')}" if account["tenant"] else ""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        sent = urlencode(form).encode()
        asked = Request(
            f"{account['url']}/auth/token{tenant}", "POST", headers, sent, timeout=ASIDE, max_body=MOST_BODY
        )
        token = self.found(await fetch(asked)).get("access_token")
        if not isinstance(token, str) or not (token.isascii() and token.isprintable() and token):
            raise DeliveryError("Halo gave no token: check the site's address.", ambiguous=True)
        self._token = token

    def _ask(self, method: str, path: str, content: Any = None, timeout: float = ASIDE) -> Request:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        sent = None if content is None else as_json(content)
        return Request(f"{self.account['url']}/api{path}", method, headers, sent, timeout=timeout, max_body=MOST_BODY)

    def opening(self, message: Message) -> Request:
        """Open the ticket."""
        config = self.config
        priority = config.priority_critical if message.severity == "critical" else config.priority_other
        ids = {
            "client_id": config.customer_id,
            "tickettype_id": config.ticket_type,
            "site_id": config.site_id,
            "priority_id": priority,
        }
        ticket = {
            "summary": headline(message, SUMMARY),
            "details_html": _html(f"{text_of(message, keyed=False)}\n{key_of(message)}"),
            **{name: int(value) for name, value in ids.items() if value},
        }
        return self._ask("POST", "/Tickets", [ticket], 10.0)

    def opened(self, response: Response) -> str:
        """The ticket, alone or in a list."""
        said = value_of(response)
        ticket = said[0] if isinstance(said, list) and said else said
        return named(ticket.get("id")) if isinstance(ticket, dict) else ""

    def commenting(self, message: Message, ticket: str) -> Request:
        """An action that the client does not see."""
        text = f"{headline(message, SUMMARY)}\n{text_of(message, keyed=False)}"
        action = {
            "ticket_id": _number(ticket),
            "outcome": self.config.outcome,
            "note_html": _html(text),
            "hiddenfromuser": True,
        }
        return self._ask("POST", "/Actions", [action])

    def closing(self, message: Message, ticket: str) -> Request:
        """Put it into the closed status."""
        return self._ask("POST", "/Tickets", [{"id": _number(ticket), "status_id": int(self.config.closed_status)}])

    async def find(self, message: Message, fetch: Fetch) -> str:
        """A ticket of this client whose text holds our key."""
        asked = urlencode(
            {"search": key_of(message), "client_id": self.config.customer_id, "includedetails": "true", "count": 5}
        )
        response = await fetch(self._ask("GET", f"/Tickets?{asked}"))
        tickets = self.found(response).get("tickets") or []
        mine = [t for t in tickets if isinstance(t, dict) and _holds(t, key_of(message))]
        return named(mine[0].get("id")) if mine else ""

    def words(self, said: dict[str, Any]) -> str:
        """The usual places of Halo's and its sign-in's words."""
        for name in ("error_description", "message", "Message", "error", "title"):
            if isinstance(said.get(name), str) and said[name]:
                return one_line(said[name])
        return ""

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """By status; a wrong secret is a 400 there."""
        if "invalid_client" in words or said.get("error") == "invalid_client":
            return CURES[401]
        return CURES.get(response.status, "")


def _html(text: str) -> str:
    """The text as HTML in which nothing is markup."""
    return "<p>" + "<br>".join(escape(line) for line in text.split("\n")) + "</p>"


def _holds(ticket: dict[str, Any], key: str) -> bool:
    """Does its text end with our key, whole? (…-9 is not …-91)"""
    text = f"{ticket.get('details') or ''} {ticket.get('details_html') or ''}"
    return re.search(rf"(?<![\w-]){re.escape(key)}(?![\w-])", text) is not None


def _number(ticket: str) -> int:
    return int(ticket) if ticket.isascii() and ticket.isdigit() else 0

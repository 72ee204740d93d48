"""How does an alert become an issue in Jira Cloud? Created, commented and moved to a status, by REST v3.

Our key is a label, so a second try finds the issue instead of making another. Texts are Atlassian's document format: its
text nodes know no markup, so a name shows as typed. (https://developer.atlassian.com/cloud/jira/platform/rest/v3/)
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, ClassVar, Final, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, SecretStr, model_validator

from alerts.channels.addresses import HookUrl
from alerts.channels.base import ChannelConfig, DeliveryError, Fetch, ProviderAccount, Receipt, Secret
from alerts.channels.plain import as_json, body, headline
from alerts.channels.tickets import ASIDE, MOST_BODY, TEXT, AccountOfOwn, key_of, named, number_of
from alerts.channels.wording import buttons, cut, one_line
from alerts.message import Link, Message
from portal.outbound.guard import check_url
from portal.outbound.http import Request, Response

__all__ = ["TicketJira", "number_of"]

SUMMARY, LABEL = 255, 255  # Jira's numbers; a description may have 32,767 characters
_PROJECT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,49}")
CURES: Final = {
    401: "Check the e-mail address and the API token (id.atlassian.com → Security → API tokens).",
    403: "The account may not do this: give it the project's rights to create, comment and move issues.",
    404: "Check the site's address and the project, and that the account may see it.",
}


def _site(value: str) -> str:
    if value and check_url(value).scheme != "https":
        raise ValueError("Enter the site's address with https://, for example https://acme.atlassian.net.")
    return value.strip()


def _project(value: str) -> str:
    if value and not _PROJECT.fullmatch(value):
        raise ValueError("A project's key is letters and digits, as the OPS of OPS-12.")
    return value


def _word(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable() and len(text) <= 500) or " " in text:
        raise ValueError("The token contains characters that a token cannot have.")
    return value


class TicketJiraConfig(ChannelConfig):
    """Which project; and which site, when it is not the installation's."""

    project: Annotated[str, AfterValidator(_project)] = Field(
        title="Project key", description="The OPS of OPS-12.", examples=["OPS"]
    )
    issue_type: str = Field(
        "Task", min_length=1, max_length=100, title="Issue type", description="As the project calls it."
    )
    done_status: str = Field(
        "Done", min_length=1, max_length=100, title="Closed status", description="Where a recovery moves it."
    )
    labels: str = Field(
        "", max_length=300, pattern=r"\A[\w\-. ]*\z", title="Labels", description="Further ones, separated by spaces."
    )
    url: HookUrl = Field(
        SecretStr(""),
        title="Site",
        description="Empty: the installation's.",
        examples=["https://acme.atlassian.net"],
        json_schema_extra={"format": "uri", "writeOnly": False},
    )
    email: str = Field("", max_length=200, pattern=r"\A[^\s:]*\z", title="E-mail", examples=["robot@example.com"])
    token: Annotated[Secret, AfterValidator(_word)] = Field(
        SecretStr(""), title="API token", examples=["ATATT3xFfGF0exampleexample"]
    )

    @model_validator(mode="after")
    def _own_account(self) -> Self:
        if bool(self.url.get_secret_value()) is not bool(self.email and self.token.get_secret_value()):
            raise ValueError("A site of one's own needs its e-mail and API token, and they need the site.")
        return self

    def reaches(self) -> tuple[str, ...]:
        """What a person typed that we connect to."""
        return tuple(filter(None, (self.url.get_secret_value(),)))


class JiraAccount(ProviderAccount):
    """The installation's own Jira site."""

    url: Annotated[str, AfterValidator(_site)] = Field(
        "", max_length=300, title="Site", description="https://acme.atlassian.net"
    )
    email: str = Field("", max_length=200, pattern=r"\A[^\s:]*\z", title="E-mail")
    token: Annotated[SecretStr, AfterValidator(_word)] = Field(SecretStr(""), title="API token")


class TicketJira(AccountOfOwn):
    """Issues in one Jira project."""

    kind: ClassVar[str] = "ticket_jira"
    label: ClassVar[str] = "Ticket: Jira"
    Config = TicketJiraConfig
    main_field: ClassVar[str] = "project"
    keyed: ClassVar[bool] = True
    provider: ClassVar[str] = "jira"
    provider_label: ClassVar[str] = "Jira"
    Account = JiraAccount
    needed: ClassVar[tuple[str, ...]] = ("url", "email", "token")

    def address(self) -> str:
        """Project and site."""
        return f"{self.config.project} at {self.account['url'].removeprefix('https://')}"

    def secrets(self) -> list[str]:
        """The token, also as it travels."""
        return [*super().secrets(), self._login]

    @property
    def _login(self) -> str:
        account = self.account
        return base64.b64encode(f"{account['email']}:{account['token']}".encode()).decode()

    def _ask(self, method: str, path: str, content: Any = None, timeout: float = ASIDE) -> Request:
        headers = {
            "Authorization": f"Basic {self._login}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        sent = None if content is None else as_json(content)
        return Request(
            f"{self.account['url']}/rest/api/3{path}", method, headers, sent, timeout=timeout, max_body=MOST_BODY
        )

    # --- what it asks ------------------------------------------------------------------------------------------------
    def opening(self, message: Message) -> Request:
        """Create the issue."""
        labels = [_label(key_of(message)), "watchkeeper", *self.config.labels.split()]
        fields = {
            "project": {"key": self.config.project},
            "issuetype": {"name": self.config.issue_type},
            "summary": headline(message, SUMMARY),
            "description": document(message, whole=True),
            "labels": list(dict.fromkeys(labels)),
        }
        return self._ask("POST", "/issue", {"fields": fields}, 10.0)

    def opened(self, response: Response) -> str:
        """`10000|OPS-24`"""
        said = self.found(response)
        return named(said.get("id"), said.get("key"))

    def commenting(self, message: Message, ticket: str) -> Request:
        """Comment on it."""
        return self._ask("POST", f"/issue/{quote(ticket, safe='')}/comment", {"body": document(message)})

    def closing(self, message: Message, ticket: str) -> Request:
        """Which moves are offered from where it stands."""
        return self._ask("GET", f"/issue/{quote(ticket, safe='')}/transitions")

    async def close(self, message: Message, ticket: str, fetch: Fetch) -> Receipt:
        """Move it to the closed status; an issue that stands there already is well."""
        offered = self.found(await fetch(self.closing(message, ticket))).get("transitions") or []
        wanted = str(self.config.done_status).casefold()
        move = next((t for t in offered if wanted in _names(t)), None)
        if move is None:
            return await self._closed_already(ticket, [one_line(_to(t)) for t in offered], fetch)
        path = f"/issue/{quote(ticket, safe='')}/transitions"
        receipt = self.read(await fetch(self._ask("POST", path, {"transition": {"id": str(move.get("id"))}})))
        try:
            await self.comment(message, ticket, fetch)
        except DeliveryError as error:
            return Receipt(code=receipt.code, answer=f"closed, but not commented: {error}"[:200])
        return Receipt(code=receipt.code, answer="closed")

    async def _closed_already(self, ticket: str, offered: list[str], fetch: Fetch) -> Receipt:
        issue = self.found(await fetch(self._ask("GET", f"/issue/{quote(ticket, safe='')}?fields=status")))
        status = (issue.get("fields") or {}).get("status") or {}
        done = (status.get("statusCategory") or {}).get("key") == "done"
        if done or one_line(status.get("name") or "").casefold() == self.config.done_status.casefold():
            return Receipt(code=200, answer=f"it is {one_line(status.get('name') or 'closed')} already"[:200])
        told = ", ".join(offered)[:120] or "none"
        raise DeliveryError(
            f"Jira offers no move to {self.config.done_status!r} from here; it offers: {told}. Change the closed status.",
            permanent=True,
        )

    async def find(self, message: Message, fetch: Fetch) -> str:
        """The newest issue of the project that has our key as its label."""
        jql = f'project = "{self.config.project}" AND labels = "{_label(key_of(message))}" ORDER BY created DESC'
        asked = {"jql": jql, "maxResults": 1, "fields": ["status"]}
        issues = self.found(await fetch(self._ask("POST", "/search/jql", asked))).get("issues") or []
        return named(issues[0].get("id"), issues[0].get("key")) if issues else ""

    # --- what it answers ---------------------------------------------------------------------------------------------
    def words(self, said: dict[str, Any]) -> str:
        """Its messages and the fields that it does not like."""
        errors = said.get("errors")
        fields = (
            [f"{one_line(name)}: {one_line(why)}" for name, why in errors.items()] if isinstance(errors, dict) else []
        )
        told = said.get("errorMessages")
        return (
            " · ".join([one_line(part) for part in told or [] if part] + fields)
            if isinstance(told, list)
            else " · ".join(fields)
        )

    def cure(self, response: Response, said: dict[str, Any], words: str) -> str:
        """By status."""
        return CURES.get(response.status, "")


def _label(key: str) -> str:
    """A label has no spaces."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", key)[:LABEL]


def _to(transition: dict[str, Any]) -> str:
    return str((transition.get("to") or {}).get("name") or transition.get("name") or "")


def _names(transition: dict[str, Any]) -> tuple[str, str]:
    """A move is known by where it leads, or by its own name."""
    return _to(transition).casefold(), str(transition.get("name") or "").casefold()


# --- the texts -------------------------------------------------------------------------------------------------------
def document(message: Message, *, whole: bool = False) -> dict[str, Any]:
    """Atlassian's document: a paragraph for the text, one with the links."""
    text = body(message, TEXT, keyed=True)
    if not whole:
        text = "\n".join(filter(None, (headline(message, SUMMARY), text)))
    parts: list[dict[str, Any]] = [_paragraph([_plain(line)]) for line in text.split("\n") if line.strip()]
    pressed = buttons(message.links)
    if pressed:
        parts.append(_paragraph(_linked(pressed)))
    return {"type": "doc", "version": 1, "content": parts or [_paragraph([_plain(headline(message, SUMMARY))])]}


def _paragraph(content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "paragraph", "content": content}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _linked(links: list[Link]) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    for link in links:
        mark = {"type": "link", "attrs": {"href": link.url}}
        nodes += [_plain(" · ")] if nodes else []
        nodes.append({"type": "text", "text": cut(one_line(link.label), 60) or link.url, "marks": [mark]})
    return nodes

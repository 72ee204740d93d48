"""How does an alert become a ticket? Opened once, commented as it goes on, closed with it; in every ticket system alike.

What a destination was told first stands in the conversation (`id` or `id|number`); where a system can be asked for our key,
a second try looks before it opens. A ticket that somebody deleted is no fault of the channel. (SPEC CHN-8)
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, Final

from alerts.channels.base import DeliveryError, Fetch, Receipt
from alerts.channels.json_answers import JsonChannel, object_of
from alerts.channels.plain import body
from alerts.channels.wording import one_line
from alerts.message import Message
from portal.outbound.http import OutboundError, Request, Response

OPEN, COMMENT, CLOSE, NOTHING = "open", "comment", "close", "nothing"
COMMENTED: Final = ("raised", "escalated", "acknowledged", "updated", "exhausted")
PASSING: Final = ("test", "canary", "shift")  # opened and closed at once
ASIDE: Final = 6.0  # seconds for whatever is not the opening itself: all of them must end within the sender's 30 s
MOST_BODY: Final = 512 * 1024
TEXT: Final = 6000
_SANE_ID: Final = re.compile(r"(?!\.{1,2}\Z)[^\s|/\\?#%]{1,100}")


def step_of(message: Message) -> str:
    """open, comment, close; a reminder leaves a ticket as it is."""
    if message.kind in COMMENTED:
        return COMMENT
    return {"recovered": CLOSE, "reminder": NOTHING}.get(message.kind, OPEN)


def key_of(message: Message) -> str:
    """Our name for it there, over the alert's whole life."""
    return message.key or f"watchkeeper-delivery-{message.delivery_id}"


def named(id_: Any, number: Any = "") -> str:
    """`id` or `id|number`; "" when the id is none that can be asked for again."""
    first, second = one_line(id_ if id_ is not None else ""), one_line(number or "")
    if not _SANE_ID.fullmatch(first):
        return ""
    return f"{first}|{second[:100]}" if second and second != first and "|" not in second else first


def id_of(provider_id: str) -> str:
    """What the system's own addresses call the ticket."""
    return provider_id.partition("|")[0]


def number_of(provider_id: str) -> str:
    """What people call it: the number where there is one, else the id."""
    first, _, second = provider_id.partition("|")
    return second or first


def text_of(message: Message, *, keyed: bool, limit: int = TEXT) -> str:
    """What stands in the ticket, links included."""
    return body(message, limit, links=message.links, keyed=keyed)


class TicketChannel(JsonChannel):
    """A ticket system."""

    people: ClassVar[bool] = False
    lifecycle: ClassVar[bool] = True

    # --- what each system says ---------------------------------------------------------------------------------------
    def opening(self, message: Message) -> Request:
        """The request that opens a ticket."""
        raise NotImplementedError

    def opened(self, response: Response) -> str:
        """Which ticket an opening's answer names (`named(…)`); "" when it names none."""
        raise NotImplementedError

    def commenting(self, message: Message, ticket: str) -> Request | None:
        """The request that comments; None when this channel does not."""
        raise NotImplementedError

    def closing(self, message: Message, ticket: str) -> Request | None:
        """The request that closes; None when this channel does not."""
        raise NotImplementedError

    async def sign_in(self, fetch: Fetch) -> None:
        """Whatever must be asked before anything else."""

    async def find(self, message: Message, fetch: Fetch) -> str:
        """The ticket that has our key; "" when there is none, or when the system cannot be asked."""
        return ""

    async def number(self, ticket: str, fetch: Fetch) -> str:
        """What people call the ticket just opened, where its answer did not say; "" when its id is the number."""
        return ""

    def stand_in(self, message: Message) -> str:
        """What comments and closes without knowing the ticket; "" when nothing does."""
        return ""

    async def close(self, message: Message, ticket: str, fetch: Fetch) -> Receipt:
        """Close it; then say how it ended, which must not undo the closing."""
        request = self.closing(message, ticket)
        if request is None:
            return await self.comment(message, ticket, fetch)
        receipt = self.read(await fetch(request))
        try:
            await self.comment(message, ticket, fetch)
        except (DeliveryError, OutboundError) as error:
            return replace(receipt, answer=f"closed, but not commented: {error}"[:200])
        return replace(receipt, answer="closed")

    async def comment(self, message: Message, ticket: str, fetch: Fetch) -> Receipt:
        """Add a comment."""
        request = self.commenting(message, ticket)
        if request is None:
            return Receipt(answer="no comments are kept there")
        return replace(self.read(await fetch(request)), answer="commented")

    # --- what is the same everywhere ---------------------------------------------------------------------------------
    def request(self, message: Message) -> Request:
        """The request that matters most for this message."""
        ticket, step = id_of(message.provider_id), step_of(message)
        if ticket and step in (COMMENT, CLOSE):
            acting = self.commenting(message, ticket) if step == COMMENT else self.closing(message, ticket)
            if acting is not None:
                return acting
        return self.opening(message)

    async def deliver(self, message: Message, fetch: Fetch) -> Receipt:
        """Open, comment or close; what is not there is opened while the alert is open, and otherwise left alone."""
        ticket, step = message.provider_id, step_of(message)
        if ticket and step == NOTHING:
            return Receipt(provider_id=ticket, answer="a reminder leaves the ticket as it is")
        await self.sign_in(fetch)
        if not ticket and (message.repeated or step != OPEN):
            ticket = await self._look(message, fetch)
        if not ticket and (step == OPEN or message.open):
            return await self._open(message, fetch)
        ticket = ticket or self.stand_in(message)
        if not ticket:
            return Receipt(answer="there is no ticket of this alert: nothing to do")
        if step in (OPEN, NOTHING):
            return Receipt(provider_id=ticket, answer=f"ticket {number_of(ticket)} is there already")
        try:
            act = self.comment if step == COMMENT else self.close
            return replace(await act(message, id_of(ticket), fetch), provider_id=ticket)
        except DeliveryError as error:
            if error.code not in (404, 410):
                raise
            return Receipt(
                code=error.code, provider_id=ticket, answer=f"ticket {number_of(ticket)} is gone: {error}"[:200]
            )

    async def _look(self, message: Message, fetch: Fetch) -> str:
        """`find`, but a search that is refused for good must not keep an alert from its ticket."""
        try:
            return await self.find(message, fetch)
        except DeliveryError as error:
            if not error.permanent:
                raise
            return ""

    async def _open(self, message: Message, fetch: Fetch) -> Receipt:
        response = await fetch(self.request(replace(message, provider_id="")))
        receipt = self.read(response)
        ticket = self.opened(response)
        if not ticket:
            told = f"opened, but its answer names no ticket; {receipt.answer}"
            return replace(receipt, provider_id=key_of(message), answer=told[:200])  # so that nothing opens another
        if "|" not in ticket:
            with suppress(DeliveryError, OutboundError):  # it is open: should this fail, its id serves as its number
                ticket = named(ticket, await self.number(ticket, fetch))
        receipt = replace(receipt, provider_id=ticket, answer=f"ticket {number_of(ticket)}"[:200])
        if message.kind not in PASSING:
            return receipt
        try:
            await self.close(message, id_of(ticket), fetch)
        except (DeliveryError, OutboundError) as error:
            return replace(receipt, answer=f"{receipt.answer}, but not closed again ({error}): close it there."[:200])
        return receipt

    def taken(self, response: Response, said: dict[str, Any]) -> Receipt | None:
        """Any 2xx took it."""
        return Receipt(code=response.status, answer=self.hidden(f"HTTP {response.status}"))

    def found(self, response: Response) -> dict[str, Any]:
        """The object in the answer to a look; raises DeliveryError when it was refused."""
        self.read(response)
        return object_of(response)


class AccountOfOwn(TicketChannel):
    """A ticket system with an account: the channel's own when it names an address, else the installation's, never mixed."""

    needed: ClassVar[tuple[str, ...]] = ("url",)

    @property
    def account(self) -> dict[str, str]:
        """The account in use, by the names of its settings; an address without its final slash."""
        assert self.Account is not None
        names = list(self.Account.model_fields)
        if _text(self.config.url):
            values = {name: _text(getattr(self.config, name)) for name in names}
        else:
            values = {name: str(self.provider_settings.get(name) or "") for name in names}
        return {**values, "url": values["url"].rstrip("/")}

    def ready(self) -> str:
        """An account is needed from somewhere."""
        missing = [name for name in self.needed if not self.account.get(name)]
        if missing:
            return f"No {self.provider_label} account: enter it here or in the provider settings (missing: {', '.join(missing)})."
        return ""

    def secrets(self) -> list[str]:
        """Every sealed setting of the account in use."""
        assert self.Account is not None
        fields = self.Account.model_fields
        return [text for name, text in self.account.items() if "SecretStr" in str(fields[name].annotation)]


def _text(value: Any) -> str:
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)

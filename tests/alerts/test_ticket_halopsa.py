"""Does an alert become a HaloPSA ticket, with a token first, names as typed, and no second ticket where one is found?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.ticket_halopsa import TicketHaloPsa, number_of
from tests.alerts.letters import HOSTILE, PAGE, RECOVERED, deliver, trapped
from tests.alerts.vendors.desk import at_work, base_of, built
from tests.alerts.vendors.ticket_halopsa import CLIENT, KNOWN, SECRET, TOKEN, VENDOR
from tests.rig import answers
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.once
NAMED = replace(PAGE, key="watchkeeper-0a1b2c3d4e-9")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def halo(server: Receiver, **more: Any) -> Any:
    return built(VENDOR.setup(base_of(server)), **more)


def test_sign_in_open_comment_close(server: Receiver) -> None:
    receipt = deliver(halo(server), NAMED)
    assert receipt.provider_id == "4711" == number_of(receipt.provider_id)
    deliver(halo(server), replace(NAMED, kind="updated", provider_id="4711"))
    deliver(halo(server), replace(RECOVERED, provider_id="4711"))
    assert [call.path for call in server.accepted()] == [
        "/auth/token", "/api/Tickets", "/auth/token", "/api/Actions", "/auth/token", "/api/Tickets", "/api/Actions",
    ]  # fmt: skip
    (ticket,), (closed,) = server.calls[1].json(), server.calls[5].json()
    assert ticket["client_id"] == 12 and ticket["priority_id"] == 1 and NAMED.key in ticket["details_html"]
    assert closed == {"id": 4711, "status_id": 9}
    assert server.calls[3].json()[0]["hiddenfromuser"] is True


def test_a_reminder_asks_nothing_not_even_a_token(server: Receiver) -> None:
    deliver(halo(server), replace(NAMED, kind="reminder", provider_id="4711"))
    assert not server.calls


def test_a_second_try_trusts_only_a_ticket_that_holds_our_whole_key(server: Receiver) -> None:
    assert deliver(halo(server), replace(NAMED, attempt=2, key=KNOWN)).provider_id == "4711"
    assert [call.path for call in server.calls] == ["/auth/token", "/api/Tickets"]
    deliver(halo(server), replace(NAMED, attempt=2, key="watchkeeper-known"))
    assert [call.method for call in server.calls[2:]] == ["POST", "GET", "POST"]
    assert "second ticket" in TicketHaloPsa.caveat


def test_a_name_shows_as_typed(server: Receiver) -> None:
    deliver(halo(server), trapped(HOSTILE))
    summary, text = VENDOR.seen(server.calls[1])
    assert HOSTILE in summary and f"{HOSTILE} is down" in text


def test_a_wrong_secret_is_final_and_names_the_cure(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="Check client id and secret") as refusal:
        deliver(halo(server, client_secret="wrong-secret-0001"), NAMED)
    assert refusal.value.permanent and "wrong-secret-0001" not in str(refusal.value)


def test_an_answer_without_a_token_is_no_halo(server: Receiver) -> None:
    server.behave("/auth/token", answers.ok("<html>"))
    with pytest.raises(DeliveryError, match="gave no token"):
        deliver(halo(server), NAMED)


def test_the_token_is_hidden_in_errors(server: Receiver) -> None:
    server.behave("/api/Tickets", answers.status(400, f"bad token {TOKEN}"))
    with pytest.raises(DeliveryError) as refusal:
        deliver(halo(server), NAMED)
    assert TOKEN not in str(refusal.value)


def test_a_deleted_ticket_is_no_fault_of_the_channel(server: Receiver) -> None:
    assert "is gone" in deliver(halo(server), replace(RECOVERED, provider_id="9")).answer


def test_the_installations_site_completes_a_channel() -> None:
    values: dict[str, Any] = {"type": "ticket_halopsa", "config": {"customer_id": "12"}, "secrets": {}}
    assert "No HaloPSA account" in channels.build(values).ready()
    own = {"url": "https://acme.halopsa.com/", "client_id": CLIENT, "client_secret": SECRET}
    channel: Any = channels.build(values, own)
    assert channel.ready() == "" and channel.request(NAMED).url == "https://acme.halopsa.com/api/Tickets"
    with pytest.raises(channels.InvalidSettings, match="they need the site"):
        channels.split("ticket_halopsa", {"customer_id": "12", "url": "https://evil.example"})

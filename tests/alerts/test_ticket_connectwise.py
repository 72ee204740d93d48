"""Does an alert become one ConnectWise ticket, noted and closed with it?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.ticket_connectwise import number_of
from tests.alerts.letters import PAGE, RECOVERED, TEST, deliver, trapped
from tests.alerts.vendors.desk import at_work, base_of, built
from tests.alerts.vendors.ticket_connectwise import CLIENT, KNOWN, LOGIN, OWN, PRIVATE, ROOT, VENDOR
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.once
NAMED = replace(PAGE, key="watchkeeper-0a1b2c3d4e-9")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def connectwise(server: Receiver, **more: Any) -> Any:
    return built(VENDOR.setup(base_of(server)), **more)


def test_open_note_close(server: Receiver) -> None:
    channel = connectwise(server)
    receipt = deliver(channel, NAMED)
    assert receipt.provider_id == "4711" == number_of(receipt.provider_id) and receipt.answer == "ticket 4711"
    for message in (replace(NAMED, kind="acknowledged"), replace(NAMED, kind="reminder"), RECOVERED):
        deliver(channel, replace(message, provider_id="4711"))
    assert [f"{call.method} {call.path.removeprefix(ROOT)}" for call in server.accepted()] == [
        "POST ", "POST /4711/notes", "PATCH /4711", "POST /4711/notes",
    ]  # fmt: skip
    ticket, note, closed, ended = (call.json() for call in server.calls)
    assert ticket["summary"] == "[Down] Acme · shop — connection refused" and ticket["company"] == {
        "identifier": "AcmeCorp"
    }
    assert ticket["board"] == {"name": "Monitoring"} and ticket["externalXRef"] == NAMED.key
    assert note["internalAnalysisFlag"] and not note["resolutionFlag"]
    assert closed == [{"op": "replace", "path": "status", "value": {"name": "Closed"}}]
    assert ended["resolutionFlag"] and "after 6 min" in ended["text"]


def test_a_second_try_looks_for_the_ticket_before_it_opens_one(server: Receiver) -> None:
    assert deliver(connectwise(server), replace(NAMED, attempt=2, key=KNOWN)).provider_id == "4711"
    assert [call.method for call in server.calls] == ["GET"]
    deliver(connectwise(server), replace(NAMED, attempt=2))
    assert [call.method for call in server.calls[1:]] == ["GET", "POST"]


def test_a_test_is_opened_and_closed_at_once(server: Receiver) -> None:
    deliver(connectwise(server), TEST)
    assert [call.method for call in server.accepted()][:2] == ["POST", "PATCH"]


@pytest.mark.parametrize("long", ["x" * 9000, "ü" * 9000, "😀" * 9000])
def test_the_summary_fits_and_the_links_stay(server: Receiver, long: str) -> None:
    deliver(connectwise(server), trapped(long))
    ticket = server.accepted()[0].json()
    assert len(ticket["summary"]) <= 100 and PAGE.links[0].url in ticket["initialDescription"]


def test_a_refusal_names_the_fields_and_a_wrong_key_its_cure(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="ticket object is invalid · The company field is required") as refusal:
        deliver(connectwise(server, company="Nobody"), NAMED)
    assert refusal.value.permanent
    with pytest.raises(DeliveryError, match="Check company, public key") as wrong:
        deliver(connectwise(server, private_key="WrongPrivateKey1"), NAMED)
    assert "WrongPrivateKey1" not in str(wrong.value)


def test_a_status_that_the_board_does_not_know_is_told(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="Status is not valid for this board"):
        deliver(connectwise(server, closed_status="Done"), replace(RECOVERED, provider_id="4711"))


def test_a_deleted_ticket_is_no_fault_of_the_channel(server: Receiver) -> None:
    assert "is gone" in deliver(connectwise(server), replace(RECOVERED, provider_id="9")).answer


def test_the_installations_account_completes_a_channel() -> None:
    values: dict[str, Any] = {"type": "ticket_connectwise", "config": {"company": "AcmeCorp"}, "secrets": {}}
    assert "No ConnectWise PSA account" in channels.build(values).ready()
    own = {"url": "https://api-na.myconnectwise.net", "private_key": PRIVATE, **OWN}
    channel: Any = channels.build(values, own)
    request = channel.request(NAMED)
    assert channel.ready() == "" and request.url == f"https://api-na.myconnectwise.net{ROOT}"
    assert request.headers["clientId"] == CLIENT and LOGIN in channel.secrets()
    with pytest.raises(channels.InvalidSettings, match="they need the site"):
        channels.split("ticket_connectwise", {"company": "AcmeCorp", "url": "https://evil.example"})

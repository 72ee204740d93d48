"""Does an alert become one Autotask ticket, noted and completed with it, and is its 500 read?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.ticket_autotask import number_of
from tests.alerts.letters import PAGE, RECOVERED, deliver, trapped
from tests.alerts.vendors.desk import at_work, base_of, built
from tests.alerts.vendors.ticket_autotask import CODE, KNOWN, SECRET, USER, VENDOR
from tests.rig import answers
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once
NAMED = replace(PAGE, key="watchkeeper-0a1b2c3d4e-9")
ROOT = "/ATServicesRest/V1.0"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def autotask(server: Receiver, **more: Any) -> Any:
    return built(VENDOR.setup(base_of(server)), **more)


def test_open_note_complete(server: Receiver) -> None:
    channel = autotask(server)
    receipt = deliver(channel, NAMED)
    assert receipt.provider_id == "4711|T20261121.0001" and number_of(receipt.provider_id) == "T20261121.0001"
    for message in (replace(NAMED, kind="escalated"), RECOVERED):
        deliver(channel, replace(message, provider_id=receipt.provider_id))
    assert [f"{call.method} {call.path.removeprefix(ROOT)}" for call in server.accepted()] == [
        "POST /Tickets", "GET /Tickets/4711", "POST /Tickets/4711/Notes", "PATCH /Tickets", "POST /Tickets/4711/Notes",
    ]  # fmt: skip
    ticket = server.calls[0].json()
    assert ticket["companyID"] == 29762838 and ticket["priority"] == 4 and ticket["externalID"] == NAMED.key
    assert ticket["dueDateTime"] == "2026-11-22T14:38:08Z"
    assert server.calls[3].json() == {"id": 4711, "status": 5}


def test_without_its_number_the_id_is_told(server: Receiver) -> None:
    server.behave(f"{ROOT}/Tickets/4711", answers.status(503))
    assert deliver(autotask(server), NAMED).provider_id == "4711"


def test_a_second_try_looks_for_the_ticket_before_it_opens_one(server: Receiver) -> None:
    assert deliver(autotask(server), replace(NAMED, attempt=2, key=KNOWN)).provider_id == "4711|T20261121.0001"
    assert [call.path for call in server.calls] == [f"{ROOT}/Tickets/query"]


def test_a_500_that_names_a_field_is_final_and_another_is_not(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="field 'companyID' does not exist") as refusal:
        deliver(autotask(server, company_id="1"), NAMED)
    assert refusal.value.permanent and refusal.value.code == 500
    server.behave(EVERYWHERE, answers.ok_json({"errors": ["The server is busy."]}, 500))
    with pytest.raises(DeliveryError) as busy:
        deliver(autotask(server), NAMED)
    assert not busy.value.permanent and busy.value.ambiguous


@pytest.mark.parametrize("long", ["x" * 9000, "ü" * 9000, "😀" * 9000])
def test_title_and_description_fit(server: Receiver, long: str) -> None:
    deliver(autotask(server), trapped(long))
    assert server.accepted(f"{ROOT}/Tickets")


def test_a_wrong_secret_names_the_cure(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="API user's name and secret") as refusal:
        deliver(autotask(server, secret="WrongSecret123"), NAMED)
    assert refusal.value.permanent and "WrongSecret123" not in str(refusal.value)


def test_a_deleted_ticket_is_no_fault_of_the_channel(server: Receiver) -> None:
    assert "is gone" in deliver(autotask(server), replace(RECOVERED, provider_id="9")).answer


def test_the_installations_account_completes_a_channel() -> None:
    values: dict[str, Any] = {"type": "ticket_autotask", "config": {"company_id": "7"}, "secrets": {}}
    assert "No Autotask account" in channels.build(values).ready()
    own = {
        "url": "https://webservices5.autotask.net/ATServicesRest/v1.0/",
        "user": USER,
        "secret": SECRET,
        "integration_code": CODE,
    }
    channel: Any = channels.build(values, own)
    assert channel.request(NAMED).url == "https://webservices5.autotask.net/ATServicesRest/v1.0/Tickets"
    assert channel.ready() == "" and SECRET in channel.secrets() and USER not in channel.secrets()
    with pytest.raises(channels.InvalidSettings, match="all four"):
        channels.split("ticket_autotask", {"company_id": "7", "url": "https://evil.example"})

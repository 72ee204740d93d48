"""Does an alert become one Jira issue that is commented and moved, and is a refusal told with its cure?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.ticket_jira import document, number_of
from alerts.message import Message
from tests.alerts.letters import HOSTILE, LOOPBACK, PAGE, RECOVERED, TEST, deliver, trapped
from tests.alerts.vendors.desk import at_work, base_of, built, said
from tests.alerts.vendors.ticket_jira import EMAIL, KNOWN, LOGIN, TOKEN, VENDOR
from tests.rig import answers
from tests.rig.answers import Answer
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.once
NAMED = replace(PAGE, key="watchkeeper-0a1b2c3d4e-9")
TOLD = replace(NAMED, provider_id="10000|OPS-24")
ISSUE, MOVES = "/rest/api/3/issue/10000", "/rest/api/3/issue/10000/transitions"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def jira(server: Receiver, **more: Any) -> Any:
    return built(VENDOR.setup(base_of(server)), **more)


def asked(server: Receiver) -> list[str]:
    return [f"{call.method} {call.path.removeprefix('/rest/api/3')}" for call in server.calls]


# --- the life of a ticket --------------------------------------------------------------------------------------------
def test_an_alert_opens_an_issue_and_its_number_is_kept(server: Receiver) -> None:
    receipt = deliver(jira(server, labels="noc night"), NAMED)
    (call,) = server.accepted("/rest/api/3/issue")
    fields = call.json()["fields"]
    assert receipt.provider_id == "10000|OPS-24" and number_of(receipt.provider_id) == "OPS-24"
    assert receipt.answer == "ticket OPS-24" and fields["project"] == {"key": "OPS"}
    assert fields["summary"] == "[Down] Acme · shop — connection refused"
    assert fields["labels"] == [NAMED.key, "watchkeeper", "noc", "night"]


@pytest.mark.parametrize("kind", ["raised", "escalated", "acknowledged", "updated", "exhausted"])
def test_what_happens_meanwhile_is_a_comment(server: Receiver, kind: str) -> None:
    receipt = deliver(jira(server), replace(TOLD, kind=kind))
    assert asked(server) == ["POST /issue/10000/comment"] and receipt.provider_id == TOLD.provider_id


def test_a_reminder_leaves_the_issue_alone(server: Receiver) -> None:
    assert "leaves the ticket" in deliver(jira(server), replace(TOLD, kind="reminder")).answer and not server.calls


def test_a_recovery_moves_it_and_says_how_it_ended(server: Receiver) -> None:
    receipt = deliver(jira(server), replace(RECOVERED, provider_id="10000|OPS-24"))
    assert asked(server) == [
        "GET /issue/10000/transitions",
        "POST /issue/10000/transitions",
        "POST /issue/10000/comment",
    ]
    assert server.calls[1].json() == {"transition": {"id": "31"}} and receipt.answer == "closed"
    assert "shop has recovered after 6 min" in str(server.calls[2].json())


def test_a_move_is_found_by_its_own_name_too(server: Receiver) -> None:
    deliver(jira(server, done_status="close"), replace(RECOVERED, provider_id="10000"))
    assert server.at(MOVES)[1].json() == {"transition": {"id": "31"}}


def test_a_test_is_opened_and_closed_at_once(server: Receiver) -> None:
    deliver(jira(server), TEST)
    assert asked(server)[0] == "POST /issue" and "POST /issue/10000/transitions" in asked(server)


# --- once, and only where it is -----------------------------------------------------------------------------------
def test_a_second_try_looks_for_the_issue_before_it_opens_one(server: Receiver) -> None:
    again = replace(NAMED, attempt=2, key=KNOWN)
    assert deliver(jira(server), again).provider_id == "10000|OPS-24"
    assert asked(server) == ["POST /search/jql"]
    deliver(jira(server), replace(again, key="watchkeeper-unknown-2"))
    assert asked(server)[1:] == ["POST /search/jql", "POST /issue"]


def test_an_open_alert_without_an_issue_gets_one_and_a_closed_one_does_not(server: Receiver) -> None:
    assert deliver(jira(server), replace(NAMED, kind="raised")).provider_id == "10000|OPS-24"
    assert asked(server) == ["POST /search/jql", "POST /issue"]
    assert "nothing to do" in deliver(jira(server), RECOVERED).answer and len(server.calls) == 3


def test_a_search_that_is_refused_does_not_keep_an_alert_from_its_issue(server: Receiver) -> None:
    server.behave("/rest/api/3/search/jql", answers.status(400, '{"errorMessages": ["The JQL is not allowed"]}'))
    assert deliver(jira(server), replace(NAMED, attempt=2)).provider_id == "10000|OPS-24"


def test_an_issue_that_is_closed_already_is_well(server: Receiver) -> None:
    server.behave(MOVES, answers.ok_json({"transitions": []}))
    server.behave(
        ISSUE, answers.ok_json({"fields": {"status": {"name": "Resolved", "statusCategory": {"key": "done"}}}})
    )
    assert deliver(jira(server), replace(RECOVERED, provider_id="10000")).answer == "it is Resolved already"


def test_an_issue_that_somebody_deleted_is_no_fault_of_the_channel(server: Receiver) -> None:
    for kind in ("raised", "recovered"):
        assert "is gone" in deliver(jira(server), replace(TOLD, kind=kind, provider_id="99999|OPS-99")).answer


def test_a_status_that_is_not_offered_says_which_are(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="it offers: In Progress, Done") as refusal:
        deliver(jira(server, done_status="Erledigt"), replace(RECOVERED, provider_id="10000"))
    assert refusal.value.permanent


def test_when_the_comment_fails_the_issue_is_closed_all_the_same(server: Receiver) -> None:
    server.behave(f"{ISSUE}/comment", answers.status(400, '{"errorMessages": ["no comments here"]}'))
    assert "closed, but not commented" in deliver(jira(server), replace(RECOVERED, provider_id="10000")).answer


# --- texts -----------------------------------------------------------------------------------------------------------
def test_a_name_shows_as_typed_and_the_links_are_links(server: Receiver) -> None:
    deliver(jira(server), trapped(HOSTILE))
    shown = VENDOR.seen(server.calls[0])
    assert any(HOSTILE in text for text in shown)
    links = [node for node in document(PAGE)["content"][-1]["content"] if node.get("marks")]
    assert [node["marks"][0]["attrs"]["href"] for node in links] == [link.url for link in PAGE.links]


@pytest.mark.parametrize("message", [replace(PAGE, title="", cause="", facts=(), links=(), reference=""), trapped("")])
def test_no_text_is_ever_empty(server: Receiver, message: Message) -> None:
    deliver(jira(server), message)
    assert server.accepted("/rest/api/3/issue")


def test_a_refusal_names_the_fields(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="project: valid project is required") as refusal:
        deliver(jira(server, project="NOPE"), NAMED)
    assert refusal.value.permanent


def test_a_wrong_token_names_the_cure_and_stays_secret(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="API token") as refusal:
        deliver(jira(server, token="ATATTwrongwrong"), NAMED)
    assert "ATATTwrongwrong" not in str(refusal.value) and refusal.value.permanent
    status, headers, _ = said(400, {})
    server.behave("/rest/api/3/issue", Answer(status, f"you sent {LOGIN}".encode(), headers, accepted=False))
    with pytest.raises(DeliveryError) as echo:
        deliver(jira(server), NAMED)
    assert LOGIN not in str(echo.value)


# --- whose account ---------------------------------------------------------------------------------------------------
def test_the_installations_site_completes_a_channel_and_its_token_goes_nowhere_else() -> None:
    own = {"url": "https://acme.atlassian.net/", "email": EMAIL, "token": TOKEN}
    values: dict[str, Any] = {"type": "ticket_jira", "config": {"project": "OPS"}, "secrets": {}}
    assert "No Jira account" in channels.build(values).ready()
    channel: Any = channels.build(values, own, LOOPBACK)
    assert channel.ready() == "" and channel.address() == "OPS at acme.atlassian.net"
    assert channel.request(NAMED).url == "https://acme.atlassian.net/rest/api/3/issue"
    with pytest.raises(channels.InvalidSettings, match="site of one's own"):
        channels.split("ticket_jira", {"project": "OPS", "url": "https://evil.example"})
    for bad in ('OPS" OR project = "SECRET', "O P", ""):
        with pytest.raises(channels.InvalidSettings):
            channels.split("ticket_jira", {"project": bad or "-"})

"""Does Teams show it as typed, in the right colour and small enough, and is a dead connector refused with the way out?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.msteams import CURES, Teams, content_of
from alerts.channels.plain import as_json
from alerts.message import Line, Link
from tests.alerts.letters import GATHERED, HOSTILE, PAGE, RECOVERED, TEST, TRAPS, deliver, trapped
from tests.alerts.vendors import desk
from tests.alerts.vendors.msteams import BYTES, PATH, SIGNATURE, VENDOR, card, refused
from tests.rig.answers import Answer
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once
FLOW = f"https://default0.12.environment.api.powerplatform.com:443{PATH}?api-version=1&sig={SIGNATURE}"
CONNECTOR = "https://acme.webhook.office.com/webhookb2/11111111-2222@33333333/IncomingWebhook/abcdef/44444444"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with desk.at_work(VENDOR, monkeypatch) as server:
        yield server


def teams(server: Receiver) -> Teams:
    channel = desk.built(VENDOR.setup(desk.base_of(server)))
    assert isinstance(channel, Teams)
    return channel


def card_of(message: Any) -> dict[str, Any]:
    found = content_of(message)["attachments"][0]["content"]
    assert isinstance(found, dict)
    return found


def runs(value: Any) -> list[str]:
    """Every text run inside: what Teams shows as it is."""
    if isinstance(value, list):
        return [text for item in value for text in runs(item)]
    if isinstance(value, dict):
        own = [value["text"]] if value.get("type") == "TextRun" else []
        return own + [text for item in value.values() for text in runs(item)]
    return []


def marked(value: Any) -> list[str]:
    """Every text in which Teams reads markdown."""
    if isinstance(value, list):
        return [text for item in value for text in marked(item)]
    if isinstance(value, dict):
        own = [value["text"]] if value.get("type") == "TextBlock" else []
        own += [f"{f['title']}{f['value']}" for f in value.get("facts", [])]
        return own + [text for item in value.values() for text in marked(item)]
    return []


# --- the message -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("message", "style"),
    [(PAGE, "attention"), (replace(PAGE, severity="warning"), "warning"), (RECOVERED, "good"), (TEST, "accent")],
)
def test_the_head_has_the_severitys_colour(message: Any, style: str) -> None:
    head = card_of(message)["body"][0]
    assert (head["type"], head["style"], head["bleed"]) == ("Container", style, True)


def test_a_page_says_what_where_why_and_where_to_press() -> None:
    found = card_of(PAGE)
    said = runs(found["body"])
    assert said[0] == "■ [Down] Acme · shop — connection refused" and "shop is down" in said and "#K7Q" in said
    assert said[said.index("Client: ") + 1] == "Acme"
    assert [(a["title"], a["url"]) for a in found["actions"]] == [(link.label, link.url) for link in PAGE.links]
    assert (found["version"], found["msteams"]) == ("1.5", {"width": "Full"})


@pytest.mark.parametrize("trap", TRAPS)
def test_a_name_shows_as_typed_and_within_every_limit(trap: str) -> None:
    for base in (PAGE, RECOVERED, GATHERED, TEST):
        content = content_of(trapped(trap, base))
        card(content["attachments"][0]["content"])
        assert len(as_json(content)) <= BYTES
    assert f"{HOSTILE} is down" in runs(card_of(trapped(HOSTILE))["body"])


def test_nothing_that_was_typed_stands_where_teams_reads_markdown() -> None:
    line = Line("critical", "down", "[x](http://evil.example)", "*Acme*", "_y_", "https://portal.example/alerts/9/")
    for message in (trapped("[x](http://evil.example)"), replace(GATHERED, lines=(line,))):
        assert set(marked(card_of(message))) <= {"[Open](https://portal.example/alerts/9/)"}
    sly = replace(line, url="https://portal.example/)[x](http://evil.example")
    assert marked(card_of(replace(GATHERED, lines=(sly,)))) == []


@pytest.mark.parametrize("char", ["x", "ü", "😀", '"'])
def test_a_storm_is_cut_to_28_kb_and_its_buttons_stay(char: str) -> None:
    line = Line("critical", "down", char * 500, "Acme", char * 900, "https://portal.example/alerts/9/" + "a" * 300)
    content = content_of(replace(GATHERED, lines=(line,) * 300, more=5))
    assert len(as_json(content)) <= BYTES
    found = content["attachments"][0]["content"]
    shown = sum(element["type"] == "ColumnSet" for element in found["body"])
    assert shown >= 5 and f"and {305 - shown} more" in runs(found["body"])
    assert [a["url"] for a in found["actions"]] == [link.url for link in GATHERED.links]


def test_only_addresses_of_the_web_are_buttons() -> None:
    links = (Link("open", "Open", "javascript:alert(1)"), Link("report", "R", "https://x.example/" + "a" * 3000))
    assert card_of(replace(PAGE, links=links))["actions"] == []


# --- answers ---------------------------------------------------------------------------------------------------------
def test_202_says_only_that_the_flow_has_it(server: Receiver) -> None:
    receipt = deliver(teams(server), PAGE)
    assert receipt.code == 202 and "only the channel shows" in receipt.answer
    assert "Look whether the test arrives" in Teams.caveat and not Teams.lifecycle


def refusal_of(server: Receiver, code: int, headers: dict[str, str], body: bytes) -> DeliveryError:
    server.behave(EVERYWHERE, Answer(code, body, headers, accepted=code < 400))
    with pytest.raises(DeliveryError) as refusal:
        deliver(teams(server), PAGE)
    return refusal.value


@pytest.mark.parametrize(
    ("code", "name"),
    [(401, "DirectApiAuthorizationRequired"), (404, "WorkflowNotFound"), (400, "TriggerInputSchemaMismatch")]
    + [(400, "WorkflowTriggerIsNotEnabled")],
)
def test_a_refusal_is_final_and_names_the_cure(server: Receiver, code: int, name: str) -> None:
    error = refusal_of(server, *refused(code, name, "What Power Automate says."))
    assert error.permanent and error.code == code
    assert name in str(error) and "What Power Automate says." in str(error) and CURES[name] in str(error)


def test_a_flow_that_is_gone_for_another_reason_says_why_flows_go(server: Receiver) -> None:
    assert "Flows belong to a person" in str(refusal_of(server, *refused(404, "SomethingNew", "gone")))


@pytest.mark.parametrize(("inner", "permanent"), [(429, False), (413, True)])
def test_200_that_means_no(server: Receiver, inner: int, permanent: bool) -> None:
    said = f"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {inner}"
    error = refusal_of(server, 200, {}, said.encode())
    assert error.permanent is permanent and "Teams says" in str(error)


# --- settings --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "url",
    [
        CONNECTOR,
        CONNECTOR.upper().replace("HTTPS", "https"),
        "https://outlook.office.com/webhook/1111@2222/IncomingWebhook/3333/4444",
        "https://outlook.office365.com/webhookb2/1111@2222/IncomingWebhook/3333/4444",
    ],
)
def test_a_retired_connector_is_refused_with_the_way_out(url: str) -> None:
    with pytest.raises(channels.InvalidSettings, match="retired") as refusal:
        channels.split("msteams", {"url": url})
    assert "Send webhook alerts to a channel" in str(refusal.value) and "IncomingWebhook" not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        FLOW,
        f"https://prod-11.southeastasia.logic.azure.com:443{PATH}?sig={SIGNATURE}",
        "https://flows.acme.example/teams",
    ],
)
def test_flows_new_and_old_and_a_proxy_are_taken(url: str) -> None:
    config, secrets = channels.split("msteams", {"url": url})
    assert config == {} and secrets == {"url": url}


@pytest.mark.parametrize(
    ("url", "said"), [(FLOW.replace("https", "http"), "https"), (FLOW.partition("&sig")[0], "sig=")]
)
def test_half_an_address_is_told_when_it_is_saved(url: str, said: str) -> None:
    with pytest.raises(channels.InvalidSettings, match=said):
        channels.split("msteams", {"url": url})


def test_the_address_is_shown_without_its_signature(server: Receiver) -> None:
    assert SIGNATURE not in teams(server).address() and teams(server).address().endswith("/…")

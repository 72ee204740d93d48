"""Does Opsgenie, or Jira Service Management, get one alert per alias, acknowledged and closed with ours?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.opsgenie import Opsgenie, alert_of
from tests.alerts.letters import PAGE, RECOVERED, TEST, deliver
from tests.alerts.vendors.desk import at_work, base_of, built
from tests.alerts.vendors.opsgenie import KEY, MOST, VENDOR
from tests.rig import answers
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once
NAMED = replace(PAGE, key="watchkeeper-0a1b2c3d4e-9")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def opsgenie(server: Receiver, **more: Any) -> Any:
    return built(VENDOR.setup(base_of(server)), **more)


# --- the alert -------------------------------------------------------------------------------------------------------
def test_a_page_becomes_an_alert_with_priority_facts_and_links() -> None:
    alert = alert_of(NAMED)
    assert alert["message"] == "[Down] Acme · shop — connection refused" and alert["alias"] == NAMED.key
    assert alert["priority"] == "P1" and alert["entity"] == "https://shop.acme.example"
    assert alert["details"]["Client"] == "Acme" and "note" not in alert
    for link in PAGE.links:
        assert f"{link.label}: {link.url}" in alert["description"]


@pytest.mark.parametrize(("severity", "priority"), [("critical", "P1"), ("warning", "P3"), ("info", "P5")])
def test_priority_follows_the_severity(severity: str, priority: str) -> None:
    assert alert_of(replace(NAMED, severity=severity))["priority"] == priority


@pytest.mark.parametrize("long", ["x" * 60_000, "ü" * 30_000, "😀" * 30_000])
def test_every_field_is_cut_at_opsgenies_number(long: str) -> None:
    facts = tuple((f"{n} {long}", long) for n in range(40))
    named = {**PAGE.monitor, "name": long, "target": long}
    alert = alert_of(replace(NAMED, monitor=named, cause=long, facts=facts, kind="raised"), (long,))
    assert all(len(alert[name]) <= most for name, most in MOST.items() if name in alert)
    assert sum(map(len, [*alert["details"], *alert["details"].values()])) <= 8000
    assert all(len(tag) <= 50 for tag in alert["tags"]) and PAGE.links[0].url in alert["description"]


def test_a_repeat_for_the_open_alert_leaves_a_note() -> None:
    assert alert_of(replace(NAMED, kind="reminder"))["note"].startswith("[Still open]")


# --- over the wire ---------------------------------------------------------------------------------------------------
def test_open_acknowledge_recover_go_to_one_alias(server: Receiver) -> None:
    channel = opsgenie(server)
    first = deliver(channel, NAMED)
    assert first.provider_id == NAMED.key and first.answer == "Request will be processed"
    for message in (replace(NAMED, kind="acknowledged"), replace(RECOVERED, key="another")):
        deliver(channel, replace(message, provider_id=first.provider_id))
    paths = [call.path for call in server.accepted()]
    assert paths == ["/v2/alerts", f"/v2/alerts/{NAMED.key}/acknowledge", f"/v2/alerts/{NAMED.key}/close"]
    assert "shop has recovered after 6 min" in server.calls[-1].json()["note"]


def test_a_test_is_closed_at_once(server: Receiver) -> None:
    deliver(opsgenie(server), TEST)
    assert [call.path for call in server.calls] == ["/v2/alerts", "/v2/alerts/watchkeeper-delivery-43/close"]


def test_a_wrong_key_is_final_and_names_both_cures(server: Receiver) -> None:
    with pytest.raises(DeliveryError) as refusal:
        deliver(opsgenie(server, api_key="another-key"), NAMED)
    assert refusal.value.permanent and refusal.value.code == 401
    assert "Could not authenticate" in str(refusal.value) and "region jsm" in str(refusal.value)


def test_after_the_end_the_refusal_says_where_to_go(server: Receiver) -> None:
    server.behave(EVERYWHERE, answers.status(410, '{"message": "Gone"}'))
    with pytest.raises(DeliveryError, match="Jira Service Management takes the same alerts"):
        deliver(opsgenie(server), NAMED)
    assert "5 April 2027" in Opsgenie.caveat and "jsm" in Opsgenie.caveat


def test_a_refused_field_is_named(server: Receiver) -> None:
    server.behave(EVERYWHERE, answers.ok_json({"message": "Not processable", "errors": {"message": "too long"}}, 422))
    with pytest.raises(DeliveryError, match="Not processable · message: too long") as refusal:
        deliver(opsgenie(server), NAMED)
    assert refusal.value.permanent


def test_an_answer_without_a_request_id_is_no_delivery(server: Receiver) -> None:
    server.behave(EVERYWHERE, answers.ok("<html>"))
    with pytest.raises(DeliveryError) as refusal:
        deliver(opsgenie(server), NAMED)
    assert refusal.value.ambiguous


# --- where to --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("region", "url", "shown"),
    [
        ("us", "https://api.opsgenie.com/v2/alerts", "Opsgenie (US)"),
        ("eu", "https://api.eu.opsgenie.com/v2/alerts", "Opsgenie (EU)"),
        ("jsm", "https://api.atlassian.com/jsm/ops/integration/v2/alerts", "Jira Service Management"),
    ],
)
def test_each_region_has_its_address(region: str, url: str, shown: str) -> None:
    channel = channels.build({"type": "opsgenie", "config": {"region": region}, "secrets": {"api_key": KEY}})
    request = channel.request(NAMED)  # type: ignore[attr-defined]
    assert request.url == url and request.headers["Authorization"] == f"GenieKey {KEY}"
    assert channel.address() == shown


def test_an_address_of_ones_own_is_guarded_and_only_for_custom() -> None:
    config = channels.parse("opsgenie", {"api_key": KEY, "region": "custom", "api_url": "https://relay.example/og"})
    assert config.reaches() == ("https://relay.example/og",)  # type: ignore[attr-defined]
    for data in ({"region": "custom"}, {"region": "us", "api_url": "https://relay.example/"}):
        with pytest.raises(channels.InvalidSettings, match="custom"):
            channels.parse("opsgenie", {"api_key": KEY, **data})

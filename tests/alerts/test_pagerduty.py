"""Does PagerDuty get one incident per alert, acknowledged and resolved with it, and does its refusal name the cure?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.pagerduty import CURE, event_of
from alerts.message import Link
from tests.alerts.letters import PAGE, RECOVERED, TEST, deliver
from tests.alerts.vendors.desk import at_work, base_of, built
from tests.alerts.vendors.pagerduty import KEY, VENDOR, refused
from tests.rig import answers
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once
NAMED = replace(PAGE, key="watchkeeper-0a1b2c3d4e-9")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def pagerduty(server: Receiver, **more: Any) -> Any:
    return built(VENDOR.setup(base_of(server)), **more)


# --- the event -------------------------------------------------------------------------------------------------------
def test_a_page_becomes_an_incident_with_its_facts_and_links() -> None:
    event = event_of(NAMED)
    payload = event["payload"]
    assert payload["summary"] == "[Down] Acme · shop — connection refused"
    assert (payload["severity"], payload["source"]) == ("critical", "https://shop.acme.example")
    assert (payload["component"], payload["group"], payload["class"]) == ("shop", "Acme", "monitor.down")
    assert payload["custom_details"]["Cause"] == "connection refused" and payload["custom_details"]["Client"] == "Acme"
    assert [link["href"] for link in event["links"]] == [link.url for link in PAGE.links]
    assert event["client_url"] == "https://portal.example/alerts/9/"


@pytest.mark.parametrize(
    ("kind", "action"),
    [("opened", "trigger"), ("raised", "trigger"), ("escalated", "trigger"), ("reminder", "trigger")]
    + [("exhausted", "trigger"), ("updated", "trigger"), ("acknowledged", "acknowledge"), ("recovered", "resolve")],
)
def test_each_moment_of_an_alert_is_its_action_under_the_same_key(kind: str, action: str) -> None:
    event = event_of(replace(NAMED, kind=kind))
    assert event["event_action"] == action and event["dedup_key"] == "watchkeeper-0a1b2c3d4e-9"
    assert ("payload" in event) is (action == "trigger")


@pytest.mark.parametrize(("severity", "theirs"), [("critical", "critical"), ("warning", "warning"), ("info", "info")])
def test_severity_keeps_its_name(severity: str, theirs: str) -> None:
    assert event_of(replace(NAMED, severity=severity))["payload"]["severity"] == theirs


def test_what_was_told_first_stays_the_key_and_what_has_none_gets_its_deliverys() -> None:
    assert event_of(replace(NAMED, provider_id="older-key"))["dedup_key"] == "older-key"
    assert event_of(replace(PAGE, kind="quota"))["dedup_key"] == "watchkeeper-delivery-41"


@pytest.mark.parametrize("long", ["x" * 5000, "ü" * 5000, "😀" * 5000])
def test_the_summary_is_cut_at_pagerdutys_number_and_keeps_the_names_end(long: str) -> None:
    named = {**PAGE.monitor, "name": long + "-eu-1"}
    summary = event_of(replace(NAMED, monitor=named, cause=long))["payload"]["summary"]
    assert len(summary) <= 1024 and summary.startswith("[Down] Acme") and "-eu-1" in summary


def test_a_dangerous_link_is_left_out() -> None:
    assert event_of(replace(NAMED, links=(Link("open", "Open", "javascript:alert(1)"),)))["links"] == []


# --- over the wire ---------------------------------------------------------------------------------------------------
def test_open_acknowledge_recover_are_three_events_of_one_incident(server: Receiver) -> None:
    channel = pagerduty(server)
    first = deliver(channel, NAMED)
    assert first.provider_id == NAMED.key and first.code == 202
    for message in (replace(NAMED, kind="acknowledged"), replace(RECOVERED, key=NAMED.key)):
        deliver(channel, replace(message, provider_id=first.provider_id))
    events = [call.json() for call in server.at("/v2/enqueue")]
    assert [e["event_action"] for e in events] == ["trigger", "acknowledge", "resolve"]
    assert {(e["dedup_key"], e["routing_key"]) for e in events} == {(NAMED.key, KEY)}


@pytest.mark.parametrize("kind", ["test", "canary", "shift"])
def test_what_only_proves_the_way_is_resolved_at_once(server: Receiver, kind: str) -> None:
    deliver(pagerduty(server), replace(TEST, kind=kind))
    trigger, resolve = (call.json() for call in server.calls)
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"]


def test_a_test_that_could_not_be_resolved_again_says_so(server: Receiver) -> None:
    server.behave(EVERYWHERE, answers.ok_json({"status": "success", "dedup_key": "k"}, 202), answers.status(500))
    assert "resolve it in PagerDuty" in deliver(pagerduty(server), TEST).answer


def test_a_wrong_key_is_final_and_names_the_cure(server: Receiver) -> None:
    with pytest.raises(DeliveryError) as refusal:
        deliver(pagerduty(server, routing_key="f" * 32), NAMED)
    error = refusal.value
    assert error.permanent and error.code == 400 and "Invalid routing key" in str(error) and CURE in str(error)
    assert "f" * 32 not in str(error)


def test_a_200_that_is_not_pagerdutys_is_no_delivery(server: Receiver) -> None:
    for body in ('{"status": "invalid event"}', "<html>login</html>", "[]"):
        server.behave(EVERYWHERE, answers.ok(body))
        with pytest.raises(DeliveryError) as refusal:
            deliver(pagerduty(server), NAMED)
        assert refusal.value.ambiguous and not refusal.value.permanent


def test_an_older_error_without_details_is_still_told(server: Receiver) -> None:
    status, headers, _ = refused("x")
    server.behave(EVERYWHERE, answers.Answer(status, b"Bad Request", headers, accepted=False))
    with pytest.raises(DeliveryError, match="HTTP 400: Bad Request"):
        deliver(pagerduty(server), NAMED)


# --- settings --------------------------------------------------------------------------------------------------------
def test_the_key_must_look_like_one_and_europe_has_its_own_host() -> None:
    for bad in ("", "short", "x" * 33, "0123456789abcdef0123456789abcde!"):
        with pytest.raises(channels.InvalidSettings, match="32 letters"):
            channels.split("pagerduty", {"routing_key": bad})
    values = {"type": "pagerduty", "config": {"region": "eu"}, "secrets": {"routing_key": f" {KEY} "}}
    channel = channels.build(values)
    assert channel.request(NAMED).url == "https://events.eu.pagerduty.com/v2/enqueue"  # type: ignore[attr-defined]
    assert KEY not in channel.address() and channel.address().endswith("cdef")

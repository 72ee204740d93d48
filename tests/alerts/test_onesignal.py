"""Does OneSignal push it once to those meant, and is "200, but to nobody" a failure?"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.onesignal import content_of, idempotency_key
from tests.alerts.letters import GATHERED, LOOPBACK, PAGE, RECOVERED, deliver, trapped
from tests.alerts.vendors.desk import at_work, base_of, built
from tests.alerts.vendors.onesignal import APP, KEY, VENDOR
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.once


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def onesignal(server: Receiver, **more: Any) -> Any:
    return built(VENDOR.setup(base_of(server)), **more)


# --- the push --------------------------------------------------------------------------------------------------------
def test_a_page_has_heading_text_buttons_and_what_a_tap_opens() -> None:
    said = content_of(replace(PAGE, key="watchkeeper-0a1b2c3d4e-9"))
    assert said["headings"]["en"] == "[Down] Acme · shop — connection refused"
    assert "connection refused" in said["contents"]["en"] and said["url"] == "https://portal.example/alerts/9/"
    assert [(b["text"], b["url"]) for b in said["web_buttons"]] == [(x.label, x.url) for x in PAGE.links]
    assert said["priority"] == 10 and said["ios_interruption_level"] == "time_sensitive"
    assert said["collapse_id"] == "watchkeeper-0a1b2c3d4e-9"


def test_a_recovery_takes_the_pages_place_and_wakes_nobody() -> None:
    said = content_of(replace(RECOVERED, key="watchkeeper-0a1b2c3d4e-9"))
    assert said["collapse_id"] == "watchkeeper-0a1b2c3d4e-9" and said["priority"] == 5
    assert "ios_interruption_level" not in said


def test_the_same_delivery_has_the_same_key_on_every_try_and_another_installation_another(settings: Any) -> None:
    mine = idempotency_key(41)
    assert mine == idempotency_key(41) != idempotency_key(42) and uuid.UUID(mine).version == 5
    settings.SECRET_KEY = "another installation's"
    assert idempotency_key(41) != mine


@pytest.mark.parametrize("long", ["x" * 9000, "ü" * 9000, "😀" * 9000])
def test_the_text_is_cut_in_bytes_as_phones_count(long: str) -> None:
    said = content_of(trapped(long))
    assert len(said["contents"]["en"].encode()) <= 1000 and len(said["headings"]["en"].encode()) <= 200


def test_a_gathered_message_fits() -> None:
    assert "■ Down  Acme · shop" in content_of(GATHERED)["contents"]["en"]


# --- over the wire ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({}, "include_aliases"),
        ({"external_ids": None, "segments": "On call, Managers"}, "included_segments"),
        (
            {"external_ids": None, "subscription_ids": "1dd608f2-c6a1-11e3-851d-000c2940e62c"},
            "include_subscription_ids",
        ),
    ],
)
def test_each_way_of_targeting_is_taken(server: Receiver, config: dict[str, Any], key: str) -> None:
    receipt = deliver(onesignal(server, **config), PAGE)
    body = server.accepted("/notifications")[0].json()
    assert body[key] and receipt.provider_id == "b15ba6e5-2223-49d6-9eda-684b9051f5a8"
    if key == "included_segments":
        assert body[key] == ["On call", "Managers"]


def test_an_empty_id_means_that_nothing_was_sent(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="allowed notifications") as refusal:
        deliver(onesignal(server, external_ids=None, segments="Nobody"), PAGE)
    assert refusal.value.permanent and refusal.value.code == 200 and "not subscribed" in str(refusal.value)
    with pytest.raises(DeliveryError, match="knows none of these external ids"):
        deliver(onesignal(server, external_ids="mallory"), PAGE)


def test_when_some_are_unknown_it_is_delivered_and_says_for_whom_not(server: Receiver) -> None:
    receipt = deliver(onesignal(server, external_ids="alice, mallory"), PAGE)
    assert receipt.provider_id and receipt.answer == "not for all: invalid_aliases: external_id: mallory"


def test_a_wrong_key_is_final_and_names_the_cure(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="Check the app's API key") as refusal:
        deliver(onesignal(server, api_key="os_v2_app_wrong"), PAGE)
    assert refusal.value.permanent and "os_v2_app_wrong" not in str(refusal.value)


# --- settings --------------------------------------------------------------------------------------------------------
def test_the_installations_app_completes_a_channel() -> None:
    values = {"type": "onesignal", "config": {"external_ids": ["alice"]}, "secrets": {}}
    assert "No OneSignal app" in channels.build(values).ready()
    channel: Any = channels.build(values, {"app_id": APP, "api_key": KEY}, LOOPBACK)
    assert channel.ready() == "" and channel.request(PAGE).headers["Authorization"] == f"Key {KEY}"
    assert KEY in channel.secrets()


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"external_ids": "a", "segments": "b"},
        {"external_ids": "a", "app_id": APP},
        {"external_ids": "a", "app_id": "nonsense", "api_key": KEY},
        {"external_ids": "a", "app_id": APP, "api_key": "x\r\ny"},
        {"subscription_ids": "nonsense"},
    ],
)
def test_settings_that_cannot_work_are_refused(data: dict[str, str]) -> None:
    with pytest.raises(channels.InvalidSettings):
        channels.split("onesignal", data)

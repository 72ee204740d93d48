"""Does Pusher Beams get one publish that fits the web, Android and Apple at once?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.plain import as_json
from alerts.channels.pusher_beams import PusherBeams, content_of
from tests.alerts.letters import GATHERED, LOOPBACK, PAGE, deliver, trapped
from tests.alerts.vendors.desk import at_work, base_of, built
from tests.alerts.vendors.pusher_beams import INSTANCE, KEY, VENDOR
from tests.rig import answers
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def beams(server: Receiver, **more: Any) -> Any:
    return built(VENDOR.setup(base_of(server)), **more)


def test_every_platform_says_the_same_and_knows_the_links() -> None:
    said = content_of(PAGE)
    for shown in (said["web"]["notification"], said["fcm"]["notification"], said["apns"]["aps"]["alert"]):
        assert shown["title"] == "[Down] Acme · shop — connection refused" and "connection refused" in shown["body"]
    for form in ("web", "fcm", "apns"):
        assert said[form]["data"]["acknowledge"] == PAGE.links[0].url
        assert all(isinstance(value, str) for value in said[form]["data"].values())
    assert said["web"]["notification"]["deep_link"] == "https://portal.example/alerts/9/"
    assert said["apns"]["aps"]["thread-id"] == "alert-9"


@pytest.mark.parametrize("long", ["x" * 9000, "ü" * 9000, "😀" * 9000, '"' * 9000])
def test_each_platform_gets_at_most_four_kilobytes_and_the_whole_at_most_ten(long: str) -> None:
    said = content_of(trapped(long))
    assert len(as_json(said)) <= 10 * 1024
    assert all(len(json.dumps(said[form], ensure_ascii=False).encode()) <= 4096 for form in ("fcm", "apns"))
    assert "#K7Q" in said["web"]["notification"]["body"]


def test_interests_and_users_go_to_their_own_addresses(server: Receiver) -> None:
    assert deliver(beams(server), PAGE).provider_id.startswith("pubid-")
    deliver(beams(server, interests=None, users="alice bob"), GATHERED)
    first, second = server.accepted()
    assert first.path.endswith("/publishes/interests") and first.json()["interests"] == ["acme-alerts"]
    assert second.path.endswith("/publishes/users") and second.json()["users"] == ["alice", "bob"]


def test_a_wrong_key_and_an_unknown_instance_name_their_cures(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="Check the secret key") as refusal:
        deliver(beams(server, secret_key="WRONGWRONG"), PAGE)
    assert refusal.value.permanent and "Incorrect API Key" in str(refusal.value)
    with pytest.raises(DeliveryError, match="Check the instance id"):
        deliver(beams(server, instance_id=INSTANCE.replace("0", "f")), PAGE)


def test_an_answer_without_a_publish_id_is_no_delivery(server: Receiver) -> None:
    server.behave(EVERYWHERE, answers.ok("{}"))
    with pytest.raises(DeliveryError) as refusal:
        deliver(beams(server), PAGE)
    assert refusal.value.ambiguous


def test_the_instance_is_part_of_the_host_so_nothing_else_may_stand_there() -> None:
    values = {"type": "pusher_beams", "config": {"interests": ["a"]}, "secrets": {}}
    assert "No Beams instance" in channels.build(values).ready()
    channel: Any = channels.build(values, {"instance_id": INSTANCE, "secret_key": KEY}, LOOPBACK)
    assert channel.ready() == "" and channel.request(PAGE).url.startswith(
        f"https://{INSTANCE}.pushnotifications.pusher.com/"
    )
    assert "No Beams instance" in channels.build(values, {"instance_id": "evil.example/", "secret_key": KEY}).ready()
    with pytest.raises(channels.InvalidSettings, match="instance id looks like"):
        channels.split("pusher_beams", {"interests": "a", "instance_id": "evil.example/", "secret_key": KEY})
    assert "whoever knows the name" in PusherBeams.caveat


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"interests": "a", "users": "b"},
        {"interests": "a/b"},
        {"interests": "x" * 165},
        {"interests": " ".join(f"i{n}" for n in range(101))},
        {"interests": "a", "instance_id": INSTANCE},
    ],
)
def test_settings_that_cannot_work_are_refused(data: dict[str, str]) -> None:
    with pytest.raises(channels.InvalidSettings):
        channels.split("pusher_beams", data)

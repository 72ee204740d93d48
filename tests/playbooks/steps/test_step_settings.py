"""Do secrets stay where they are: masked when read, kept when a mask comes back, and never sent to another place?"""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from playbooks import signing, step_settings
from playbooks.models import Step
from portal.secrets import MASK
from tests.playbooks.steps.scene import example

pytestmark = pytest.mark.once
CLOUD = {
    "provider": "cloudflare", "zone": "example.com", "name": "www.example.com", "values": ["192.0.2.20"], "zone_id": "abc", "token": "t0ken-" * 6,
}  # fmt: skip


def stored(kind: str, given: dict[str, Any]) -> Step:
    config, secrets = step_settings.settle(kind, None, given, {})
    return Step(kind=kind, order=1, config=config, secrets=secrets)


def refused(
    kind: str, row: Step | None, given: dict[str, Any], said_at: dict[str, str] | None = None
) -> dict[str, Any]:
    with pytest.raises(ValidationError) as refusal:
        step_settings.settle(kind, row, given, said_at or {})
    return refusal.value.message_dict


def test_a_secret_is_stored_under_seal_and_shown_as_a_mask() -> None:
    row = stored("dns_swap", CLOUD)
    assert "token" not in row.config and row.secrets.open() == {"token": CLOUD["token"]}
    shown = step_settings.shown(row)
    assert shown["token"] == MASK and shown["values"] == ["192.0.2.20"] and CLOUD["token"] not in str(shown)


def test_a_mask_that_comes_back_keeps_the_secret_and_the_rest_changes() -> None:
    row = stored("dns_swap", CLOUD)
    config, secrets = step_settings.settle("dns_swap", row, {**step_settings.shown(row), "ttl": 300}, {})
    assert secrets == {"token": CLOUD["token"]} and config["ttl"] == 300


def test_what_is_not_given_stays_and_what_is_empty_goes() -> None:
    row = stored("dns_swap", {**CLOUD, "expected": ["192.0.2.10"]})
    config, secrets = step_settings.settle("dns_swap", row, {"expected": ""}, {})
    assert "expected" not in config and secrets == {"token": CLOUD["token"]} and config["zone"] == "example.com"


def test_a_mask_of_nothing_is_refused_at_its_place_in_the_body() -> None:
    said = refused("dns_swap", None, {**CLOUD, "token": MASK}, {"token": "steps.0.config.token"})
    assert list(said) == ["steps.0.config.token"] and "masked" in said["steps.0.config.token"][0]


def test_another_kind_begins_from_nothing() -> None:
    row = stored("dns_swap", CLOUD)
    assert step_settings.settle("wait", row, {"seconds": 5}, {}) == ({"seconds": 5}, {})


def test_mistakes_are_named_where_they_stood() -> None:
    assert (
        "does not lie in the zone" in refused("dns_swap", None, {**CLOUD, "name": "www.example.org"})["config.name"][0]
    )
    assert "no step 'pigeon'" in refused("pigeon", None, {}, {"kind": "steps.2.kind"})["steps.2.kind"][0]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9/", "https://api.mallory.example/"])
def test_a_kept_key_is_not_sent_to_a_place_that_somebody_newly_entered(endpoint: str) -> None:
    row = stored("dns_swap", CLOUD)
    for token in ({}, {"token": MASK}):
        said = refused("dns_swap", row, {"endpoint": endpoint, **token})
        assert said == {"config.token": [step_settings.ELSEWHERE]}
    config, secrets = step_settings.settle("dns_swap", row, {"endpoint": endpoint, "token": "another-token"}, {})
    assert config["endpoint"] == endpoint.rstrip("/") and secrets == {"token": "another-token"}


def test_a_runbooks_headers_follow_its_host_and_not_another() -> None:
    row = stored("webhook", {"url": "http://127.0.0.1:9/one", "headers": {"X-Key": "s3cret-value"}, "authorization": "Bearer abcdef"})  # fmt: skip
    shown = step_settings.shown(row)
    assert shown["headers"] == {"X-Key": MASK} and shown["authorization"] == MASK
    _, secrets = step_settings.settle("webhook", row, {**shown, "url": "http://127.0.0.1:9/two"}, {})
    assert secrets["headers"] == {"X-Key": "s3cret-value"}, "another path of the same server"
    said = refused("webhook", row, {**shown, "url": "http://127.0.0.1:10/one"})
    assert said == {"config.authorization": [step_settings.ELSEWHERE]}
    moved = {"url": "http://127.0.0.1:10/one", "authorization": "Bearer ghijkl"}
    said = refused("webhook", row, {**moved, "headers": {"X-Key": MASK, "X-Other": "new"}})
    assert said == {"config.headers": [step_settings.ELSEWHERE]}, "one header kept is enough"


def test_a_url_that_is_itself_a_secret_is_masked_but_for_its_host() -> None:
    row = stored("webhook", {"url": "https://127.0.0.1/hooks?key=s3cret-s3cret"})
    assert step_settings.shown(row)["url"] == f"https://127.0.0.1/{MASK}" and "url" not in row.config


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        ("webhook", {"url": "http://169.254.169.254/latest"}, "config.url"),
        ("dns_swap", {**example("dns_swap"), "server": "169.254.169.254:53"}, "config.server"),
        ("dns_swap", {**CLOUD, "endpoint": "https://169.254.169.254"}, "config.endpoint"),
    ],
)
def test_a_place_that_may_not_be_reached_is_refused_when_it_is_entered(kind: str, given: dict[str, Any], field: str) -> None:  # fmt: skip
    said = refused(kind, None, given)
    assert list(said) == [field] and "Blocked" in said[field][0]


# --- The key of orders -----------------------------------------------------------------------------------------------------
def test_the_key_of_orders_is_made_once_and_is_not_that_of_answers(settings: Any) -> None:
    from monitors import remote

    assert signing.keys_can_be_used() == [] and len(signing.public_key()) == 44
    assert signing.public_key() == signing.public_key() != remote.portal_public_key()
    path = settings.DATA_DIR / "action_signing_key"
    assert path.read_text().strip() == settings.ACTION_SIGNING_KEY and path.stat().st_mode & 0o777 == 0o600


def test_a_process_without_the_key_shows_the_public_half_it_was_told(settings: Any) -> None:
    told = signing.public_key()
    settings.ACTION_SIGNING_KEY, settings.ACTION_PUBLIC_KEY = "", told
    assert signing.public_key() == told and signing.keys_can_be_used() == []
    with pytest.raises(signing.NoKey, match="set ACTION_SIGNING_KEY"):
        signing.signer()


@pytest.mark.parametrize(("name", "value"), [("ACTION_SIGNING_KEY", "short"), ("ACTION_PUBLIC_KEY", "short"), ("ACTION_PUBLIC_KEY", "A" * 43 + "=")])  # fmt: skip
def test_a_key_that_cannot_be_used_is_named(settings: Any, name: str, value: str) -> None:
    setattr(settings, name, value)
    (mistake,) = signing.keys_can_be_used()
    assert name in mistake.msg

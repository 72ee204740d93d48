"""Does the outside hear that we live, and does its silence harm nobody?"""

from datetime import UTC, datetime

import pytest

from portal import deadman
from tests.rig import answers

pytestmark = pytest.mark.once
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nobody_objects(monkeypatch):
    """What the apps above look at (rows) is tested with them."""
    monkeypatch.setattr(deadman, "_objections", [])


def test_the_address_of_the_environment_is_asked(receiver, settings):
    settings.HEARTBEAT_URL = receiver.url("/alive")
    assert deadman.call(NOW)
    assert [c.method for c in receiver.at("/alive")] == ["GET"]


def test_nothing_is_asked_when_none_is_set(settings):
    settings.HEARTBEAT_URL = ""
    assert not deadman.call(NOW)


def test_an_answer_that_is_an_error_is_no_answer(receiver, settings):
    settings.HEARTBEAT_URL = receiver.behave("/alive", answers.status(500))
    assert not deadman.call(NOW)


def test_nobody_there_is_survived(receiver, settings):
    settings.HEARTBEAT_URL = "http://127.0.0.1:9/"
    assert not deadman.call(NOW)


def test_we_are_silent_outside_while_something_vital_stands_still(receiver, settings):
    settings.HEARTBEAT_URL = receiver.url("/alive")
    trouble = ["escalation has stalled"]
    deadman.only_while(lambda at: trouble[0])
    assert not deadman.call(NOW) and receiver.at("/alive") == []
    trouble[0] = ""
    assert deadman.call(NOW) and len(receiver.at("/alive")) == 1

"""What do fake vendors that speak JSON have in common? Their answers, what they read, and a channel that leads to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alerts import channels
from alerts.channels.base import HttpChannel
from tests.alerts.letters import LOOPBACK
from tests.alerts.vendors import Setup, Vendor
from tests.rig.answers import Answer
from tests.rig.calls import Call
from tests.rig.receiver import Receiver


def said(status: int, value: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """A JSON answer."""
    named = {name.replace("_", "-").title(): text for name, text in headers.items()}
    return status, {"Content-Type": "application/json", **named}, json.dumps(value).encode()


def object_in(call: Call) -> dict[str, Any] | None:
    """The request's JSON object; None when it is none."""
    try:
        found = call.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def built(setup: Setup, **more: Any) -> HttpChannel:
    """The channel of these settings, which may reach loopback; `more` adds to its plain settings or takes out (None)."""
    given = {name: value for name, value in {**setup.config, **setup.secrets, **more}.items() if value is not None}
    plain, sealed = channels.split(setup.type, given)
    channel = channels.build({"type": setup.type, "config": plain, "secrets": sealed}, setup.provider, LOOPBACK)
    assert isinstance(channel, HttpChannel)
    return channel


@contextmanager
def at_work(vendor: Vendor, monkeypatch: Any) -> Iterator[Receiver]:
    """The vendor's server, and the kind's addresses pointed to it."""

    def judge(call: Call) -> Answer:
        status, headers, body = vendor.answer(call)
        return Answer(status, body, headers, accepted=status < 400)

    with Receiver(judge=judge) as server:
        for place, suffix in vendor.patch:
            monkeypatch.setattr(place, base_of(server) + suffix)
        yield server


def base_of(server: Receiver) -> str:
    """Its address without the final slash."""
    return server.url("").rstrip("/")

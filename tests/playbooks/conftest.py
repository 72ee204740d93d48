"""What does every test of playbooks have? A bell to ring."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from monitors import partitions
from playbooks import steps
from portal.clock import database_now
from tests.playbooks.acting import Bell


@pytest.fixture(autouse=True)
def bell(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The kind of step that only tests know; what was rung."""
    monkeypatch.setitem(steps.KINDS, Bell.kind, Bell)
    Bell.heard.clear()
    yield Bell.heard


@pytest.fixture(autouse=True)
def days(request: pytest.FixtureRequest) -> None:
    """Where PostgreSQL keeps these days' results."""
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue("db")
        today = database_now().date()
        partitions.ensure(today - timedelta(days=1), today + timedelta(days=1))

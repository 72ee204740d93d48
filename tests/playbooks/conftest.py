"""What does every test of playbooks have? A bell to ring."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from playbooks import steps
from tests.playbooks.acting import Bell


@pytest.fixture(autouse=True)
def bell(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The kind of step that only tests know; what was rung."""
    monkeypatch.setitem(steps.KINDS, Bell.kind, Bell)
    Bell.heard.clear()
    yield Bell.heard

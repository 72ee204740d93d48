"""What stands around every walk? A server that speaks of itself by its own address, a ground with a probe, nothing remembered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache

from alerts.sender import Sender
from monitors import evaluate, findings, partitions, prober
from monitors.models import Probe
from portal.clock import database_now
from tests.walks.window import chromium  # noqa: F401 - a fixture


@pytest.fixture
def portal(transactional_db: None, live_server: Any, settings: Any) -> Any:
    """The portal's server; links in messages lead to it. A flushed database lacks its built-in probe and room for results."""
    cache.clear()
    settings.BASE_URL = live_server.url
    partitions.ensure_ahead(database_now())
    Probe.objects.get_or_create(slug="local", defaults={"name": "Portal", "built_in": True})
    return live_server


@pytest.fixture
def working(portal: Any) -> Iterator[None]:
    """What lives in a worker: it looks, judges, and sends."""
    findings._known.clear()
    living = [kind() for kind in (prober.Prober, evaluate.Evaluator, Sender)]
    for resident in living:
        resident.start()
    yield
    for resident in living:
        resident.stop()
    for resident in living:
        resident.join(60)
        assert not resident.is_alive()

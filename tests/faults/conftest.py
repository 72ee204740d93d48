"""What do the fault tests share? One PostgreSQL that may be crashed, and a plant with a migrated database for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import _or_not_run
from tests.environment import for_programs
from tests.faults import plant as plants
from tests.faults.plant import Plant
from tests.rig import ground
from tests.rig.postgres import Postgres
from tests.rig.valkey import Valkey


@pytest.fixture(scope="package")
def server() -> Iterator[Postgres]:
    """A durable PostgreSQL for these tests alone, with a migrated database. They crash it, and start it again."""
    with _or_not_run(lambda: Postgres(durable=True, ground=ground.cluster(for_programs()))) as started:
        yield started


@pytest.fixture
def database_url(server: Postgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = f"plant_{abs(hash(request.node.nodeid)) % 10**8}"
    server.start()
    yield server.create_database(name, ground.DATABASE)
    server.start()
    server.drop_database(name)


@pytest.fixture
def plant(database_url: str, crash_valkey: Valkey, tmp_path: Path, django_db_blocker: object) -> Iterator[Plant]:
    """An installation on PostgreSQL and Valkey, no process started yet; the test's Django looks into its database."""
    with django_db_blocker.unblock(), plants.look_into(database_url, tmp_path):  # type: ignore[attr-defined]
        with Plant(database_url, crash_valkey.url(), tmp_path) as installation:
            yield installation

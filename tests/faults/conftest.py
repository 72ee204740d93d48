"""What do the fault tests share? One PostgreSQL that may be crashed, with a migrated template, and a plant for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import _or_not_run
from tests.faults import plant as plants
from tests.faults.plant import Plant
from tests.rig.postgres import Postgres
from tests.rig.valkey import Valkey

TEMPLATE = "plant_template"


@pytest.fixture(scope="package")
def ground() -> Iterator[Postgres]:
    """A durable PostgreSQL for these tests alone. They crash it, and start it again."""
    with _or_not_run(Postgres, durable=True) as server:
        yield server


@pytest.fixture(scope="package")
def template(ground: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a migrated, empty database."""
    plants.migrate(ground.create_database(TEMPLATE), tmp_path_factory.mktemp("template"))
    return TEMPLATE


@pytest.fixture
def database_url(ground: Postgres, template: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = f"plant_{abs(hash(request.node.nodeid)) % 10**8}"
    ground.start()
    with psycopg.connect(ground.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield ground.url(name)
    ground.start()
    ground.drop_database(name)


@pytest.fixture
def plant(database_url: str, crash_valkey: Valkey, tmp_path: Path, django_db_blocker: object) -> Iterator[Plant]:
    """An installation on PostgreSQL and Valkey, no process started yet; the test's Django looks into its database."""
    with django_db_blocker.unblock(), plants.look_into(database_url, tmp_path):  # type: ignore[attr-defined]
        with Plant(database_url, crash_valkey.url(), tmp_path) as installation:
            yield installation

"""Does Django talk to the database that was chosen, a fresh one for the tests, and can programs have one of their own?"""

from __future__ import annotations

import os

import psycopg
import pytest
from django.db import connection

from tests import environment


@pytest.mark.django_db
def test_django_uses_the_chosen_database() -> None:
    vendors = {environment.SQLITE: "sqlite", environment.POSTGRES: "postgresql"}
    assert connection.vendor == vendors[environment.chosen()]
    name = str(connection.settings_dict["NAME"])
    assert "test" in name
    assert ":memory:" not in name


@pytest.mark.django_db
def test_side_by_side_processes_do_not_share_a_database() -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        assert connection.settings_dict["NAME"]
    else:
        assert worker in str(connection.settings_dict["NAME"])


def test_a_program_gets_an_empty_database_of_the_chosen_kind(empty_database_url: str) -> None:
    if environment.chosen() == environment.SQLITE:
        assert empty_database_url.startswith("sqlite:///")
        return
    with psycopg.connect(empty_database_url) as direct:
        assert direct.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)

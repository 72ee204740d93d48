"""What does every test get? An environment of its own, real servers when it asks, no way out, an honest summary."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import hypothesis
import pytest
from django.conf import settings
from django.db import connection
from whitenoise.middleware import WhiteNoiseMiddleware

from tests import environment, loopback_only, turns
from tests.rig import emptying, ground, postgres
from tests.rig.certificates import Authority
from tests.rig.mailbox import Mailbox
from tests.rig.postgres import Postgres
from tests.rig.process import NotAvailable
from tests.rig.receiver import Receiver
from tests.rig.site import Site
from tests.rig.valkey import Valkey

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")
SUMMARY = "WATCHKEEPER_TEST_SUMMARY"  # where `python -m tests` wants the outcome as JSON
NOT_RUN = "NOT RUN"

# Import time, not a hook: pytest-django reads the settings before any hook of a conftest runs, unless the settings are
# not named yet (which is why pyproject.toml does not name them). A conftest below may then import models at its top.
if environment.HOME not in os.environ and settings.configured:
    raise pytest.UsageError(
        "unset DJANGO_SETTINGS_MODULE: with it the settings were read before the tests prepared them"
    )
try:
    environment.prepare()
except (NotAvailable, ValueError) as trouble:
    raise pytest.UsageError(f"{NOT_RUN}: {trouble}") from trouble
loopback_only.install()
settings.PASSWORD_HASHERS = ["tests.rig.hashing.Quick", *settings.PASSWORD_HASHERS[1:]]  # hundreds sign in
django.setup()


# --- Which tests run when, and where ---------------------------------------------------------------------------------
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whole directories instead of each of their files; the longest come first."""
    turns.arrange(items)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is wholly left out need not even be read: half of all tests, on the second database."""
    return True if turns.needless(collection_path, config.option.markexpr) else None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> turns.ByFile:
    return turns.ByFile(config, log)


# --- Django's test database ------------------------------------------------------------------------------------------
@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A copy of the migrated database for each process. SQLite in a file: in memory, threads would share one connection."""
    name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}_{os.getpid()}"
    server = os.environ.get(environment.SERVER)
    if server:
        postgres.create_database(server, name, ground.DATABASE)
    else:
        name = str(ground.sqlite(tmp_path_factory.mktemp(name) / "test.sqlite3", environment.for_programs()))
    with django_db_blocker.unblock():
        connection.close()
        settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name
    yield  # its folder or its server goes with the process
    with django_db_blocker.unblock():
        connection.close()


@pytest.fixture(scope="session", autouse=True)
def models_and_permissions_stay() -> Iterator[None]:
    """After each test that commits, all else is emptied."""
    with emptying.models_and_permissions_stay():
        yield


@pytest.fixture(scope="session", autouse=True)
def static_files_are_found_once() -> Iterator[None]:
    """Each test client loads the middleware anew, and with it the list of some two hundred files that never change."""
    find, known = WhiteNoiseMiddleware.add_files_from_finders, {}

    def add_files_from_finders(self: WhiteNoiseMiddleware) -> None:
        if not known:
            find(self)
            known.update(self.files)
        self.files.update(known)

    WhiteNoiseMiddleware.add_files_from_finders = add_files_from_finders
    yield
    WhiteNoiseMiddleware.add_files_from_finders = find


_database_numbers = itertools.count(1)


@pytest.fixture
def empty_database_url(tmp_path: Path) -> Iterator[str]:
    """DATABASE_URL of a new empty database of the chosen kind, for programs that a test starts itself."""
    server = os.environ.get(environment.SERVER)
    if not server:
        yield f"sqlite://{tmp_path / 'empty.sqlite3'}"
        return
    name = f"empty_{os.getpid()}_{next(_database_numbers)}"
    yield postgres.create_database(server, name)
    postgres.drop_database(server, name)


# --- Real servers, started when first asked for ----------------------------------------------------------------------
@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL beside Django's own, for the whole session. Do not crash this one."""
    with _or_not_run(Postgres) as server:
        yield server


@pytest.fixture
def crash_postgres() -> Iterator[Postgres]:
    """A PostgreSQL with fsync on that the test may crash; gone afterwards."""
    with _or_not_run(Postgres, durable=True) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Valkey]:
    """A Valkey for the whole session; use `valkey`, which is empty at the start of each test."""
    with _or_not_run(Valkey) as server:
        yield server


@pytest.fixture
def valkey(valkey_server: Valkey) -> Valkey:
    """The session's Valkey, empty. Do not kill this one."""
    valkey_server.flush()
    return valkey_server


@pytest.fixture
def crash_valkey() -> Iterator[Valkey]:
    """A Valkey with its log on the disk that the test may kill, freeze or flush; gone afterwards."""
    with _or_not_run(Valkey, append_only=True) as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A provider that records every call."""
    with Receiver() as server:
        yield server


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """An SMTP server that keeps every mail."""
    with Mailbox() as server:
        yield server


@pytest.fixture
def site() -> Iterator[Site]:
    """A client's web site, up."""
    with Site() as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A certificate authority for servers with TLS."""
    return Authority()


def _or_not_run(kind: Any, **options: Any) -> Any:
    try:
        return kind(**options)
    except NotAvailable as trouble:
        pytest.skip(f"{NOT_RUN}: {trouble}")


# --- The summary -----------------------------------------------------------------------------------------------------
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name each test that did not run for want of a tool; hand the counts to `python -m tests`."""
    stats = terminalreporter.stats
    skipped = [(_name(report), _reason(report)) for report in stats.get("skipped", [])]
    not_run = [(name, reason) for name, reason in skipped if reason.startswith(NOT_RUN)]
    if not_run:
        terminalreporter.section(NOT_RUN)
        for name, reason in not_run:
            terminalreporter.line(f"{name}: {reason.removeprefix(NOT_RUN).lstrip(': ')}")
    where = os.environ.get(SUMMARY)
    if where:
        failed = [_name(report) for kind in ("failed", "error") for report in stats.get(kind, [])]
        counts = {kind: len(stats.get(kind, [])) for kind in ("passed", "xfailed", "xpassed")}
        outcome = {**counts, "failed": failed, "skipped": len(skipped) - len(not_run), "not_run": not_run}
        Path(where).write_text(json.dumps(outcome))


def _name(report: Any) -> str:
    return str(report.nodeid or getattr(report, "fspath", ""))


def _reason(report: Any) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, (tuple, list)) else str(report.longrepr)
    return str(reason).removeprefix("Skipped: ")

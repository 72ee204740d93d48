"""Is the rig itself true? Each part does what it says, over real sockets, and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from tests import loopback_only
from tests.rig.postgres import Postgres
from tests.rig.valkey import Valkey

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]


def eventually(true: Callable[[], bool], within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# --- PostgreSQL ------------------------------------------------------------------------------------------------------
class TestPostgres:
    def test_it_is_real_answers_on_loopback_and_makes_databases(self, postgres_server: Postgres) -> None:
        url = postgres_server.create_database("shop")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_database(), inet_server_addr()::text").fetchone() == (
                "shop",
                "127.0.0.1/32",
            )
        assert int(postgres_server.version().split(".")[0]) >= 14
        postgres_server.drop_database("shop")
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            psycopg.connect(url)

    @pytest.mark.parametrize("death", ["stop", "crash", "kill9"])
    def test_what_was_committed_is_there_after_every_death(self, crash_postgres: Postgres, death: str) -> None:
        url = crash_postgres.url()
        connection = psycopg.connect(url, autocommit=True)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        getattr(crash_postgres, death)()
        with pytest.raises(psycopg.OperationalError):  # a backend may outlive its killed postmaster by a moment
            for _ in range(100):
                connection.execute("SELECT 1")
                time.sleep(0.1)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        crash_postgres.start()
        assert crash_postgres.url() == url
        with psycopg.connect(url) as again:
            assert again.execute("SELECT n FROM kept").fetchone() == (1,)

    def test_a_killed_backend_restarts_the_server_by_itself(self, crash_postgres: Postgres) -> None:
        connection = psycopg.connect(crash_postgres.url())
        killed = connection.info.backend_pid
        crash_postgres.kill9_backend(killed)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")

        def back() -> bool:  # restarted, not merely not yet aware of it: the killed one is no longer listed
            try:
                with psycopg.connect(crash_postgres.url()) as again:
                    row = again.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [killed]).fetchone()
            except psycopg.OperationalError:
                return False
            return row == (0,)

        eventually(back)
        with pytest.raises(ValueError, match="not a backend"):
            crash_postgres.kill9_backend(os.getpid())

    def test_it_leaves_no_process_and_no_file(self) -> None:
        with Postgres() as server:
            pid = int((server.home / "data" / "postmaster.pid").read_text().splitlines()[0])
            home = server.home
        assert gone(pid)
        assert not home.exists()


# --- Valkey ----------------------------------------------------------------------------------------------------------
class TestValkey:
    def test_it_is_empty_at_the_start_of_a_test(self, valkey: Valkey) -> None:
        with valkey.client() as client:
            assert client.dbsize() == 0
            client.set("a", "1")
        valkey.flush()
        with redis.Redis.from_url(valkey.url()) as client:
            assert client.get("a") is None

    def test_a_killed_one_comes_back_on_its_port_with_its_data(self, crash_valkey: Valkey) -> None:
        with crash_valkey.client() as client:
            client.set("a", "1")
        url = crash_valkey.url()
        crash_valkey.kill9()
        with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as client:
            client.ping()
        crash_valkey.start()
        assert crash_valkey.url() == url
        with crash_valkey.client() as client:
            assert client.get("a") == b"1"

    def test_a_frozen_one_accepts_and_says_nothing_until_thawed(self, crash_valkey: Valkey) -> None:
        crash_valkey.freeze()
        with redis.Redis.from_url(crash_valkey.url(), socket_timeout=0.3, retry=None) as client:
            with pytest.raises(redis.TimeoutError):
                client.ping()
        crash_valkey.thaw()
        with crash_valkey.client() as client:
            assert client.ping()

    def test_a_full_one_refuses_to_write(self) -> None:
        with Valkey(maxmemory=1_500_000) as server, server.client() as client:
            with pytest.raises(redis.OutOfMemoryError):
                for n in range(100):
                    client.set(str(n), b"x" * 100_000)

    def test_even_a_frozen_one_is_cleared_away(self) -> None:
        with Valkey() as server:
            with server.client() as client:
                pid = int(client.info("server")["process_id"])
            server.freeze()
        assert gone(pid)
        assert not server.home.exists()


# --- The way out is shut ---------------------------------------------------------------------------------------------
class TestLoopbackOnly:
    def test_no_test_leaves_the_machine(self) -> None:
        with socket.socket() as out, pytest.raises(loopback_only.WorldReached):
            out.connect(("192.0.2.1", 80))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out, pytest.raises(loopback_only.WorldReached):
            out.sendto(b"x", ("192.0.2.1", 53))
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("shop.example.com", 80)

    @pytest.mark.parametrize("address", [("127.9.9.9", 1), ("::1", 1, 0, 0), ("localhost", 1), "/run/a.sock"])
    def test_loopback_and_unix_stay_open(self, address: object) -> None:
        assert loopback_only.allowed(address)

    @pytest.mark.parametrize("address", [("10.0.0.1", 1), ("::ffff:8.8.8.8", 1), ("example.com", 1), ("fe80::1%lo", 1)])
    def test_everything_else_is_shut(self, address: object) -> None:
        assert not loopback_only.allowed(address)

    def test_the_shell_s_settings_do_not_reach_a_test(self) -> None:
        assert os.environ["SLACK_WEBHOOK_URL"] == os.environ["SMTP_HOST"] == ""
        assert Path(os.environ["DATA_DIR"]).is_relative_to(os.environ["WATCHKEEPER_TEST_HOME"])

"""What if a file is no Uptime Kuma's, or a hostile one? A sentence, and nothing is written, waited for or run out of memory."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from console.importing import kuma, kuma_files
from console.importing.draft import APPROXIMATED, LEFT_OUT, MAPPED, Draft

pytestmark = pytest.mark.django_db


def drafted(path: Path) -> Draft:
    return kuma.draft(kuma_files.read(path), "acme")


def refused(path: Path) -> str:
    with pytest.raises(CommandError) as error:
        call_command("import_uptime_kuma", str(path), "--client", "acme", "--yes")
    return str(error.value)


def made(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return path


def test_another_database_is_said(tmp_path: Path):
    assert "it has no table monitor, notification" in refused(made(tmp_path / "x.db", "CREATE TABLE a (b)"))


def test_a_broken_database_is_said(tmp_path: Path):
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    assert "cannot be read as kuma.db" in refused(broken)


def test_views_that_never_end_are_not_asked(tmp_path: Path):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id FROM n"
    path = made(tmp_path / "v.db", f"CREATE VIEW monitor AS {endless}", "CREATE TABLE notification (id)")
    assert "it has no table monitor" in refused(path)


def test_other_columns_and_values_of_other_types_do_no_harm(tmp_path: Path):
    path = made(
        tmp_path / "odd.db", "CREATE TABLE monitor (id, type, name, hostname, interval, port)", "CREATE TABLE notification (id, config)",
        "INSERT INTO monitor VALUES (1, 'ping', x'ff00', 'a.example', 'often', NULL), ('x', 7, NULL, NULL, -1, 'y'), (NULL, 'ping', 'ok', 'b.example', 1e300, 0)",
        "INSERT INTO notification VALUES (1, '{broken'), (2, '[1]'), (NULL, NULL)",
    )  # fmt: skip
    found = drafted(path)
    assert {line.verdict for line in found.lines} <= {MAPPED, APPROXIMATED, LEFT_OUT} and len(found.lines) == 6
    assert [m["interval_seconds"] for m in found.items["monitors"] if m["name"] == "ok"] == [60]


@pytest.mark.parametrize(("text", "said"), [
    ("[1, 2]", "it has no “monitorList”"), ('{"monitorList": 3}', "it has no “monitorList”"), ("{", "is not an Uptime Kuma backup"), ("[" * 100_000, "nested too deeply"),
    ('{"monitorList": [], "notificationList": {"a": 1}}', "“notificationList” is no list"), (json.dumps({"monitorList": [{}] * 20_001}), "more than 20,000"),
])  # fmt: skip
def test_a_backup_that_is_none(tmp_path: Path, text: str, said: str):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert said in refused(path)


def test_a_hundred_megabytes_are_not_read(tmp_path: Path):
    path = tmp_path / "big.json"
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    assert "larger than 64 MB" in refused(path)


def test_a_backup_of_wrong_types_does_no_harm(tmp_path: Path):
    path = tmp_path / "x.json"
    odd = {
        "type": ["http"],
        "name": {"a": 1},
        "interval": "x",
        "headers": 5,
        "accepted_statuscodes": "200",
        "tags": "prod",
        "notificationIDList": [1],
        "parent": {},
    }
    path.write_text(
        json.dumps(
            {
                "monitorList": [odd, 3, None, {"type": "http", "url": 5, "name": "x" * 500}],
                "notificationList": [{"id": "1", "config": 3}, 4],
            }
        )
    )
    found = drafted(path)
    assert found.items["monitors"] == [] and len(found.lines) == 4


def test_values_that_are_too_large_are_not_read(tmp_path: Path):
    path = made(
        tmp_path / "big.db",
        "CREATE TABLE monitor (id, name)",
        "CREATE TABLE notification (id)",
        "INSERT INTO monitor VALUES (1, hex(zeroblob(2000000)))",
    )
    assert "cannot be read as kuma.db" in refused(path)

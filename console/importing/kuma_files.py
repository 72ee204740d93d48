"""What does an Uptime Kuma hold? Its backup (JSON) or its database, read only and with limits, as one shape.

The backup of 1.x has `monitorList` and `notificationList` with names in camelCase; the database has snake_case columns
that came and went with its versions: a column that is not there is simply not known.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from console.configuration.reading import Unreadable, read_file
from console.importing.draft import Foreign

LARGEST = 64 * 1024 * 1024
MOST_ROWS = 20_000
LONGEST_VALUE = 2 * 1024 * 1024
SECONDS = 30.0
MAGIC = b"SQLite format 3\x00"
NEEDED = {"monitor", "notification"}
READ = (
    "monitor", "notification", "monitor_notification", "tag", "monitor_tag", "proxy", "maintenance", "monitor_maintenance",
    "status_page", "group", "monitor_group", "status_page_cname",
)  # fmt: skip
# The backup's names that are not simply the column's in camelCase.
RENAMED = {
    "accepted_statuscodes": "accepted_statuscodes", "databaseConnectionString": "database_connection_string", "proxyId": "proxy_id",
    "ignoreTls": "ignore_tls", "authMethod": "auth_method", "tlsCa": "tls_ca",
}  # fmt: skip


@dataclass
class Kuma:
    """Everything that was found, with names as in the database."""

    monitors: list[dict[str, Any]] = field(default_factory=list)
    notifications: list[dict[str, Any]] = field(default_factory=list)
    proxies: dict[int, dict[str, Any]] = field(default_factory=dict)
    maintenance: list[dict[str, Any]] = field(default_factory=list)
    pages: list[dict[str, Any]] = field(default_factory=list)
    whole: bool = True  # False: a backup, which knows neither status pages nor maintenance


def read(path: Path) -> Kuma:
    """From a file of either kind. Raises Foreign."""
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        raise Foreign(f"{path} cannot be read: {error.strerror or error}.") from None
    return from_database(path) if start == MAGIC else from_backup(path)


# --- The backup ---------------------------------------------------------------------------------------------------------
def from_backup(path: Path) -> Kuma:
    """From the JSON that Settings → Backup makes."""
    data = read_json(path, "an Uptime Kuma backup (JSON), nor its database kuma.db")
    monitors = data.get("monitorList") if isinstance(data, dict) else None
    if isinstance(monitors, dict):
        monitors = list(monitors.values())
    if not isinstance(monitors, list):
        raise Foreign(f"{path} is JSON, but no Uptime Kuma backup: it has no “monitorList”.")
    found = Kuma(whole=False)
    for row in rows_of(monitors, "monitorList"):
        m = {RENAMED.get(name, snake(name)): value for name, value in row.items()}
        m |= {name: m.get(name) if isinstance(m.get(name), int | str) else None for name in ("id", "parent")}
        listed = row.get("notificationIDList")
        m["notification_ids"] = (
            [int(k) for k, on in listed.items() if on and str(k).isdigit()] if isinstance(listed, dict) else []
        )
        m["tags"] = (
            [t for t in row.get("tags") or () if isinstance(t, dict)] if isinstance(row.get("tags"), list) else []
        )
        found.monitors.append(m)
    found.notifications = [with_config(row) for row in rows_of(data.get("notificationList") or [], "notificationList")]
    found.proxies = {
        row["id"]: row for row in rows_of(data.get("proxyList") or [], "proxyList") if isinstance(row.get("id"), int)
    }
    return found


def read_json(path: Path, expected: str) -> Any:
    """A JSON file within limits. Raises Foreign."""
    try:
        return json.loads(read_file(path, largest=LARGEST))
    except Unreadable as error:
        raise Foreign(f"{path}: {error}") from None
    except RecursionError:
        raise Foreign(f"{path} is nested too deeply.") from None
    except ValueError as error:
        raise Foreign(f"{path} is not {expected}: {error}.") from None


def rows_of(listed: Any, name: str) -> list[dict[str, Any]]:
    """The mappings of a list. Raises Foreign when it is none, or too long."""
    if not isinstance(listed, list):
        raise Foreign(f"“{name}” is no list.")
    if len(listed) > MOST_ROWS:
        raise Foreign(f"“{name}” has more than {MOST_ROWS:,} entries.")
    return [row for row in listed if isinstance(row, dict)]


def snake(name: str) -> str:
    """retryInterval → retry_interval"""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def with_config(row: dict[str, Any]) -> dict[str, Any]:
    """A notification with its settings opened: they are kept as JSON text."""
    config = row.get("config")
    if isinstance(config, str):
        try:
            config = json.loads(config[:LONGEST_VALUE])
        except (ValueError, RecursionError):
            config = {}
    return {**row, "config": config if isinstance(config, dict) else {}}


# --- The database -------------------------------------------------------------------------------------------------------
def from_database(path: Path) -> Kuma:
    """From kuma.db. Nothing is written, and whatever takes longer than it should is cut off."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, timeout=5)) as connection:
            return _Database(connection, path).read()
    except sqlite3.Error as error:
        raise Foreign(
            f"{path} cannot be read as kuma.db: {error}. Stop Uptime Kuma, or copy its data folder, and try the copy."
        ) from None


class _Database:
    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection, self.path = connection, path
        connection.row_factory = sqlite3.Row
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        until = time.monotonic() + SECONDS
        connection.set_progress_handler(lambda: 1 if time.monotonic() > until else 0, 100_000)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")

    def read(self) -> Kuma:
        tables = {row[0] for row in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if NEEDED - tables:
            missing = ", ".join(sorted(NEEDED - tables))
            raise Foreign(f"{self.path} is a SQLite database, but not Uptime Kuma's: it has no table {missing}.")
        data = {name: self.rows(name) if name in tables else [] for name in READ}
        return _joined(data)

    def rows(self, table: str) -> list[dict[str, Any]]:
        # The names are our own constants; "group" is a word of SQL.
        found = [dict(row) for row in self.connection.execute(f'SELECT * FROM "{table}" LIMIT {MOST_ROWS + 1}')]  # noqa: S608
        if len(found) > MOST_ROWS:
            raise Foreign(f"{self.path}: the table {table} has more than {MOST_ROWS:,} rows.")
        return found


def _joined(data: dict[str, list[dict[str, Any]]]) -> Kuma:
    tags = {row.get("id"): row for row in data["tag"]}
    names = {row.get("status_page_id"): row.get("domain") for row in data["status_page_cname"]}
    told, tagged = _by(data["monitor_notification"], "monitor_id"), _by(data["monitor_tag"], "monitor_id")
    rests, shown = _by(data["monitor_maintenance"], "maintenance_id"), _by(data["monitor_group"], "group_id")
    groups = _by(data["group"], "status_page_id")
    for m in data["monitor"]:
        m["notification_ids"] = [row.get("notification_id") for row in told.get(m.get("id"), ())]
        m["tags"] = [
            {**tags.get(row.get("tag_id"), {}), "value": row.get("value")} for row in tagged.get(m.get("id"), ())
        ]
        m["accepted_statuscodes"] = _list(m.get("accepted_statuscodes_json"))
        m["conditions"] = _list(m.get("conditions"))
    for work in data["maintenance"]:
        work["monitor_ids"] = [row.get("monitor_id") for row in rests.get(work.get("id"), ())]
        for name in ("weekdays", "days_of_month"):
            work[name] = _list(work.get(name))
    for page in data["status_page"]:
        page["domain"] = names.get(page.get("id"))
        page["groups"] = [
            {"name": g.get("name"), "monitor_ids": [row.get("monitor_id") for row in shown.get(g.get("id"), ())]}
            for g in groups.get(page.get("id"), ())
        ]
    proxies = {row["id"]: row for row in data["proxy"] if isinstance(row.get("id"), int)}
    notifications = [with_config(row) for row in data["notification"]]
    return Kuma(data["monitor"], notifications, proxies, data["maintenance"], data["status_page"])


def _by(rows: list[dict[str, Any]], key: str) -> dict[Any, list[dict[str, Any]]]:
    """Rows by what they belong to, in their order."""
    found: dict[Any, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=_weight):
        found.setdefault(row.get(key), []).append(row)
    return found


def _weight(row: dict[str, Any]) -> tuple[float, int]:
    weight, pk = row.get("weight"), row.get("id")
    return (float(weight) if isinstance(weight, int | float) else 0.0, pk if isinstance(pk, int) else 0)


def _list(value: Any) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return value if isinstance(value, list) else []

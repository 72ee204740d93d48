"""What does the product show? Everything that a person, a program or a log can read of it, as texts with a name."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from django.core.management import call_command
from django.db import connection
from django.test import Client as Browser
from django.urls import URLPattern, URLResolver, get_resolver

from console.mcp.catalogue import TOOLS
from portal.logs import JsonFormatter, PlainFormatter
from tests import cast
from tests.portal import every_page

# What a database must hold as it is; the file and its backups are for the machine's owner alone.
HELD = {"django_session": "session keys, as Django keeps them", "django_migrations": "file names"}


class Log(logging.Handler):
    """Every record of every logger, at DEBUG, as both formatters write it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self._formatters = (JsonFormatter(), PlainFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [formatter.format(record) for formatter in self._formatters]


def of_the_console(s: SimpleNamespace, more: list[str]) -> list[str]:
    """Pages with parameters, as `every_page` knows them, those of the rows at hand, and the plain ones of the API and the desk."""
    return list(
        dict.fromkeys([*every_page.of_staff(s), *every_page.of_the_desk(s), *more, *api_lists(), *desk_lists()])
    )


def api_lists() -> list[str]:
    """Every address of the API without a parameter."""
    return sorted(
        p for p in plain_routes() if p.startswith("/api/v1/") and not p.endswith((".yaml", "schema/", "docs/"))
    )


def desk_lists() -> list[str]:
    """The lists of every model in the admin."""
    return sorted(p for p in plain_routes() if p.startswith("/admin/") and p.count("/") == 4)


def plain_routes(resolver: URLResolver | None = None, before: str = "/") -> Iterator[str]:
    for entry in (resolver or get_resolver()).url_patterns:
        raw = str(entry.pattern).replace("^", "").replace("/?$", "").replace("\\Z", "").replace("$", "")
        if isinstance(entry, URLResolver):
            yield from plain_routes(entry, before + raw)
        elif isinstance(entry, URLPattern) and not set(raw) & set("<(?["):
            yield before + raw


def details(lists: list[tuple[str, str]]) -> list[str]:
    """The first rows of each list of the API, one by one."""
    found = []
    for where, text in lists:
        address = where.partition(" ")[2]
        try:
            body = json.loads(text.partition("\n")[2])
        except ValueError:
            continue
        rows = body.get("results", []) if isinstance(body, dict) and address.startswith("/api/v1/") else []
        found += [f"{address.rstrip('/')}/{row['id']}" for row in rows[:2] if isinstance(row, dict) and "id" in row]
    return found


def seen_by(who: Any, addresses: list[str]) -> list[tuple[str, str]]:
    """(address, all that comes back, headers too). A page that breaks is a page as well: its error is what is shown."""
    browser = Browser(raise_request_exception=False)
    browser.force_login(who)
    found = []
    for address in addresses:
        answer = browser.get(address, headers={"Accept": "text/html,application/json,*/*"})
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        found.append((f"{answer.status_code} {address}", f"{dict(answer.headers)}\n{body.decode('utf-8', 'replace')}"))
    return found


def told_to_an_assistant(who: Any, first: dict[str, int]) -> list[tuple[str, str]]:
    """What every reading tool of MCP answers; `first`: an id for those that want one."""
    api = cast.api(who)
    found = []
    for tool in (t for t in TOOLS if t.reads):
        arguments = (
            {"id": first.get(tool.name.removeprefix("get_").partition("_")[0], 1)} if "{id}" in tool.path else {}
        )
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool.name, "arguments": arguments},
        }
        found.append((f"MCP {tool.name}", api.post("/mcp", call, format="json").content.decode()))
    return found


def printed(*command: str, **options: Any) -> tuple[str, str]:
    """What a command prints."""
    out = io.StringIO()
    try:
        call_command(*command, stdout=out, stderr=out, **options)
    except (Exception, SystemExit) as error:  # a check that finds something ends with an error, and says what
        out.write(str(error))
    return f"manage.py {' '.join(command)}", out.getvalue()


def at_rest() -> list[tuple[str, str]]:
    """Every table of the database, row by row: what a thief of the file would read."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            if table not in HELD:
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                found += [(f"table {table}", json.dumps(row, default=str)) for row in cursor.fetchall()]
    return found

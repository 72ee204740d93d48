"""How is a client's archive written? One file after the other into a stream, a few rows in memory at a time."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from typing import IO, Any

from django.core.serializers.json import DjangoJSONEncoder

from console.exporting import contents
from incidents.spelling import safe_cell
from portal.models import Client

README = """Everything that this portal keeps about {name}, as of {at:%Y-%m-%d %H:%M} UTC.

JSON files are lists of objects; CSV files open in a spreadsheet (text that a spreadsheet would take for a formula begins
with an apostrophe). Times are UTC. Rows name each other by id: `monitor_id` 7 is the row with the id 7 in monitors.json.
results/7.csv is what was measured for that monitor, as far back as single results are kept; uptime.csv goes further back.

Not in here: passwords, keys and other secrets; addresses that are keys by themselves (heartbeats, report links, calendar
feeds); the pictures of logos; readers' addresses of status pages; and what went through the provider's own channels.
"""
Told = Callable[[str, int], None]


def write(client: Client, out: IO[bytes], at: datetime, told: Told = lambda name, done: None) -> None:
    """Write the archive into a stream, which need not be one that can be wound back. `told` hears each file's name and number."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        archive.writestr("README.txt", README.format(name=client.name, at=at))
        for done, table in enumerate(contents.tables(client)):
            told(table.name, done)
            name = f"{table.name}.{'csv' if table.csv else 'json'}"
            with archive.open(name, "w", force_zip64=True) as raw, io.TextIOWrapper(raw, "utf-8", newline="") as text:
                (_as_csv if table.csv else _as_json)(table, text)


def _as_json(table: contents.Table, text: io.TextIOWrapper) -> None:
    text.write("[")
    for n, row in enumerate(table.rows()):
        text.write(",\n" if n else "\n")
        text.write(json.dumps(row, cls=DjangoJSONEncoder, ensure_ascii=False))
    text.write("\n]\n")


def _as_csv(table: contents.Table, text: io.TextIOWrapper) -> None:
    text.write("\ufeff")  # spreadsheets know by it that it is UTF-8
    out = csv.writer(text)
    out.writerow(table.columns)
    for row in table.rows():
        out.writerow([safe_cell(_cell(row[name])) for name in table.columns])


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, dict | list):
        return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False) if value else ""
    return value


def file_name(client: Client, at: datetime) -> str:
    """As `acme-2026-11-21.zip`."""
    return f"{client.slug}-{at:%Y-%m-%d}.zip"

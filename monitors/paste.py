"""What did somebody paste? One address a line, or CSV with a header: each line as a draft of a monitor, or as what is wrong with it.

Pure: whether a site of that name exists, and whether the kind takes the settings, is judged by who has the database.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from monitors import checks, places, rules

COLUMNS = (
    "name",
    "url",
    "kind",
    "interval",
    "timeout",
    "tags",
    "site",
    "service",
    "severity",
    "runbook_url",
    "notes",
    "probes",
)
LONGEST = 2_000_000  # characters; more is no paste
UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
SETTING = "config."


@dataclass(slots=True)
class Line:
    """One line: the columns of the monitor it means (`values`), its site and service by name, and what is wrong."""

    number: int
    text: str
    values: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    site: str = ""
    service: str = ""
    errors: list[str] = field(default_factory=list)


def read(text: str) -> list[Line]:
    """The lines that say something. CSV when the first of them is a header with the column `url` or `kind`."""
    text = text[:LONGEST].lstrip("\ufeff")
    first = next((line for line in text.splitlines() if line.strip()), "")
    mark = max(",;\t", key=first.count)
    header = [word.strip().strip('"').lower() for word in first.split(mark)]
    if len(header) > 1 and {"url", "kind"} & set(header):
        return _table(text, mark)
    if header == ["url"]:  # a table of one column
        text = text.replace(first, "", 1)
    return [
        _address(number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


# --- One address a line ---------------------------------------------------------------------------------------------------
def _address(number: int, text: str) -> Line:
    line = Line(number, text[:300])
    if len(text.split()) > 1 or "," in text:
        line.errors.append(
            "One address a line; for names and more, begin with a header as name,url,kind,interval,tags."
        )
        return line
    kind, config, name = target(text)
    line.values = {"kind": kind, "config": config, "name": name}
    return line


SPOKEN = {"ws": "websocket", "wss": "websocket", "postgresql": "postgres", "imaps": "imap", "mariadb": "mysql"}


def target(text: str, kind: str = "") -> tuple[str, dict[str, Any], str]:
    """(kind, settings, name) of an address: a URL or a host name is a website, host:port a TCP port, a bare IP address is pinged."""
    scheme, _, rest = text.partition("://")
    if not rest:
        scheme, rest = "", text
    if not kind:
        host, _, port = rest.rpartition(":")
        if scheme in ("http", "https"):
            kind = "http"
        elif scheme in checks.KINDS or scheme in SPOKEN:
            kind = SPOKEN.get(scheme, scheme)
        elif not scheme and _is_number(port) and host and "/" not in rest and (":" not in host or host.startswith("[")):
            kind = "tcp"
        else:
            kind = "icmp" if not scheme and _is_ip(rest) else "http"
    return kind, *_aimed(kind, scheme, rest)


def _aimed(kind: str, scheme: str, rest: str) -> tuple[dict[str, Any], str]:
    """(settings, name): the address in the kind's own main setting."""
    check = checks.KINDS.get(kind)
    main = check.main_field if check else "url"
    if main == "url":
        url = f"{scheme or 'https'}://{rest}"
        return {"url": url}, _host(url) or rest
    if main == "host":
        host, port = _split(rest.split("/")[0])
        known = check.schema()["properties"] if check else {}
        return {"host": host} | ({"port": port} if port is not None and "port" in known else {}), (
            rest if kind == "tcp" else host
        )
    if main == "name":
        name = rest.split("/")[0]
        return {"name": name}, name
    if main == "monitor_ids":
        return {main: [word.strip() for word in re.split(r"[;|]", rest) if word.strip()]}, ""
    return {main: rest} if rest else {}, ""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def _split(text: str) -> tuple[str, int | None]:
    host, _, port = text.rpartition(":")
    if _is_number(port) and host and (":" not in host or host.startswith("[")):
        return host.strip("[]"), int(port)
    return text.strip("[]"), None


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_ip(text: str) -> bool:
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


# --- CSV ------------------------------------------------------------------------------------------------------------------
def _table(text: str, mark: str) -> list[Line]:
    reader = csv.reader(io.StringIO(text), delimiter=mark)
    header: list[str] = []
    lines: list[Line] = []
    number = 1
    try:
        for cells in reader:
            here, number = number, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip().lower() for cell in cells]
                unknown = [name for name in header if name not in COLUMNS and not name.startswith(SETTING)]
                twice = [name for name in header if header.count(name) > 1]
                if twice:
                    words = f"The column {twice[0][:40]!r} is there twice; leave one out."
                    return [Line(here, mark.join(cells)[:300], errors=[words])]
                if unknown:
                    words = f"There is no column {unknown[0][:40]!r}; there are {', '.join(COLUMNS)}, and config.<setting> for any setting of the kind."
                    return [Line(here, mark.join(cells)[:300], errors=[words])]
                continue
            lines.append(_row(here, mark.join(cells)[:300], header, [cell.strip() for cell in cells]))
    except csv.Error as error:
        lines.append(
            Line(number, "", errors=[f"This cannot be read as CSV ({error}); look for a quote that is not closed."])
        )
    return lines


def _row(number: int, text: str, header: list[str], cells: list[str]) -> Line:
    line = Line(number, text)
    if len(cells) > len(header):
        line.errors.append(
            f"{len(cells)} cells, but the header names {len(header)}; put quotes around a cell with a comma in it."
        )
        return line
    cell = dict(zip(header, cells, strict=False))
    kind, config, name = target(cell.get("url", ""), cell.get("kind", "").lower())
    if not cell.get("url") and not cell.get("kind"):
        line.errors.append("url: Give an address.")
    line.values = {"kind": kind, "config": config, "name": cell.get("name") or name}
    for column, attribute in (("interval", "interval_seconds"), ("timeout", "timeout_seconds")):
        if cell.get(column):
            seconds = duration(cell[column])
            if seconds is None:
                line.errors.append(f"{column}: Write seconds, or as 30s, 5m, 1h, 1d.")
            else:
                line.values[attribute] = seconds
    for column in ("severity", "runbook_url", "notes"):
        if cell.get(column):
            line.values[column] = cell[column].lower() if column == "severity" else cell[column]
    line.tags = [word.strip() for word in re.split(r"[,;|]", cell.get("tags", "")) if word.strip()]
    if any(len(word) > 50 for word in line.tags):
        line.errors.append("tags: A tag has 50 characters at most; put ; between tags.")
    if cell.get("probes"):
        try:
            line.values["probe_rule"] = places.check_rule(places.rule_of(cell["probes"]))
        except ValidationError:
            line.errors.append("probes: Write slugs as berlin;paris, or a number of a tag as 3 of eu.")
    line.site, line.service = cell.get("site", ""), cell.get("service", "")
    _settings(line, kind, {k.removeprefix(SETTING): v for k, v in cell.items() if k.startswith(SETTING) and v})
    return line


def _settings(line: Line, kind: str, given: dict[str, str]) -> None:
    """`config.<setting>` columns; lists are separated by ; or |. Secrets would stay in the page, so they are not taken."""
    if kind not in checks.KINDS:
        return
    secret, properties = rules.secret_names(kind), checks.schemas()[kind]["properties"]
    for name, text in given.items():
        if name in secret:
            line.errors.append(
                f"config.{name}: A secret is not taken from a list; leave it out and enter it on the monitor's form."
            )
        elif properties.get(name, {}).get("$ref", "").endswith("/JsonValue"):
            line.values["config"][name] = any_json(text)
        elif properties.get(name, {}).get("type") == "array":
            words = [word.strip() for word in re.split(r"[;|]", text) if word.strip()]
            line.values["config"][name] = words
        else:
            line.values["config"][name] = text


def any_json(text: str) -> Any:
    """`5`, `true` or `{"a": 1}` as what they say; anything else is text, as `"5"` in quotes is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def duration(text: str) -> int | None:
    """Seconds of `90`, `30s`, `5m`, `5 min`, `1h`, `1d`; None for anything else."""
    match = re.fullmatch(r"([0-9]{1,7})\s*(s|m|min|h|d|)", text.strip().lower())
    return int(match[1]) * UNITS[match[2]] if match else None

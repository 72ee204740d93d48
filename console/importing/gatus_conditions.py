"""What has to be true of an answer? Gatus' conditions as settings of a check; each that cannot be is said."""

from __future__ import annotations

import json
import re
from typing import Any

from console.importing.draft import Line
from console.importing.gatus_reading import seconds
from monitors.checks import assertion

_CONDITION = re.compile(r"\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*")
_FUNCTION = re.compile(r"(len|has|pat|any)\((.*)\)", re.S)
EVERY = range(100, 600)
WHOLE = ("A", "AAAA", "CNAME", "NS", "PTR", "TXT")  # records that both write alike


def carry_over(line: Line, conditions: list[Any], config: dict[str, Any], fields: dict[str, Any], *, kind: str) -> None:
    """Put every condition into settings (`config`) or fields of the monitor, or say that it is lost."""
    statuses = set(EVERY)
    for condition in conditions:
        written = str(condition)
        found = _CONDITION.fullmatch(written)
        done = found is not None and _one(line, found[1], found[2], found[3], config, fields, statuses, kind)
        if not done:
            line.note(f"The condition “{written[:120]}” is not carried over.")
    if kind == "http":
        config["accepted_statuses"] = ranges(statuses)
        if not statuses:
            line.note("Its conditions on the status exclude each other; 200 is expected.")
            config["accepted_statuses"] = "200"


def ranges(statuses: set[int]) -> str:
    """{200, 201, 429} → 200-201,429"""
    found: list[list[int]] = []
    for status in sorted(statuses):
        if found and found[-1][1] == status - 1:
            found[-1][1] = status
        else:
            found.append([status, status])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def _one(
    line: Line,
    left: str,
    sign: str,
    right: str,
    config: dict[str, Any],
    fields: dict[str, Any],
    statuses: set[int],
    kind: str,
) -> bool:
    if left == "[STATUS]" and kind == "http":
        return _status(sign, right, statuses)
    if left == "[CONNECTED]":
        return (sign, right) == ("==", "true")  # what every check wants
    if left == "[RESPONSE_TIME]" and sign in ("<", "<=") and right.isdigit() and int(right):
        fields["degraded_latency_ms"] = int(right)
        line.note(f"Slower than {right} ms is degraded here, not down.")
        return True
    if left == "[CERTIFICATE_EXPIRATION]" and sign in (">", ">=") and seconds(right) is not None:
        line.note("Certificates that end soon are always reported here, some weeks before.")
        return True
    if left == "[DNS_RCODE]" and kind == "dns":
        return (sign, right) == ("==", "NOERROR")
    if (
        left == "[BODY]"
        and kind == "dns"
        and sign == "=="
        and config.get("record_type") in WHOLE
        and not _FUNCTION.fullmatch(right)
    ):
        config.setdefault("expected", []).append(right)
        return True
    if kind == "http":
        return _body(left, sign, right, config)
    return False


def _status(sign: str, right: str, statuses: set[int]) -> bool:
    function = _FUNCTION.fullmatch(right)
    if function is not None and function[1] == "any":
        wanted = {int(word) for word in re.split(r"\s*,\s*", function[2].strip()) if word.isdigit()}
        allowed = wanted if sign == "==" else set(EVERY) - wanted if sign == "!=" else set()
    elif function is not None and function[1] == "pat" and re.fullmatch(r"[0-9*?]+", function[2]):
        stars = re.sub(r"\*+", "*", function[2])  # many stars in a row would be tried in all combinations
        pattern = re.compile(stars.replace("*", "[0-9]*").replace("?", "[0-9]"))
        matching = {status for status in EVERY if pattern.fullmatch(str(status))}
        allowed = matching if sign == "==" else set(EVERY) - matching
    elif right.isdigit():
        n = int(right)
        tests = {
            "==": lambda s: s == n,
            "!=": lambda s: s != n,
            "<": lambda s: s < n,
            "<=": lambda s: s <= n,
            ">": lambda s: s > n,
            ">=": lambda s: s >= n,
        }
        allowed = {status for status in EVERY if tests[sign](status)}
    else:
        return False
    statuses &= allowed
    return True


def _body(left: str, sign: str, right: str, config: dict[str, Any]) -> bool:
    function = _FUNCTION.fullmatch(left)
    if function is not None:
        path = _path(function[2])
        if function[1] != "has" or (sign, right) != ("==", "true") or path is None or "json_path" in config:
            return False
        config["json_path"] = path
        return True
    if left == "[BODY]":
        return _whole(sign, right, config)
    path = _path(left)
    if path is None or sign != "==" or "json_path" in config or _FUNCTION.fullmatch(right) or right.startswith("["):
        return False
    config |= {"json_path": path, "json_equals": _scalar(right)}
    return True


def _path(text: str) -> str | None:
    if not text.startswith("[BODY]") or text == "[BODY]":
        return None
    path = "$" + text.removeprefix("[BODY]")
    try:
        assertion.parse_path(path)
    except ValueError:
        return None
    return path


def _scalar(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text


def _whole(sign: str, right: str, config: dict[str, Any]) -> bool:
    """The whole body against a text or a pattern with stars."""
    if "keyword" in config or sign not in ("==", "!="):
        return False
    function = _FUNCTION.fullmatch(right)
    if function is None:
        if sign == "!=":
            return False
        config |= {"keyword": rf"\A\s*{re.escape(right)}\s*\z", "keyword_mode": "regex"}
        return True
    if function[1] != "pat":
        return False
    inner = function[2]
    middle = inner.strip("*")
    if inner.startswith("*") and inner.endswith("*") and middle and not set(middle) & set("*?["):
        config |= {"keyword": middle, "keyword_mode": "present" if sign == "==" else "absent"}
        return True
    if sign == "!=" or "[" in inner:
        return False
    pattern = "".join("(?s:.*)" if c == "*" else "(?s:.)" if c == "?" else re.escape(c) for c in inner)
    config |= {"keyword": rf"\A{pattern}\z", "keyword_mode": "regex"}
    return True

"""What goes into the log? One line per event, with the request's id, never a secret."""

from __future__ import annotations

import json
import logging
import re
import time
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")

# Addresses and words that carry secrets: hook URLs (the path is the secret), tokens, passwords in URLs.
_SECRETS = (
    (re.compile(r"(https?://)[^/\s:@]+:[^/\s@]+@"), r"\1•••@"),
    (re.compile(r"(https://(?:hooks\.slack\.com|discord(?:app)?\.com/api/webhooks|api\.telegram\.org/bot|[^/\s]*\.webhook\.office\.com|chat\.googleapis\.com))[^\s\"']+"), r"\1/•••"),
    (re.compile(r"\b(wk_[0-9a-f]{8})_[\w-]+"), r"\1_•••"),
    (re.compile(r"\b(whsec_)[\w+/=-]+"), r"\1•••"),
    (re.compile(r"(?i)\b(authorization|password|token|secret|api[_-]?key)(\"?\s*[:=]\s*\"?)(?:bearer |basic |genie?key )?[^\s\"',;&]+"), r"\1\2•••"),
)  # fmt: skip


def redact(text: str) -> str:
    """The text without what looks like a secret."""
    for pattern, mask in _SECRETS:
        text = pattern.sub(mask, text)
    return text


def on_one_line(text: str) -> str:
    """The text with every sign that a terminal would act on, or that would begin a line, written as `\\n`, `\\x1b`, `\\u2028` …"""
    return text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)  # fmt: skip


class WithoutTrace(logging.Filter):
    """For loggers whose traces say nothing of us: anybody can ask for a strange host, and one line tells it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if request_id.get():
            entry["request_id"] = request_id.get()
        if record.exc_info:
            entry["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=not all(str(v).isprintable() for v in entry.values()))


class PlainFormatter(logging.Formatter):
    """For a person in front of a terminal. Only an event begins a line at its edge: what others wrote cannot look like one."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        tail = f" [{request_id.get()}]" if request_id.get() else ""
        text = f"{clock} {record.levelname.lower():7} {on_one_line(redact(record.getMessage()))}{tail}"
        if not record.exc_info:
            return text
        return "\n  ".join([text, *map(on_one_line, redact(self.formatException(record.exc_info)).split("\n"))])

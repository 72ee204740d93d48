"""What if every name, note and message in the database were an attack? They are made one, past all checks; pages show them as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from django.apps import apps
from django.db import models
from django.db.models import CharField, TextField, Value
from django.db.models.functions import Cast, Concat

from statuspages.models import Page
from tests.statuspages import showing

OURS = ("alerts", "incidents", "monitors", "playbooks", "portal", "statuspages")
# Breaks out of a quoted attribute, of a title, of a script and of a comment; where it lives, an element and an attribute tell.
MARK = "x-zz"
POLYGLOT = f"\"'></title></script>--><{MARK} zz=1>"
SHORT = f"\"'><{MARK} zz=1>"
FREE = re.compile(
    r"name|title|description|notes?|reason|message|text|label|cause|summary|about|announcement|address|hostname|platform|error|answer"
    r"|said|comment|entity_name|target|network|user_agent|playbook_name|asked_name|issuer|subject|registrar|blind_reason|health_reason"
)
APART = ("AuditEntry", "Token", "MessageTemplate", "TrashEntry")  # sealed by a chain, or never shown as they are


def spoil() -> set[str]:
    """Every free text of every row; the columns that were spoilt."""
    done = set()
    for model in apps.get_models():
        if (
            model._meta.app_label not in OURS
            or model.__name__ in APART
            or isinstance(model._meta.pk, models.CompositePrimaryKey)
        ):
            continue
        fields = [f for f in model._meta.concrete_fields if _is_free(f)]
        words = {f.name: Concat(Value(POLYGLOT if _room(f) >= len(POLYGLOT) + 8 else SHORT), Cast("pk", CharField()), output_field=TextField()) for f in fields}  # fmt: skip
        if words and model._base_manager.update(**words):
            done |= {f"{model.__name__}.{name}" for name in words}
    for page in Page.objects.all():
        showing.build(page)
    return done


def _room(field: models.Field) -> int:
    return field.max_length or 10_000


def _is_free(field: models.Field) -> bool:
    return (
        isinstance(field, CharField | TextField)
        and type(field).__name__ in ("CharField", "TextField")
        and not field.choices
        and FREE.fullmatch(field.name) is not None
        and _room(field) >= len(SHORT) + 8
    )


class _Live(HTMLParser):
    """Is there an element or an attribute that nobody of ours wrote?"""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.read = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name for name, _ in attrs}
        if tag == MARK or "zz" in named or any(name.startswith("on") for name in named):
            self.found.append(self.get_starttag_text() or tag)
        self.read += any(MARK in (value or "") for _, value in attrs)

    def handle_data(self, data: str) -> None:
        self.read += MARK in data


# As text it has neither a bare quote before it nor a bare bracket; only where it has one, the page need be parsed.
_SUSPICIOUS = re.compile(rf"<{MARK}|[\"'][^&\n]{{0,60}}{MARK}|[\"']['>&].{{0,80}}{MARK}")


def alive(html: str) -> tuple[list[str], int]:
    """(elements that an attack made, how often one was shown as text)."""
    if not _SUSPICIOUS.search(html):
        return [], html.count(MARK)
    parser = _Live()
    parser.feed(html)
    parser.close()
    return parser.found, parser.read

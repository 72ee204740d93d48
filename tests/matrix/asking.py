"""How is asked? As a browser or a program that renders only what somebody looks at, with an eye on every write.

A call is undone afterwards, so that all of them find the same installation. What a mere look may leave behind (when a
session or a token was last seen) is no write.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from django.db import connection, transaction
from django.template.backends.django import Template
from django.test import Client as Browser
from django.test import RequestFactory
from django.test.client import ClientHandler

from portal.models import User
from tests import cast

WRITES = re.compile(r'(?:INSERT INTO|UPDATE|DELETE FROM|WITH .* (?:UPDATE|DELETE FROM|INSERT INTO))\s+"?(\w+)"?', re.I | re.S)  # fmt: skip
LEFT_BY_A_LOOK = re.compile(r'UPDATE "portal_token" SET "last_used_at"|\w+ (?:INTO |FROM )?"(?:django_session|usersessions_usersession)"')  # fmt: skip
SIGN_IN = ("/login/", "/admin/login/")
SHOWN = 60  # wrong answers that a failure lists


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, and the tables that were written to for it."""

    status: int
    to: str
    text: str
    wrote: frozenset[str]

    @property
    def kind(self) -> str:
        """sign in, refused, unknown, not that way; or let in."""
        if self.status == 302 and self.to.startswith(SIGN_IN):
            return "sign in"
        return {401: "sign in", 403: "refused", 404: "unknown", 405: "not that way"}.get(self.status, "let in")


class Caller:
    """Somebody at the door. One handler serves all of them: each of Django's own test clients would build its own."""

    handler = ClientHandler(enforce_csrf_checks=False)

    def __init__(self, user: User | None = None, *, key: str = "", **environ: str) -> None:
        self.environ = dict(environ)
        if key:
            self.environ["HTTP_AUTHORIZATION"] = f"Bearer {key}"
        elif user:
            browser = Browser()
            browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
            self.environ["HTTP_COOKIE"] = "; ".join(f"{c.key}={c.value}" for c in browser.cookies.values())

    def ask(
        self, method: str, where: str, body: bytes = b"", kind: str = "application/x-www-form-urlencoded", *, kept: bool = False
    ) -> Said:  # fmt: skip
        """The answer; what it wrote is undone unless it is to be `kept`. A crash of the view is a 500."""
        request = RequestFactory(**self.environ).generic(method.upper(), where, body, content_type=kind)
        wrote: set[str] = set()

        def watch(execute: Any, sql: str, *rest: Any) -> Any:
            if (found := WRITES.match(sql)) and not LEFT_BY_A_LOOK.match(sql):
                wrote.add(found[1])
            return execute(sql, *rest)

        with connection.execute_wrapper(watch), nullcontext() if kept else undone():
            answer = self.handler(request.environ)
            streams = getattr(answer, "streaming", False)
            text = b"".join(answer.streaming_content) if streams else answer.content  # type: ignore[attr-defined]
        return Said(answer.status_code, answer.get("Location", ""), text.decode("utf-8", "replace"), frozenset(wrote))


def with_token(user: User, *scopes: str) -> Caller:
    """A program with a new token of this person."""
    return Caller(key=cast.token(user, *scopes))


@contextmanager
def undone() -> Iterator[None]:
    """Nothing of what happens inside stays."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@contextmanager
def blank_pages() -> Iterator[None]:
    """Who is let in is decided by views; what pages look like is tested elsewhere, and costs most of the time."""
    logging.disable(logging.CRITICAL)  # each refusal would be a line
    try:
        with mock.patch.object(Template, "render", lambda *_, **__: ""):
            yield
    finally:
        logging.disable(logging.NOTSET)


@dataclass
class Tally:
    """How many calls of which kind were expected and came so; what came otherwise."""

    name: str
    routes: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note(self, route: str, call: str, expected: str, said: Said, *, may_write: bool = False) -> None:
        """Count one call. `expected` is one of `Said.kind`, or several of them with | between."""
        self.routes.add(route)
        self.calls[expected] += 1
        if said.kind not in expected.split("|"):
            self.wrong.append(f"{call}: {said.status} {said.to}, expected: {expected}")
        if said.status >= 500:
            self.wrong.append(f"{call}: {said.status}")
        if said.wrote and not may_write:
            self.wrong.append(f"{call}: {said.status}, but it wrote to {', '.join(sorted(said.wrote))}")

    def judge(self) -> None:
        """Say the sums (with -s), and fail with each wrong answer."""
        sums = ", ".join(f"{kind} {count:,}" for kind, count in self.calls.most_common())
        print(
            f"\n{self.name}: {len(self.routes)} routes, {self.calls.total():,} calls ({sums}), {len(self.wrong)} wrong"
        )
        assert not self.wrong, "\n".join(["", *self.wrong[:SHOWN]])

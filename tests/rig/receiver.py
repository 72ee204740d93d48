"""What reached the provider, when, and how often? An HTTP server that records every request and answers as told."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from tests.rig.answers import Answer, give, ok
from tests.rig.calls import Call, read_body, read_head
from tests.rig.serving import Serving

EVERYWHERE = "*"


class Receiver(Serving):
    """A fake provider. `behave(path, answer, …)` says how a path answers (default: what `judge` makes of the request, or
    200 "ok"); `calls` is what it heard."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, judge: Callable[[Call], Answer] | None = None) -> None:
        super().__init__(tls=tls)
        self._judge = judge
        self._changed = threading.Condition()
        self._calls: list[Call] = []
        self._manners: dict[str, list[Answer]] = {}

    def url(self, path: str = "/") -> str:
        """The address of a path, on 127.0.0.1."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}{path}"

    def behave(self, path: str, *answers: Answer) -> str:
        """From now on the path (or EVERYWHERE) gives these answers in order, the last one for ever. Returns its URL.

        No answers at all means 200 "ok" again.
        """
        with self._changed:
            self._manners[path] = list(answers) or [ok()]
        return self.url("/" if path == EVERYWHERE else path)

    @property
    def calls(self) -> list[Call]:
        """Every request so far, in order of arrival (a copy)."""
        with self._changed:
            return list(self._calls)

    def at(self, path: str) -> list[Call]:
        """The requests to one path."""
        return [call for call in self.calls if call.path == path]

    def accepted(self, path: str | None = None) -> list[Call]:
        """The copies a person would see: requests taken over, whatever was answered."""
        return [call for call in self.calls if call.accepted and path in (None, call.path)]

    def wait_for(self, count: int, path: str | None = None, *, within: float = 60) -> list[Call]:
        """Wait for at least `count` requests (to `path`); returns them. AssertionError names what came instead."""
        return self.wait_until(lambda calls: len(calls) >= count, path, within=within, what=f"{count} calls")

    def wait_until(
        self,
        enough: Callable[[list[Call]], bool],
        path: str | None = None,
        *,
        within: float = 15,
        what: str = "the expected calls",
    ) -> list[Call]:
        """Wait until `enough(calls)`; returns the calls."""
        found: list[Call] = []

        def look() -> bool:
            found[:] = [call for call in self._calls if path in (None, call.path)]
            return enough(found)

        with self._changed:
            if not self._changed.wait_for(look, within):
                raise AssertionError(f"waited {within} s for {what} at {path or 'any path'}; heard {_brief(found)}")
            return list(found)

    def forget(self) -> None:
        """Forget every call and every behaviour."""
        with self._changed:
            self._calls.clear()
            self._manners.clear()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if head is None:
            return
        at, instant = time.time(), time.monotonic()
        body = await read_body(head, reader, writer)
        with self._changed:
            call = Call(at, instant, head.method, head.target, head.headers, body, True)
            answer = self._next_answer(call)
            call = replace(call, accepted=answer.accepted)
            self._calls.append(call)
            self._changed.notify_all()
        await give(answer, writer, head_only=head.method == "HEAD")

    def _next_answer(self, call: Call) -> Answer:
        answers = self._manners.get(call.path) or self._manners.get(EVERYWHERE)
        if not answers:
            return self._judge(call) if self._judge else ok()
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _brief(calls: Iterable[Call]) -> str:
    return ", ".join(f"{call.method} {call.path}" for call in calls) or "nothing"

"""Is the client's site up? A small web site whose health the test switches while somebody watches it."""

from __future__ import annotations

import asyncio
import threading

from tests.rig import answers
from tests.rig.answers import Answer, give
from tests.rig.calls import read_body, read_head
from tests.rig.certificates import Certificate
from tests.rig.serving import Serving


class Site(Serving):
    """A site. `up()`, `fail(500)`, `slow(2)`, `hang()`, `reset()` and `refuse()` take effect with the next connection.

    With a `certificate` it speaks https.
    """

    def __init__(self, *, certificate: Certificate | None = None) -> None:
        super().__init__(tls=certificate.server_context() if certificate else None)
        self._lock = threading.Lock()
        self._answer = answers.ok(b"<h1>All is well</h1>", content_type="text/html")
        self._hits = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """The site's address; `host="localhost"` to be found by name."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    @property
    def hits(self) -> int:
        """How many requests came so far."""
        with self._lock:
            return self._hits

    def up(self, body: bytes | str = b"<h1>All is well</h1>") -> None:
        """200 with this page."""
        self.answer(answers.ok(body, content_type="text/html"))

    def fail(self, status: int = 500) -> None:
        """An error page."""
        self.answer(answers.status(status))

    def slow(self, seconds: float) -> None:
        """200, but only after `seconds`."""
        self.answer(answers.slow(seconds))

    def hang(self) -> None:
        """Takes the request and never answers."""
        self.answer(answers.hang())

    def reset(self) -> None:
        """Connection reset instead of an answer."""
        self.answer(answers.connection_reset())

    def answer(self, answer: Answer) -> None:
        """Any other answer (tests.rig.answers); opens the port again if it was refusing."""
        with self._lock:
            self._answer = answer
        self.listen()

    def show(self, certificate: Certificate) -> None:
        """Show another certificate from the next connection on."""
        self.refuse()
        self._tls = certificate.server_context()
        self.listen()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if head is None:
            return
        await read_body(head, reader, writer)
        with self._lock:
            self._hits += 1
            answer = self._answer
        await give(answer, writer, head_only=head.method == "HEAD")

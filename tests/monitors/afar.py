"""Who speaks from afar? A probe's side of the protocol, spoken by hand, so that a test can say every wrong thing too."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.test import Client as Browser

from monitors import remote
from monitors.models import Probe
from monitors.probe import identity
from monitors.probe.clock import micros
from monitors.probe.identity import Identity
from monitors.probe.link import unpack
from portal.clock import database_now
from portal.models import Client
from tests import cast


def new_probe(slug: str = "berlin", of: Client | None = None, **more: Any) -> Probe:
    """A probe that nobody has enrolled as yet."""
    return Probe.objects.create(slug=slug, name=slug.title(), client=of, **more)


@dataclass
class Speaker:
    """One program with a probe's key. Each method is one request; answers are checked for the portal's signature."""

    who: Identity
    instance: str = "a" * 32
    counter: int = 0
    seq: int = 0
    browser: Browser = field(default_factory=Browser)
    last: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def enrolled(cls, probe: Probe, *, speaking: bool = True, **more: Any) -> Speaker:
        """Enrolled with a fresh token; it has said hello unless told otherwise."""
        speaker = cls(Identity.new("https://portal.example"), **more)
        token = remote.new_token(probe, by=cast.TESTS, at=database_now())
        answer = speaker.enroll(token)
        assert answer.status_code == 200, answer.content
        said = answer.json()
        speaker.who = speaker.who.enrolled(said["id"], said["slug"], said["portal_key"])
        if speaking:
            assert speaker.hello().status_code == 200
        return speaker

    def enroll(self, token: str, **more: Any) -> HttpResponse:
        secret, _ = identity.token_parts(token)
        body = {"token": secret, "public_key": identity.public_of(self.who.key), "host": "box", **more}
        content = json.dumps(body).encode()
        text = identity.request_text(0, "POST", "/probe/v1/enroll", 0, 0, "", content)
        headers = {identity.SIGNATURE: identity.sign(self.who.key, text)}
        return self.browser.post("/probe/v1/enroll", content, content_type="application/json", headers=headers)

    def ask(self, method: str, path: str, content: bytes = b"", *, headers: dict[str, str] | None = None, **signed: Any) -> HttpResponse:  # fmt: skip
        """`signed` overrides what is signed and sent: at_ms, counter, instance, probe; `signature` what is sent."""
        self.counter += 1
        at_ms = signed.get("at_ms", micros(database_now()) // 1000)
        counter, instance = signed.get("counter", self.counter), signed.get("instance", self.instance)
        probe, path = signed.get("probe", self.who.probe), f"/probe/v1/{path}"
        text = identity.request_text(probe, method, path, at_ms, counter, instance, content)
        sent = {
            identity.PROBE: str(probe), identity.TIME: str(at_ms), identity.COUNTER: str(counter), identity.INSTANCE: instance,
            identity.SIGNATURE: signed.get("signature") or identity.sign(self.who.key, text), **(headers or {}),
        }  # fmt: skip
        self.last = {"method": method, "path": path, "content": content, "headers": sent}
        answer = self._send()
        if identity.SIGNATURE in answer.headers:
            body = unpack(answer.content, 10**8) if answer.headers.get("Content-Encoding") == "gzip" else answer.content
            told = identity.answer_text(probe, counter, content, answer.status_code, int(answer.headers[identity.TIME]), body)  # fmt: skip
            assert identity.verify(self.who.portal_key, answer.headers[identity.SIGNATURE], told)
        return answer

    def _send(self) -> HttpResponse:
        return self.browser.generic(
            self.last["method"], self.last["path"], self.last["content"], content_type="application/json", headers=self.last["headers"]
        )  # fmt: skip

    def again(self) -> HttpResponse:
        """The very same bytes once more."""
        return self._send()

    def hello(self, **said: Any) -> HttpResponse:
        return self.ask(
            "POST", "hello", json.dumps({"version": "1", "host": "box", "platform": "Linux", **said}).encode()
        )

    def work(self, etag: str = "", **signed: Any) -> HttpResponse:
        return self.ask("GET", "work", headers={"If-None-Match": etag} if etag else None, **signed)

    def post(self, rows: list[list[Any]], packed: bool = True, **more: Any) -> HttpResponse:
        content = json.dumps({"results": rows, **more}).encode()
        if packed:
            content = gzip.compress(content)
        return self.ask("POST", "results", content, headers={"Content-Encoding": "gzip"} if packed else None)

    def row(self, monitor: int, status: int, at: datetime, *, version: int | None = None, message: str = "", error_class: str = "", more: Any = None) -> list[Any]:  # fmt: skip
        """One result, with the next number."""
        self.seq += 1
        if version is None:
            from monitors.models import Monitor

            version = Monitor.objects.values_list("config_version", flat=True).get(pk=monitor)
        phases = [None, 1.5, None, 3.0, 12.25]
        if status == 3 and not message:
            message, error_class = "The connection was refused", "connect_refused"
        return [self.seq, monitor, micros(at), status, *phases, None, None, error_class, message, version, more]

    def saw(self, monitor: int, letters: str, until: datetime | None = None, **more: Any) -> HttpResponse:
        """u(p), d(egraded), f(ailing) or ? a second apart, the last of them now (or then), in one batch."""
        until = until or database_now()
        rows = [
            self.row(monitor, "?udf".index(letter), until - timedelta(seconds=len(letters) - 1 - n))
            for n, letter in enumerate(letters)
        ]
        return self.post(rows, **more)

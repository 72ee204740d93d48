"""Where does a record really move? An authoritative name server (Knot DNS) of the test's own, on loopback, with dynamic updates
and TSIG; and a line to it that may be cut in the middle."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import dns.exception
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.update

from tests.rig.process import Child, NeverReady, NotAvailable, free_port, unprivileged_user
from tests.rig.serving import Serving

ZONE = "example.test"
KEY, READER = "watchkeeper-update", "reader"  # the second may change TXT records only
SECRETS = {
    KEY: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    READER: "cmVhZGVyLXJlYWRlci1yZWFkZXItcmVhZGVyLXJlYWQ=",
}
CONFIG = """
server:
    rundir: {home}/run
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {home}/db
log:
  - target: stderr
    any: warning
key:
  - id: watchkeeper-update
    algorithm: {algorithm}
    secret: {update}
  - id: reader
    algorithm: hmac-sha256
    secret: {reader}
acl:
  - id: update
    key: watchkeeper-update
    action: update
  - id: letters
    key: reader
    action: update
    update-type: [TXT]
zone:
  - domain: example.test
    file: {home}/zone
    acl: [update, letters]
    zonefile-sync: -1
"""
RECORDS = """$ORIGIN example.test.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
www A 192.0.2.10
both 120 A 192.0.2.10
both 120 A 192.0.2.11
six AAAA 2001:db8::10
alias 600 CNAME www
*.wild A 192.0.2.99
"""


class Knot:
    """A context manager: entering starts it, leaving ends it and removes its files. NotAvailable without knotd."""

    def __init__(self, algorithm: str = "hmac-sha256") -> None:
        self.program = shutil.which("knotd") or shutil.which("knotd", path="/usr/sbin:/usr/local/sbin")
        if not self.program:
            raise NotAvailable("knotd is not installed (apt-get install knot)")
        self.user = unprivileged_user()
        self.home = Path(tempfile.mkdtemp(prefix="watchkeeper-knot-"))
        self.algorithm, self.port, self._child = algorithm, 0, None
        for name in ("run", "db"):
            (self.home / name).mkdir()
        (self.home / "zone").write_text(RECORDS)

    def __enter__(self) -> Self:
        try:
            for attempt in range(3):
                try:
                    self.start()
                    break
                except NeverReady:  # somebody else took the port
                    self.port = 0
                    if attempt == 2:
                        raise
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def place(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or start it again with the records that it had."""
        self.port = self.port or free_port()
        secrets = {"update": SECRETS[KEY], "reader": SECRETS[READER]}
        config = self.home / "knot.conf"
        config.write_text(CONFIG.format(home=self.home, port=self.port, algorithm=self.algorithm, **secrets))
        if self.user is not None:
            for path in (self.home, *self.home.rglob("*")):
                shutil.chown(path, self.user)
        self._child = Child([self.program, "-c", str(config)], log=self.home / "log", user=self.user)
        self._child.until_ready(lambda: self.holds("www", "A") is not None)

    def kill(self) -> None:
        """As when the machine dies."""
        assert self._child is not None
        self._child.end(signal.SIGKILL)

    def close(self) -> None:
        """End it and remove its files."""
        if self._child is not None and self._child.alive():
            self._child.end(signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)

    def holds(self, label: str, record_type: str) -> tuple[list[str], int | None] | None:
        """(values, TTL) as anybody hears them, asked without a key; None while it does not answer."""
        name = ZONE if label == "@" else f"{label}.{ZONE}"
        question = dns.message.make_query(name, record_type)
        try:
            answer = dns.query.tcp(question, "127.0.0.1", timeout=10, port=self.port)
        except (OSError, EOFError, dns.exception.DNSException):
            return None
        found = [r for r in answer.answer if r.rdtype == dns.rdatatype.from_text(record_type)]
        return (sorted(d.to_text() for d in found[0]), found[0].ttl) if found else ([], None)

    def edit(self, *changes: str) -> None:
        """Change the zone in one message of somebody else's: `edit("unset www A", "set www 60 A 192.0.2.77")`."""
        update = dns.update.UpdateMessage(
            ZONE, keyring=dns.tsigkeyring.from_text({KEY: (self.algorithm, SECRETS[KEY])}), keyname=KEY, keyalgorithm=self.algorithm
        )  # fmt: skip
        for change in changes:
            verb, *words = change.split()
            if verb == "unset":
                update.delete(*words)
            else:
                update.add(words[0], int(words[1]), *words[2:])
        answer = dns.query.tcp(update, "127.0.0.1", timeout=30, port=self.port)
        assert answer.rcode() == dns.rcode.NOERROR, answer


class Line(Serving):
    """A line to the server on which questions pass, and updates and their answers as the test says."""

    def __init__(self, knot: Knot) -> None:
        super().__init__()
        self.knot = knot
        self.before: Callable[[], bool] = lambda: True  # shall the update pass?
        self.after: Callable[[], bool] = lambda: True  # shall its answer come back?
        self.instead: Callable[[bytes], bytes] | None = None  # what answers updates in the server's place
        self.forge: Callable[[bytes, bytes], bytes] = lambda message, answer: answer
        self.updates: list[bytes] = []

    @property
    def place(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            message = await _message(reader)
            update = dns.opcode.from_flags(int.from_bytes(message[2:4], "big")) == dns.opcode.UPDATE
            if update:
                self.updates.append(message)
                if not await asyncio.to_thread(self.before):
                    return
                if self.instead is not None:
                    writer.write(framed(self.instead(message)))
                    await writer.drain()
                    continue
            there, back = await asyncio.open_connection("127.0.0.1", self.knot.port)
            try:
                back.write(framed(message))
                answer = await _message(there)
            finally:
                back.close()
            if update and not await asyncio.to_thread(self.after):
                return
            writer.write(framed(self.forge(message, answer)))
            await writer.drain()


def framed(message: bytes) -> bytes:
    """With its length before it, as over TCP."""
    return len(message).to_bytes(2, "big") + message


async def _message(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))

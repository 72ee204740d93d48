"""Who answers for the second act's names? Knot DNS on loopback, which takes signed dynamic updates, as a client's own would."""

from __future__ import annotations

import base64
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rdatatype

READY = 60.0  # seconds to its first answer
TTL = 5  # seconds that others remember the record before it moves
CONFIG = """server:
    rundir: {run}
    listen: {address}@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {home}/db
log:
  - target: stderr
    any: warning
key:
  - id: {key}
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: update
    key: {key}
    action: update
    update-type: [A]
zone:
  - domain: .
    file: {home}/root
  - domain: {zone}
    file: {home}/zone
    acl: update
    zonefile-sync: -1
"""
ROOT = """. {ttl} SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 {ttl}
. {ttl} NS ns.{zone}.
{zone}. {ttl} NS ns.{zone}.
ns.{zone}. {ttl} A {address}
"""
RECORDS = """$ORIGIN {zone}.
$TTL {ttl}
@ SOA ns hostmaster 1 3600 600 86400 {ttl}
@ NS ns
ns A {address}
{label} A {leads_to}
"""


def program() -> str | None:
    """Where knotd is; None when it is not installed."""
    return shutil.which("knotd") or shutil.which("knotd", path="/usr/sbin:/usr/local/sbin")


def port_at(address: str) -> int:
    """53 where we may listen there, else a free port."""
    for port in (53, 0):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((address, port))
                udp.bind((address, tcp.getsockname()[1]))
                return int(tcp.getsockname()[1])
            except OSError:
                if not port:
                    raise
    raise AssertionError("unreachable")


class Zone:
    """A zone with one name that moves. `home` is a directory of its own. RuntimeError with Knot's words when it does not start."""

    def __init__(self, home: Path, address: str, port: int, zone: str, label: str, leads_to: str) -> None:
        self.home, self.address, self.port, self.zone, self.name = home, address, port, zone, f"{label}.{zone}"
        self.key, self.secret = "watchkeeper-update", base64.b64encode(secrets.token_bytes(32)).decode()
        (home / "db").mkdir(parents=True)
        # Its control socket stands there: the path of a socket has to be short.
        self._run = tempfile.mkdtemp(prefix="watchkeeper-knot-", dir="/tmp")  # noqa: S108 - a directory of our own
        known = {
            "home": home,
            "run": self._run,
            "address": address,
            "port": self.port,
            "zone": zone,
            "ttl": TTL,
            "key": self.key,
        }
        (home / "root").write_text(ROOT.format(**known))
        (home / "zone").write_text(RECORDS.format(**known, label=label, leads_to=leads_to))
        config = home / "knot.conf"
        config.touch(mode=0o600)
        config.write_text(CONFIG.format(**known, secret=self.secret))
        with (home / "log").open("wb") as log:
            self._child = subprocess.Popen([program() or "knotd", "-c", str(config)], stdout=log, stderr=log)
        try:
            self._until_ready()
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        """host:port, as a playbook's step is told it."""
        return f"{self.address}:{self.port}"

    def _until_ready(self) -> None:
        until = time.monotonic() + READY
        while self.leads_to() is None:
            if self._child.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"knotd does not answer: {(self.home / 'log').read_text()[-300:].strip()}")
            time.sleep(0.05)

    def leads_to(self) -> list[str] | None:
        """The addresses of the name, as anybody hears them; None while the server does not answer."""
        try:
            answer = dns.query.tcp(dns.message.make_query(self.name, "A"), self.address, timeout=5, port=self.port)
        except (OSError, EOFError, dns.exception.DNSException):
            return None
        return sorted(d.to_text() for found in answer.answer if found.rdtype == dns.rdatatype.A for d in found)

    def close(self) -> None:
        """End it."""
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(10)
        shutil.rmtree(self._run, ignore_errors=True)

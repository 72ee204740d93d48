"""What would a container engine say? A server on a Unix socket that speaks the reading part of Docker's Engine API.

Answers have the shape of Docker 27's (API 1.47): frames in logs, chunks for long bodies, `message` in errors, times in
nanoseconds. Containers run, die, restart and vanish as a test says; every request is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.rig.calls import read_head

NEVER = "0001-01-01T00:00:00Z"
CHUNKED_FROM = 2048  # Go's server sends what is longer in chunks


def stamp(at: datetime | None = None) -> str:
    """A time as the engine writes it."""
    return (at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"


class DockerEngine:
    """An engine at `path`. A context manager; `requests` are (method, target) of all that was asked."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.requests: list[tuple[str, str]] = []
        self.containers: dict[str, dict[str, Any]] = {}
        self.images: dict[str, dict[str, Any]] = {}
        self.counters: dict[str, dict[str, int]] = {}
        self.said: dict[str, list[str]] = {}
        self.events: list[dict[str, Any]] = []
        self.silent = False  # accepts and never answers
        self.broken: dict[str, int] = {}  # the end of a path -> the status it answers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="DockerEngine", daemon=True)

    # --- What happens to containers -----------------------------------------------------------------------------------
    def run(
        self,
        name: str,
        image: str = "nginx:1.27.1",
        *,
        policy: str = "no",
        labels: dict[str, str] | None = None,
        health: str = "",
        lines: list[str] | None = None,
        tty: bool = False,
        memory_limit: int = 512 << 20,
    ) -> str:
        """A container that runs; its id."""
        key = hashlib.sha256(f"{name}{len(self.requests)}{stamp()}".encode()).hexdigest()
        self.pull(image)
        self.containers = {k: c for k, c in self.containers.items() if c["Name"] != f"/{name}"}
        state: dict[str, Any] = {
            "Status": "running", "Running": True, "Paused": False, "Restarting": False, "OOMKilled": False, "Dead": False, "Pid": 4242,
            "ExitCode": 0, "Error": "", "StartedAt": stamp(), "FinishedAt": NEVER,
        }  # fmt: skip
        if health:
            state["Health"] = {"Status": health, "FailingStreak": 0, "Log": []}
        self.containers[key] = {
            "Id": key, "Created": stamp(), "Name": f"/{name}", "RestartCount": 0, "Image": self.images[image]["Id"], "State": state,
            "HostConfig": {"RestartPolicy": {"Name": policy, "MaximumRetryCount": 0}, "Memory": memory_limit},
            "Config": {"Image": image, "Tty": tty, "Env": ["DATABASE_PASSWORD=hunter2-canary"], "Labels": labels or {}},
        }  # fmt: skip
        self.counters[key] = {"cpu": 1_000_000_000, "memory": 64 << 20, "cache": 16 << 20, "limit": memory_limit}
        self.said[key] = list(lines or [])
        return key

    def pull(self, image: str, digest: str = "") -> str:
        """Have an image, fetched under this digest; the digest."""
        digest = digest or f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
        repository = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
        self.images[image] = {
            "Id": f"sha256:{hashlib.sha256(f'{image}{digest}'.encode()).hexdigest()}",
            "RepoTags": [image],
            "RepoDigests": [f"{repository}@{digest}"],
        }
        return digest

    def die(self, name: str, code: int = 1, *, oom: bool = False, at: datetime | None = None) -> None:
        """It ends."""
        self._ended(name, code, oom)
        self._of(name)["State"].update(
            {
                "Status": "exited",
                "Running": False,
                "ExitCode": code,
                "OOMKilled": oom,
                "FinishedAt": stamp(at),
                "Pid": 0,
            }
        )

    def restarts(self, name: str, times: int = 1, code: int = 1, *, oom: bool = False) -> None:
        """Its restart policy started it again, so many times; it runs, and says nothing of how it ended."""
        row = self._of(name)
        for _ in range(times):
            self._ended(name, code, oom)
        row["RestartCount"] += times
        row["State"].update(
            {"Status": "running", "Running": True, "ExitCode": 0, "StartedAt": stamp(), "FinishedAt": stamp()}
        )

    def _ended(self, name: str, code: int, oom: bool) -> None:
        about = {"ID": self._of(name)["Id"], "Attributes": {"name": name, "exitCode": str(code)}}
        for action in ("oom", "die") if oom else ("die",):
            self.events.append({"Type": "container", "Action": action, "Actor": about, "timeNano": time.time_ns()})

    def say(self, name: str, *lines: str) -> None:
        """It writes into its log."""
        self.said[self._of(name)["Id"]] += lines

    def feel(self, name: str, health: str) -> None:
        """Its own health check says so."""
        self._of(name)["State"]["Health"] = {"Status": health, "FailingStreak": 3, "Log": []}

    def use(self, name: str, *, cpu_seconds: float = 0, memory: int | None = None) -> None:
        """It used more processor time, or holds so much memory now (bytes, without cache)."""
        counters = self.counters[self._of(name)["Id"]]
        counters["cpu"] += int(cpu_seconds * 1e9)
        if memory is not None:
            counters["memory"] = memory + counters["cache"]

    def remove(self, name: str) -> None:
        """It is taken away."""
        del self.containers[self._of(name)["Id"]]

    def _of(self, name: str) -> dict[str, Any]:
        return next(c for c in self.containers.values() if c["Name"] == f"/{name}")

    # --- The server ---------------------------------------------------------------------------------------------------
    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def _open(self) -> asyncio.Server:
        return await asyncio.start_unix_server(self._serve, self.path)

    async def _shut(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await read_head(reader)
            if head is None:
                return
            self.requests.append((head.method, head.target))
            if self.silent:
                await asyncio.Event().wait()
            status, kind, body = self._answer(head.method, head.target)
            writer.write(_framed(status, kind, body))
            await writer.drain()
        except (OSError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    def _answer(self, method: str, target: str) -> tuple[int, str, bytes]:
        parts, query = urlsplit(target), parse_qs(urlsplit(target).query)
        path = unquote(parts.path)
        for end, status in self.broken.items():
            if path.endswith(end):
                return _json({"message": "server error"}, status)
        if method != "GET":
            return _json({"message": "page not found"}, 404)
        if path == "/containers/json":
            return _json([self._line(c) for c in self.containers.values() if "all" in query or c["State"]["Running"]])
        if path == "/events":
            kinds = json.loads(query["filters"][0])["event"]
            since, until = float(query["since"][0]) * 1e9, float(query["until"][0]) * 1e9
            told = [e for e in self.events if e["Action"] in kinds and since <= e["timeNano"] < until]
            return 200, "application/json", b"".join(json.dumps(e).encode() + b"\n" for e in told)
        words = path.split("/")
        if path.startswith("/containers/") and len(words) == 4:
            row = self.containers.get(words[2])
            if row is None:
                return _json({"message": f"No such container: {words[2]}"}, 404)
            if words[3] == "json":
                return _json(row)
            if words[3] == "stats":
                return _json(self._stats(words[2]))
            if words[3] == "logs":
                return self._logs(row, int(query["tail"][0]))
        if path.startswith("/images/") and path.endswith("/json"):
            name = path.removeprefix("/images/").removesuffix("/json")
            image = next((i for n, i in self.images.items() if name in (n, i["Id"])), None)
            return _json(image) if image else _json({"message": f"No such image: {name}"}, 404)
        return _json({"message": "page not found"}, 404)

    def _line(self, row: dict[str, Any]) -> dict[str, Any]:
        return {
            "Id": row["Id"], "Names": [row["Name"]], "Image": row["Config"]["Image"], "ImageID": row["Image"], "State": row["State"]["Status"],
            "Status": "Up 2 minutes", "Labels": row["Config"]["Labels"], "Ports": [], "Mounts": [], "Command": "run",
        }  # fmt: skip

    def _stats(self, key: str) -> dict[str, Any]:
        c = self.counters[key]
        running = self.containers[key]["State"]["Running"]
        return {
            "read": stamp(), "preread": NEVER, "name": self.containers[key]["Name"],
            "cpu_stats": {"cpu_usage": {"total_usage": c["cpu"]}, "system_cpu_usage": 10**15, "online_cpus": 2} if running else {"cpu_usage": {"total_usage": 0}},
            "precpu_stats": {"cpu_usage": {"total_usage": 0}},
            "memory_stats": {"usage": c["memory"], "limit": c["limit"], "stats": {"inactive_file": c["cache"]}} if running else {},
        }  # fmt: skip

    def _logs(self, row: dict[str, Any], lines: int) -> tuple[int, str, bytes]:
        kept = [f"{line}\n".encode() for line in self.said[row["Id"]][-lines:]]
        if row["Config"]["Tty"]:
            return 200, "application/vnd.docker.raw-stream", b"".join(kept)
        frames = [bytes([1 + n % 2, 0, 0, 0]) + len(line).to_bytes(4, "big") + line for n, line in enumerate(kept)]
        return 200, "application/vnd.docker.multiplexed-stream", b"".join(frames)


def _json(value: Any, status: int = 200) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(value).encode() + b"\n"


def _framed(status: int, kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} X\r\nApi-Version: 1.47\r\nContent-Type: {kind}\r\nServer: Docker/27.5.1 (linux)\r\n"
    if len(body) < CHUNKED_FROM:
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (body[i : i + 4096] for i in range(0, len(body), 4096)))
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"

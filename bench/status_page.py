"""STP-5: how many readers a second does a public page bear? In the one process that does everything, by two web processes, by
the application alone, and as a copy."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import stage
from bench.pipeline import seed

COMPONENTS = 50
SETTLE = 30  # seconds in which every monitor has its first results
PAGE = f"""
import django; django.setup()
from datetime import timedelta
from django.core.management import call_command
from monitors.models import Monitor, Probe, Rollup
from portal.clock import database_now
from portal.models import Client
from statuspages.models import Component, Page
at, probe = database_now(), Probe.objects.get(slug="local")
page = Page.objects.create(client=Client.objects.get(name="Bench"), name="Bench", slug="bench", publish_folder="bench")
for n, m in enumerate(Monitor.objects.order_by("pk")[:{COMPONENTS}]):
    Component.objects.create(page=page, name=f"Part {{n}}", order=n).monitors.add(m)
    start = at.replace(minute=0, second=0, microsecond=0) - timedelta(days=90)
    Rollup.objects.bulk_create([Rollup(monitor=m, probe=probe, period="h", start=start + timedelta(hours=h), up=60, latency=[0] * 32) for h in range(90 * 24)], batch_size=500)
call_command("publish_pages", "bench")
"""
ALONE = """
import io, json, sys, time
from django.test import RequestFactory
from portal.wsgi import application
seconds, has_it = float(sys.argv[1]), sys.argv[2] == "304"
environ = RequestFactory().get("/status/bench/").environ | {"HTTP_HOST": "localhost", "HTTP_ACCEPT_ENCODING": "gzip"}
def ask():
    said = []
    answer = application({**environ, "wsgi.input": io.BytesIO()}, lambda status, headers: said.extend((status, dict(headers))))
    size = sum(map(len, answer))
    answer.close()
    return said[0], size, said[1]
if has_it:
    environ["HTTP_IF_NONE_MATCH"] = ask()[2]["ETag"]
status, size, _ = ask()
from statuspages.board import board
cold = []
for _ in range(9):
    board.forget()
    began = time.perf_counter()
    ask()
    cold.append((time.perf_counter() - began) * 1000)
until, n = time.monotonic() + seconds, 0
began = time.process_time()
while time.monotonic() < until:
    ask()
    n += 1
print(json.dumps({"cold_ms": round(sorted(cold)[4], 1), "status": status, "bytes": size, "per_s": round(n / seconds), "cpu_us": round((time.process_time() - began) / n * 1e6)}))
"""


def run(seconds: float = 5) -> dict[str, object]:
    """Requests a second of a page with fifty components and ninety days: alone (packed, and 304), served, and as a copy by nginx."""
    with ExitStack() as stack:
        directory = stack.enter_context(stage.directory())
        env = stage.ours("", "", directory, PUBLISH_FOLDER=str(directory / "copies"))
        (directory / "copies" / "bench").mkdir(parents=True)
        copy = stack.enter_context(files(directory, directory / "copies" / "bench"))
        watched = json.dumps({"url": f"http://127.0.0.1:{copy}/"})  # all is well, as on most days
        seed(env, "--count", str(COMPONENTS), "--interval", "60", "--config", watched)
        built = time.monotonic()
        subprocess.run([sys.executable, "-c", PAGE], env=env, cwd=stage.ROOT, check=True, stdout=subprocess.DEVNULL)
        figures: dict[str, object] = {"built_and_copied_s": round(time.monotonic() - built, 1)}
        serving, port = stack.enter_context(ExitStack()), stage.free_port()
        served = serving.enter_context(stage.process("up", "--port", str(port), env=env, log=directory / "log"))
        _wait(port)
        hammer(port, "/status/bench/", SETTLE, "Accept-Encoding: gzip\r\n", readers=1)
        before, began = stage.cpu_seconds(stage.family(served)), time.monotonic()
        figures["served_per_s"], size, etag = hammer(port, "/status/bench/", seconds, "Accept-Encoding: gzip\r\n")
        figures["served_cpu_percent"] = round(
            (stage.cpu_seconds(stage.family(served)) - before) / (time.monotonic() - began) * 100
        )
        figures["served_bytes"] = size
        figures["served_304_per_s"] = hammer(port, "/status/bench/", seconds, f"If-None-Match: {etag}\r\n")[0]
        serving.close()
        web = stage.free_port()
        doors = env | {"WEB_PROCESSES": "2"}
        with stage.process("up", "--only", "web", "--port", str(web), env=doors, log=directory / "web.log"):
            _wait(web)
            hammer(web, "/status/bench/", 3, "Accept-Encoding: gzip\r\n")
            figures["two_web_processes_per_s"] = hammer(web, "/status/bench/", seconds, "Accept-Encoding: gzip\r\n")[0]
        for name, kind in (("alone", "200"), ("alone_304", "304")):
            asked = [sys.executable, "-c", ALONE, str(seconds), kind]
            said = subprocess.run(asked, env=env, cwd=stage.ROOT, check=True, capture_output=True, text=True).stdout
            figures |= {f"{name}_{k}": v for k, v in json.loads(said).items()}
        figures["copy_per_s"], figures["copy_bytes"], _ = hammer(copy, "/", seconds, "")
        return figures


@contextmanager
def files(directory: Path, root: Path) -> Iterator[int]:
    """The port of an nginx that serves a folder."""
    if not Path(stage.NGINX).exists():
        raise FileNotFoundError("NOT RUN: nginx is not installed (apt-get install nginx-light)")
    port, config = stage.free_port(), directory / "files.conf"
    directory.chmod(0o755)
    config.write_text(
        f"daemon off; worker_processes 1; pid {directory}/files.pid; error_log {directory}/files.log;\nevents {{ worker_connections 512; }}\n"
        f"http {{ access_log off; keepalive_requests 1000000; sendfile on; types {{ text/html html; }} client_body_temp_path {directory}/fb; proxy_temp_path {directory}/fp;"
        f" fastcgi_temp_path {directory}/ff; uwsgi_temp_path {directory}/fu; scgi_temp_path {directory}/fs;\nserver {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    )
    process = subprocess.Popen(
        [stage.NGINX, "-c", str(config), "-p", str(directory)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def hammer(port: int, path: str, seconds: float, headers: str, readers: int = 6) -> tuple[int, int, str]:
    """(answers a second, bytes of one, its ETag) for some readers that ask again as soon as they were answered. RuntimeError for an error page."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{headers}\r\n".encode()
    counts, troubles = [0] * readers, list[str]()
    seen: list[int | str] = [0, ""]

    def read(n: int) -> None:
        line = socket.create_connection(("127.0.0.1", port), timeout=10)
        while time.monotonic() < until:
            line.sendall(request)
            got = b""
            while b"\r\n\r\n" not in got:
                part = line.recv(262144)
                if not part:
                    break
                got += part
            head, _, rest = got.partition(b"\r\n\r\n")
            if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 304")):
                troubles.append(head[:60].decode("latin-1"))
                break
            lines = (one.partition(":") for one in head.decode("latin-1").split("\r\n")[1:])
            fields = {k.lower(): v.strip() for k, _, v in lines}
            length, have = int(fields.get("content-length", 0)), len(rest)
            while have < length:
                have += len(line.recv(262144))
            counts[n] += 1
            seen[:] = [length, fields.get("etag", "")]
            if fields.get("connection", "").lower() == "close":  # waitress does so after every 304
                line.close()
                line = socket.create_connection(("127.0.0.1", port), timeout=10)
        line.close()

    until = time.monotonic() + seconds
    threads = [threading.Thread(target=read, args=(n,)) for n in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if troubles:
        raise RuntimeError(f"{path} answered {troubles[0]}")
    return round(sum(counts) / seconds), int(str(seen[0])), str(seen[1])


def _wait(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"nobody listens on port {port}")

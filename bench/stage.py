"""What does a measurement stand on? Real servers, a local nginx to be probed, our own processes, and their CPU time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.rig.certificates import Authority

ROOT = Path(__file__).resolve().parent.parent
NGINX = "/usr/sbin/nginx"


def free_port() -> int:
    """A port nobody has at this moment."""
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def nginx(directory: Path, workers: int = 1) -> Iterator[tuple[int, int, psutil.Process]]:
    """(http port, https port, process) of a local nginx that answers 200 with 2 bytes."""
    if not Path(NGINX).exists():
        raise FileNotFoundError("NOT RUN: nginx is not installed (apt-get install nginx-light)")
    http, https = free_port(), free_port()
    authority = Authority()
    certificate = authority.issue()
    # What our processes trust: the machine's own bundle (its size is part of the cost) and this authority.
    system = Path("/etc/ssl/certs/ca-certificates.crt")
    (directory / "trusted.pem").write_bytes(
        (system.read_bytes() if system.is_file() else b"") + authority.trust(directory).read_bytes()
    )
    (directory / "cert.pem").write_bytes(_bytes(certificate.chain))
    (directory / "key.pem").write_bytes(_bytes(certificate.key))
    config = directory / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes {workers}; pid {directory}/nginx.pid; error_log {directory}/error.log; worker_rlimit_nofile 20000;\n"
        f"events {{ worker_connections 8000; }}\nhttp {{ access_log off; keepalive_timeout 0; client_body_temp_path {directory}/b; proxy_temp_path {directory}/p;"
        f" fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;\n"
        f"server {{ listen 127.0.0.1:{http} backlog=4096; listen 127.0.0.1:{https} ssl backlog=4096; ssl_certificate {directory}/cert.pem; ssl_certificate_key {directory}/key.pem;"
        f" ssl_session_cache off; ssl_session_tickets off; location = /status {{ stub_status; }} location / {{ return 200 'ok'; }} }} }}\n"
    )
    process = subprocess.Popen(
        [NGINX, "-c", str(config), "-p", str(directory)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        time.sleep(0.7)
        yield http, https, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def ours(database_url: str, redis_url: str, directory: Path, **more: str) -> dict[str, str]:
    """The environment of our processes."""
    keys = {"SECRET_KEY": "bench-" + "x" * 50, "ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
    env = (
        kept
        | keys
        | {
            "DATA_DIR": str(directory),
            "OUTBOUND_ALLOW": "127.0.0.0/8",
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "LOG_LEVEL": "WARNING",
            "PYTHONPATH": str(ROOT),
            "SSL_CERT_FILE": str(directory / "trusted.pem"),
        }
    )
    if database_url:
        env["DATABASE_URL"] = database_url
    if redis_url:
        env["REDIS_URL"] = redis_url
    return env | more


@contextmanager
def process(*arguments: str, env: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    """One of our commands, ended afterwards with everything it started."""
    with log.open("ab") as file:
        child = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=env,
            cwd=ROOT,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield psutil.Process(child.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(5)


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """User and system time of living processes together (and of their ended children)."""
    total = 0.0
    for p in processes:
        with suppress(psutil.NoSuchProcess):
            t = p.cpu_times()
            total += t.user + t.system
    return total


def pss_megabytes(processes: list[psutil.Process]) -> float:
    """Proportional set size of processes together."""
    total = 0
    for p in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += p.memory_full_info().pss
    return total / 1e6


@contextmanager
def directory() -> Iterator[Path]:
    """A directory that goes away."""
    path = Path(tempfile.mkdtemp(prefix="watchkeeper-bench-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)

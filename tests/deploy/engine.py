"""A container engine for the compose page: types the page into a copy of the source, beside a proxy of its own.

Images come from where the engine gets them. Where no registry of images answers, Debian's packages make stand-ins for
those that are missing; they are removed at the end, so that nobody takes them for the real ones.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from tests.deploy import pages
from tests.deploy.machine import HOST, VISITOR, carried
from tests.deploy.pages import ROOT
from tests.rig.valkey import find_binary

PROJECT = "watchkeeper"  # as compose.yaml has it
POSTGRES_ENTRY = r"""#!/bin/sh
# What the image of PostgreSQL does at its first start, as far as compose.yaml counts on it.
set -e
mkdir -p /run/postgresql "$PGDATA" && chown postgres /run/postgresql "$PGDATA" && chmod 700 "$PGDATA"
as() { su postgres -c "PATH=$PATH; $1"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  (umask 077; printf %s "$POSTGRES_PASSWORD" > /tmp/word; chown postgres /tmp/word)
  as "initdb -D $PGDATA -A scram-sha-256 -U $POSTGRES_USER --pwfile=/tmp/word"
  rm /tmp/word
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  sed -i 's/^local.*/local all all trust/' "$PGDATA/pg_hba.conf"
  as "pg_ctl -D $PGDATA -w start -o \"-c listen_addresses=''\""
  as "createdb -h /run/postgresql -U $POSTGRES_USER $POSTGRES_DB"
  as "pg_ctl -D $PGDATA -w stop"
fi
as "exec postgres -D $PGDATA -c 'listen_addresses=*'"
"""
# What each is made of: packages, and what follows in its Dockerfile.
STAND_INS = {
    "python": (
        "python3,python3-pip",
        "RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED && ln -s /usr/bin/python3 /usr/local/bin/python",
    ),
    "postgres": (
        "postgresql-15",
        "ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data LC_ALL=C.UTF-8\n"
        'COPY entry.sh /entry.sh\nENTRYPOINT ["/bin/sh", "/entry.sh"]',
    ),
    "valkey/valkey": ("libssl3", "COPY valkey-server /usr/local/bin/"),
}


def docker(*words: str, within: float = 600) -> subprocess.CompletedProcess[str]:
    """The engine's answer, whatever it is."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=within, check=False)


def lacking() -> str:
    """What is missing to run containers here, or that it would be in somebody's way; else nothing."""
    if shutil.which("docker") is None or docker("info").returncode:
        return "there is no container engine here"
    if docker("compose", "version").returncode:
        return "docker has no compose plug-in here"
    if docker("volume", "ls", "-q", "--filter", f"name={PROJECT}").stdout or docker("images", "-q", PROJECT).stdout:
        return "this engine holds a portal already"
    with socket.socket() as port:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if port.connect_ex(("127.0.0.1", 8000)) == 0:
            return "port 8000 is taken"
    return ""


def images() -> list[str]:
    """The images that are not built here."""
    composed = [s["image"] for s in yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()]
    base = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.M)
    return sorted({*base, *composed} - {PROJECT})


@contextmanager
def with_images(place: Path) -> Iterator[list[str]]:
    """All of them are there; yields those that are stand-ins, and removes these at the end."""
    made: list[str] = []
    try:
        for image in images():
            if docker("image", "inspect", image).returncode and docker("pull", "-q", image).returncode:
                made.append(image)
                _stand_in(image, place / image.replace("/", "-").replace(":", "-"))
        yield made
    finally:
        docker("image", "rm", "-f", PROJECT, *made)


def _stand_in(image: str, folder: Path) -> None:
    packages, rest = STAND_INS[image.partition(":")[0]]
    folder.mkdir(parents=True)
    mirror = re.findall(r"^(?:URIs:|deb) *(\S+/debian)/?(?: |$)", _sources(), re.M)[0]
    subprocess.run(["mmdebstrap", "--quiet", "--variant=apt", f"--include={packages},ca-certificates", "bookworm", folder / "root.tar", f"deb {mirror} bookworm main"], check=True, capture_output=True, timeout=600)  # fmt: skip
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", folder)  # whom this machine believes, its mirrors too
    shutil.copy(find_binary(), folder / "valkey-server")
    (folder / "entry.sh").write_text(POSTGRES_ENTRY)
    (folder / "Dockerfile").write_text(
        f"FROM scratch\nADD root.tar /\nCOPY ca-certificates.crt /etc/ssl/certs/\n{rest}\n"
    )
    done = docker("build", "-q", "-t", image, str(folder))
    if done.returncode:
        raise RuntimeError(f"no stand-in for {image}: {done.stderr[-1000:]}")


def _sources() -> str:
    found = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    return "\n".join(path.read_text() for path in found if path.is_file())


# --- The proxy in front ----------------------------------------------------------------------------------------------------
@contextmanager
def proxy(place: Path) -> Iterator[tuple[int, Path]]:
    """deploy/nginx's file on a port of its own with a certificate of its own: the port and the certificate."""
    place.mkdir()
    key, cert = place / "privkey.pem", place / "fullchain.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", key, "-out", cert], check=True, capture_output=True)  # fmt: skip
    plain, tls = _free(), _free()
    ours = (ROOT / "deploy/nginx/watchkeeper.conf").read_text().replace(f"/etc/letsencrypt/live/{HOST}", str(place))
    ours = re.sub(r"^ *listen \[::\].*\n", "", ours, flags=re.M)
    for number, other in (("80", plain), ("443", tls)):
        ours = re.sub(rf"(listen ){number}\b", rf"\g<1>127.0.0.1:{other}", ours)
    conf = place / "nginx.conf"
    conf.write_text(
        f"daemon off; pid {place}/pid; error_log {place}/error.log; events {{}} http {{ access_log off; {ours} }}"
    )
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    child = subprocess.Popen([program, "-c", conf, "-p", place], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield tls, cert
    finally:
        child.send_signal(signal.SIGQUIT)
        child.wait(60)


def _free() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# --- The page, typed -----------------------------------------------------------------------------------------------------
def install(source: Path, place: Path, tls: int, cert: Path) -> dict[str, Any]:
    """Type the page's blocks, one after another, until one fails; then visit as its owner, and kill a part."""
    (place / ".curlrc").write_text(f'connect-to = "{HOST}:443:127.0.0.1:{tls}"\ncacert = "{cert}"\n')
    carry, story = place / "typed", []
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(Path.home()), "CURL_HOME": str(place)}  # fmt: skip
    try:
        for block in pages.blocks("install-compose"):
            if "curl" in block:
                until_ready()
            script = carried(block, f". {carry}" if carry.exists() else "").replace("/run/typed", str(carry))
            began = time.monotonic()
            done = subprocess.run(["bash", "-s"], input=script, capture_output=True, text=True, cwd=source, env=environment, timeout=1800, check=False)  # fmt: skip
            story.append({"typed": block.strip(), "code": done.returncode, "said": (done.stdout + done.stderr)[-3000:], "seconds": round(time.monotonic() - began)})  # fmt: skip
            if done.returncode:
                return {"story": story, "logs": _compose(source, "logs", "--tail", "30")}
        until_ready()
        return {"story": story, "seen": _visit(source, tls, cert), "killed": _kill(source), "logs": _compose(source, "logs", "--tail", "30"), "backups": [p.name for p in (source / "backups").glob("*")], "secrets": {part: "action_signing_key" in _compose(source, "exec", "-T", part, "ls", "/run/secrets") for part in ("web", "probe", "page", "beat")}}  # fmt: skip
    finally:
        _compose(source, "down", "--volumes", "--timeout", "20")


def until_ready(within: float = 240) -> None:
    """Typing takes a person longer than the parts take to start."""
    until = time.monotonic() + within
    asked = urllib.request.Request("http://127.0.0.1:8000/readyz", headers={"Host": HOST, "X-Forwarded-Proto": "https"})
    while time.monotonic() < until:
        with suppress(OSError), urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=30):
            return
        time.sleep(1)


def _compose(source: Path, *words: str) -> str:
    done = subprocess.run(["docker", "compose", *words], cwd=source, capture_output=True, text=True, timeout=600, check=False)  # fmt: skip
    return (done.stdout + done.stderr)[-6000:]


def _visit(source: Path, tls: int, cert: Path) -> dict[str, Any] | str:
    """What its owner sees through the proxy."""
    there = f"import socket\nlook = socket.getaddrinfo\nsocket.getaddrinfo = lambda host, port, *a, **k: look('127.0.0.1', {tls} if port == 443 else port, *a, **k)\n"
    plain = re.search(r"127\.0\.0\.1:(\d+) default_server;", (cert.parent / "nginx.conf").read_text())[1]  # type: ignore[index]
    there = there.replace("else port", f"else {plain} if port == 80 else port")
    password = (source / "first-password").read_text().strip()
    said = subprocess.run([sys.executable, "-c", there + VISITOR, f"https://{HOST}", f"owner@{HOST}", password], capture_output=True, text=True, env={"SSL_CERT_FILE": str(cert), "PATH": ""}, timeout=300, check=False)  # fmt: skip
    return json.loads(said.stdout) if said.returncode == 0 else said.stderr[-3000:]


def _kill(source: Path) -> bool:
    """Does a part that dies come back by itself?"""
    name = f"{PROJECT}-page-1"
    before = docker("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
    subprocess.run(["kill", "-9", before], check=True)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        now = docker("inspect", "-f", "{{.State.Running}} {{.State.Pid}}", name).stdout.split()
        if now[:1] == ["true"] and now[1] not in ("0", before):
            return True
        time.sleep(0.5)
    return False

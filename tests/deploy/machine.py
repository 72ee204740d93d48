"""A throw-away Debian machine: this one's files under an overlay, processes and a network of its own; a page is typed into it.

`python -m tests.deploy.machine PAGE ARCHIVE` as root, by `unshare --mount --pid --mount-proc --fork --kill-child`. Prints a JSON object:
what was typed, what it answered, and what a visitor saw. Whatever is done there is gone with the process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.deploy import pages

HERE = Path(__file__).parent
NEEDS_THE_NET = ("apt-get", "pip install")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOST = "portal.example"  # as the page has it
# Where a public certificate authority would come in: a certificate that this machine believes.
CERTBOT = """#!/bin/sh
set -e
mkdir -p /etc/letsencrypt/live/$NAME
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$NAME" -addext "subjectAltName=DNS:$NAME" \
  -keyout /etc/letsencrypt/live/$NAME/privkey.pem -out /etc/letsencrypt/live/$NAME/fullchain.pem 2>/dev/null
cp /etc/letsencrypt/live/$NAME/fullchain.pem /usr/local/share/ca-certificates/made-here.crt
update-ca-certificates >/dev/null
"""
VISITOR = """
import http.cookiejar, json, re, ssl, sys, urllib.error, urllib.parse, urllib.request
base, email, password = sys.argv[1:]
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_): return None
jar = http.cookiejar.CookieJar()
opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar), Stay())
def ask(url, data=None, **headers):
    try: answer = opener.open(urllib.request.Request(url, data, headers), timeout=60)
    except urllib.error.HTTPError as error: answer = error
    return answer.status, dict(answer.headers), answer.read().decode("utf-8", "replace")
seen = {"healthz": ask(f"{base}/healthz")[0], "readyz": ask(f"{base}/readyz")[0], "plain": ask(base.replace("https", "http") + "/login/")[1].get("Location")}
status, headers, page = ask(f"{base}/login/")
seen["hsts"] = headers.get("Strict-Transport-Security", "")
token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page)[1]
said = urllib.parse.urlencode({"login": email, "password": password, "csrfmiddlewaretoken": token}).encode()
seen["elsewhere"] = ask(f"{base}/login/", said, Origin="https://evil.example")[0]
seen["sign_in"] = ask(f"{base}/login/", said, Origin=base, Referer=f"{base}/login/")[0]
seen["secure"] = {c.name: c.secure for c in jar if c.name in ("sessionid", "csrftoken")}
status, _, page = ask(f"{base}/monitors/")
seen["monitors"] = [status, "Monitors" in page]
seen["other_host"] = ask(f"{base}/login/", Host="evil.example")[0]
print(json.dumps(seen))
"""


class Machine:
    """The machine, from inside the new namespaces."""

    def __init__(self, archive: Path) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="watchkeeper-machine-"))
        run("mount", "-t", "tmpfs", "-o", "size=8g", "machine", self.place)
        self.root = self.place / "root"
        for name in ("root", "upper", "work"):
            (self.place / name).mkdir()
        run("mount", "-t", "overlay", "-o", f"lowerdir=/,upperdir={self.place}/upper,workdir={self.place}/work", "overlay", self.root)  # fmt: skip
        run("mount", "-t", "proc", "proc", self.root / "proc")
        for name in ("dev", "sys"):
            run("mount", "--rbind", f"/{name}", self.root / name)
        for name, mode in (("run", "755"), ("tmp", "1777")):
            run("mount", "-t", "tmpfs", "-o", f"mode={mode}", name, self.root / name)
        (self.root / "run" / "lock").mkdir()
        self._file("usr/local/bin/systemctl", (HERE / "systemctl").read_text(), 0o755)
        self._file("usr/local/bin/certbot", CERTBOT, 0o755)
        self._file("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)  # packages start nothing by themselves here
        with (self.root / "etc/hosts").open("a") as hosts:
            hosts.write(f"\n127.0.0.1 {HOST}\n")
        for old in ("etc/watchkeeper.env", "opt/watchkeeper"):  # whatever this machine has of ours
            path = self.root / old
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.copy(archive, self.root / "usr/local/src/watchkeeper.tar.gz")
        self.net = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep infinity"])
        time.sleep(1)
        self.environment = {
            "PATH": PATH,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            "TERM": "dumb",
        }
        self.environment |= {
            n: v for n, v in os.environ.items() if n.startswith("PIP_") or n.lower().endswith("_proxy")
        }

    def _file(self, name: str, text: str, mode: int) -> None:
        path = self.root / name
        path.write_text(text)
        path.chmod(mode)

    def typed(
        self, words: list[str], *, outside: bool, text: str | None = None, within: float
    ) -> subprocess.CompletedProcess[str]:
        """Run in the machine: by this machine's network, or by its own."""
        own = [] if outside else ["nsenter", f"--net=/proc/{self.net.pid}/ns/net"]
        return subprocess.run([*own, "chroot", self.root, *words], input=text, capture_output=True, text=True, env=self.environment, timeout=within)  # fmt: skip

    def started(self, answers: list[str]) -> None:
        """The packages are there: what they bring runs from now on, as it would have by itself."""
        (self.root / "run/machine-is-up").touch()
        done = self.typed(["systemctl", "start", *answers], outside=False, within=120)
        if done.returncode:
            raise RuntimeError(f"{answers} do not start: {done.stderr}{logs(self)}")


def run(*words: Any) -> None:
    """A command that has to work."""
    subprocess.run([str(w) for w in words], check=True)


def carried(block: str, after: str) -> str:
    """A shell script of one block that goes on where the last one stopped: its variables, its directory, its umask."""
    return f'set -e\n{after}\n{block}\n{{ export -p; echo cd "$PWD"; echo umask $(umask); }} > /run/typed\n'


def install(page: str, archive: Path) -> dict[str, Any]:
    """Type the page's blocks, one after another; stop at the first that fails."""
    machine, story = Machine(archive), []
    for block in pages.blocks(page):
        outside = any(word in block for word in NEEDS_THE_NET)
        if "curl" in block and "apt-get" not in block:
            until_up(machine)
        typed = machine.root / "run/typed"
        after, began = (". /run/typed" if typed.exists() else ""), time.monotonic()
        done = machine.typed(["bash", "-s"], outside=outside, text=carried(block, after), within=1500)
        story.append({"typed": block.strip(), "code": done.returncode, "said": (done.stdout + done.stderr)[-3000:], "seconds": round(time.monotonic() - began)})  # fmt: skip
        print(
            f"{story[-1]['seconds']:4} s  {done.returncode}  {block.strip().splitlines()[0]}",
            file=sys.stderr,
            flush=True,
        )
        if done.returncode:
            return {"story": story, "logs": logs(machine)}
        if "apt-get install" in block:
            machine.started(["postgresql", "redis-server", "nginx"])
    password = (machine.root / "etc/watchkeeper.first-password").read_text().strip()
    seen = machine.typed(
        ["python3", "-", f"https://{HOST}", f"owner@{HOST}", password], outside=False, text=VISITOR, within=300
    )
    backups = [str(p.relative_to(machine.root)) for p in (machine.root / "var/lib/watchkeeper/backups").glob("*")]
    users = {line.split()[0] for line in machine.typed(["ps", "-eo", "user:20,args"], outside=True, within=60).stdout.splitlines() if "manage.py up" in line or "portal.wsgi" in line}  # fmt: skip
    return {"story": story, "seen": json.loads(seen.stdout) if seen.returncode == 0 else seen.stderr[-3000:], "backups": backups, "users": sorted(users), "logs": logs(machine)}  # fmt: skip


def until_up(machine: Machine) -> None:
    """Typing takes a person longer than the parts take to start."""
    look = [
        "curl",
        "--silent",
        "--fail",
        "--output",
        "/dev/null",
        "--header",
        f"Host: {HOST}",
        "http://127.0.0.1:8000/readyz",
    ]
    until = time.monotonic() + 240
    while time.monotonic() < until and machine.typed(look, outside=False, within=60).returncode:
        time.sleep(1)


def logs(machine: Machine) -> dict[str, str]:
    """What the services said last."""
    return {p.name: p.read_text(errors="replace")[-1500:] for p in (machine.root / "run/units").glob("*.log")}


if __name__ == "__main__":
    print(json.dumps(install(sys.argv[1], Path(sys.argv[2]))))

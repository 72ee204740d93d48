"""Are the install pages true? Each day what they name is looked for; INSTALL=whole (`make soak`) types the Debian page into a
throw-away machine and the compose page into this machine's engine: the proxy in front, a person who signs in.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from portal import environment
from portal.management.commands.up import Command as Up
from tests.deploy import engine, pages
from tests.deploy.pages import ROOT

pytestmark = pytest.mark.once
UNITS = [u for kind in ("service", "timer") for u in sorted((ROOT / "deploy").glob(f"*/*.{kind}"))]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
OURS = ("web", "probe", "page", "beat")


# --- What the pages name is there ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("page", ["install-debian", "install-compose", "backup", "upgrade"])
def test_every_file_that_a_page_names_is_in_the_source(page):
    assert [name for name in pages.files(page) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", ["install-debian", "install-compose", "backup"])
def test_every_block_is_a_shells_and_every_command_of_ours_has_these_options(page):
    for block in pages.blocks(page):
        assert subprocess.run(["bash", "-n"], input=block, text=True, check=False).returncode == 0, block
    from django.core.management import get_commands, load_command_class

    said = "\n".join(pages.blocks(page))
    known = get_commands()
    found = re.findall(r"(?:watchkeeper-manage|manage\.py|run --rm(?: -v \S+)? web) ([a-z_]+)((?: --[\w-]+)*)", said)
    assert found
    for name, options in found:
        parser = load_command_class(known[name], name).create_parser("manage.py", name)
        assert set(options.split()) <= set(parser._option_string_actions), name


def test_every_setting_that_the_pages_make_is_one_that_the_portal_reads():
    known = pages.known_settings() | {"POSTGRES_PASSWORD"}
    debian = pages.settings_in("\n".join(pages.blocks("install-debian")))
    example = pages.settings_in((ROOT / ".env.example").read_text())
    compose = {name for service in OURS for name in COMPOSE["services"][service]["environment"]}
    typed = set(re.findall(r"\^([A-Z_]+)=", "\n".join(pages.blocks("install-compose"))))
    assert {"BASE_URL", "SECRET_KEY", "DATABASE_URL"} <= debian and typed <= example
    for found in (debian, example, compose):
        assert {name.removesuffix("_FILE") for name in found} - known == set()


def test_the_settings_of_the_debian_page_are_ones_that_the_portal_understands(tmp_path):
    """Its own lines, read as systemd and as the shell read them; the same both times, and no mistake."""
    block = next(b for b in pages.blocks("install-debian") if "SECRET_KEY" in b)
    file = tmp_path / "watchkeeper.env"
    script = f"export NAME=portal.example DATABASE_PASSWORD=abc\n{block.replace('/etc/watchkeeper.env', str(file))}"
    subprocess.run(["bash", "-ec", script], check=True)
    lines = dict(line.partition("=")[::2] for line in file.read_text().splitlines())
    as_systemd = {name: "".join(shlex.split(value)) for name, value in lines.items()}
    sourced = subprocess.run(["sh", "-ec", f"set -a; . {file}; env"], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}).stdout  # fmt: skip
    assert {line for line in sourced.splitlines() if line.partition("=")[0] in lines} == {f"{n}={v}" for n, v in as_systemd.items()}  # fmt: skip
    assert file.stat().st_mode & 0o777 == 0o600
    code = "import json; from portal import settings, environment; from cryptography.fernet import Fernet; Fernet(settings.ENCRYPTION_KEYS[0]); print(json.dumps([environment.mistakes, settings.HTTPS, settings.ONE_MACHINE]))"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data"), **as_systemd}, capture_output=True, text=True, check=True)  # fmt: skip
    assert json.loads(said.stdout) == [[], True, False]


# --- Units, proxy, image --------------------------------------------------------------------------------------------------------
def test_systemd_understands_every_unit(tmp_path):
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("NOT RUN: systemd-analyze is not installed")
    for unit in UNITS:
        text = unit.read_text().replace("/opt/watchkeeper/.venv/bin/python", "/bin/true").replace("/usr/local/bin/watchkeeper-probe", "/bin/true")  # fmt: skip
        (tmp_path / unit.name).write_text(text)
    names = [unit.name.replace("@.", "@1.") for unit in UNITS]
    said = subprocess.run([program, "verify", "--man=no", *names], cwd=tmp_path, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}, capture_output=True, text=True, timeout=120)  # fmt: skip
    ours = [line for line in said.stderr.splitlines() if "watchkeeper" in line]
    assert ours == [] and said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    "unit", [u for u in UNITS if u.suffix == ".service" and "probe.service" not in u.name], ids=lambda u: u.name
)
def test_every_unit_runs_a_command_that_there_is(unit):
    words = re.search(r"manage\.py (.+?)'?$", re.search(r"^ExecStart=(.+)$", unit.read_text(), re.M)[1])[1].split()
    if words[0] == "up":
        assert Up().create_parser("manage.py", "up").parse_args(words[1:])
    else:
        assert (ROOT / "portal" / "management" / "commands" / f"{words[0]}.py").exists()


def test_nginx_understands_its_file(tmp_path):
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("NOT RUN: nginx is not installed")
    key, cert = tmp_path / "privkey.pem", tmp_path / "fullchain.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=portal.example", "-keyout", key, "-out", cert], check=True, capture_output=True)  # fmt: skip
    ours = (ROOT / "deploy/nginx/watchkeeper.conf").read_text().replace("/etc/letsencrypt/live/portal.example", str(tmp_path)).replace("[::]:", "127.0.0.2:")  # fmt: skip
    for number, other in (("80", "18080"), ("443", "18443")):  # only the file is judged here
        ours = re.sub(rf"(listen (?:127\.0\.0\.2:)?){number}\b", rf"\g<1>{other}", ours)
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {ours} }}")
    said = subprocess.run([program, "-t", "-c", whole, "-p", tmp_path], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr


def test_the_image_copies_what_there_is_and_leaves_secrets_out():
    text = (ROOT / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--)(\S+) \S+$", text, re.M):
        assert (ROOT / line).exists(), line
    left_out = (ROOT / ".dockerignore").read_text().split()
    assert {".env", "data", "secrets", ".git"} <= set(left_out)
    user = re.search(r"useradd .*--uid (\d+)", text)[1]
    assert f"chown {user} secrets" in "".join(pages.blocks("install-compose"))


# --- The compose file -------------------------------------------------------------------------------------------------------------
KEYS = {"build", "image", "restart", "stop_grace_period", "env_file", "environment", "volumes", "depends_on", "command", "ports", "healthcheck", "sysctls", "secrets", "user"}  # fmt: skip


def test_the_compose_file_says_only_what_compose_knows_and_names_what_it_defines():
    assert set(COMPOSE) <= {"name", "services", "volumes", "secrets", "networks"} | {
        k for k in COMPOSE if k.startswith("x-")
    }
    for name, service in COMPOSE["services"].items():
        assert set(service) <= KEYS, name
        assert {v.partition(":")[0] for v in service.get("volumes", [])} <= set(COMPOSE["volumes"])
        assert set(service.get("depends_on", {})) <= set(COMPOSE["services"])
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        waits = {c["condition"] for c in service.get("depends_on", {}).values()}
        assert waits <= {"service_healthy", "service_started"}
    assert "healthcheck" in COMPOSE["services"]["postgres"], "somebody waits for its health"
    assert COMPOSE["services"]["web"]["ports"] == ["127.0.0.1:8000:8000"]


@pytest.mark.parametrize("part", OURS)
def test_every_part_of_the_compose_file_is_one_that_up_knows(part):
    words = COMPOSE["services"][part]["command"]
    assert (
        words[0] == "up" and Up().create_parser("manage.py", "up").parse_args([str(w) for w in words[1:]]).only == part
    )


def test_the_lines_of_the_compose_page_fill_in_the_example(tmp_path):
    shutil.copy(ROOT / ".env.example", tmp_path)
    subprocess.run(["bash", "-ec", pages.blocks("install-compose")[0]], cwd=tmp_path, check=True)
    found = dict(line.partition("=")[::2] for line in (tmp_path / ".env").read_text().splitlines() if line and line[0] != "#")  # fmt: skip
    assert found["BASE_URL"] == "https://portal.example" and found["TRUSTED_PROXIES"]
    assert all(len(found[name]) > 40 for name in ("SECRET_KEY", "ENCRYPTION_KEYS", "POSTGRES_PASSWORD"))
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600 and environment.fernet_key()


def test_caddy_understands_its_file(tmp_path):
    program = shutil.which("caddy")
    if program is None:
        pytest.skip("NOT RUN: caddy is not installed")
    page = (ROOT / "docs" / "install-compose.md").read_text()
    (tmp_path / "Caddyfile").write_text(page.partition("```caddyfile\n")[2].partition("```")[0])
    said = subprocess.run([program, "validate", "--config", "Caddyfile", "--adapter", "caddyfile"], cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60)  # fmt: skip
    assert said.returncode == 0, said.stderr


# --- The Debian page, typed -------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(os.environ.get("INSTALL") != "whole", reason="NOT RUN: some minutes long; INSTALL=whole runs it")
def test_the_debian_page_works_as_written(tmp_path: Path) -> None:
    if os.geteuid() != 0 or "Debian" not in Path("/etc/os-release").read_text():
        pytest.skip("NOT RUN: needs root on a Debian machine")
    archive = tmp_path / "watchkeeper.tar.gz"
    left_out = [
        f"--exclude=./{name}" for name in (".venv", ".git", "data", "tests", ".env", ".hypothesis", ".mypy_cache")
    ]
    subprocess.run(["tar", *left_out, "--exclude=__pycache__", "-czf", archive, "."], cwd=ROOT, check=True)
    alone = ["unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
    done = subprocess.run([*alone, sys.executable, "-m", "tests.deploy.machine", "install-debian", archive], cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=3600)  # fmt: skip
    if done.returncode and "Operation not permitted" in done.stderr:
        pytest.skip("NOT RUN: no namespaces here")
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout)
    last = told["story"][-1]
    if last["code"] and "apt-get" in last["typed"] and "Unable to fetch" in last["said"]:
        pytest.skip("NOT RUN: the packages' mirror does not answer")
    assert last["code"] == 0, (last, told["logs"])
    assert len(told["story"]) == len(pages.blocks("install-debian"))
    seen = told["seen"]
    assert seen["healthz"] == seen["readyz"] == 200 and seen["sign_in"] == 302 and seen["monitors"] == [200, True]
    assert seen["elsewhere"] == 403 and seen["other_host"] == 400 and seen["plain"] == "https://portal.example/login/"
    assert seen["secure"] == {"sessionid": True, "csrftoken": True} and "max-age" in seen["hsts"]
    assert told["users"] == ["watchkeeper", "watchkeeper-web"] and len(told["backups"]) == 1


# --- The compose page, typed --------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(os.environ.get("INSTALL") != "whole", reason="NOT RUN: some minutes long; INSTALL=whole runs it")
def test_the_compose_page_works_as_written(tmp_path: Path) -> None:
    """On this machine's engine, which must not hold a portal already; nothing of it is left."""
    if lacking := engine.lacking():
        pytest.skip(f"NOT RUN: {lacking}")
    if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("NOT RUN: nginx is not installed")
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".venv", ".git", "data", ".env", ".*_cache", ".hypothesis", "__pycache__"))  # fmt: skip
    with engine.with_images(tmp_path / "images") as made, engine.proxy(tmp_path / "proxy") as (port, cert):
        print("stand-ins:", *made)
        told = engine.install(source, tmp_path, port, cert)
    assert told["story"][-1]["code"] == 0, (told["story"][-1], told["logs"])
    assert len(told["story"]) == len(pages.blocks("install-compose"))
    seen = told["seen"]
    assert seen["healthz"] == seen["readyz"] == 200 and seen["sign_in"] == 302 and seen["monitors"] == [200, True], told
    assert seen["elsewhere"] == 403 and seen["other_host"] == 400 and seen["plain"] == "https://portal.example/login/"
    assert seen["secure"] == {"sessionid": True, "csrftoken": True} and "max-age" in seen["hsts"]
    assert told["killed"], "a part that was killed came back"
    assert len(told["backups"]) == 1 and "DENIED" not in told["logs"] and "Traceback" not in told["logs"]
    assert told["secrets"] == {"web": False, "probe": False, "page": True, "beat": False}

"""How does the program get onto a machine? By pip with what a probe needs and no more, or as one file beside a bare Python.

Installing takes most of a minute and a package index: INSTALL=1 (`make soak`) does it, INSTALL=whole the portal's extra as
well. What the lists of dependencies say is looked at each time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.make_probe import needed

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("portal", "alerts", "monitors", "incidents", "statuspages", "playbooks", "console")
SERVER_ONLY = {
    "django",
    "celery",
    "djangorestframework",
    "gunicorn",
    "waitress",
    "redis",
    "psycopg",
    "apprise",
    "twilio",
}

TAKEN_IF_THERE = {"idna", "setuptools"}  # libraries that others load when they find them, and do without

pytestmark = pytest.mark.once
asked_for = pytest.mark.skipif(
    not os.environ.get("INSTALL"), reason="NOT RUN: installs for most of a minute; INSTALL=1 (make soak) runs it"
)


def run(*words: object, within: float = 120, **more: object) -> subprocess.CompletedProcess[str]:
    """A command with its output; it has an end."""
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=within, **more)  # type: ignore[call-overload]


def bare(home: Path) -> dict[str, str]:
    """The environment of a machine that knows nothing of us: a Python on the path, and nothing else."""
    return {"PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8"}


def installed(python: Path) -> set[str]:
    """What pip finds in an environment, by normal name."""
    said = run(python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check")
    return {row["name"].lower() for row in json.loads(said.stdout)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source by itself: building leaves things lying about."""
    place = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, place / name)
    return place


@pytest.fixture(scope="module")
def fresh(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh virtual environment after `pip install .`."""
    place = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    tried = run(place / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "0", source)  # fmt: skip
    if tried.returncode and "No matching distribution" in tried.stderr:
        pytest.skip("NOT RUN: no package index answers")
    assert tried.returncode == 0, tried.stderr
    yield place
    shutil.rmtree(place, ignore_errors=True)


def test_the_base_dependencies_hold_whatever_the_program_loads():
    """A library that only the portal's extra brings would be missed on the probe's machine."""
    code = (
        "import sys, json, monitors.probe.main\n"
        "from importlib.metadata import packages_distributions\n"
        "tops = {n.split('.')[0] for n, m in sys.modules.items() if 'site-packages' in (getattr(m, '__file__', None) or '')}\n"
        "known = packages_distributions()\n"
        "print(json.dumps(sorted({d.lower().replace('_', '-') for t in tops for d in known.get(t, ())})))"
    )
    said = run(sys.executable, "-c", code, cwd=ROOT)
    assert said.returncode == 0, said.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    loaded = set(json.loads(said.stdout))
    assert {"pycurl", "pydantic"} <= loaded and loaded - TAKEN_IF_THERE <= needed(list(project["dependencies"]))


def test_the_extra_names_the_server():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=\[]", line)[0].lower() for line in project["optional-dependencies"]["portal"]}
    assert names >= SERVER_ONLY and project["scripts"] == {"watchkeeper-probe": "monitors.probe.main:main"}


@asked_for
def test_pip_brings_the_probe_with_its_base_dependencies_alone(fresh: Path, tmp_path: Path):
    have = installed(fresh / "bin" / "python")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {d.partition(">")[0].lower() for d in project["dependencies"]}
    assert base <= have and not have & SERVER_ONLY
    said = run(fresh / "bin" / "watchkeeper-probe", "--data-dir", tmp_path, "status", env=bare(tmp_path), cwd=tmp_path)
    assert said.returncode == 1 and "enroll URL TOKEN" in said.stderr, said.stderr


@pytest.mark.skipif(os.environ.get("INSTALL") != "whole", reason="NOT RUN: a minute long; INSTALL=whole runs it")
def test_pip_brings_the_server_with_the_extra(fresh: Path, source: Path):
    tried = run(fresh / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", f"{source}[portal]", within=400)  # fmt: skip
    assert tried.returncode == 0, tried.stderr
    assert installed(fresh / "bin" / "python") >= SERVER_ONLY
    loads = run(fresh / "bin" / "python", "-c", "import django, celery, rest_framework, portal.settings", cwd=fresh, env=bare(fresh) | {"DATA_DIR": str(fresh / "data")})  # fmt: skip
    assert loads.returncode == 0, loads.stderr


@asked_for
def test_one_file_runs_beside_a_bare_python(tmp_path: Path):
    """`make probe` in a copy, so that what somebody built stays; then nothing of ours but the file is in reach."""
    place = tmp_path / "checkout"
    place.mkdir()
    for name in (*PACKAGES, "deploy", "requirements"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    built = run(sys.executable, "deploy/make_probe.py", cwd=place)
    if built.returncode and "No matching distribution" in built.stderr:
        pytest.skip("NOT RUN: no package index answers")
    assert built.returncode == 0, built.stderr
    machine = tmp_path / "machine"
    machine.mkdir()
    program = shutil.copy(place / "build" / "watchkeeper-probe", machine)
    shutil.rmtree(place)
    python = bare(machine) | {
        "PYTHON": str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"), "WATCHKEEPER_PROBE_HOME": str(machine / "unpacked"),
    }  # fmt: skip
    version = run(program, "--version", env=python, cwd=machine)
    assert version.returncode == 0 and version.stdout.startswith("watchkeeper-probe 0."), version.stderr
    said = run(program, "--data-dir", machine / "d", "status", env=python, cwd=machine)
    assert said.returncode == 1 and "enroll URL TOKEN" in said.stderr, said.stderr
    assert {p.name for p in machine.iterdir()} == {"watchkeeper-probe", "unpacked", "d"}
    refused = run(program, "--data-dir", machine / "d", "enroll", "http://portal.example", f"wkp_{'x' * 43}_{'0' * 16}", env=python, cwd=machine)  # fmt: skip
    assert refused.returncode == 1 and "https://" in refused.stderr

"""Where does the key that orders probes about lie, and who is warned when it lies where pages are served?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from playbooks import signing
from tests import environment

pytestmark = pytest.mark.once
ROOT = Path(settings.BASE_DIR)
UNITS = ROOT / "deploy/systemd"


@pytest.fixture
def several(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """An installation of several processes, of which this one has no key."""
    settings.ONE_MACHINE, settings.DATA_DIR = False, tmp_path
    settings.ACTION_SIGNING_KEY, settings.ACTION_PUBLIC_KEY = "", ""
    monkeypatch.delenv(signing.NAME, raising=False)
    return settings


# --- Making the pair ------------------------------------------------------------------------------------------------------
def test_one_command_makes_the_pair_and_shows_only_the_public_half(tmp_path: Path, capsys: Any, settings: Any) -> None:
    file = tmp_path / "action_signing_key"
    assert signing.main([str(file)]) == 0
    said = capsys.readouterr().out.strip()
    key = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600 and key not in said
    settings.ACTION_SIGNING_KEY, settings.ACTION_PUBLIC_KEY = key, said.removeprefix("ACTION_PUBLIC_KEY=")
    assert signing.keys_can_be_used() == [] and signing.public_key() == settings.ACTION_PUBLIC_KEY


def test_asked_again_it_keeps_the_key_and_names_its_public_half(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "action_signing_key"
    signing.main([str(file)])
    first, key = capsys.readouterr().out, file.read_text()
    assert signing.main([str(file)]) == 0
    assert (capsys.readouterr().out, file.read_text()) == (first, key)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "Usage"),
        (["--help"], 2, "Usage"),
        (["{here}/nowhere/key"], 1, "No such file"),
        (["{here}/diary"], 1, "holds no key"),
    ],
)
def test_what_it_cannot_do_it_says(words: list[str], code: int, said: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "diary").write_text("Dear diary,\n")
    assert signing.main([word.format(here=tmp_path) for word in words]) == code
    assert said in capsys.readouterr().err and (tmp_path / "diary").read_text() == "Dear diary,\n"


# --- check --deploy ---------------------------------------------------------------------------------------------------------
def test_on_one_machine_the_key_lies_in_the_data_directory_and_that_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.NAME, settings.ACTION_SIGNING_KEY)
    assert settings.ONE_MACHINE and signing.apart_from_the_web() == []


def test_a_key_in_a_file_of_the_page_workers_is_well(several: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    several.ACTION_SIGNING_KEY = "A" * 43 + "="
    monkeypatch.setenv(f"{signing.NAME}_FILE", "/run/secrets/action_signing_key")
    assert signing.apart_from_the_web() == []


def test_a_key_that_a_data_directory_still_holds_is_named(several: Any) -> None:
    left = several.DATA_DIR / "action_signing_key"
    signing.made(left)
    (warning,) = signing.apart_from_the_web()
    assert warning.id == "playbooks.W002" and str(left) in warning.msg and "Move it away" in warning.hint


def test_check_deploy_warns_of_a_key_that_every_process_reads(tmp_path: Path) -> None:
    """As an administrator runs it, with the environment that web, probe, page and beat share."""
    public = signing.made(tmp_path / "key")
    shared = {"REDIS_URL": "redis://127.0.0.1:9/0", "DATABASE_URL": f"sqlite://{tmp_path}/x", "DATA_DIR": str(tmp_path)}
    key = {signing.NAME: (tmp_path / "key").read_text().strip()}
    said = {}
    for name, more in (("in all", key), ("in a file", {signing.NAME: "", f"{signing.NAME}_FILE": str(tmp_path / "key")})):  # fmt: skip
        words = [sys.executable, "manage.py", "check", "--deploy", "--tag", "security"]
        done = subprocess.run(words, env=environment.for_programs(**shared, **more), cwd=ROOT, capture_output=True, text=True, timeout=180)  # fmt: skip
        assert done.returncode == 0, done.stderr
        said[name] = done.stderr
    assert "playbooks.W001" in said["in all"] and f"ACTION_PUBLIC_KEY={public}" in said["in all"]
    assert key[signing.NAME] not in said["in all"] and "playbooks.W" not in said["in a file"]


# --- What is shipped --------------------------------------------------------------------------------------------------------
def test_compose_gives_the_key_to_the_page_workers_alone() -> None:
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    having = {name for name, service in composed["services"].items() if service.get("secrets")}
    named = {name for name, service in composed["services"].items() if signing.NAME in str(service.get("environment"))}
    assert having == named == {"page"}
    page = composed["services"]["page"]
    (secret,) = page["secrets"]
    assert page["environment"][f"{signing.NAME}_FILE"] == f"/run/secrets/{secret}"
    place = Path(composed["secrets"][secret]["file"])
    # Neither the image, which the web runs too, nor the repository takes it in.
    for ignoring in (".dockerignore", ".gitignore"):
        assert place.parts[0] in {line.strip("/") for line in (ROOT / ignoring).read_text().splitlines()}


def test_what_every_process_reads_names_the_public_half_only() -> None:
    text = (ROOT / ".env.example").read_text()
    assert "\nACTION_PUBLIC_KEY=" in text and f"{signing.NAME}=" not in text


def test_the_units_give_the_key_to_the_page_workers_alone_and_the_web_is_another_user() -> None:
    web, page = ((UNITS / name).read_text() for name in ("watchkeeper-web.service", "watchkeeper-page@.service"))
    users = [line for text in (web, page) for line in text.splitlines() if line.startswith("User=")]
    assert users == ["User=watchkeeper-web", "User=watchkeeper"]
    files = [
        path.relative_to(UNITS) for path in UNITS.rglob("*") if path.is_file() and f"{signing.NAME}" in _settings(path)
    ]
    assert files == [Path("watchkeeper-page@.service.d/action-key.conf")]
    assert "LoadCredential=action_signing_key:/" in _settings(UNITS / files[0])


def _settings(path: Path) -> str:
    return "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))


def test_every_command_that_the_documents_name_makes_the_pair() -> None:
    for place in ("compose.yaml", "deploy/systemd/watchkeeper-page@.service.d/action-key.conf", "docs/actions.md"):
        text = (ROOT / place).read_text()
        assert "-m playbooks.signing /" in text and "openssl" not in text, place
    assert os.access(ROOT / "playbooks/signing.py", os.R_OK)

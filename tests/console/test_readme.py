"""Is what we tell people true? Commands, variables, apps, signals and links of README, units and compose file exist."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.dispatch import Signal

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
READ = re.compile(r'env\.(?:text|integer|choice|networks|addresses|file|generated|database)\("([A-Z_]+)"')
APPS = ("console", "statuspages", "playbooks", "incidents", "monitors", "alerts", "portal")


def section(title: str) -> str:
    return README.partition(f"## {title}\n")[2].partition("\n## ")[0]


def parsed(words: list[str]) -> dict[str, object]:
    """What `manage.py <words>` understands; SystemExit when it does not."""
    name, *rest = words
    return vars(load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(rest))


def test_every_make_target_it_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|^)make ([a-z]+)\b", README, re.M))
    assert named and named <= targets


def test_every_command_it_names_exists():
    named = re.findall(r"manage\.py ([a-z_]+)", README) + re.findall(
        r"`([a-z_]+)`", README.partition("Commands (")[2].partition("\n\n")[0]
    )
    assert {"up", "demo", "createowner", "backup"} <= set(named) <= set(get_commands())
    for line in re.findall(r"manage\.py (up(?: --\w+ \w+)+)", README):
        parsed(line.split())


def test_it_names_exactly_the_variables_that_the_settings_read():
    named = set(
        re.findall(
            r"`([A-Z_]+)`",
            "\n".join(row.split("|")[1] for row in section("Environment").splitlines() if row.startswith("| `")),
        )
    )
    assert named == set(READ.findall((ROOT / "portal/settings.py").read_text()))


def test_the_example_of_env_names_known_variables():
    names = set(re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M))
    assert names - {"POSTGRES_PASSWORD"} <= set(READ.findall((ROOT / "portal/settings.py").read_text()))


def test_its_table_of_apps_is_the_list_of_apps():
    rows = [
        row.split("|")[1]
        for row in section("How it flows").splitlines()
        if row.startswith("| `") and "." not in row.split("|")[1]
    ]
    assert tuple(re.findall(r"`([a-z]+)`", " ".join(rows))) == APPS
    assert set(APPS) <= set(settings.INSTALLED_APPS)


def test_its_table_of_signals_is_the_list_of_signals():
    named = set(
        re.findall(
            r"`((?:" + "|".join(APPS) + r")\.[a-z_]+)`",
            "\n".join(row.split("|")[1] for row in section("How it flows").splitlines() if row.startswith("| `")),
        )
    )
    sent = set()
    for app in APPS:
        if (ROOT / app / "signals.py").exists():
            sent |= {
                f"{app}.{name}"
                for name, value in vars(import_module(f"{app}.signals")).items()
                if isinstance(value, Signal)
            }
    assert named == sent


def test_every_path_and_link_it_names_is_there():
    for path in re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"`([\w./-]+(?:/|\.py|\.yaml))`", README):
        if not path.startswith("/"):
            places = [ROOT / path, *(ROOT / app / path for app in APPS)]
            assert any(place.exists() for place in places), path


def test_decisions_are_short():
    papers = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert papers
    for paper in papers:
        assert len(paper.read_text().splitlines()) <= 25, paper.name


def test_the_compose_file_is_yaml_and_its_commands_exist():
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    ours = {name: service for name, service in composed["services"].items() if service.get("image") == "watchkeeper"}
    assert set(ours) == {"web", "probe", "page", "beat"}
    for name, service in ours.items():
        assert parsed([str(word) for word in service["command"]])["only"] == name
        own = {"ACTION_SIGNING_KEY_FILE"} if name == "page" else set()  # who may give orders to probes
        assert {"DATABASE_URL", "REDIS_URL"} | own == set(service["environment"])
    assert {v.partition(":")[0] for s in composed["services"].values() for v in s.get("volumes", ())} == set(
        composed["volumes"]
    )


def test_every_unit_starts_a_command_that_exists():
    units = sorted((ROOT / "deploy/systemd").glob("*.service"))
    remote = ROOT / "deploy/systemd/watchkeeper-probe.service"
    assert re.search(r"^ExecStart=/usr/local/bin/watchkeeper-probe --data-dir \S+ run$", remote.read_text(), re.M)
    units.remove(remote)
    started = {
        unit.name: re.search(r"^ExecStart=\S+/python manage\.py (.+)$", unit.read_text(), re.M)[1] for unit in units
    }
    assert {parsed(words.split())["only"] for words in started.values()} == {None, "web", "probe", "page", "beat"}

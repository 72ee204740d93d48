"""Do the guides tell the truth? Their example applies as it stands, and every command they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from console.configuration import document, running
from monitors.models import Monitor
from portal.models import Client
from tests import cast

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.django_db
def test_the_example_is_a_configuration():
    example = re.search(r"```\n(version: 1\n.*?)```", (DOCS / "configuration.md").read_text(), re.S)[1]
    cast.monitor(Client.objects.create(name="Acme"), "Gateway")
    outcome = running.carry_out(document.read([("docs", example)], {"SHOP_PASSWORD": "x"}), commit=True)
    assert outcome.problems == [] and Monitor.objects.get(name="Shop").parent.name == "Gateway"


@pytest.mark.parametrize("name", ["configuration", "leaving", "moving-over"])
def test_their_commands_exist(name: str):
    named = re.findall(r"manage\.py ([a-z_]+)", (DOCS / f"{name}.md").read_text())
    assert named and set(named) <= set(get_commands())

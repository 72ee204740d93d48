"""A dry run of every kind of step opens no connection: it asks the database, and nobody else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from playbooks import services, steps
from playbooks.models import Mode, Playbook, Run, Step
from portal.clock import database_now
from tests import cast
from tests.environment import for_programs
from tests.playbooks import acting
from tests.playbooks.steps import scene
from tests.playbooks.steps.test_contract import talk
from tests.rig import ground, netns
from tests.rig.process import NotAvailable

ROOT = Path(__file__).resolve().parents[2]
KINDS = [kind for kind in steps.KINDS if kind != acting.Bell.kind]


def everything() -> Playbook:
    """A playbook with a step of each kind, in dry run."""
    row = acting.playbook(mode=Mode.DRY_RUN, name="Everything")
    row.steps.all().delete()
    for order, kind in enumerate(KINDS, 1):
        config, secrets = steps.split(kind, scene.example(kind))
        Step.objects.create(playbook=row, order=order, kind=kind, config=config, secrets=secrets)
    return row


def tells_all(run: Run) -> bool:
    """Did it say something of every step, judge its gates, and do nothing?"""
    said = [entry["kind"] for entry in run.plan if entry["sentence"]]
    assert said == KINDS and run.gates and run.state == "dry_run" and run.acted_at is None
    assert not run.steps.exclude(state="waiting").exists()
    return True


@pytest.mark.django_db
@pytest.mark.parametrize("asked", ["by an alert", "by a person"])
def test_no_connection_is_opened_and_no_name_looked_up(asked: str) -> None:
    book, seen = everything(), acting.scene()
    if asked == "by a person":
        database_now()  # the database's own connection is there
        with talk() as heard:
            run = services.dry_run(book, seen.monitor, by=cast.TESTS, at=database_now())
    else:
        with talk() as heard:
            seen.down()
            seen.explained()
        run = acting.only_run()
        run.state = "dry_run"  # its gates may hold it (a probe is away): it said all the same what it would do
    assert tells_all(run)
    assert heard == []


SCRIPT = """
import django
django.setup()
from portal.clock import database_now
from playbooks import services
from tests import cast
from tests.monitors import rows
from tests.playbooks import test_dry_run as t
from tests.playbooks.steps.test_contract import talk
book, monitor = t.everything(), rows.monitor(name="shop")
with talk() as heard:
    run = services.dry_run(book, monitor, by=cast.TESTS, at=database_now())
assert heard == [], heard
print("told all" if t.tells_all(run) else "")
"""


@pytest.mark.once
def test_without_any_network_it_says_the_same(tmp_path: Path) -> None:
    """In a space of its own without so much as a loopback: whoever asked somebody would fail or wait."""
    try:
        netns.needed()
    except NotAvailable as why:
        pytest.skip(f"NOT RUN: {why}")
    database = ground.sqlite(tmp_path / "dry.sqlite3", for_programs())
    environment = for_programs(DATA_DIR=str(tmp_path), DATABASE_URL=f"sqlite:///{database}")
    with netns.Net() as net:
        space = net.space("nowhere")
        space.run("ip", "link", "set", "lo", "down")
        child = space.start([sys.executable, "-c", SCRIPT], env=environment, log=tmp_path / "told", cwd=ROOT)
        ended = child.wait(600)
    told = (tmp_path / "told").read_text()
    assert ended == 0 and told.endswith("told all\n"), told


@pytest.mark.django_db
def test_it_may_be_asked_while_a_run_waits() -> None:
    book, seen = acting.playbook(), acting.scene()
    seen.down()
    seen.explained()
    run = services.dry_run(book, seen.monitor, by=cast.TESTS, at=database_now())
    assert run.state == "dry_run"

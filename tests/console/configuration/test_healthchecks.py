"""Does a Healthchecks project come over whole? Periods and schedules become heartbeats; what cannot be is named."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from console.importing import healthchecks
from console.importing.draft import APPROXIMATED, LEFT_OUT, Draft
from monitors.models import Monitor

pytestmark = pytest.mark.django_db


def check(name: str, **fields: Any) -> dict[str, Any]:
    """A check as the API lists it."""
    slug = name.lower().replace(" ", "-")
    code = f"00000000-0000-4000-8000-{abs(hash(name)) % 10**12:012d}"
    return {
        "name": name, "slug": slug, "tags": "", "desc": "", "grace": 600, "n_pings": 3, "status": "up", "started": False, "last_ping": "2026-01-01T00:00:00+00:00",
        "next_ping": None, "manual_resume": False, "methods": "", "subject": "", "subject_fail": "", "start_kw": "", "success_kw": "", "failure_kw": "",
        "filter_subject": False, "filter_body": False, "filter_http_body": False, "filter_default_fail": False, "badge_url": None, "uuid": code,
        "ping_url": f"https://hc.example.com/ping/{code}", "channels": "", **fields,
    }  # fmt: skip


CHECKS = [
    check("Nightly backup", timeout=86400, grace=3600, tags="backup prod,db", desc="The whole\nserver"),
    check("Report", schedule="15 5 * * 1-5", tz="Europe/Riga", channels="aaaa,bbbb", status="paused"),
    check("Mailed", timeout=3600, success_kw="OK", filter_subject=True, methods="POST", manual_resume=True),
    check("systemd", schedule="Mon..Fri *-*-* 05:00:00", tz="UTC"),
    check("", slug="report", timeout=60),
]  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "checks.json"
    path.write_text(json.dumps({"checks": CHECKS}))
    return path


def drafted(path: Path) -> Draft:
    return healthchecks.draft(healthchecks.read(path), "acme")


def test_periods_and_schedules_become_heartbeats(file: Path):
    backup, report, mailed, nameless = drafted(file).items["monitors"]
    assert backup == {
        "client": "acme", "name": "Nightly backup", "kind": "heartbeat", "config": {"period_seconds": 86400, "grace_seconds": 3600},
        "tags": ["backup", "prod", "db"], "slug": "nightly-backup", "notes": "The whole\nserver",
    }  # fmt: skip
    assert (
        report["config"] == {"schedule": "15 5 * * 1-5", "timezone": "Europe/Riga", "grace_seconds": 600}
        and report["enabled"] is False
    )
    assert mailed["config"]["period_seconds"] == 3600 and nameless["name"] == "report" and "slug" not in nameless


def test_the_report_says_what_differs(file: Path):
    lines = {line.name: line for line in drafted(file).lines}
    assert {line.verdict for line in lines.values()} == {APPROXIMATED, LEFT_OUT}
    assert lines["systemd"].verdict == LEFT_OUT and "five cron fields" in lines["systemd"].notes[0]
    assert [note.partition(":")[0] for note in lines["Mailed"].notes[:3]] == [
        "It has a new address", "It took only POST; here GET counts as well.", "Words in mails and bodies are not looked for here",
    ]  # fmt: skip
    assert lines["2 of them"].verdict == LEFT_OUT


def test_applied_with_new_addresses_listed(file: Path):
    out = StringIO()
    call_command("import_healthchecks", str(file), "--client", "acme", "--yes", stdout=out)
    for m in Monitor.objects.all():
        assert f"  {m.name}: http://localhost:8000/ping/{m.uuid}\n" in out.getvalue()
    assert (
        Monitor.objects.get(name="Nightly backup").slug == "nightly-backup"
        and Monitor.objects.get(name="Report").enabled is False
    )
    again = StringIO()
    call_command("import_healthchecks", str(file), "--client", "acme", "--yes", stdout=again)
    assert "Nothing to do" in again.getvalue()


def test_an_answer_of_a_read_only_key_will_do(tmp_path: Path):
    secretive = {
        name: value for name, value in CHECKS[0].items() if name not in ("uuid", "ping_url", "channels", "slug")
    }
    path = tmp_path / "checks.json"
    path.write_text(json.dumps([{**secretive, "unique_key": "a6c7"}]))
    assert drafted(path).items["monitors"][0]["config"]["period_seconds"] == 86400


@pytest.mark.parametrize(
    ("text", "said"),
    [("{}", "it has no “checks”"), ("[", "is not the JSON of GET"), ('{"checks": {}}', "it has no “checks”")],
)
def test_another_file_is_said(tmp_path: Path, text: str, said: str):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(CommandError, match=said):
        call_command("import_healthchecks", str(path), "--client", "acme", "--yes")


def test_values_of_other_types_do_no_harm(tmp_path: Path):
    path = tmp_path / "x.json"
    path.write_text(
        json.dumps(
            {
                "checks": [
                    {"name": 3, "timeout": "x", "tags": [], "grace": {}},
                    {"name": "a", "timeout": 1},
                    None,
                    {"name": "b", "timeout": 60, "grace": -5},
                ]
            }
        )
    )
    found = drafted(path)
    assert [line.verdict for line in found.lines] == [LEFT_OUT, LEFT_OUT, LEFT_OUT] and found.items["monitors"] == []

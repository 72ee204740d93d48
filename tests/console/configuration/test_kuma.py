"""Does an Uptime Kuma come over whole? From its database and its backup: everything mapped, approximated or named as left out."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from alerts.models import Channel, MaintenanceWindow, Trigger
from console.importing import kuma, kuma_files
from console.importing.draft import APPROXIMATED, LEFT_OUT, MAPPED, Draft
from monitors.models import Monitor
from portal.models import AuditEntry
from statuspages.models import Page
from tests import cast
from tests.console.configuration import kuma_scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return kuma_scene.database(tmp_path / "kuma.db")


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "backup.json"
    path.write_text(json.dumps(kuma_scene.backup(), indent=4))
    return path


def drafted(path: Path) -> Draft:
    return kuma.draft(kuma_files.read(path), "acme")


def run(*words: str) -> str:
    out = StringIO()
    call_command("import_uptime_kuma", *words, stdout=out)
    return out.getvalue()


def leaked(text: str) -> list[str]:
    return [word for word in kuma_scene.CANARIES if word in text]


def monitor(found: Draft, name: str, kind: str) -> dict:
    return next(m for m in found.items["monitors"] if (m["name"], m["kind"]) == (name, kind))


def test_every_item_has_its_line_in_the_report(database: Path):
    found = drafted(database)
    told = {(line.kind, line.name): line.verdict for line in found.lines}
    assert told == {
        ("monitor", "Shop"): APPROXIMATED, ("monitor", "Gateway"): APPROXIMATED, ("monitor", "Nightly backup"): APPROXIMATED, ("monitor", "API"): APPROXIMATED,
        ("monitor", "Orders"): APPROXIMATED, ("monitor", "Broker"): LEFT_OUT, ("monitor", "Zone"): APPROXIMATED, ("group", "Lisbon"): MAPPED,
        ("group", "Everything"): MAPPED, ("monitor", "Thing"): LEFT_OUT, ("monitor", "No port"): LEFT_OUT, ("monitor", "Itself"): LEFT_OUT, ("monitor", "Printer"): MAPPED, ("notification", "Ops chat"): APPROXIMATED,
        ("notification", "Phone"): MAPPED, ("notification", "Mail"): APPROXIMATED, ("notification", "Sirens"): LEFT_OUT,
        ("maintenance", "Sunday updates"): MAPPED, ("maintenance", "Month's end"): APPROXIMATED, ("maintenance", "Move"): LEFT_OUT,
        ("maintenance", "Cron"): LEFT_OUT, ("status page", "Acme status"): APPROXIMATED,
    }  # fmt: skip
    assert all(line.notes for line in found.lines if line.verdict != MAPPED)


def test_a_web_monitor_keeps_its_request_and_what_it_expects(database: Path):
    found = drafted(database)
    shop = monitor(found, "Shop", "http")
    config = shop["config"]
    assert (
        config["url"] == "https://shop.acme.example/health"
        and config["method"] == "POST"
        and config["body"] == '{"ping": 1}'
    )
    assert (
        config["accepted_statuses"] == "200-299,301" and config["keyword"] == "cart" and config["verify_tls"] is False
    )
    assert config["follow_redirects"] is False and config["auth"] == "basic" and config["user"] == "watch"
    assert shop["interval_seconds"] == 30 and shop["confirmation_count"] == 3 and shop["timeout_seconds"] == 12.5
    assert shop["tags"] == ["prod", "team: web  shop"] and shop["notes"] == "The shop\nitself"
    values = {name: found.secrets[secret.name] for name, secret in config["headers"].items()}
    assert values == {"X-Api-Key": "canary-kuma-key", "Content-Type": "application/json"}
    assert found.secrets[config["password"].name] == "canary-kuma-pass"
    assert found.secrets[config["proxy"].name] == "http://p:canary-kuma-proxy@proxy.acme.example:3128"


def test_other_kinds(database: Path):
    found = drafted(database)
    assert monitor(found, "Gateway", "icmp")["config"] == {"host": "gw.acme.example", "upside_down": True}
    assert monitor(found, "Nightly backup", "heartbeat")["config"] == {"period_seconds": 86400, "grace_seconds": 3600}
    api = monitor(found, "API", "http")
    assert (
        api["config"]["json_path"] == "$.state.db"
        and api["config"]["json_equals"] == "ok"
        and api["interval_seconds"] == 86400
    )
    orders = monitor(found, "Orders", "postgres")["config"]
    assert (
        orders["host"] == "db.acme.example"
        and orders["port"] == 5433
        and orders["user"] == "app"
        and orders["database"] == "orders"
    )
    assert found.secrets[orders["password"].name] == "canary-kuma-db"
    zone = monitor(found, "Zone", "dns")
    assert (
        zone["config"] == {"name": "acme.example", "record_type": "MX", "resolver": "1.1.1.1"}
        and zone["enabled"] is False
    )
    assert monitor(found, "Shop", "tcp")["nth"] == 2


def test_what_no_check_may_reach_is_left_out_with_its_reason(database: Path):
    """Our staff may watch private addresses, nobody a cloud's own data."""
    found = drafted(database)
    (line,) = [line for line in found.lines if line.name == "Itself"]
    assert "(url: Blocked: the target's address is a cloud metadata service." in line.notes[0]
    assert monitor(found, "Printer", "icmp")["config"] == {"host": "192.168.7.20"}


def test_groups_hold_their_members_and_inner_groups(database: Path):
    found = drafted(database)
    assert monitor(found, "Lisbon", "group")["config"] == {"monitors": ["Shop", "Gateway"]}
    assert monitor(found, "Everything", "group")["config"] == {"monitors": ["Lisbon"]}


def test_who_was_told_is_told(database: Path):
    found = drafted(database)
    triggers = {t["name"]: t for t in found.items["triggers"]}
    assert "scopes" not in triggers["acme: Ops chat"]  # everything used it
    assert triggers["acme: Ops chat"]["reminder_minutes"] == 30
    assert triggers["acme: Phone"]["scopes"] == [{"monitor": "Shop"}] and triggers["acme: Mail"]["scopes"] == [
        {"monitor": "Nightly backup"}
    ]
    assert [c["config"] for c in found.items["channels"] if c["name"] == "Mail"] == [
        {"to": ["noc@acme.example", "cto@acme.example"]}
    ]


def test_the_backup_says_the_same_but_for_what_it_lacks(database: Path, backup: Path):
    ours, theirs = drafted(database), drafted(backup)
    for section in ("monitors", "channels", "triggers"):
        assert theirs.items[section] == ours.items[section]
    assert theirs.secrets == ours.secrets and not theirs.items["status_pages"]
    assert any("neither status pages nor maintenance" in note for line in theirs.lines for note in line.notes)


def test_the_written_document_holds_no_secret_and_names_the_variables(database: Path, tmp_path: Path):
    out = tmp_path / "acme.yaml"
    report = run(str(database), "--out", str(out), "--client", "acme")
    text = out.read_text()
    assert not leaked(text + report) and out.stat().st_mode & 0o777 == 0o600
    assert "#   ACME_MONITOR_SHOP_PASSWORD\n" in text and "password: !secret ACME_MONITOR_SHOP_PASSWORD" in text
    assert "- monitor “Broker”: left out" in report and "    Type teleport is not known here." in report
    assert report.strip().endswith(f"manage.py plan {out}") and not Monitor.objects.exists()
    with pytest.raises(CommandError, match="is there already"):
        run(str(database), "--out", str(out))


def test_the_written_document_can_be_applied(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "acme.yaml"
    run(str(database), "--out", str(out), "--client", "acme")
    for name, value in drafted(database).secrets.items():
        monkeypatch.setenv(name, value)
    call_command("apply", str(out), "--yes", stdout=StringIO())
    assert Monitor.objects.count() == 10 and call_command("apply", str(out), "--yes", stdout=StringIO()) == ""


def test_applied_at_once_the_secrets_go_under_seal_only(database: Path):
    told = run(str(database), "--client", "acme", "--yes")
    shop = Monitor.objects.get(name="Shop", kind="http")
    assert shop.secrets.open()["password"] == "canary-kuma-pass" and shop.client.slug == "acme"
    assert Channel.objects.get(name="Ops chat").secrets.open() == {"url": kuma_scene.SLACK}
    assert Trigger.objects.get(name="acme: Phone").filter_scopes == f"monitor:{shop.pk}"
    assert MaintenanceWindow.objects.get(title="Sunday updates").recurrence == "FREQ=WEEKLY;BYDAY=SU"
    assert str(MaintenanceWindow.objects.get(title="Sunday updates").starts_at) == "2025-03-02 02:00:00+00:00"
    page = Page.objects.get(slug="acme")
    assert [(c.name, c.group.name) for c in page.components.all()] == [("Shop", "Web"), ("Shop", "Web")]
    backup = Monitor.objects.get(kind="heartbeat")
    assert f"New addresses:\n  Nightly backup: http://localhost:8000/ping/{backup.uuid}" in told
    stored = " ".join(str(v) for v in AuditEntry.objects.values_list("before", "after", "subject_name"))
    assert not leaked(told + stored)


def test_a_second_time_nothing_is_to_be_done(database: Path):
    cast.client("Acme")
    run(str(database), "--client", "acme", "--yes")
    before = Monitor.objects.count()
    assert "Nothing to do" in run(str(database), "--client", "acme", "--yes") and Monitor.objects.count() == before


def test_the_report_for_programs(database: Path, tmp_path: Path):
    told = run(str(database), "--out", str(tmp_path / "x.yaml"), "--json")
    report = json.loads(told)
    assert report["counts"] == {"approximated": 11, "left out": 7, "mapped": 5} and report["tool"] == "Uptime Kuma"
    broker = next(item for item in report["items"] if item["name"] == "Broker")
    assert broker == {
        "kind": "monitor",
        "name": "Broker",
        "verdict": "left out",
        "became": None,
        "notes": ["Type mqtt: There is no check of this kind here."],
    }


def test_applied_for_programs(database: Path):
    told = json.loads(run(str(database), "--client", "acme", "--yes", "--json"))
    assert told["report"]["counts"]["mapped"] == 5 and len(told["plan"]["changes"]) == 20
    assert told["addresses"] == [
        f"Nightly backup: http://localhost:8000/ping/{Monitor.objects.get(kind='heartbeat').uuid}"
    ]


def test_the_database_is_not_written(database: Path):
    before = database.read_bytes()
    drafted(database)
    assert database.read_bytes() == before and not database.with_name("kuma.db-wal").exists()


def test_without_a_place_for_it_the_command_says_what_to_say(database: Path):
    with pytest.raises(CommandError, match="Say --out FILE"):
        run(str(database))
    with pytest.raises(CommandError, match="takes a slug"):
        run(str(database), "--client", "Acme Ltd")

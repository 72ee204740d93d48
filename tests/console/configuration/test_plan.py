"""What would change, and does a person see it before? Plans, their words and exit codes; pruning; what is kept."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from alerts.models import Channel, Trigger
from console.configuration import command, document, exporting, running, showing
from monitors.models import Monitor
from portal.models import AuditEntry, Client, Site
from tests import cast

pytestmark = pytest.mark.django_db

SHOP = """\
version: 1
covers: [acme]
clients:
  - {slug: acme, name: Acme}
monitors:
  - client: acme
    name: Shop
    kind: http
    config:
      url: https://shop.acme.example
      auth: basic
      user: watch
      password: !secret SHOP_PASSWORD
    interval_seconds: 30
"""
PASSWORD = {"SHOP_PASSWORD": "canary-one-2291"}


def planned(text: str, environ: dict[str, str] | None = None, **how: bool) -> running.Outcome:
    outcome = running.carry_out(document.read([("shop.yaml", text)], environ or {}), **how)
    assert outcome.problems == []
    return outcome


@pytest.fixture
def shop() -> Monitor:
    planned(SHOP, PASSWORD, commit=True)
    return Monitor.objects.get(name="Shop")


def lines(text: str, environ: dict[str, str] | None = None, **how: bool) -> list[str]:
    return showing.text(planned(text, environ, **how)).splitlines()


def test_a_new_row_is_shown_with_its_fields_and_a_plan_changes_nothing():
    told = lines(SHOP, PASSWORD)
    assert told[:3] == ["+ client “acme”", "    name: Acme", "+ monitor “Shop” of acme"]
    assert "    config.url: https://shop.acme.example" in told and "    config.password: (secret)" in told
    assert told[-3:] == ["", "Plan: 2 to create, 0 to change, 0 to delete.", "Secrets are taken from: SHOP_PASSWORD."]
    assert not Client.objects.exists() and not AuditEntry.objects.exists()


def test_a_change_is_shown_field_by_field(shop: Monitor):
    changed = SHOP.replace("interval_seconds: 30", "tags: [prod]").replace("https://shop", "https://www")
    assert lines(changed, PASSWORD)[:4] == [
        "~ monitor “Shop” of acme",
        "    config.url: https://shop.acme.example → https://www.acme.example",
        "    interval_seconds: 30 → 60",
        '    tags: (not set) → ["prod"]',
    ]


def test_another_secret_is_a_change_that_shows_neither(shop: Monitor):
    told = lines(SHOP, {"SHOP_PASSWORD": "canary-two-8840"})
    assert "    config.password: (secret) → another (secret)" in told
    assert not any("canary" in line for line in told)


def test_a_variable_that_is_not_set_keeps_what_is_stored_and_says_so(shop: Monitor):
    changed = SHOP.replace("interval_seconds: 30", "interval_seconds: 40").replace("user: watch", "user: other")
    outcome = planned(changed, {}, commit=True)
    shop.refresh_from_db()
    assert shop.secrets.open() == {"password": "canary-one-2291"} and shop.config["user"] == "other"
    assert "Kept as stored, as their variables are not set: SHOP_PASSWORD." in showing.text(outcome)


def test_what_is_applied_is_in_the_audit_log_under_config(shop: Monitor):
    acts = dict(AuditEntry.objects.filter(actor="config").values_list("action", "subject_name"))
    assert acts["monitor.create"] == "Shop" and acts["client.created"] == "Acme" and "configuration.applied" in acts


def test_nothing_different_writes_nothing(shop: Monitor):
    before = AuditEntry.objects.count()
    again = planned(SHOP.replace("interval_seconds: 30", "tags: []\n    interval_seconds: 30"), PASSWORD, commit=True)
    shop.refresh_from_db()
    assert again.changes == [] and AuditEntry.objects.count() == before and shop.config_version == 1


def test_a_line_that_is_taken_out_takes_its_value_away(shop: Monitor):
    told = lines(SHOP.replace("      password: !secret SHOP_PASSWORD\n", ""), {})
    assert "    config.password: (secret) → (not set)" in told


def test_rows_that_are_not_named_stay_unless_pruned(shop: Monitor):
    cast.monitor(Client.objects.get(), "old")
    cast.monitor(cast.globex(), "theirs")
    told = showing.text(planned(SHOP, PASSWORD))
    assert told.endswith("1 row is not in the files; --prune would delete it.")
    assert lines(SHOP, PASSWORD, prune=True)[0] == "- monitor “old” of acme"
    planned(SHOP, PASSWORD, prune=True, commit=True)
    assert set(Monitor.objects.values_list("name", flat=True)) == {"Shop", "theirs"}


def test_what_was_pruned_can_come_back_under_its_name(shop: Monitor):
    rows = (
        "sites: [{client: acme, name: Lisbon}]\nchannels: [{client: acme, name: mail, type: email, config: {to: [a@acme.example]}}]\n"
        "triggers: [{client: acme, name: Tell, channels: [mail]}]\nservices: [{client: acme, name: Web}]\n"
    )
    none = "sites: []\nchannels: []\ntriggers: []\nservices: []\n"
    planned(SHOP + rows, PASSWORD, commit=True)
    assert "Plan: 0 to create, 0 to change, 4 to delete." in lines(SHOP + none, PASSWORD, prune=True)
    planned(SHOP + none, PASSWORD, prune=True, commit=True)
    again = planned(SHOP + rows, PASSWORD, commit=True)
    assert [c.action for c in again.changes] == ["create"] * 4 and Trigger.objects.get(
        name="Tell"
    ).channels.get().name == "mail"


def test_only_kinds_that_the_files_speak_of_are_pruned(shop: Monitor):
    cast.site(Client.objects.get())
    planned(SHOP, PASSWORD, prune=True, commit=True)
    assert Site.objects.exists()
    planned(SHOP + "sites: []\n", PASSWORD, prune=True, commit=True)
    assert not Site.objects.exists()


def test_pruning_needs_to_know_what_the_files_are_the_whole_of(shop: Monitor):
    outcome = running.carry_out(
        document.read([("shop.yaml", SHOP.replace("covers: [acme]\n", ""))], PASSWORD), prune=True
    )
    assert [str(p) for p in outcome.problems] == [
        "(files): covers: --prune needs to know what these files are the whole of: write “covers: all”, or “covers: [acme]”."
    ]


def test_a_client_goes_only_when_the_files_are_everything(shop: Monitor):
    cast.globex()
    planned(SHOP, PASSWORD, prune=True, commit=True)
    assert Client.objects.filter(slug="globex").exists()
    assert "- client “globex”" in lines(SHOP.replace("[acme]", "all"), PASSWORD, prune=True)


def test_what_a_new_client_brings_along_is_named():
    text = SHOP.replace("name: Acme}", "name: Acme, email: noc@acme.example}")
    told = showing.text(planned(text, PASSWORD, commit=True))
    assert (
        "The portal makes by itself: channel “E-mail to noc@acme.example” of acme; trigger “Default: alerts of Acme by e-mail” of acme."
        in told
    )
    assert Channel.objects.count() == 1 and Trigger.objects.count() == 1
    assert planned(text, PASSWORD).changes == []


def test_a_terminal_is_not_moved_by_what_stands_in_a_field():
    evil = SHOP.replace("interval_seconds: 30", 'notes: "\\e[2J\\e[31mall is well"')
    told = showing.text(planned(evil, PASSWORD))
    assert "\x1b" not in told and "\\u001b[2J" in told


def test_colour_is_for_terminals_only():
    outcome = planned(SHOP, PASSWORD)
    assert "\033[32m+ client “acme”\033[0m" in showing.text(outcome, colour=True) and "\033" not in showing.text(
        outcome
    )


# --- Commands -------------------------------------------------------------------------------------------------------------
@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP)
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD["SHOP_PASSWORD"])
    return path


def run(*words: str) -> tuple[int, str]:
    """(exit code, what was printed)."""
    out = StringIO()
    try:
        call_command(*words, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_plan_ends_with_two_when_there_is_something_and_nought_when_not(file: Path):
    code, told = run("plan", str(file))
    assert code == 2 and "Plan: 2 to create" in told
    assert run("apply", str(file), "--yes")[1].endswith("Applied: 2 created, 0 changed, 0 deleted.\n")
    assert run("plan", str(file)) == (0, f"{showing.NOTHING}\n")
    assert run("apply", str(file), "--yes") == (0, f"{showing.NOTHING}\n")


def test_plan_for_programs(file: Path):
    code, told = run("plan", str(file), "--json")
    found = json.loads(told)
    assert code == 2 and [c["action"] for c in found["changes"]] == ["create", "create"]
    assert {"path": "config.password", "after": "(secret)"} in found["changes"][1]["fields"]
    file.write_text("version: 1\nmonitors: [{name: x}]\n")
    code, told = run("plan", str(file), "--json")
    assert code == 1 and json.loads(told)["errors"][0]["path"] == "monitors[0].client"


def test_apply_asks_and_does_nothing_without_a_yes(file: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(CommandError, match="say --yes"):
        run("apply", str(file))
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert run("apply", str(file))[1].endswith("Nothing was changed.\n") and not Client.objects.exists()
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    run("apply", str(file))
    assert Client.objects.exists()


def test_what_was_agreed_to_is_what_is_done(file: Path, monkeypatch: pytest.MonkeyPatch):
    class Slow(Terminal):
        """Somebody who types while another one works."""

        def readline(self, *args: int) -> str:
            cast.client("Acme")
            return "y\n"

    monkeypatch.setattr("sys.stdin", Slow())
    with pytest.raises(CommandError, match="was changed meanwhile"):
        run("apply", str(file))
    assert not Monitor.objects.exists()


class Terminal(StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_several_files_are_one_configuration(file: Path, tmp_path: Path):
    more = tmp_path / "more.yaml"
    more.write_text(
        "version: 1\nmonitors: [{client: acme, name: API, kind: http, parent: Shop, config: {url: 'https://api.acme.example'}}]\n"
    )
    assert run("apply", str(more), str(file), "--yes")[0] == 0
    assert Monitor.objects.get(name="API").parent.name == "Shop"


def test_a_configuration_may_be_piped_in(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", StringIO(SHOP))
    assert run("apply", "-", "--yes")[0] == 0
    assert run("export_config", "--client", "acme")[1] == exporting.export(["acme"])


def test_an_unknown_client_is_said():
    with pytest.raises(CommandError, match="There is no client with the slug nobody"):
        run("export_config", "--client", "nobody")


def test_a_file_that_is_not_there_or_too_large_is_said(tmp_path: Path):
    big = tmp_path / "big.yaml"
    with big.open("wb") as made:
        made.truncate(100 * 1024 * 1024)
    for path, said in (
        (tmp_path / "none.yaml", "No such file"),
        (big, "larger than 16 MB"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(CommandError, match=said):
            run("plan", str(path))


def test_a_stream_that_asks_for_plain_text_gets_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert command.is_terminal(Terminal()) and not command.is_terminal(StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not command.is_terminal(Terminal())

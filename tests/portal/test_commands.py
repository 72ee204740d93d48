"""The commands: each begins on an empty database, prints what scripts rely on, and says in a sentence what is wrong."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection

from portal import audit, checks, environment, rotation, services, signals, trash
from portal.clock import database_now
from portal.models import AuditEntry, AuditHead, Client, ProviderSettings, Token, TrashEntry, User
from tests import cast
from tests.rig import postgres

ROOT = Path(__file__).resolve().parents[2]


def path_to_tools() -> str:
    """PATH with a pg_dump that is as new as the server."""
    tools = next((str(d) for d in postgres.binary_directories() if (d / "pg_dump").exists()), "")
    return os.pathsep.join(filter(None, [tools, os.environ.get("PATH", "")]))


def manage(directory: Path, *arguments: str, database: str = "", **more: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "PATH": path_to_tools(), "DATA_DIR": str(directory), "DATABASE_URL": database, **more}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=400
    )


# Several commands in one process, each as if it were typed: to start one costs more than most of them do.
ONE_AFTER_THE_OTHER = """
import json, os, sys, traceback
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
from django.core.management import execute_from_command_line
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        execute_from_command_line(["manage.py", *arguments])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    print("ended", code, flush=True)
"""


def ends(directory: Path, *commands: list[str], database: str) -> tuple[list[int], str]:
    """The exit codes of these commands, and what they said on standard error."""
    env = {**os.environ, "DATA_DIR": str(directory), "DATABASE_URL": database, "PATH": path_to_tools()}
    command = [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(commands)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=400)
    codes = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("ended ")]
    assert len(codes) == len(commands), done.stdout + done.stderr
    return codes, done.stderr


# --- On an empty machine, as an administrator types them ---------------------------------------------------------------
def test_from_nothing_to_a_token_a_backup_and_back(tmp_path, empty_database_url):
    home, file = tmp_path / "data", tmp_path / "portal.backup"
    run = lambda *a: manage(home, *a, database=empty_database_url)  # noqa: E731
    made = run("createowner", "--email", "o@msp.example", "--password", cast.PASSWORD)
    assert made.returncode == 0, made.stderr
    token = run("createtoken", "--email", "O@msp.example", "--scopes", "read,write")
    assert token.returncode == 0 and token.stdout.startswith("wk_") and len(token.stdout.split()) == 1
    saved = run("backup", str(file))
    assert saved.returncode == 0, saved.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not a backup")
    another = ["createowner", "--email", "second@msp.example", "--password", cast.PASSWORD]
    token_of_another = ["createtoken", "--email", "second@msp.example", "--scopes", "read"]
    said_yes = [another, token_of_another]
    said_no = [["restore", str(file)], ["restore", "--force", str(garbage)]]
    codes, words = ends(home, *said_yes, *said_no, token_of_another, database=empty_database_url)
    assert codes[:2] == [0, 0] and codes[2] and codes[3], words
    assert "--force" in words
    assert codes[4] == 0, f"a refused restore changed something: {words}"
    restored = run("restore", "--force", str(file))
    assert restored.returncode == 0, restored.stderr
    assert "nobody" in run("createtoken", "--email", "second@msp.example", "--scopes", "read").stderr
    whole = run("verify_audit")
    assert whole.returncode == 0 and "whole" in whole.stdout, whole.stderr


@pytest.mark.once
def test_two_first_commands_at_once_both_work(tmp_path):
    env = {**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": ""}
    command = [sys.executable, "manage.py", "createowner", "--password", cast.PASSWORD, "--email"]
    both = [
        subprocess.Popen(
            [*command, f"{n}@msp.example"],
            cwd=ROOT,
            env=env,
            stderr=subprocess.PIPE,
            text=True,
            stdout=subprocess.DEVNULL,
        )
        for n in "ab"
    ]
    for process in both:
        errors = process.communicate(timeout=400)[1]
        assert process.returncode == 0, errors


# --- Sentences for mistakes ------------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["createowner", "--email=x", "--password=" + cast.PASSWORD], "email"),
        (["createowner", "--email=x@x.example", "--password=short"], "password"),
        (["createowner", "--email=OLGA@msp.example", "--password=" + cast.PASSWORD], "already"),
        (["createtoken", "--email=who@x.example", "--scopes=read"], "nobody"),
        (["createtoken", "--email=olga@msp.example", "--scopes=fly"], "scopes"),
        (["createtoken", "--email=olga@msp.example", "--scopes="], "scopes"),
        (["createtoken", "--email=olga@msp.example", "--scopes=read", "--client=who"], "slug"),
        (["restore", "/nowhere/file"], "no file"),
        (["backup", "/nowhere/file"], "no directory"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(arguments, word):
    cast.make_owner()
    with pytest.raises(CommandError, match=word):
        call_command(*arguments)


@pytest.mark.django_db
def test_a_token_may_be_bound_and_end(capsys):
    cast.make_owner()
    call_command("createtoken", email="olga@msp.example", scopes="read", client=cast.acme().slug, days=3)
    token = Token.objects.get()
    assert token.client == cast.acme() and 2.9 < (token.expires_at - database_now()).total_seconds() / 86400 < 3.1


# --- The audit log ---------------------------------------------------------------------------------------------------
@pytest.fixture
def log(settings, tmp_path, db):
    settings.DATA_DIR = tmp_path
    cast.site(), cast.contact()
    audit.publish_heads(database_now())
    return AuditEntry.objects.filter(chain=f"client:{cast.acme().pk}")


def test_a_whole_log_is_proved(log, capsys):
    call_command("verify_audit")
    assert "whole" in capsys.readouterr().out


@pytest.mark.parametrize("harm", ["edit", "delete", "reorder", "cut", "cut with head", "rewrite"])
def test_every_change_of_the_log_is_found(log, harm, capsys):
    last = log.order_by("-seq").first()
    match harm:
        case "edit":
            log.filter(seq=1).update(actor="somebody else")
        case "delete":
            log.filter(seq=2).delete()
        case "reorder":
            log.filter(seq=1).update(seq=99)
            log.filter(seq=2).update(seq=1)
            log.filter(seq=99).update(seq=2)
        case "cut":
            last.delete()
        case "cut with head":
            AuditHead.objects.filter(chain=last.chain).update(seq=last.seq - 1, hash=last.previous)
            last.delete()
        case "rewrite":  # with the hash made anew, as somebody who owns the database would
            import hashlib

            last.actor = "somebody else"
            last.hash = hashlib.sha256(audit.canonical(last)).hexdigest()
            last.save()
            AuditHead.objects.filter(chain=last.chain).update(hash=last.hash)
    with pytest.raises(SystemExit):
        call_command("verify_audit")
    assert f"client:{cast.acme().pk}" in capsys.readouterr().err


# --- Keys ------------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_rotated_secrets_open_with_the_new_key_alone(settings):
    services.change_client(cast.acme(), by=cast.TESTS, slack_webhook="https://hooks.example/secret")
    ProviderSettings.objects.create(provider="twilio", secrets={"auth_token": "hush"})
    new = Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [new, *settings.ENCRYPTION_KEYS]
    assert rotation.rotate(by=cast.TESTS).rotated >= 2
    settings.ENCRYPTION_KEYS = [new]
    assert Client.objects.get().slack_webhook.open() == "https://hooks.example/secret"
    assert ProviderSettings.objects.get().values() == {"auth_token": "hush"}


@pytest.mark.django_db
def test_a_secret_without_its_key_is_named_and_kept(settings, capsys):
    row = ProviderSettings.objects.create(provider="twilio", secrets={"auth_token": "hush"})
    old, settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS, [Fernet.generate_key().decode()]
    with pytest.raises(SystemExit):
        call_command("rotate_secrets")
    assert f"portal.providersettings {row.pk} secrets" in capsys.readouterr().err
    settings.ENCRYPTION_KEYS = old
    assert ProviderSettings.objects.get().values() == {"auth_token": "hush"}


# --- manage.py check -------------------------------------------------------------------------------------------------
def test_every_mistake_of_the_environment_is_an_error(monkeypatch):
    monkeypatch.setattr(
        environment, "mistakes", ["SMTP_PORT='x' is not a whole number; set for example SMTP_PORT=587", "another"]
    )
    found = checks.environment_is_understood()
    assert [e.msg for e in found] == environment.mistakes and len({e.id for e in found}) == 2
    assert all(error in run_checks() for error in found)


def test_deployment_checks_name_their_cures(settings):
    settings.OUTBOUND_ALLOW = environment.networks("NONE") or ()
    settings.SMTP = {**settings.SMTP, "host": ""}
    found = checks.fit_to_be_public()
    assert {"portal.W201", "portal.W202", "portal.W204"} <= {w.id for w in found} and all(w.hint for w in found)
    settings.ENCRYPTION_KEYS = ["nonsense"]
    assert [e.id for e in checks.keys_can_be_used()] == ["portal.E102"]


@pytest.mark.once
def test_check_names_a_bad_variable(tmp_path):
    answer = manage(tmp_path, "check", SMTP_PORT="many", BASE_URL="nonsense")
    assert answer.returncode == 1 and "SMTP_PORT='many'" in answer.stderr and "BASE_URL='nonsense'" in answer.stderr


# --- Doors -----------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_signals_are_sent_inside_the_transaction():
    heard = []

    def listen(**news):
        heard.append((news["client"].name, connection.in_atomic_block))

    for signal in (signals.client_created, signals.client_changed, signals.client_deleted):
        signal.connect(listen)
    try:
        row = services.create_client(name="Initech", by=cast.TESTS)
        services.change_client(row, by=cast.TESTS, email="x@initech.example")
        services.delete_client(row, by=cast.TESTS)
        trash.purge(TrashEntry.objects.get(), by=cast.TESTS, at=database_now())
    finally:
        for signal in (signals.client_created, signals.client_changed, signals.client_deleted):
            signal.disconnect(listen)
    assert heard == [("Initech", True)] * 3


@pytest.mark.django_db
def test_a_listener_that_fails_leaves_nothing_half_done():
    def refuse(**news):
        raise RuntimeError("no")

    signals.client_created.connect(refuse)
    try:
        with pytest.raises(RuntimeError):
            services.create_client(name="Initech", by=cast.TESTS)
    finally:
        signals.client_created.disconnect(refuse)
    assert not Client.objects.exists() and not AuditEntry.objects.exists() and not User.objects.exists()


def test_sqlite_backups_are_whole_files(tmp_path):
    file = tmp_path / "x.db"
    with sqlite3.connect(file) as half:
        half.execute("CREATE TABLE t (x)")
    from portal import backup
    from portal.errors import Refused

    with pytest.raises(Refused, match="not a whole backup"):
        backup._restore_sqlite(file)

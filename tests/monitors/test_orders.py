"""Which orders does a probe follow? Those of the right key, for it, in time, never seen, allowed by its machine's file."""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from monitors.probe import actions, allowed, envelope, identity, main
from monitors.probe.clock import Clock
from monitors.probe.envelope import Forged, Malformed
from monitors.probe.identity import Identity
from tests.monitors.acting_stage import GOOD, PLAN, Machine, prepared, told_the_time

pytestmark = pytest.mark.once


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One machine with a probe's process."""
    return prepared(tmp_path, monkeypatch)


def test_an_allowed_order_is_followed_once_with_its_parameters_in_place(machine: Machine):
    body = machine.sealed()
    state, result = machine.hand(body)
    assert (state, result["exit_code"], result["output"], result["cut_bytes"]) == ("done", 0, "cleaned\n", 0)
    assert (result["action"], result["plan_hash"]) == ("clean", PLAN)
    assert result["finished_at"] >= result["started_at"] and result["seconds"] > 0
    assert machine.ran == ["--kind|logs|7|shop.example|"]
    assert machine.hand(body)[0] == "refused" and len(machine.ran) == 1


# --- Whose word, for whom, when -----------------------------------------------------------------------------------------
def tampered(m: Machine) -> dict[str, str]:
    body = m.sealed()
    return {**body, "envelope": body["envelope"].replace('"days":7', '"days":8')}


def by_another(m: Machine) -> dict[str, str]:
    return envelope.seal(m.order(), Ed25519PrivateKey.generate())


def for_another(m: Machine) -> dict[str, str]:
    return m.sealed(probe=identity.digest(b"somebody else"))


def without_a_domain(m: Machine) -> dict[str, str]:
    """The right key signed these bytes, but not as an order."""
    text = m.order().text()
    return {"envelope": text, "signature": identity.sign(m.signer, text.encode())}


def at(seconds: int) -> Callable[[Machine], dict[str, str]]:
    def body(m: Machine) -> dict[str, str]:
        now = int(m.clock.now()) + seconds
        return m.sealed(issued=now, expires=now + 60)

    return body


def with_params(**more: Any) -> Callable[[Machine], dict[str, str]]:
    return lambda m: m.sealed(params={**GOOD, **more})


WRONG: dict[str, tuple[Callable[[Machine], Any], str]] = {
    "forged": (lambda m: {**m.sealed(), "signature": "A" * 86 + "=="}, "not signed"),
    "unsigned": (lambda m: {"envelope": m.order().text()}, "an envelope and a signature"),
    "by another key": (by_another, "not signed"),
    "tampered with": (tampered, "not signed"),
    "signed, but not as an order": (without_a_domain, "not signed"),
    "for another probe": (for_another, "another probe"),
    "expired": (at(-61), "expired"),
    "written in the future": (at(10), "in the future"),
    "valid for an hour": (lambda m: m.raw(expires=int(time.time()) + 3600), "1 to 60 seconds"),
    "with one more field": (lambda m: m.raw(sudo=True), "exactly the fields"),
    "of another version": (lambda m: m.raw(v=2), "version 2"),
    "with numbers as texts": (lambda m: m.raw(counter="1"), "whole numbers"),
    "with a list as a parameter": (lambda m: m.raw(params={**GOOD, "days": [7]}), "params.days"),
    "not an object": (lambda m: "clean", "an envelope and a signature"),
    "an action nobody allowed": (lambda m: m.sealed("reboot"), "no action 'reboot'"),
    "an action with a path in it": (lambda m: m.raw(action="../clean"), "action: a name"),
    "one parameter too many": (with_params(extra="x"), "no parameter 'extra'"),
    "one parameter too few": (lambda m: m.sealed(params={"kind": "logs", "days": 7}), "'site' is missing"),
    "a word that is no choice": (with_params(kind="everything"), "one of logs, cache"),
    "a number out of range": (with_params(days=31), "from 1 to 30"),
    "true for a number": (with_params(days=True), "from 1 to 30"),
    "a text for a number": (with_params(days="7"), "from 1 to 30"),
    "a second command": (with_params(site="a b;reboot"), "a word that fits"),
    "a substitution": (with_params(site="$(reboot) "), "a word that fits"),
    "a way upwards": (with_params(site="logs/../../etc"), "a word that fits"),
    "an option": (with_params(site="-rf"), "not beginning with -"),
    "a line break": (with_params(site="shop\nreboot"), "printable"),
    "a line break at the end": (with_params(site="shop\n"), "printable"),
    "a zero byte": (with_params(site="shop\0"), "printable"),
    "nothing": (with_params(site=""), "1 to 100"),
    "too long": (with_params(site="a" * 101), "1 to 100"),
}


@pytest.mark.parametrize("what", WRONG)
def test_whatever_is_wrong_runs_nothing_and_is_refused_with_the_reason(machine: Machine, what, caplog):
    make, reason = WRONG[what]
    state, result = machine.hand(make(machine))
    assert state == "refused" and reason in result["why"], result
    assert machine.ran == []
    assert reason in caplog.text, "and it is in the probe's own log"


def test_there_is_no_shell_that_could_understand_a_parameter(machine: Machine):
    """Even where the administrator's pattern lets such signs pass, they arrive as one argument, unread."""
    state, _ = machine.hand(machine.sealed(params={**GOOD, "site": "$(reboot);a"}))
    assert state == "done" and machine.ran == ["--kind|logs|7|$(reboot);a|"]


def test_orders_out_of_order_are_not_made_up_for(machine: Machine):
    first, second = machine.sealed(), machine.sealed()
    assert machine.hand(second)[0] == "done"
    state, result = machine.hand(first)
    assert state == "refused" and "later order" in result["why"] and len(machine.ran) == 1


def test_the_same_order_written_anew_is_not_followed_again(machine: Machine):
    """Its name is what counts: a portal that was put back an hour may sign it once more, with a higher counter."""
    assert machine.hand(machine.sealed(job="run-7:step-1"))[0] == "done"
    state, result = machine.hand(machine.sealed(job="run-7:step-1"))
    assert state == "refused" and "here before" in result["why"] and len(machine.ran) == 1


def test_what_was_refused_is_used_up_too(machine: Machine):
    """An administrator allows more a moment later: what was refused before does not come true then."""
    body = machine.sealed("reboot")
    assert machine.hand(body)[0] == "refused"
    machine.allow(machine.script("reboot", f"echo reboot >> {machine.ran_at}"))
    state, result = machine.hand(body)
    assert state == "refused" and "here before" in result["why"] and machine.ran == []


def test_the_key_of_the_portals_answers_gives_no_orders(machine: Machine):
    """Even an administrator who wrote the wrong key into the file: whoever holds the web tier stays without a hand here."""
    portal = Ed25519PrivateKey.generate()
    machine.signer = portal
    machine.allow()
    machine.begin(replace(machine.who, portal_key=identity.public_of(portal)))
    state, result = machine.hand(machine.sealed())
    assert state == "refused" and "a key that the portal does not hold" in result["why"] and machine.ran == []


def test_two_signers_while_one_key_replaces_the_other(machine: Machine):
    fresh = Ed25519PrivateKey.generate()
    text = machine.file.read_text()
    old = identity.public_of(machine.signer)
    machine.file.write_text(text.replace(f'"{old}"', f'["{old}", "{identity.public_of(fresh)}"]'))
    assert machine.hand(machine.sealed())[0] == "done"
    assert machine.hand(envelope.seal(machine.order(), fresh))[0] == "done"


def test_a_file_that_names_a_client_takes_orders_for_that_client_only(machine: Machine):
    machine.allow(head="tenant = 7")
    state, result = machine.hand(machine.sealed(tenant=8))
    assert state == "refused" and "another client" in result["why"] and machine.ran == []
    assert machine.hand(machine.sealed(tenant=7))[0] == "done"


# --- Clocks and memory --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("wrong", [-300, 300])
def test_a_machine_whose_clock_is_five_minutes_off_does_nothing(machine: Machine, wrong):
    """The portal's time decides, and the machine's own has to agree: whoever holds the portal cannot turn time back."""
    machine.begin(machine.who, clock=told_the_time(Clock(wall=lambda: time.time() + wrong)))
    for issued in (0, -100, -300, 300):
        now = int(time.time()) + issued
        state, _ = machine.hand(machine.sealed(issued=now, expires=now + 60))
        assert state == "refused"
    assert machine.ran == []


def test_before_the_portal_said_its_time_nothing_is_done(machine: Machine):
    machine.begin(machine.who, clock=Clock())
    assert machine.hand(machine.sealed())[0] == "refused" and machine.ran == []


def test_after_enrolling_anew_old_orders_are_another_probes(machine: Machine):
    body = machine.sealed()
    machine.begin(Identity.new("https://portal.example").enrolled(4, "berlin", machine.who.portal_key), spool="fresh")
    state, result = machine.hand(body)
    assert state == "refused" and "earlier enrolment" in result["why"] and machine.ran == []


def test_a_memory_that_was_lost_follows_nothing_from_before(machine: Machine):
    """The same key on an empty disk: an order from before the memory began may have been followed already."""
    now = int(time.time()) - 20
    body = machine.sealed(issued=now, expires=now + 60)
    machine.begin(machine.who, spool="fresh", fresh=True)
    state, result = machine.hand(body)
    assert state == "refused" and "before this probe could remember" in result["why"] and machine.ran == []
    assert machine.hand(machine.sealed())[0] == "done"


def test_the_highest_counter_is_kept_when_orders_are_forgotten(machine: Machine):
    late = machine.order()
    machine.hand(machine.sealed(counter=900))
    machine.orders.told(1)
    machine.orders.take(machine.order(counter=901), 2, time.time() + 2 * 86400)  # two days later
    machine.orders.close()
    machine.begin(machine.who)
    rows = machine.orders._db.execute("SELECT job FROM orders").fetchall()
    assert len(rows) == 1, "the first is forgotten"
    state, result = machine.hand(envelope.seal(late, machine.signer))
    assert state == "refused" and "later order" in result["why"]


# --- The file -----------------------------------------------------------------------------------------------------------
def writable_by_the_group(m: Machine) -> None:
    m.file.chmod(0o664)


def writable_directory(m: Machine) -> None:
    m.etc.chmod(0o777)


def a_link_to_a_writable_place(m: Machine) -> None:
    elsewhere = m.home / "elsewhere"
    elsewhere.mkdir()
    m.file.rename(elsewhere / "actions.toml")
    m.file.symlink_to(elsewhere / "actions.toml")
    elsewhere.chmod(0o777)


def a_program_others_may_change(m: Machine) -> None:
    m.clean.chmod(0o775)


def a_program_that_is_gone(m: Machine) -> None:
    m.clean.unlink()


DOUBTFUL = {
    "writable by the group": (writable_by_the_group, "can be written by others"),
    "in a directory others may write": (writable_directory, "can be written by others"),
    "a link to a writable place": (a_link_to_a_writable_place, "can be written by others"),
    "missing": (lambda m: m.file.unlink(), "nothing is allowed here"),
    "a directory": (lambda m: (m.file.unlink(), m.file.mkdir()), "no ordinary file"),
    "not TOML": (lambda m: m.file.write_text("signer ="), "Invalid value"),
    "without a signer": (lambda m: m.file.write_text("[actions]"), "signer"),
    "with an unknown word": (lambda m: m.allow("shell = true"), "shell"),
    "with a shell in place of a program": (lambda m: m.allow('[actions.x]\nkind = "script"\nargv = ["sh", "-c", "x"]'), "whole path"),
    "with a parameter inside a word": (lambda m: m.allow('[actions.x]\nkind = "script"\nargv = ["/bin/sh", "a={b}"]'), "whole argument"),
    "naming a program others may change": (a_program_others_may_change, "can be written by others"),
    "naming a program that is gone": (a_program_that_is_gone, "cannot be run"),
}  # fmt: skip


@pytest.mark.parametrize("how", DOUBTFUL)
def test_a_file_that_is_not_to_be_believed_allows_nothing(machine: Machine, how):
    spoil, reason = DOUBTFUL[how]
    spoil(machine)
    state, result = machine.hand(machine.sealed())
    assert state == "refused" and reason in result["why"], result
    assert machine.ran == []


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root can give a file to somebody else")
def test_a_file_of_somebody_else_allows_nothing(machine: Machine):
    os.chown(machine.file, pwd.getpwnam("nobody").pw_uid, -1)
    state, result = machine.hand(machine.sealed())
    assert state == "refused" and "has to be root's" in result["why"] and machine.ran == []


def test_without_the_word_self_only_root_may_own_it(machine: Machine, monkeypatch):
    monkeypatch.delenv(allowed.OWNER)
    assert allowed.owners() == {0}
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    monkeypatch.setenv(allowed.OWNER, "self")
    assert allowed.owners() == {0, 4242}


def test_what_came_while_the_file_was_doubtful_stays_refused(machine: Machine):
    body = machine.sealed()
    machine.file.chmod(0o666)
    assert machine.hand(body)[0] == "refused"
    machine.file.chmod(0o644)
    state, result = machine.hand(body)
    assert state == "refused" and "not to be believed" in result["why"] and machine.ran == []


# --- What is said of it -------------------------------------------------------------------------------------------------
def test_the_portal_hears_names_and_shapes_but_no_programs(machine: Machine):
    said = machine.acts.said()
    (clean,) = said["actions"]
    assert said["actions_trusted"] is True and clean["name"] == "clean" and clean["describe"] == "Remove what is old."
    assert clean["params"]["days"] == {"type": "int", "min": 1, "max": 30}
    assert str(machine.clean) not in json.dumps(said) and "argv" not in json.dumps(said)
    machine.file.chmod(0o666)
    assert actions.told() == {"actions": [], "actions_trusted": False, "actions_why": f"{machine.file} can be written by others: chmod go-w it."}  # fmt: skip


def test_a_file_of_a_hundred_actions_is_told_in_part(machine: Machine):
    machine.allow(*(machine.script(f"a{n}", "true") for n in range(80)))
    said = actions.told()
    assert len(said["actions"]) == actions.MOST_TOLD and "41 more" in said["actions_why"]


def test_the_administrator_asks_what_is_allowed_and_what_would_fail(machine: Machine, capsys):
    assert main.main(["actions", "--check"]) == 0
    said = capsys.readouterr().out
    assert "is trusted" in said and "clean: script, at most 60 s. Remove what is old." in said
    machine.allow('[actions.db]\nkind = "container"\ncontainer = "db"\nsocket = "/nowhere.sock"')
    assert main.main(["actions", "--check"]) == 2
    assert "db: /nowhere.sock cannot be written" in capsys.readouterr().err
    machine.file.chmod(0o666)
    assert main.main(["actions"]) == 1
    assert "Every order is refused" in capsys.readouterr().err


# --- The envelope -------------------------------------------------------------------------------------------------------
def test_an_order_arrives_as_it_was_sealed(machine: Machine):
    order = machine.order()
    assert envelope.opened(envelope.seal(order, machine.signer), machine.signer.public_key()) == order


def test_there_is_one_spelling_only(machine: Machine):
    loose = json.dumps(json.loads(machine.order().text()), sort_keys=True)
    body = {"envelope": loose, "signature": identity.sign(machine.signer, envelope.DOMAIN + loose.encode())}
    with pytest.raises(Malformed, match="one way"):
        envelope.opened(body, machine.signer.public_key())
    with pytest.raises(Forged):
        envelope.opened(body, Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize(
    ("field", "value"), [("probe", "berlin"), ("job", "two words"), ("job", ""), ("action", "Clean"), ("plan_hash", "0"), ("counter", 0), ("tenant", -1), ("expires", 0), ("params", {"a b": 1}), ("params", {"a": 1.5}), ("params", {"a": "x" * 201})]
)  # fmt: skip
def test_what_is_no_order_is_not_sealed(machine: Machine, field, value):
    with pytest.raises(Malformed, match=field):
        envelope.seal(replace(machine.order(), **{field: value}), machine.signer)


def test_the_example_is_a_file_that_works_once_the_key_is_in_it(machine: Machine):
    example = (settings.BASE_DIR / "deploy" / "actions.example.toml").read_text()
    machine.file.write_text(example)
    with pytest.raises(allowed.NotAllowed, match="signer.0: An Ed25519 public key"):
        allowed.read()
    machine.file.write_text(example.replace("PUT THE PUBLIC KEY HERE", identity.public_of(machine.signer)))
    listed = allowed.read()
    assert set(listed.actions) == {"restart-nginx", "restart-db", "clean-up"}
    words = listed.action("clean-up").words({"what": "logs", "days": 7, "site": "shop.example.com"})
    assert words[1:] == ["--what", "logs", "--older-than", "7", "shop.example.com"]

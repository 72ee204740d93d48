"""Does a probe get exactly one signed order, and is what became of it told as what it is?"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from monitors.models import Probe, ProbeJob
from monitors.probe import envelope
from monitors.probe.allowed import Action
from playbooks import signing
from playbooks.models import Run
from playbooks.steps import ordering
from playbooks.steps.base import Done, NotDone, Unsure
from portal.clock import database_now
from tests import cast
from tests.monitors import afar
from tests.monitors.afar import Speaker
from tests.playbooks.steps import scene

pytestmark = pytest.mark.django_db
CLEAN = {"kind": {"type": "choice", "choices": ["logs", "cache"]}, "days": {"type": "int", "min": 1, "max": 30}}
FILE = {
    "restart-web": Action(kind="service", unit="nginx.service", timeout_seconds=30),
    "restart-db": Action(kind="container", container="db"),
    "clean": Action(kind="script", argv=["/opt/clean", "{kind}", "{days}"], params=CLEAN),
}


@pytest.fixture
def lan() -> Probe:
    """Acme's private probe; its machine's file allows FILE."""
    return afar.new_probe("acme-lan", cast.acme())


@pytest.fixture
def speaker(lan: Probe) -> Speaker:
    """Its program, enrolled and speaking."""
    speaker = Speaker.enrolled(lan)
    offers(lan)
    return speaker


def offers(probe: Probe, **said: Any) -> None:
    """What it told the portal of its machine's file."""
    probe.refresh_from_db()
    shapes = [action.shape(name) for name, action in FILE.items()]
    probe.health = {**probe.health, "actions": shapes, "actions_trusted": True, "actions_why": "", **said}
    probe.save(update_fields=["health"])


def restart(**given: Any) -> Any:
    return scene.made("restart", **{"probe": "acme-lan", "action": "restart-web", **given})


def clean(**given: Any) -> Any:
    return scene.made("script", **{"probe": "acme-lan", "action": "clean", "params": {"kind": "logs", "days": 7}, **given})  # fmt: skip


def meanwhile(act: Callable[[], object]) -> Callable[[timedelta], None]:
    """A rest in which this happens, the first time."""
    left = [act]

    def rest(span: timedelta) -> None:
        if left:
            left.pop()()

    return rest


def answers(speaker: Speaker, state: str, **result: Any) -> Callable[[], None]:
    """The probe fetches the order and says how it ended."""

    def act() -> None:
        (job,) = speaker.work().json()["jobs"]
        said = json.dumps({"state": state, "result": result}).encode()
        assert speaker.ask("POST", f"jobs/{job['id']}", said).status_code == 200

    return act


def carried_out(step: Any, act: Callable[[], object], of: Run | None = None, **more: Any) -> Done:
    of = of or scene.run()
    return step.do(scene.context(of, step.kind, meanwhile(act), **more))


# --- The order ------------------------------------------------------------------------------------------------------------
def test_the_probe_gets_the_action_with_its_values_and_the_plans_hash_under_our_signature(speaker: Speaker) -> None:
    of, step = scene.run(), clean()
    done = carried_out(step, answers(speaker, "done", exit_code=0, output="3 files removed", seconds=1.25), of)
    job = ProbeJob.objects.get()
    order = envelope.opened(job.body, signing.signer().public_key())
    assert (order.action, order.params, order.plan_hash) == ("clean", {"kind": "logs", "days": 7}, scene.PLAN_HASH)
    assert (order.tenant, order.job) == (cast.acme().pk, f"run:{of.pk}:2")
    assert scene.row(of).job == job
    assert done.output == "3 files removed" and done.after == {"exit_code": 0, "seconds": 1.25}


def test_the_same_step_of_a_run_never_gives_a_second_order(speaker: Speaker) -> None:
    of, step = scene.run(), restart()
    context = scene.context(of, "restart", meanwhile(answers(speaker, "done", exit_code=0)))
    step.do(context)
    step.do(context)
    assert ProbeJob.objects.count() == 1


# --- How it ends ------------------------------------------------------------------------------------------------------------
def test_a_command_that_fails_is_known_and_its_words_are_kept(speaker: Speaker) -> None:
    with pytest.raises(NotDone, match="ended with code 3") as refusal:
        carried_out(clean(), answers(speaker, "failed", exit_code=3, output="disk is busy\x1b[2J", cut_bytes=5, seconds=2))  # fmt: skip
    assert refusal.value.output.startswith("disk is busy\ufffd[2J") and "5 bytes were left out" in refusal.value.output
    assert refusal.value.after == {"exit_code": 3, "seconds": 2}


@pytest.mark.parametrize(
    ("state", "why", "error", "sentence"),
    [
        ("refused", "This machine's file has no action 'restart-web'.", NotDone, "refused the order: This machine's"),
        ("expired", "", NotDone, "nothing was done"),
        ("failed", "It was not finished after 30 s and was ended.", NotDone, "not finished after 30 s"),
        ("unknown", "systemd did not finish within 30 s; it may still be at it.", Unsure, "may still be at it"),
        ("unknown", "", Unsure, "did not say how it ended"),
    ],
)
def test_every_end_is_told_as_what_it_is(speaker: Speaker, state: str, why: str, error: type[Exception], sentence: str) -> None:  # fmt: skip
    with pytest.raises(error, match=sentence):
        carried_out(restart(), answers(speaker, state, **({"why": why} if why else {})))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the step takes for the time; a test moves it on."""
    now = [0.0]
    monkeypatch.setattr(ordering.time, "monotonic", lambda: now[0])
    return now


def test_an_order_that_nobody_fetches_is_taken_back(speaker: Speaker, clock: list[float]) -> None:
    with pytest.raises(NotDone, match="taken back: nothing was done"):
        carried_out(restart(), lambda: clock.__setitem__(0, 1000.0))
    assert ProbeJob.objects.get().state == "expired" and not speaker.work().json().get("jobs")


def test_an_order_that_was_not_fetched_is_taken_back_when_the_portal_stops(speaker: Speaker) -> None:
    with pytest.raises(NotDone, match="taken back: nothing was done"):
        carried_out(restart(), lambda: None, stopping=lambda: True)
    assert ProbeJob.objects.get().state == "expired"


def test_an_order_that_was_fetched_is_not_taken_back_when_the_portal_stops(speaker: Speaker) -> None:
    stopping: list[bool] = []

    def fetched_and_later_done(span: timedelta) -> None:
        if not stopping:
            speaker.work()
            stopping.append(True)
        else:
            job = ProbeJob.objects.get()
            said = json.dumps({"state": "done", "result": {"exit_code": 0}}).encode()
            speaker.ask("POST", f"jobs/{job.pk}", said)

    context = scene.context(scene.run(), "restart", fetched_and_later_done, stopping=lambda: bool(stopping))
    assert restart().do(context).after == {"exit_code": 0}


def test_a_probe_that_takes_the_order_and_falls_silent_leaves_it_unknown(speaker: Speaker, clock: list[float]) -> None:
    def fetched_and_never_answered() -> None:
        speaker.work()
        clock[0] = 1000.0

    with pytest.raises(Unsure, match="took the order and did not say how it ended"):
        carried_out(restart(), fetched_and_never_answered)


# --- Before it -----------------------------------------------------------------------------------------------------------
def test_a_step_that_fits_has_no_problem(speaker: Speaker) -> None:
    assert restart().problem(cast.acme().pk) == clean().problem(cast.acme().pk) == restart().problem(None) == ""
    assert restart(action="restart-db").problem(cast.acme().pk) == ""


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (lambda: restart(probe="nowhere"), "no private probe “nowhere”"),
        (lambda: restart(probe="local"), "no private probe “local”"),
        (lambda: restart(action="format-disk"), "does not offer the action “format-disk”. It offers restart-web, restart-db."),
        (lambda: restart(action="clean"), "is of the kind script"),
        (lambda: clean(action="restart-web"), "is of the kind service"),
        (lambda: restart(timeout_seconds=20), "gives the action 30 s"),
        (lambda: clean(params={"kind": "logs"}), "needs the parameter “days”"),
        (lambda: clean(params={"kind": "logs", "days": 31}), "whole number from 1 to 30"),
        (lambda: clean(params={"kind": "logs", "days": "7"}), "whole number from 1 to 30"),
        (lambda: clean(params={"kind": "mail", "days": 7}), "one of logs, cache"),
        (lambda: clean(params={"kind": "logs", "days": 7, "x": 1}), "no parameter “x”"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_beforehand_and_never_ordered(speaker: Speaker, step: Any, sentence: str) -> None:
    assert sentence in step().problem(cast.acme().pk)
    with pytest.raises(NotDone):
        carried_out(step(), lambda: None)
    assert not ProbeJob.objects.exists()


def test_another_clients_probe_is_not_even_known(speaker: Speaker) -> None:
    assert "no private probe" in restart().problem(cast.globex().pk)
    of = scene.run(scene.playbook(None), client=cast.globex())  # the MSP's own playbook, in a run of Globex
    with pytest.raises(NotDone, match="another client's"):
        carried_out(restart(), lambda: None, of)
    assert not ProbeJob.objects.exists()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"revoked_at": database_now}, "revoked"),
        ({"enabled": lambda: False}, "disabled"),
        ({"last_seen_at": lambda: database_now() - timedelta(hours=1)}, "disconnected"),
        ({"clock_offset_ms": lambda: 90_000}, "clock off"),
    ],
)
def test_a_probe_that_would_not_hear_is_a_problem(lan: Probe, speaker: Speaker, fields: dict[str, Any], word: str) -> None:  # fmt: skip
    Probe.objects.filter(pk=lan.pk).update(**{name: value() for name, value in fields.items()})
    assert f"cannot be asked: {word}" in restart().problem(cast.acme().pk)


def test_a_machine_whose_file_is_not_to_be_believed_says_so(lan: Probe, speaker: Speaker) -> None:
    offers(lan, actions_trusted=False, actions_why="/etc/watchkeeper/actions.toml can be written by others.")
    assert "can be written by others" in restart().problem(cast.acme().pk)


def test_without_a_key_nothing_is_ordered(speaker: Speaker, settings: Any) -> None:
    settings.ACTION_SIGNING_KEY = ""
    with pytest.raises(NotDone, match="ACTION_SIGNING_KEY"):
        carried_out(restart(), lambda: None)
    assert not ProbeJob.objects.exists()


def test_a_form_sends_parameters_as_lines() -> None:
    step = clean(params='kind = logs\ndays=7\n\nwet = false\ntag="8"\n')
    assert step.config.params == {"kind": "logs", "days": 7, "wet": False, "tag": "8"}
    assert step.target() == "probe:acme-lan/clean" and "days=7, kind='logs', tag='8', wet=False" in step.sentence()

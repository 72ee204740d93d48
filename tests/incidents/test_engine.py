"""Incidents' two machines, as tables: a comment per rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from incidents import engine

pytestmark = pytest.mark.once
T = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("verb", "status", "target", "refusal"),
    [
        ("acknowledge", "triggered", "acknowledged", ""),
        ("acknowledge", "acknowledged", None, "It is acknowledged already."),
        ("acknowledge", "resolved", None, "It is resolved; reopen it first."),
        ("resolve", "triggered", "resolved", ""),  # without an acknowledgement before
        ("resolve", "acknowledged", "resolved", ""),
        ("resolve", "resolved", None, "It is resolved already."),
        ("reopen", "resolved", "triggered", ""),  # an explicit act, and nobody has it any more
        ("reopen", "triggered", None, "It is open; only a resolved incident can be reopened."),
        ("reopen", "acknowledged", None, "It is open; only a resolved incident can be reopened."),
    ],
)
def test_who_has_it(verb, status, target, refusal):
    assert engine.move(verb, status) == (target, refusal)


def test_every_verb_has_an_answer_to_every_status():
    for verb, status in product(engine.MOVES, (engine.TRIGGERED, engine.ACKNOWLEDGED, engine.RESOLVED)):
        target, refusal = engine.move(verb, status)
        assert (target is None) == bool(refusal)


@pytest.mark.parametrize(
    ("current", "wanted", "refusal"),
    [
        ("investigating", "identified", ""),
        ("investigating", "monitoring", ""),  # steps may be left out
        ("investigating", "resolved", ""),
        ("identified", "identified", ""),  # the same again: an update without a step
        ("monitoring", "identified", "The public status goes forward only: monitoring cannot go back to identified."),
        (
            "identified",
            "investigating",
            "The public status goes forward only: identified cannot go back to investigating.",
        ),
        ("resolved", "monitoring", "It is resolved; reopen it first."),
        ("resolved", "resolved", "It is resolved; reopen it first."),
        ("investigating", "fixed", "'fixed' is not a status; use investigating, identified, monitoring, resolved."),
    ],
)
def test_what_those_outside_are_told_goes_forward_only(current, wanted, refusal):
    assert engine.update_refused(current, wanted) == refusal


@pytest.mark.parametrize(
    ("source", "severity", "opens"),
    [
        ("endpoint", "critical", True),
        ("heartbeat", "critical", True),
        ("endpoint", "warning", False),  # degraded is no incident
        ("certificate", "critical", False),
        ("probe", "warning", False),
        ("incident", "critical", False),  # a person's incident opens no second one
    ],
)
def test_what_opens_an_incident(source, severity, opens):
    assert engine.opens_for(source, severity) is opens


@pytest.mark.parametrize(
    ("alert", "default", "severity"),
    [
        ("critical", "", "critical"),
        ("warning", "", "minor"),
        ("critical", "major", "major"),
        ("warning", "critical", "critical"),
    ],
)
def test_how_bad(alert, default, severity):
    assert engine.severity_for(alert, default) == severity


@pytest.mark.parametrize(
    ("service", "parent", "cause"),
    [
        (3, "monitor:9", "service:3"),  # the service before the parent
        (None, "monitor:9", "parent:monitor:9"),
        (None, "", "monitor:7"),  # its own cause
    ],
)
def test_the_cause(service, parent, cause):
    assert engine.cause_key(service=service, parent=parent, entity="monitor:7") == cause


@pytest.mark.parametrize(("last", "joins"), [(None, True), (0, True), (5, True), (5.1, False)])
def test_the_merge_window(last, joins):
    before = None if last is None else T - timedelta(minutes=last)
    assert engine.joins(before, T, 5) is joins


WHOLE = {
    "auto_created": True,
    "auto_resolve": True,
    "taken_over": False,
    "responder_status": "triggered",
    "open_alerts": 0,
}


@pytest.mark.parametrize(
    ("but", "may"),
    [
        ({}, True),
        ({"responder_status": "acknowledged"}, True),  # an acknowledgement is no decision against it
        ({"open_alerts": 1}, False),  # something is still wrong
        ({"auto_created": False}, False),  # a person opened it
        ({"auto_resolve": False}, False),  # a person asked for it to stay open
        ({"taken_over": True}, False),  # a person resolved or reopened it
        ({"responder_status": "resolved"}, False),  # it is over already
    ],
)
def test_when_the_machine_may_resolve(but, may):
    assert engine.machine_may_resolve(**{**WHOLE, **but}) is may

"""A verdict can be drawn again from what is stored, and a change of the judge shows itself."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from monitors.diagnosis.verdict import VERSION, judge
from monitors.models.diagnosis import Diagnosis
from portal.clock import database_now
from tests import cast
from tests.diagnosis.invented import invent

pytestmark = pytest.mark.django_db


def stored(fault: str, days_ago: float = 0, **changed: object) -> Diagnosis:
    """A diagnosis as it was written down, with these parts of its verdict changed."""
    evidence, _ = invent(1, fault, missing=0.0)
    verdict = json.loads(json.dumps({**judge(evidence), **changed}))
    at = database_now() - timedelta(days=days_ago)
    return Diagnosis.objects.create(
        monitor=cast.monitor(name=f"{fault} {days_ago}"), cause="failure", state="done", started_at=at, deadline_at=at, evidence=evidence, verdict=verdict,
        layer=verdict["layer"], confidence=verdict["confidence"], verdict_version=verdict["version"],
    )  # fmt: skip


def replay(*words: str) -> tuple[int, str, str]:
    """The command's exit code and what it wrote."""
    out, err = StringIO(), StringIO()
    try:
        call_command("replay_verdict", *words, stdout=out, stderr=err)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_the_same_evidence_gives_the_same_verdict():
    row = stored("port_closed")
    code, out, _ = replay(str(row.pk))
    assert (code, "port_closed" in out, "none of that version differs" in out) == (0, True, True)


def test_a_stored_verdict_of_this_version_that_differs_is_shown_and_fails():
    row = stored("port_closed", layer="dns")
    code, _, err = replay(str(row.pk))
    assert code == 1
    assert '- "layer": "dns"' in err and '+ "layer": "service"' in err


def test_another_version_may_differ():
    row = stored("port_closed", layer="dns", version=VERSION + 1)
    assert replay(str(row.pk))[0] == 0


def test_what_a_new_version_changes_is_counted():
    for fault, was in (("port_closed", "dns"), ("http_5xx", "dns"), ("certificate_expired", "tls")):
        stored(fault, days_ago=1, layer=was, version=VERSION + 1)
    stored("port_closed", days_ago=30, layer="dns", version=VERSION + 1)
    code, out, _ = replay("--compare", "--all-since", "7")
    assert code == 0
    assert [line.split(maxsplit=1)[1] for line in out.splitlines() if "→" in line] == [
        "dns → application", "dns → service", "tls → tls (as before)"
    ]  # fmt: skip


@pytest.mark.parametrize("words", [[], ["1", "--all-since", "3"], ["999999"], ["--all-since", "0"]])
def test_what_cannot_be_replayed_is_refused_in_a_sentence(words):
    with pytest.raises(CommandError, match=r"diagnosis|DAYS"):
        replay(*words)

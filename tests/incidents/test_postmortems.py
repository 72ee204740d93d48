"""What was learned: the draft is what is known, the text is a person's, and nobody's words are lost or do harm."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from alerts.models import Channel
from incidents import postmortems, services
from incidents.blocks import Grid, blocks_of
from incidents.documents import pdf, printable
from incidents.models import Postmortem
from incidents.postmortems import Moment, Story, draft
from incidents.spelling import literal, safe_cell
from portal.errors import Refused
from portal.markup import markdown
from tests import cast
from tests.alerts.stage import later, tell, trigger, webhook, well
from tests.incidents.test_services import ANA, opened, words

T = datetime(2026, 11, 21, 3, 14, 22, tzinfo=UTC)
HOSTILE = '<img src="http://127.0.0.1:9/x" onerror=alert(1)> | [x](javascript:alert(1)) ![p](http://127.0.0.1:9/p) **b** =HYPERLINK("http://x")'


def entry(kind: str, text: str, minute: int = 0, **data: object) -> dict:
    return {"at": T.replace(minute=14 + minute), "kind": kind, "by": "Ana", "text": text, "data": data}


STORY = Story(
    title="Checkout | down", severity="critical", client="Acme", service="Checkout", lead="Ana", zone="Europe/Berlin", affected=["shop"],
    moments=[Moment("began", "Began", T, "by the first failing check", ""), Moment("mitigated", "Mitigated", None, "", "")],
    entries=[
        entry("opened", "shop is down"), entry("page", "Told: Ana by SMS"), entry("verdict", "Loss at hop 7", 1, confidence=0.92),
        entry("update", "The standby takes over", 4, status="identified"), entry("edited", "title: a → b", 5),
    ],
)  # fmt: skip


def test_a_draft_says_what_is_known_and_leaves_room_for_the_rest():
    text = draft(STORY)
    assert "| Began | 2026-11-21 04:14:22 |  | by the first failing check |" in text, "in the client's zone"
    assert "| Mitigated | not known |  |  |" in text
    happened, told = text.split("## What happened")[1].split("## Who was told")
    assert "shop is down" in happened and "Identified: The standby takes over" in happened and "title" not in happened
    assert "Told: Ana by SMS" in told and "Told: Ana" not in happened
    assert "Loss at hop 7 (confidence 92%)" in text
    for section in ("## Summary", "## Causes", "## Follow\\-ups".replace("\\", "")):
        assert section in text
    assert draft(STORY) == text


def test_a_storm_is_drafted_in_few_lines():
    many = Story("x", "minor", entries=[entry("joined", f"alert {n}") for n in range(1000)])
    assert len(draft(many)) < postmortems.LIMIT and "880 more entries in between" in draft(many)


def test_hostile_words_stay_words():
    text = draft(Story(HOSTILE, "minor", entries=[entry("opened", HOSTILE)]))
    html = markdown(text, limit=postmortems.LIMIT)
    assert "<img" not in html and "<a " not in html and "&lt;img" in html and "<strong>b</strong>" not in html
    (table,) = [b for b in blocks_of(text) if isinstance(b, Grid) and "When" in b.head[0] and "What" in b.head]
    assert table.rows[0][1] == " ".join(HOSTILE.split()), "one cell, letter by letter"
    assert literal("a\n|b") == "a \\|b"


def test_paper_loads_nothing_and_prints_markup_as_words():
    page = pdf(
        "x",
        blocks_of(
            f"# {HOSTILE}\n\n{HOSTILE}\n\n```\n{HOSTILE}\n```\n\n| a |\n|---|\n| <para> </font> |\n\nж → ≥ \u202e end"
        ),
    )
    assert (
        page.startswith(b"%PDF") and b"/URI" not in page and b"http" not in page.replace(b"http://www.reportlab", b"")
    )
    assert page == pdf(
        "x",
        blocks_of(
            f"# {HOSTILE}\n\n{HOSTILE}\n\n```\n{HOSTILE}\n```\n\n| a |\n|---|\n| <para> </font> |\n\nж → ≥ \u202e end"
        ),
    )
    assert "\u202e" not in printable("a\u202eb") and printable("漢") in ("?", "漢")


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t=1", "'\t=1"),
        (" =1", "' =1"),
        ("shop", "shop"),
        (-1.5, -1.5),
        ("", ""),
    ],
)
def test_a_spreadsheet_finds_no_formula(cell, safe):
    assert safe_cell(cell) == safe


# --- On a database ---------------------------------------------------------------------------------------------------------
def begun() -> Postmortem:
    incident, _ = opened()
    return postmortems.open_for(incident, draft(postmortems.story_of(incident)), by=ANA, at=later(1))


@pytest.mark.django_db
def test_the_second_editor_is_told_and_loses_nothing():
    row = begun()
    postmortems.save(row, body="Ben's", version=1, by=cast.Actor("Ben"), at=later(2))
    with pytest.raises(postmortems.Conflict, match="Ben saved version 2 meanwhile") as conflict:
        postmortems.save(row, body="Ana's", version=1, by=ANA, at=later(3))
    assert conflict.value.row.body == "Ben's"
    postmortems.save(row, body="Both", version=2, by=ANA, at=later(4))
    row.refresh_from_db()
    assert (row.body, row.version, row.updated_by, row.edited) == ("Both", 3, "Ana", True)


@pytest.mark.django_db
def test_what_is_finished_changes_only_when_reopened():
    row = begun()
    postmortems.finish(row, by=ANA, at=later(2))
    with pytest.raises(Refused, match="It is finished; reopen it"):
        postmortems.save(row, body="x", version=1, by=ANA, at=later(3))
    with pytest.raises(Refused, match="finished already"):
        postmortems.finish(row, by=ANA, at=later(3))
    postmortems.reopen(row, by=ANA, at=later(4))
    assert postmortems.save(row, body="x", version=1, by=ANA, at=later(5)).body == "x"
    assert words(row.incident) == ["opened", "postmortem", "postmortem", "postmortem"]


@pytest.mark.django_db
def test_the_clients_document_names_none_of_our_own_channels():
    ours = webhook("Night desk of the MSP")
    theirs = Channel.objects.create(client=cast.acme(), name="Acme ops", type="webhook", config={"url": "https://hooks.example/acme"})  # fmt: skip
    trigger(ours, theirs)
    incident, _ = opened()
    text = draft(postmortems.story_of(incident))
    assert "Acme ops" in text and "Night desk" not in text


@pytest.mark.django_db
def test_times_with_how_each_is_known():
    incident, _ = opened()
    services.acknowledge(incident, by=ANA, at=later(0, 48))
    tell(well(7, later(10)))
    incident.refresh_from_db()
    told = {m.name: (m.after, m.known) for m in postmortems.moments(incident)}
    assert told == {
        "began": ("", "by the alert"),
        "detected": ("0 s", "by the alert"),
        "acknowledged": ("48 s", "said by a person"),
        "mitigated": ("10 min", "by the recovery of the last monitor"),
        "resolved": ("10 min", "by the recovery of the last monitor"),
    }


@pytest.mark.django_db
def test_over_the_api_with_the_version_that_was_changed():
    incident, _ = opened()
    alice, where = cast.api(cast.alice()), f"/api/v1/incidents/{incident.pk}/postmortem"
    assert alice.get(where).status_code == 404
    body = alice.patch(where, {}).json()
    assert body["version"] == 1 and body["body"].startswith("# monitor") and not body["edited"]
    assert alice.patch(where, {"body": "x"}).status_code == 400
    assert alice.patch(where, {"body": "x", "version": 1}).json()["version"] == 2
    answer = alice.patch(where, {"body": "y", "version": 1})
    assert answer.status_code == 409 and re.search("saved version 2 meanwhile", answer.json()["error"]["message"])
    assert alice.patch(where, {"finished": True}).json()["finished_at"]
    assert cast.api(cast.mallory()).get(where).status_code == 404


def test_lists_in_lists_and_quotations_keep_their_places_on_paper():
    found = blocks_of("> They said so.\n\n1. The lock\n   - never released\n   - never watched\n2. The script\n")
    quote, points = found
    assert quote.depth == 1 and points.ordered
    assert [type(item).__name__ for item in points.items] == ["Text", "Points", "Text"]
    inner = points.items[1]
    assert not inner.ordered and [item.runs[0][0] for item in inner.items] == ["never released", "never watched"]
    assert pdf("x", found).startswith(b"%PDF")

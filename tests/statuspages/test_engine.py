"""STP-2, I8, I10: what a page says of its parts, as tables."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from statuspages import colours, engine, words
from statuspages.engine import Cell, Day, Span

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER, BEFORE = AT + timedelta(hours=1), AT - timedelta(hours=1)
DAY_ONE = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["up", "up"], "operational"),
        (["up", "degraded"], "degraded"),
        (["up", "down"], "partial_outage"),
        (["degraded", "down"], "partial_outage"),
        (["down", "down"], "major_outage"),
        (["down"], "major_outage"),
        # Who has no voice changes nothing: paused, resting, unmeasured.
        (["down", "paused", "unknown", "maintenance", "pending"], "major_outage"),
        (["up", "unknown"], "operational"),
        # Nobody has a voice: resting when any rests, else no data; never down, never up.
        (["maintenance", "maintenance"], "under_maintenance"),
        (["maintenance", "unknown"], "under_maintenance"),
        (["unknown"], "unknown"),
        (["pending", "paused"], "unknown"),
        ([], "unknown"),
    ],
)
def test_what_monitors_make_of_a_component(states, status):
    assert engine.live(states) == status


@pytest.mark.parametrize(
    ("given", "status"),
    [
        # maintenance > by hand > incident > live
        ({"states": ["up"], "in_work": True, "override": "major_outage", "severities": ["critical"]}, "under_maintenance"),
        ({"states": ["maintenance"], "override": "operational", "severities": ["critical"]}, "under_maintenance"),
        ({"states": ["down"], "override": "operational", "severities": ["critical"]}, "operational"),
        ({"states": ["down"], "override": "degraded", "override_until": LATER}, "degraded"),
        ({"states": ["up"], "severities": ["minor"]}, "degraded"),
        ({"states": ["up"], "severities": ["major"]}, "partial_outage"),
        ({"states": ["up"], "severities": ["critical"]}, "major_outage"),
        ({"states": ["up"], "severities": ["minor", "critical", "major"]}, "major_outage"),
        ({"states": ["down"], "severities": ["minor"]}, "degraded"),
        # an override that has ended is none
        ({"states": ["up"], "override": "major_outage", "override_until": BEFORE}, "operational"),
        ({"states": ["up"], "override": "major_outage", "override_until": AT}, "operational"),
        ({"states": ["unknown"]}, "unknown"),
    ],
)  # fmt: skip
def test_who_has_the_last_word_about_a_component(given, status):
    assert engine.component_status(given.pop("states"), at=AT, **given) == status


@pytest.mark.parametrize(
    ("components", "severities", "state", "names"),
    [
        ([("A", "operational"), ("B", "operational")], [], "operational", []),
        ([("A", "operational"), ("B", "partial_outage"), ("C", "degraded")], [], "partial_outage", ["B"]),
        ([("A", "major_outage"), ("B", "major_outage")], [], "major_outage", ["A", "B"]),
        ([("A", "operational"), ("B", "unknown")], [], "unknown", ["B"]),
        ([("A", "under_maintenance"), ("B", "unknown")], [], "under_maintenance", ["A"]),
        ([], [], "unknown", []),
        # an incident that names no part of the page speaks for the page
        ([("A", "operational")], ["critical"], "major_outage", []),
    ],
)
def test_a_page_says_its_worst(components, severities, state, names):
    assert engine.page_state(components, severities) == (state, names)


def hours(monitor: int, first: datetime, count: int, **counts: int) -> list[Cell]:
    return [Cell(monitor, first + timedelta(hours=n), **counts) for n in range(count)]


def test_a_day_without_checks_is_no_data_whatever_state_was_left_standing():
    standing = [Span(1, "down", DAY_ONE - timedelta(days=3), AT)]
    bars = engine.bars(engine.days_of([], standing, UTC), AT.date(), 3)
    assert [(b["date"], b["up"], b["no_data"]) for b in bars] == [
        ("2026-11-19", None, True), ("2026-11-20", None, True), ("2026-11-21", None, True)
    ]  # fmt: skip


def test_hours_without_checks_are_neither_up_nor_down():
    """The portal was away for half of the day: the share is that of the other half."""
    cells = hours(1, DAY_ONE, 12, up=59, failing=1)
    day = engine.days_of(cells, [], UTC)[DAY_ONE.date()]
    assert (day.up, day.hours) == (98.3333, 12)


def test_a_down_that_no_check_bears_out_is_not_told():
    """Down when the portal went away, up at the first check after it: the hour of the return shows no outage."""
    cells = hours(1, DAY_ONE + timedelta(hours=10), 1, up=60)
    spans = [Span(1, "down", DAY_ONE, DAY_ONE + timedelta(hours=10, seconds=5))]
    assert engine.days_of(cells, spans, UTC)[DAY_ONE.date()].worst == "operational"


def test_a_failing_region_below_the_quorum_is_no_outage():
    cells = hours(1, DAY_ONE, 1, up=120, failing=60)
    spans = [Span(1, "degraded", DAY_ONE, DAY_ONE + timedelta(hours=1))]
    assert engine.days_of(cells, spans, UTC)[DAY_ONE.date()].worst == "degraded"


@pytest.mark.parametrize(("both", "worst"), [(False, "partial_outage"), (True, "major_outage")])
def test_one_of_two_down_is_partial_both_is_major(both, worst):
    cells = hours(1, DAY_ONE, 1, failing=60) + hours(2, DAY_ONE, 1, **({"failing": 60} if both else {"up": 60}))
    spans = [Span(m, "down", DAY_ONE, AT) for m in ((1, 2) if both else (1,))]
    day = engine.days_of(cells, spans, UTC)[DAY_ONE.date()]
    assert (day.worst, day.up) == (worst, 0.0 if both else 50.0)


def test_each_monitor_counts_the_same_however_often_it_is_checked():
    cells = hours(1, DAY_ONE, 1, up=3600) + hours(2, DAY_ONE, 1, failing=1)
    assert engine.days_of(cells, [], UTC)[DAY_ONE.date()].up == 50.0


def test_days_are_those_of_the_pages_calendar():
    lisbon = ZoneInfo("America/Sao_Paulo")  # three hours behind
    cells = hours(1, datetime(2026, 11, 21, 2, tzinfo=UTC), 1, up=60)
    assert list(engine.days_of(cells, [], lisbon)) == [date(2026, 11, 20)]


def test_only_flawless_is_a_hundred():
    almost = engine.days_of(
        hours(1, DAY_ONE, 24, up=3_000_000) + hours(1, DAY_ONE, 1, up=2_999_999, failing=1), [], UTC
    )
    assert almost[DAY_ONE.date()].up == 99.9999
    assert words.percent("en", 99.9999) == "99.99\u00a0%" and words.percent("pt", 99.9999) == "99,99\u00a0%"


@pytest.mark.parametrize(
    ("days", "share"),
    [
        ([Day(100.0, 24, "operational"), Day(0.0, 24, "major_outage")], 50.0),
        ([Day(100.0, 23, "operational"), Day(0.0, 1, "major_outage")], 95.8333),  # a day weighs what was measured of it
        ([Day(100.0, 24, "operational"), Day()], 100.0),
        ([Day(), Day()], None),
    ],
)
def test_the_share_over_many_days(days, share):
    assert engine.uptime(days) == share


def test_the_three_languages_say_the_same_things():
    keys = {language: set(table) for language, table in words.WORDS.items()}
    assert keys["en"] == keys["fr"] == keys["pt"] and set(words.CAUSES["fr"]) == set(words.CAUSES["en"]) == set(
        words.CAUSES["pt"]
    )
    for key, text in words.WORDS["en"].items():
        for other in ("fr", "pt"):
            assert {p for p in "abnp" if f"{{{p}}}" in text} == {
                p for p in "abnp" if f"{{{p}}}" in words.WORDS[other][key]
            }, key


@pytest.mark.parametrize(
    ("language", "status", "names", "text"),
    [
        ("en", "operational", [], "All systems operational"),
        ("en", "partial_outage", ["Checkout"], "Partial outage: Checkout"),
        ("fr", "major_outage", ["Paiement"], "Panne majeure : Paiement"),
        ("pt", "degraded", ["Loja", "Correio"], "Degradado: Loja, Correio"),
        ("en", "major_outage", ["A", "B", "C", "D", "E"], "Major outage: A, B, C and 2 more"),
        ("xx", "unknown", ["A"], "No data: A"),
    ],
)
def test_the_pages_sentence(language, status, names, text):
    assert words.sentence(language, status, names) == text


@pytest.mark.parametrize("accent", ["#ffff00", "#ffffff", "#000000", "#2563eb", "#808080", "#00ff7f", "red;}", "#777"])
def test_every_accent_can_be_read_on_both_papers(accent):
    light, dark = colours.pair(accent)
    assert colours.contrast(light, colours.LIGHT_PAPER) >= 4.5 and colours.contrast(dark, colours.DARK_PAPER) >= 4.5


def test_an_accent_that_can_be_read_is_left_alone():
    assert colours.readable("#1a58c4", colours.LIGHT_PAPER) == "#1a58c4"

"""Is a plain text cut where it may be cut: never in its links, its reference, or a name's end, whatever is counted?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from alerts.channels.plain import as_json, body, headline, octets
from tests.alerts.letters import GATHERED, PAGE, RECOVERED, TEST

pytestmark = pytest.mark.once
measures = pytest.mark.parametrize("measure", [len, octets], ids=["characters", "bytes"])
longs = pytest.mark.parametrize("long", ["x" * 3000, "ü" * 3000, "😀" * 3000, "a…b" * 1000])


def test_the_headline_says_word_place_and_cause() -> None:
    assert headline(PAGE, 200) == "[Down] Acme · shop — connection refused"
    assert headline(RECOVERED, 200) == "[Recovered] Acme · shop — after 6 min"
    assert headline(GATHERED, 200) == "[Gathered] 23 alerts: 22 critical, 1 recovered"
    assert headline(TEST, 200) == "[Test] Acme · shop"


@measures
@longs
@pytest.mark.parametrize("limit", [80, 130, 255, 1024])
def test_a_headline_fits_and_keeps_its_word_and_the_names_end(
    measure: Callable[[str], int], long: str, limit: int
) -> None:
    named = replace(PAGE, monitor={**PAGE.monitor, "name": f"{long}-eu-1"}, cause=long)
    said = headline(named, limit, measure)
    assert measure(said) <= limit and said.startswith("[Down] Acme") and "-eu-1" in said


@measures
@longs
def test_a_body_fits_and_keeps_its_links_and_its_reference(measure: Callable[[str], int], long: str) -> None:
    said = body(replace(PAGE, cause=long, facts=((long, long),), attempt=2), 500, measure, links=PAGE.links)
    assert measure(said) <= 500 and said.endswith("#K7Q (repeat)")
    assert all(f"{link.label}: {link.url}" in said for link in PAGE.links)


def test_a_vendor_that_folds_repeats_is_not_told_of_one() -> None:
    assert "(repeat)" not in body(replace(PAGE, attempt=2), 500, keyed=True)


def test_nothing_is_cut_that_fits() -> None:
    whole = body(PAGE, 10_000, links=PAGE.links)
    assert body(PAGE, len(whole), links=PAGE.links) == whole and "…" not in whole
    assert "…" in body(PAGE, len(whole) - 1, links=PAGE.links)


def test_json_is_utf8_and_a_lone_surrogate_breaks_nothing() -> None:
    assert as_json({"a": "ü\ud800"}) == '{"a":"ü?"}'.encode()

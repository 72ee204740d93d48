"""Do the pictures say what was measured, with no data, with holes, and with hostile names in them?"""

import re
from datetime import UTC, date, datetime, timedelta
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal import charts

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '"><script>alert(1)</script>&'


def parsed(svg: str) -> ElementTree.Element:
    """The picture as XML; also what every picture must hold to."""
    root = ElementTree.fromstring(svg)
    assert (
        root.get("width") == "100%"
        and root.get("role") == "img"
        and root.get("aria-label") == root.find(f"{SVG}title").text
    )
    for element in root.iter():
        assert element.tag != f"{SVG}script" and not {"style", "onload", "onclick"} & set(element.attrib)
    return root


def every(root: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [e for e in root.iter() if kind in (e.get("class") or "").split()]


def points(count: int, p50: float = 180, p95: float = 310) -> list[charts.Point]:
    return [(START + timedelta(minutes=5 * n), p50, p95) for n in range(count)]


@pytest.mark.parametrize(
    ("svg", "words"),
    [
        (charts.bars_90([]), "No history yet"),
        (charts.band([]), "No measurements in this period"),
        (charts.band([(START, None, None)]), "No measurements in this period"),
        (charts.phases_stacked([]), "No timings yet"),
        (charts.phases_stacked([{"label": "Frankfurt", "total": None}]), "No timings yet"),
    ],
)
def test_without_data_a_picture_says_so(svg: str, words: str) -> None:
    assert every(parsed(svg), "chart-empty")[0].text == words


def test_a_sparkline_without_data_is_a_quiet_line() -> None:
    assert "no data yet" in (parsed(charts.sparkline([])).get("aria-label") or "")
    assert every(parsed(charts.sparkline([None, None])), "spark-none")


def test_every_day_is_a_bar_with_its_own_words() -> None:
    days = [{"day": date(2026, 11, 18), "uptime": None}, {"day": date(2026, 11, 19), "uptime": 100}]
    days += [{"day": date(2026, 11, 20), "uptime": 99.2, "label": "11 min degraded"}, {"day": "today", "uptime": 91.0}]
    root = parsed(charts.bars_90(days))
    bars = every(root, "bar")
    assert [b.get("class") for b in bars] == ["bar bar-unknown", "bar bar-up", "bar bar-degraded", "bar bar-down"]
    assert [b[0].text for b in bars][1:3] == ["2026-11-19: 100%", "2026-11-20: 99.20%, 11 min degraded"]
    assert root.get("aria-label") == "Uptime over 4 days: 96.73%, 2 days with trouble"


def test_trouble_is_seen_without_colour_because_it_stands_taller() -> None:
    days = [{"day": n, "uptime": u} for n, u in enumerate([None, 100, 91])]
    heights = [int(b.get("height") or 0) for b in every(parsed(charts.bars_90(days)), "bar")]
    assert heights == sorted(heights) and len(set(heights)) == 3


def test_a_day_may_bring_its_own_status() -> None:
    root = parsed(charts.bars_90([{"day": 1, "uptime": 100, "status": "maintenance"}]))
    assert every(root, "bar-maintenance")


def test_the_band_names_units_zone_and_extremes() -> None:
    root = parsed(charts.band(points(200), zone=ZoneInfo("Europe/Zagreb"), usual=150))
    texts = [e.text for e in every(root, "axis")]
    assert {"100 ms", "400 ms", "12:00", "median to p95 · times in CET"} <= set(texts)
    assert "highest p95 310 ms" in (root.get("aria-label") or "") and every(root, "usual")


def test_the_axis_shows_mondays_when_hours_would_not_help() -> None:
    month = [(START + timedelta(hours=6 * n), 100.0, 200.0) for n in range(120)]
    assert "7 Dec" in [e.text for e in every(parsed(charts.band(month)), "axis")]


def test_a_hole_in_the_measurements_breaks_the_line() -> None:
    gap = points(10) + [(at + timedelta(hours=3), a, b) for at, a, b in points(10)]
    unknown = [
        *points(10),
        (START + timedelta(minutes=50), None, None),
        *((at + timedelta(minutes=55), a, b) for at, a, b in points(10)),
    ]
    for series in (gap, unknown):
        assert (every(parsed(charts.band(series)), "band-line")[0].get("d") or "").count("M") == 2
    assert (every(parsed(charts.band(points(20))), "band-line")[0].get("d") or "").count("M") == 1


def test_each_place_says_its_moment_and_what_was_wrong_then() -> None:
    mark = {"at": START + timedelta(minutes=20), "until": START + timedelta(minutes=30), "label": "Down: refused"}
    moments = every(parsed(charts.band(points(12), [mark])), "moment")
    said = [m[0].text for m in moments]
    assert said[0] == "20 Nov 09:00: median 180 ms, p95 310 ms" and said[4].endswith("p95 310 ms · Down: refused")
    assert sum(float((m.get("width") or "")[:-1]) for m in moments) == pytest.approx(100, abs=0.1), (
        "no gap between them"
    )


def test_of_many_measurements_in_one_place_the_worst_is_said() -> None:
    many = [*points(500), (START + timedelta(minutes=2500), 200.0, 999.0), *points(3)[3:]]
    said = [m[0].text for m in every(parsed(charts.band(many)), "moment")]
    assert len(said) <= charts.MOMENTS and said[-1].endswith("p95 999 ms")


def test_marks_stay_inside_the_picture() -> None:
    marks = [
        {"at": START - timedelta(hours=1), "until": START + timedelta(minutes=10), "label": "Down"},
        {"at": START + timedelta(minutes=20), "status": "maintenance", "label": "Window"},
        {"at": START + timedelta(days=2), "label": "later"},
    ]
    drawn = every(parsed(charts.band(points(12), marks)), "mark")
    spans = [(float(m.get("x", "")[:-1]), float(m.get("width", "")[:-1])) for m in drawn]
    assert all(x >= 0 and width > 0 and x + width <= 100 for x, width in spans)
    assert "mark-maintenance" in (drawn[1].get("class") or "")


def test_one_single_measurement_is_still_seen() -> None:
    path = every(parsed(charts.band(points(1))), "band-line")[0].get("d") or ""
    assert re.fullmatch(r"M0 [\d.]+L0\.5 [\d.]+", path)


def test_phases_share_one_scale_and_the_rest_is_the_download() -> None:
    rows = [
        {"label": "Frankfurt", "dns": 10, "connect": 20, "tls": 20, "first_byte": 30, "total": 100},
        {"label": "Ashburn", "dns": None, "connect": 50, "tls": 50, "first_byte": 50, "total": 200},
    ]
    root = parsed(charts.phases_stacked(rows))
    assert [e.get("width") for e in every(root, "phase-rest")] == ["10%", "25%"]
    assert len(every(root, "phase-dns")) == 1
    assert [e.text for e in every(root, "row-value")] == ["100 ms", "200 ms"]


def test_phases_longer_than_the_total_do_not_leave_the_picture() -> None:
    root = parsed(charts.phases_stacked([{"label": "x", "dns": 60, "connect": 60, "total": 100}]))
    assert sum(float((e.get("width") or "")[:-1]) for e in every(root, "phase")) == pytest.approx(100)


@pytest.mark.parametrize(
    "svg",
    [
        charts.bars_90([{"day": HOSTILE, "uptime": 99, "label": HOSTILE, "status": HOSTILE}]),
        charts.band(points(5), [{"at": START, "label": HOSTILE, "status": HOSTILE}]),
        charts.sparkline([1, 2], title=HOSTILE, unit=HOSTILE),
        charts.phases_stacked([{"label": HOSTILE, "total": 10}]),
    ],
)
def test_hostile_names_stay_text(svg: str) -> None:
    parsed(svg)
    assert "<script" not in svg and "alert(1)" in svg


@given(st.floats(min_value=0.01, max_value=10_000_000))
def test_an_axis_holds_its_value_with_few_lines(value: float) -> None:
    top, step = charts.nice_ceiling(value)
    assert top >= value * 0.999_999 and 1 <= round(top / step) <= 4


@given(st.lists(st.one_of(st.none(), st.floats(min_value=0, max_value=1e7)), max_size=60))
def test_any_series_is_a_valid_picture(values: list[float | None]) -> None:
    parsed(charts.sparkline(values))
    parsed(charts.band([(START + timedelta(minutes=n), v, v if v is None else v * 2) for n, v in enumerate(values)]))

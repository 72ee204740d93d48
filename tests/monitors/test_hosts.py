"""When is a machine's figure too high for too long, when will a disk be full, and when is a container unwell? Pure rules."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitors import checks
from monitors.hosts import judging, thresholds, trend
from monitors.hosts.judging import Rules
from monitors.hosts.thresholds import CPU, Finding, Threshold

pytestmark = pytest.mark.once
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
USUAL = Rules()
BUSY = Threshold("cpu_percent", CPU, "CPU", " %", 90, 98, minutes=10, margin=5)


def minutes(n: float) -> datetime:
    return NOON + timedelta(minutes=n)


def course(values: list[float | None], t: Threshold = BUSY, name: str = "cpu_percent") -> list[str]:
    """What is said after each minute's figure: the severity, `over`, or nothing."""
    crossed: thresholds.Crossed = {}
    said = []
    for n, value in enumerate(values):
        crossed, found = thresholds.judge({name: value} if value is not None else {}, crossed, [t], minutes(n))
        said.append((found[0].severity if found[0].failing else "over") if found else "")
    return said


# --- Thresholds -------------------------------------------------------------------------------------------------------
def test_ten_minutes_above_the_limit_speak_and_nine_do_not():
    assert course([95.0] * 11) == [""] * 10 + ["warning"]
    assert course([95.0] * 10 + [80.0]) == [""] * 11


def test_a_dip_below_the_limit_begins_the_minutes_anew():
    assert course([95.0] * 8 + [89.0] + [95.0] * 10) == [""] * 19


def test_it_is_over_only_when_it_came_back_by_the_margin():
    said = course([95.0] * 11 + [88.0, 86.0, 84.0, 95.0])
    assert said[10:] == ["warning", "warning", "warning", "over", ""]


def test_the_second_limit_raises_it_and_falling_below_eases_it():
    said = course([95.0] * 11 + [99.0] * 11 + [92.0, 80.0])
    assert said[10:12] == ["warning", "warning"] and said[21:] == ["critical", "warning", "over"]


def test_a_hole_in_what_is_known_breaks_the_minutes_but_not_what_speaks_already():
    crossed, _ = thresholds.judge({"cpu_percent": 95}, {}, [BUSY], NOON)
    crossed, found = thresholds.judge({"cpu_percent": 95}, crossed, [BUSY], minutes(12))
    assert not found, "nobody saw those twelve minutes"
    crossed, found = thresholds.judge({"cpu_percent": 95}, crossed, [BUSY], minutes(16))
    crossed, found = thresholds.judge({"cpu_percent": 95}, crossed, [BUSY], minutes(20))
    crossed, found = thresholds.judge({"cpu_percent": 95}, crossed, [BUSY], minutes(23))
    assert found[0].failing
    _, found = thresholds.judge({"cpu_percent": 95}, crossed, [BUSY], minutes(60))
    assert found[0].failing


def test_each_disk_is_a_figure_of_its_own_and_one_that_is_gone_is_well():
    disk = Threshold("disk_percent", thresholds.DISK, "Disk", " %", 85, 95)
    crossed, found = thresholds.judge(
        {"disk_percent:/": 86, "disk_percent:/srv": 97, "disk_percent:/ok": 10}, {}, [disk], NOON
    )
    assert [(f.name, f.severity) for f in found] == [("disk_percent:/", "warning"), ("disk_percent:/srv", "critical")]
    assert found[1].words("web-1") == ("Disk /srv of web-1 above 95 %", "Disk /srv is at 97 % and has been above 95 %.")
    crossed, found = thresholds.judge({"disk_percent:/": 86}, crossed, [disk], minutes(1))
    assert [(f.name, f.failing) for f in found] == [("disk_percent:/", True), ("disk_percent:/srv", False)]


def test_a_threshold_that_was_turned_off_ends_what_it_said():
    crossed, _ = thresholds.judge({"cpu_percent": 99}, {}, [Threshold("cpu_percent", CPU, "CPU", "", 90)], NOON)
    off = Threshold("cpu_percent", CPU, "CPU", "", None)
    assert thresholds.judge({"cpu_percent": 99}, crossed, [off], minutes(1)) == (
        {},
        [Finding("cpu_percent", CPU, False)],
    )


def test_hours_until_full_are_bad_when_few():
    left = Threshold("disk_full_in_hours", thresholds.DISK, "Time left on disk", " h", 24, 4, margin=6, below=True)
    name = "disk_full_in_hours:/"
    assert course([30.0, 24.0, 27.0, 3.0, 9.0, 11.0, 31.0, None], left, name) == [
        "", "warning", "warning", "critical", "critical", "warning", "over", "",
    ]  # fmt: skip


def test_every_default_of_a_host_names_a_figure_and_an_event_of_the_specification():
    limits = thresholds.of_host(checks.parse("host", {}))
    assert {t.event for t in limits} == {"cpu_threshold", "memory_threshold", "disk_threshold"}
    by_figure = {t.figure: (t.warning, t.critical, t.minutes) for t in limits}
    assert by_figure["cpu_percent"] == (90, None, 10) and by_figure["disk_percent"] == (85, 95, 5)


# --- The line into the future -----------------------------------------------------------------------------------------
def line(
    hours: float, start: float, per_hour: float, noise: float = 0.0, every: float = 0.25
) -> list[tuple[datetime, float]]:
    dice = random.Random(7)
    steps = int(hours / every)
    return [
        (NOON + timedelta(hours=n * every), start + n * every * per_hour + dice.uniform(-noise, noise)) for n in range(steps + 1)
    ]  # fmt: skip


def test_a_disk_that_fills_steadily_has_its_hour():
    assert trend.full_in_hours(line(24, 60, 1)) == pytest.approx(16, abs=0.1)
    assert trend.full_in_hours(line(24, 60, 1, noise=1)) == pytest.approx(16, abs=1.5)


def test_an_outlier_does_not_bend_the_line():
    points = line(24, 60, 1)
    points[30] = (points[30][0], 99.0)
    points[50] = (points[50][0], 5.0)
    assert trend.full_in_hours(points) == pytest.approx(16, abs=0.2)


@pytest.mark.parametrize(
    ("points", "why"),
    [
        (line(24, 60, 0), "it stands still"),
        (line(24, 90, -1), "it empties"),
        (line(2, 60, 5), "two hours are too short"),
        (line(24, 60, 1, every=4), "seven points are too few"),
        (line(24, 60, 0.2, noise=15), "it scatters"),
        (line(24, 20, 0.1), "a month and more away"),
        ([(at, 60 + (n % 24) * 1.0) for n, (at, _) in enumerate(line(24, 0, 0))], "a saw-tooth that is cleaned up"),
        (line(12, 60, 1) + [(NOON + timedelta(hours=12 + n / 4), 72.0) for n in range(1, 49)], "it has stopped"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_without_a_steady_rise_nothing_is_foretold(points, why):
    assert trend.full_in_hours(points) is None, why


# --- Containers -------------------------------------------------------------------------------------------------------
def box(**more: Any) -> dict[str, Any]:
    return {
        "name": "shop", "id": "a1", "image": "acme/shop:1.2.3", "state": "running", "health": "", "restart_count": 0, "policy": "no", "exit_code": 0,
        "oom_killed": False, "started_at": None, "finished_at": None, "values": {}, "labels": {}, "update": None, **more,
    }  # fmt: skip


def story(*pictures: dict[str, Any], rules: Rules = USUAL, every: float = 1) -> list[list[tuple[str, str]]]:
    """(condition, severity or `over`) after each look, a minute apart."""
    kept: dict[str, Any] = {}
    restarts: list[str] = []
    told = []
    for n, picture in enumerate(pictures):
        judged = judging.judge(picture, kept, restarts, rules, minutes(n * every))
        kept, restarts = judged.kept, judged.restarts
        told.append([(s.condition, s.severity if s.failing else "over") for s in judged.said])
    return told


def test_one_that_ends_badly_is_down_until_it_runs_again():
    assert story(box(), box(state="exited", exit_code=1), box(state="exited", exit_code=1), box()) == [
        [], [("state", "warning")], [("state", "warning")], [("state", "over")],
    ]  # fmt: skip


def test_a_job_that_ended_well_is_no_alert_but_one_that_is_to_run_is():
    assert story(box(), box(state="exited")) == [[], []]
    assert story(box(policy="unless-stopped"), box(state="exited", policy="unless-stopped")) == [
        [],
        [("state", "warning")],
    ]


def test_what_lay_dead_for_long_when_it_was_seen_first_is_history():
    old = box(state="exited", exit_code=1, finished_at=(NOON - timedelta(days=30)).isoformat())
    assert story(old, old) == [[], []]
    fresh = box(state="exited", exit_code=1, finished_at=(NOON - timedelta(minutes=10)).isoformat())
    assert story(fresh) == [[("state", "warning")]]


def test_three_restarts_within_ten_minutes_are_a_loop_and_nine_are_critical():
    looks = [box(restart_count=n) for n in range(10)] + [box(restart_count=9)] * 10
    told = story(*looks)
    assert told[2] == [] and told[3] == [("restarts", "warning")] and told[8] == [("restarts", "warning")]
    assert told[9] == [("restarts", "critical")]
    assert told[-2] == [("restarts", "warning")] and told[-1] == [("restarts", "over")], "calm for ten minutes"


def test_restarts_of_long_ago_do_not_count():
    assert story(box(restart_count=500), box(restart_count=501), box(restart_count=502)) == [[], [], []]
    assert story(box(), box(restart_count=1), box(restart_count=2), box(restart_count=3), every=5) == [[], [], [], []]


def test_one_made_anew_counts_from_its_own_beginning():
    assert story(box(restart_count=1), box(id="b2", restart_count=7), box(id="b2", restart_count=8)) == [[], [], []]


def test_a_loop_says_enough_there_is_no_second_alert_that_it_is_down():
    looks = [box(restart_count=n, policy="always", state="restarting", exit_code=1) for n in range(4)]
    told = story(*looks, box(restart_count=4, policy="always", state="exited", exit_code=1))
    assert told[3] == [("restarts", "warning")] and told[4] == [("restarts", "warning")]


def test_an_unhealthy_one_is_told_and_a_starting_one_neither_raises_nor_clears():
    told = story(*(box(health=h) for h in ("healthy", "unhealthy", "starting", "healthy")))
    assert told == [[], [("healthcheck", "warning")], [], [("healthcheck", "over")]]


def test_a_kill_for_want_of_memory_is_named():
    judged = judging.judge(
        box(state="exited", exit_code=137, oom_killed=True), {"ran": True, "id": "a1"}, [], Rules(), NOON
    )
    assert judged.said[0].message == "It was killed because it ran out of memory (OOM)."
    judged = judging.judge(box(state="exited", exit_code=137), {"ran": True, "id": "a1"}, [], Rules(), NOON)
    assert judged.said[0].message == "It ended with exit code 137 (killed)."


def test_a_loop_names_what_ended_it():
    looks = [box(restart_count=n, exit_code=137, oom_killed=True) for n in range(4)]
    kept, restarts = {}, []
    for n, look in enumerate(looks):
        judged = judging.judge(look, kept, restarts, USUAL, minutes(n))
        kept, restarts = judged.kept, judged.restarts
    assert judged.said[0].message == "3 restarts within 10 minutes; it was killed because it ran out of memory (OOM)."


@pytest.mark.parametrize(
    ("update", "severity"),
    [
        ({"tag": "1.3.0", "digest": "", "major": False}, "info"),
        ({"tag": "1.2.3", "digest": "sha256:x", "major": False}, "info"),
        ({"tag": "2.0.0", "digest": "", "major": True}, "critical"),
    ],
)
def test_a_newer_image_is_information_and_another_major_critical(update, severity):
    told = story(box(), box(update=update), box(update=None), box(update={}))
    assert told == [[], [("update", severity)], [], [("update", "over")]], "not knowing clears nothing"


def test_labels_count_over_the_monitors_settings():
    rules = Rules("warning", None, 90, 10)
    assert judging.rules_for(rules, {"severity": "Critical", "cpu_percent": "150%", "memory_percent": "off", "updates": "off"}) == Rules(
        "critical", 150, None, 10, False
    )  # fmt: skip
    assert judging.rules_for(rules, {"severity": "loud", "cpu_percent": "much", "memory_percent": "nan"}) == rules


def test_memory_near_its_limit_is_told_after_its_minutes():
    full = box(values={"memory_percent": 96.0, "cpu_percent": 400.0})
    told = story(*[full] * 12, box(values={"memory_percent": 40.0}), rules=Rules(memory_percent=90, minutes=10))
    assert told[9] == [] and told[10] == [("memory_percent", "warning")] and told[12] == [("memory_percent", "over")]


def test_one_that_was_taken_away_ends_without_a_word():
    judged = judging.gone({"id": "a1", "open": ["restarts", "state"]})
    assert [(s.condition, s.failing, s.quiet) for s in judged.said] == [
        ("restarts", False, True),
        ("state", False, True),
    ]
    assert judged.kept["open"] == []

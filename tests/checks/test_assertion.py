"""Which answers are the wanted ones? Tables for statuses, words, patterns and JSON paths."""

from __future__ import annotations

from typing import Any

import pytest

from monitors.checks import assertion

CATASTROPHES = ["(a+)+$", "(a|aa)+$", "(.*a){25}", "([a-zA-Z]+)*$", "(a|a?)+$", r"^(\w+\s?)*$"]


@pytest.mark.parametrize(
    ("text", "accepted", "refused"),
    [
        ("200-299", [200, 299], [199, 300]),
        ("200-299,401", [401], [400, 402]),
        (" 204 , 500-503 ", [204, 500, 503], [205, 504]),
    ],
)
def test_accepted_statuses(text: str, accepted: list[int], refused: list[int]) -> None:
    ranges = assertion.parse_statuses(text)
    assert all(assertion.accepts(ranges, status) for status in accepted)
    assert not any(assertion.accepts(ranges, status) for status in refused)


@pytest.mark.parametrize("text", ["2x", "", "200-", "20", "600", "200,,201", "299-200", "²00", "200\n"[:3] + "\x00"])
def test_statuses_that_make_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match="not a status or a range such as 200-299|runs backwards"):
        assertion.parse_statuses(text)


@pytest.mark.parametrize("pattern", CATASTROPHES)
def test_a_catastrophic_pattern_is_harmless(pattern: str) -> None:
    assertion.contains("a" * 200_000 + "!", pattern, "regex")  # a backtracking engine would never come back


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)", "a" * 501, "((((a{1000}){1000}){1000}){1000})"])
def test_a_pattern_that_re2_cannot_run_is_refused_with_a_sentence(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        assertion.compile_pattern(pattern)


def test_keywords() -> None:
    assert assertion.contains("all is well", "well", "present")
    assert not assertion.contains("all is well", "Well", "present")
    assert assertion.contains("all is well", "error", "absent")
    assert not assertion.contains("an error", "error", "absent")
    assert assertion.contains("build 42", r"build \d+", "regex")


DOCUMENT = {"a": {"b": [{"c d": 1}, "x"]}, "null": None, "n-1": True, "0": "text"}


@pytest.mark.parametrize(
    ("path", "found", "value"),
    [
        ("$", True, DOCUMENT),
        ("$.a.b[0]['c d']", True, 1),
        ('$.a["b"][1]', True, "x"),
        ("$.n-1", True, True),
        ("$['0']", True, "text"),
        ("$.null", True, None),  # there, and null
        ("$.a.b[2]", False, None),
        ("$.a.b.c", False, None),
        ("$.a[0]", False, None),  # an index into an object
        ("$['a'][0].x", False, None),
    ],
)
def test_json_paths(path: str, found: bool, value: Any) -> None:
    assert assertion.find(DOCUMENT, assertion.parse_path(path)) == (found, value)


@pytest.mark.parametrize(
    "path",
    ["a.b", "", "$..a", "$.a[*]", "$[?(@.x)]", "$.a[-1]", "$.", "$.a[", "$['a\\'b']", "$" + ".a" * 33, "$" * 501],
)
def test_paths_that_are_not_understood(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        assertion.parse_path(path)


@pytest.mark.parametrize(
    ("value", "expected", "same"),
    [
        ("ok", "ok", True),
        (200, "200", True),  # a form can only send text
        (200, 200, True),
        (1.5, "1.5", True),
        (True, "true", True),
        (None, "null", True),
        (True, 1, False),
        (1, True, False),
        ("1", 1, False),
        ({"a": [1]}, {"a": [1]}, True),
        ({"a": 1}, '{"a": 1}', False),
    ],
)
def test_json_values(value: Any, expected: Any, same: bool) -> None:
    assert assertion.equals(value, expected) is same


@pytest.mark.parametrize("body", [b"[" * 500_000, b'{"a":' * 200_000, b"", b"\xff", b"9" * 100_000])
def test_a_json_bomb_is_simply_not_json(body: bytes) -> None:
    with pytest.raises(ValueError):
        assertion.read_json(body)

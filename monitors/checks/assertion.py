"""Is this answer the one that was wanted? Statuses, words, patterns and JSON paths, as pure functions.

Patterns run only in RE2 (linear time) and JSON paths are a small subset that cannot loop, so no answer can be costly.
"""

import functools
import json
import re
from typing import Any

import re2

MOST_PATTERN = 500
MOST_STEPS = 32
_STATUS = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", re.ASCII)
_STEP = re.compile(r"""\.([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]{1,6})\]|\['([^'\]\\]+)'\]|\["([^"\]\\]+)"\]""", re.ASCII)

Ranges = tuple[tuple[int, int], ...]
Path = tuple[str | int, ...]


@functools.lru_cache(maxsize=512)
def parse_statuses(text: str) -> Ranges:
    """Ranges of accepted HTTP statuses from "200-299,401"; raises ValueError with the part that does not fit."""
    ranges = []
    for part in text.split(","):
        match = _STATUS.fullmatch(part.strip())
        if not match:
            raise ValueError(f"'{part.strip()[:20]}' is not a status or a range such as 200-299")
        low, high = int(match[1]), int(match[2] or match[1])
        if high < low:
            raise ValueError(f"'{part.strip()}' runs backwards; write {high}-{low}")
        ranges.append((low, high))
    return tuple(ranges)


def accepts(ranges: Ranges, status: int) -> bool:
    """Whether `status` lies in one of the ranges, ends included."""
    return any(low <= status <= high for low, high in ranges)


@functools.lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> Any:
    """A compiled RE2 pattern; raises ValueError with a sentence."""
    if len(pattern) > MOST_PATTERN:
        raise ValueError(f"The pattern is longer than {MOST_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(
            f"The pattern is not valid RE2 ({reason}); look-around and back-references do not exist"
        ) from None


def contains(text: str, keyword: str, mode: str) -> bool:
    """Whether the text is as wanted: keyword "present", "absent", or pattern found ("regex")."""
    if mode == "regex":
        return compile_pattern(keyword).search(text) is not None
    return (keyword in text) == (mode == "present")


@functools.lru_cache(maxsize=512)
def parse_path(text: str) -> Path:
    """Steps of a JSON path such as $.data.items[0]['a b']; raises ValueError."""
    if len(text) > MOST_PATTERN:
        raise ValueError(f"The path is longer than {MOST_PATTERN} characters")
    if not text.startswith("$"):
        raise ValueError("A JSON path begins with $, such as $.status or $.items[0].name")
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if not match:
            raise ValueError(
                f"The JSON path is not understood from '{text[at : at + 20]}' on; use .name, [0] or ['name']"
            )
        name, index, single, double = match.groups()
        steps.append(int(index) if index is not None else name or single or double)
        at = match.end()
    if len(steps) > MOST_STEPS:
        raise ValueError(f"The path has more than {MOST_STEPS} steps")
    return tuple(steps)


def find(document: Any, path: Path) -> tuple[bool, Any]:
    """(True, value) at the path, or (False, None)."""
    here = document
    for step in path:
        fits = step < len(here) if isinstance(step, int) and isinstance(here, list) else False
        if isinstance(step, str) and isinstance(here, dict):
            fits = step in here
        if not fits:
            return False, None
        here = here[step]
    return True, here


def read_json(body: bytes) -> Any:
    """The JSON document; raises ValueError for anything else, also for one nested too deeply."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def equals(value: Any, expected: Any) -> bool:
    """Equal as JSON (1 is not true), or equal in text, since a form can only send text: 200 fits "200", null fits "null"."""
    if isinstance(value, bool) != isinstance(expected, bool):
        return isinstance(expected, str) and json.dumps(value) == expected
    if isinstance(expected, str) and not isinstance(value, str):
        return isinstance(value, int | float | None) and json.dumps(value) == expected
    return bool(value == expected)

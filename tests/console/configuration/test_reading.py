"""Is a YAML text read safely, and as people mean it? Words stay words; bombs, depths and tricks end in a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from console.configuration import reading
from console.configuration.reading import Unreadable, parse
from console.configuration.secret import RESERVED, Names, Secret, filled, free
from console.configuration.writing import text_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("text", "value"), [
    ("yes", "yes"), ("no", "no"), ("on", "on"), ("12:30", "12:30"), ("19:00:00", "19:00:00"), ("2026-01-01", "2026-01-01"), ("0123", "0123"), ("1e3", "1e3"),
    ("true", True), ("False", False), ("12", 12), ("-3", -3), ("1.50", 1.5), ("~", None), ("", None), ("'12'", "12"), ('"true"', "true"), ("!!str 12", "12"),
    ("=", "="), ("0x1f", "0x1f"), ("1_000", "1_000"), (".inf", ".inf"),
])  # fmt: skip
def test_words_are_words_and_numbers_numbers(text: str, value: object):
    assert parse(f"a: {text}").plain() == {"a": value}


def test_what_is_written_is_read_again_as_it_was():
    values = {
        "a": [
            "yes",
            "12:30",
            "1e3",
            "0123",
            "2026-01-01",
            "null",
            " x ",
            "two\nlines\n",
            "tab\tand\nline",
            "“—”",
            "#no",
            "- x",
            "a: b",
            "",
        ],
        "b": {"c": [True, None, 3, 1.5]},
    }
    assert parse(text_of(values)).plain() == values


def test_a_value_knows_its_line():
    node = parse("a:\n  - b: 1\n    c:\n      d: 2\n")
    assert (
        node.line_of(("a", 0, "c", "d")) == 4 and node.line_of(("a", 0, "missing")) == 2 and node.line_of(("a", 7)) == 2
    )


def test_anchors_and_merges_work():
    assert parse("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  l: 3\nc: *x\n").plain() == {
        "a": {"k": 1, "l": 2},
        "b": {"k": 1, "l": 3},
        "c": {"k": 1, "l": 2},
    }


LAUGHS = "\n".join(
    ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | WORDS | st.sampled_from(["yes", "1e5", "12:30", "0x1", "~", "<<", "a: b", "two\nlines"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(WORDS.filter(lambda word: word != "<<"), VALUES, min_size=1, max_size=3))
@settings(max_examples=60)
def test_whatever_is_written_is_read_again(values: dict):
    assume("<<" not in str(values))
    assert parse(text_of(values)).plain() == values


@given(st.text("abc:-[]{}&*!<>|? \n\t'\"#%@,0=", max_size=60))
@settings(max_examples=200)
def test_no_text_does_worse_than_being_refused(text: str):
    try:
        parse(text).plain()
    except Unreadable as error:
        assert str(error)


@pytest.mark.parametrize(("text", "said"), [
    (LAUGHS, "more than 1,000,000 values, aliases counted in full"),
    ("a: &a [*a]", "stands inside what it names"),
    ("a: &a {b: {<<: *a}}", "stands inside what it names"),
    ("a: *b", "There is no &b above"),
    ("[" * 50_000, "nested more than 32 deep"),
    ("{a: " * 50_000, "nested more than 32 deep"),
    ("a: 1\nb: 2\na: 3", "“a” stands twice in this mapping (first in line 1)"),
    ("a: !!python/object/apply:os.system [id]", "is not known here; only !secret NAME is"),
    ("a: !!binary aGk=", "is not known here"),
    ("a: !secret lower-case", "the name of an environment variable"),
    ("? [1, 2]\n: x", "A key is one word"),
    ("a: 1\n---\nb: 2", "One document in a file"),
    ("a: [1", "This is not YAML"),
    ("a: \x07", "This is not YAML"),
    ("a:\n\t- b", "This is not YAML"),
])  # fmt: skip
def test_what_is_no_configuration_ends_in_a_sentence(text: str, said: str):
    with pytest.raises(Unreadable, match=re.escape(said)):
        parse(text)


def test_the_line_of_a_mistake_is_known():
    with pytest.raises(Unreadable) as error:
        parse("a: 1\nb: [\n")
    assert error.value.line == 3


def test_a_text_that_is_too_large_is_not_begun(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "LARGEST", 100)
    with pytest.raises(Unreadable, match="larger than"):
        parse("a: " + "x" * 200)


def test_the_portals_own_secrets_cannot_be_named():
    """Whoever may write a file must not have them sent somewhere."""
    read = re.findall(
        r"env\.text\(\s*\"([A-Z0-9_]+)\"|env\.database\(\s*\"([A-Z0-9_]+)\"", (ROOT / "portal/settings.py").read_text()
    )
    secretive = {
        name
        for pair in read
        for name in pair
        if re.search("KEY|SECRET|PASSWORD|DATABASE|REDIS|WEBHOOK|HEARTBEAT", name)
    }
    assert {"SECRET_KEY", "SMTP_PASSWORD"} <= RESERVED and secretive <= RESERVED
    for name in RESERVED:
        with pytest.raises(Unreadable, match="this portal's own secret"):
            parse(f"a: !secret {name}")
    assert free({"SECRET_KEY": "x", "MINE": "y"}) == {"MINE": "y"}


# --- Secrets ------------------------------------------------------------------------------------------------------------
def test_a_secret_prints_as_a_word_only():
    secret = filled(parse("!secret KEY").plain(), {"KEY": "canary"})
    assert secret.value == "canary" and f"{secret} {secret!r} {[secret]}" == "(secret) (secret) [(secret)]"


def test_secrets_are_the_same_when_their_values_are_or_nothing_is_known():
    assert Secret("A", "x") == Secret("B", "x") and Secret("A", "x") != Secret("A", "y")
    assert Secret("A") == Secret(value="x") and Secret("A", "x") != "x"
    hashed = Secret(value="hash", fits=lambda text: text == "open sesame")
    assert Secret("P", "open sesame") == hashed and hashed != Secret("P", "other")


def test_names_are_clear_and_each_there_once():
    names = Names()
    given = [
        names.give("acme", "monitor", "Shop é 1", "password"),
        names.give("acme", "monitor", "shop ü 1", "password"),
        names.give("1st"),
    ]
    assert given == ["ACME_MONITOR_SHOP_1_PASSWORD", "ACME_MONITOR_SHOP_1_PASSWORD_2", "_1ST"]

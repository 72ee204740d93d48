"""How are outside bodies read? Tables of paths, words and samples; nothing here touches a database."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.inbound import alertmanager, event, events, generic, keys
from alerts.inbound.mappings import SAMPLES

pytestmark = pytest.mark.once
BODY = {
    "alert": {"items": [{"name": "a"}, {"name": "b"}], "title": "T", "none": None, "0": "zero"},
    "a name": {"x.y": 7},
    "list": [[1, 2]],
    "flag": False,
}


# --- Paths --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.alert.title", "T"),
        ("alert.title", "T"),
        ("alert.items[1].name", "b"),
        ("$.alert.items[0]['name']", None),
        ('$["a name"]["x.y"]', 7),
        ("$.list[0][1]", 2),
        ("$.flag", False),
        ("$.alert.0", "zero"),
        ("$", BODY),
    ],
)
def test_a_path_finds_what_stands_there(path, value):
    if value is None:
        with pytest.raises(ValueError):
            generic.path(path)
    else:
        assert generic.at(BODY, generic.path(path)) == value


@pytest.mark.parametrize(
    "path", ["$.nothing", "alert.items[9].name", "alert.title.more", "alert[0]", "list.first", "$.alert.items.name"]
)
def test_a_path_to_nothing_finds_nothing(path):
    assert generic._read(path, BODY) is generic._MISSING


@pytest.mark.parametrize(
    "path",
    [
        "",
        "$.",
        "a..b",
        "a[",
        "a[x]",
        "a[-1]",
        "a b[",
        "$[*]",
        "$..x",
        "a[0]b",
        "__import__('os')",
        "a|b",
        "{a}",
        ".".join("a" * 11),
        "a[99999]",
    ],
)
def test_what_is_no_path_is_refused_with_a_sentence(path):
    with pytest.raises(ValueError, match=r"path|steps|empty"):
        generic.path(path)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("'always this'", "always this"),
        ("$.nothing | $.alert.title", "T"),
        ("$.alert.none | 'else'", "else"),
        ("{alert.title} on {alert.items[0].name}", "T on a"),
        ("{nothing} | $.alert.title", "T"),
        ("{alert.title}: {nothing}", "T: "),
        ("{alert.title.__class__}", None),
    ],
)
def test_constants_texts_and_alternatives(source, value):
    found = generic._read(source, BODY)
    assert (None if found is generic._MISSING else found) == value


@given(st.text(max_size=60))
@settings(max_examples=300)
def test_no_text_at_all_breaks_the_reader_of_sources(said):
    try:
        generic._read(said, BODY)
    except ValueError:
        pass


# --- Mappings -----------------------------------------------------------------------------------------------------------
def test_other_spellings_come_into_one_form():
    mapping = {
        "title": {"path": "$.t"}, "message": ["$.a", "$.b"], "entity": {"value": "the shop"}, "severity": "critical", "action": {"path": "$.s", "values": {"UP": "resolve"}}, "link": None,
    }  # fmt: skip
    normal = generic.settle(mapping)
    assert normal == {
        "title": "$.t", "message": "$.a | $.b", "entity": "'the shop'", "severity": {"default": "critical"}, "action": {"path": "$.s", "values": {"UP": "resolve"}},
    }  # fmt: skip
    assert generic.settle(normal) == normal


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        ({}, "mapping.title"),
        ("x", "mapping"),
        ({"title": 7}, "mapping.title"),
        ({"title": "$.a["}, "mapping.title"),
        ({"title": "{a"}, "mapping.title"),
        ({"title": "$.a", "colour": "$.b"}, "mapping.colour"),
        ({"title": "$.a", "severity": {"path": "$.s", "values": {"P1": "terrible"}}}, "mapping.severity.values"),
        ({"title": "$.a", "severity": {"path": "$.s", "values": ["P1"]}}, "mapping.severity.values"),
        ({"title": "$.a", "severity": {"path": "$.s", "default": "high"}}, "mapping.severity.default"),
        ({"title": "$.a", "action": {"eval": "1"}}, "mapping.action"),
        ({"title": "$.a", "action": {"path": "a[", "default": "trigger"}}, "mapping.action"),
        ({"title": "x" * 501}, "mapping.title"),
        ({"title": " | ".join("a" * 7)}, "mapping.title"),
        ({"title": "$.a", "items": "{x}"}, "mapping.items"),
        ({"title": "$.a", "severity": {"values": {str(n): "info" for n in range(61)}}}, "mapping.severity.values"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused_at_its_field(mapping, field):
    with pytest.raises(generic.Mistakes) as refused:
        generic.settle(mapping)
    assert field in refused.value.fields


@pytest.mark.parametrize(
    ("said", "mapping", "severity"),
    [
        ("P1", {"path": "$.s", "values": {"p1": "critical"}}, "critical"),
        ("zzz", {"path": "$.s", "default": "info"}, "info"),
        ("zzz", {"path": "$.s"}, "warning"),
        ("Disaster", {"path": "$.s"}, "critical"),
        (3, {"path": "$.s", "values": {"3": "info"}}, "info"),
        (True, {"path": "$.s", "values": {"true": "critical"}}, "critical"),
        (None, {"path": "$.s"}, "warning"),
    ],
)
def test_severities_by_value_map_then_by_their_common_names(said, mapping, severity):
    (found,) = generic.read({"t": "x", "s": said}, generic.settle({"title": "$.t", "severity": mapping}))
    assert found.severity == severity


@pytest.mark.parametrize(
    ("said", "action"),
    [
        ("resolved", "resolve"),
        ("OK", "resolve"),
        ("acknowledged", "acknowledge"),
        ("firing", "trigger"),
        ("whatever", "trigger"),
        (None, "trigger"),
    ],
)
def test_actions_by_their_common_names_and_the_unknown_rather_tells(said, action):
    (found,) = generic.read(
        {"t": "x", "k": 1, "s": said}, generic.settle({"title": "$.t", "key": "$.k", "action": "$.s"})
    )
    assert found.action == action


def test_without_a_mapped_key_the_same_alarm_is_the_same_and_a_resolve_needs_one():
    mapping = generic.settle({"title": "$.t", "action": "$.s"})
    assert generic.read({"t": "x"}, mapping)[0].key == generic.read({"t": "x", "more": 1}, mapping)[0].key
    with pytest.raises(event.Invalid, match="key"):
        generic.read({"t": "x", "s": "resolved"}, mapping)


def test_a_list_of_events_in_one_body():
    mapping = generic.settle({"items": "$.alerts", "title": "$.n"})
    assert [e.title for e in generic.read({"alerts": [{"n": "a"}, {"n": "b"}]}, mapping)] == ["a", "b"]
    for body, words in (({"alerts": 7}, "items"), ({"alerts": [{}] * 501}, "501"), (7, "object")):
        with pytest.raises(event.Invalid, match=words):
            generic.read(body, mapping)


# --- Samples ------------------------------------------------------------------------------------------------------------
SAID = {
    "ninjaone": ("trigger", "critical", "ACME-FS01", "0f3c2a6e-7a52-4a61-9f51-1de4b6a9c3aa"),
    "connectwise": ("trigger", "critical", "ACME-PRINT01", "318-77"),
    "datto": ("trigger", "critical", "ACME-GW", "5c1b8c0e-31d6-4ef5-a7a5-94c1a3cb9a01"),
    "uptime_kuma": ("trigger", "critical", "intranet", "7"),
    "grafana": ("trigger", "critical", "db1:9100", "57c6d9296de2ad39"),
    "zabbix": ("trigger", "warning", "acme-app01", "90211"),
}
OVER = {
    "ninjaone": {"status": "RESET"}, "connectwise": {"status": "SUCCESS"}, "datto": {"alert_state": "resolved"}, "zabbix": {"event_value": "0"},
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_reads_its_own_body(name):
    sample = SAMPLES[name]
    assert generic.settle(sample.mapping) == generic.settle(generic.settle(sample.mapping))
    (found,) = generic.read(sample.body, generic.settle(sample.mapping))
    assert (found.action, found.severity, found.entity, found.key) == SAID[name]
    assert found.title and found.message and not found.problems and sample.setup


@pytest.mark.parametrize("name", OVER)
def test_a_sample_knows_when_it_is_over(name):
    sample = SAMPLES[name]
    (found,) = generic.read({**sample.body, **OVER[name]}, generic.settle(sample.mapping))
    assert (found.action, found.key) == ("resolve", SAID[name][3])


def test_uptime_kuma_up_and_grafana_resolved():
    kuma, grafana = SAMPLES["uptime_kuma"], SAMPLES["grafana"]
    up = {**kuma.body, "heartbeat": {**kuma.body["heartbeat"], "status": 1}}
    assert generic.read(up, generic.settle(kuma.mapping))[0].action == "resolve"
    over = {**grafana.body, "alerts": [{**grafana.body["alerts"][0], "status": "resolved"}]}
    assert generic.read(over, generic.settle(grafana.mapping))[0].action == "resolve"
    assert alertmanager.read(grafana.body)[0].severity == "critical"  # the same body at the other address


# --- Words --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("said", "word"),
    [("HighErrorRate", "high_error_rate"), ("ping failure", "ping_failure"), ("", "posted"), ("☂", "posted"), ("test", "posted_test"), ("resolved", "posted_resolved"), ("x" * 99, "x" * 40), ("a.b", "a_b")],
)  # fmt: skip
def test_the_last_word_on_the_wire(said, word):
    assert event.word(said) == word


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("https://a.example/x?y=1#z", True),
        ("HTTP://a.example", True),
        ("javascript:alert(1)", False),
        ("//a.example", False),
        ("https://", False),
        ("https://a.example/\nx", False),
        ('https://a.example/"onclick', False),
        ("data:text/html,x", False),
        ("https://[bad", False),
        ("https://a.example/" + "x" * 1000, False),
        (7, False),
        (None, False),
    ],
)
def test_only_web_addresses_are_links(said, kept):
    assert bool(event.link(said)) is kept


def test_details_are_bounded_in_depth_number_and_length():
    deep: dict = {}
    for _ in range(500):
        deep = {"x": deep}
    assert event.details({"deep": deep, "n": 1}) == "deep.x.x.x.x: …\nn: 1"
    many = event.details({str(n): "y" * 400 for n in range(500)})
    assert len(many) <= event.MOST_MESSAGE and many.endswith("…")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
        lambda c: st.lists(c, max_size=4) | st.dictionaries(st.text(max_size=10), c, max_size=4),
        max_leaves=20,
    )
)
@settings(max_examples=300)
def test_no_json_at_all_breaks_the_readers(body):
    for read in (
        events.read,
        alertmanager.read,
        lambda b: generic.read(b, {"title": "$.a", "key": "$", "tags": "$.b", "link": "$.c"}),
    ):
        try:
            for found in read(body):
                assert len(found.title) <= 300 and len(found.message) <= 4000
                (found.title + found.message + event.fit(found.key, 80)).encode()
        except event.Invalid as refused:
            assert all(refused.errors)


def test_a_key_looks_like_a_routing_key_and_no_two_are_alike():
    made = {keys.make() for _ in range(200)}
    assert len(made) == 200 and all(keys.SHAPE.fullmatch(k) for k in made)

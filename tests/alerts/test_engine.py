"""The decisions, as tables: what a report does, what holds it back, who is told, when again, what is gathered."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import engine
from alerts.engine import Facts, Matcher, Rule, Told, Turn, Way

pytestmark = pytest.mark.once
T = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)  # a Saturday
FACTS = Facts(
    source="endpoint", event="consecutive_failure", severity="critical", entity_type="monitor", entity_id="7", entity_name="shop",
    client=1, client_slug="acme", site=2, site_name="Shop", service=5, tags=frozenset({"prod", "payments"}),
)  # fmt: skip


def facts(**values: object) -> Facts:
    return Facts(**{**{name: getattr(FACTS, name) for name in Facts.__slots__}, **values})


# --- Names on the wire ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "event", "name", "word", "recovery"),
    [
        ("endpoint", "consecutive_failure", "monitor.down", "down", "monitor.recovery"),
        ("endpoint", "degraded", "monitor.degraded", "degraded", "monitor.recovery"),
        ("heartbeat", "deadline_missed", "heartbeat.missed", "missed", "heartbeat.missed.resolved"),
        ("heartbeat", "exit_code_failure", "heartbeat.failed", "failed", "heartbeat.failed.resolved"),
        ("certificate", "expiring", "ssl.expiring", "expiring", "ssl.expiring.resolved"),
        ("certificate", "hostname_mismatch", "ssl.invalid", "invalid", "ssl.invalid.resolved"),
        ("domain", "expiring", "domain.expiring", "expiring", "domain.expiring.resolved"),
        ("probe", "blind", "probe.blind", "blind", "probe.blind.resolved"),
        ("agent", "stale", "agent.stale", "stale", "agent.stale.resolved"),
        ("container", "restart_loop", "container.restart_loop", "restart_loop", "container.restart_loop.resolved"),
    ],
)
def test_names(source, event, name, word, recovery):
    assert engine.wire_type(source, event) == name
    assert engine.last_word(name) == word
    assert engine.recovery_type(source, event) == recovery


# --- One more report ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("was", "now", "verb"),
    [
        # was: (severity, event) of the open alert; now: the same of the report, None when it is well
        (None, None, "nothing"),  # well, and nothing open
        (None, ("critical", "consecutive_failure"), "open"),
        (None, ("warning", "degraded"), "open"),
        (("critical", "consecutive_failure"), None, "resolve"),
        (("warning", "degraded"), None, "resolve"),
        (("critical", "consecutive_failure"), ("critical", "consecutive_failure"), "repeat"),
        (("warning", "degraded"), ("critical", "consecutive_failure"), "raise"),  # degraded → down tells again
        (("info", "available"), ("critical", "available"), "raise"),
        (("critical", "consecutive_failure"), ("warning", "degraded"), "fall"),  # down → degraded is silent
        (("critical", "deadline_missed"), ("critical", "exit_code_failure"), "fall"),  # another word, as bad: silent
    ],
)
def test_what_a_report_does(was, now, verb):
    severity, event = was or (None, None)
    new_severity, new_event = now or ("critical", "consecutive_failure")
    assert (
        engine.react(
            open_severity=severity, open_event=event, failing=now is not None, severity=new_severity, event=new_event
        )
        == verb
    )


# --- What holds it back ------------------------------------------------------------------------------------------------
EVERYTHING = Matcher(id=3)


@pytest.mark.parametrize(
    ("about", "answer"),
    [
        ({}, ("", None)),
        ({"in_maintenance": 5}, ("in_maintenance", 5)),
        ({"silences": (EVERYTHING,)}, ("silenced", 3)),
        ({"parent_open": True}, ("explained_by_parent", None)),
        ({"flapping": True}, ("flapping", None)),
        ({"flapping": True, "event": "flapping"}, ("", None)),  # the flapping alert itself speaks
        ({"snoozed": True}, ("snoozed", None)),
        # the first rule in this order gives the reason
        (
            {"in_maintenance": 5, "silences": (EVERYTHING,), "parent_open": True, "flapping": True, "snoozed": True},
            ("in_maintenance", 5),
        ),
        ({"silences": (EVERYTHING,), "parent_open": True, "flapping": True, "snoozed": True}, ("silenced", 3)),
        ({"parent_open": True, "flapping": True, "snoozed": True}, ("explained_by_parent", None)),
        ({"flapping": True, "snoozed": True}, ("flapping", None)),
        (
            {"silences": (Matcher(id=1, source="domain"), Matcher(id=2), EVERYTHING)},
            ("silenced", 2),
        ),  # the first that covers it
    ],
)
def test_why_it_is_held(about, answer):
    assert engine.hold(facts(**about)) == answer


def test_the_order_of_the_rules_is_the_one_that_is_documented():
    assert [rule.__name__ for rule in engine.HOLD_BACK] == [
        "in_maintenance",
        "silenced",
        "explained_by_parent",
        "flapping",
        "snoozed",
    ]


@pytest.mark.parametrize(
    ("matcher", "covers"),
    [
        ({}, True),
        ({"client": 1}, True),
        ({"client": 9}, False),  # another client's silence
        ({"source": "endpoint"}, True),
        ({"source": "heartbeat"}, False),
        ({"entity_id": "7"}, True),
        ({"entity_id": "shop"}, True),  # by its name
        ({"entity_id": "Shop"}, False),  # names are exact
        ({"entity_id": "70"}, False),
        ({"entity_type": "monitor"}, True),
        ({"entity_type": "container"}, False),
        ({"client_match": "1"}, True),
        ({"client_match": "acme"}, True),
        ({"client_match": "globex"}, False),
        ({"site": "2"}, True),
        ({"site": "Shop"}, True),
        ({"site": "3"}, False),
        ({"tag": "PROD"}, True),
        ({"tag": "test"}, False),
        ({"severity": "critical"}, True),
        ({"severity": "warning"}, False),
        ({"source": "endpoint", "entity_id": "shop", "tag": "prod"}, True),
        ({"source": "endpoint", "entity_id": "shop", "tag": "test"}, False),  # all must match
    ],
)
def test_what_a_silence_covers(matcher, covers):
    assert engine.matches(Matcher(id=1, **matcher), FACTS) is covers


def test_a_silence_by_client_does_not_cover_what_has_none():
    assert not engine.matches(Matcher(id=1, client_match="acme"), facts(client=None, client_slug=""))
    assert not engine.matches(Matcher(id=1, site="2"), facts(site=None, site_name=""))


# --- Who is told --------------------------------------------------------------------------------------------------------
USABLE = dict.fromkeys(range(1, 9), "")


def told(
    *rules: Rule, about: Facts = FACTS, at: datetime = T, usable: dict[int, str] = USABLE, **more: object
) -> list[tuple[int, int | None, int]]:
    return [(t.channel, t.contact, t.delay_seconds) for t in engine.route(about, rules, at, usable=usable, **more).told]


def rule(id: int = 1, **values: object) -> Rule:
    return Rule(**{"id": id, "name": f"r{id}", "channels": (1,), **values})


@pytest.mark.parametrize(
    ("filters", "why_not"),
    [
        ({}, ""),
        ({"severities": {"critical", "warning"}}, ""),  # OR within a field
        ({"severities": {"warning"}}, "severity critical"),
        ({"sources": {"endpoint", "heartbeat"}}, ""),
        ({"sources": {"container"}}, "source endpoint"),
        ({"scopes": {"endpoint:7"}}, ""),
        ({"scopes": {"monitor:7"}}, ""),
        ({"scopes": {"container:7"}}, "scope"),
        ({"scopes": {"endpoint:8", "client:1"}}, ""),
        ({"scopes": {"client:acme"}}, ""),
        ({"scopes": {"site:2"}}, ""),
        ({"scopes": {"service:5"}}, ""),
        ({"scopes": {"site:5"}}, "scope"),
        ({"tags": {"prod"}}, ""),
        ({"tags": {"test", "payments"}}, ""),
        ({"tags": {"test"}}, "tags"),
        ({"severities": {"critical"}, "sources": {"container"}}, "source endpoint"),  # AND between fields
        ({"client": 1}, ""),
        ({"client": 2}, "another client"),
    ],
)
def test_which_triggers_want_it(filters, why_not):
    values = {name: frozenset(v) if isinstance(v, set) else v for name, v in filters.items()}
    assert engine.refuses(rule(**values), FACTS, T) == why_not


LISBON, NEW_YORK = "Europe/Lisbon", "America/New_York"
NIGHT = {"hours": (time(22), time(6)), "zone": LISBON}


@pytest.mark.parametrize(
    ("window", "at", "inside"),
    [
        ({"hours": (time(9), time(17))}, "2026-11-21T09:00Z", True),  # the first minute belongs to it
        ({"hours": (time(9), time(17))}, "2026-11-21T17:00Z", False),  # the last does not
        ({"hours": (time(9), time(17)), "zone": NEW_YORK}, "2026-11-21T13:59Z", False),
        ({"hours": (time(9), time(17)), "zone": NEW_YORK}, "2026-11-21T14:00Z", True),
        ({"weekdays": {5}}, "2026-11-21T23:59Z", True),  # Saturday
        ({"weekdays": {5}}, "2026-11-22T00:00Z", False),
        ({"weekdays": {5}, "zone": NEW_YORK}, "2026-11-22T04:59Z", True),  # still Saturday there
        # over midnight: the window belongs to the day it began
        (NIGHT, "2026-11-21T22:00Z", True),
        (NIGHT, "2026-11-22T05:59Z", True),
        (NIGHT, "2026-11-22T06:00Z", False),
        (NIGHT, "2026-11-21T21:59Z", False),
        ({**NIGHT, "weekdays": {4}}, "2026-11-20T23:00Z", True),  # Friday night
        ({**NIGHT, "weekdays": {4}}, "2026-11-21T03:00Z", True),  # … into Saturday
        ({**NIGHT, "weekdays": {4}}, "2026-11-21T23:00Z", False),
        ({**NIGHT, "weekdays": {4}}, "2026-11-20T03:00Z", False),  # that was Thursday's night
        ({**NIGHT, "weekdays": {6}}, "2026-11-23T03:00Z", True),  # Sunday's night on Monday morning
        # clocks forward on 29 March 2026 (01:00 → 02:00 in Lisbon) and back on 25 October (02:00 → 01:00)
        ({"hours": (time(1), time(2)), "zone": LISBON}, "2026-03-29T00:30Z", False),
        (
            {"hours": (time(1), time(2)), "zone": LISBON},
            "2026-03-29T01:30Z",
            False,
        ),  # that hour does not exist this day
        ({"hours": (time(2), time(3)), "zone": LISBON}, "2026-03-29T01:30Z", True),
        ({"hours": (time(1), time(2)), "zone": LISBON}, "2026-10-25T00:30Z", True),  # twice this day
        ({"hours": (time(1), time(2)), "zone": LISBON}, "2026-10-25T01:30Z", True),
        ({"hours": (time(1), time(2)), "zone": LISBON}, "2026-10-25T02:00Z", False),
        (NIGHT, "2026-03-29T04:59Z", True),  # 05:59 summer time
        (NIGHT, "2026-03-29T05:00Z", False),
    ],
)
def test_time_windows(window, at, inside):
    values = {**window, **({"weekdays": frozenset(window["weekdays"])} if "weekdays" in window else {})}
    assert engine.in_hours(rule(**values), datetime.fromisoformat(at)) is inside


@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),
    st.times(),
    st.times(),
    st.sampled_from([LISBON, NEW_YORK, "Asia/Kolkata", "UTC"]),
)
def test_a_window_and_its_complement_share_the_day(naive, start, end, zone):
    if start == end:
        return
    at = naive.replace(tzinfo=UTC)
    inside = [engine.in_hours(rule(hours=hours, zone=zone), at) for hours in ((start, end), (end, start))]
    assert sorted(inside) == [False, True]


def test_two_triggers_that_name_one_channel_tell_it_once():
    plan = engine.route(FACTS, [rule(1), rule(2, channels=(1, 2))], T, usable=USABLE)
    assert [t.channel for t in plan.told] == [1, 2]
    assert ("trigger r2", "merged", "channel 1 is told already by trigger r1") in plan.decisions


def test_the_soonest_way_wins_and_one_that_wants_recoveries_is_enough():
    slow = rule(1, channels=(), ways=(Way(1, 11, delay_minutes=10),), notify_on_resolve=True)
    fast = rule(2, channels=(1,), notify_on_resolve=False)
    for rules in ([slow, fast], [fast, slow]):
        assert engine.route(FACTS, rules, T, usable=USABLE).told == [Told(1, None, "trigger r2", 0, True)]


def test_a_contact_who_wants_critical_ones_only():
    high = rule(channels=(), ways=(Way(1, 11, "high"), Way(2, 11, "all", 5)))
    assert told(high) == [(1, 11, 0), (2, 11, 300)]
    plan = engine.route(facts(severity="warning"), [high], T, usable=USABLE)
    assert [t.channel for t in plan.told] == [2]
    assert ("trigger r1", "skipped", "contact 11 wants critical alerts only") in plan.decisions


def test_what_cannot_be_used_is_skipped_and_said():
    plan = engine.route(FACTS, [rule(channels=(1, 2, 99))], T, usable={1: "", 2: "it is switched off"})
    assert [t.channel for t in plan.told] == [1]
    assert ("trigger r1", "skipped", "channel 2: it is switched off") in plan.decisions
    assert ("trigger r1", "skipped", "channel 99: it is gone") in plan.decisions


def test_a_clients_channel_never_hears_of_another_client():
    rules, owners = [rule(channels=(1, 2, 3))], {1: 1, 2: 2, 3: None}
    assert [c for c, _, _ in told(*rules, owners=owners)] == [1, 3]
    assert [c for c, _, _ in told(*rules, owners=owners, about=facts(client=2))] == [2, 3]
    assert [c for c, _, _ in told(*rules, owners=owners, about=facts(client=None, client_slug=""))] == [3]


def test_when_nobody_is_told_it_is_said_so():
    assert engine.route(FACTS, [], T, usable=USABLE).decisions == [
        ("routing", "nobody", "None of the 0 enabled triggers tells anybody of it.")
    ]
    empty = engine.route(FACTS, [rule(channels=())], T, usable=USABLE)
    assert (
        "trigger r1",
        "skipped",
        "names no channel and no contact that can be reached",
    ) in empty.decisions and not empty.told


RULES = st.lists(
    st.builds(
        Rule,
        id=st.integers(1, 5),
        name=st.sampled_from("abc"),
        client=st.sampled_from([None, 1, 2]),
        severities=st.frozensets(st.sampled_from(["warning", "critical"])),
        channels=st.lists(st.integers(1, 5), max_size=4).map(tuple),
        ways=st.lists(
            st.builds(Way, st.integers(1, 5), st.integers(1, 3), st.sampled_from(["all", "high"]), st.integers(0, 60)),
            max_size=4,
        ).map(tuple),
    ),
    max_size=6,
)


@given(
    RULES, st.sampled_from(["warning", "critical"]), st.dictionaries(st.integers(1, 5), st.sampled_from([None, 1, 2]))
)
def test_each_channel_hears_once_at_the_soonest_and_only_of_its_own_client(rules, severity, owners):
    about = facts(severity=severity)
    plan = engine.route(about, rules, T, usable=dict.fromkeys(range(1, 6), ""), owners=owners)
    channels = [t.channel for t in plan.told]
    assert len(channels) == len(set(channels))
    assert all(owners.get(c) in (None, about.client) for c in channels)
    wanting = [r for r in rules if not engine.refuses(r, about, T)]
    for t in plan.told:
        ways = [0 for r in wanting if t.channel in r.channels]
        ways += [
            w.delay_minutes * 60
            for r in wanting
            for w in r.ways
            if w.channel == t.channel and (w.urgency == "all" or severity == "critical")
        ]
        assert t.delay_seconds == min(ways)
    assert plan.decisions, "every route says why"


# --- When again ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("attempt", "outcome", "more", "answer"),
    [
        # delivered ends it, permanent ends it at once
        (1, "delivered", {}, ("delivered", 0)),
        (5, "delivered", {}, ("delivered", 0)),
        (1, "permanent", {}, ("failed", 0)),
        # 0 s, 30 s, 1 min, 2 min, 4 min
        (1, "retry", {}, ("pending", 30)),
        (2, "retry", {}, ("pending", 60)),
        (3, "retry", {}, ("pending", 120)),
        (4, "retry", {}, ("pending", 240)),
        (5, "retry", {}, ("failed", 0)),
        # the vendor says how long; never sooner than the ladder, never longer than a quarter of an hour
        (1, "retry", {"retry_after": 90.0}, ("pending", 90)),
        (1, "retry", {"retry_after": 5.0}, ("pending", 30)),
        (1, "retry", {"retry_after": 86400.0}, ("pending", 900)),
        (5, "retry", {"retry_after": 5.0}, ("failed", 0)),
        # perhaps it arrived: once more, then nobody knows; never a third copy
        (1, "ambiguous", {"ambiguous": 1}, ("pending", 30)),
        (2, "ambiguous", {"ambiguous": 2}, ("unknown", 0)),
        (5, "ambiguous", {"ambiguous": 1}, ("unknown", 0)),
        (3, "retry", {"ambiguous": 1}, ("pending", 120)),
        # where the vendor folds copies by a key, retry freely
        (2, "ambiguous", {"ambiguous": 2, "keyed": True}, ("pending", 60)),
        (4, "ambiguous", {"ambiguous": 4, "keyed": True}, ("pending", 240)),
        (5, "ambiguous", {"ambiguous": 5, "keyed": True}, ("unknown", 0)),
    ],
)
def test_the_ladder(attempt, outcome, more, answer):
    assert (
        engine.after_attempt(**{"attempt": attempt, "outcome": outcome, "ambiguous": 0, "keyed": False, **more})
        == answer
    )


@given(st.lists(st.sampled_from(["retry", "ambiguous"]), min_size=5, max_size=9), st.booleans())
def test_it_always_ends_within_five_attempts_and_a_person_sees_two_copies_at_most(outcomes, keyed):
    perhaps = 0
    for number, outcome in enumerate(outcomes, 1):
        perhaps += outcome == "ambiguous"
        state, wait = engine.after_attempt(attempt=number, outcome=outcome, ambiguous=perhaps, keyed=keyed)
        assert (state == "pending") == (wait > 0)
        if state != "pending":
            break
    assert number <= 5 and state in ("failed", "unknown")
    assert keyed or perhaps <= 2
    assert (state == "unknown") == (outcome == "ambiguous")


# --- Gathering ----------------------------------------------------------------------------------------------------------
def s(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("first", "gathered", "window", "since", "at", "turn"),
    [
        (None, None, 60, 0, 0, Turn("send")),  # nothing heard yet
        (0, None, 60, 5, 5, Turn("wait", s(20))),  # the second waits 20 s …
        (0, None, 60, 5, 20, Turn("carry")),  # … and is carried then
        (0, 20, 60, 30, 30, Turn("wait", s(80))),  # what comes now waits a window …
        (0, 20, 60, 80, 80, Turn("carry")),  # … and is carried, however many they are
        (0, 20, 60, 81, 81, Turn("send")),  # silent for a whole window: afresh
        (0, None, 60, 61, 61, Turn("send")),
        (0, None, 60, 10, 300, Turn("carry")),  # nobody looked for a while: what waited is carried
        (0, None, 10, 5, 5, Turn("wait", s(10))),  # a window shorter than the 20 s
        (0, None, 10, 10, 10, Turn("carry")),
        (0, None, 0, 1, 1, Turn("send")),  # off
        (100, 20, 60, 105, 105, Turn("wait", s(120))),  # a fresh first one after an older gathered one
        (None, 20, 60, 30, 30, Turn("wait", s(80))),
    ],
)
def test_whose_turn_it_is(first, gathered, window, since, at, turn):
    heard = {"first_at": None if first is None else s(first), "gathered_at": None if gathered is None else s(gathered)}
    assert engine.turn(**heard, window=window, at=s(at), since=s(since)) == turn


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 600), min_size=1, max_size=60), st.sampled_from([5, 10, 20, 30, 60, 300]))
def test_in_any_window_a_person_gets_one_first_and_one_gathered_message_and_nothing_waits_longer(arrivals, window):
    """Messages arrive whenever; the destination is asked at each arrival and whenever it said to wait until."""
    waiting: list[tuple[int, datetime]] = []  # (arrived, due): one that is told to wait is due then
    heard: list[tuple[datetime, str, list[int]]] = []
    first = gathered = None
    todo, at = sorted(arrivals), T
    while todo or waiting:
        wake = [s(todo[0])] if todo else []
        due = [m for m in waiting if m[1] <= at]
        if due:
            turn = engine.turn(first_at=first, gathered_at=gathered, window=window, at=at, since=min(d for _, d in due))
            if turn.verb == "send":
                heard.append((at, "first", [due[0][0]]))
                waiting.remove(due[0])
                first, gathered = at, None
                continue
            if turn.verb == "carry":
                heard.append((at, "gathered", [m for m, _ in due]))
                waiting = [m for m in waiting if m not in due]
                gathered = at
                continue
            assert turn.until is not None and turn.until > at
            waiting = [(m, turn.until if (m, d) in due else d) for m, d in waiting]
        at = min(wake + [d for _, d in waiting])
        while todo and s(todo[0]) <= at:
            waiting.append((todo[0], s(todo.pop(0))))
    assert sorted(m for _, _, messages in heard for m in messages) == sorted(arrivals)  # none lost, none twice
    span = timedelta(seconds=window)
    for began, _, messages in heard:
        assert all(began - s(m) <= span for m in messages)
        near = [kind for when, kind, _ in heard if began <= when < began + span]
        assert near.count("first") <= 1 and near.count("gathered") <= 1


# --- Silences in time ---------------------------------------------------------------------------------------------------
def weekly(at: datetime) -> datetime | None:
    """Every seven days from T."""
    return None if at < T else T + ((at - T) // timedelta(days=7)) * timedelta(days=7)


@pytest.mark.parametrize(
    ("silence", "at", "active"),
    [
        ({"ends_at": s(60)}, -1, False),
        ({"ends_at": s(60)}, 0, True),
        ({"ends_at": s(60)}, 59, True),
        ({"ends_at": s(60)}, 60, False),
        ({"ends_at": s(60), "cancelled": True}, 30, False),
        ({"ends_at": None}, 10**8, True),  # until recovered
        ({"ends_at": None, "cancelled": True}, 10**8, False),
        ({"ends_at": s(60), "occurrence": weekly}, 7 * 86400 + 59, True),
        ({"ends_at": s(60), "occurrence": weekly}, 7 * 86400 + 60, False),
        ({"ends_at": s(60), "occurrence": weekly}, 6 * 86400, False),
        ({"ends_at": s(60), "occurrence": lambda _: None}, 7 * 86400, False),  # a rule that has ended
        ({"ends_at": s(60), "occurrence": weekly, "cancelled": True}, 7 * 86400 + 5, False),
    ],
)
def test_when_a_silence_holds(silence, at, active):
    assert engine.silence_is_active(**{"starts_at": T, "cancelled": False, **silence}, at=s(at)) is active

"""From results to state, as tables: each row is a rule with its comment. Then what holds for every history of results."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors import engine
from monitors.engine import DEGRADED, FAILING, UNKNOWN, UP, Limits, View

pytestmark = pytest.mark.once
T = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
WORD = {"u": UP, "d": DEGRADED, "f": FAILING, "?": UNKNOWN}


def at(seconds: float) -> datetime:
    """So long after T."""
    return T + timedelta(seconds=seconds)


def after(results: str, limits: Limits = Limits(), every: float = 1, start: View = View(1)) -> View:  # noqa: B008
    """The view after these results, one each `every` seconds, judged after each: u(p), d(egraded), f(ailing), ?."""
    view = start
    for n, letter in enumerate(results):
        view = engine.observe(view, WORD[letter], at(n * every))
        view = replace(view, vote=engine.confirmed(view, limits))
    return view


def view(letter: str, probe: int = 1, network: str = "", **more: object) -> View:
    """A probe that voted so, and whose last result was the same."""
    known = {"status": WORD[letter], "vote": WORD[letter], "streak": 3, "since": at(0), "last_at": at(60)}
    return View(probe, network, **{**known, "message": "refused" if letter in "fd" else "", **more})


# --- One more result -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("results", "status", "streak", "since"),
    [
        ("u", UP, 1, 0),  # the first result begins a streak
        ("uuu", UP, 3, 0),  # the same again makes it longer; it began when it began
        ("uuf", FAILING, 1, 2),  # another status begins anew
        ("ufu", UP, 1, 2),
        ("ff?", UNKNOWN, 1, 2),  # not knowing is a status, too
        ("ff?f", FAILING, 1, 3),  # and what was to be confirmed is to be confirmed anew
        ("fd", DEGRADED, 2, 0),  # what failed was at least degraded
        ("df", FAILING, 1, 1),  # but what was degraded did not yet fail
        ("ffd", DEGRADED, 1, 2),  # a confirmed failure that gets better begins its recovery
    ],
)
def test_a_streak(results, status, streak, since):
    seen = after(results)
    assert (seen.status, seen.streak, seen.since) == (status, streak, at(since))


@pytest.mark.parametrize("moment", [0, -5])  # twice the same; older than the last
def test_late_and_repeated_results_change_nothing(moment):
    seen = engine.observe(View(1), UP, at(0))
    assert engine.observe(seen, FAILING, at(moment)) is seen


def test_a_result_ends_staleness_and_brings_its_words():
    seen = engine.observe(View(1, stale=True), FAILING, at(0), error_class="dns", message="No such name")
    assert (seen.stale, seen.error_class, seen.message) == (False, "dns", "No such name")


# --- When is it confirmed? -------------------------------------------------------------------------------------------------
TWO = Limits(confirmation_count=2, recovery_count=1)
SLOW = Limits(confirmation_count=2, confirmation_seconds=5, recovery_count=2, recovery_seconds=3)


@pytest.mark.parametrize(
    ("limits", "results", "vote"),
    [
        (TWO, "u", UP),  # a first result of health is believed at once
        (TWO, "f", UNKNOWN),  # a first failure is not
        (TWO, "ff", FAILING),
        (TWO, "uf", UP),  # one failure among successes stays a suspicion
        (TWO, "ufufuf", UP),
        (TWO, "uff", FAILING),
        (TWO, "uffu", UP),  # recovery has numbers of its own: here one
        (TWO, "ud", UP),  # degraded is confirmed as a failure is
        (TWO, "udd", DEGRADED),
        (TWO, "uddf", DEGRADED),  # and to fail is worse: confirmed again
        (TWO, "uddff", FAILING),
        (TWO, "uffd", DEGRADED),  # failing → degraded is getting better
        (TWO, "ufdfd", DEGRADED),  # now one, now the other: the lesser evil, and not "up" for ever
        (TWO, "uff?", FAILING),  # not knowing takes no vote away (it abstains while it lasts)
        (TWO, "uf?f", UP),  # but a failure before it confirms nothing after it
        (Limits(confirmation_count=1), "uf", FAILING),  # one may be enough, if somebody says so
        (SLOW, "ff", UNKNOWN),  # count met, seconds not
        (SLOW, "fffff", UNKNOWN),  # 4 s have passed
        (SLOW, "ffffff", FAILING),  # both
        (SLOW, "ffffffuuu", FAILING),  # recovery: 3 results, 2 s
        (SLOW, "ffffffuuuu", UP),
        (SLOW, "ffffffuuufuuu", FAILING),  # a failure restarts the recovery clock
        (SLOW, "ffffffuuufuuuu", UP),
        (Limits(confirmation_count=5, one_shot=True), "f", FAILING),  # a passive kind: one signal is the whole truth
        (Limits(recovery_count=5, one_shot=True), "fu", UP),
    ],
)
def test_the_vote(limits, results, vote):
    assert after(results, limits).vote == vote


def test_seconds_without_the_count_confirm_nothing():
    assert after("ff", Limits(confirmation_count=3, confirmation_seconds=5), every=60).vote == UNKNOWN


@pytest.mark.parametrize(
    ("results", "is_settled"),
    [
        ("u", True),  # nothing to wait for
        ("f", False),
        ("uf", False),  # a second look is needed
        ("uff", True),
        ("?", True),  # what cannot be seen is not looked at more often
        ("ufdfdfdf", False),
        ("ufdfdfd", True),  # confirmed as degraded: no check each second for ever
    ],
)
def test_settled(results, is_settled):
    seen = View(1)
    for n, letter in enumerate(results):
        seen = engine.observe(seen, WORD[letter], at(n))
        if n < len(results) - 1:
            seen = replace(seen, vote=engine.confirmed(seen, TWO))
    assert engine.settled(seen, TWO) is is_settled


# --- When next? -----------------------------------------------------------------------------------------------------------
MINUTE = Limits(interval=60, confirmation_count=2)


@pytest.mark.parametrize(
    ("results", "limits", "took", "due"),
    [
        ("u", MINUTE, 0.2, 60),  # the next slot, whatever the check took
        ("u", MINUTE, 59.9, 60),
        ("u", MINUTE, 61, 120),  # a slot that has passed is skipped, not made up for
        ("u", MINUTE, 600, 660),
        ("f", MINUTE, 0.2, 1.2),  # to be confirmed: again in a second
        ("f", MINUTE, 10, 11),
        ("ff", MINUTE, 0.2, 60),  # confirmed: the usual time
        ("f", replace(MINUTE, one_shot=True), 0.2, 60),  # nothing to confirm
        ("?", MINUTE, 0.2, 60),  # our own trouble is no reason to hurry
    ],
)
def test_the_next_check(results, limits, took, due):
    assert engine.next_due(after(results), limits, at(0), at(took)) == at(due)


def test_first_slots_spread_over_the_interval_and_stay_the_same():
    slots = [engine.first_slot(pk, 1, 60, at(7.3)) for pk in range(1, 1201)]
    assert all(at(7.3) <= slot < at(67.3) for slot in slots)
    per_second = [sum(int(s.timestamp()) % 60 == second for s in slots) for second in range(60)]
    assert max(per_second) <= 30, "20 a second would be flat"
    for pk in (1, 77):
        later = engine.first_slot(pk, 1, 60, at(1000))
        assert (later - engine.first_slot(pk, 1, 60, at(7.3))).total_seconds() % 60 == pytest.approx(0, abs=1e-3)
    assert engine.first_slot(5, 1, 60, at(0)) != engine.first_slot(5, 2, 60, at(0)), "probes take turns"


@pytest.mark.parametrize(
    ("late", "stale"),
    [(0, False), (60, False), (159, False), (161, True)],  # two intervals, the time-out and half a minute
)
def test_stale(late, stale):
    assert engine.is_stale(at(0), Limits(interval=60, timeout=10), at(late)) is stale


# --- All probes together ----------------------------------------------------------------------------------------------------
def decided(views: list[View], current: str = "up", **limits: object) -> engine.Decision:
    return engine.decide(views, Limits(**limits), current)


def probes(letters: str, **more: object) -> list[View]:
    """Probes 1, 2, 3 … that vote so."""
    return [view(letter, n, **more) for n, letter in enumerate(letters, 1)]


@pytest.mark.parametrize(
    ("letters", "quorum", "state", "alarming"),
    [
        ("u", 1, "up", False),
        ("f", 1, "down", True),
        ("d", 1, "degraded", True),
        ("uuu", 2, "up", False),
        ("fuu", 2, "degraded", False),  # one of three: a routing observation, shown and not told
        ("ffu", 2, "down", True),
        ("fff", 2, "down", True),
        ("dff", 2, "down", True),
        ("ddu", 2, "degraded", True),  # as many see it degraded as are asked for
        ("dfu", 2, "degraded", True),  # who sees it down sees it at least degraded
        ("duu", 2, "degraded", False),
        ("ff", 3, "unknown", False),  # the number that is asked for never shrinks to fit those who are left
        ("uu", 3, "unknown", False),
        ("ff?", 3, "unknown", False),  # who could not look abstains
        ("ff?", 2, "down", True),
        ("f?", 2, "unknown", False),  # unknown never counts as down
        ("??", 1, "unknown", False),
        ("u?", 1, "up", False),
    ],
)
def test_quorum(letters, quorum, state, alarming):
    decision = decided(probes(letters), quorum=quorum)
    assert (decision.state, decision.alarming) == (state, alarming)
    if state == "degraded" and not alarming:
        assert decision.reason.startswith("Routing observation: 1 of 3 probes")


@pytest.mark.parametrize("why", ["stale", "blind", "resting"])
def test_who_abstains(why):
    silent = replace(view("f", 1), **{why: True})
    assert not silent.votes
    assert decided([silent]).state == "unknown"
    assert decided([silent, view("u", 2)]).state == "up", "its failure does not count"
    assert decided([silent, view("f", 2), view("u", 3)], quorum=2).state == "degraded", "nor does it fill a quorum"


@pytest.mark.parametrize(
    ("networks", "state"),
    [
        (("A", "A", "B"), "degraded"),  # two probes of one network are one witness
        (("A", "B", "B"), "down"),
        (("", "", "B"), "down"),  # a probe without a network is its own
    ],
)
def test_distinct_networks(networks, state):
    views = [view(letter, n, net) for n, (letter, net) in enumerate(zip("ffu", networks, strict=True))]
    assert decided(views, quorum=2, distinct_networks=True).state == state


NEW = View(1)
COULD_NOT = View(1, status=UNKNOWN, streak=1, since=at(0), last_at=at(0), message="not permitted")


@pytest.mark.parametrize(
    ("views", "current", "state", "reason"),
    [
        ([], "pending", "pending", "Waiting for the first result."),  # nobody watches it
        ([NEW], "pending", "pending", "Waiting for the first result."),
        ([replace(NEW, last_at=at(0))], "pending", "pending", "Waiting for the first result."),  # resumed, not seen yet
        ([COULD_NOT], "pending", "unknown", "not permitted"),  # the reason is the probe's own
        ([view("u", stale=True)], "up", "unknown", "Too few probes can tell: 0 of 1 needed."),
        ([after("f")], "pending", "pending", "Confirming the first results."),  # failing from the start
        ([after("f")], "paused", "pending", "Confirming the first results."),
        ([after("f")], "down", "down", "Confirming the first results."),
        ([after("uf")], "up", "up", ""),
    ],
)
def test_before_anything_is_certain(views, current, state, reason):
    decision = decided(views, current)
    assert (decision.state, decision.reason, decision.alarming) == (state, reason, False)


def test_a_decision_names_the_first_failure_and_what_was_seen():
    views = [
        view("f", 1, since=at(9), error_class="dns", message="No such name", streak=2),
        view("f", 2, since=at(4), error_class="timeout", message="No answer", streak=5),
        view("u", 3),
    ]
    decision = decided(views, quorum=2)
    assert decision.first_failure_at == at(4), "dated at the first failing result"
    assert (decision.error_class, decision.message, decision.reason) == ("timeout", "No answer", "No answer")
    assert (decision.bad, decision.voters) == (2, 3)


# --- What holds for every history ---------------------------------------------------------------------------------------------
limits_of_any_kind = st.builds(
    Limits,
    confirmation_count=st.integers(1, 4),
    confirmation_seconds=st.integers(0, 5),
    recovery_count=st.integers(1, 4),
    recovery_seconds=st.integers(0, 5),
    quorum=st.integers(1, 4),
    distinct_networks=st.booleans(),
)
any_view = st.builds(
    View,
    probe=st.integers(1, 6),
    network=st.sampled_from(["", "A", "B"]),
    status=st.sampled_from([UNKNOWN, UP, DEGRADED, FAILING]),
    vote=st.sampled_from([UNKNOWN, UP, DEGRADED, FAILING]),
    streak=st.integers(1, 5),
    since=st.just(at(0)),
    last_at=st.sampled_from([None, at(30)]),
    stale=st.booleans(),
    blind=st.booleans(),
    resting=st.booleans(),
)
any_views = st.lists(any_view, max_size=6, unique_by=lambda v: v.probe)
STATES = ["pending", "up", "degraded", "down", "unknown"]


@given(any_views, limits_of_any_kind, st.sampled_from(STATES))
def test_never_down_without_a_quorum_of_fresh_confirmed_failures(views, limits, current):
    decision = engine.decide(views, limits, current)
    sure = [v for v in views if v.votes and v.vote == FAILING]
    if decision.alarming and decision.state == "down":
        assert engine.count(sure, limits.distinct_networks) >= limits.quorum
    if decision.state == "down" and not decision.alarming:
        assert current == "down", "it only stays what it was"


@given(any_views, limits_of_any_kind, st.sampled_from(STATES))
def test_unknown_never_counts_as_down(views, limits, current):
    without = [v for v in views if v.votes]
    told, plain = engine.decide(views, limits, current), engine.decide(without, limits, current)
    assert (told.alarming, told.bad, told.voters) == (plain.alarming, plain.bad, plain.voters)


@given(any_views, limits_of_any_kind, st.sampled_from(STATES), st.randoms())
def test_the_order_of_the_probes_does_not_matter(views, limits, current, chance):
    shuffled = views[:]
    chance.shuffle(shuffled)
    first, second = engine.decide(views, limits, current), engine.decide(shuffled, limits, current)
    assert (first.state, first.alarming, first.bad) == (second.state, second.alarming, second.bad)


@given(any_views, limits_of_any_kind, st.sampled_from(STATES))
def test_the_same_views_decide_the_same_again(views, limits, current):
    once = engine.decide(views, limits, current)
    assert engine.decide(views, limits, once.state).state == once.state


@given(st.text("ufd?", min_size=1, max_size=12), st.data())
def test_results_that_come_twice_or_late_change_nothing(results, data):
    """Every result once in order; then the same with any older ones repeated in between."""
    straight = noisy = View(1)
    for n, letter in enumerate(results):
        straight = engine.observe(straight, WORD[letter], at(n))
        noisy = engine.observe(noisy, WORD[letter], at(n))
        for old in data.draw(st.lists(st.integers(0, n), max_size=3)):
            noisy = engine.observe(noisy, WORD[results[old]], at(old))
    assert noisy == straight


def test_four_late_results_in_any_order_leave_the_newest():
    for order in itertools.permutations(enumerate("ufuf")):
        seen = View(1)
        for n, letter in order:
            seen = engine.observe(seen, WORD[letter], at(n))
        assert (seen.status, seen.last_at) == (FAILING, at(3))


@given(st.text("ufd?", max_size=14), limits_of_any_kind)
def test_a_vote_of_failure_rests_on_a_whole_confirmation(results, limits):
    seen = View(1)
    for n, letter in enumerate(results):
        before = seen
        seen = engine.observe(seen, WORD[letter], at(n))
        seen = replace(seen, vote=engine.confirmed(seen, limits))
        if seen.vote == FAILING and before.vote != FAILING:
            assert results[: n + 1].endswith("f" * limits.confirmation_count)
            assert seen.since is not None and at(n) - seen.since >= timedelta(seconds=limits.confirmation_seconds)
        if seen.vote != FAILING and before.vote == FAILING:
            assert "f" not in results[n + 1 - limits.recovery_count : n + 1]


# --- Flapping ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("ago", "limit", "already", "answer"),
    [
        ([], 3, False, False),
        ([10, 20, 30], 3, False, False),  # as many as are allowed
        ([10, 20, 30, 40], 3, False, True),  # more than that
        ([10, 20, 30, 601], 3, False, False),  # the window is over for one
        ([10], 3, True, True),  # it goes on until half a window was quiet
        ([299], 3, True, True),
        ([301, 302, 303, 304, 305], 3, True, False),
        ([1] * 50, 0, False, False),  # 0: never
        ([1] * 50, 0, True, False),
    ],
)
def test_flapping(ago, limit, already, answer):
    changes = [at(-seconds) for seconds in ago]
    assert engine.flapping(changes, limit, 600, at(0), already) is answer


# --- Blind -------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("facts", "is_blind"),
    [
        ({"anchors": 3, "anchors_ok": 1}, True),
        ({"anchors": 3, "anchors_ok": 2}, False),
        ({"anchors": 2, "anchors_ok": 1}, False),  # half is enough
        ({"anchors": 1, "anchors_ok": 0}, True),
        # anchors that answer are proof: however many sites are down, it is the sites
        ({"anchors": 1, "anchors_ok": 1, "failing": 100, "watched": 100, "others_disagree": True}, False),
        ({"failing": 31, "watched": 100, "others_disagree": True}, True),
        ({"failing": 30, "watched": 100, "others_disagree": True}, False),  # 30 % may be one host
        ({"failing": 31, "watched": 100, "others_disagree": False}, False),  # everybody sees it: it is the sites
        ({"failing": 4, "watched": 4, "others_disagree": True}, False),  # too few to tell
        ({"failing": 5, "watched": 5, "others_disagree": True}, True),
    ],
)
def test_blind(facts, is_blind):
    known = {"failing": 0, "watched": 0, "anchors": 0, "anchors_ok": 0, "others_disagree": False}
    assert bool(engine.blind(**{**known, **facts})) is is_blind


# --- Certificates -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("facts", "event"),
    [
        ({"days_left": 31}, None),
        ({"days_left": 30}, ("expiring", "expiring:30", "warning")),
        ({"days_left": 14.1}, ("expiring", "expiring:30", "warning")),
        ({"days_left": 14}, ("expiring", "expiring:14", "warning")),
        ({"days_left": 7}, ("expiring", "expiring:7", "critical")),
        ({"days_left": 3}, ("expiring", "expiring:3", "critical")),
        ({"days_left": 1}, ("expiring", "expiring:1", "critical")),
        ({"days_left": 0.01}, ("expiring", "expiring:1", "critical")),
        ({"days_left": 0}, ("expired", "expired", "critical")),
        ({"days_left": -9, "chain_error": "certificate has expired"}, ("expired", "expired", "critical")),
        ({"days_left": 90, "chain_error": "self-signed"}, ("chain_invalid", "chain_invalid", "critical")),
        ({"days_left": 90, "hostname_ok": False}, ("hostname_mismatch", "hostname_mismatch", "critical")),
        ({"days_left": 5, "hostname_ok": False}, ("hostname_mismatch", "hostname_mismatch", "critical")),
    ],
)
def test_what_a_certificate_calls_for(facts, event):
    assert engine.certificate_event(**{"chain_error": "", "hostname_ok": True, **facts}) == event

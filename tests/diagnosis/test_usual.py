"""What is usual, learned from healthy samples only; and when has a route moved?"""

from __future__ import annotations

import json
import random

import pytest

from monitors.diagnosis import usual as usuals

pytestmark = pytest.mark.once
NOW = 1_795_300_000.0
WAY: list[str | None] = ["10.0.0.1", "45.1.0.1", "62.1.0.1", "62.1.0.2", "80.1.0.1", "91.1.0.1", "91.1.0.2"]
CARRIERS = {"45": 100, "62": 200, "80": 300, "91": 300, "77": 400}


def sample(way: list[str | None] | None = None, ms: float = 10.0, got: dict[int, int] | None = None, **more: object) -> dict:  # fmt: skip
    """A healthy battery whose packets went this way; hops answer all of 8 unless `got` says else (by TTL)."""
    hops = []
    for ttl, address in enumerate(way or WAY, 1):
        answers = (got or {}).get(ttl, 8) if address else 0
        hop = {"ttl": ttl, "address": address if answers else None, "sent": 8, "got": answers, "rtt_ms": [ms * ttl] * answers, "said": "ttl"}  # fmt: skip
        if address and (asn := CARRIERS.get(address.split(".")[0])):
            hop["asn"] = asn
        hops.append(hop)
    if hops[-1]["address"] == WAY[-1]:
        hops[-1]["said"] = "reply"
    return {
        "target": {"address": WAY[-1], "addresses": [WAY[-1]]},
        "paths": [{"proto": "icmp", "status": "ok", "reached": hops[-1]["said"] == "reply", "hops": hops}],
        "ping": {"status": "ok", "sent": 10, "got": 10, "rtt_ms": [ms * 7] * 10},
        **more,
    }  # fmt: skip


def learned(*samples: dict) -> dict:
    """The baseline after these samples, one each ten minutes."""
    known = None
    for n, one in enumerate(samples):
        known = usuals.learn(known, one, NOW + n * 600)
    return known


def test_one_sample_is_a_beginning():
    known = learned(sample())
    assert (known["path"], known["as_path"], known["samples"], known["silent"]) == (WAY, [100, 200, 300], 1, [])
    assert known["ping"]["answers"] is True
    assert known["learned_at"] == NOW


def test_a_hop_that_never_answers_is_silent_and_one_that_answers_seldom_is_not():
    quiet = [*WAY[:3], None, *WAY[4:]]
    known = learned(*[sample(quiet, got={5: 3}) for _ in range(5)])
    assert known["silent"] == [4]
    assert known["hop_loss"][4] == pytest.approx(0.625, abs=0.01)


def test_a_hop_that_was_silent_once_is_known_again_with_its_first_answer():
    assert learned(sample([*WAY[:3], None, *WAY[4:]]), sample())["path"] == WAY


def test_the_way_most_samples_take_comes_first_and_others_are_kept():
    other = [*WAY[:2], "62.1.0.9", *WAY[3:]]
    known = learned(sample(other), *[sample()] * 4)
    assert (known["path"], known["paths"]) == (WAY, [other])


def test_a_route_that_changed_for_good_becomes_the_usual_one():
    new = [*WAY[:2], "77.1.0.1", "77.1.0.2", *WAY[4:]]
    known = learned(*[sample()] * 5, *[sample(new)] * 3)
    assert known["path"] == new
    assert known["as_path"] == [100, 400, 300]


def test_one_slow_sample_does_not_move_the_usual_time_far():
    known = learned(*[sample(ms=10)] * 20, sample(ms=500))
    assert known["hop_ms"][-1] < 80


def test_a_network_that_became_slower_becomes_usual():
    known = learned(*[sample(ms=10)] * 5, *[sample(ms=14)] * 80)
    assert known["hop_ms"][-1] == pytest.approx(98, rel=0.1)


def test_quantiles_are_those_of_the_hour_and_of_all_hours():
    rng = random.Random(5)
    known = None
    for _ in range(600):
        known = usuals.phases(known, 3, {"connect_ms": rng.uniform(10, 20)})
        known = usuals.phases(known, 14, {"connect_ms": rng.uniform(100, 200)})
    night, noon = 1_795_318_200.0 // 86_400 * 86_400 + 3 * 3600, 1_795_318_200.0 // 86_400 * 86_400 + 14 * 3600
    low, middle, high = usuals.phase(known, "connect_ms", night)
    assert low == pytest.approx(10.5, abs=2) and middle == pytest.approx(15, abs=2) and high == pytest.approx(19.5, abs=2)  # fmt: skip
    assert usuals.phase(known, "connect_ms", noon)[1] == pytest.approx(150, rel=0.15)
    assert len(known["phases"]["connect_ms"]) == 3


def test_an_hour_that_was_seldom_seen_is_judged_by_all_hours():
    known = None
    for _ in range(50):
        known = usuals.phases(known, 3, {"connect_ms": 10})
    known = usuals.phases(known, 14, {"connect_ms": 500})
    assert usuals.phase(known, "connect_ms", NOW // 86_400 * 86_400 + 14 * 3600)[1] < 60


def test_the_input_stays_as_it_was():
    before = learned(sample())
    kept = json.dumps(before)
    usuals.learn(before, sample([*WAY[:2], "62.1.0.9", *WAY[3:]]), NOW)
    assert json.dumps(before) == kept


def test_a_baseline_stays_small_whatever_is_learned():
    rng = random.Random(1)
    known = None
    for n in range(60):
        way = [f"2001:db8:{rng.randrange(9999)}:{rng.randrange(9999)}:{rng.randrange(9999)}::{rng.randrange(9999)}" for _ in range(30)]  # fmt: skip
        names = {"system": {"status": "ok", "addresses": way[:20], "cname": way[:9]}, "authoritative": [{"server": "n" * 200, "addresses": way}]}  # fmt: skip
        times = dict.fromkeys(usuals.PHASES, rng.random() * 1e6)
        more = {"names": names, "tls": {"status": "ok", "subject": "s" * 5000}, "check": {"phases": times}}
        known = usuals.learn(known, sample(way, **more), NOW + n * 3600)
        assert len(json.dumps(known)) <= usuals.LIMIT
    assert known["path"]


@pytest.mark.parametrize(
    ("way", "has_moved"),
    [
        (WAY, False),
        ([*WAY[:3], None, *WAY[4:]], False),  # a hop that is silent this time
        ([*WAY[:2], "62.1.0.9", *WAY[3:]], False),  # another branch of the same carrier
        (WAY[:4], False),  # a path that ends early is a fault, not a change
        ([*WAY[:2], "77.1.0.1", "77.1.0.2", *WAY[4:]], True),  # another carrier
        ([*WAY[:2], "62.1.0.1", "77.1.0.1", *WAY[4:]], True),  # a carrier more on the way
        ([*WAY[:2], "77.1.0.1", None, None], True),  # it moved, and ends there
        ([WAY[0], "45.9.0.1", "62.9.0.1", "62.9.0.2", "80.9.0.1", *WAY[5:]], True),  # the same carriers, all else new
        ([None] * 7, False),  # nothing was seen
    ],
)
def test_when_has_a_route_moved(way, has_moved):
    found = usuals.moved(learned(sample(), sample()), sample(way))
    assert bool(found) is has_moved
    if found:
        assert found["before"] == WAY and found["as_before"] == [100, 200, 300]


def test_a_branch_seen_while_well_is_no_change():
    other = [*WAY[:2], "77.1.0.1", "77.1.0.2", *WAY[4:]]
    known = learned(sample(), sample(), sample(other))
    assert usuals.moved(known, sample()) is None


def test_without_a_baseline_nothing_moved():
    assert usuals.moved(None, sample()) is None
    assert usuals.moved({}, sample()) is None


def test_old_after_a_week():
    known = learned(sample())
    assert [usuals.old(known, NOW + days * 86_400) for days in (1, 6.9, 7.1)] == [False, False, True]
    assert usuals.old(None, NOW) is True

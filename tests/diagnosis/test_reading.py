"""How one path is read: a table, a comment per rule."""

from __future__ import annotations

import pytest

from monitors.diagnosis import reading

pytestmark = pytest.mark.once
TARGET = "91.1.0.9"


def path(*counts: int | None, sent: int = 8, reached: bool = True, says: str = "reply", ms: list[float] | None = None) -> dict:  # fmt: skip
    """An MTR whose hops answered so often; None is a hop that never did. The last one is the target when it was reached."""
    hops = []
    for ttl, got in enumerate(counts, 1):
        end = reached and ttl == len(counts)
        hop = {"ttl": ttl, "address": TARGET if end else f"62.0.0.{ttl}", "sent": sent, "got": got or 0, "said": says if ttl == len(counts) else "ttl"}  # fmt: skip
        hop["rtt_ms"] = [(ms[ttl - 1] if ms else 5.0 * ttl)] * (got or 0)
        if got is None:
            hop.update(address=None)
        hops.append(hop)
    return {"proto": "icmp", "status": "ok", "reached": reached, "hops": hops}


def read(one: dict, usual: dict | None = None) -> reading.PathReading:
    found = reading.read(one, usual or {}, {TARGET})
    assert found is not None
    return found


def start(one: dict, usual: dict | None = None) -> int | None:
    """Where loss most likely starts; None where no loss is believed."""
    onsets = read(one, usual).onsets
    best = max(onsets, key=lambda ttl: onsets[ttl], default=None)
    return best if best is not None and onsets[best] > 3 else None


USUAL = {"path": [f"62.0.0.{n}" for n in range(1, 8)] + [TARGET], "hop_loss": [0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]}


@pytest.mark.parametrize(
    ("counts", "usual", "hop"),
    [
        ((8, 8, 8, 8, 8, 8, 8, 8), {}, None),  # nothing is lost
        ((8, 8, 8, 4, 4, 3, 4, 4), {}, 4),  # it starts at a hop and stays until the end: real
        ((8, 8, 8, 1, 8, 8, 8, 8), {}, None),  # one hop alone answers seldom: a rate limit
        ((8, 8, 8, None, 8, 8, 8, 8), {}, None),  # a silent hop while later ones answer
        ((8, 8, 8, None, 4, 3, 4, 4), {}, 5),  # loss behind a silent hop is seen from the next one on
        ((8, 2, 8, 8, 4, 3, 4, 4), {}, 5),  # a rate limit before it changes nothing
        ((8, 8, 3, 5, 4, 4, 3, 4), USUAL, 4),  # hop 3 always answers half of the time
        ((8, 8, 8, 8, 8, 8, 8, 7), {}, None),  # one lost of eight is weak evidence
        ((8, 8, 8, 8, 8, 8, 8, 2), {}, 8),  # only what comes from the target itself is lost
        ((4, 5, 3, 4, 4, 4, 5, 3), {}, 1),  # from the first hop on: the probe's own line
        ((8, 8, 8, 8, 2, 2, 8, 8), {}, None),  # two busy routers in a row, and all arrives
    ],
)
def test_where_loss_starts(counts, usual, hop):
    assert start(path(*counts), usual) == hop


def test_more_packets_are_stronger_evidence():
    few, many = read(path(4, 4, 4, 2, 2, 2, sent=4)).onsets[4], read(path(16, 16, 16, 8, 8, 8, sent=16)).onsets[4]
    assert many > few > 0


@pytest.mark.parametrize(("sent", "got", "low", "high"), [(8, 7, 0.02, 0.45), (80, 70, 0.07, 0.21), (8, 8, 0.0, 0.3), (0, 0, 0.0, 1.0)])  # fmt: skip
def test_bounds_of_a_share(sent, got, low, high):
    below, above = reading.loss_bounds(sent, got)
    assert low <= below <= 1 - got / max(1, sent) <= above <= high or sent == 0


def test_who_gives_up_is_named():
    seen = read(path(8, 8, 8, 6, reached=False, says="host"))
    assert seen.gives_up is not None and (seen.gives_up.ttl, seen.gives_up.said) == (4, "host")
    assert not seen.reached


def test_the_last_hop_that_answers():
    seen = read(path(8, 8, 8, None, None, None, reached=False, says="ttl"))
    assert seen.last is not None and seen.last.ttl == 3


def test_hops_behind_the_target_are_its_echo():
    one = path(8, 8, 8)
    one["hops"].append({**one["hops"][-1], "ttl": 4})
    assert len(read(one).steps) == 3


def test_a_loop():
    one = path(*[8] * 10, reached=False, says="ttl")
    for hop in one["hops"][4:]:
        hop["address"] = f"62.0.0.{3 + hop['ttl'] % 2}"
    seen = read(one)
    assert seen.loop is not None and seen.loop.address in ("62.0.0.3", "62.0.0.4")


def test_a_router_that_answers_twice_is_no_loop():
    one = path(8, 8, 8, 8, 8, reached=False, says="ttl")
    one["hops"][3]["address"] = one["hops"][2]["address"]
    assert read(one).loop is None


SPEEDS = {"hop_ms": [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]}


@pytest.mark.parametrize(
    ("ms", "hop", "more"),
    [
        ([5, 10, 15, 20, 25, 30], None, 0),  # as usual
        ([5, 10, 215, 20, 25, 30], None, 0),  # a busy router answers late and passes on in time
        ([5, 10, 215, 220, 225, 230], 3, 200),  # from hop 3 on until the end
        ([5, 210, 15, 20, 225, 230], 5, 200),  # only what stays is real
        ([5, 10, 15, 20, 25, 40], None, 0),  # a little more is noise
    ],
)
def test_where_it_becomes_slow(ms, hop, more):
    seen = read(path(*[8] * 6, ms=ms), SPEEDS)
    assert (seen.slow_from.ttl if seen.slow_from else None, round(seen.slow_ms)) == (hop, more)


def test_without_a_baseline_nobody_knows_what_is_slow():
    assert read(path(*[8] * 6, ms=[500] * 6)).slow_from is None


def test_what_was_not_run_is_not_read():
    assert reading.read({"proto": "icmp", "status": "not_permitted", "why": "no right"}, {}, {TARGET}) is None


def test_carriers_in_order_without_repeats_and_without_silent_hops():
    one = path(8, 8, None, 8, 8)
    for hop, asn in zip(one["hops"], (None, 100, 100, 100, 200), strict=True):
        hop["asn"] = asn
    assert reading.as_sequence(one) == [100, 200]

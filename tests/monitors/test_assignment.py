"""From where is a monitor watched? The choice as a table, and the rows that follow it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from monitors import assignment, services
from monitors.assignment import Place, choose
from monitors.models import Monitor, Probe, ProbeState
from portal.clock import database_now
from portal.models import AuditEntry, Tag
from tests import cast
from tests.monitors import afar, rows

TEN = [Place(n, f"p{n}", network=f"AS{n % 3}", tags=frozenset({"eu"} if n < 8 else {"us"})) for n in range(1, 11)]
EU3 = {"tags": ["eu"], "any": 3}


# --- The choice --------------------------------------------------------------------------------------------------------------
@pytest.mark.once
@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({"probes": ["p2", "p9"]}, [2, 9]),
        ({"probes": ["p2", "gone"]}, [2]),
        ({"tags": ["us"], "any": 5}, [8, 9, 10]),  # fewer than wanted: all there are
        ({"tags": ["EU", "us"], "any": 5}, []),  # all tags, not one of them
        ({"tags": ["mars"], "any": 1}, []),
    ],
)
def test_a_rule_names_probes_or_tags(rule, found):
    assert choose(rule, 7, 1, TEN) == found


@pytest.mark.once
def test_the_same_answer_everywhere_in_whatever_order():
    assert choose(EU3, 7, 1, TEN) == choose(EU3, 7, 1, reversed(TEN))


@pytest.mark.once
def test_monitors_spread_evenly():
    load = Counter(p for m in range(7000) for p in choose(EU3, m, 1, TEN))
    assert set(load) == set(range(1, 8)) and max(load.values()) / min(load.values()) < 1.15


@pytest.mark.once
def test_when_a_probe_goes_only_what_it_had_moves():
    for m in range(500):
        before, after = set(choose(EU3, m, 1, TEN)), set(choose(EU3, m, 1, [p for p in TEN if p.id != 4]))
        assert after == before if 4 not in before else len(after - before) == 1 and before - after == {4}


@pytest.mark.once
def test_another_clients_private_probe_is_never_chosen():
    places = [Place(1, "a", client=5, tags=frozenset({"eu"})), Place(2, "b", tags=frozenset({"eu"}))]
    assert choose(EU3, 7, 1, places) == [2] and choose(EU3, 7, 5, places) == [1, 2]
    assert choose({"probes": ["a"]}, 7, 1, places) == []


@pytest.mark.once
def test_distinct_networks_come_first():
    for m in range(50):
        found = choose(EU3, m, 1, TEN, distinct=True)
        assert len({p.network for p in TEN if p.id in found}) == 3


@pytest.mark.once
@pytest.mark.parametrize("bad", [None, [], {"probes": []}, {"probes": "local"}, {"tags": ["eu"], "any": 0}, {"tags": [], "any": 1}, {"tags": ["eu"], "any": True}, {"any": 3}, {"probes": ["a"], "any": 1}, {"tags": ["eu"], "any": 101}])  # fmt: skip
def test_what_is_no_rule_is_refused(bad):
    with pytest.raises(ValidationError):
        assignment.check_rule(bad)


# --- The rows ------------------------------------------------------------------------------------------------------------------
def region(slug: str, *tags: str) -> Probe:
    probe = afar.new_probe(slug, public_key=f"key of {slug}")
    probe.tags.set(Tag.named(tags))
    return probe


def watched_from(m: Monitor) -> set[str]:
    return set(ProbeState.objects.filter(monitor=m).values_list("probe__slug", flat=True))


@pytest.mark.django_db
def test_a_rule_is_followed_at_once_and_again_when_a_probe_comes_or_goes():
    berlin, paris, _ = region("berlin", "eu"), region("paris", "eu"), region("austin", "us")
    m = rows.monitor()
    assignment.set_rule(m, {"tags": ["eu"], "any": 2}, by=cast.TESTS, at=database_now())
    assert watched_from(m) == {"berlin", "paris"}
    assert AuditEntry.objects.filter(action="monitor.probe_rule").exists()
    kept = ProbeState.objects.get(monitor=m, probe=berlin)
    ProbeState.objects.filter(pk=kept.pk).update(status=1, streak=9, settled=True)
    before = assignment.fingerprint()
    Probe.objects.filter(pk=paris.pk).update(enabled=False)
    assert assignment.fingerprint() != before
    assert assignment.apply(database_now()) == 1
    assert watched_from(m) == {"berlin"}
    kept.refresh_from_db()
    assert kept.streak == 9, "what stays keeps what it saw"
    assert kept.changed and not kept.settled, "and the votes are counted anew"
    region("rome", "eu")
    assignment.apply(database_now())
    assert watched_from(m) == {"berlin", "rome"}
    assert assignment.apply(database_now()) == 0, "twice is the same"


@pytest.mark.django_db
def test_every_probe_touched_has_new_orders():
    berlin = region("berlin", "eu")
    m = rows.monitor()
    assignment.set_rule(m, {"tags": ["eu"]}, by=cast.TESTS, at=database_now())
    berlin.refresh_from_db()
    assert berlin.assignment_version == 2


@pytest.mark.django_db
def test_a_rule_that_cannot_reach_the_quorum_is_refused_with_the_cure():
    region("berlin", "eu"), region("paris", "eu")
    m = rows.monitor(probes=[rows.probe(), afar.new_probe("x")], quorum=2)
    with pytest.raises(ValidationError, match="widen it or lower the quorum"):
        assignment.set_rule(m, {"tags": ["eu"], "any": 1}, by=cast.TESTS, at=database_now())
    assert watched_from(m) == {"local", "x"}


@pytest.mark.django_db
def test_a_rule_that_nothing_fits_any_more_leaves_the_views_alone():
    berlin = region("berlin", "eu")
    m = rows.monitor()
    assignment.set_rule(m, {"tags": ["eu"]}, by=cast.TESTS, at=database_now())
    Probe.objects.filter(pk=berlin.pk).update(enabled=False)
    assert assignment.apply(database_now()) == 0 and watched_from(m) == {"berlin"}


@pytest.mark.django_db
def test_a_paused_monitor_rests_also_at_its_new_places():
    region("berlin", "eu")
    m = rows.monitor()
    services.pause(m, by=cast.TESTS, at=database_now())
    assignment.set_rule(m, {"tags": ["eu"]}, by=cast.TESTS, at=database_now())
    assert not ProbeState.objects.get(monitor=m).active


@pytest.mark.django_db
def test_without_a_rule_the_chosen_probes_stay():
    m = rows.monitor(probes=[rows.probe(), region("berlin", "eu")])
    assert assignment.apply(database_now() + timedelta(seconds=1)) == 0
    assert watched_from(m) == {"local", "berlin"}


@pytest.mark.django_db
def test_one_that_is_not_enrolled_or_was_revoked_is_not_chosen():
    afar.new_probe("empty").tags.set(Tag.named(["eu"]))
    revoked, berlin = region("revoked", "eu"), region("berlin", "eu")
    Probe.objects.filter(pk=revoked.pk).update(revoked_at=database_now())
    m = rows.monitor()
    assignment.set_rule(m, {"tags": ["eu"], "any": 9}, by=cast.TESTS, at=database_now())
    assert watched_from(m) == {berlin.slug}


@pytest.mark.django_db
def test_what_the_portal_judges_itself_takes_no_rule():
    region("berlin", "eu")
    with pytest.raises(ValidationError, match="needs no rule"):
        assignment.set_rule(rows.monitor(kind="heartbeat"), {"tags": ["eu"]}, by=cast.TESTS, at=database_now())

"""What do the probes see? Results that go the product's own way (claimed, made, saved), at any moment a test names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from alerts.models import Alert, Delivery
from monitors import evaluate, plans, prober, store
from monitors.checks.base import Outcome, Status
from monitors.models import Monitor, Probe, ProbeState, StateChange
from tests.monitors import rows

OUTCOMES = {
    "u": (Status.UP, "Answered 200", ""),
    "d": (Status.DEGRADED, "It took 900 ms", ""),
    "f": (Status.FAILING, "The connection was refused", "connect_refused"),
    "?": (Status.UNKNOWN, "Not permitted to open the socket", "permission"),
}


def see(m: Monitor, letter: str, at: datetime, by: Probe | None = None, **more: object) -> ProbeState:
    """This probe sees it u(p), d(egraded), f(ailing) or ? at this moment; nothing is judged yet."""
    by = by or rows.probe()
    row = ProbeState.objects.get(monitor=m, probe=by)
    token = store.new_token()
    ProbeState.objects.filter(pk=row.pk).update(lease_token=token, lease_until=at + timedelta(seconds=20))
    row.refresh_from_db()
    claim = store.Claim(
        id=row.pk,
        monitor=m.pk,
        probe=by.pk,
        token=token,
        due_at=min(row.next_due_at, at),
        view=evaluate.view_of(row, Probe.objects.get(pk=by.pk)),
        config_version=m.config_version,
        facts={},
    )
    status, message, error_class = OUTCOMES[letter]
    outcome = Outcome(status, message, error_class, total_ms=20.0, **more)  # type: ignore[arg-type]
    done = prober.made(claim, plans.plan_of(Monitor.objects.get(pk=m.pk)), outcome, at)
    assert store.save([done]) == {row.pk}
    row.refresh_from_db()
    return row


def judge(at: datetime) -> int:
    """The evaluator judges everything that changed; how many monitors it looked at."""
    looked = 0
    while n := evaluate.evaluate(at):
        looked += n
    return looked


def watch(m: Monitor | Iterable[Monitor], letters: str, at: datetime, by: Probe | None = None) -> datetime:
    """Results a second apart, judged after each; the moment of the last."""
    monitors = [m] if isinstance(m, Monitor) else list(m)
    for letter in letters:
        for each in monitors:
            see(each, letter, at, by)
        judge(at)
        at += timedelta(seconds=1)
    return at - timedelta(seconds=1)


def state(m: Monitor) -> str:
    return Monitor.objects.get(pk=m.pk).state


def steps(m: Monitor) -> list[str]:
    """Its states in order."""
    return [c.to_state for c in StateChange.objects.filter(monitor=m).order_by("version")]


def open_alerts(m: Monitor | None = None, **values: object) -> list[Alert]:
    found = Alert.objects.filter(resolved_at=None, **values).order_by("id")
    return list(found.filter(monitor_id=m.pk) if m else found)


def told(m: Monitor | None = None, **values: object) -> list[tuple[str, str]]:
    """(kind, state) of each message, oldest first."""
    found = Delivery.objects.filter(**values).order_by("id")
    found = found.filter(alert__monitor_id=m.pk) if m else found
    return list(found.values_list("kind", "state"))

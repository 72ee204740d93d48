"""What if twenty workers want to act in the same hour? Each proposes and begins at the same moment; how many did is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db import transaction

from alerts.models import Alert
from monitors.models import Monitor
from playbooks import proposing
from playbooks.models import Mode, Playbook, Run
from playbooks.models import Step as StepRow
from portal.clock import database_now
from tests.playbooks.acting import Bell
from tests.playbooks.races import work


def rush(
    round_: int, failures: Sequence[tuple[Monitor, Alert]], together: Callable[[Callable[[int], str]], list[str]]
) -> list[str]:
    """As many workers as failures propose and begin at the same moment, then each once more; what does not hold, as sentences.

    In turn one playbook (at most 3 an hour), as many playbooks on one thing (3 an hour), one whose cooldown lasts longer than the race.
    """
    what, most = (("cap", 3), ("target cap", 3), ("cooldown", 1))[round_ % 3]
    limits = {
        "cap": {"hourly_cap": 3, "cooldown_seconds": 0, "target_hourly_cap": 60},
        "target cap": {"hourly_cap": 60, "cooldown_seconds": 0, "target_hourly_cap": 3},
        "cooldown": {"hourly_cap": 60, "cooldown_seconds": 900, "target_hourly_cap": 60},
    }[what]
    same = what == "target cap"  # one failure, a playbook for each worker; they fail at once, which frees their target
    named = [f"{what} {round_} {n}" if same else f"{what} {round_}" for n in range(len(failures) if same else 1)]
    playbooks = Playbook.objects.bulk_create(
        Playbook(name=name, mode=Mode.AUTOMATIC, automatic_since=database_now(), automatic_by="Olivia", blast_radius=1000, **limits) for name in named
    )  # fmt: skip
    StepRow.objects.bulk_create(
        StepRow(playbook=p, order=1, kind=Bell.kind, config={"name": f"{what} {round_}", "behaves": "fails" if same else "rings"})
        for p in playbooks
    )  # fmt: skip
    mine: dict[int, int] = {}

    def propose(n: int) -> str:
        with transaction.atomic():
            alert = Alert.objects.select_for_update().get(pk=failures[0 if same else n][1].pk)
            mine[n] = proposing.propose(playbooks[n if same else 0], alert, database_now()).pk
        return work(mine[n], f"worker:{n}", database_now())

    said = together(propose)
    said += together(lambda n: work(mine[n], f"worker:{n}", database_now()))
    StepRow.objects.filter(playbook__in=playbooks).delete()
    acted = Run.objects.filter(playbook__in=playbooks, acted_at__isnull=False)
    rung = [heard for heard in Bell.heard if heard.endswith(f" {what} {round_}")]
    wrong = [] if said.count("begun") == acted.count() else [f"{said.count('begun')} were begun"]
    enough = 1 <= acted.count() <= most if same else acted.count() == most  # who met another on the target gave way
    wrong += [] if enough else [f"{acted.count()} acted, not {most}"]
    wrong += [] if len(rung) == (0 if same else acted.count()) else [f"done {len(rung)} times"]
    return [f"{what}, round {round_}: {sentence}" for sentence in wrong]

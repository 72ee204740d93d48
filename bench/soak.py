"""Does it hold for an hour what it holds for a minute? `python -m bench.soak --seed N --minutes M`: faults under load.

The real product (two pagers, a prober, two beats, web) on PostgreSQL and Valkey; a thousand deliveries a round, and in
the middle of them a fault: every kind once in an order the seed decides, then at random until the time is over. After
each round the checker of tests/faults reads the database and the provider's record. Seed and table are printed; the
exit code is 1 when an invariant was broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests import environment

environment.prepare()

import django  # noqa: E402 - the settings read what `prepare` has set

django.setup()

import psycopg  # noqa: E402

from portal.clock import database_now  # noqa: E402
from portal.models import Worker  # noqa: E402
from tests import cast  # noqa: E402
from tests.faults import checker, plant, scene  # noqa: E402
from tests.faults.plant import Plant, until  # noqa: E402
from tests.faults.scene import Scene  # noqa: E402
from tests.faults.test_doubles import five_times_everything  # noqa: E402
from tests.rig.postgres import Postgres  # noqa: E402
from tests.rig.process import NotAvailable  # noqa: E402
from tests.rig.receiver import Receiver  # noqa: E402
from tests.rig.valkey import Valkey  # noqa: E402

SLICES = 10  # of a round's deliveries; a fault falls into each second one
LONGEST_ROUND = 240.0
STAFF = {"page": 2, "probe": 1, "beat": 2, "web": 1}


@dataclass
class Row:
    """One line of the table."""

    runs: int = 0
    deliveries: int = 0
    lost: int = 0
    most_copies: int = 0
    most_keyed: int = 0
    repeats: int = 0
    longest: float = 0.0
    problems: list[str] = field(default_factory=list)


@dataclass
class Soak:
    """Everything a fault can hurt."""

    plant: Plant
    postgres: Postgres
    valkey: Valkey
    receiver: Receiver
    luck: random.Random

    # --- the faults; each leaves the plant in need of nothing but `whole` --------------------------------------------
    def worker_killed(self) -> None:
        self.plant.kill9(self.luck.choice(self.plant.sending()))
        self.plant.start("page", wait=False)

    def all_workers_killed(self) -> None:
        for child in self.plant.of("page"):
            self.plant.kill9(child)
        for _ in range(STAFF["page"]):
            self.plant.start("page", wait=False)

    def worker_frozen(self) -> None:
        child = self.luck.choice(self.plant.sending())
        self.plant.freeze(child)
        time.sleep(self.luck.uniform(5, 8))
        self.plant.thaw(child)

    def workers_replaced(self) -> None:
        child = self.luck.choice(self.plant.sending())
        self.plant.start("page", wait=False)
        self.plant.term(child)

    def worker_two_hours_ahead(self) -> None:
        plant.faketime()
        child = self.luck.choice(self.plant.sending())
        self.plant.term(child)
        self.plant.start("page", clock=self.luck.choice(("+2h", "-2h")))

    def beats_killed(self) -> None:
        for child in self.plant.of("beat"):
            self.plant.kill9(child)

    def everything_five_times(self) -> None:
        five_times_everything(self.valkey.url())

    def redis_killed(self) -> None:
        self.valkey.kill9()
        time.sleep(self.luck.uniform(0, 2))
        self.valkey.start()

    def redis_flushed(self) -> None:
        self.valkey.flush()

    def redis_frozen(self) -> None:
        self.valkey.freeze()
        time.sleep(self.luck.uniform(2, 6))
        self.valkey.thaw()

    def postgres_crashed(self) -> None:
        self.postgres.crash()
        time.sleep(self.luck.uniform(0, 3))
        self.postgres.start()

    def sessions_cut(self) -> None:
        with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' AND random() < 0.6"
            )

    # --- a round -----------------------------------------------------------------------------------------------------
    def whole(self) -> None:
        """Everybody is there."""
        for role, count in STAFF.items():
            self.plant.have(role, count)

    def round(self, fault: Callable[[], None], deliveries: int) -> checker.Verdict:
        """Load with the fault in it, until all is told; what the checker says."""
        self.receiver.forget()
        town = Scene(self.receiver, delay=self.luck.uniform(0.02, 0.05))
        told: list[int] = []
        for number in range(SLICES):
            heard = len(self.receiver.calls)
            fresh: list[int] = []
            until(
                lambda fresh=fresh: fresh.extend(town.fail(deliveries // 2 // SLICES)) or True, within=60, what="alerts"
            )
            if number % 2 == 0:
                self.receiver.wait_for(heard + self.luck.randint(1, 8), within=60)
                fault()
            elif told:
                well, told = told[:10], told[10:]
                until(lambda well=well: town.recover(well) or True, within=60, what="recoveries")
            told += fresh
        ends: list = []
        until(lambda: ends.append(database_now()) or True, within=60, what="the database")
        self.whole()
        until(scene.settled, within=LONGEST_ROUND, what="every delivery to end")
        return checker.check(self.receiver.calls, ended_at=ends[-1])


FAULTS: dict[str, Callable[[Soak], None]] = {
    "kill -9 of a worker": Soak.worker_killed,
    "kill -9 of all workers": Soak.all_workers_killed,
    "worker frozen, thawed": Soak.worker_frozen,
    "SIGTERM, rolling": Soak.workers_replaced,
    "worker's clock ±2 h": Soak.worker_two_hours_ahead,
    "beats killed": Soak.beats_killed,
    "every task five times": Soak.everything_five_times,
    "Redis kill -9": Soak.redis_killed,
    "Redis FLUSHALL": Soak.redis_flushed,
    "Redis frozen": Soak.redis_frozen,
    "PostgreSQL -m immediate": Soak.postgres_crashed,
    "PostgreSQL sessions cut": Soak.sessions_cut,
}


def main(arguments: list[str]) -> int:
    """Run; 0 when every invariant held."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--deliveries", type=int, default=1000, help="per round (default 1000)")
    wanted = parser.parse_args(arguments)
    print(f"seed {wanted.seed}, {wanted.minutes:g} minutes, {wanted.deliveries} deliveries a round", flush=True)
    table: dict[str, Row] = {name: Row() for name in FAULTS}
    not_run: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="watchkeeper-soak-") as directory:
        home = Path(directory)
        with Postgres(durable=True) as postgres, Valkey(append_only=True) as valkey, Receiver() as receiver:
            url = postgres.create_database("soak")
            plant.migrate(url, home)
            with plant.look_into(url, home), Plant(url, valkey.url(), home) as installation:
                soak = Soak(installation, postgres, valkey, receiver, random.Random(wanted.seed))
                run(soak, wanted, table, not_run)
    report(wanted.seed, table, not_run)
    return 1 if any(row.problems or row.lost for row in table.values()) else 0


def run(soak: Soak, wanted: argparse.Namespace, table: dict[str, Row], not_run: dict[str, str]) -> None:
    """Rounds until the time is over; the one that runs then is ended."""
    cast.make_owner()
    soak.whole()
    over = time.monotonic() + wanted.minutes * 60
    order = list(FAULTS)
    soak.luck.shuffle(order)
    while time.monotonic() < over:
        name = order.pop() if order else soak.luck.choice([n for n in FAULTS if n not in not_run])
        row = table[name]
        try:
            verdict = soak.round(lambda name=name: FAULTS[name](soak), wanted.deliveries)
        except NotAvailable as trouble:
            not_run[name] = str(trouble)
            continue
        except AssertionError as trouble:  # it did not come to rest: that is a finding; the next round begins afresh
            verdict = checker.check(soak.receiver.calls)
            verdict.problems.append(str(trouble))
            for _, child in soak.plant.children:
                soak.plant.kill9(child)
            soak.whole()
        row.runs += 1
        row.deliveries += verdict.deliveries
        row.lost += len(verdict.lost)
        row.most_copies = max(row.most_copies, verdict.most_copies)
        row.most_keyed = max(row.most_keyed, verdict.most_keyed)
        row.repeats += verdict.repeats
        row.longest = max(row.longest, verdict.recovery)
        row.problems += verdict.lost + verdict.problems
        print(f"  {name}: {verdict}; {Worker.objects.count()} workers", flush=True)
        for problem in (verdict.lost + verdict.problems)[:10]:
            print(f"    {problem}", flush=True)
        if name == "worker's clock ±2 h":  # right clocks again
            for child in soak.plant.of("page"):
                soak.plant.term(child)
            soak.whole()


def report(seed: int, table: dict[str, Row], not_run: dict[str, str]) -> None:
    """The table."""
    print(f"\nseed {seed}")
    head = (
        "fault",
        "runs",
        "deliveries",
        "lost",
        "most copies",
        "keyed (raw)",
        "repeats",
        "longest recovery",
        "problems",
    )
    rows = [
        (
            name,
            *(str(x) for x in (r.runs, r.deliveries, r.lost, r.most_copies, r.most_keyed, r.repeats)),
            f"{r.longest:.1f} s",
            str(len(r.problems)),
        )
        if r.runs
        else (name, "NOT RUN", not_run.get(name, "the time was over"), *[""] * 6)
        for name, r in table.items()
    ]
    widths = [max(len(row[i]) for row in [head, *(r for r in rows if r[1] != "NOT RUN")]) for i in range(len(head))]
    for row in [head, *rows]:
        print(" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

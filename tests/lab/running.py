"""How does one case run? From well: break, wait for the verdict, write down, heal, wait until well."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from tests.lab.breaking import Breaking
from tests.lab.faults import Situation, Variant
from tests.lab.internet import Internet
from tests.lab.product import ApiError, Product
from tests.lab.servers import Servers
from tests.lab.situations import quick
from tests.rig.netns import Net

BY_ITSELF, SILENT = (
    14.0,
    9.0,
)  # s: what has not begun by then (and what may well not begin) is asked for, as a person would
PATIENCE = 36.0
SAME_TARGET = 62.0  # s: monitors of one target share what was measured within a minute, so each waits its turn


HOME = {"second": "second", "colo": "colo"}  # whose target is not on `web`
Case = tuple[Situation, int]


class Lab:
    """The internet, its servers, the product in it."""

    def __init__(self, net: Net, home: Path) -> None:
        self.net = Internet.build(net)
        self.servers = Servers(self.net).start()
        self.breaking = Breaking(self.net, self.servers)
        self.product = Product(self.net, self.servers, home)
        self.diagnosed: dict[str, float] = {}
        self._diagnosed_now: dict[str, bool] = {}

    # --- Cases -------------------------------------------------------------------------------------------------------
    def case(self, situation: Situation, number: int) -> dict[str, Any]:
        """Run one; its record: label, evidence, verdict, times."""
        return self.together([(situation, number)])[0]

    def together(self, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """Run several that do not touch each other's monitors at the same time; their records."""
        product, names = self.product, [s.variants[n].monitor for s, n in cases]
        self.only(names)
        last = {name: self._newest(product.monitors[name]) for name in names}
        heard, began = len(product.heard), time.time()
        try:
            for situation, number in cases:
                situation.variants[number].apply(self.breaking)
            product.check(list(product.monitors))
            found = {n: self._wait(s.variants[v], product.monitors[n], last[n], ask=not s.ambiguous) for (s, v), n in zip(cases, names, strict=True)}  # fmt: skip
            states = product.states()
        finally:
            self.breaking.heal()
        self.diagnosed |= dict.fromkeys(names, time.time())
        told = product.heard[heard:]
        return [
            label(self.net, *case) | {"began": began, "state": states.get(n)} | outcome(*found[n], [h for h in told if h.get("monitor") in (n, product.monitors[n])])
            for case, n in zip(cases, names, strict=True)
        ]  # fmt: skip

    def _wait(self, variant: Variant, monitor: int, last: int, *, ask: bool) -> tuple[dict[str, Any] | None, bool]:
        """(the finished diagnosis, whether it had to be asked for)."""
        asked, began = False, time.monotonic()
        patience = SILENT if variant.silent else BY_ITSELF
        while time.monotonic() - began < PATIENCE:
            time.sleep(0.3)
            row = next(iter(self.product.api.rows(f"diagnoses?monitor={monitor}")), None)
            if row is not None and row["id"] > last:
                if row.get("finished_at"):
                    return self.product.api("GET", f"diagnoses/{row['id']}"), asked
            elif not asked and time.monotonic() - began > patience:
                if not ask:
                    return None, False
                asked = True
                with suppress(ApiError):  # refused: then there is none
                    self.product.api("POST", f"monitors/{monitor}/diagnose")
        return None, asked

    def _newest(self, monitor: int) -> int:
        return max((row["id"] for row in self.product.api.rows(f"diagnoses?monitor={monitor}")), default=0)

    def only(self, names: Sequence[str]) -> None:
        """Only these are diagnosed: two cores cannot measure for ten at once as a portal's probes would."""
        for each, pk in self.product.monitors.items():
            wanted = each in names
            if self._diagnosed_now.get(each, True) != wanted:
                self.product.diagnose(pk, wanted)
                self._diagnosed_now[each] = wanted

    def wait_well(self, within: float = 60) -> None:
        """Until all is up again; a nudge now and then."""
        end = time.monotonic() + within
        while not self.product.well():
            if time.monotonic() > end:
                raise TimeoutError(f"not well again: {self.product.states()}")
            self.product.check(
                [n for n, state in self.product.states().items() if state != "up"] or list(self.product.monitors)
            )
            time.sleep(0.7)

    def run(self, cases: Sequence[Case], out: TextIO) -> Iterator[dict[str, Any]]:
        """All of them, ordered so that a target rests between two of its cases; each record is written as it comes."""
        waiting = list(cases)
        while waiting:
            self.wait_well()
            turn = min(waiting, key=lambda c: self.diagnosed.get(c[0].variants[c[1]].monitor, 0.0) > time.time() - SAME_TARGET)  # fmt: skip
            waiting.remove(turn)
            record = self.case(*turn)
            out.write(json.dumps(record) + "\n")
            out.flush()
            yield record

    def quick(self, out: TextIO) -> Iterator[dict[str, Any]]:
        """One case of each layer, several at a time."""
        for number, group in enumerate(quick()):
            self.wait_well()
            if number == 1:
                self.only(list(self.product.monitors))  # only what is diagnosed is learned
                self.product.learned(60)
            for record in self.together(group):
                out.write(json.dumps(record) + "\n")
                out.flush()
                yield record


def label(net: Internet, situation: Situation, number: int) -> dict[str, Any]:
    """The right answer, as it is written into a record."""
    variant: Variant = situation.variants[number]
    return {
        "situation": situation.name, "variant": number, "monitor": variant.monitor, "layers": list(variant.layers or situation.layers),
        "hops": [address for node in variant.hops or at_home(variant) for address in net.addresses[node]], "networks": list(variant.networks),
        "ambiguous": situation.ambiguous, "silent": variant.silent,
    }  # fmt: skip


def at_home(variant: Variant) -> tuple[str, ...]:
    """Where the fault is when no hop is named, but a network: at the target itself."""
    return (HOME.get(variant.monitor, "web"),) if variant.networks else ()


def outcome(found: dict[str, Any] | None, asked: bool, heard: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What came of it, as it is written into a record; `heard` is what the webhook was sent about it."""
    if found is None:
        return {"asked": asked, "evidence": None, "verdict": None, "seconds": None, "told": None}
    # A failing check that runs into its time limit is known only then: the portal's moment of knowing it counts.
    since, done = moment(found.get("started_at")), moment(found.get("finished_at"))
    first = next((h for h in heard if h.get("verdict", {}).get("layer", "unknown") != "unknown"), None)
    return {
        "asked": asked, "evidence": found["evidence"], "verdict": found["verdict"], "revision": found.get("revision"),
        "seconds": done - since if since and done and not asked else None,
        "told": {"after": first["at"] - since if since else None, "verdict": first["verdict"], "text": first.get("text")} if first else None,
    }  # fmt: skip


def moment(text: str | None) -> float | None:
    """Seconds since 1970."""
    return datetime.fromisoformat(text).timestamp() if text else None


@contextmanager
def lab() -> Iterator[Lab]:
    """One lab, and nothing of it afterwards."""
    with tempfile.TemporaryDirectory(prefix="watchkeeper-lab-", ignore_cleanup_errors=True) as home, Net() as net:
        made = Lab(net, Path(home))
        try:
            yield made
        finally:
            made.product.stop()
            made.servers.close()

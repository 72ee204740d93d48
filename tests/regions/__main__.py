"""`python -m tests.regions`: six regions, 1,000 monitors, every fault of our own, and a table of what each cost.

Needs root (network namespaces); about fifteen minutes. Exit code 1 when a row is not as it must be.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.regions import soak
from tests.regions.world import World
from tests.rig.process import NotAvailable


def main() -> int:
    """Run it."""
    about = argparse.ArgumentParser(prog="python -m tests.regions", description=__doc__.splitlines()[0])
    about.add_argument("--regions", type=int, default=6)
    about.add_argument("--monitors", type=int, default=1000)
    about.add_argument("--interval", type=int, default=60)
    about.add_argument("--quorum", type=int, default=3)
    about.add_argument("--built-in", type=int, default=40, help="monitors that the portal checks itself, by name")
    about.add_argument("--without-anchors", action="store_true", help="the regions have no anchors")
    about.add_argument("--portal", type=float, default=0, help="only the portal's own line, cut for so many seconds")
    given = about.parse_args()
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:6.0f} s] {line}", flush=True)

    try:
        with World(regions=given.regions, monitors=given.monitors, interval=given.interval, timeout=5, quorum=given.quorum, anchored=not given.without_anchors, built_in=given.built_in) as world:  # fmt: skip
            world.until_up(within=given.interval * 2 + 60)
            say(f"{given.monitors} monitors are up, seen by {given.regions} regions each")
            if given.portal:
                outcomes = [soak.portal_cut(world, hold=given.portal)]
            else:
                outcomes = soak.everything(world, say)
    except NotAvailable as why:
        print(f"NOT RUN: {why}")
        return 0
    print(f"\n{soak.table(outcomes)}\n")
    return 0 if all(o.well for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Does a verdict name the true cause? `make lab` breaks a small internet in every labelled way and prints a matrix.

make lab                                      every situation, three variants (most of an hour)
make lab ARGS="--only dns --variants 1"       those whose name or layer holds the word
python -m tests.lab --replay build/lab/FILE   the present verdict function over evidence that was recorded: seconds
python -m tests.lab --list                    the situations and their labels
python -m tests.lab --look --only firewall    apply each fault and show what curl and mtr see, without the product
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.lab import scoring, situations
from tests.lab.faults import Situation
from tests.rig.process import NotAvailable

BUILD = Path(__file__).resolve().parents[2] / "build" / "lab"


def main(arguments: list[str] | None = None) -> int:
    """0: it ran (however good the verdicts were); 1: it could not."""
    about = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    about.add_argument("--only", default="", help="situations whose name or layer holds this")
    about.add_argument("--variants", type=int, default=3, help="of each situation (%(default)s)")
    about.add_argument("--quick", action="store_true", help="one case of each layer: a minute and a half")
    about.add_argument("--replay", type=Path, nargs="+", help="records to judge anew, without a network")
    about.add_argument(
        "--record",
        type=Path,
        help="where to write the records (build/lab/TIME.jsonl); a file that is there is gone on with",
    )
    about.add_argument("--list", action="store_true", help="the situations")
    about.add_argument("--look", action="store_true", help="apply the faults and show what plain tools see")
    given = about.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # whoever ends it gets the spaces removed all the same
    cases = list(situations.chosen(given.only, given.variants))
    if given.replay:
        print(scoring.report([scoring.score(r, anew(r)) for path in given.replay for r in read(path) if given.only in r["situation"] or given.only in r["layers"]]))  # fmt: skip
        return 0
    if given.list:
        for each in situations.SITUATIONS:
            print(f"{'?' if each.ambiguous else ' '} {', '.join(each.layers):<28} {each.name}")
        return 0
    try:
        return look(cases) if given.look else run(cases, given.record, quick=given.quick)
    except NotAvailable as missing:
        print(f"NOT RUN: {missing}", file=sys.stderr)
        return 1


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a run."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def anew(record: dict[str, Any]) -> dict[str, Any] | None:
    """What the present verdict function says of recorded evidence."""
    from monitors.diagnosis.verdict import judge

    return dict(judge(record["evidence"])) if record["evidence"] else None


def run(cases: list[tuple[Situation, int]], record: Path | None, *, quick: bool = False) -> int:
    """The whole product, case after case."""
    from tests.lab.running import lab

    record = record or BUILD / f"{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    record.parent.mkdir(parents=True, exist_ok=True)
    known = read(record) if record.exists() else []
    done = {(r["situation"], r["variant"]) for r in known}
    scores = [scoring.score(r, r["verdict"]) for r in known]
    cases = [c for c in cases if (c[0].name, c[1]) not in done]
    with lab() as made, record.open("a") as out:
        made.product.start()
        if not quick:
            print(made.product.learned(), flush=True)
        began = time.monotonic()
        try:
            for number, each in enumerate(made.quick(out) if quick else made.run(cases, out), 1):
                scores.append(scoring.score(each, each["verdict"]))
                print(
                    line(number, sum(map(len, situations.QUICK)) if quick else len(cases), scores[-1], each), flush=True
                )
        except KeyboardInterrupt:
            print("ended early", file=sys.stderr)
        print(f"\n{len(scores)} cases in {time.monotonic() - began:.0f} s, recorded in {record}\n")
    print(scoring.report(scores))
    return 0


def line(number: int, total: int, score: scoring.Score, record: dict[str, Any]) -> str:
    """One case, as it ends."""
    mark = "right" if score.right else "WRONG"
    seconds = f"{score.seconds:.1f} s" if score.seconds is not None else "asked" if record["asked"] else "-"
    return f"[{number}/{total}] {mark} {score.said} {score.confidence:.2f} ({seconds}) {score.name}: {score.summary}"


def look(cases: list[tuple[Situation, int]]) -> int:
    """Only the network and its servers."""
    from tests.lab.looking import look as seen
    from tests.lab.looking import way
    from tests.lab.running import lab

    with lab() as made:
        made.product.names()
        trust = str(made.servers.root.trust(made.product.home / "root.pem"))
        for situation, number in cases:
            variant = situation.variants[number]
            print(f"\n{situation.name} #{number} ({variant.monitor})")
            for when in ("broken", "healed"):
                if when == "broken":
                    variant.apply(made.breaking)
                else:
                    made.breaking.heal()
                for node, said in seen(made.net, variant.monitor, trust).items():
                    if when == "broken" or not said.startswith("0 "):
                        print(f"  {when} {node:<7} {said}")
                if when == "broken" and "transit" in situation.layers:
                    print("  h1 ", " · ".join(way(made.net, "h1", "11.80.1.10")))
                    print("  h3 ", " · ".join(way(made.net, "h3", "11.80.1.10")))
    return 0


if __name__ == "__main__":
    sys.exit(main())

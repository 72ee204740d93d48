"""Does stored evidence still give the stored verdict, and what would today's version say of history?"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from difflib import unified_diff
from typing import Any

from django.core.management.base import CommandError

from monitors.diagnosis.verdict import VERSION, judge
from monitors.models.diagnosis import Diagnosis
from portal.clock import database_now
from portal.management.base import PortalCommand

SHOWN = 20  # differing verdicts that are printed whole; the rest is counted


class Command(PortalCommand):
    help = (
        "Judge stored evidence again. Exit code 1 with a diff when a stored verdict of the same version differs; "
        "--compare counts how this version changes history."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("id", nargs="?", type=int, help="a diagnosis")
        parser.add_argument("--all-since", type=int, metavar="DAYS", help="every diagnosis of so many days")
        parser.add_argument("--compare", action="store_true", help="count from which layer to which verdicts move")

    def work(self, **options: Any) -> str:
        wanted, days = options["id"], options["all_since"]
        if (wanted is None) == (days is None):
            raise CommandError("Name one diagnosis, or say --all-since DAYS.")
        if days is not None and not 0 < days <= 3650:
            raise CommandError("DAYS is a number from 1 to 3650.")
        if wanted is not None and not judged().filter(pk=wanted).exists():
            raise CommandError(f"There is no diagnosis {wanted} with a verdict.")
        rows = judged().filter(pk=wanted) if wanted is not None else judged().filter(
            started_at__gte=database_now() - timedelta(days=days)
        )  # fmt: skip
        moves: Counter[tuple[str, str]] = Counter()
        seen = broken = 0
        for row in rows.iterator(chunk_size=50):
            seen += 1
            now = json.loads(json.dumps(judge(row.evidence)))
            moves[str(row.verdict.get("layer", "")), now["layer"]] += 1
            if row.verdict.get("version") == VERSION and now != row.verdict:
                broken += 1
                if broken <= SHOWN:
                    self.stderr.write("\n".join(difference(row.pk, row.verdict, now)))
            elif wanted is not None:
                self.stdout.write(json.dumps(now, indent=1, ensure_ascii=False, sort_keys=True))
        if options["compare"]:
            for (before, after), count in sorted(moves.items(), key=lambda one: (-one[1], one[0])):
                same = "" if before != after else " (as before)"
                self.stdout.write(f"{count:6}  {before} → {after}{same}")
        if broken:
            self.stderr.write(f"{broken} of {seen} verdicts of version {VERSION} differ from what is stored.")
            sys.exit(1)
        return f"{seen} verdicts judged again by version {VERSION}; none of that version differs."


def judged() -> Any:
    """All diagnoses that hold evidence and a verdict."""
    return Diagnosis.objects.exclude(verdict={}).exclude(evidence={}).order_by("pk")


def difference(pk: int, stored: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """The lines in which two verdicts differ."""
    before, after = (
        json.dumps(one, indent=1, ensure_ascii=False, sort_keys=True).splitlines() for one in (stored, now)
    )
    return unified_diff(before, after, f"diagnosis {pk} as stored", f"diagnosis {pk} judged again", lineterm="", n=1)

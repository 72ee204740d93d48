"""What do the importers share? A document to look at, or planned and applied at once; and a report of every item."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from console.configuration import command, document, showing
from console.configuration.secret import leaves, scrubbed
from console.configuration.writing import text_of
from console.importing.draft import LEFT_OUT, MAPPED, Draft, Foreign
from monitors.models import Monitor
from portal.management.base import PortalCommand
from portal.models import Client

SIGNS = {MAPPED: "+", LEFT_OUT: "-"}
SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")


class MovingCommand(PortalCommand):
    """A command that brings another tool's items here: write `draft`."""

    tool = ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE")
        parser.add_argument(
            "--client", metavar="SLUG", help="whose monitors they become; without --out they are applied at once"
        )
        parser.add_argument(
            "--out", metavar="FILE", help="write the configuration there, to be looked at and applied; - prints it"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask before applying")
        parser.add_argument("--json", action="store_true", help="the report for programs")

    def draft(self, path: Path, client: str) -> Draft:
        """The document of a file. Raises Foreign."""
        raise NotImplementedError

    def work(self, *, file: str, client: str | None, out: str | None, yes: bool, **options: Any) -> str:
        if not client and not out:
            raise CommandError(
                "Say --out FILE to look at the configuration first, or --client SLUG to apply it to that client."
            )
        slug = client or self.tool.lower().replace(" ", "-")
        if not SLUG.fullmatch(slug):
            raise CommandError("--client takes a slug: small letters, digits, - and _, as acme.")
        try:
            found = self.draft(Path(file), slug)
        except Foreign as error:
            raise CommandError(str(error)) from None
        whole = found.document(new_client=not Client.objects.filter(slug=slug).exists())
        report = as_json(found) if options["json"] else as_text(found)
        if out:
            (self.stderr if out == command.STDIN else self.stdout).write(report)
            done = write(out, text_of(whole, heading=heading(found)))
            return "" if options["json"] and out != command.STDIN else done
        if options["json"]:
            return json.dumps(
                {"report": as_values(found), **applied(found, whole, yes=yes)}, ensure_ascii=False, indent=1
            )
        self.stdout.write(report)
        return apply(found, whole, self.stdout, yes=yes)


def heading(found: Draft) -> str:
    """What stands on top of the file."""
    names = sorted({secret.name for _, secret in leaves(found.items)})
    lines = [f"From {found.tool}. Look it over, then: manage.py plan FILE, manage.py apply FILE."]
    if names:
        lines.append("Secrets are not written here. Set these environment variables before:")
        lines += [f"  {name}" for name in names]
    return "\n".join(lines)


def write(out: str, text: str) -> str:
    """Put the document into a file, readable for its owner only; what to say then (`-`: the document)."""
    if out == command.STDIN:
        return text
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(f"{out} is there already; choose another name.") from None
    except OSError as error:
        raise CommandError(f"{out} cannot be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return f"Written to {out}. Look it over, then: manage.py plan {out}"


def apply(found: Draft, whole: dict[str, Any], stream: Any, *, yes: bool, as_json: bool = False) -> str:
    """Plan and apply it with the secrets of the file, which go nowhere else; then say the new addresses."""
    read = document.read([(f"({found.tool})", text_of(whole))], {**os.environ, **found.secrets})
    try:
        done = command.apply(read, stream, yes=yes, as_json=as_json)
    except CommandError as error:
        raise CommandError(f"{error}\nTo see and mend it, write it with --out FILE, and apply that.") from None
    return done if as_json else "\n".join(filter(None, [done, *addresses(found)]))


def applied(found: Draft, whole: dict[str, Any], *, yes: bool) -> dict[str, Any]:
    """The same for programs: the plan and the new addresses."""
    told = StringIO()
    apply(found, whole, told, yes=yes, as_json=True)
    return {"plan": json.loads(told.getvalue()), "addresses": [line.strip() for line in addresses(found)[1:]]}


def addresses(found: Draft) -> list[str]:
    """Where heartbeats and pushed results go now, as far as they are there."""
    names = [item["name"] for item in found.items["monitors"] if item["kind"] in ("heartbeat", "push")]
    rows = Monitor.objects.filter(client__slug=found.client, kind__in=("heartbeat", "push"), name__in=names).order_by(
        "name", "pk"
    )
    base = settings.BASE_URL.rstrip("/")
    told = [
        f"  {showing.said(m.name)}: {base}/ping/{m.uuid}"
        if m.kind == "heartbeat"
        else f"  {showing.said(m.name)}: POST {base}/api/v1/monitors/{m.pk}/push"
        for m in rows
    ]
    return ["New addresses:", *told] if told else []


# --- Report ---------------------------------------------------------------------------------------------------------------
def as_text(found: Draft) -> str:
    """The report for people: a line for each item, its notes below."""
    secrets = list(found.secrets.values())
    parts = []
    for line in found.lines:
        became = (
            f" → {showing.said(line.became)}"
            if line.became
            else f": {line.verdict}"
            if line.verdict == LEFT_OUT
            else ""
        )
        parts.append(f"{SIGNS.get(line.verdict, '~')} {line.kind} “{showing.said(line.name)}”{became}")
        parts += [f"    {scrubbed(note, secrets)}" for note in line.notes]
    counts = Counter(line.verdict for line in found.lines)
    parts.append(
        f"{found.tool}: {', '.join(f'{counts[verdict]} {verdict}' for verdict in (MAPPED, 'approximated', LEFT_OUT))}."
    )
    return "\n".join(parts)


def as_json(found: Draft) -> str:
    """The report for programs."""
    return json.dumps(as_values(found), ensure_ascii=False, indent=1)


def as_values(found: Draft) -> dict[str, Any]:
    """The report as plain values."""
    secrets = list(found.secrets.values())
    items = [
        {
            "kind": line.kind,
            "name": line.name,
            "verdict": line.verdict,
            "became": line.became or None,
            "notes": [scrubbed(note, secrets) for note in line.notes],
        }
        for line in found.lines
    ]
    counts = Counter(line.verdict for line in found.lines)
    return {"tool": found.tool, "counts": dict(counts), "items": items}

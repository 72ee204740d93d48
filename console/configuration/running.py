"""How does an installation become what a document says? Row by row through the API's doors, in one transaction.

A plan is the same work, rolled back: what it shows is what was really done, and what every service complained of. Rows
that are as they should be are only read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction

from alerts.models import Channel, Trigger
from console.configuration import hand
from console.configuration.document import Document, Item, Problem
from console.configuration.exporting import ALL, Rows
from console.configuration.forms import Path, Taking
from console.configuration.kinds import KINDS, Kind
from console.configuration.order import outer_first, parts_first
from console.configuration.references import Key
from console.configuration.secret import Secret, leaves, scrubbed
from console.configuration.settings import PLAIN
from portal import audit
from portal.api.errors import BODY

CREATE, CHANGE, DELETE = "create", "change", "delete"


@dataclass
class Change:
    """What becomes of one row: its fields before and after, as files write them (None: no row)."""

    kind: Kind
    key: Key
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def action(self) -> str:
        """create, change or delete."""
        return CREATE if self.before is None else DELETE if self.after is None else CHANGE


@dataclass
class Outcome:
    """What was (or would be) done, and what stands in the way: with problems, nothing is."""

    changes: list[Change] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # variables that are not set: what is stored stays
    taken: list[str] = field(default_factory=list)  # variables whose values go into the rows
    unnamed: int = 0  # rows that the files do not name
    made: list[str] = field(default_factory=list)  # made by the portal beside the rows of the files


class _Undo(Exception):
    """Leave this row as it was."""


def carry_out(
    document: Document, *, prune: bool = False, commit: bool = False, expected: list[Change] | None = None
) -> Outcome:
    """Do what the document says; with `commit` it stays, unless something is wrong with any of it.

    `expected`: the changes that were shown and agreed to; others are not made.
    """
    outcome = Outcome(problems=list(document.problems))
    if prune and document.covers is None:
        sentence = "--prune needs to know what these files are the whole of: write “covers: all”, or “covers: [acme]”."
        outcome.problems.append(Problem("(files)", 0, "covers", sentence))
    with transaction.atomic():
        run = _Run(document, outcome)
        run.go(prune)
        if expected is not None and outcome.changes != expected:
            sentence = "What is configured was changed meanwhile, so this is not the plan that was shown; look again."
            outcome.problems.append(Problem("(plan)", 0, "", sentence))
        if outcome.problems or not commit:
            transaction.set_rollback(True)
        elif outcome.changes:
            done = [change.action for change in outcome.changes]
            after = {action: done.count(action) for action in (CREATE, CHANGE, DELETE)}
            audit.record("configuration.applied", "configuration", by=hand.ACTOR, after=after)
    outcome.problems.sort()
    return outcome


class _Run:
    def __init__(self, document: Document, outcome: Outcome) -> None:
        self.document, self.outcome, self.rows = document, outcome, Rows()
        self.index = self.rows.index
        self.failed: set[tuple[str, Key]] = set()
        self.changes: dict[tuple[str, Key], Change] = {}
        self.now: dict[tuple[str, Key], dict[str, Any]] = {}
        self.there = {section: set(self.index.table(section).ids) for section in KINDS}  # before anything was done

    def go(self, prune: bool) -> None:
        for kind in KINDS.values():
            self.make(kind)
        for kind in KINDS.values():
            if kind.late:
                self.finish(kind)
        if not self.outcome.problems:
            self.forget(prune)
            self.also_made()
        self.outcome.changes = [change for change in self.changes.values() if change.before != change.after]

    # --- Rows of the files --------------------------------------------------------------------------------------------
    def make(self, kind: Kind) -> None:
        """Every row of a kind, but for what names rows that come later."""
        items = parts_first(sorted(self.document.items.get(kind.section, ()), key=lambda item: item.key.nth))
        ids = self.index.table(kind.section).ids
        stored = {row.pk: row for row in self.rows.load(kind, {ids[i.key] for i in items if i.key in ids})}
        late = {f.name for f in kind.late}
        for item in items:
            row = stored.get(self.index.table(kind.section).ids.get(item.key, 0))
            now = self.rows.show(kind, row, item.key) if row is not None else None
            self.now[kind.section, item.key] = now or {}
            wanted = kind.fields.with_left(
                {name: value for name, value in item.values.items() if name not in late}, now or {}
            )
            if now is None or wanted != {name: value for name, value in now.items() if name not in late}:
                self.settle(item, row, now, wanted, [f.name for f in kind.fields.all if f.name not in late])

    def finish(self, kind: Kind) -> None:
        """What names rows that came later: parents, policies, pages."""
        late = [f.name for f in kind.late]
        items = [i for i in self.document.items.get(kind.section, ()) if (kind.section, i.key) not in self.failed]
        changed = [i for i in items if any(i.values.get(n) != self.now[kind.section, i.key].get(n) for n in late)]
        ids = self.index.table(kind.section).ids
        for item in outer_first(changed, items):
            row = next(self.rows.load(kind, [ids[item.key]]))
            wanted = {name: value for name, value in item.values.items() if name in late}
            self.settle(item, row, self.rows.show(kind, row, item.key), wanted, late)

    def settle(
        self, item: Item, row: Any, now: dict[str, Any] | None, wanted: dict[str, Any], about: list[str]
    ) -> None:
        """Bring one row about, or say why not."""
        kind, place = item.kind, (item.kind.section, item.key)
        taking = Taking(self.index, item.owner, wanted, row, self.failed)
        try:
            with transaction.atomic():
                body = self.body(item, now, wanted, about, taking)
                pk = self.write(item, row, body)
                fresh = next(iter(self.rows.load(kind, [pk])), None)
                if fresh is None:
                    taking.wrong((), f"This {kind.noun} would be over or out of use at once; correct its times.")
                    raise _Undo
                after = self.rows.show(kind, fresh, item.key)
                self.judge_secrets(wanted, after, (), taking)
                if taking.complaints or after == now:
                    raise _Undo
        except _Undo:
            pass
        except hand.REFUSALS as error:
            for dotted, sentences in hand.complaints(error).items():
                path = kind.fields.back(dotted) if dotted != BODY else ()
                taking.wrong(path, " ".join(sentences))
        except IntegrityError:
            taking.wrong(
                (), "The database refuses this row: another one has what only one may have, or it was changed just now."
            )
        else:
            self.now[place] = after
            first = self.changes.get(place)
            before = first.before if first is not None else now if item.key in self.there[kind.section] else None
            self.changes[place] = Change(kind, item.key, before, after)
            self.outcome.kept.extend(taking.kept)
            self.outcome.taken.extend(taking.taken)
        if taking.complaints or taking.waits:
            self.failed.add(place)
            came = row is None and item.key in self.index.table(item.kind.section).ids
            if came or item.kind.section in ("clients", "contacts"):
                self.index.forget()  # what was looked up meanwhile is gone again
            values = [str(s.value) for source in (wanted, now or {}) for _, s in leaves(source) if s.value]
            self.outcome.problems += [item.problem(path, scrubbed(said, values)) for path, said in taking.complaints]

    def body(
        self, item: Item, now: dict[str, Any] | None, wanted: dict[str, Any], about: list[str], taking: Taking
    ) -> dict[str, Any]:
        kind, body = item.kind, dict[str, Any]()
        if now is None:
            body = kind.fields.take(wanted, taking)
            if kind.owner != "itself" and item.owner is not None:
                body["client"] = self.client(item, taking)
            if item.key.nth > 1 and item.key._replace(nth=item.key.nth - 1) not in self.index.table(kind.section).ids:
                taking.wrong(
                    ("nth",), f"There is no {kind.noun} of this name before it; write that one too, or leave nth out."
                )
        else:
            different = [
                n
                for n in about
                if (n in wanted or n in now) and self.usual(kind, wanted, n) != self.usual(kind, now, n)
            ]
            # A rule that ends leaves its places behind, a heading that goes its components.
            different += [
                other
                for name, other in kind.together
                if name in different and (name != "probe_rule" or name not in wanted)
            ]
            body = kind.fields.take(wanted, taking, only=different)
        if taking.complaints or taking.waits:
            raise _Undo
        return body

    @staticmethod
    def usual(kind: Kind, values: dict[str, Any], name: str) -> Any:
        return values[name] if name in values else kind.fields.by_name[name].usual(values)

    def client(self, item: Item, taking: Taking) -> int | None:
        slug = item.owner or ""
        pk = self.index.client(slug)
        if pk is None:
            if ("clients", Key(slug, slug)) in self.failed:
                taking.waits = True
            else:
                taking.wrong(
                    ("client",), f"There is no client with the slug {slug[:60]}; add it under clients, or correct it."
                )
        return pk

    def write(self, item: Item, row: Any, body: dict[str, Any]) -> int:
        kind, view = item.kind, self.rows.view(item.kind)
        if row is None:
            pk = hand.create(view, body)
            self.index.came(kind.section, item.key, pk)
        else:
            pk = row.pk
            hand.change(view, row, body)
        if kind.section == "clients":
            self.index.forget()  # its own channels and triggers come with it
        elif kind.section == "contacts":
            self.index.forget("own_channels")
        return pk

    def judge_secrets(self, wanted: Any, after: Any, path: Path, taking: Taking) -> None:
        """What is secret is named, and what is not is written."""
        if isinstance(after, Secret) and wanted is not None and not isinstance(wanted, Secret | dict | list):
            taking.wrong(path, PLAIN)
        elif isinstance(wanted, Secret) and after is not None and not isinstance(after, Secret):
            taking.wrong(path, "This is not kept as a secret; write its value.")
        elif isinstance(wanted, dict) and isinstance(after, dict):
            for name, value in wanted.items():
                self.judge_secrets(value, after.get(name), (*path, name), taking)
        elif isinstance(wanted, list) and isinstance(after, list) and len(wanted) == len(after):
            for number, value in enumerate(wanted):
                self.judge_secrets(value, after[number], (*path, number), taking)

    # --- Rows that no file names --------------------------------------------------------------------------------------
    def forget(self, prune: bool) -> None:
        """Delete them, or only count them."""
        covers = self.document.covers
        for kind in reversed(KINDS.values()):
            if (
                covers is None
                or kind.section not in self.document.sections
                or (kind.owner == "itself" and covers != ALL)
            ):
                continue
            self.index.forget(kind.section)
            keys = self.rows.keys(kind, None if covers == ALL else list(covers))
            strange = {pk: key for pk, key in keys.items() if key not in self.document.keys(kind.section)}
            if not prune:
                self.outcome.unnamed += len(strange)
                continue
            self.delete(kind, strange)

    def delete(self, kind: Kind, keys: dict[int, Key]) -> None:
        for row in list(self.rows.load(kind, keys)):
            key = keys[row.pk]
            before = self.rows.show(kind, row, key) if key in self.there[kind.section] else None
            try:
                with transaction.atomic():
                    self.rows.view(kind).perform_destroy(row)
            except hand.REFUSALS as error:
                said = " ".join(s for sentences in hand.complaints(error).values() for s in sentences)
                self.outcome.problems.append(Problem("(not in the files)", 0, f"{kind.section} “{key}”", said))
                continue
            self.changes[kind.section, key] = Change(kind, key, before, None)
        self.index.forget()

    def also_made(self) -> None:
        """What a new client brings along: named, so that nothing comes unseen."""
        new = [
            c.key.name for c in self.changes.values() if c.kind.section == "clients" and c.before is None and c.after
        ]
        pks = [self.index.client(slug) for slug in new]
        self.index.forget()
        for section, model in (("channels", Channel), ("triggers", Trigger)):
            for pk in model.objects.filter(client__in=pks).exclude(made_for="").values_list("pk", flat=True):
                key = self.index.table(section).keys.get(pk)
                if key is not None and key not in self.document.keys(section):
                    self.outcome.made.append(f"{KINDS[section].noun} “{key.name}” of {key.client}")

"""What is done to many monitors at once? Each by its own door, so that one refusal does not hold up the others; or all new ones in one go.

An act asks the person's role at each monitor's client, and says who was done and why others were not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from monitors import assignment, places, services
from monitors.models import Monitor
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Service, Site
from portal.secrets import CannotOpen
from portal.tenancy import WRITE, Viewer

MOST = 200  # as many as one request of the API makes
NAMED = 5  # so many monitors are named for each reason; of more, the number is said


# --- What came of it ----------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Outcome:
    """Which monitors it was done to, and why not to the others."""

    done: list[Monitor] = field(default_factory=list)
    refused: list[tuple[Monitor, str]] = field(default_factory=list)

    def said(self, verb: str) -> str:
        """For a person: "12 monitors were paused. 2 were not: This monitor is paused already (api, shop)"."""
        return f"{_many(len(self.done))} {verb}." + (f" {self.why_not()}" if self.refused else "")

    def why_not(self) -> str:
        """The reasons, each with the monitors it holds for; "" when there are none."""
        by_reason: dict[str, list[str]] = {}
        for m, why in self.refused:
            by_reason.setdefault(why.rstrip("."), []).append(m.name)
        if not by_reason:
            return ""
        reasons = "; ".join(f"{why} ({_names(names)})" for why, names in by_reason.items())
        return f"{len(self.refused)} {'was' if len(self.refused) == 1 else 'were'} not: {reasons}."


def _many(count: int) -> str:
    return "No monitor was" if not count else "1 monitor was" if count == 1 else f"{count} monitors were"


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"


# --- Acts ----------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Wish:
    """What an act is to do beyond its name: tags to add or take away, the place to move to (a key that is missing stays),
    from where to watch (a rule of `monitors.places`; `vouched` when staff say so)."""

    tags: Sequence[str] = ()
    place: Mapping[str, Site | Service | None] = field(default_factory=dict)
    rule: Mapping[str, Any] = field(default_factory=dict)
    vouched: bool = False


def _pause(m: Monitor, wish: Wish, by: Actor, at: datetime) -> None:
    services.pause(m, by=by, at=at)


def _resume(m: Monitor, wish: Wish, by: Actor, at: datetime) -> None:
    services.resume(m, by=by, at=at)


def _check(m: Monitor, wish: Wish, by: Actor, at: datetime) -> None:
    services.check_now(m, by=by, at=at)


def _delete(m: Monitor, wish: Wish, by: Actor, at: datetime) -> None:
    services.delete(m, by=by, at=at)


def _tag(m: Monitor, wish: Wish, by: Actor, at: datetime) -> None:
    have = [tag.name for tag in m.tags.all()]
    missing = [word for word in wish.tags if word.strip().lower() not in {name.lower() for name in have}]
    if not missing:
        raise Refused("It carries these tags already.")
    services.save(m, by=by, at=at, tags=[*have, *missing])


def _untag(m: Monitor, wish: Wish, by: Actor, at: datetime) -> None:
    have = [tag.name for tag in m.tags.all()]
    left = [name for name in have if name.lower() not in {word.strip().lower() for word in wish.tags}]
    if len(left) == len(have):
        raise Refused("It carries none of these tags.")
    services.save(m, by=by, at=at, tags=left)


def _move(m: Monitor, wish: Wish, by: Actor, at: datetime) -> None:
    if all(getattr(m, name) == row for name, row in wish.place.items()):
        raise Refused("It is there already.")
    for name, row in wish.place.items():
        setattr(m, name, row)
    services.save(m, by=by, at=at)


def _watch_from(m: Monitor, wish: Wish, by: Actor, at: datetime) -> None:
    if not wish.rule:
        raise Refused("From where was not said.")
    if m.probe_rule == places.check_rule(dict(wish.rule)):
        raise Refused("It is watched from there already.")
    assignment.set_rule(m, dict(wish.rule), by=by, at=at, vouched=wish.vouched)


ACTIONS: dict[str, Callable[[Monitor, Wish, Actor, datetime], None]] = {
    "pause": _pause,
    "resume": _resume,
    "check": _check,
    "tag": _tag,
    "untag": _untag,
    "move": _move,
    "watch_from": _watch_from,
    "delete": _delete,
}
DONE = {
    "pause": "paused",
    "resume": "resumed",
    "check": "asked for a check",
    "tag": "tagged",
    "untag": "freed of the tags",
    "move": "moved",
    "watch_from": "given other places to be watched from",
    "delete": "deleted",
}


def act(
    action: str, monitors: Iterable[Monitor], wish: Wish | None = None, *, viewer: Viewer, by: Actor, at: datetime
) -> Outcome:
    """Do one of ACTIONS to each of these monitors. ValidationError when the action lacks what it needs (`tags`, `site`)."""
    wish = wish or Wish()
    if action not in ACTIONS:
        raise ValidationError({"action": f"{action[:40]!r} is not one of {', '.join(ACTIONS)}."})
    if action in ("tag", "untag") and not any(word.strip() for word in wish.tags):
        raise ValidationError({"tags": "Name at least one tag."})
    if action == "move" and not wish.place:
        raise ValidationError({"site": "Name a site or a service to move to; null takes it out."})
    wish = replace(wish, vouched=bool(viewer.msp_role))
    return each(monitors, lambda m: ACTIONS[action](m, wish, by, at), viewer)


def each(monitors: Iterable[Monitor], do: Callable[[Monitor], Any], viewer: Viewer) -> Outcome:
    """Do it to each in a transaction of its own: locks are held for one monitor at a time, and each is read afresh."""
    outcome = Outcome()
    for seen in monitors:
        if not viewer.may(WRITE, seen.client_id):
            outcome.refused.append((seen, f"Your role does not allow this for {seen.client.name}"))
            continue
        try:
            with transaction.atomic():
                m = Monitor.objects.select_for_update(of=("self",)).select_related("client").get(pk=seen.pk)
                do(m)
        except Monitor.DoesNotExist:
            outcome.refused.append((seen, "It is gone already"))
        except Refused as refusal:
            outcome.refused.append((seen, str(refusal)))
        except ValidationError as error:
            outcome.refused.append((seen, sentence_of(error)))
        except CannotOpen:
            outcome.refused.append((seen, "Its secrets cannot be opened; edit it and enter them anew"))
        else:
            outcome.done.append(seen)
    return outcome


def sentence_of(error: ValidationError) -> str:
    """A domain's complaints in one line, each with its field."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(
        sentence if name == "__all__" else f"{name}: {sentence}"
        for name, sentences in error.message_dict.items()
        for sentence in sentences
    )


# --- Many new ones -------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Draft:
    """A monitor that is not stored yet, with its tags."""

    monitor: Monitor
    tags: Sequence[str] = ()


def create_all(drafts: Sequence[Draft], *, by: Actor, at: datetime, trusted: bool) -> list[Monitor]:
    """All of them or none. ValidationError's keys begin with the draft's number, from 0 (`0.config.url`)."""
    if len(drafts) > MOST:
        raise ValidationError(f"At most {MOST} monitors at a time; there are {len(drafts)}.")
    made = []
    with transaction.atomic():
        for number, draft in enumerate(drafts):
            try:
                made.append(services.save(draft.monitor, by=by, at=at, tags=draft.tags, trusted=trusted))
            except ValidationError as error:
                found = error.message_dict if hasattr(error, "error_dict") else {"__all__": error.messages}
                raise ValidationError({f"{number}.{name}": said for name, said in found.items()}) from None
    return made

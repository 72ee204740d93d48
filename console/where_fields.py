"""From where is a monitor to be watched? Places by name, or any k of those that carry a tag; and which that would be.

A part of the monitor's form. What is chosen goes through `monitors.services.save`; here it is only read and said back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.http import HttpRequest

from console.pages import visit
from monitors import places, services
from monitors.models import Monitor, Probe
from monitors.places import Place
from monitors.probe_health import health_of
from portal.clock import database_now
from portal.models import Client

NAMED, TAGGED = "named", "tagged"
FIELDS = ("where", "probes", "probe_tags", "probe_any", "quorum")


class Places(forms.ModelMultipleChoiceField):
    """Probes with what tells them apart; one that cannot look now says so."""

    at: datetime  # when their health is told

    def label_from_instance(self, probe: Any) -> str:
        health = health_of(probe, self.at)
        more = [probe.network] if probe.network else []
        more += ["private"] if probe.client_id else []
        more += [health.word.lower()] if health.code != "ok" and not probe.built_in else []
        return f"{probe.name} ({', '.join(more)})" if more else probe.name


@dataclass(frozen=True, slots=True)
class Seen:
    """From where it would be watched. `names` are `number` places, or those of which `number` would be taken."""

    places: tuple[Place, ...] = ()
    number: int = 0
    trouble: str = ""

    @property
    def names(self) -> str:
        """The places, for a person."""
        return ", ".join(p.name for p in self.places)

    @property
    def some(self) -> bool:
        """Are there more places than will look?"""
        return self.number < len(self.places)

    @property
    def elsewhere(self) -> bool:
        """Is it watched from other places than the portal's own? A test before saving is made by the portal alone."""
        return any(not p.built_in for p in self.places)


class WhereFields(forms.Form):
    """The fields. The form that takes them in has `instance` and `request`, and calls `offer_places` when it knows the client."""

    where = forms.ChoiceField(
        choices=((NAMED, "These places"), (TAGGED, "Any places that carry a tag")), widget=forms.RadioSelect, initial=NAMED, label="Watched from",
    )  # fmt: skip
    probes = Places(
        Probe.objects.none(), widget=forms.CheckboxSelectMultiple, label="These places",
        error_messages={"required": "Choose at least one place."},
    )  # fmt: skip
    probe_tags = forms.CharField(required=False, max_length=200, label="Tags that each of them carries")
    probe_any = forms.IntegerField(
        required=False, min_value=1, max_value=places.MOST, initial=1, label="How many of them",
        help_text="Each monitor has its own; when one goes, another takes its place.",
    )  # fmt: skip

    instance: Monitor
    request: HttpRequest

    def offer_places(self, client: Client | None) -> None:
        """Regions, and this client's own probes. With one place and no rule there is nothing to choose."""
        fields: Any = self.fields
        rows = Probe.objects.for_user(self.request).filter(enabled=True, revoked_at=None)
        rows = rows.filter(client=None) | rows.filter(client=client) if client else rows.filter(client=None)
        rule = self.instance.probe_rule
        if len(rows) < 2 and not rule:
            for name in FIELDS:
                fields.pop(name, None)
            return
        fields["probes"].queryset, fields["probes"].at = rows, database_now()
        fields["probes"].initial = self._now(rows)
        fields["probes"].required = self.data.get("where") != TAGGED
        tags = sorted({tag.name for p in rows.prefetch_related("tags") for tag in p.tags.all()}, key=str.lower)
        if not tags and "tags" not in rule:
            for name in ("where", "probe_tags", "probe_any"):
                del fields[name]
            return
        fields["probe_tags"].help_text = f"Separated by commas. There are {', '.join(tags)}." if tags else ""
        if "tags" in rule:
            self.initial.update(where=TAGGED, probe_tags=", ".join(rule["tags"]), probe_any=rule.get("any", 1))

    def _now(self, rows: Any) -> list[int]:
        if "probes" in self.instance.probe_rule:
            return [p.pk for p in rows if p.slug in self.instance.probe_rule["probes"]]
        if self.instance.pk:
            return list(self.instance.views.values_list("probe_id", flat=True))
        return [p.pk for p in rows if p.built_in]

    def check_places(self, cleaned: dict[str, Any]) -> None:
        """Something has to be chosen; whether it is enough is judged with the whole monitor."""
        if "probe_tags" in self.fields and cleaned.get("where") == TAGGED and not self._words(cleaned):
            self.add_error("probe_tags", "Name at least one tag, or choose places by name.")

    @staticmethod
    def _words(cleaned: dict[str, Any]) -> list[str]:
        return [word.strip() for word in (cleaned.get("probe_tags") or "").split(",") if word.strip()]

    def choice(self) -> tuple[list[Probe] | None, dict[str, Any] | None]:
        """(probes, rule) for the door: one of them, or neither when there was nothing to choose. A list by name stays one."""
        given = self.cleaned_data
        if "probes" not in self.fields:
            return None, None
        if given.get("where") == TAGGED:
            return None, places.check_rule({"tags": self._words(given), "any": given.get("probe_any") or 1})
        chosen = list(given["probes"])
        if "probes" in self.instance.probe_rule:
            return None, places.check_rule({"probes": [p.slug for p in chosen]})
        return chosen, None

    def seen(self) -> Seen:
        """From where it would be watched, by what is in the form now, whole or half filled in."""
        if "probes" not in self.fields:
            return Seen()
        given = self._given()
        m, quorum = self.instance, given.get("quorum") or self.instance.quorum
        if given.get("where") != TAGGED:
            wanted = {getattr(p, "pk", p) for p in given.get("probes") or ()}
            rows: Any = self.fields["probes"]
            found = [places.place_of(p) for p in rows.queryset.prefetch_related("tags") if p.pk in wanted]
            return Seen(tuple(found), len(found), _trouble(len(found), quorum))
        words = self._words(given)
        if not words:
            return Seen(trouble="Name a tag.")
        rule = {"tags": words, "any": given.get("probe_any") or 1}
        client = m.client_id
        fit = places.fitting(rule, client, places.places())
        number = places.number_of(rule, fit)
        if m.pk and client:  # known already: the same monitor always ranks the places alike
            ids = places.choose(rule, m.pk, client, fit, distinct=m.distinct_networks)
            fit = [p for p in fit if p.id in ids]
        return Seen(tuple(fit), number, _trouble(number, quorum, f"carries {' and '.join(words)}"))

    def _given(self) -> dict[str, Any]:
        """What is chosen, wrong or not: what did not pass is missing from `cleaned_data`, and is still what was meant."""
        names = [name for name in FIELDS if name in self.fields]
        if not self.is_bound:
            return {name: self.get_initial_for_field(self.fields[name], name) for name in names}
        found: dict[str, Any] = {name: self[name].data for name in names}
        for name in ("probe_any", "quorum"):
            found[name] = visit.whole(found.get(name))
        found["probes"] = [pk for text in found.get("probes") or () if (pk := visit.whole(text))]
        return found

    def moved(self) -> bool:
        """Would it be watched from elsewhere than it is?"""
        probes, rule = self.choice()
        return bool(self.instance.pk) and services.moves(Monitor.objects.get(pk=self.instance.pk), probes, rule)


def _trouble(number: int, quorum: int, what: str = "is chosen") -> str:
    if not number:
        return f"No place {what}."
    if number < quorum:
        return f"{quorum} must agree, and only {number} would look: choose more places, or let fewer agree."
    return ""

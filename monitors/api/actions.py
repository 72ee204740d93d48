"""How does a script say "all of these"? Ids of its own monitors, one action; the answer says who was done and why others were not."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as Invalid
from django.db.models import QuerySet
from rest_framework import serializers

from monitors import bulk, places
from monitors.models import Monitor
from portal.api.errors import bad
from portal.api.serializers import OwnRow, TagNames
from portal.models import Service, Site


class Ids(serializers.ListField):
    """From 1 to 200 ids, each once."""

    child = serializers.IntegerField(min_value=1, max_value=2**63 - 1)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"min_length": 1, "max_length": bulk.MOST, **kwargs})

    def to_internal_value(self, data: Any) -> list[int]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class ActionSerializer(serializers.Serializer):
    """An action on several monitors."""

    action = serializers.ChoiceField(choices=list(bulk.ACTIONS))
    ids = Ids(help_text="Of monitors.")
    tags = TagNames(default=list, help_text="For tag and untag.")
    site = OwnRow(
        queryset=Site.objects.all(),
        required=False,
        allow_null=True,
        help_text="For move; null takes them out of theirs.",
    )
    service = OwnRow(queryset=Service.objects.all(), required=False, allow_null=True, help_text="For move, as site.")
    probe_rule = serializers.JSONField(
        required=False, help_text='For watch_from: {"tags": ["eu"], "any": 3} or {"probes": ["local", "berlin"]}.'
    )

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """What watch_from needs is said at its field, before anything is done."""
        if values["action"] == "watch_from":
            try:
                values["probe_rule"] = places.check_rule(values.get("probe_rule") or None)
            except Invalid as error:
                raise serializers.ValidationError({"probe_rule": error.message_dict["probe_rule"]}) from None
        return values


class RefusedSerializer(serializers.Serializer):
    """A monitor that it was not done to."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    why = serializers.CharField()


class OutcomeSerializer(serializers.Serializer):
    """What came of it."""

    done = serializers.ListField(child=serializers.IntegerField())
    refused = RefusedSerializer(many=True)


def chosen(rows: QuerySet[Monitor], ids: list[int], name: str) -> list[Monitor]:
    """The caller's monitors of these ids, in that order; ids that are not among them are refused as unknown."""
    found = {m.pk: m for m in rows.filter(pk__in=ids)}
    missing = [str(pk) for pk in ids if pk not in found]
    if missing:
        raise bad({name: f"No such monitor: {', '.join(missing[:20])}."})
    return [found[pk] for pk in ids]


def outcome_body(outcome: bulk.Outcome) -> dict[str, Any]:
    """The answer."""
    refused = [{"id": m.pk, "name": m.name, "why": why} for m, why in outcome.refused]
    return {"done": [m.pk for m in outcome.done], "refused": refused}

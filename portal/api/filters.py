"""How do lists filter by an id without telling whose it is? By the number: a foreign id and an unknown one give the same empty list."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.db import models
from django_filters.rest_framework import DjangoFilterBackend, FilterSet

LARGEST = 2**63 - 1  # what the database's ids can be; a longer number is a clear 400


class IdFilter(django_filters.NumberFilter):
    """`?client=3`. No list of choices: whether somebody else's row exists is not for the caller to learn."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.pop("queryset", None)
        kwargs.pop("to_field_name", None)
        kwargs.pop("null_label", None)
        super().__init__(*args, min_value=0, max_value=LARGEST, **kwargs)


class ByNumber(FilterSet):
    """What `filterset_fields` becomes: foreign keys by their number."""

    class Meta:
        filter_overrides = {models.ForeignKey: {"filter_class": IdFilter}}


class Filters(DjangoFilterBackend):
    """The API's filters."""

    filterset_base = ByNumber

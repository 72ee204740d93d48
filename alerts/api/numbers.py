"""How does a filter take a row's id? As a number the databases can hold; of a foreign one it says no more than of an unknown one."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms

LARGEST = 2**63 - 1


class IdFilter(django_filters.NumberFilter):
    """`?client=3`. No list of choices: whether somebody else's row exists is not for the caller to learn."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=0, max_value=LARGEST, **kwargs)

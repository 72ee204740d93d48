"""What do the desk's forms ask for beside plain fields? Tags as words, JSON as text, secrets that only go in."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError


class TagsField(forms.CharField):
    """Tags as words, separated by commas; new ones are made."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, "help_text": "Separated by commas.", "max_length": 1000, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) or value is None else ", ".join(str(tag) for tag in value)

    def to_python(self, value: Any) -> Any:
        names = [name.strip() for name in str(value or "").split(",") if name.strip()]
        if any(len(name) > 50 for name in names):
            raise ValidationError("A tag has 50 characters at most.")
        return names

    def validate(self, value: Any) -> None:
        """A list of words; nothing more to ask."""

    def run_validators(self, value: Any) -> None:
        """The length of each was judged above."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        before = {str(tag).lower() for tag in (initial or ())}
        return before != {name.strip().lower() for name in str(data or "").split(",") if name.strip()}


class ObjectField(forms.JSONField):
    """A JSON object (or, with `of=list`, a list) in a text area. What no database takes is refused here, with a sentence."""

    def __init__(self, of: type = dict, **kwargs: Any) -> None:
        self.of = of
        widget = forms.Textarea(
            attrs={"rows": 10 if of is dict else 3, "class": "vLargeTextField mono", "spellcheck": "false"}
        )
        super().__init__(**{"required": False, "widget": widget, **kwargs})

    def to_python(self, value: Any) -> Any:
        try:
            found = super().to_python(value)
            json.dumps(found, ensure_ascii=False).encode()
        except (RecursionError, UnicodeEncodeError):
            raise ValidationError("This cannot be stored; write plain JSON.") from None
        if found is None:
            return self.of()
        if not isinstance(found, self.of):
            raise ValidationError(
                'Write a JSON object, as {"url": "https://…"}.' if self.of is dict else "Write a JSON list."
            )
        if "\\u0000" in json.dumps(found):
            raise ValidationError("It holds a zero byte; take it out.")
        return found

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data  # shown again as it was typed

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        return json.dumps(value, ensure_ascii=False, indent=2)


class SecretField(forms.CharField):
    """Write-only: empty keeps what is stored."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "class": "vTextField"})
        super().__init__(**{"required": False, "strip": True, "max_length": 4000, "widget": widget, **kwargs})

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data)

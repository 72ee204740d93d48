"""What of a playbook is people's? Who may agree, by e-mail address; and that it acts by itself, which no file decides."""

from __future__ import annotations

from typing import Any

from console.configuration.forms import Form, Path, Showing, Taking
from portal.models import User


class People(Form):
    """Users by address."""

    def show(self, value: Any, at: Showing) -> Any:
        if not value:
            return []
        return sorted(User.objects.filter(pk__in=value).values_list("email", flat=True))

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            at.wrong(path, "Write a list of e-mail addresses.")
            return []
        found = []
        for number, address in enumerate(value):
            user = User.objects.filter(email__iexact=address.strip()).first()
            if user is None:
                at.wrong(
                    (*path, number),
                    f"There is nobody with the address {address[:100]}; invite them first, or take this line out.",
                )
            else:
                found.append(user.pk)
        return found


class Mode(Form):
    """How far a playbook is trusted."""

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        if value == "automatic":
            at.wrong(
                path,
                "That it acts by itself is a person's decision, with their second factor: write approval here, "
                "and raise it on the playbook's page.",
            )
        return super().take(value, at, path)

"""Who is the first owner? Made here, or by the set-up link that `up` prints."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from portal import people
from portal.management.base import TERMINAL, PortalCommand


class Command(PortalCommand):
    help = "Create a person with the owner's role."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--password", required=True, help="at least 10 characters")
        parser.add_argument("--name", default="")

    def work(self, *, email: str, password: str, name: str, **options: Any) -> str:
        user = people.create_owner(email, password, by=TERMINAL, name=name)
        return f"{user.email} is an owner now."

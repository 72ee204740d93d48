"""How does a script get in? With a token of a person; it sees what they see, and is printed once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from portal import people
from portal.clock import database_now
from portal.management.base import TERMINAL, PortalCommand
from portal.models import Client, User
from portal.models.people import SCOPES


class Command(PortalCommand):
    help = "Create an API token of a person; prints only the token."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="whose token it is")
        parser.add_argument("--scopes", required=True, help=f"comma-separated, of {', '.join(SCOPES)}")
        parser.add_argument("--client", default="", help="slug of the one client it sees")
        parser.add_argument("--days", type=int, default=0, help="how long it works; 0: until revoked")
        parser.add_argument("--name", default="createtoken")

    def work(self, *, email: str, scopes: str, client: str, days: int, name: str, **options: Any) -> str:
        user = User.objects.filter(email__iexact=email.strip()).first()
        if user is None:
            raise CommandError(f"There is nobody with the address {email}; run createowner or invite them first.")
        bound = Client.objects.filter(slug=client).first() if client else None
        if client and bound is None:
            raise CommandError(f"There is no client with the slug {client}.")
        if days < 0:
            raise CommandError("--days is a number of days from now.")
        wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
        expires_at = database_now() + timedelta(days=days) if days else None
        return people.issue_token(user, name, wanted, by=TERMINAL, client=bound, expires_at=expires_at)[1]

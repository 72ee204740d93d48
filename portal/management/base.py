"""What do all commands share? They migrate an empty or older database first, and say what is wrong in a sentence."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from portal import database
from portal.audit import Actor
from portal.errors import Refused

TERMINAL = Actor("manage.py")


class PortalCommand(BaseCommand):
    """A command that works on the database: write `work`, not `handle`."""

    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> str | None:
        database.prepare()
        try:
            return self.work(**options)
        except Refused as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError(sentences(error)) from None

    def work(self, **options: Any) -> str | None:
        """What the command does; what it returns is printed."""
        raise NotImplementedError


def sentences(error: ValidationError) -> str:
    """A ValidationError on one line: `email: Somebody with this address is already here.`"""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())

"""Which errors does the domain know? `Refused` is the one a person reads: page message, API 409."""

from __future__ import annotations


class Refused(Exception):
    """The domain says no; the sentence says why and what to do."""

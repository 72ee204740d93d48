"""How are passwords kept while tests run? By the product's own algorithm, with a thousandth of its work.

Each is readable by the other: a portal that a test starts takes what the test's Django has hashed, and the reverse.
"""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class Quick(PBKDF2PasswordHasher):
    """Not slow on purpose."""

    iterations = 1_000

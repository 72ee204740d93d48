"""Who may open an account? Nobody by themselves: people are invited, the first owner is made at set-up."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse


class InvitedOnly(DefaultAccountAdapter):
    """allauth without a public sign-up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def populate_username(self, request: HttpRequest, user: object) -> None:
        """There are no user names."""

    def get_reset_password_from_key_url(self, key: str) -> str:
        """The link in the mail: our own address, whatever name the request was sent to."""
        uid, _, rest = key.partition("-")
        return settings.BASE_URL + reverse("account_reset_password_from_key", kwargs={"uidb36": uid, "key": rest})

"""Who is signed in at a client's own domain, by which passkeys, and under whose name is its sign-in page?

Somebody who does not belong there is refused in the words, the time and the counts of somebody unknown: the page tells
nobody who has an account elsewhere. A passkey belongs to the name at which it was added; browsers see to that.
"""

from __future__ import annotations

from typing import Any

from allauth.account.internal.stagekit import clear_login
from allauth.account.utils import url_str_to_user_pk
from allauth.core import context as current
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from portal import accounts, branding, doors
from portal.models import User


class AtEachDoor(accounts.InvitedOnly):
    """The sign-in, with one more rule at a client's domain."""

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """At a client's domain a person from elsewhere is nobody, whatever the password: same words, same work, a try used."""
        if doors.of(request) is not None and not self._at_home(request, str(credentials.get("email") or "")):
            self.pre_authenticate(request, **credentials)
            make_password(str(credentials.get("password") or ""))
            self.authentication_failed(request, **credentials)
            return None
        return super().authenticate(request, **credentials)

    def pre_login(self, request: HttpRequest, user: Any, **about: Any) -> HttpResponse | None:
        """Whatever way they came, as by a passkey."""
        if not doors.may_enter(user, doors.of(request)):
            clear_login(request)
            messages.error(request, str(self.error_messages["email_password_mismatch"]))
            return redirect("account_login")
        return super().pre_login(request, user, **about)

    def get_reset_password_from_key_url(self, key: str) -> str:
        """The link in the mail leads to where this person is at home, whatever name the request was sent to."""
        url = super().get_reset_password_from_key_url(key)
        user = User.objects.filter(pk=url_str_to_user_pk(key.partition("-")[0])).first()
        return branding.home_of(user) + url.removeprefix(settings.BASE_URL) if user else url

    def _at_home(self, request: HttpRequest, email: str) -> bool:
        user = User.objects.filter(email__iexact=email.strip()).first()
        return user is not None and doors.may_enter(user, doors.of(request))


class KeysOfEachDoor(accounts.SecondStep):
    """Passkeys, each of the name at which it was added."""

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        found = super().get_public_key_credential_rp_entity()
        door = doors.of(current.request)
        return {"id": door.domain, "name": branding.called(door.client_id)} if door else found


def face(request: HttpRequest) -> dict[str, Any]:
    """Template context: at a client's domain every page has the client's face, also before somebody signs in."""
    door = doors.of(request)
    if door is None:
        return {"key_host": accounts.host()}
    brand = branding.of_client(door.client_id)
    return {
        "portal_name": brand.name, "brand_logo": brand.logo, "brand_style": brand.style, "key_host": door.domain, "own_door": True,
        "main_address": settings.BASE_URL,
    }  # fmt: skip

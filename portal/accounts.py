"""Who may open an account? Nobody by themselves: people are invited, the first owner is made at set-up.

And by which means does somebody prove again who they are? Whoever has a second step, by that one: a password that was
looked over a shoulder must not be enough to take the step away.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from portal import mfa, oidc, oidc_pages, sessions, throttle
from portal.errors import Refused
from portal.secrets import Sealed


class InvitedOnly(DefaultAccountAdapter):
    """allauth without a public sign-up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def populate_username(self, request: HttpRequest, user: object) -> None:
        """There are no user names."""

    def get_client_ip(self, request: HttpRequest) -> str:
        """As everywhere here: the peer's, or what proxies of ours saw (TRUSTED_PROXIES)."""
        return sessions.address_of(request)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Before a password is looked at. allauth counts tries per account, so that a stranger could lock its person out."""
        email = credentials.get("email") or getattr(request.user, "email", "")
        try:
            self._login_failed_rl_usage = throttle.take(request, str(email))
        except Refused as refusal:
            raise ValidationError(str(refusal), code="too_many_login_attempts") from None

    def pre_login(self, request: HttpRequest, user: Any, **about: Any) -> HttpResponse | None:
        """Where single sign-on is required, other ways are the owners' alone."""
        answer = super().pre_login(request, user, **about)
        if answer is None and oidc_pages.must_sign_on(request, user):
            clear_login(request)
            messages.error(request, f"You sign in with {oidc.name()} here.")
            return redirect("account_login")
        return answer

    def get_login_stages(self) -> list[str]:
        """As allauth's, with a second step that the company's own sign-on may have taken already."""
        ours = {"allauth.mfa.stages.AuthenticateStage": "portal.oidc_pages.SecondStepStage"}
        return [ours.get(stage, stage) for stage in super().get_login_stages()]

    def get_reset_password_from_key_url(self, key: str) -> str:
        """The link in the mail: our own address, whatever name the request was sent to."""
        uid, _, rest = key.partition("-")
        return settings.BASE_URL + reverse("account_reset_password_from_key", kwargs={"uidb36": uid, "key": rest})

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """The password, or (once there is a second step) the steps alone; what the person uses every day first."""
        methods = {method["id"]: method for method in super().get_reauthentication_methods(user)}
        if not user.is_authenticated or not mfa.has_factor(user):
            if "reauthenticate" in methods:
                return [{**methods["reauthenticate"], "description": "Use your password"}]
            words = f"Sign in with {oidc.name()} again" if oidc.enabled() else ""
            return [{"id": "oidc", "description": words, "url": reverse("oidc_again")}] if words else []
        has_app = mfa.Authenticator.objects.filter(user_id=user.pk, type=mfa.TOTP).exists()
        words = {
            "mfa_reauthenticate": "Use a code of your app or a recovery code" if has_app else "Use a recovery code",
            "mfa_reauthenticate:webauthn": "Use a passkey",
        }
        order = list(words) if has_app else list(reversed(words))
        return [{**methods[name], "description": words[name]} for name in order if name in methods]


class SecondStep(DefaultMFAAdapter):
    """allauth's second steps with our seal, our name and our rule about the last one."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": "This did not work. Please try again.",
        "cannot_delete_authenticator": "Staff need a second step here: add another one before you remove this one.",
    }

    def encrypt(self, text: str) -> str:
        return Sealed.of(text).token

    def decrypt(self, encrypted_text: str) -> str:
        return str(Sealed(encrypted_text).open())

    def get_totp_issuer(self) -> str:
        """What the app shows beside the code. The host tells one portal from another."""
        return f"Watchkeeper {host()}"

    def can_delete_authenticator(self, authenticator: mfa.Authenticator) -> bool:
        others = mfa.Authenticator.objects.filter(user_id=authenticator.user_id, type__in=mfa.FACTORS)
        return not mfa.required_of(authenticator.user) or others.exclude(pk=authenticator.pk).exists()

    def generate_authenticator_name(self, user: Any, type: Any) -> str:
        number = mfa.Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return f"Passkey {number + 1}"

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """A passkey belongs to the portal's own name, whatever name it was reached by."""
        return {"id": host(), "name": "Watchkeeper"}


def host() -> str:
    """The portal's own name."""
    return urlsplit(settings.BASE_URL).hostname or "localhost"

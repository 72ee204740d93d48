"""Which pages are there about second steps? allauth's, with codes judged by `portal.mfa` and in words that people use."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter as account_adapter
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms as base
from allauth.mfa.base import views as base_pages
from allauth.mfa.recovery_codes import views as recovery_pages
from allauth.mfa.totp import views as totp_pages
from allauth.mfa.webauthn import forms as webauthn
from allauth.mfa.webauthn import views as passkey_pages
from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache

from portal import mfa
from portal.clock import database_now
from portal.errors import Refused
from portal.secrets import Sealed

PENDING = "mfa.pending"  # the session's key for an app's sealed secret until its first code
CODE = {"autocomplete": "one-time-code", "autocapitalize": "off", "spellcheck": "false"}
SIX_DIGITS = {**CODE, "inputmode": "numeric"}


# --- Forms ------------------------------------------------------------------------------------------------------------------
class _UsesCode:
    """A code is used up when the form is valid, wherever the person signs in from."""

    user: Any
    cleaned_data: dict[str, Any]

    def clean_code(self) -> str:
        code = self.cleaned_data["code"]
        try:
            self.authenticator = mfa.use_code(self.user, code, database_now())
        except Refused as refusal:
            raise ValidationError(str(refusal)) from None
        self.authenticator.user = self.user
        return str(code)


class CodeForm(_UsesCode, base.AuthenticateForm):
    """The second step of a sign-in."""

    code = forms.CharField(label="Code", max_length=40, widget=forms.TextInput(attrs={**CODE, "autofocus": True}))


class CodeAgainForm(_UsesCode, base.ReauthenticateForm):
    """The same before something important."""

    code = forms.CharField(label="Code", max_length=40, widget=forms.TextInput(attrs={**CODE, "autofocus": True}))


class AppForm(forms.Form):
    """The first code of a new app. Until then its secret waits in the session, under seal."""

    code = forms.CharField(label="The code that it then shows", max_length=40, widget=forms.TextInput(attrs=SIX_DIGITS))

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        session = context.request.session
        if not self.is_bound or PENDING not in session:
            session[PENDING] = Sealed.of(mfa.new_secret()).token
        self.user, self.secret = user, str(Sealed(session[PENDING]).open())
        self.step = -1

    def clean_code(self) -> str:
        code = self.cleaned_data["code"]
        step = mfa.step_of(self.secret, code, database_now())
        if step is None:
            raise ValidationError("This is not the code of the app you just set up. Is your phone's clock right?")
        self.step = step
        return str(code)


class _Guarded:
    """Whatever a program sends in the place of a browser's answer is refused, not a crash."""

    def full_clean(self) -> None:
        try:
            super().full_clean()  # type: ignore[misc]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            self.cleaned_data: dict[str, Any] = {}
            self.add_error("credential", str(get_adapter().error_messages["incorrect_code"]))  # type: ignore[attr-defined]


class PasskeyForm(_Guarded, webauthn.AddWebAuthnForm):
    """A new passkey."""

    name = forms.CharField(
        label="Its name", required=False, max_length=60, help_text="As “work laptop”: so that you know it in the list."
    )
    passwordless = forms.BooleanField(
        label="Sign in with it alone, without the password",
        required=False,
        initial=True,
        help_text="It then asks for your fingerprint, face or PIN. Take the tick away for a simple security key.",
    )


class PasskeyNameForm(webauthn.EditWebAuthnForm):
    name = forms.CharField(label="Its name", max_length=60)


class PasskeyStepForm(_Guarded, webauthn.AuthenticateWebAuthnForm):
    """A passkey as the second step of a sign-in."""


class PasskeySignInForm(_Guarded, webauthn.LoginWebAuthnForm):
    """A passkey alone."""


class PasskeyAgainForm(_Guarded, webauthn.ReauthenticateWebAuthnForm):
    """A passkey before something important."""


# --- Pages ------------------------------------------------------------------------------------------------------------------
class Overview(base_pages.IndexView):
    """What do I have, and what could I add?"""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)
        rows = mfa.Authenticator.objects.filter(user=self.request.user).order_by("created_at")
        found["app"] = next((row for row in rows if row.type == mfa.TOTP), None)
        found["passkeys"] = [row for row in rows if row.type == mfa.PASSKEY]
        found["codes_left"] = next((mfa.codes_left(row) for row in rows if row.type == mfa.RECOVERY), None)
        found["has_factor"] = bool(found["app"] or found["passkeys"])
        found["must"] = mfa.required_of(self.request.user)
        found["passkeys_possible"] = settings.PASSKEYS_POSSIBLE
        return found


class SignInStep(base_pages.AuthenticateView):
    """Only what this person has is offered."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), **_kinds_of(self.stage.login.user)}


class ProveByCode(base_pages.ReauthenticateView):
    """The same for somebody who is signed in."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), **_kinds_of(self.request.user)}


class AddApp(totp_pages.ActivateTOTPView):
    """The code that proved the app cannot be used again to sign in."""

    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        self.request.session.pop(PENDING, None)
        row = mfa.Authenticator.objects.get(user=self.request.user, type=mfa.TOTP)
        row.data["last_step"] = form.step
        row.save(update_fields=["data"])
        return answer


class RemovePasskey(passkey_pages.RemoveWebAuthnView):
    """allauth asks about the last factor only when an app is removed; so do we here."""

    def form_valid(self, form: Any) -> HttpResponse:
        adapter = get_adapter()
        if not adapter.can_delete_authenticator(self.get_object()):
            messages.error(self.request, str(adapter.error_messages["cannot_delete_authenticator"]))
            return redirect("mfa_index")
        return super().form_valid(form)


class ProvePasskey(passkey_pages.ReauthenticateWebAuthnView):
    """A failed try stays on the page, with its way back."""

    def form_invalid(self, form: Any) -> HttpResponse:
        for message in form.errors.get("credential", []):
            account_adapter().add_message(self.request, messages.ERROR, message=message)
        return redirect(self.passthrough_next_url(self.request.path))


def _kinds_of(user: Any) -> dict[str, bool]:
    kinds = set(mfa.Authenticator.objects.filter(user_id=user.pk).values_list("type", flat=True))
    return {"has_app": mfa.TOTP in kinds, "has_passkey": mfa.PASSKEY in kinds}


overview = Overview.as_view()
step = never_cache(SignInStep.as_view())
prove_by_code = never_cache(ProveByCode.as_view())
prove_by_passkey = never_cache(ProvePasskey.as_view())
add_app = never_cache(AddApp.as_view())
remove_app = never_cache(totp_pages.deactivate_totp)
codes = never_cache(recovery_pages.view_recovery_codes)
new_codes = never_cache(recovery_pages.generate_recovery_codes)
passkeys = never_cache(passkey_pages.list_webauthn)
add_passkey = never_cache(passkey_pages.add_webauthn)
rename_passkey = never_cache(passkey_pages.edit_webauthn)
remove_passkey = never_cache(RemovePasskey.as_view())
sign_in_by_passkey = never_cache(passkey_pages.login_webauthn)

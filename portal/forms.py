"""What do people type before they are in? The first owner's and an invited person's details."""

from __future__ import annotations

from django import forms


class PasswordForm(forms.Form):
    """A name and a new password, for somebody who was invited."""

    name = forms.CharField(max_length=120, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    password = forms.CharField(
        max_length=200,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="At least 10 characters.",
    )


class OwnerForm(PasswordForm):
    """The first owner: also the address they sign in with."""

    email = forms.EmailField(
        max_length=254, label="E-mail", widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    field_order = ["email", "name", "password"]

    def clean_email(self) -> str:
        return self.cleaned_data["email"].strip()

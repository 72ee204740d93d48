"""People, their roles and their tokens: who comes in, and what is shown once? For owners; the doors are portal.people's."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from portal import people
from portal.admin.desk import Desk, DoorForm, Truth
from portal.admin.factors import ResetsSecondSteps
from portal.admin.lists import each, state_column, time_column
from portal.audit import Actor
from portal.models import Membership, OneTimeLink, Token, User
from portal.models.people import SCOPES
from portal.tenancy import CLIENT_ROLES, MSP_ROLES


class ShownOnce(Desk):
    """A desk whose new rows come with a secret: the answer to the form shows it, and nothing keeps it."""

    shown_title = ""
    shown_hint = ""

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        secret = getattr(obj, "shown_once", "")
        if not secret:
            return super().response_add(request, obj, post_url_continue)
        context = {
            **self.admin_site.each_context(request), "title": self.shown_title, "hint": self.shown_hint, "secret": secret, "opts": self.opts, "original": obj,
        }  # fmt: skip
        answer = TemplateResponse(request, "admin/shown_once.html", context)
        answer["Cache-Control"] = "no-store"
        return answer


class MembershipForm(DoorForm):
    email = forms.EmailField(
        max_length=254, label="E-mail", help_text="Somebody new gets an invitation link, which is shown once."
    )


@admin.register(Membership)
class MembershipDesk(ShownOnce):
    form = MembershipForm
    list_display = ("user", "client", state_column("role", "Role"), "created_at")
    list_filter = ("role", "client")
    list_select_related = ("user", "client")
    search_fields = ("user__email", "user__name", "client__name")
    autocomplete_fields = ("client",)
    shown_title = "Invited"
    shown_hint = (
        "Hand this link to them: they choose their password there. It works once, for 7 days, and is not shown again."
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("user", "client", "role") if obj else ("email", "client", "role")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("user", "client") if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj:
            kwargs["form"] = DoorForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}  # one by one: the last owner stays

    def create(self, by: Actor, values: dict[str, Any]) -> Membership:
        membership, link = people.invite(values["email"], role=values["role"], client=values.get("client"), by=by)
        membership.shown_once = link or ""
        return membership

    def change(self, row: Membership, by: Actor, values: dict[str, Any]) -> Membership:
        return people.change_role(row, values["role"], by=by) if "role" in values else row

    def remove(self, row: Membership, by: Actor) -> None:
        people.remove(row, by=by)


class UserForm(DoorForm):
    role = forms.ChoiceField(choices=[("MSP", MSP_ROLES), ("Client", CLIENT_ROLES)], required=False)
    client = forms.ModelChoiceField(queryset=None, required=False, help_text="Empty: one of our own staff.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "client" in self.fields:
            from portal.models import Client

            self.fields["client"].queryset = Client.objects.for_user(self.request)


@admin.register(User)
class UserDesk(ResetsSecondSteps, ShownOnce):
    form = UserForm
    list_display = (
        "email",
        "name",
        "roles",
        "second_steps",
        "is_active",
        time_column("last_login", "Last signed in"),
        "created_at",
    )
    list_filter = ("is_active", "memberships__role")
    search_fields = ("email", "name")
    date_hierarchy = "created_at"
    shown_title = "Invited"
    shown_hint = MembershipDesk.shown_hint
    actions = ("sign_out", "reset_second_step")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("memberships__client", "authenticator_set")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("email", "name", "role", "client")
        return ("email", "name", "timezone", "is_active", "last_login", "second_steps")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("last_login", "second_steps") if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj:
            kwargs["form"] = DoorForm
        return super().get_form(request, obj, change=change, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # switch them off: what they did names them

    @admin.display(description="Roles")
    def roles(self, row: User) -> str:
        return (
            ", ".join(f"{m.get_role_display()}{f' ({m.client})' if m.client_id else ''}" for m in row.memberships.all())
            or "none"
        )

    def create(self, by: Actor, values: dict[str, Any]) -> User:
        if not values["role"]:
            raise ValidationError({"role": "Choose what they may do."})
        if User.objects.filter(email__iexact=values["email"].strip()).exists():
            raise ValidationError({"email": "Somebody with this address is already here; give them a membership."})
        membership, link = people.invite(
            values["email"], role=values["role"], client=values.get("client"), by=by, name=values["name"]
        )
        membership.user.shown_once = link or ""
        return membership.user

    def change(self, row: User, by: Actor, values: dict[str, Any]) -> User:
        return people.change_user(row, by=by, **values)

    @admin.action(description="Sign out everywhere", permissions=["change"])
    def sign_out(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        each(request, queryset, lambda user: people.sign_out(user, by=Actor.of(request)), "signed out")


class TokenForm(DoorForm):
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES], widget=forms.CheckboxSelectMultiple, initial=["read"]
    )


@admin.register(Token)
class TokenDesk(ShownOnce):
    form = TokenForm
    list_display = (
        "name",
        "start",
        "user",
        "client",
        "scope_words",
        "expires_at",
        time_column("last_used_at", "Last used"),
        "works",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "client")
    list_select_related = ("user", "client")
    search_fields = ("name", "prefix", "user__email")
    date_hierarchy = "created_at"
    autocomplete_fields = ("user", "client")
    shown_title = "Your new token"
    shown_hint = "Copy it now: it is stored as a hash and cannot be shown again."
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("user", "name", "scopes", "client", "expires_at")
        return (
            "user",
            "name",
            "start",
            "scope_words",
            "client",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj) if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj:
            kwargs["form"] = DoorForm
        return super().get_form(request, obj, change=change, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # it is what it is until it is revoked

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("portal.change_token")

    @admin.display(description="Begins with")
    def start(self, row: Token) -> str:
        return f"wk_{row.prefix}…"

    @admin.display(description="Scopes")
    def scope_words(self, row: Token) -> str:
        return ", ".join(row.scopes)

    @admin.display(description="Works", boolean=True)
    def works(self, row: Token) -> bool:
        from django.utils import timezone

        return row.usable(timezone.now())

    def create(self, by: Actor, values: dict[str, Any]) -> Token:
        token, plain = people.issue_token(
            values["user"],
            values["name"],
            values["scopes"],
            by=by,
            client=values.get("client"),
            expires_at=values.get("expires_at"),
        )
        token.shown_once = plain
        return token

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Token]) -> None:
        each(request, queryset, lambda token: people.revoke_token(token, by=Actor.of(request)), "revoked")


@admin.register(OneTimeLink)
class OneTimeLinkDesk(Truth):
    list_display = ("purpose", "subject", "user", "recipient", "expires_at", "used_at", "created_at")
    list_filter = ("purpose", ("used_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("recipient", "subject", "user__email")
    date_hierarchy = "created_at"
    hidden = ("hash",)

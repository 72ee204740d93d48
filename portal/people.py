"""How do people come in, change roles and leave? Owners, invitations, memberships, tokens; each act is in the audit log.

Raises django ValidationError (fields) for bad values and Refused for what must not happen, as losing the last owner.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Count

from portal import audit, branding, sessions, signals
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import AuditHead, Client, Membership, OneTimeLink, Token, User
from portal.models.people import SCOPES
from portal.services import clean
from portal.tenancy import ADMINISTER, OWNER, WRITE, Viewer, viewer_of

log = logging.getLogger("watchkeeper.people")

SETUP, INVITE = "setup", "invite"
SETUP_LIFE = timedelta(days=1)
INVITE_LIFE = timedelta(days=7)


# --- Who may do this? -----------------------------------------------------------------------------------------------------
def may_manage(viewer: Viewer, client_id: int | None) -> bool:
    """May they invite, change and remove people there? Our own people: owners; a client's: owners, staff, its admin."""
    return viewer.may(ADMINISTER, None) if client_id is None else viewer.may(WRITE, client_id)


def manages(viewer: Viewer, user: User) -> bool:
    """May they act on the person as a whole (end sessions, see a link that gives their account)? Only who manages every
    place where that person belongs: a client's admin gets no hold of an account that opens more than that client."""
    places = list(user.memberships.values_list("client_id", flat=True))
    return bool(places) and all(may_manage(viewer, client_id) for client_id in places)


# --- Coming in ------------------------------------------------------------------------------------------------------------
def owner_exists() -> bool:
    """Has somebody set this installation up?"""
    return Membership.objects.filter(client=None, role=OWNER).exists()


def create_owner(email: str, password: str, *, by: Actor, name: str = "") -> User:
    """A new person with the owner's role."""
    with transaction.atomic():
        user = _new_user(email, password, name)
        _enrol(user, None, OWNER, by)
        signals.owner_created.send(User, user=user, by=by)
    return user


def setup_link() -> str | None:
    """The address of a new first set-up page, good for a day; None once there is an owner."""
    if owner_exists():
        return None
    secret = OneTimeLink.make(SETUP, expires_at=database_now() + SETUP_LIFE)
    return f"{settings.BASE_URL}/setup/{secret}/"


def set_up(link: OneTimeLink, email: str, password: str, *, by: Actor, name: str = "") -> User:
    """The first owner, by the set-up link. Two people with two links at the same moment: one becomes the owner."""
    with transaction.atomic():
        AuditHead.objects.get_or_create(chain=audit.MSP_CHAIN)
        AuditHead.objects.select_for_update().get(chain=audit.MSP_CHAIN)
        if owner_exists():
            raise Refused("This installation has an owner already; sign in, or ask them for an invitation.")
        user = create_owner(email, password, by=Actor(name=email[:200], ip=by.ip), name=name)
        if not link.use(database_now()):
            raise Refused(
                "This link was used or has expired. Start the portal again (or run createowner) for a new one."
            )
    return user


def invite(email: str, *, role: str, client: Client | None, by: Actor, name: str = "") -> tuple[Membership, str | None]:
    """A membership and, for somebody without a password, the address where they choose one (good for 7 days)."""
    with transaction.atomic():
        user = User.objects.filter(email__iexact=email.strip()).first() or _new_user(email, None, name)
        membership = _enrol(user, client, role, by)
        link = None if user.has_usable_password() else invitation_link(user)
    return membership, link


def invitation_link(user: User) -> str:
    """A new link with which this person, who has no password yet, chooses one."""
    secret = OneTimeLink.make(INVITE, expires_at=database_now() + INVITE_LIFE, user=user, recipient=user.email)
    return f"{branding.home_of(user)}/invite/{secret}/"


def end_invitations(user: User) -> int:
    """Links with which this person would choose a first password work no more; how many did."""
    at = database_now()
    return OneTimeLink.objects.filter(purpose=INVITE, user=user, used_at=None, expires_at__gt=at).update(used_at=at)


def mail_invitation(user: User, link: str) -> str:
    """Send the link; "" or the sentence why it could not be sent. The link stays good either way: hand it over yourself."""
    name = branding.called(branding.only_client_of(user))
    lines = [
        f"You were invited to {name} at {branding.home_of(user)}.", "", "Choose your password here (the link works once, for 7 days):", "", link, "",
        "If you do not know what this is about, do nothing.",
    ]  # fmt: skip
    try:
        send_mail(f"Your invitation to {name}", "\n".join(lines), None, [user.email])
    except Exception as error:  # noqa: BLE001 - whatever the mail server says, the invitation stands
        log.warning("an invitation could not be mailed: %s", type(error).__name__)
        return f"The invitation could not be mailed ({type(error).__name__}); hand over the link yourself."
    return ""


def accept(link: OneTimeLink, password: str, *, by: Actor, name: str = "") -> User:
    """The invited person chooses a password."""
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=link.user_id)
        if user.has_usable_password() or not user.is_active or not link.use(database_now()):
            raise Refused("This invitation was used or has expired; ask for a new one.")
        user.name = name or user.name
        validate_password(password, user)
        user.set_password(password)
        user.save(update_fields=["name", "password"])
        audit.record("user.joined", user, by=Actor(name=user.email, ip=by.ip, user_id=user.pk))
    return user


def change_role(membership: Membership, role: str, *, by: Actor) -> Membership:
    """Another role at the same place. What this person has open ends: they sign in anew."""
    with transaction.atomic():
        before = membership.role
        if before == role:
            return membership
        if before == OWNER and membership.client_id is None:
            _another_owner(membership.user)
        membership.role = role
        clean(membership)
        membership.save(update_fields=["role"])
        end_sessions(membership.user)
        audit.record(
            "membership.changed",
            membership,
            by=by,
            client_id=membership.client_id,
            before={"role": before},
            after={"role": role},
        )
    return membership


def remove(membership: Membership, *, by: Actor) -> None:
    """This person no longer belongs there. Tokens bound to that client end as well."""
    with transaction.atomic():
        if membership.role == OWNER and membership.client_id is None:
            _another_owner(membership.user)
        audit.record(
            "membership.removed", membership, by=by, client_id=membership.client_id, before=_membership(membership)
        )
        if membership.client_id:
            membership.user.tokens.filter(client=membership.client_id, revoked_at=None).update(
                revoked_at=database_now()
            )
        end_sessions(membership.user)
        membership.delete()
        if not membership.user.memberships.exists():
            end_invitations(membership.user)


def change_user(user: User, *, by: Actor, **values: Any) -> User:
    """Change name, e-mail, time zone or whether they may sign in. Switched off: sessions and tokens end for good."""
    before = {name: getattr(user, name) for name in values}
    changed = {name: value for name, value in values.items() if before[name] != value}
    if not changed:
        return user
    with transaction.atomic():
        for name, value in changed.items():
            setattr(user, name, value)
        clean(user)
        if changed.get("is_active") is False:
            if user.memberships.filter(client=None, role=OWNER).exists():
                _another_owner(user)
            revoke_tokens(user)
            end_sessions(user)
        user.save(update_fields=list(changed))
        audit.record("user.changed", user, by=by, before={n: before[n] for n in changed}, after=changed)
    return user


def end_sessions(user: User, *, keep: str | None = None) -> int:
    """Sign a person out everywhere, but for the session with the key `keep`; returns how many sessions ended."""
    return sessions.forget(key for key in sessions.keys_of(user) if key != keep)


def sign_out(user: User, *, by: Actor) -> int:
    """Somebody ends another's sessions, on the record; returns how many."""
    with transaction.atomic():
        ended = end_sessions(user)
        if ended:
            audit.record("user.sessions_ended", user, by=by, before={"sessions": ended})
    return ended


def revoke_tokens(user: User) -> int:
    """All tokens of a person end; how many. The caller records why."""
    return user.tokens.filter(revoked_at=None).update(revoked_at=database_now())


def issue_token(
    user: User,
    name: str,
    scopes: Iterable[str],
    *,
    by: Actor,
    client: Client | None = None,
    expires_at: datetime | None = None,
) -> tuple[Token, str]:
    """A new token and its plain text, which is shown once."""
    scopes = list(scopes)
    if not scopes or set(scopes) - set(SCOPES):
        raise ValidationError({"scopes": [f"Choose from {', '.join(SCOPES)}."]})
    if client is not None and not viewer_of(user).sees(client.pk):
        raise ValidationError({"client": ["This person does not see that client."]})
    if expires_at is not None and expires_at <= database_now():
        raise ValidationError({"expires_at": ["This is in the past."]})
    with transaction.atomic():
        token, plain = Token.issue(user, name, scopes, client=client, expires_at=expires_at)
        after = {"name": name, "user": user.email, "scopes": token.scopes, "expires_at": expires_at}
        audit.record("token.issued", token, by=by, client_id=token.client_id, after=after)
    return token, plain


def revoke_token(token: Token, *, by: Actor) -> None:
    """The token works no more; its row stays."""
    with transaction.atomic():
        if Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=database_now()):
            audit.record("token.revoked", token, by=by, client_id=token.client_id)


def _new_user(email: str, password: str | None, name: str) -> User:
    try:
        validate_email(email.strip())
    except ValidationError as error:
        raise ValidationError({"email": error.messages}) from None
    user = User(email=get_user_model().objects.normalize_email(email.strip()), name=name)
    if password is None:
        user.set_unusable_password()
    else:
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise ValidationError({"password": error.messages}) from None
        user.set_password(password)
    clean(user)
    user.save()
    return user


def _enrol(user: User, client: Client | None, role: str, by: Actor) -> Membership:
    membership = Membership(user=user, client=client, role=role)
    clean(membership)
    membership.save()
    audit.record("membership.created", membership, by=by, client_id=membership.client_id, after=_membership(membership))
    return membership


def _another_owner(user: User) -> None:
    AuditHead.objects.get_or_create(chain=audit.MSP_CHAIN)
    # Two owners who remove each other: one after the other.
    AuditHead.objects.select_for_update().get(chain=audit.MSP_CHAIN)
    others = Membership.objects.filter(client=None, role=OWNER, user__is_active=True).exclude(user=user)
    if not others.aggregate(n=Count("pk"))["n"]:
        raise Refused("This is the last owner; make somebody else an owner first.")


def _membership(membership: Membership) -> dict[str, Any]:
    return {"user": membership.user.email, "client": membership.client_id, "role": membership.role}

"""Who signed in, and who changed a password or a second step? Noted in the audit log.

A changed password ends what was open elsewhere; of a changed second step its person hears by mail.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from allauth.account import signals as account
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa import signals as factor
from allauth.mfa.models import Authenticator
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import transaction
from django.http import HttpRequest

from portal import audit, mfa, people, sessions, throttle, viewing
from portal.audit import Actor
from portal.models import OneTimeLink, User

METHODS = {"oidc": "single sign-on"}


def connect() -> None:
    """Listen to Django's and allauth's news."""
    user_logged_in.connect(on_sign_in, dispatch_uid="portal.sign_ins.in")
    user_logged_out.connect(viewing.on_sign_out, dispatch_uid="portal.sign_ins.out")
    account.password_changed.connect(on_password, dispatch_uid="portal.sign_ins.changed")
    account.password_set.connect(on_password, dispatch_uid="portal.sign_ins.set")
    account.password_reset.connect(on_password, dispatch_uid="portal.sign_ins.reset")
    factor.authenticator_added.connect(on_factor_added, dispatch_uid="portal.sign_ins.factor_added")
    factor.authenticator_removed.connect(on_factor_removed, dispatch_uid="portal.sign_ins.factor_removed")
    factor.authenticator_reset.connect(on_new_codes, dispatch_uid="portal.sign_ins.new_codes")
    factor.authenticator_used.connect(on_factor_used, dispatch_uid="portal.sign_ins.factor_used")


def on_sign_in(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    """user.signed_in, with what they proved it by. The session is written down, and the browser known from now on."""
    if request is not None:
        sessions.begin(request, user)
        throttle.remember(request, user)
    proofs = [] if request is None else get_authentication_records(request, user)
    by = [mfa.WORDS.get(proof.get("type", ""), METHODS.get(proof["method"], proof["method"])) for proof in proofs]
    audit.record("user.signed_in", user, by=_actor(request, user), after={"with": by} if by else None)


def on_password(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    """user.password_changed. Whoever knew the old one is out: other sessions and all tokens end; this browser is known."""
    with transaction.atomic():
        ended = people.end_sessions(user, keep=_here(request, user))
        after = {"sessions_ended": ended, "tokens_ended": people.revoke_tokens(user)}
        audit.record("user.password_changed", user, by=_actor(request, user), after=after)
    throttle.remember(request, user)


def _here(request: HttpRequest, user: User) -> str | None:
    return request.session.session_key if request.user.pk == user.pk else None


def on_factor_added(sender: object, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """user.second_step_added. Whoever adds one has just proved it, so this session counts as proved."""
    kind = mfa.WORDS[authenticator.type]
    audit.record("user.second_step_added", user, by=_actor(request, user), after={"what": kind})
    if authenticator.type in mfa.FACTORS:
        record_authentication(request, user, "mfa", id=authenticator.pk, type=str(authenticator.type))
        mfa.tell(user, "A second step was added to your account", f"You now also sign in with your {kind}.")


def on_factor_removed(sender: object, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """user.second_step_removed"""
    kind = mfa.WORDS[authenticator.type]
    audit.record("user.second_step_removed", user, by=_actor(request, user), before={"what": kind})
    if authenticator.type in mfa.FACTORS:
        mfa.tell(user, "A second step was removed from your account", f"It was your {kind}.")


def on_new_codes(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    """user.recovery_codes_made"""
    audit.record("user.recovery_codes_made", user, by=_actor(request, user))
    mfa.tell(user, "You have new recovery codes", "The old ones do not work any more.")


def on_factor_used(sender: object, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """user.recovery_code_used: rare enough that its person hears of it. Codes and passkeys are everyday."""
    if authenticator.type != mfa.RECOVERY:
        return
    left = mfa.codes_left(authenticator)
    audit.record("user.recovery_code_used", user, by=_actor(request, user), after={"left": left})
    mfa.tell(user, "A recovery code was used", f"Somebody, probably you, used one; {left} are left.")


def forget_links(at: datetime) -> int:
    """Delete links that ended a month ago, and sessions that have expired."""
    sessions.forget_expired(at)
    return OneTimeLink.objects.filter(expires_at__lt=at - timedelta(days=30)).delete()[0]


def _actor(request: HttpRequest | None, user: User) -> Actor:
    return Actor(
        name=user.email[:200],
        ip=(request.META.get("REMOTE_ADDR") or "") if request is not None else "",
        user_id=user.pk,
    )

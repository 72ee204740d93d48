"""Who signed in, and who changed a password? Noted in the audit log; a changed password ends what was open elsewhere."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from allauth.account import signals as account
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.http import HttpRequest

from portal import audit
from portal.audit import Actor
from portal.models import OneTimeLink, User


def connect() -> None:
    """Listen to Django's and allauth's news."""
    user_logged_in.connect(on_sign_in, dispatch_uid="portal.sign_ins.in")
    account.password_changed.connect(on_password, dispatch_uid="portal.sign_ins.changed")
    account.password_set.connect(on_password, dispatch_uid="portal.sign_ins.set")
    account.password_reset.connect(on_password, dispatch_uid="portal.sign_ins.reset")


def on_sign_in(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    """user.signed_in"""
    audit.record("user.signed_in", user, by=_actor(request, user))


def on_password(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    """user.password_changed. Other sessions end by themselves: they carry a hash of the old password."""
    audit.record("user.password_changed", user, by=_actor(request, user))


def forget_links(at: datetime) -> int:
    """Delete links that ended a month ago, and sessions that have expired."""
    Session.objects.filter(expire_date__lt=at).delete()
    return OneTimeLink.objects.filter(expires_at__lt=at - timedelta(days=30)).delete()[0]


def _actor(request: HttpRequest | None, user: User) -> Actor:
    return Actor(
        name=user.email[:200],
        ip=(request.META.get("REMOTE_ADDR") or "") if request is not None else "",
        user_id=user.pk,
    )

"""Who was invited and has not come yet? And how do they, or people who were here before, hear of it?"""

from __future__ import annotations

import logging
from typing import Any

from django.core.mail import send_mail
from django.db import transaction

from portal import audit, branding, people
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Client, Membership, User

log = logging.getLogger("watchkeeper.people")


def pending(user: Any) -> bool:
    """Invited, and never here: neither a password nor a sign-in yet."""
    return user.last_login is None and not user.has_usable_password()


def invite(email: str, *, role: str, client: Client | None, by: Actor, name: str = "") -> tuple[Membership, str, str]:
    """Invite and mail it: (membership, the link for somebody without a password or "", why no mail went out or "")."""
    membership, link = people.invite(email, role=role, client=client, by=by, name=name)
    trouble = people.mail_invitation(membership.user, link) if link else _mail_membership(membership)
    return membership, link or "", trouble


def resend(membership: Membership, *, by: Actor) -> tuple[str, str]:
    """A new link, mailed; older ones end. (link, why it could not be mailed or ""). Refused for who came already."""
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=membership.user_id)
        if not pending(user):
            raise Refused(f"{user} has come in already; there is nothing to send again.")
        people.end_invitations(user)
        link = people.invitation_link(user)
        audit.record("invitation.sent_again", membership, by=by, client_id=membership.client_id)
    return link, people.mail_invitation(user, link)


def _mail_membership(membership: Membership) -> str:
    where = membership.client.name if membership.client else "our own staff"
    lines = [
        f"You now belong to {where} at {branding.home_of(membership.user)}, as {membership.get_role_display().lower()}.", "",
        "You sign in as before. If you do not know what this is about, tell the owner of the portal.",
    ]  # fmt: skip
    try:
        send_mail(f"You now belong to {where} (Watchkeeper)", "\n".join(lines), None, [membership.user.email])
    except Exception as error:  # noqa: BLE001 - whatever the mail server says, the membership stands
        log.warning("news of a membership could not be mailed: %s", type(error).__name__)
        return f"They could not be told by mail ({type(error).__name__}); tell them yourself."
    return ""

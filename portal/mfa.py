"""Is it really they? Second steps of people: who has one, does this code fit, and did this session prove it lately?

Codes are judged here and not by allauth, whose used codes and throttles live in the cache: that is one process's own
without Redis, and empty while Redis is away. Here both live in the person's row, so a replay is refused everywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from portal import audit, branding, people
from portal.audit import Actor
from portal.errors import Refused
from portal.models import User
from portal.secrets import CannotOpen, Sealed
from portal.tenancy import OWNER

log = logging.getLogger("watchkeeper.people")

TOTP, PASSKEY, RECOVERY = Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN, Authenticator.Type.RECOVERY_CODES
FACTORS = (TOTP, PASSKEY)  # recovery codes alone are no second step: they come with one
WORDS = {TOTP: "authenticator app", PASSKEY: "passkey", RECOVERY: "recovery codes"}

STEP = 30  # seconds that a code of an app stands (RFC 6238)
DIGITS = 6
DRIFT = 1  # a phone's clock may be this many steps off
MOST_WRONG, WRONG_FOR = 5, timedelta(minutes=5)
SKEW = 30.0  # seconds by which the clocks of two web servers may differ

WRONG = "This code does not fit. Write the one that your app shows now; a code works once."
TOO_MANY = "Five codes were wrong. Wait five minutes, then try again."
CLOSED = "Your stored secret cannot be opened: ENCRYPTION_KEYS lacks its key. Ask the owner of this portal."


# --- Who has what? --------------------------------------------------------------------------------------------------------
def has_factor(user: Any) -> bool:
    """Has this person an app or a passkey?"""
    return Authenticator.objects.filter(user_id=user.pk, type__in=FACTORS).exists()


def described(rows: Iterable[Authenticator]) -> str:
    """What somebody has, in a few words: "authenticator app, 2 passkeys, 8 recovery codes"; "none"."""
    kinds: dict[str, list[Authenticator]] = {}
    for row in rows:
        kinds.setdefault(row.type, []).append(row)
    words = []
    if TOTP in kinds:
        words.append(WORDS[TOTP])
    if number := len(kinds.get(PASSKEY, ())):
        words.append("a passkey" if number == 1 else f"{number} passkeys")
    for row in kinds.get(RECOVERY, ()):
        words.append(f"{codes_left(row)} recovery codes")
    return ", ".join(words) or "none"


def codes_left(row: Authenticator) -> int:
    """How many recovery codes were not used yet; nothing is opened for it."""
    return settings.MFA_RECOVERY_CODE_COUNT - int(row.data.get("used_mask", 0)).bit_count()


def required_of(user: Any) -> bool:
    """Must this person have a second step? Staff must, when REQUIRE_STAFF_MFA is on."""
    return bool(settings.REQUIRE_STAFF_MFA and user.is_staff)


def new_secret() -> str:
    """160 random bits in base32, for an app."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


# --- Does this code fit? ---------------------------------------------------------------------------------------------------
def code_at(secret: str, step: int) -> str:
    """The app's code for a time step (RFC 4226 with SHA-1). `secret` is base32."""
    digest = hmac.digest(base64.b32decode(secret, casefold=True), step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def step_of(secret: str, code: str, at: datetime, after: int = -1) -> int | None:
    """The time step near `at` and later than `after` whose code this is, or None. Every candidate is compared."""
    given, now, found = plain_code(code).encode(), int(at.timestamp()) // STEP, None
    for step in range(now - DRIFT, now + DRIFT + 1):
        same = hmac.compare_digest(code_at(secret, step).encode(), given)
        if same and step > after:
            found = step
    return found


def plain_code(code: str) -> str:
    """What was typed without spaces and dashes."""
    return "".join(c for c in code if not c.isspace() and c != "-")


def verify_totp(user: Any, code: str, at: datetime) -> bool:
    """Is this the code of the person's app now? Each works once; after five wrong ones none does for five minutes."""
    try:
        use_code(user, code, at, (TOTP,))
    except Refused:
        return False
    return True


def use_code(user: Any, code: str, at: datetime, kinds: Iterable[str] = (TOTP, RECOVERY)) -> Authenticator:
    """Use a code of the app or a recovery code up; what it belongs to. Refused: wrong, used, or too many wrong ones."""
    kinds = tuple(kinds)
    with transaction.atomic():
        rows = Authenticator.objects.select_for_update().filter(user_id=user.pk, type__in=(TOTP, RECOVERY))
        found, sentence = _judge({row.type: row for row in rows.order_by("pk")}, code, at, kinds)
    if found is None:  # outside of the transaction: the wrong try stays counted
        raise Refused(sentence)
    return found


def _judge(
    rows: dict[str, Authenticator], code: str, at: datetime, kinds: tuple[str, ...]
) -> tuple[Authenticator | None, str]:
    counted = rows.get(TOTP) or rows.get(RECOVERY)  # one count for both, or a second one would double the guesses
    if counted is None:
        return None, WRONG
    since = at.timestamp() - WRONG_FOR.total_seconds()
    wrong = [moment for moment in counted.data.get("wrong", []) if moment > since]
    if len(wrong) >= MOST_WRONG:
        return None, TOO_MANY
    try:
        found = next((row for kind in kinds if (row := rows.get(kind)) and TAKE[kind](row, code, at)), None)
    except CannotOpen:
        return None, CLOSED
    counted.data["wrong"] = [] if found else [*wrong, at.timestamp()]
    counted.save(update_fields=["data"])
    return found, "" if found else WRONG


def _take_totp(row: Authenticator, code: str, at: datetime) -> bool:
    step = step_of(Sealed(row.data["secret"]).open(), code, at, after=row.data.get("last_step", -1))
    if step is None:
        return False
    row.data["last_step"] = step
    row.save(update_fields=["data"])
    return True


def _take_recovery(row: Authenticator, code: str, at: datetime) -> bool:
    codes = row.wrap()
    fits = bool(codes.validate_code(plain_code(code)))
    row.data = codes.instance.data  # it works on a row of its own
    return fits


TAKE: dict[str, Callable[[Authenticator, str, datetime], bool]] = {TOTP: _take_totp, RECOVERY: _take_recovery}


# --- Did this session prove it lately? ----------------------------------------------------------------------------------------
def proofs(request: HttpRequest) -> list[dict[str, Any]]:
    """The second steps that this session took, oldest first: {"type", "id", "at" (Unix seconds)}."""
    return [r for r in get_authentication_records(request, request.user) if r.get("method") == "mfa"]


def fresh(request: HttpRequest, within: timedelta = timedelta(minutes=10)) -> str:
    """How this session proved its person with a second step within that time: totp, webauthn, recovery_codes; "" if not.

    What was proved with must still be the person's: a step that was removed or reset meanwhile counts no more.
    """
    now = time.time()
    for proof in reversed(proofs(request)):
        if now - within.total_seconds() < proof["at"] <= now + SKEW:
            mine = Authenticator.objects.filter(pk=proof["id"], type=proof["type"], user_id=request.user.pk)
            if mine.exists():
                return str(proof["type"])
    return ""


def step_up_url(request: HttpRequest, next: str) -> str:
    """Where this person proves it again and comes back to `next` (a path of ours, else "/"); without a step: gets one."""
    if not has_factor(request.user):
        return reverse("mfa_index")
    here = next.startswith("/") and url_has_allowed_host_and_scheme(next, allowed_hosts=None)
    first = get_adapter().get_reauthentication_methods(request.user)[0]
    return f"{first['url']}?{urlencode({'next': next if here else '/'})}"


# --- Lost, and new keys -------------------------------------------------------------------------------------------------------
def reset(user: User, *, by: Actor) -> None:
    """Take every second step from somebody who lost theirs, and end their sessions. They sign in with the password alone."""
    if by.user_id == user.pk:
        raise Refused("Your own second step is changed on your page “Sign-in security”.")
    if user.msp_role == OWNER and not _is_owner(by):
        raise Refused("Only another owner resets an owner's second step.")
    with transaction.atomic():
        rows = Authenticator.objects.select_for_update().filter(user=user)
        before = described(rows.order_by("pk"))
        if not rows:
            raise Refused(f"{user} has no second step.")
        rows.delete()
        people.end_sessions(user)
        audit.record("user.second_step_reset", user, by=by, before={"had": before})
    tell(
        user,
        "Your second step was reset",
        "You sign in with your password alone until you add a new one. You were signed out everywhere.",
    )


def _is_owner(by: Actor) -> bool:
    acting = User.objects.filter(pk=by.user_id, is_active=True).first()
    return acting is not None and acting.msp_role == OWNER


def tell(user: User, subject: str, sentence: str) -> None:
    """Mail a person about their own account. A mail server that fails stops nothing: the audit log has it."""
    lines = [
        sentence, "", f"Your sign-in security: {branding.home_of(user)}{reverse('mfa_index')}", "",
        "If it was not you, choose a new password at once and tell the owner of the portal.",
    ]  # fmt: skip
    try:
        send_mail(f"{subject} (Watchkeeper)", "\n".join(lines), None, [user.email])
    except Exception as error:  # noqa: BLE001 - whatever the mail server says, what was done stands
        log.warning("a mail about a second step could not be sent: %s", type(error).__name__)


def reseal() -> tuple[int, list[str]]:
    """Seal the stored secrets with the first key: how many, and where those stand that no key opens."""
    done, closed = 0, []
    for pk in Authenticator.objects.filter(type__in=(TOTP, RECOVERY)).order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            row = Authenticator.objects.select_for_update().filter(pk=pk).first()
            if row is None:
                continue
            name = "secret" if row.type == TOTP else "seed"
            try:
                row.data[name] = Sealed(row.data[name]).rotated().token
            except InvalidToken:
                closed.append(f"mfa.authenticator {pk} {name}")
                continue
            row.save(update_fields=["data"])
            done += 1
    return done, closed

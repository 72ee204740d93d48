"""Who signs in, what is their role, and what may their tokens do?"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from portal.models.clients import Client, known_zone
from portal.tenancy import ADMINISTER, AUDITOR, CLIENT_ROLES, MSP_ROLES, OWNER, STAFF, TenantManager


class UserManager(BaseUserManager):
    """Users are found by e-mail, whatever its case."""

    def get_by_natural_key(self, username: str) -> User:
        return self.get(email__iexact=username)

    def create_user(self, email: str, password: str | None = None, **fields) -> User:
        """A user with a hashed password (or none that works)."""
        user = self.model(email=self.normalize_email(email).strip(), **fields)
        user.set_password(password)
        user.save()
        return user


class User(AbstractBaseUser):
    """A person who signs in by e-mail. What they may do follows from their memberships."""

    email = models.EmailField()
    name = models.CharField(max_length=120, blank=True)
    timezone = models.CharField(max_length=64, default="UTC", validators=[known_zone])
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []
    objects = UserManager()

    class Meta:
        ordering = ["email"]
        constraints = [models.UniqueConstraint(Lower("email"), name="one_user_per_email")]

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return self.name.split(" ")[0] if self.name else self.email.split("@")[0]

    @property
    def msp_role(self) -> str:
        """owner, staff, auditor, or nothing. Asked once per instance."""
        if not hasattr(self, "_msp_role"):
            self._msp_role = (
                self.memberships.filter(client=None).values_list("role", flat=True).first() or "" if self.pk else ""
            )
        return self._msp_role

    # Django admin asks these. Operators change, auditors look; only owners touch people and providers.
    @property
    def is_staff(self) -> bool:
        return self.is_active and bool(self.msp_role)

    @property
    def is_superuser(self) -> bool:
        return self.is_active and self.msp_role == OWNER

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Owners everything, staff everything but people and providers, auditors only `view_…`."""
        if not self.is_active:
            return False
        role, codename = self.msp_role, perm.rpartition(".")[2]
        if role == OWNER:
            return True
        if codename.startswith("view_"):
            return role in (STAFF, AUDITOR)
        return role == STAFF and codename.partition("_")[2] not in OWNERS_MODELS

    def has_perms(self, perm_list, obj: object = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_staff


OWNERS_MODELS = frozenset({"user", "membership", "token", "providersettings", "periodictask", "onetimelink"})


class Membership(models.Model):
    """A role: with a client for its people, without one for the MSP's own."""

    tenant_path = "client"
    objects = TenantManager()

    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    client = models.ForeignKey(
        Client,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="memberships",
        help_text="Empty: one of our own staff.",
    )
    role = models.CharField(max_length=10, choices=[("MSP", MSP_ROLES), ("Client", CLIENT_ROLES)])
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "client"], name="one_role_per_user_and_client"),
            models.UniqueConstraint(fields=["user"], condition=Q(client=None), name="one_msp_role_per_user"),
            models.CheckConstraint(
                condition=Q(client=None, role__in=[r for r, _ in MSP_ROLES])
                | Q(client__isnull=False, role__in=[r for r, _ in CLIENT_ROLES]),
                name="role_fits_client",
                violation_error_message="Owner, staff and auditor go without a client; admin, approver and viewer need one.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()}" + (f" of {self.client}" if self.client_id else "")


def digest(secret: str) -> str:
    """What is stored of a random secret: its SHA-256. Enough, as 256 random bits cannot be guessed back."""
    return hashlib.sha256(secret.encode()).hexdigest()


SCOPES = ("read", "write", "ack", "ping", "approve", ADMINISTER)


class Token(models.Model):
    """An API key of a person, shown once; stored as a hash."""

    tenant_path = "client"
    objects = TenantManager()

    user = models.ForeignKey(User, models.CASCADE, related_name="tokens")
    client = models.ForeignKey(
        Client, models.CASCADE, null=True, blank=True, help_text="Set: the token sees this client only."
    )
    name = models.CharField(max_length=120)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    hash = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list, help_text="read, write, ack, ping, approve, admin")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} (wk_{self.prefix}…)"

    @property
    def scope_set(self) -> frozenset[str]:
        """The scopes; `write` and `admin` read as well, `write` acknowledges too."""
        given = set(self.scopes)
        if given & {"write", ADMINISTER}:
            given |= {"read", "ack"}
        if ADMINISTER in given:
            given |= {"write"}
        return frozenset(given)

    def usable(self, at: datetime) -> bool:
        """Neither revoked nor expired, and its person still active."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at) and self.user.is_active

    @classmethod
    def issue(
        cls,
        user: User,
        name: str,
        scopes: list[str],
        *,
        client: Client | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[Token, str]:
        """A new token and its one-time plain text `wk_<prefix>_<secret>`. Raises ValueError for an unknown scope."""
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise ValueError(f"Unknown scope {', '.join(unknown) or '(none)'}; choose from {', '.join(SCOPES)}.")
        prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        token = cls.objects.create(
            user=user,
            client=client,
            name=name,
            prefix=prefix,
            hash=digest(secret),
            scopes=sorted(set(scopes)),
            expires_at=expires_at,
        )
        return token, f"wk_{prefix}_{secret}"


class OneTimeLink(models.Model):
    """A link that works once: first set-up, invitation, acknowledge from a mail. Only its hash is kept."""

    purpose = models.CharField(max_length=20)
    hash = models.CharField(max_length=64, unique=True)
    subject = models.CharField(max_length=64, blank=True, help_text="What it is about, as alert:9.")
    user = models.ForeignKey(User, models.CASCADE, null=True, blank=True)
    recipient = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    @classmethod
    def make(
        cls, purpose: str, *, expires_at: datetime, subject: str = "", user: User | None = None, recipient: str = ""
    ) -> str:
        """A new link's secret (43 characters)."""
        secret = secrets.token_urlsafe(32)
        cls.objects.create(
            purpose=purpose,
            hash=digest(secret),
            subject=subject,
            user=user,
            recipient=recipient[:200],
            expires_at=expires_at,
        )
        return secret

    @classmethod
    def find(cls, purpose: str, secret: str) -> OneTimeLink | None:
        """The link behind a secret, used and expired ones included, so that a page can say which it is."""
        return cls.objects.filter(purpose=purpose, hash=digest(secret)).first()

    def use(self, at: datetime) -> bool:
        """Take it. False when somebody else did, or when it is too late: exactly one caller gets True."""
        return bool(OneTimeLink.objects.filter(pk=self.pk, used_at=None, expires_at__gt=at).update(used_at=at))

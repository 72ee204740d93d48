"""The ground: clients, people, settings, the audit log, and what keeps many processes in step."""

from portal.models.audit import AuditEntry, AuditHead
from portal.models.clients import Client, Contact, ContactGroup, Service, Site, Tag
from portal.models.people import Membership, OneTimeLink, Token, User
from portal.models.provider import ProviderSettings
from portal.models.running import IdempotencyKey, Slot, Worker

__all__ = [
    "AuditEntry", "AuditHead", "Client", "Contact", "ContactGroup", "IdempotencyKey", "Membership", "OneTimeLink",
    "ProviderSettings", "Service", "Site", "Slot", "Tag", "Token", "User", "Worker",
]  # fmt: skip

"""The ground: clients, people, settings, the audit log, and what keeps many processes in step."""

from portal.models.audit import AuditEntry, AuditHead
from portal.models.branding import Branding
from portal.models.clients import Client, Contact, ContactGroup, Service, Site, Tag
from portal.models.exports import ClientExport, ExportPart
from portal.models.people import Membership, OneTimeLink, Token, User
from portal.models.provider import ProviderSettings
from portal.models.running import IdempotencyKey, Slot, Worker
from portal.models.saved import SavedFilter
from portal.models.trash import TrashEntry

__all__ = [
    "AuditEntry", "AuditHead", "Branding", "Client", "ClientExport", "Contact", "ContactGroup", "ExportPart", "IdempotencyKey", "Membership", "OneTimeLink",
    "ProviderSettings", "SavedFilter", "Service", "Site", "Slot", "Tag", "Token", "TrashEntry", "User", "Worker",
]  # fmt: skip

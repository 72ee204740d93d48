"""How does a channel's row become something that can send? Its settings and opened secrets, completed by the provider's."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from django.conf import settings

from alerts import channels
from alerts.channels.base import Channel as Kind
from alerts.models import Channel
from portal.outbound.guard import Reach

EVERYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def open_channel(row: Channel, providers: dict[str, dict[str, Any]]) -> Kind:
    """The channel, ready to format and send. Raises when its stored settings no longer fit its type."""
    cls = channels.get(row.type)
    if cls.staff_only and row.client_id is not None:
        raise ValueError(f"{cls.label} may not belong to a client.")
    kind = cls(channels.join(row.type, row.config, row.secrets.open()), providers.get(cls.provider, {}))
    kind.reach = reach_of(row)
    return kind


def reach_of(row: Channel) -> Reach:
    """Public addresses and what OUTBOUND_ALLOW names; an address that the environment itself names is exempt."""
    return Reach(allow=EVERYWHERE) if row.made_for == "global_slack" else Reach(allow=settings.OUTBOUND_ALLOW)

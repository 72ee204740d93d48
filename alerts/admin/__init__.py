"""Alerts, messages and channels at the support desk, by noun."""

from alerts.admin import escalation, inbound, oncall, quiet, routing, told, wording, wrong  # noqa: F401 - importing registers them

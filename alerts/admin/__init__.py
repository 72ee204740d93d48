"""Alerts, messages and channels at the support desk, by noun."""

from alerts.admin import routing, told, wrong  # noqa: F401 - importing registers them

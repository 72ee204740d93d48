"""How is a service or a container restarted? By a private probe beside it, as an action that its machine's file allows."""

from __future__ import annotations

from typing import ClassVar

from playbooks.steps.ordering import OrderStep


class Restart(OrderStep):
    """Restart a service or a container."""

    kind: ClassVar[str] = "restart"
    label: ClassVar[str] = "Restart a service or container"
    kinds: ClassVar[tuple[str, ...]] = ("service", "container")
    verb: ClassVar[str] = "Restart"

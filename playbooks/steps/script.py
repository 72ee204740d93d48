"""How is a script run at a client's? By a private probe, as an action that its machine's file allows: arguments and all."""

from __future__ import annotations

from typing import ClassVar

from playbooks.steps.ordering import OrderStep


class Script(OrderStep):
    """Run a script that the machine's file names."""

    kind: ClassVar[str] = "script"
    label: ClassVar[str] = "Run a script on a probe"
    kinds: ClassVar[tuple[str, ...]] = ("script",)
    verb: ClassVar[str] = "Run"

"""`python -m tests.alerts.vendors`: what does each channel send, beside its vendor's rule? One page of a failing site to every fake vendor."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys

import django


def main() -> int:
    """Print kind, rule, and each request (method, path, headers that matter, body); 1 when a vendor refused one."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    import tests.environment  # noqa: F401 - settings of their own, never an installation's

    django.setup()
    import pytest

    from alerts import channels
    from alerts.channels.base import HttpChannel
    from tests.alerts import vendors
    from tests.alerts.test_vendors import NAMED, Counter

    refused = 0
    for module in pkgutil.iter_modules(vendors.__path__):
        vendor = getattr(importlib.import_module(f"{vendors.__name__}.{module.name}"), "VENDOR", None)
        if vendor is None or not issubclass(channels.get(vendor.kind), HttpChannel):
            continue
        with pytest.MonkeyPatch.context() as patch:
            counter = Counter(vendor, patch)
            try:
                counter.send(NAMED)
            finally:
                counter.server.__exit__(None, None, None)
            calls = counter.server.calls
        refused += sum(not call.accepted for call in calls)
        print(f"\n## {vendor.kind}\nrule: {vendor.rule}")
        for call in calls:
            body = call.body.decode("utf-8", "replace")
            print(
                f"  {call.method} {call.target}\n  {call.headers.get('content-type', '')}\n  {body[:700]}{' …' if len(body) > 700 else ''}"
            )
            print(f"  -> {'taken' if call.accepted else 'REFUSED'}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())

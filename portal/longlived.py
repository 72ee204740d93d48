"""What lives as long as the process is not looked through again and again.

Python's collector of cycles goes through everything that lives, in one go; with all that the portal loads that takes 100 to
250 ms, in which no thread answers. So what was loaded is set aside, and the collector has the young alone.
"""

from __future__ import annotations

import gc
from itertools import count
from typing import Any

from django.core.signals import request_finished

YOUNG = 10_000  # a page makes some thousand; going through 50,000 takes 20 ms, which somebody would wait for
REQUESTS = frozenset({100, 1000})  # by then templates, forms and queries have been compiled, too


def set_aside(after: int = 50_000) -> None:
    """Everything that lives now stays; the collector comes `after` so many new containers instead of 700."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(after, 20, 50)


def of_a_web_process() -> None:
    """Now, and again when its first requests have loaded the rest."""
    from django.urls import get_resolver

    get_resolver().url_patterns  # noqa: B018 - imports all views
    finished = count(1)

    def answered(**_: Any) -> None:
        if next(finished) in REQUESTS:
            set_aside(gc.get_threshold()[0])  # where one process does everything, the prober's stays

    set_aside(YOUNG)
    request_finished.connect(answered, weak=False, dispatch_uid="portal.longlived")
